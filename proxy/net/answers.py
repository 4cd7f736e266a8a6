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

_BODYLESS: Final = frozenset({204, 304})
_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


@final
class Answers:
    """Status lines and Date, prepared."""

    __slots__ = ("_clock", "_second", "_starts")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0
        self._starts: dict[int, bytes] = {}

    def render(self, reply: Reply, connection: bytes, *, head_only: bool) -> bytes:
        """Return the whole answer. `connection` is one of the lines in `framing`; `head_only`
        is for answers to HEAD."""
        second = self._clock.wall_ms() // 1000
        if second != self._second:
            self._second = second
            self._starts.clear()
        status = reply.status
        start = self._starts.get(status)
        if start is None:
            start = self._start(status)
        body = reply.body
        if head_only or status in _BODYLESS:
            # A relayed answer to HEAD came without the body whose length it would tell.
            length = b"Content-Length: %d\r\n" % len(body) if body and head_only else b""
            return b"%b%b%b%b\r\n" % (start, reply.head, connection, length)
        return b"%b%b%bContent-Length: %d\r\n\r\n%b" % (
            start,
            reply.head,
            connection,
            len(body),
            body,
        )

    def _start(self, status: int) -> bytes:
        date = formatdate(self._second, usegmt=True).encode()
        reason = _REASONS.get(status, b"")
        start = b"HTTP/1.1 %d %b\r\nDate: %b\r\n" % (status, reason, date)
        self._starts[status] = start
        return start
