"""What goes back to a bot: the handler's answers, and the refusals of what is no request.

After each the connection is ready for the next request, or on its way to its end. RFC 9112
sections 9.3 and 9.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.net.answers import LAST_RESORT
from proxy.net.bodies import body_of
from proxy.net.bot_socket import (
    BODY,
    CLOSING,
    DISCARDING,
    GONE,
    PIECE_BYTES,
    READY,
    BotSocket,
)
from proxy.net.framing import CLOSE, NONE, Malformed

if TYPE_CHECKING:
    from proxy.model import Reply, Request
    from proxy.net.server import Listener


class BotAnswers(BotSocket):
    """The half of a bot's connection that answers."""

    __slots__ = ("_connection", "_expects_continue", "_request", "_ticket")

    def __init__(self, listener: Listener[Any]) -> None:
        super().__init__(listener)
        self._request: Request | None = None
        self._connection = NONE  # the Connection line of the next answer
        self._expects_continue = False
        self._ticket: Any = None  # the handler's own

    def _answer(self, reply: Reply) -> bool:
        """Write `reply`, and be ready for the next request; False if the connection is to end."""
        listener = self._listener
        connection = self._connection
        if reply.close or listener.draining or self._eof:
            connection = CLOSE
        request, self._request = self._request, None
        method = request.method if request is not None else b""
        now_ns = listener.now_ns()
        wire = listener.answers.render(reply, connection, method, now_ns)
        if len(wire) <= PIECE_BYTES:
            self._transport.write(wire)
        else:
            self._write_large(wire)
        if connection is CLOSE:
            return False
        if not self._writable:
            self._next(now_ns)
        else:
            self._state = READY
            self.deadline_ns = now_ns = now_ns + listener.limits.idle_timeout_ns
            if now_ns < self.filed_ns:
                listener.wheel.file(self)
        return True

    def _part(self) -> None:
        """End the connection after the last answer."""
        if not self._reading:
            self._linger()
        else:
            self._close()

    def _turn_down(self, reply: Reply, end: int, body_bytes: int, here: int) -> int:
        """Answer on the head alone; read a small body over, close on a large one."""
        if 0 <= body_bytes <= here:
            if not self._answer(reply):
                self._part()
            return end + body_bytes
        listener = self._listener
        limits = listener.limits
        bot_waits = self._expects_continue and here == 0
        if bot_waits or body_bytes - here > limits.discard_bytes_max:
            # whether the body will follow, nobody can tell; or it is not worth reading
            self._connection = CLOSE
        if not self._answer(reply):
            self._linger()  # the bot may be sending still
        else:
            self._body = body_of(body_bytes, limits.discard_bytes_max, keep=False)
            self._state = DISCARDING
            listener.wheel.limit(self, listener.now_ns() + limits.body_timeout_ns)
        return end

    def _refuse(self, fault: Malformed) -> None:
        """Answer what is no request, and close."""
        if self._state in (CLOSING, GONE):
            return
        self._ticket = None
        if self._state == DISCARDING:
            self._linger()
            return
        self._connection = CLOSE
        try:
            reply = self._listener.handler.malformed(self._request, fault.status, fault.what)
            if not self._answer(reply):
                self._linger()
        except Exception as error:  # noqa: BLE001 - the bot is owed an end
            self._last_resort(error)

    def _broke(self, error: Exception) -> None:
        """A fault of ours, outside the request's coroutine."""
        self._report(error)
        if self._state in (READY, BODY):
            self._refuse(Malformed(500, "internal error"))
        elif self._state not in (CLOSING, GONE):
            self.abort()

    def _last_resort(self, error: Exception) -> None:
        self._report(error)
        self._transport.write(LAST_RESORT)
        self._linger()
