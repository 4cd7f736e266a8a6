"""More calls to MEXC than its limits allow: no window there is overrun, none is wasted.

Windows are sliding, of the account, of the address or of both, and counted on arrival.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.bot import Caller
from tests.e2e.flooded import Flooded, flooded_in
from tests.e2e.harness import Proxy
from tests.e2e.load import Ask, Flood, Stranger, lanes_at
from tests.e2e.mexc_bot import FUTURES_ORDER, FUTURES_ORDER_PATH, ORDER_PATH, MexcBot, spot_query
from tests.e2e.processes import eventually
from tests.e2e.reloading import reload

pytestmark = [pytest.mark.e2e, pytest.mark.timed, pytest.mark.timeout(45)]

USE_MIN: Final = 0.95
USE_OF_SECONDS_MIN: Final = 0.9  # where a window is one second
ORDERS: Final = "spot-orders"
ACCOUNT: Final = "GET /api/v3/account"
DEPTH: Final = "GET /api/v3/depth"
CREATE: Final = f"POST {FUTURES_ORDER_PATH}"
POSITIONS: Final = "GET /api/v1/private/position/open_positions"
LIMITS: Final = {ACCOUNT: "100/2s", DEPTH: "60/2s"}  # of the address; the weights are 10 and 3
FINE: Final = {"ok", "rate_limited"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flooded]:
    sections: dict[str, dict[str, Any]] = {
        "limits": {"max_wait": "2500ms"},
        "exchanges.mexc": {"deadline": "20s"},
        "exchanges.mexc.limits": LIMITS,
    }
    with ExitStack() as stack:
        yield flooded_in(stack, tmp_path_factory.mktemp("mexc"), "mexc", sections, users=5)


@pytest.fixture
def place(running: Flooded) -> Flooded:
    running.begin(LIMITS)
    return running


# ---- what is asked --------------------------------------------------------------------------


def order(**changes: Any) -> tuple[str, str, Any]:
    return "POST", f"{ORDER_PATH}?{spot_query(**changes)}", None


def mixed_orders() -> Ask:
    """Orders one by one, now and then a batch, a cancel, and a cancel of everything."""
    turns = itertools.count()
    batch = "batchOrders=%5B" + "%2C".join([_ENCODED] * 2) + "%5D"
    others = {
        3: ("DELETE", f"{ORDER_PATH}?symbol=BTCUSDT&orderId=1"),
        7: ("POST", f"/api/v3/batchOrders?{batch}"),
        11: ("DELETE", "/api/v3/openOrders?symbol=BTCUSDT"),
    }

    def ask() -> tuple[str, str, Any]:
        method, target = others.get(next(turns) % 12, ("", ""))
        return (method, target, None) if method else order()

    return ask


_ENCODED: Final = (
    "%7B%22symbol%22%3A%22BTCUSDT%22%2C%22side%22%3A%22BUY%22%2C%22type%22%3A%22LIMIT%22%2C"
    "%22quantity%22%3A%220.001%22%2C%22price%22%3A%2240000%22%7D"
)


def reads(target: str) -> Ask:
    return lambda: ("GET", target, None)


def depths() -> Ask:
    """Never the same twice, so that none is another's answer."""
    numbers = itertools.cycle(range(1, 5001))
    return lambda: ("GET", f"/api/v3/depth?symbol=BTCUSDT&limit={next(numbers)}", None)


def futures_order() -> tuple[str, str, Any]:
    return "POST", FUTURES_ORDER_PATH, FUTURES_ORDER


# ---- 12 orders a second ---------------------------------------------------------------------


async def test_orders_batches_and_cancels_share_a_budget_of_whatever_subject(
    place: Flooded, tmp_path: Path
) -> None:
    """Three exchanges that count apart, each as its proxy is told; all at once, to save time."""
    with ExitStack() as stack:
        places = {"both": place}
        for subject in ("account", "address"):
            options = {"exchanges.mexc": {"order_subject": subject}}
            places[subject] = flooded_in(stack, tmp_path / subject, "mexc", options)
        for subject, place in places.items():
            place.simulator.control("POST", "accounts", {"uid": "*", "orders_subject": subject})
            place.simulator.control("POST", "delay", {"fixed_ms": 10})
        floods = {subject: Flood(pause_s=0.05) for subject in places}
        await asyncio.gather(
            *(
                floods[subject].rush(
                    [(bot, mixed_orders()) for bot in place.bots[:2]], seconds=5.2, workers=20
                )
                for subject, place in places.items()
            )
        )
        for subject, place in places.items():
            seen = lanes_at(place.simulator, ORDERS)
            answers = floods[subject].answers
            shown = subject, place.simulator.breaches, answers
            assert place.simulator.breaches == {}, shown
            assert set(answers) <= FINE | {"400 -2011"}, shown
            full = {
                "both": ["ip 127.0.0.1"],
                "account": ["uid 700001", "uid 700002"],
                "address": ["ip 127.0.0.1"],
            }[subject]
            for name in full:
                lane = seen[f"{ORDERS}#{name}"]
                assert (lane.count, lane.span_ns) == (12, 1_000_000_000)
                assert lane.use() >= USE_OF_SECONDS_MIN, (lane.use(), shown)
            users = [len(lane.arrivals) for name, lane in seen.items() if "uid" in name]
            if subject == "both":
                assert max(users) - min(users) <= 24, users  # they take turns


async def test_a_cancel_behind_a_hundred_orders_takes_the_next_slot(place: Flooded) -> None:
    bot = place.bots[0]
    reload(place.proxy, {"limits": {"max_wait": "12s"}})
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        wide = MexcBot(bot.base_url, bot.triple, recv_window="60000")
        orders = [asyncio.ensure_future(wide.send(session, *order())) for _ in range(112)]
        await asyncio.to_thread(
            eventually, "the first slots are taken", lambda: len(place.simulator.orders) == 12
        )
        # a read that is answered shows that what was sent before it is in
        await bot.send(session, "GET", "/api/v3/mxDeduct/enable")
        before = len(place.simulator.orders)
        cancelled = await bot.send(session, "DELETE", f"{ORDER_PATH}?symbol=BTCUSDT&orderId=1")
        assert cancelled.slug == "", cancelled.body
        arrived = [
            method
            for method, target in place.simulator.arrivals("method", "target")
            if target.startswith(ORDER_PATH)
        ]
        assert arrived.index("DELETE") == before == 12
        for task in orders:
            task.cancel()
        await asyncio.gather(*orders, return_exceptions=True)
    assert place.simulator.breaches == {}
    reload(place.proxy, {"limits": {"max_wait": "2500ms"}})


# ---- weights, and what belongs to the address -----------------------------------------------


async def test_users_and_strangers_draw_on_the_budgets_of_one_address(place: Flooded) -> None:
    """Signed reads, public ones and futures at once: budgets that have nothing in common."""
    place.simulator.control("POST", "delay", {"fixed_ms": 10})
    stranger = Stranger(place.proxy.url("mexc"))
    positions = reads("/api/v1/private/position/open_positions")
    lanes: dict[int, list[tuple[Caller, Ask]]] = {
        8: [(bot, positions) for bot in place.bots],
        4: [(bot, reads("/api/v3/account")) for bot in place.bots],
        2: [(bot, futures_order) for bot in place.bots],
    }
    flood = Flood(pause_s=0.1)
    await asyncio.gather(
        flood.rush([(stranger, depths())], seconds=6.3, workers=30),
        *(flood.rush(of, seconds=6.3, workers=workers) for workers, of in lanes.items()),
    )
    assert place.simulator.breaches == {}, flood.answers
    assert set(flood.answers) <= FINE, flood.answers
    for rule, limit in ((ACCOUNT, 100), (DEPTH, 60), (CREATE, 4), (POSITIONS, 20)):
        lane = place.only(rule, "ip")
        assert (lane.count, lane.span_ns) == (limit, 2_000_000_000)
        assert lane.share() >= USE_MIN, (rule, lane.share(), flood.answers)
    for rule in (ACCOUNT, CREATE, POSITIONS):
        lanes_seen = lanes_at(place.simulator, rule)
        counts = [lane.accepted for name, lane in lanes_seen.items() if "#uid" in name]
        assert len(counts) == len(place.bots)
        assert max(counts) - min(counts) <= place.only(rule, "ip").count, (rule, counts)


# ---- futures say it with HTTP 200 -------------------------------------------------------------


async def test_our_own_refusals_of_futures_are_told_as_theirs(place: Flooded) -> None:
    bot = place.bots[1]
    async with aiohttp.ClientSession() as session:
        answers = await asyncio.gather(*(bot.send(session, *futures_order()) for _ in range(14)))
    refused = [answer for answer in answers if answer.slug]
    assert 2 <= len(refused) <= 10
    for answer in refused:
        assert (answer.status, answer.code, answer.slug) == (200, "510", "rate_limited")
        assert answer.content["success"] is False
        assert "futures private/order/create" in answer.content["message"]
        assert "4/2s" in answer.content["message"]
        assert 1 <= int(answer.headers["retry-after"]) <= 7
    assert place.simulator.breaches == {}


def test_what_futures_refused_with_http_200_waits_again(place: Flooded) -> None:
    bot, name = place.bots[2], "tagproxy_exchange_rate_limited_total"
    path = "/api/v1/private/position/leverage"
    before = place.proxy.metric(name, exchange="mexc")
    place.simulator.fault("code", code="510", status=200, path=path)
    began = time.monotonic()
    answer = bot.call("GET", f"{path}?symbol=BTC_USDT")
    assert (answer.status, answer.code, answer.slug) == (200, "0", ""), answer.body
    assert time.monotonic() - began > 1.5  # the exchange's word corrects the count
    assert len(place.simulator.requests) == 2
    assert place.proxy.metric(name, exchange="mexc") == before + 1


# ---- restarts, reloads, keys of one user, lateness --------------------------------------------


async def test_a_flood_by_two_keys_of_one_user_through_a_kill_and_a_reload(place: Flooded) -> None:
    """Some arrive a quarter of a second late; the time lost to the restart aside, the limit is
    used before and after it. The last of this file: the proxy ends with the thread it was
    started in."""
    simulator, proxy = place.simulator, place.proxy
    late = {"fixed_ms": 5, "late_ms": 250, "late_share": 0.02, "seed": 3}
    simulator.control("POST", "delay", late)
    flood = Flood(pause_s=0.05)
    lanes: list[tuple[Caller, Ask]] = [(bot, order) for bot in (place.bots[0], place.second)]
    running = asyncio.ensure_future(flood.rush(lanes, seconds=60, workers=20))
    await asyncio.sleep(1.2)
    await asyncio.to_thread(reload, proxy, {"limits": {"max_wait": "2s"}})
    await asyncio.sleep(2.2)
    killed_ns = time.monotonic_ns()
    await asyncio.to_thread(_restart, proxy)
    back_ns = time.monotonic_ns()
    flood.stop_at = time.monotonic() + 4.2  # the first second nothing may be sent
    await running
    lane = place.only(ORDERS, "ip")
    uses = lane.use(until_ns=killed_ns), lane.use(since_ns=back_ns)
    assert simulator.breaches == {}, (uses, flood.answers)
    assert min(uses) >= USE_OF_SECONDS_MIN, (uses, flood.answers)
    assert set(lanes_at(simulator, ORDERS)) == {f"{ORDERS}#ip 127.0.0.1", f"{ORDERS}#uid 700001"}
    assert set(flood.answers) <= FINE | {"cut", "replayed", "not_ready"}, flood.answers


def _restart(proxy: Proxy) -> None:
    proxy.kill()
    proxy.start()
