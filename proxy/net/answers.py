"""Renders replies into bytes: status line, Date, framing. RFC 9110 sections 6.6.1, 8.6 and 15.

What is the same for every answer of a second is made once. The handler's header lines are taken
as they are; Content-Length, Connection and Date are ours.
"""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from proxy.clock import Clock
    from proxy.model import Reply

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_RESORT: Final = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)

_LENGTHS_MAX: Final = 4096
_BODYLESS: Final = frozenset({204, 304})
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


@final
class Answers:
    """Status lines and Date, prepared."""

    __slots__ = ("_clock", "_lengths", "_starts", "_until_ns")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_ns = 0  # when the present second of the wall clock ends, monotonic
        self._starts: dict[int, bytes] = {}
        self._lengths: dict[int, bytes] = {}

    def render(self, reply: Reply, connection: bytes, method: bytes, now_ns: int) -> bytes:
        """Return the whole answer to a request with `method` (b"" where there was none).
        `connection` is one of the lines in `framing`; `now_ns` is monotonic."""
        if now_ns >= self._until_ns:
            self._until_ns = now_ns + 1_000_000_000 - self._clock.wall_ms() % 1000 * 1_000_000
            self._starts.clear()
        start = self._starts.get(reply.status) or self._start(reply.status)
        body = reply.body
        if method == b"HEAD" or reply.status in _BODYLESS:
            # A relayed answer to HEAD came without the body whose length it would tell.
            length = b"Content-Length: %d\r\n" % len(body) if body and method == b"HEAD" else b""
            return b"%b%b%b%b\r\n" % (start, reply.head, connection, length)
        size = len(body)
        length = self._lengths.get(size) or self._length(size)
        return b"".join((start, reply.head, connection, length, body))

    def _length(self, size: int) -> bytes:
        if len(self._lengths) >= _LENGTHS_MAX:
            self._lengths.clear()
        length = self._lengths[size] = b"Content-Length: %d\r\n\r\n" % size
        return length

    def _start(self, status: int) -> bytes:
        date = formatdate(self._clock.wall_ms() // 1000, usegmt=True).encode()
        reason = _REASONS.get(status, b"")
        start = b"HTTP/1.1 %d %b\r\nDate: %b\r\n" % (status, reason, date)
        self._starts[status] = start
        return start
