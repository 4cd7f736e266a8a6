"""MEXC's and KuCoin's own limits, at their full length, in virtual time.

Requests draw on the pools that their rows name, of their user and of the address.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.exchanges.kucoin import EXCHANGE as KUCOIN
from proxy.exchanges.mexc import EXCHANGE as MEXC
from proxy.limits.limiter import Limiter
from tests.limits.memory_store import MemoryStore
from tests.limits.virtual import MS, ExchangeWindow, LoopClock, S, now_ns, until, user_pool, virtual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.exchanges.spec import Exchange
    from proxy.limits.history import Subject
    from proxy.limits.limiter import Ticket
    from proxy.model import Pool

JITTER: Final = 10 * MS
LEAST_WAY: Final = 8 * MS  # each way
ADDRESS: Final = ("exchange", "127.0.0.1", False)
ALICE: Final = ("exchange", "alice", False)
BOB: Final = ("exchange", "bob", False)

# Method and path of futures begin with the venue, as in the tables.
SPOT: Final = (
    *("POST /api/v1/hf/orders", "POST /api/v1/hf/orders", "GET /api/v1/hf/orders/active"),
    *("GET /api/v1/fills", "DELETE /api/v1/hf/orders", "DELETE /api/v1/hf/orders/cancelAll"),
)
MANAGEMENT: Final = (
    *("GET /api/v1/accounts", "GET /api/v1/accounts/ledgers", "GET /api/v1/user/api-key"),
    "futures GET /api/v1/transfer-list",
)
PUBLIC: Final = (
    *("GET /api/v1/market/stats", "futures GET /api/v1/ticker", "GET /api/v1/market/candles"),
)


def draws_of(exchange: Exchange) -> dict[str, list[tuple[Pool, int]]]:
    """What every row draws on, by venue (main's unnamed), method and path."""
    return {
        f"{row.venue} {row.method} {row.path}".removeprefix("main "): [
            (draw.pool, draw.weight) for draw in row.draws
        ]
        for row in exchange.endpoints
    }


@dataclass
class World:
    """A limiter over a store that outlives it, and what the exchange sees of each budget."""

    exchange: Exchange
    seed: int = 0
    late: float = 0.0  # the share of sends that are a quarter of a second late
    but: frozenset[str] = frozenset()  # pools left out
    store: MemoryStore = field(default_factory=MemoryStore)
    seen: dict[tuple[str, str], ExchangeWindow] = field(default_factory=dict)  # pool, subject
    least_ns: int = 0
    life: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.draws = draws_of(self.exchange)
        self.limiter = self._limiter(0)

    def crash(self) -> None:
        """Start another process; what is on its way arrives all the same."""
        self.life += 1
        self.limiter = self._limiter(now_ns())
        self.limiter.restore(self.store.rows, LoopClock().wall_ms())

    def _limiter(self, unknown_before_ns: int) -> Limiter:
        return Limiter(
            LoopClock(),
            jitter_ns=JITTER,
            waiting_max_per_account=10_000,
            unknown_before_ns=unknown_before_ns,
            store=self.store,
        )

    def charged(self, row: str) -> list[tuple[Pool, int]]:
        return [(pool, units) for pool, units in self.draws[row] if pool.name not in self.but]

    def ticket(self, user: Subject, row: str, priority: int) -> Ticket:
        draws = [
            (self.limiter.bucket(pool, ADDRESS if pool.shared else user, ""), units)
            for pool, units in self.charged(row)
        ]
        return self.limiter.ticket(user, priority, draws)

    def arrives(self, uid: str, row: str, at_ns: int) -> None:
        for pool, units in self.charged(row):
            key = (pool.name, "" if pool.shared else uid)
            window = self.seen.setdefault(key, ExchangeWindow(pool.count, pool.window_ns))
            window.arrivals.append((at_ns, units))

    async def send(self, user: Subject, uid: str, row: str, priority: int = 2) -> None:
        """Bring one request there; `uid` is whom the exchange counts it for."""
        life = self.life
        ticket = self.ticket(user, row, priority)
        await ticket.wait(now_ns() + 1000 * S)
        if life != self.life:
            return  # it waited in a process that is gone
        sent_ns = now_ns()
        ticket.sent(sent_ns)
        there_ns = LEAST_WAY + self.dice.randrange(4 * MS)
        if self.dice.random() < self.late:
            there_ns += 250 * MS
        self.arrives(uid, row, sent_ns + there_ns)
        await until(sent_ns + there_ns + LEAST_WAY + self.dice.randrange(4 * MS))
        if life == self.life:
            trip_ns = now_ns() - sent_ns
            ticket.answered(now_ns(), trip_ns - self.least_ns)
            self.least_ns = min(self.least_ns, trip_ns) if self.least_ns else trip_ns

    async def flood(
        self, user: Subject, uid: str, rows: Sequence[str], workers: int, until_ns: int
    ) -> None:
        """Keep so many requests under way."""

        async def work(turns: itertools.cycle[str]) -> None:
            while now_ns() < until_ns:
                await self.send(user, uid, next(turns))

        turns = itertools.cycle(rows)
        await asyncio.gather(*[work(turns) for _ in range(workers)])

    def kept(self) -> None:
        """Assert that no window held too much, wherever it began."""
        for name, window in self.seen.items():
            assert window.most_in_any_window() <= window.count, name
            assert window.most_in_windows_from_first() <= window.count, name
            for part in range(7):
                most = window.most_in_grid(part * window.window_ns // 7)
                assert most <= window.count, name

    def use(self, pool: str, uid: str, since_ns: int, until_ns: int) -> float:
        """What was used of a budget between two instants, by what the limit allows."""
        window = self.seen[pool, uid]
        spent = sum(units for at, units in window.arrivals if since_ns <= at < until_ns)
        return spent * window.window_ns / (window.count * (until_ns - since_ns))


async def part(*floods: object) -> None:
    await asyncio.gather(*floods)  # type: ignore[call-overload]


pytestmark = pytest.mark.timeout(120)  # much is computed, and coverage doubles it


@pytest.mark.parametrize("seed", range(3))
def test_kucoins_pools_of_thirty_seconds_are_used_and_kept(seed: int) -> None:
    """By calls of all weights over both hosts, some of them late. The edge's budget, which would
    let through less, is left out."""

    @virtual
    async def scenario() -> None:
        world = World(KUCOIN, seed, late=0.005, but=frozenset(("edge",)))
        start_ns, end_ns = now_ns(), now_ns() + 185 * S
        await part(
            world.flood(ALICE, "alice", SPOT, 80, end_ns),
            world.flood(ALICE, "alice", MANAGEMENT, 60, end_ns),
            world.flood(BOB, "bob", SPOT, 80, end_ns),
            world.flood(BOB, "bob", PUBLIC, 60, end_ns),
        )
        world.kept()
        for pool, uid in (("spot", "alice"), ("spot", "bob"), ("management", "alice")):
            assert world.use(pool, uid, start_ns, start_ns + 180 * S) >= 0.95, (pool, uid)
        assert world.use("public", "", start_ns, start_ns + 180 * S) >= 0.95

    scenario()


def test_the_edges_budget_is_shared_by_users_in_turn() -> None:
    @virtual
    async def scenario() -> None:
        world = World(KUCOIN, late=0.005)
        start_ns, end_ns = now_ns(), now_ns() + 65 * S
        await part(
            world.flood(ALICE, "alice", SPOT[:3], 120, end_ns),
            world.flood(BOB, "bob", SPOT[:3], 120, end_ns),
        )
        world.kept()
        assert world.use("edge", "", start_ns, start_ns + 60 * S) >= 0.95
        alice, bob = (len(world.seen["spot", uid].arrivals) for uid in ("alice", "bob"))
        assert abs(alice - bob) <= 500 + 120  # a window, and those that were under way

    scenario()


def test_kucoins_pools_hold_over_a_crash_and_over_two_keys_that_are_one_user() -> None:
    """Before the proxy knows that, each key has a budget of its own: it asks at the first call of
    a key, and so nothing has been spent."""

    @virtual
    async def scenario() -> None:
        world = World(KUCOIN, late=0.005, but=frozenset(("edge",)))
        key, again = ("exchange", "key one", False), ("exchange", "key two", False)
        start_ns = now_ns()
        for each in (key, again):
            world.limiter.unite(each, ALICE)
        running = asyncio.ensure_future(
            part(
                world.flood(key, "alice", SPOT, 60, start_ns + 150 * S),
                world.flood(again, "alice", SPOT, 60, start_ns + 150 * S),
            )
        )
        await until(start_ns + 70 * S)
        world.crash()
        for each in (key, again):
            world.limiter.unite(each, ALICE)
        second = asyncio.ensure_future(
            part(
                world.flood(key, "alice", SPOT, 60, start_ns + 200 * S),
                world.flood(again, "alice", SPOT, 60, start_ns + 200 * S),
            )
        )
        await second
        running.cancel()
        world.kept()
        assert world.use("spot", "alice", start_ns, start_ns + 60 * S) >= 0.95
        assert world.use("spot", "alice", start_ns + 110 * S, start_ns + 200 * S) >= 0.95

    scenario()


MEXC_ORDERS: Final = (
    *("POST /api/v3/order", "POST /api/v3/order", "DELETE /api/v3/order"),
    *("POST /api/v3/order", "DELETE /api/v3/openOrders"),
)


@pytest.mark.parametrize("seed", range(3))
def test_mexcs_budgets_are_used_and_kept(seed: int) -> None:
    """12 orders in a second and 500 units in ten seconds, each of the address and of the user."""

    @virtual
    async def scenario() -> None:
        world = World(MEXC, seed, late=0.005)
        start_ns, end_ns = now_ns(), now_ns() + 65 * S
        users = [("exchange", f"user{number}", False) for number in range(6)]
        await part(
            *(world.flood(user, user[1], MEXC_ORDERS, 20, end_ns) for user in users),
            *(world.flood(user, user[1], ["GET /api/v3/account"], 20, end_ns) for user in users),
            *(world.flood(user, user[1], ["GET /api/v3/depth"], 40, end_ns) for user in users),
        )
        world.kept()
        assert world.use("spot-orders per ip", "", start_ns, start_ns + 60 * S) >= 0.9
        for row in ("GET /api/v3/account", "GET /api/v3/depth"):
            assert world.use(row, "", start_ns, start_ns + 60 * S) >= 0.95, row
        counts = [
            len(world.seen["GET /api/v3/account per user", user[1]].arrivals) for user in users
        ]
        assert max(counts) - min(counts) <= 50, counts

    scenario()


def test_a_cancel_behind_a_hundred_of_mexcs_orders_takes_the_next_slot() -> None:
    @virtual
    async def scenario() -> None:
        world = World(MEXC)
        orders = [
            asyncio.ensure_future(world.send(ALICE, "alice", "POST /api/v3/order", 1))
            for _ in range(112)
        ]
        await until(now_ns() + 500 * MS)
        await world.send(ALICE, "alice", "DELETE /api/v3/order", 0)
        assert len(world.seen["spot-orders", "alice"].arrivals) <= 12 + 12
        await asyncio.gather(*orders)
        world.kept()

    scenario()


# ---- somebody else with the same key --------------------------------------------------------

COUNT: Final = 40
WINDOW: Final = 3 * S
WAY: Final = 15 * MS  # each way, always


class Told:
    """A fixed window, opened by the first request, that refuses what is over and tells how it
    stands."""

    def __init__(self) -> None:
        self.begin_ns = -WINDOW
        self.used = 0

    def arrives(self, at_ns: int) -> tuple[bool, int, int]:
        if at_ns >= self.begin_ns + WINDOW:
            self.begin_ns, self.used = at_ns, 0
        within = self.used < COUNT
        self.used += within
        return within, self.used, self.begin_ns + WINDOW - at_ns


class Sharing:
    """One key's pool at the exchange, used through the proxy and past it."""

    def __init__(self) -> None:
        self.limiter = Limiter(LoopClock(), jitter_ns=JITTER)
        self.bucket = self.limiter.bucket(user_pool(COUNT, WINDOW, "spot"), ALICE, "")
        self.exchange = Told()
        self.start_ns = now_ns()
        self.told: list[tuple[int, int]] = []  # when each answer came, when it was counted
        self.others_ns = -1  # when somebody else was counted last
        self.refused: list[tuple[int, int]] = []  # of ours: when it left, `others_ns`

    async def somebody(self, at_ms: int, count: int) -> None:
        """Use so many units at an instant."""
        await until(self.start_ns + at_ms * MS)
        for _ in range(count):
            if self.exchange.arrives(now_ns())[0]:
                self.others_ns = now_ns()

    async def bot(self, first_ms: int, pause_ms: int) -> None:
        """Send one request after another."""
        await until(self.start_ns + first_ms * MS)
        while now_ns() < self.start_ns + 10 * S:
            await self._send()
            await until(now_ns() + pause_ms * MS)

    async def _send(self) -> None:
        ticket = self.limiter.ticket("a", 1, [(self.bucket, 1)])
        await ticket.wait(now_ns() + 100 * S)
        sent_ns = now_ns()
        ticket.sent(sent_ns)
        await until(sent_ns + WAY)
        counted_ns = now_ns()
        within, used, reset_ns = self.exchange.arrives(counted_ns)
        if not within:
            self.refused.append((sent_ns, self.others_ns))
        await until(counted_ns + WAY)
        ticket.answered(now_ns(), 0)
        ticket.told("spot", used, reset_ns - 2 * WAY, now_ns(), 0)
        self.told.append((now_ns(), counted_ns))
        if not within:
            ticket.refused("spot", now_ns(), reset_ns)


@given(
    others=st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 30)), min_size=1, max_size=6),
    workers=st.integers(1, 25),
    pause_ms=st.integers(0, 120),
)
@settings(max_examples=60, deadline=None)
def test_what_somebody_else_used_is_left_to_him_once_an_answer_has_told(
    others: list[tuple[int, int]], workers: int, pause_ms: int
) -> None:
    """Whatever of ours leaves after that is within the limit, wherever the exchange's windows
    begin and however much of ours is on its way."""

    @virtual
    async def scenario() -> None:
        sharing = Sharing()
        await asyncio.gather(
            *(sharing.somebody(*other) for other in others),
            *(sharing.bot(2 * number, pause_ms) for number in range(workers)),
        )
        for sent_ns, others_ns in sharing.refused:
            known = [at_ns for at_ns, counted_ns in sharing.told if counted_ns > others_ns]
            assert min(known) >= sent_ns

    scenario()
