"""More orders than the limits allow, with delay on the way: no window is overrun, none is wasted.

Windows are sliding and counted on arrival at the simulator.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.bot import Bot
from tests.e2e.conftest import StartProxy
from tests.e2e.harness import Proxy, Simulator
from tests.e2e.house import house_in
from tests.e2e.load import ORDER_PATH, Flood, lanes_at, order_of
from tests.e2e.processes import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(45)]

USE_MIN: Final = 0.95
INSTRUMENTS: Final = ("BTC-USDT", "ETH-USDT", "SOL-USDT-SWAP", "BTC-USDT-SWAP", "LTC-USDT")
COUNTED: Final = f"POST {ORDER_PATH}"


@pytest.mark.timed
@pytest.mark.parametrize(
    ("delay", "breaches_max"),
    [
        ({"fixed_ms": 15}, 0),
        ({"fixed_ms": 5, "late_ms": 250, "late_share": 0.005, "seed": 1}, 4),
    ],
)
async def test_a_flood_of_one_instrument(
    tmp_path: Path, delay: dict[str, float], breaches_max: int
) -> None:
    with house_in(tmp_path) as house:
        house.simulator.control("POST", "delay", delay)
        flood = Flood()
        await flood.run([(house.bot, order_of("BTC-USDT"))], seconds=8.2, workers=30)
        (lane,) = lanes_at(house.simulator, COUNTED).values()
        assert (lane.count, lane.span_ns) == (60, 2_000_000_000)
        seen = (lane.breaches, lane.use(), flood.answers)
        assert sum(house.simulator.breaches.values()) == lane.breaches <= breaches_max, seen
        assert lane.use() >= USE_MIN, seen
        assert set(flood.answers) <= {"ok", "rate_limited"}, seen
        assert flood.answers["ok"] == lane.accepted == len(house.simulator.orders)


@pytest.mark.timed
async def test_three_users_on_five_instruments_and_a_kill(
    simulator: Simulator, start_proxy: StartProxy
) -> None:
    """The time lost to the restart aside, the limit is used before and after it."""
    proxy = start_proxy(start=False)
    bots = [proxy.bot(proxy.add_user(f"user{number}", simulator.add_user())) for number in range(3)]
    proxy.start()
    simulator.control("POST", "delay", {"fixed_ms": 10})
    lanes = [(bot, order_of(instrument)) for bot in bots for instrument in INSTRUMENTS]
    flood = Flood()
    running = asyncio.ensure_future(flood.run(lanes, seconds=60, workers=6))
    await asyncio.sleep(4.5)
    killed_ns = time.monotonic_ns()
    await asyncio.to_thread(_restart, proxy)
    back_ns = time.monotonic_ns()
    flood.stop_at = time.monotonic() + 6.5  # the first two seconds nothing may be sent
    await running
    seen = lanes_at(simulator, COUNTED)
    assert len(seen) == len(lanes)
    assert simulator.breaches == {}
    for name, lane in seen.items():
        assert lane.breaches == 0
        assert lane.use(until_ns=killed_ns) >= USE_MIN, name
        assert lane.use(since_ns=back_ns) >= USE_MIN, name
    assert set(flood.answers) <= {"ok", "rate_limited", "cut", "replayed"}, flood.answers
    assert flood.answers["ok"] <= len(simulator.orders) <= sum(flood.answers.values())


def _restart(proxy: Proxy) -> None:
    proxy.kill()
    proxy.start()


# ---- what a stopped process leaves to the next ------------------------------------------------

LONG: Final = "/api/v5/trade/order-algo"
SHORT: Final = "/api/v5/trade/close-position"


def _limited(start_proxy: StartProxy, simulator: Simulator) -> tuple[Proxy, Bot]:
    limits = {f"POST {LONG}": "2/60s", f"POST {SHORT}": "2/8s", f"POST {ORDER_PATH}": "2/2s"}
    sections: dict[str, dict[str, Any]] = {
        "limits": {"max_wait": "0s"},
        "exchanges.okx.limits": limits,
    }
    proxy = start_proxy(sections, start=False)
    bot = proxy.bot(proxy.add_user("alice", simulator.add_user()))
    proxy.start()
    return proxy, bot


def _slugs(bot: Bot, path: str, *instruments: str) -> list[str]:
    contents = {
        LONG: {"tdMode": "cash", "side": "sell", "ordType": "trigger", "sz": "1"},
        SHORT: {"mgnMode": "cross"},
        ORDER_PATH: order_of("BTC-USDT"),
    }
    return [
        bot.call("POST", path, contents[path] | {"instId": instrument}).slug
        for instrument in instruments
    ]


def test_a_clean_stop_hands_its_counts_over(start_proxy: StartProxy, simulator: Simulator) -> None:
    proxy, bot = _limited(start_proxy, simulator)
    for path in (LONG, SHORT):
        assert _slugs(bot, path, "BTC-USDT", "BTC-USDT", "ETH-USDT") == ["", "", ""]
    assert proxy.stop() == 0
    proxy.start()
    for path in (LONG, SHORT):
        found = _slugs(bot, path, "BTC-USDT", "ETH-USDT", "ETH-USDT", "SOL-USDT")
        assert found == ["rate_limited", "", "rate_limited", ""], path
    assert _slugs(bot, ORDER_PATH, "BTC-USDT") == [""]


def test_after_a_crash_everything_short_counts_as_sent(
    start_proxy: StartProxy, simulator: Simulator
) -> None:
    proxy, bot = _limited(start_proxy, simulator)
    assert _slugs(bot, LONG, "BTC-USDT", "BTC-USDT") == ["", ""]
    proxy.kill()
    proxy.start()
    began = time.monotonic()
    assert _slugs(bot, ORDER_PATH, "XRP-USDT") == ["rate_limited"]
    eventually("there is a slot", lambda: _slugs(bot, ORDER_PATH, "XRP-USDT") == [""])
    assert time.monotonic() - began < 2.5
    assert _slugs(bot, LONG, "BTC-USDT", "BTC-USDT") == ["rate_limited", "rate_limited"]


def test_a_second_process_on_one_database_does_not_start(
    start_proxy: StartProxy, simulator: Simulator
) -> None:
    proxy, bot = _limited(start_proxy, simulator)
    second = proxy.run("serve")
    assert second.returncode == 1
    assert f"process {proxy.child.process.pid} " in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert _slugs(bot, ORDER_PATH, "BTC-USDT") == [""]
