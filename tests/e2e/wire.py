"""A bot's connection as bare bytes, for what no HTTP library would send."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Final, final
from urllib.parse import urlsplit

from tests.e2e.bot import Answered, Caller

WAIT_S: Final = 8.0


@final
class Wire:
    """One connection. Reading waits at most `WAIT_S`."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._unread = b""

    def send(self, data: bytes) -> None:
        """Send bytes; that the other side has closed already is not our concern."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def answer(self) -> Answered:
        """Read one whole answer, interim ones too. Fails the test if the connection ends first."""
        while b"\r\n\r\n" not in self._unread:
            self._more()
        head, _, rest = self._unread.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        size = int(headers.get("content-length", "0"))
        while len(rest) < size:
            self._more()
            rest = self._unread.partition(b"\r\n\r\n")[2]
        self._unread = rest[size:]
        return Answered(int(first.split()[1]), headers, rest[:size])

    def closed(self) -> bool:
        """Wait for the other side to close; True when it did so and sent nothing more."""
        with contextlib.suppress(ConnectionResetError):
            return self._unread == b"" and self.socket.recv(65536) == b""
        return True

    def half_close(self) -> None:
        """Send no more, but go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def hang_up(self) -> None:
        """End the connection at once, both ways."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _more(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"the connection ended after {self._unread!r}"
        self._unread += data


@contextlib.contextmanager
def wire_to(bot: Caller) -> Iterator[Wire]:
    """Connect to where a bot would."""
    url = urlsplit(bot.base_url)
    with socket.create_connection((url.hostname or "", url.port or 80), timeout=WAIT_S) as opened:
        yield Wire(opened)


def head_of(
    bot: Caller, method: str, target: str, body: bytes, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a signed request's head without any framing fields, and without its empty line."""
    signed = bot.headers(method, target, body) | dict(headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
    url = urlsplit(bot.base_url)
    return f"{method} {url.path}{target} HTTP/1.1\r\nHost: {url.netloc}\r\n{lines}".encode()


def request_of(
    bot: Caller,
    method: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Return a whole signed request."""
    length = f"Content-Length: {len(body)}\r\n" if body or method != "GET" else ""
    return head_of(bot, method, target, body, headers) + length.encode() + b"\r\n" + body


def chunked(body: bytes, size: int = 7) -> bytes:
    """Return a body in chunks."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
