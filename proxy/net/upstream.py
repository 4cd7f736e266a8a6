"""Warm connections to one exchange host, opened ahead of need and retired before they go stale.

What one connection does stands in `connection.py`. A request takes a free one at once, or waits
in line; nobody behind it can take what came free for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, final

from aiolimiter import AsyncLimiter

from proxy.errors import UpstreamError
from proxy.net.connection import IDLE, TAKEN, Connection
from proxy.net.deadlines import NEVER, Deadline, Wheel
from proxy.net.dialing import CLOSING_NS, Dialer
from proxy.net.layouts import AnswerLayouts
from proxy.net.line import Line, Waiter
from proxy.net.round_trips import RoundTrips
from proxy.tasks import spawn

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine

    from proxy.clock import Clock

__all__ = ["Connection", "Pool"]

_SPARES_PER_SECOND: Final = 50
_RETRY_FIRST_NS: Final = 100_000_000
_RETRY_MAX_NS: Final = 10_000_000_000
_CLOSING_S: Final = CLOSING_NS / 1e9


@final
class _Retry(Deadline):
    """When to try again to have spare connections."""

    __slots__ = ("_pool", "wait_ns")

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self.wait_ns = 0  # the last wait; 0 while all is well

    def expired(self, now_ns: int) -> None:
        del now_ns
        self._pool.replenish()


@final
class Pool:
    """Connections to `host`:`port`, at most `connections_max`, `spare` of them free if possible.

    `idle_ns` is how long one may stay unused, `connect_timeout_ns` includes the TLS handshake.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ssl_context: ssl.SSLContext | None,
        clock: Clock,
        idle_ns: int,
        connect_timeout_ns: int,
        answer_bytes_max: int,
        local_address: str | None = None,
        connections_max: int = 256,
        spare: int = 2,
        wheel: Wheel | None = None,
    ) -> None:
        self.now_ns = clock.monotonic_ns
        self.wheel = wheel if wheel is not None else Wheel(clock)
        self.round_trips = RoundTrips()
        self.layouts = AnswerLayouts()
        self.idle_ns = idle_ns
        self.answer_bytes_max = answer_bytes_max
        self._dialer = Dialer(
            host,
            port,
            ssl_context=ssl_context,
            local_address=local_address,
            timeout_ns=connect_timeout_ns,
            now_ns=self.now_ns,
        )
        self._pace = AsyncLimiter(_SPARES_PER_SECOND, 1)
        self._connections_max = connections_max
        self._spare = spare
        self._everyone: set[Connection] = set()  # until the transport is gone
        self._open = 0  # not closed by either side, as far as we know
        self._attempts: set[asyncio.Task[None]] = set()
        self._connecting = 0  # attempts for the line or as spares
        self._connecting_fresh = 0  # attempts promised to one request
        self._free: list[Connection] = []  # the last in is the warmest
        self._line = Line(self._free, self.wheel)
        self._retry = _Retry(self)
        self._worked = False  # the last attempt
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None

    # ---- state ------------------------------------------------------------------------------

    @property
    def open(self) -> int:
        """How many connections are open."""
        return self._open

    @property
    def idle(self) -> int:
        """How many of them are free."""
        return len(self._free)

    @property
    def reachable(self) -> bool:
        """Whether a connection is open, or the last attempt at one worked."""
        return self._open > 0 or self._worked

    @property
    def least_rtt_ns(self) -> int:
        """The shortest round trip of the last 5 to 10 minutes, TCP's own handshakes included; 0
        before the first."""
        return self.round_trips.least_ns

    # ---- for requests -----------------------------------------------------------------------

    def take(self) -> Connection | None:
        """Return a free connection, the one used last, or None."""
        free = self._free
        if len(free) <= self._line.promised:
            return None
        connection = free.pop()
        connection.state = TAKEN
        if len(free) < self._spare:
            self.replenish()
        return connection

    async def ready(self, until_ns: int) -> None:
        """Wait in line until `take`, called at once, is likely to have a connection.

        Raises UpstreamTimeout at `until_ns`, and UpstreamError as soon as connecting fails.
        """
        if self._closed:
            raise UpstreamError("the pool is closed", sent=False)
        if len(self._free) > self._line.promised:
            return
        waiter = self._line.join(until_ns)
        self._open_for_waiters()
        await self._line.turn(waiter)

    async def fresh(self, until_ns: int) -> None:
        """Open a new connection, which `take`, called at once, then returns.

        Raises UpstreamTimeout at `until_ns`, and UpstreamError if connecting fails.
        """
        if self._closed:
            raise UpstreamError("the pool is closed", sent=False)
        waiter = Waiter()
        opened: list[Connection] = []
        self._connecting_fresh += 1
        if self._room() < 0:
            if len(self._free) <= self._line.promised:
                self._connecting_fresh -= 1
                raise UpstreamError("every connection is in use", sent=False)
            self._free[0].close()
        self.wheel.limit(waiter, until_ns)
        self._attempt(self._open_fresh(waiter, opened))
        try:
            await waiter.future
        finally:
            self.wheel.discard(waiter)
            for connection in opened:
                connection.give_back()

    # ---- for the owner ----------------------------------------------------------------------

    def start(self) -> None:
        """Open the spare connections, in the background."""
        self.replenish()

    async def retire(self, timeout_s: float) -> None:
        """Open nothing more and let requests in flight have their answers, each connection
        closing after it. Requests in line fail, unsent. `close` after `timeout_s` seconds."""
        self._shut()
        for connection in list(self._free):
            connection.close()
        if not await self._empty(timeout_s):
            await self.close()

    async def close(self) -> None:
        """Close every connection; requests in flight and in line fail."""
        self._shut()
        for connection in list(self._everyone):
            connection.close()
        if not await self._empty(_CLOSING_S):
            for connection in list(self._everyone):
                connection.abort()
            await self._empty(_CLOSING_S)

    def _shut(self) -> None:
        self._closed = True
        self.wheel.discard(self._retry)
        while self._line:
            self._line.fail_first(UpstreamError("the pool was closed", sent=False))
        for attempt in self._attempts:
            attempt.cancel()

    async def _empty(self, timeout_s: float) -> bool:
        if not self._everyone:
            return True
        if self._emptied is None:
            self._emptied = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait([self._emptied], timeout=timeout_s)
        return bool(done)

    # ---- for the connections ----------------------------------------------------------------

    def joined(self, connection: Connection) -> None:
        """Count a new connection in."""
        self._everyone.add(connection)
        self._open += 1

    def returned(self, connection: Connection) -> None:
        """Take a connection back that can be used again."""
        if self._closed:
            connection.close()
            return
        connection.state = IDLE
        self._free.append(connection)
        if self._line.waiters:
            self._line.wake()

    def dropped(self, connection: Connection, *, early: bool) -> None:
        """Count a connection out that is no longer to be used. `early`: the exchange closed it
        as soon as it was opened."""
        self._open -= 1
        if connection.state == IDLE:
            self._free.remove(connection)
        if early:
            self._back_off()
        if len(self._free) < self._spare or self._line:
            self.replenish()

    def left(self, connection: Connection) -> None:
        """Forget a connection whose transport is gone."""
        self._everyone.discard(connection)
        if self._emptied is not None and not self._everyone:
            self._emptied.set_result(None)
            self._emptied = None

    # ---- opening ----------------------------------------------------------------------------

    def replenish(self) -> None:
        """Open what is missing: a connection for each in line, and the spare ones."""
        if self._closed:
            return
        self._open_for_waiters()
        if self._retry.deadline_ns != NEVER:
            return
        missing = self._spare + len(self._line) - len(self._free) - self._connecting
        for _ in range(min(missing, self._room())):
            self._connect()

    def _open_for_waiters(self) -> None:
        missing = len(self._line) - self._connecting
        for _ in range(min(missing, self._room())):
            self._connect()

    def _room(self) -> int:
        taken = self._open + self._connecting + self._connecting_fresh
        return self._connections_max - taken

    def _connect(self) -> None:
        self._connecting += 1
        self._attempt(self._open_one())

    def _attempt(self, coroutine: Coroutine[Any, Any, None]) -> None:
        attempt = spawn(self._dialer.name, coroutine)
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)

    async def _open_one(self) -> None:
        try:
            if not self._line:
                await self._pace.acquire()  # a spare one can wait; a storm of handshakes would not
            connection = await self._dial()
        except UpstreamError as error:
            self._connecting -= 1
            if len(self._line) > self._connecting:
                # this attempt was for somebody in line: the first hears of it now
                self._line.fail_first(error)
                self._open_for_waiters()
            return
        except BaseException:
            self._connecting -= 1
            raise
        self._connecting -= 1
        self.returned(connection)

    async def _open_fresh(self, waiter: Waiter, opened: list[Connection]) -> None:
        try:
            connection = await self._dial()
        except UpstreamError as error:
            waiter.fail(error)
            return
        except BaseException:
            waiter.fail(UpstreamError("the pool was closed", sent=False))
            raise
        finally:
            self._connecting_fresh -= 1
        if waiter.future.done():
            self.returned(connection)
        else:
            opened.append(connection)
            waiter.future.set_result(None)

    async def _dial(self) -> Connection:
        try:
            connection, took_ns = await self._dialer.dial(lambda: Connection(self))
            connection.opened()
        except UpstreamError:
            self._worked = False
            self._back_off()
            raise
        self._worked = True
        # the first answers may all be slow; what counts as late is measured from this
        self.round_trips.add(took_ns, self.now_ns())
        return connection

    def answered(self) -> None:
        """A new connection brought its first answer: all is well."""
        self._retry.wait_ns = 0

    def _back_off(self) -> None:
        """Open spare connections only after a while, a longer one each time."""
        retry = self._retry
        if not self._closed and retry.deadline_ns == NEVER:
            retry.wait_ns = min(retry.wait_ns * 2 or _RETRY_FIRST_NS, _RETRY_MAX_NS)
            self.wheel.limit(retry, self.now_ns() + retry.wait_ns)
