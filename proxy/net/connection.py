"""One connection to an exchange: the exact bytes out, one whole answer in. RFC 9112.

An answer is handed over only once it is complete and nothing stands behind it. Whatever else
happens to a request is an `UpstreamError` that tells whether a byte may have left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias, cast, final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from proxy.errors import UpstreamError, UpstreamTimeout
from proxy.model import Response
from proxy.net.deadlines import NEVER
from proxy.net.dialing import CLOSING_NS
from proxy.net.parsed_answer import ParsedAnswer, describe

if TYPE_CHECKING:
    from proxy.net.upstream import Pool

# Called exactly once: the answer, or why there is none.
Done: TypeAlias = Callable[[Response | None, UpstreamError | None], None]

_HEAD_BYTES_MAX: Final = 64 * 1024
_EARLY_NS: Final = 1_000_000_000
_KEEP_ALIVE_MARGIN_NS: Final = 1_000_000_000

# What the connection is doing.
IDLE: Final = 0  # in the pool
TAKEN: Final = 1  # with a request that is not sent yet
BUSY: Final = 2  # waiting for an answer
CLOSED: Final = 3


@final
class Connection(ParsedAnswer):
    """A connection of a pool. Take it, then `send` or `give_back`."""

    __slots__ = (
        "_done",
        "_idle_ns",
        "_pool",
        "_seen",
        "_sent_ns",
        "_transport",
        "_writable",
        "state",
    )

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.answer_bytes_max)
        self._pool = pool
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._done: Done | None = None
        self._idle_ns = pool.idle_ns
        self._seen = False  # an answer of this server
        self._writable = True
        self.state = TAKEN
        self._sent_ns = 0

    # ---- for whoever took it ----------------------------------------------------------------

    def send(self, data: bytes, method: bytes, deadline_ns: int, done: Done) -> None:
        """Write one whole request and call `done` once, from the socket's callback; `deadline_ns`
        is monotonic. After a clean answer the connection is back in its pool before `done`.

        Where nothing could be written `done` hears of it at once, with `sent` false.
        """
        pool = self._pool
        now_ns = pool.now_ns()
        if self.state != TAKEN or self._transport.is_closing():
            self._fall(UpstreamError("the exchange closed the connection", sent=False), done)
            return
        if deadline_ns <= now_ns:
            self.give_back()
            done(None, UpstreamTimeout("the deadline passed before the request left", sent=False))
            return
        self.state = BUSY
        self._done = done
        self._method = method
        self._sent_ns = now_ns
        self.deadline_ns = deadline_ns
        if deadline_ns < self.filed_ns:
            pool.wheel.file(self)
        self._transport.write(data)

    def give_back(self) -> None:
        """Return the connection unused."""
        if self.state == TAKEN:
            self._pool.returned(self)

    # ---- for the pool -----------------------------------------------------------------------

    def opened(self) -> None:
        """Start the idle time of a new connection. Raises UpstreamError if it is closed already."""
        if self.state == CLOSED:
            raise UpstreamError("the exchange closed the new connection", sent=False)
        self._sent_ns = self._pool.now_ns()
        self._pool.wheel.limit(self, self._sent_ns + self._idle_ns)

    def close(self) -> None:
        """Close an unused connection in good order."""
        self._fall(UpstreamError("the connection was closed", sent=True))

    def abort(self) -> None:
        """End the connection now."""
        self._transport.abort()

    # ---- called by the event loop -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection in."""
        self._transport = cast("asyncio.Transport", transport)
        self._pool.joined(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; on the last of an answer hand it over."""
        if self.state != BUSY:
            self._fall(UpstreamError("unexpected bytes from the exchange", sent=False))
            return
        if self._plain(data):
            return
        whole = not self._fed
        self._fed = True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self._complete:
                self._fall(UpstreamError(describe(error), sent=True), abort=True)
                return
            self._garbled = True
        if self._complete:
            if whole and self._keep_alive and not self._garbled and self._method != b"HEAD":
                self._pool.layouts.learn(data, self._status, self._headers)
            self._finish()
        elif not self._head_done:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES_MAX:
                self._fall(UpstreamError("the answer's head is too large", sent=True), abort=True)

    def _plain(self, data: bytes) -> bool:
        """Take a whole answer of a kind that the parser has read before: it stays out of this,
        as it was between two answers."""
        if self._fed or not (self._seen and self._writable) or self._method == b"HEAD":
            return False
        pool = self._pool
        layouts = pool.layouts
        headers = layouts.read(data)
        if headers is None:
            return False
        layout = layouts.last
        assert layout is not None
        if layout.body_bytes > self._body_bytes_max:
            return False
        response = Response(layout.status, headers, data[layout.size :], keep_alive=True)
        done, self._done = self._done, None
        assert done is not None
        now_ns = pool.now_ns()
        pool.round_trips.add(now_ns - self._sent_ns, now_ns)
        self.deadline_ns = deadline_ns = now_ns + self._idle_ns
        if deadline_ns < self.filed_ns:
            pool.wheel.file(self)
        pool.returned(self)
        try:
            done(response, None)
        except Exception as fault:  # noqa: BLE001 - as in _tell
            self._report(fault)
        return True

    def eof_received(self) -> None:
        """The exchange sends no more: the end of an answer that has no other, or a fault."""
        if self.state == BUSY and self._head_done and not self._framed():
            self._status = self._parser.get_status_code()
            self._finish()
        else:
            self._fall(UpstreamError("the exchange closed the connection", sent=True))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        what = "the connection to the exchange broke" if exc else "the exchange hung up"
        self._fall(UpstreamError(what, sent=True))
        self._pool.wheel.discard(self)
        self._pool.left(self)
        self._parser = cast("HttpResponseParser", None)  # it refers back to us

    def pause_writing(self) -> None:
        """The request is not all out."""
        self._writable = False

    def resume_writing(self) -> None:
        """The request is all out."""
        self._writable = True

    def expired(self, now_ns: int) -> None:
        """The answer is late, or the connection was idle for too long."""
        del now_ns
        if self.state == BUSY:
            late = UpstreamTimeout("no answer before the deadline", sent=True)
            self._fall(late, abort=True)
        elif self.state == CLOSED:
            self.abort()
        else:
            self.close()

    # ---- the end of a request ---------------------------------------------------------------

    def _finish(self) -> None:
        pool = self._pool
        done = cast("Done", self._done)
        self._done = None
        keep_alive = self._keep_alive and self._writable and not self._garbled
        body = self._body
        if not isinstance(body, bytes):
            body = bytes(body)
        response = Response(self._status, self._headers, body, keep_alive=keep_alive)
        now_ns = pool.now_ns()
        pool.round_trips.add(now_ns - self._sent_ns, now_ns)
        if not self._seen:
            self._seen = True
            self._idle_ns = min(self._idle_ns, _server_idle_ns(response.headers))
            pool.answered()
        if keep_alive:
            self._stay(now_ns)
        else:
            self.state = TAKEN
            self.close()
        self._tell(done, response, None)

    def _stay(self, now_ns: int) -> None:
        if self._method == b"HEAD":
            # the old one may be waiting for a body that HEAD never has
            self._parser = HttpResponseParser(self)
        self._reset()
        self.deadline_ns = now_ns + self._idle_ns
        if self.deadline_ns < self.filed_ns:
            self._pool.wheel.file(self)
        self._pool.returned(self)

    def _fall(self, error: UpstreamError, done: Done | None = None, *, abort: bool = False) -> None:
        """Close, take the connection out of use, and tell whoever waits."""
        if self.state != CLOSED:
            pool = self._pool
            now_ns = pool.now_ns()
            early = not self._seen and now_ns - self._sent_ns < _EARLY_NS
            pool.dropped(self, early=early and self.state != BUSY)
            self.state = CLOSED
            pool.wheel.limit(self, now_ns + CLOSING_NS)
            if abort:
                self._transport.abort()
            else:
                self._transport.close()
        if done is None:
            done, self._done = self._done, None
        if done is not None:
            self._tell(done, None, error)

    def _tell(self, done: Done, response: Response | None, error: UpstreamError | None) -> None:
        try:
            done(response, error)
        except Exception as fault:  # noqa: BLE001 - another's fault must not cost the connection
            self._report(fault)

    @staticmethod
    def _report(fault: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": "whoever waited for an answer failed", "exception": fault}
        )


def _server_idle_ns(headers: list[tuple[bytes, bytes]]) -> int:
    """How long the server says it keeps an idle connection, less a margin; NEVER if it does not
    say. RFC 2068 19.7.1, still in use."""
    for name, value in headers:
        if name != b"keep-alive":
            continue
        for part in value.split(b","):
            key, _, number = part.strip().partition(b"=")
            if key.lower() == b"timeout" and number.isdigit() and len(number) < 9:
                return max(int(number) * 1_000_000_000 - _KEEP_ALIVE_MARGIN_NS, 0)
    return NEVER
