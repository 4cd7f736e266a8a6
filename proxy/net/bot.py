"""One bot's connection: bytes in, requests to the handler one at a time, answers out in order.

The head is read by `layouts` or `framing`, a body that is not all here by `bodies`. Bytes behind
a request in flight wait, bounded. A bot that hangs up before its request was sent takes it back;
after that it only loses the answer. RFC 9112 section 9.
"""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, final

from proxy.errors import BotGone
from proxy.model import Reply, Request
from proxy.net.answers import CONTINUE
from proxy.net.bodies import body_of
from proxy.net.bot_answers import BotAnswers
from proxy.net.bot_socket import BODY, BUSY, CLOSING, DISCARDING, FLUSHING, GONE, READY
from proxy.net.deadlines import NEVER
from proxy.net.framing import NONE, Malformed, named, probe
from proxy.net.layouts import RequestLayouts
from proxy.net.proxy_protocol import unmapped
from proxy.tasks import Drive

if TYPE_CHECKING:
    from ipaddress import IPv6Address

    from proxy.net.server import Listener

T = TypeVar("T")

_HEAD_END: Final = b"\r\n\r\n"
_CR: Final = 13
_UNKNOWN_SOURCE: Final = IPv4Address(0)


@final
class BotConnection(BotAnswers, Generic[T]):
    """The protocol of one connection. `source` is known of one that was relayed to us."""

    __slots__ = ("_drive", "_expected", "_layouts", "_peer", "_source", "_started_ns", "_working")

    _listener: Listener[T]

    def __init__(
        self, listener: Listener[T], source: IPv4Address | IPv6Address | None = None
    ) -> None:
        super().__init__(listener)
        self._source: IPv4Address | IPv6Address = source or _UNKNOWN_SOURCE
        self._peer = ""  # the same as text
        self._started_ns = 0  # first byte of the present request
        self._drive: Drive[Reply] | None = None  # of the present request, or of the last one
        self._expected = 0  # the length of the body that is to come, or CHUNKED
        self._layouts = RequestLayouts()
        self._working = False

    # ---- called by the event loop -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where the bot is, and turn it away if there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        if self._source is _UNKNOWN_SOURCE:
            self._source = _source_of(transport)
        self._peer = str(self._source)
        listener = self._listener
        if listener.admit(self):
            listener.wheel.limit(self, listener.now_ns() + listener.limits.idle_timeout_ns)
        elif not transport.is_closing():
            self._refuse(Malformed(503, "too many connections"))

    def data_received(self, data: bytes) -> None:
        """Take bytes in."""
        try:
            state = self._state
            if state == READY:
                if self._queued:
                    data = self._queued + data
                    self._queued = b""
                    self._release()
                else:
                    self._started_ns = self._listener.now_ns()
                    layout = self._layouts.last
                    if layout is not None:
                        request = layout.read(data, self._source, self._started_ns, self._peer)
                        if request is not None:
                            self._request = request
                            self._connection = NONE
                            self._expects_continue = False
                            end = self._take(data, layout.size, layout.body_bytes)
                            if end == len(data):
                                return
                            data = data[end:]
            elif state == BODY and len(data) == self._expected and self._body is None:
                # clients like to send head and body one after the other
                self._begin_on(data)
                return
            self._work(data)
        except Malformed as fault:
            self._refuse(fault)
        except Exception as error:  # noqa: BLE001 - a request must never end the server
            self._broke(error)

    def eof_received(self) -> bool:
        """The bot sends no more. If it still waits for an answer the connection stays half open."""
        self._eof = True
        if self._state == BUSY:
            self._hung_up()
        elif self._state == FLUSHING:
            pass
        elif self._state != GONE:
            self._close()
        # under TLS nothing can stay half open
        return self._state in (BUSY, FLUSHING) and self._transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        state, self._state = self._state, GONE
        self._let_go()
        if state == BUSY:
            self._hung_up()
        else:
            self._drive = None  # it refers back to us
            self._release()

    def _hung_up(self) -> None:
        drive = self._drive
        if drive is not None and not self._listener.handler.sent(cast("T", self._ticket)):
            drive.drop()

    # ---- bytes in ---------------------------------------------------------------------------

    def _work(self, data: bytes) -> None:
        """Work `data` off until it is used up, or the rest has to wait."""
        at = 0
        self._working = True
        try:
            while at < len(data):
                state = self._state
                if state == READY:
                    at = self._head(data, at)
                elif state in (BODY, DISCARDING):
                    at = self._feed(data, at)
                elif state in (BUSY, FLUSHING):
                    self._queue(data[at:])
                    return
                elif state == CLOSING:
                    self._read_over(len(data) - at)
                    return
                else:
                    return
        finally:
            self._working = False

    def _resume(self) -> None:
        """Work off what was queued behind the last request."""
        data, self._queued = self._queued, b""
        self._release()
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        self.data_received(data)

    def _head(self, data: bytes, at: int) -> int:
        """Take a request's head off `data`, and its body if it is there; return what is used."""
        if data[at] == _CR:
            while data.startswith(b"\r\n", at):
                at += 2
            if at == len(data):
                return at
        end = data.find(_HEAD_END, at) + 4
        head_max = self._listener.limits.head_bytes_max
        if end < 4:
            if len(data) - at > head_max:
                raise Malformed(431, "the request head is too large")
            return self._await_head(data, at)
        if end - at > head_max:
            raise Malformed(431, "the request head is too large")
        return self._begin(data, at, end)

    def _await_head(self, data: bytes, at: int) -> int:
        head = data[at:]
        probe(head)
        listener = self._listener
        self._keep(head)
        if listener.buffered_bytes > listener.limits.buffered_bytes_max and not listener.shed():
            raise Malformed(503, "too many bytes held for all bots together")
        listener.wheel.limit(self, self._started_ns + listener.limits.head_timeout_ns)
        return len(data)

    def _begin(self, data: bytes, at: int, end: int) -> int:
        head = data[at:end]
        layout = self._layouts.of_size(end - at)
        if layout is not None:
            repeated = layout.read(head, self._source, self._started_ns, self._peer)
            if repeated is not None:
                self._request = repeated
                self._connection = NONE
                self._expects_continue = False
                return self._take(data, end, layout.body_bytes)
        self._request = None
        reader = self._listener.reader
        try:
            reader.read(head, self._listener.limits.headers_max)
        except Malformed:
            self._request = self._shown(head)
            raise
        if reader.plain:
            self._layouts.learn(head, reader.method, reader.target, reader.headers)
        self._connection = reader.connection
        self._expects_continue = reader.expects_continue
        self._request = request = Request(
            reader.method, reader.target, reader.headers, self._source, self._started_ns, self._peer
        )
        if reader.upgrade == b"websocket":
            return self._upgrade(request, data, at, reader.body_bytes)
        return self._take(data, end, reader.body_bytes)

    def _shown(self, head: bytes) -> Request | None:
        """What a malformed head says of its path: enough to refuse it in its exchange's shape."""
        found = named(head)
        if found is None:
            return None
        return Request(*found, {}, self._source, self._started_ns, self._peer)

    def _take(self, data: bytes, end: int, body_bytes: int) -> int:
        """Screen the request and start on it, or on its body; return what is used of `data`."""
        listener = self._listener
        request = self._request
        assert request is not None
        if body_bytes > listener.limits.body_bytes_max:
            raise Malformed(413, "the body is too large")
        ticket: Any = listener.handler.screen(request)
        here = len(data) - end
        if type(ticket) is Reply:
            return self._turn_down(ticket, end, body_bytes, here)
        self._ticket = ticket
        if 0 <= body_bytes <= here:
            if body_bytes:
                at = end
                end += body_bytes
                request.body = data[at:end]
                self._held = body_bytes  # nothing else is held: what was queued is in `data`
                listener.buffered_bytes += body_bytes
                if (
                    listener.buffered_bytes > listener.limits.buffered_bytes_max
                    and not listener.shed()
                ):
                    raise Malformed(503, "too many bytes held for all bots together")
            self._carry()
            return end
        if self._expects_continue and here == 0:
            self._transport.write(CONTINUE)
        self._expected = body_bytes
        self._state = BODY
        self.deadline_ns = deadline_ns = listener.now_ns() + listener.limits.body_timeout_ns
        if deadline_ns < self.filed_ns:
            listener.wheel.file(self)
        return end

    def _feed(self, data: bytes, at: int) -> int:
        body = self._body
        if body is None:
            body_bytes_max = self._listener.limits.body_bytes_max
            self._body = body = body_of(self._expected, body_bytes_max, keep=True)
        after = body.feed(data, at)
        self._hold(len(body.body))
        if after < 0:
            return len(data)
        self._body = None
        if self._state == DISCARDING:
            self._next(self._listener.now_ns())
        else:
            self._begin_on(bytes(body.body))
        return after

    def _begin_on(self, body: bytes) -> None:
        assert self._request is not None
        self._request.body = body
        self._hold(len(body))
        self._carry()

    def _upgrade(self, request: Request, data: bytes, at: int, body_bytes: int) -> int:
        if body_bytes or request.method != b"GET":
            raise Malformed(400, "an upgrade with a body")
        hook = self._listener.on_upgrade
        if hook is None or not hook(request, self._transport, data[at:]):
            raise Malformed(501, "no WebSocket is served here")
        self._state = GONE
        self._drive = None
        self._let_go()
        return len(data)

    # ---- the handler ------------------------------------------------------------------------

    def _carry(self) -> None:
        self._state = BUSY
        self.deadline_ns = NEVER
        carried = self._listener.handler.carry(self._ticket)
        drive = self._drive
        if drive is not None:
            drive.again(carried)
        else:
            self._drive = drive = Drive(carried, self._done)
            drive.start()

    def _done(self, reply: Reply | None, error: BaseException | None) -> None:
        ticket, self._ticket = self._ticket, None
        held = self._held
        if held:
            if self._queued:
                self._release()
            else:
                self._listener.buffered_bytes -= held
                self._held = 0
        if reply is None and isinstance(error, BotGone):
            self._taken_back(ticket)
            return
        if self._state != BUSY:
            self._drive = None  # it refers back to us
            return
        try:
            if reply is None:
                assert error is not None
                reply = self._listener.handler.failed(ticket, error)
            if not self._answer(reply):
                self._part()
        except Exception as fault:  # noqa: BLE001 - the bot is owed an answer, or an end
            self._broke(fault)
            return
        if self._queued and not self._working and self._state == READY:
            self._resume()

    def _taken_back(self, ticket: Any) -> None:
        self._drive = None  # it refers back to us
        try:
            self._listener.handler.gone(ticket)
        except Exception as fault:  # noqa: BLE001 - there is nobody left to answer
            self._report(fault)
        if self._state == BUSY:
            self._close()


def _source_of(transport: asyncio.BaseTransport) -> IPv4Address | IPv6Address:
    peer = transport.get_extra_info("peername")
    if not peer:
        return _UNKNOWN_SOURCE
    return unmapped(ip_address(peer[0]))
