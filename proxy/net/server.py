"""The bots' port: accepts connections, bounds them, and lets them go at the end.

What one connection does stands in `bot.py`. The handler, handed in, decides about requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar, cast, final

from proxy.model import Request
from proxy.net.answers import Answers
from proxy.net.bot import BotConnection
from proxy.net.deadlines import Wheel
from proxy.net.framing import HeadReader
from proxy.net.proxied_port import Networks, ProxiedPort

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine
    from ipaddress import IPv4Address, IPv6Address

    from proxy.clock import Clock
    from proxy.model import Reply
    from proxy.net.bot_socket import BotSocket
    from proxy.net.proxied_port import Arrival

T = TypeVar("T")

# The transport and every byte received from the request's first on; True takes them over.
OnUpgrade: TypeAlias = Callable[[Request, asyncio.Transport, bytes], bool]

_BACKLOG: Final = 2048
_TURNED_AWAY_MAX: Final = 64  # connections over the limit that are being told so
_ABORT_S: Final = 1.0  # for the event loop to close what is cut off


class Handler(Protocol[T]):
    """What a listener needs to know about requests. `T` is the handler's own ticket."""

    def screen(self, request: Request) -> T | Reply:
        """Decide on the head alone: a ticket for `carry`, or the answer."""
        ...

    def carry(self, ticket: T) -> Coroutine[Any, None, Reply]:
        """Answer the request; its body is in by now. Driven by hand, see `tasks.Drive`."""
        ...

    def malformed(self, request: Request | None, status: int, what: str) -> Reply:
        """Word a fault of the HTTP itself (400, 408, 413, 417, 431, 500, 501 or 503)."""
        ...

    def failed(self, ticket: T, error: BaseException) -> Reply:
        """Word the answer to a request whose `carry` raised `error`."""
        ...

    def sent(self, ticket: T) -> bool:
        """Whether a byte of the request may have left, so that it can only be finished."""
        ...

    def gone(self, ticket: T) -> None:
        """Take note of a request that was taken back, never sent: the bot hung up and `BotGone`
        ended its `carry`."""
        ...


@final
@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The named maxima of a listener. Bytes; nanoseconds.

    They may be swapped while the listener runs. `head_timeout_ns` and `linger_timeout_ns` of the
    start stay in force for TLS handshakes and their ends.
    """

    body_bytes_max: int
    connections_max: int
    # held for all bots together: bodies, partial heads, what is queued, answers not taken
    buffered_bytes_max: int
    head_timeout_ns: int
    body_timeout_ns: int
    idle_timeout_ns: int
    write_timeout_ns: int
    head_bytes_max: int = 32 * 1024
    headers_max: int = 100
    queued_bytes_max: int = 64 * 1024  # of one bot, behind a request in flight
    discard_bytes_max: int = 64 * 1024  # refused body read over, to keep the connection
    linger_bytes_max: int = 8 * 1024 * 1024  # read over so that the bot can see why we close
    linger_timeout_ns: int = 2_000_000_000


@final
class Listener(Generic[T]):
    """One or more ports whose requests go to one handler."""

    def __init__(
        self,
        handler: Handler[T],
        limits: ServerLimits,
        clock: Clock,
        *,
        on_upgrade: OnUpgrade | None = None,
        wheel: Wheel | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.now_ns = clock.monotonic_ns
        self.on_upgrade = on_upgrade
        self.wheel = wheel if wheel is not None else Wheel(clock)
        self.reader = HeadReader()
        self.answers = Answers(clock)
        self.buffered_bytes = 0
        self.slow: dict[BotSocket, None] = {}  # do not take their answers, the slowest first
        self.draining = False
        self._servers: list[asyncio.Server] = []
        self._ports: list[ProxiedPort] = []
        self._arrivals: set[Arrival] = set()
        self._connections: set[BotConnection[T]] = set()
        self._turned_away: set[BotConnection[T]] = set()
        self._emptied: asyncio.Future[None] | None = None

    @property
    def connections(self) -> int:
        """How many bots are connected."""
        return len(self._connections)

    async def start(
        self,
        host: str,
        port: int,
        ssl_context: ssl.SSLContext | None = None,
        proxy_protocol: Networks | None = None,
    ) -> tuple[str, int]:
        """Listen, and return the host and port actually bound.

        `proxy_protocol`: connections begin with that header, and only peers in these networks
        may connect; () is everybody, None no such header. Raises OSError if the address cannot
        be had.
        """
        if proxy_protocol is not None:
            proxied = ProxiedPort(self, ssl_context, proxy_protocol)
            where = await proxied.open(host, port, _BACKLOG)
            self._ports.append(proxied)
            return where
        limits = self.limits
        with_tls = ssl_context is not None
        server = await asyncio.get_running_loop().create_server(
            self.connection,
            host,
            port,
            ssl=ssl_context,
            backlog=_BACKLOG,
            reuse_address=True,
            ssl_handshake_timeout=limits.head_timeout_ns / 1e9 if with_tls else None,
            ssl_shutdown_timeout=limits.linger_timeout_ns / 1e9 if with_tls else None,
        )
        self._servers.append(server)
        # uvloop gives a list where asyncio has a tuple: compiled code would insist on that
        bound = cast("Any", server).sockets[0].getsockname()
        return bound[0], bound[1]

    def stop_accepting(self) -> None:
        """Close the ports. Connections live on."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for port in self._ports:
            port.close()
        self._ports.clear()

    async def retire(self, timeout_s: float) -> None:
        """Stop accepting; each connection closes after its next answer. `drain` what is left
        after `timeout_s` seconds, within as many again.

        A bot whose connection were closed while it is idle could be sending just then.
        """
        self.stop_accepting()
        self.draining = True
        if not await self._empty(timeout_s):
            await self.drain(timeout_s)

    async def drain(self, timeout_s: float) -> None:
        """Let requests in flight finish, each connection closing after its answer; abort what
        is left after `timeout_s` seconds."""
        self.stop_accepting()
        self.draining = True
        for connection in list(self._connections):
            connection.drain()
        for arrival in list(self._arrivals):
            arrival.drain()
        if not await self._empty(timeout_s):
            for connection in self._connections | self._turned_away:
                connection.abort()
            for arrival in list(self._arrivals):
                arrival.abort()
            await self._empty(_ABORT_S)

    async def _empty(self, timeout_s: float) -> bool:
        if self._is_empty():
            return True
        if self._emptied is None:
            self._emptied = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait([self._emptied], timeout=timeout_s)
        return bool(done)

    def _is_empty(self) -> bool:
        return not (self._connections or self._turned_away or self._arrivals)

    # ---- for the connections ----------------------------------------------------------------

    def connection(self, source: IPv4Address | IPv6Address | None = None) -> BotConnection[T]:
        """Return the protocol of a new connection; None is from where its socket says."""
        return BotConnection(self, source)

    def expect(self, arrival: Arrival) -> bool:
        """Count a connection that has no protocol yet; False where there are too many."""
        expected = len(self._connections) + len(self._arrivals)
        if expected >= self.limits.connections_max + _TURNED_AWAY_MAX:
            return False
        self._arrivals.add(arrival)
        return True

    def arrived(self, arrival: Arrival) -> None:
        """Count a connection out of those that have no protocol yet."""
        self._arrivals.discard(arrival)
        self._tell_if_empty()

    def admit(self, connection: BotConnection[T]) -> bool:
        """Count a new connection; False where there are too many, or we are closing."""
        if self.draining or len(self._connections) >= self.limits.connections_max:
            if len(self._turned_away) >= _TURNED_AWAY_MAX:
                connection.abort()
            else:
                self._turned_away.add(connection)
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: BotSocket) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        self._turned_away.discard(connection)
        self._tell_if_empty()

    def shed(self) -> bool:
        """Cut bots off that do not take their answers, the slowest first, until no more bytes
        are held than may be; return whether that is so."""
        bytes_max = self.limits.buffered_bytes_max
        while self.buffered_bytes > bytes_max and self.slow:
            bot = next(iter(self.slow))
            bot.abort()
            bot.lighten()
        return self.buffered_bytes <= bytes_max

    def _tell_if_empty(self) -> None:
        if self._emptied is not None and self._is_empty():
            self._emptied.set_result(None)
            self._emptied = None
