"""More calls to KuCoin than its pools allow: no window there is overrun, none is wasted.

Its windows are fixed and open with a request, wherever that is; what breaks the rule "in any span
of that length" is counted as well. A pool's window is 30 s: here it is shortened on both sides.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.bot import Caller
from tests.e2e.flooded import Flooded, flooded_in
from tests.e2e.harness import Proxy
from tests.e2e.kucoin_bot import ORDER_PATH, KucoinBot, spot_order
from tests.e2e.load import Ask, Flood, Stranger, lanes_at, outcome
from tests.e2e.reloading import reload

pytestmark = [pytest.mark.e2e, pytest.mark.timed, pytest.mark.timeout(45)]

USE_MIN: Final = 0.95
LIMITS: Final = {
    "spot": "400/2s",
    "management": "400/2s",
    "public": "400/2s",
    "futures": "400/2s",
    "edge": "3000/2s",
}
WINDOW_NS: Final = 2_000_000_000
UNDER_WAY: Final = 30  # requests at a time
FINE: Final = {"ok", "rate_limited"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flooded]:
    sections: dict[str, dict[str, Any]] = {
        "limits": {"max_wait": "2500ms"},
        "exchanges.kucoin.limits": LIMITS,
    }
    with ExitStack() as stack:
        yield flooded_in(stack, tmp_path_factory.mktemp("kucoin"), "kucoin", sections)


@pytest.fixture
def place(running: Flooded) -> Flooded:
    running.begin(LIMITS)
    return running


# ---- what is asked --------------------------------------------------------------------------


def order() -> tuple[str, str, Any]:
    return "POST", ORDER_PATH, spot_order()


def mixed(*targets: str) -> Ask:
    """Ask for each in turn; "{n}" is never the same number twice, so that nothing is merged."""
    numbers = itertools.count()
    turns = itertools.cycle(targets)
    return lambda: ("GET", next(turns).replace("{n}", str(next(numbers))), None)


def spot() -> Ask:
    """Weights 1, 1, 2, 10, 1, once 30, and 1: what waits for 30 wastes up to 29."""
    turns = itertools.cycle([*range(6), *[0, 1, 2, 3, 4] * 3])
    others = {
        2: ("GET", "/api/v1/hf/orders/active?symbol=BTC-USDT"),
        3: ("GET", "/api/v1/fills"),
        4: ("DELETE", "/api/v1/hf/orders/client-order/none?symbol=BTC-USDT"),
        5: ("DELETE", "/api/v1/hf/orders/cancelAll"),
    }

    def ask() -> tuple[str, str, Any]:
        method, target = others.get(next(turns), ("", ""))
        return (method, target, None) if method else order()

    return ask


# ---- pools ----------------------------------------------------------------------------------


async def test_calls_of_any_weight_on_either_host_share_pools(place: Flooded) -> None:
    place.simulator.control("POST", "delay", {"fixed_ms": 10})
    alice, bob = place.bots
    futures = place.bot(alice.triple, "futures")
    lanes: list[tuple[Caller, Ask]] = [
        (alice, spot()),
        (place.second, spot()),
        (bob, spot()),
        (alice, mixed("/api/v1/accounts", "/api/v1/accounts/ledgers", "/api/v1/user/api-key")),
        (futures, mixed("/api/v1/transfer-list?page={n}")),
        (
            Stranger(place.proxy.url("kucoin")),
            mixed("/api/v1/market/stats?symbol=BTC-USDT&n={n}", "/api/v2/symbols?n={n}"),
        ),
        (Stranger(place.proxy.url("kucoin", "futures")), mixed("/api/v1/ticker?symbol={n}")),
    ]
    flood = Flood(pause_s=0.1)
    await flood.rush(lanes, seconds=6.4, workers=20)
    seen = [
        (rule, subject, place.only(rule, subject))
        for rule, subject in (
            ("spot", "700001"),
            ("spot", "700002"),
            ("management", "700001"),
            ("public", "127.0.0.1"),
        )
    ]
    shares = [(rule, subject, lane.share(), lane.accepted) for rule, subject, lane in seen]
    assert place.simulator.breaches == {}, (shares, flood.answers)
    for rule, subject, lane in seen:
        assert (lane.count, lane.span_ns) == (400, WINDOW_NS)
        assert lane.share() >= USE_MIN, (rule, subject, shares, flood.answers)


async def test_the_edges_budget_counts_every_call_of_the_address(place: Flooded) -> None:
    wide = dict.fromkeys(LIMITS, "3000/2s") | {"edge": "100/2s"}
    place.begin(wide)
    reload(place.proxy, {"exchanges.kucoin.limits": wide})
    place.simulator.control("POST", "delay", {"fixed_ms": 10})
    lanes: list[tuple[Caller, Ask]] = [
        *((bot, order) for bot in place.bots),
        (place.bots[0], mixed("/api/v1/hf/orders/active?symbol=BTC-USDT")),
        (place.bots[1], mixed("/api/v1/accounts")),
        (Stranger(place.proxy.url("kucoin", "futures")), mixed("/api/v1/ticker?symbol={n}")),
    ]
    flood = Flood(pause_s=0.1)
    await flood.rush(lanes, seconds=4.8, workers=25)
    lane = place.only("edge")
    reload(place.proxy, {"exchanges.kucoin.limits": LIMITS})
    assert place.simulator.breaches == {}, (lane.share(), flood.answers)
    assert lane.share() >= USE_MIN, (lane.share(), flood.answers)


# ---- somebody else with the same key --------------------------------------------------------


async def test_what_somebody_else_uses_of_a_pool_is_left_to_him(place: Flooded) -> None:
    """The same key, straight at the exchange, which tells with every answer what is left. Only
    what was under way when he came can be too much."""
    place.simulator.control("POST", "delay", {"fixed_ms": 10})
    other = KucoinBot(place.simulator.base_url, place.reals[0], partner="")
    flood, others = Flood(pause_s=0.05), Counter[str]()
    before = _refused(place.proxy)

    async def uses(session: aiohttp.ClientSession, count: int) -> None:
        answers = await asyncio.gather(*(other.send(session, *order()) for _ in range(count)))
        others.update(map(outcome, answers))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await uses(session, 250)
        lanes: list[tuple[Caller, Ask]] = [
            (place.bots[0], mixed("/api/v1/hf/fills?symbol=BTC-USDT"))  # of weight 2
        ]
        running = asyncio.ensure_future(flood.rush(lanes, seconds=5.2, workers=UNDER_WAY))
        while not running.done():
            await asyncio.sleep(0.1)
            await uses(session, 4)
        await running
    lane = place.only("spot", "700001")
    refused = _refused(place.proxy) - before
    shown = refused, lane.share(), flood.answers, others
    assert others["ok"] >= 250, shown
    assert refused <= UNDER_WAY * 3, shown  # once in each window
    assert lane.share() >= USE_MIN, shown
    assert set(flood.answers) <= FINE, shown


def _refused(proxy: Proxy) -> float:
    return proxy.metric("tagproxy_exchange_rate_limited_total", exchange="kucoin")


# ---- restarts, reloads, lateness --------------------------------------------------------------


async def test_a_flood_by_two_keys_of_one_user_through_a_kill_and_a_reload(place: Flooded) -> None:
    """Some arrive a quarter of a second late; the time lost to the restart aside, the limit is
    used before and after it. The last of this file: the proxy ends with the thread it was
    started in."""
    late = {"fixed_ms": 5, "late_ms": 250, "late_share": 0.005, "seed": 3}
    place.simulator.control("POST", "delay", late)
    flood = Flood(pause_s=0.05)
    lanes: list[tuple[Caller, Ask]] = [(bot, spot()) for bot in (place.bots[0], place.second)]
    running = asyncio.ensure_future(flood.rush(lanes, seconds=60, workers=25))
    await asyncio.sleep(2)
    await asyncio.to_thread(reload, place.proxy, {"limits": {"max_wait": "2s"}})
    await asyncio.sleep(2.2)
    killed_ns = time.monotonic_ns()
    await asyncio.to_thread(_restart, place.proxy)
    back_ns = time.monotonic_ns()
    flood.stop_at = time.monotonic() + 6.3  # the first two seconds nothing may be sent
    await running
    lane = place.only("spot", "700001")
    shares = lane.share(until_ns=killed_ns), lane.share(since_ns=back_ns)
    assert place.simulator.breaches == {}, (shares, flood.answers)
    assert min(shares) >= USE_MIN, (shares, flood.answers)
    assert set(lanes_at(place.simulator, "spot")) == {"spot 700001"}


def _restart(proxy: Proxy) -> None:
    proxy.kill()
    proxy.start()
