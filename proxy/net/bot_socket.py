"""What a bot's connection is apart from the requests on it: its state, its limits, its end.

Flow control in both directions, the account of bytes held for the bot, and the two ways to close:
at once when the bot has said all, or lingering so that it can read why. RFC 9112 section 9.6.

A large answer goes to the transport piece by piece, as the bot takes it: what a TLS transport has
handed to its socket it counts no more, and one write of any size is handed over at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from proxy.net.deadlines import Deadline
from proxy.net.framing import Malformed

if TYPE_CHECKING:
    from proxy.net.bodies import ChunkedBody, SizedBody
    from proxy.net.server import Listener

# What the connection is doing.
READY: Final = 0  # waiting for a request, or for the rest of its head
BODY: Final = 1  # collecting a body
BUSY: Final = 2  # the handler works on a request
FLUSHING: Final = 3  # answers are out that the bot does not read
DISCARDING: Final = 4  # reading over the body of a request that is answered already
CLOSING: Final = 5  # all said: flushing, or letting the bot read why
GONE: Final = 6  # lost, or handed over

PIECE_BYTES: Final = 256 * 1024
_ALL_WRITTEN: Final = memoryview(b"")


class BotSocket(Deadline, asyncio.Protocol):
    """The half of a bot's connection that knows no request."""

    __slots__ = (
        "_body",
        "_eof",
        "_held",
        "_left",
        "_listener",
        "_queued",
        "_reading",
        "_state",
        "_transport",
        "_untaken",
        "_unwritten",
        "_writable",
    )

    def __init__(self, listener: Listener[Any]) -> None:
        super().__init__()
        self._listener = listener
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._state = READY
        self._queued = b""  # received, not worked off
        self._held = 0  # our part of listener.buffered_bytes
        self._body: SizedBody | ChunkedBody | None = None
        self._left = 0  # what a bot may still send while we close
        self._reading = True
        self._writable = True
        self._unwritten = _ALL_WRITTEN  # the rest of an answer
        self._untaken = 0  # bytes of answers that listener.buffered_bytes has
        self._eof = False

    def pause_writing(self) -> None:
        """The bot does not read: answer nothing more until it does, for a while."""
        self._writable = False
        self._weigh()
        if self._state == READY:
            self._next(self._listener.now_ns())

    def resume_writing(self) -> None:
        """The bot reads again."""
        self._writable = True
        if self._state == CLOSING:
            return
        if self._unwritten:
            self._write_on()
        if not self._writable:
            return
        self.lighten()
        if self._state == FLUSHING:
            if self._eof or (self._listener.draining and not self._queued):
                self._close()
                return
            self._next(self._listener.now_ns())
            if self._queued:
                self._resume()

    def lighten(self) -> None:
        """Count no more bytes of answers."""
        listener = self._listener
        listener.slow.pop(self, None)
        listener.buffered_bytes -= self._untaken
        self._untaken = 0

    def expired(self, now_ns: int) -> None:
        """The bot took too long."""
        if self._state == READY and self._queued:
            self._refuse(Malformed(408, "the request head took too long"))
        elif self._state == READY:
            self._close()
        elif self._state == BODY:
            self._refuse(Malformed(408, "the request body took too long"))
        elif self._state == DISCARDING:
            self._linger()
        else:
            self.abort()

    def drain(self) -> None:
        """Close if nothing is in flight; otherwise the next answer will."""
        if self._state == READY and not self._queued:
            self._close()
        elif self._state == DISCARDING:
            self._linger()

    def abort(self) -> None:
        """End the connection now, whatever is unsent."""
        self._transport.abort()

    def _resume(self) -> None:
        """Work off what is queued."""
        raise NotImplementedError

    def _refuse(self, fault: Malformed) -> None:
        """Answer what is no request, and close."""
        raise NotImplementedError

    def _write_large(self, data: bytes) -> None:
        """Write an answer as far as the bot takes it; the rest follows when it reads."""
        self._unwritten = memoryview(data)
        self._write_on()

    def _write_on(self) -> None:
        transport = self._transport
        while self._unwritten and self._writable and not transport.is_closing():
            piece = self._unwritten[:PIECE_BYTES]
            self._unwritten = self._unwritten[PIECE_BYTES:]
            transport.write(piece)

    def _weigh(self) -> None:
        """Count what the bot has not taken of its answers."""
        if self._transport.is_closing():
            return
        listener = self._listener
        size = len(self._unwritten) + self._transport.get_write_buffer_size()
        listener.buffered_bytes += size - self._untaken
        self._untaken = size
        listener.slow[self] = None
        if listener.buffered_bytes > listener.limits.buffered_bytes_max:
            listener.shed()

    def _keep(self, data: bytes) -> None:
        self._queued += data
        self._held += len(data)
        self._listener.buffered_bytes += len(data)

    def _queue(self, data: bytes) -> None:
        """Keep what came behind a request in flight; beyond a measure, read no more."""
        self._keep(data)
        listener = self._listener
        if self._reading and (
            len(self._queued) > listener.limits.queued_bytes_max
            or listener.buffered_bytes > listener.limits.buffered_bytes_max
        ):
            self._reading = False
            self._transport.pause_reading()

    def _read_over(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self.abort()

    def _report(self, error: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a bot's connection failed", "exception": error}
        )

    def _next(self, now_ns: int) -> None:
        """Be ready for the next request, once the bot reads its answers."""
        listener = self._listener
        if self._writable:
            self._state = READY
            self.deadline_ns = now_ns + listener.limits.idle_timeout_ns
        else:
            self._state = FLUSHING
            self.deadline_ns = now_ns + listener.limits.write_timeout_ns
        if self.deadline_ns < self.filed_ns:
            listener.wheel.file(self)

    def _close(self) -> None:
        """Close once everything is written, or after a while."""
        self._end(self._listener.limits.write_timeout_ns)
        self._transport.close()

    def _linger(self) -> None:
        """Close so that a bot which is sending still can read what we said: were its bytes left
        unread, the system would reset the connection."""
        limits = self._listener.limits
        self._end(limits.linger_timeout_ns)
        self._left = limits.linger_bytes_max
        if self._eof:
            self._transport.close()
            return
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _end(self, timeout_ns: int) -> None:
        self._state = CLOSING
        if self._unwritten:
            self._transport.write(self._unwritten)
            self._unwritten = _ALL_WRITTEN
        self._queued = b""
        self._body = None
        self._release()
        listener = self._listener
        listener.wheel.limit(self, listener.now_ns() + timeout_ns)

    def _let_go(self) -> None:
        listener = self._listener
        listener.forget(self)
        listener.wheel.discard(self)
        self.lighten()
        self._unwritten = _ALL_WRITTEN
        self._queued = b""
        self._body = None

    def _hold(self, size: int) -> None:
        """Count `size` bytes of body in all. Raises Malformed over the listener's maximum."""
        listener = self._listener
        listener.buffered_bytes += size - self._held
        self._held = size
        if listener.buffered_bytes > listener.limits.buffered_bytes_max and not listener.shed():
            raise Malformed(503, "too many bytes held for all bots together")

    def _release(self) -> None:
        """Count nothing but what is queued."""
        left = len(self._queued)
        if self._held != left:
            self._listener.buffered_bytes += left - self._held
            self._held = left
