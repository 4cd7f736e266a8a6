"""Reads one whole request head, and refuses every shape that two parsers could read differently.

httptools parses; what it lets through that we do not is checked here: a request line in any but
the plainest form, targets that are not a path, repeated fields that frame or identify a message,
Transfer-Encoding other than exactly `chunked`. RFC 9112 sections 2, 3, 6 and 11.2.
"""

from __future__ import annotations

import re
from typing import Final, final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from proxy.errors import TagproxyError
from proxy.net.known_lines import KnownLines

CHUNKED: Final = -1

# The Connection line that the answer needs. None: HTTP/1.1 stays open unasked.
NONE: Final = b""
CLOSE: Final = b"Connection: close\r\n"
KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"

_TARGET_BYTES: Final = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))
_HOST: Final = re.compile(rb"[A-Za-z0-9._~\-]*(?::[0-9]*)?|\[[0-9A-Fa-f:.]+\](?::[0-9]*)?")
_NAMED: Final = re.compile(rb"([A-Za-z]{1,20}) (/[!-~]{0,2000})[ \r\n]")
_LENGTH_DIGITS_MAX: Final = 15
_ONCE: Final = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"transfer-encoding",
    }
)


@final
class Malformed(TagproxyError):
    """The bot's bytes are no request that we take. `status` is the answer's."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what


@final
class HeadReader:
    """Reads one head after another; the fields hold what the last one said."""

    __slots__ = (
        "_headers_max",
        "_host",
        "_known",
        "_repeats",
        "body_bytes",
        "connection",
        "expects_continue",
        "headers",
        "method",
        "target",
        "upgrade",
    )

    def __init__(self) -> None:
        self._headers_max = 0  # of the present head
        self._host = b""  # the last one found good
        self._known = KnownLines()
        self._repeats = 0
        self.method = b""
        self.target = b""
        self.headers: dict[bytes, bytes] = {}
        self.connection = CLOSE
        self.body_bytes = 0  # Content-Length, or CHUNKED
        self.expects_continue = False
        self.upgrade = b""  # lower-cased Upgrade field of a request that really asks for one

    def read(self, head: bytes, headers_max: int) -> None:
        """Read `head`, from the first byte of the request line to the empty line.

        Raises Malformed.
        """
        known = self._known
        self._headers_max = headers_max
        if known.read(head, headers_max):
            self.method = known.method
            self.target = known.target
            self.headers = known.headers
            self.body_bytes = known.body_bytes
            self.connection = NONE
            self.expects_continue = False
            self.upgrade = b""
        else:
            self._parse(head)

    def _parse(self, head: bytes) -> None:
        headers: dict[bytes, bytes] = {}
        self.headers = headers
        self._repeats = 0
        self.body_bytes = 0
        self.expects_continue = False
        parser = HttpRequestParser(self)
        wants_upgrade = False
        try:
            parser.feed_data(head)
        except HttpParserUpgrade:
            wants_upgrade = True
        except HttpParserError as error:
            raise _fault(error) from error
        self.method = method = parser.get_method()
        target = self.target
        self._check(method, target)
        if head.find(b" \r\n") >= 0 or head.find(b"\t\r\n") >= 0:
            for name, value in headers.items():
                headers[name] = value.rstrip(b" \t")
        # The whole line at once: single spaces, nothing before it, a version we speak.
        if head.startswith(b"%b %b HTTP/1.1\r\n" % (method, target)):
            self._read_1_1(headers)
            if self.connection is NONE and not (self.expects_continue or wants_upgrade):
                self._known.learn(head)
        elif head.startswith(b"%b %b HTTP/1.0\r\n" % (method, target)):
            self._read_1_0(headers)
        else:
            raise Malformed(400, "malformed request line")
        self.upgrade = headers.get(b"upgrade", b"").lower() if wants_upgrade else b""

    @property
    def plain(self) -> bool:
        """Whether the head asks nothing of the connection, and has no body or one of known
        length."""
        return (
            self.connection is NONE
            and self.body_bytes >= 0
            and not (self.expects_continue or self.upgrade)
        )

    def _check(self, method: bytes, target: bytes) -> None:
        if target[:1] != b"/" or target.translate(None, _TARGET_BYTES):
            raise Malformed(400, "the request target is not a plain path")
        if not method.isalpha():
            raise Malformed(400, "unknown method")
        if len(self.headers) + self._repeats > self._headers_max:
            raise Malformed(431, "too many header fields")

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self.target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser, once for every field line."""
        name = name.lower()
        headers = self.headers
        if name in headers:
            self._repeat(name, value)
        else:
            headers[name] = value

    def _repeat(self, name: bytes, value: bytes) -> None:
        self._repeats += 1
        if name in _ONCE:
            raise Malformed(400, f"repeated {name.decode()} field")
        if self._repeats > self._headers_max:
            raise Malformed(431, "too many header fields")
        self.headers[name] += b", " + value

    def _read_1_1(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host")
        if host is None:
            raise Malformed(400, "no Host field")
        if host != self._host:
            if _HOST.fullmatch(host) is None:
                raise Malformed(400, "malformed Host field")
            self._host = host
        connection = headers.get(b"connection")
        self.connection = NONE
        if connection is not None and connection != b"keep-alive" and _closes(connection):
            self.connection = CLOSE
        self._frame(headers)
        expect = headers.get(b"expect")
        if expect is not None:
            if expect.lower() != b"100-continue":
                raise Malformed(417, "unknown expectation")
            self.expects_continue = True

    def _read_1_0(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"")
        if _HOST.fullmatch(host) is None:
            raise Malformed(400, "malformed Host field")
        if b"transfer-encoding" in headers:
            raise Malformed(400, "Transfer-Encoding in HTTP/1.0")
        connection = headers.get(b"connection", b"")
        lasts = b"keep-alive" in _tokens(connection) and not _closes(connection)
        self.connection = KEEP_ALIVE if lasts else CLOSE
        self._frame(headers)

    def _frame(self, headers: dict[bytes, bytes]) -> None:
        length = headers.get(b"content-length")
        if length is not None:
            if not length.isdigit() or len(length) > _LENGTH_DIGITS_MAX:
                raise Malformed(400, "malformed Content-Length")
            self.body_bytes = int(length)
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            if length is not None:
                raise Malformed(400, "both Content-Length and Transfer-Encoding")
            if coding.lower() != b"chunked":
                raise Malformed(400, "Transfer-Encoding other than chunked")
            self.body_bytes = CHUNKED
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Malformed(400, "encoded bodies are not accepted")


def probe(part: bytes) -> None:
    """Tell garbage from the first part of a head. Raises Malformed.

    Without this a bot that ends its lines with a bare LF would wait for its time limit.
    """
    if part.count(b"\n") != part.count(b"\r\n"):
        raise Malformed(400, "bare line feed")
    try:
        HttpRequestParser(None).feed_data(part[: part.find(b"\n") + 1] or part)
    except HttpParserError as error:
        raise Malformed(400, "malformed request head") from error


def named(head: bytes) -> tuple[bytes, bytes] | None:
    """The method and target that a head, malformed or not, seems to name."""
    match = _NAMED.match(head)
    return None if match is None else (match[1], match[2])


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip() for token in value.lower().split(b",")]


def _closes(connection: bytes) -> bool:
    return b"close" in _tokens(connection)


def _fault(error: HttpParserError) -> Malformed:
    cause = error.__context__  # what on_header raised, if it did
    if isinstance(cause, Malformed):
        return cause
    return Malformed(400, "malformed request head")
