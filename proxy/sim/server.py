"""The simulated OKX as a server: aiohttp in front, one function that answers, trouble between.

    http://HOST:PORT/api/v5/…   the exchange
    http://HOST:PORT/sim/…      its back door for tests, see `proxy.sim.control`

A request is counted after the injected delay on its way in, as at a real exchange's door.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import parse_qsl

from aiohttp import web

from proxy.clock import SystemClock
from proxy.sim import edge, gate, routes, table
from proxy.sim.answers import Answer, Refused
from proxy.sim.control import Control
from proxy.sim.costs import Meter
from proxy.sim.desk import Call, User, World
from proxy.sim.door import Door
from proxy.sim.faults import Delay, Faults
from proxy.sim.recorded import Recorded
from proxy.sim.spoiled import Spoiler
from proxy.sim.windows import Budgets

if TYPE_CHECKING:
    import ssl
    from collections import Counter
    from collections.abc import Callable, Iterable

    from proxy.clock import Clock

REQUESTS_KEPT: Final = 50_000
_STOP_S: Final = 0.2
# What the real exchange's front door sets, and no bot has any use for.
_DRESSING: Final = {
    "Set-Cookie": "__cf_bm=simulated; path=/; HttpOnly; Secure",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "Alt-Svc": 'h3=":443"; ma=86400',
    "Cache-Control": "no-cache, no-store",
}
_TOO_MANY: Final = {
    "50011": ("Too Many Requests", 429),
    "50061": ("You've reached the maximum order rate limit for this account.", 200),
}


@final
class SimulatedOkx:
    """A strict OKX on one port. Everything it saw and holds can be read off its attributes."""

    def __init__(
        self,
        users: Iterable[User] = (),
        *,
        clock: Clock | None = None,
        keepalive_s: float = 75,
        on_order: Callable[[Recorded], None] | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.clock_offset_ms = 0  # how far the exchange's clock is off
        self.world = World(list(users))
        self.table = table.load()
        self.budgets = Budgets()
        self.meter = Meter(self.world, self.table)
        self.delay = Delay()
        self.faults = Faults()
        self.requests: deque[Recorded] = deque(maxlen=REQUESTS_KEPT)
        self.on_order = on_order  # called with every answered call that carries broker codes
        self._paths = {row.path for row in self.table.values()}
        self._port = 0
        self._numbers = itertools.count(1)
        self._busy: set[object] = set()
        self._control = Control(self)
        self._spoiler = Spoiler(self._answer)
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
        return [
            order | {"uid": uid}
            for uid, desk in self.world.desks.items()
            for order in desk.orders.values()
        ]

    @property
    def breaches(self) -> Counter[str]:
        """Return how often each bucket was overrun."""
        return self.budgets.breaches

    @property
    def address(self) -> tuple[str, int]:
        """Return the host and port that are listened on."""
        bound = self._runner.addresses[0]
        return bound[0], bound[1]

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, ssl: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        """Listen; return the address that was bound."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=ssl)
        await site.start()
        self._port = self.address[1]
        return self.address

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        await self._runner.cleanup()

    def reset(self) -> None:
        """Forget orders, requests, counts, faults and delays; users, accounts and rows stay."""
        self.world.clear()
        self.budgets.clear()
        self.requests.clear()
        self.door.clear()
        self.faults.coming.clear()
        self.meter.overrides.clear()
        self.delay = Delay()
        self.clock_offset_ms = 0

    def add_row(self, line: str) -> None:
        """Serve one more endpoint, in the form of a line of `okx.toml`."""
        row = table.parse_row(line)
        self.table[row.name] = row
        self._paths.add(row.path)

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
        record = Recorded(
            number=next(self._numbers),
            method=request.method,
            target=request.raw_path,
            headers=list(request.raw_headers),
            body=body,
            source=peer[0],
            source_port=peer[1],
            received_ns=received_ns,
        )
        self.requests.append(record)
        self.door.source(record.source).requests += 1
        return record

    def _answer(self, record: Recorded, now_ms: int) -> Answer:
        try:
            answer = self._process(record, now_ms)
        except Refused as refused:
            if refused.code == gate.HTTP_FAULT:
                page = f"<html><body>{refused.status}: {refused.msg}</body></html>"
                answer = Answer(refused.status, refused.code, page, [])
            else:
                answer = refused.answer()
        record.status, record.code, record.answer = answer.status, answer.code, answer.body
        record.order_ids = tuple(_ids(answer.data))
        row = self.table.get(f"{record.method} {record.path}")
        if self.on_order is not None and row is not None and row.tag in ("body", "each-item"):
            self.on_order(record)
        return answer

    def _process(self, record: Recorded, now_ms: int) -> Answer:
        headers = gate.gathered(tuple(record.headers))
        gate.check_http(record.method, headers, record.body, self._port)
        row = self._row(record)
        user = self._caller(record, row, headers, now_ms)
        content = None if record.method == "GET" else gate.parse(headers, record.body)
        _, _, text = record.target.partition("?")
        query = dict(parse_qsl(text, keep_blank_values=True))
        costs = self.meter.costs(row, user, record.source, query, content)
        broken = self.budgets.charge(record.arrived_ns, costs)
        if broken is not None:
            self.door.source(record.source).refused += 1
            msg, status = _TOO_MANY[broken.error]
            raise Refused(broken.error, msg, status)
        gate.check_expiry(headers, row, now_ms)
        if user is not None:
            self.world.desk(user).run_timers(now_ms)
        return routes.perform(Call(self.world, row, user, query, content, now_ms))

    def _row(self, record: Recorded) -> table.Row:
        row = self.table.get(f"{record.method} {record.path}")
        if row is not None:
            return row
        if record.path in self._paths:
            raise Refused("50115", "Invalid request method.", 405)
        raise Refused("404", "Invalid request path", 404)

    def _caller(
        self, record: Recorded, row: table.Row, headers: gate.Headers, now_ms: int
    ) -> User | None:
        """A public read needs no key, but one that is there must be right."""
        signed = any(name.startswith("ok-access-") for name in headers)
        if row.permission == "public" and not signed and "authorization" not in headers:
            gate.is_demo(headers)
            return None
        user = gate.authenticate(
            self.world.users, record.method, record.target, headers, record.body, now_ms
        )
        record.uid = user.uid
        gate.authorise(user, row, record.source)
        gate.admit_broker(self.world.profile(user), row)
        return user


def _respond(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        content_type=answer.content_type,
        headers={**_DRESSING, **answer.headers},
    )


def _ids(data: list[Any]) -> Iterable[str]:
    for item in data:
        if isinstance(item, dict):
            for key in ("ordId", "algoId", "tradeId", "rfqId"):
                if isinstance(item.get(key), str) and item[key]:
                    yield item[key]
                    break
