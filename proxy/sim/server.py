"""A simulated exchange as a server: aiohttp in front, one function that answers, trouble between.

    http://HOST:PORT/sim/…      its back door for tests, see `proxy.sim.control`
    http://HOST:PORT/…          the exchange; each venue has a port of its own

A request is counted after the injected delay on its way in, as at a real exchange's door.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from aiohttp import web

from proxy.clock import SystemClock
from proxy.sim import edge
from proxy.sim.answers import Answer, Refused
from proxy.sim.control import Control
from proxy.sim.door import Door
from proxy.sim.exchange import MAIN, Simulated
from proxy.sim.faults import Delay, Faults
from proxy.sim.recorded import Recorded
from proxy.sim.spoiled import Spoiler
from proxy.sim.windows import Budgets, Till

if TYPE_CHECKING:
    import ssl
    from collections import Counter
    from collections.abc import Callable

    from proxy.clock import Clock

REQUESTS_KEPT: Final = 50_000
_STOP_S: Final = 0.2
# What a real exchange's front door sets, and no bot has any use for.
_DRESSING: Final = {
    "Set-Cookie": "__cf_bm=simulated; path=/; HttpOnly; Secure",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "Alt-Svc": 'h3=":443"; ma=86400',
    "Cache-Control": "no-cache, no-store",
}

E_co = TypeVar("E_co", bound=Simulated, covariant=True)


class SimulatedExchange(Generic[E_co]):
    """A strict exchange. Everything it saw and holds can be read off its attributes."""

    def __init__(
        self,
        exchange: E_co,
        *,
        clock: Clock | None = None,
        keepalive_s: float = 75,
        on_order: Callable[[Recorded], None] | None = None,
    ) -> None:
        self.exchange = exchange
        self.clock: Clock = clock or SystemClock()
        self.clock_offset_ms = 0  # how far the exchange's clock is off
        self.budgets = Budgets()
        self.delay = Delay()
        self.faults = Faults()
        self.requests: deque[Recorded] = deque(maxlen=REQUESTS_KEPT)
        self.on_order = on_order  # called with every answered call that broker codes belong on
        self.addresses: dict[str, tuple[str, int]] = {}  # by venue, once it listens
        self._venues: dict[int, str] = {}  # by port
        self._numbers = itertools.count(1)
        self._busy: set[object] = set()
        self._control = Control(self)
        self._spoiler = Spoiler(exchange, self._answer)
        self.door = Door(self._handle)
        self._runner = web.ServerRunner(
            self.door,
            access_log=None,
            keepalive_timeout=keepalive_s,
            shutdown_timeout=_STOP_S,
            auto_decompress=False,
        )

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Return every order of every user, oldest first, each with its `uid`."""
        return self.exchange.orders

    @property
    def breaches(self) -> Counter[str]:
        """Return how often each bucket was overrun."""
        return self.budgets.breaches

    @property
    def address(self) -> tuple[str, int]:
        """Return the host and port of the main venue."""
        return self.addresses[MAIN]

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, ssl: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        """Listen, the main venue on `port` and the others on those after it (0: any free ones);
        return the main venue's address."""
        await self._runner.setup()
        for number, venue in enumerate(self.exchange.venues):
            known = set(self._runner.addresses)
            site = web.TCPSite(self._runner, host, port and port + number, ssl_context=ssl)
            await site.start()
            bound = next(each for each in self._runner.addresses if each not in known)
            self.addresses[venue] = bound[0], bound[1]
            self._venues[bound[1]] = venue
        return self.address

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        await self._runner.cleanup()

    def reset(self) -> None:
        """Forget orders, requests, counts, faults and delays; users, accounts and rows stay."""
        self.exchange.clear()
        self.budgets.clear()
        self.requests.clear()
        self.door.clear()
        self.faults.coming.clear()
        self.delay = Delay()
        self.clock_offset_ms = 0

    def add_row(self, line: str) -> None:
        """Serve one more endpoint, in the form of a line of the exchange's table."""
        self.exchange.add_row(line)

    def close_idle(self) -> int:
        """Close every connection that has no request under way; return how many."""
        idle = [each for each in self.door.connections if each not in self._busy]
        for connection in idle:
            connection.force_close()
            if connection.transport is not None:
                connection.transport.close()
        return len(idle)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._busy.add(request.protocol)
        try:
            received_ns = self.clock.monotonic_ns()
            body = await request.read()
            if request.path.startswith("/sim/"):
                self.door.at_the_back(request.protocol)
                return self._control.answer(request, body)
            return await self._exchange(request, body, received_ns)
        finally:
            self._busy.discard(request.protocol)

    async def _exchange(
        self, request: web.BaseRequest, body: bytes, received_ns: int
    ) -> web.StreamResponse:
        record = self._record(request, body, received_ns)
        delay_s = self.delay.next_s()
        if delay_s:
            await asyncio.sleep(delay_s)
        record.arrived_ns = self.clock.monotonic_ns()
        record.wall_ms = self.clock.wall_ms() + self.clock_offset_ms
        fault = self.faults.take(record.method, record.path, record.source, record.arrived_ns)
        if fault is None:
            return _respond(self._answer(record, record.wall_ms))
        self.door.source(record.source).banned += fault.kind in edge.BANS
        answer = await self._spoiler.answer(request, record, fault)
        return _respond(answer) if answer is not None else web.Response()

    def _record(self, request: web.BaseRequest, body: bytes, received_ns: int) -> Recorded:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername") or ("", 0)
        here = request.transport.get_extra_info("sockname") or ("", 0)
        record = Recorded(
            number=next(self._numbers),
            method=request.method,
            target=request.raw_path,
            headers=list(request.raw_headers),
            body=body,
            source=peer[0],
            source_port=peer[1],
            received_ns=received_ns,
            venue=self._venues.get(here[1], MAIN),
            port=here[1],
        )
        self.requests.append(record)
        self.door.source(record.source).requests += 1
        return record

    def _answer(self, record: Recorded, now_ms: int) -> Answer:
        till = Till(self.budgets, record.arrived_ns)
        try:
            answer = self.exchange.answer(record, now_ms, till)
        except Refused as refused:
            answer = refused.answer
        self.door.source(record.source).refused += till.refused
        record.answered(answer)
        if self.on_order is not None and self.exchange.is_order(record):
            self.on_order(record)
        return answer


def _respond(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        content_type=answer.content_type,
        headers={**_DRESSING, **answer.headers},
    )
