"""The exchange's limits, counted where its strict simulator counts: on arrival, in any window."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.bot import Answered, Bot
from tests.e2e.house import House, compact, house_in, milliseconds, placed, pretty
from tests.e2e.load import order_of
from tests.e2e.processes import eventually
from tests.e2e.wire import request_of, wire_to

pytestmark = [pytest.mark.e2e, pytest.mark.timed]

ORDER_PATH: Final = "/api/v5/trade/order"
BATCH_PATH: Final = "/api/v5/trade/batch-orders"
CANCEL_PATH: Final = "/api/v5/trade/cancel-order"
AMEND_PATH: Final = "/api/v5/trade/amend-order"
ALGO_PATH: Final = "/api/v5/trade/order-algo"
CAP: Final = 8  # of a sub-account, instead of 1000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    sections: dict[str, dict[str, Any]] = {
        "limits": {"max_wait": "2500ms"},
        "exchanges.okx.limits": {
            f"POST {ORDER_PATH}": "2/2s",
            f"POST {BATCH_PATH}": "20/10s",
            f"POST {ALGO_PATH}": "1/10s",
            "POST /api/v5/trade/close-position": "1/2s",
            "subaccount-orders": f"{CAP}/10s",
        },
    }
    with house_in(tmp_path_factory.mktemp("limits"), sections) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.simulator.control("DELETE", "faults")
    running.forget()
    return running


def place(bot: Bot, instrument: str, within_ms: int = 300, **changes: Any) -> Answered:
    """Place an order that is not worth waiting long for."""
    expires = str(int(time.time() * 1000) + within_ms)
    return bot.call(
        "POST", ORDER_PATH, order_of(instrument) | changes, headers={"expTime": expires}
    )


def batch(bot: Bot, *instruments: str) -> Answered:
    expires = str(int(time.time() * 1000) + 300)
    content = [order_of(instrument) for instrument in instruments]
    return bot.call("POST", BATCH_PATH, content, headers={"expTime": expires})


def algo(bot: Bot, instrument: str) -> Answered:
    content = {"instId": instrument, "tdMode": "cash", "side": "sell", "ordType": "conditional"}
    content |= {"sz": "100", "tpTriggerPx": "1", "tpOrdPx": "-1"}
    return bot.call("POST", ALGO_PATH, content)


# ---- what a request costs -------------------------------------------------------------------


def test_instruments_have_limits_of_their_own(house: House) -> None:
    bot = house.newcomer()
    for instrument in ("BTC-USDT", "ETH-USDT", "BTC-USDT-SWAP"):
        assert placed(place(bot, instrument))
        assert placed(place(bot, instrument))
    assert place(bot, "ETH-USDT").slug == "expired"
    assert placed(place(bot, "SOL-USDT"))


def test_keys_of_one_account_share_its_limits(house: House) -> None:
    assert placed(place(house.bot, "LTC-USDT"))
    assert placed(place(house.own_bot, "LTC-USDT"))
    assert place(house.bot, "LTC-USDT").slug == "expired"
    assert placed(place(house.newcomer(), "LTC-USDT"))


def test_demo_and_live_are_counted_apart(house: House) -> None:
    """The exchange refuses one of them, but each in its own window."""
    bot = house.newcomer()
    demo = {"x-simulated-trading": "1"}
    for _ in range(2):
        assert placed(place(bot, "ADA-USDT"))
    answer = bot.call("POST", ORDER_PATH, order_of("ADA-USDT"), headers=demo)
    assert (answer.code, answer.slug) == ("50101", "")
    assert milliseconds(answer, "limit") == 0


def test_a_batch_of_one_is_charged_as_a_single_order(house: House) -> None:
    bot = house.newcomer()
    assert placed(batch(bot, "BTC-USDT"))
    assert placed(place(bot, "BTC-USDT"))
    assert batch(bot, "BTC-USDT").slug == "expired"
    assert placed(batch(bot, "BTC-USDT", "BTC-USDT"))


def test_a_batch_is_charged_for_each_order_on_its_own_instrument(house: House) -> None:
    bot = house.newcomer()
    assert placed(batch(bot, *["BTC-USDT"] * 15, *["ETH-USDT"] * 4, "SOL-USDT"))
    assert batch(bot, *["BTC-USDT"] * 6).slug == "expired"
    assert placed(batch(bot, *["BTC-USDT"] * 5, *["ETH-USDT"] * 15))
    assert batch(bot, "BTC-USDT", "ETH-USDT").slug == "expired"
    assert placed(batch(bot, *["ETH-USDT"], *["SOL-USDT"] * 19))


def test_a_refused_batch_takes_no_slot_of_any_instrument(house: House) -> None:
    """All slots at one instant or none."""
    bot = house.newcomer()
    assert placed(batch(bot, *["BTC-USDT"] * 20))
    assert batch(bot, "BTC-USDT", *["ETH-USDT"] * 19).slug == "expired"
    assert placed(batch(bot, *["ETH-USDT"] * 20))


def test_options_are_counted_by_family(house: House) -> None:
    bot = house.newcomer()
    assert placed(place(bot, "BTC-USD-281229-40000-C", tdMode="cross", sz="1"))
    assert placed(place(bot, "BTC-USD-281229-60000-P", tdMode="cross", sz="1"))
    assert place(bot, "BTC-USD-281229-60000-C", tdMode="cross", sz="1").slug == "expired"
    assert placed(place(bot, "BTC-USD-SWAP"))
    assert set(house.simulator.breaches.values()) <= {0}


def test_the_cap_of_a_sub_account_counts_orders_of_every_instrument(house: House) -> None:
    bot = house.newcomer()
    for coin in ("BTC", "ETH", "SOL", "XRP"):
        for _ in range(CAP // 4):
            assert placed(place(bot, f"{coin}-USDT-SWAP"))
    answer = place(bot, "DOGE-USDT-SWAP")
    assert answer.slug == "expired", pretty(answer)
    assert "subaccount-orders" in answer.content["msg"]
    assert batch(bot, "DOGE-USDT-SWAP", "LTC-USDT-SWAP").slug == "expired"
    amend = {"instId": "DOGE-USDT-SWAP", "ordId": "1", "newSz": "2"}
    assert bot.call("POST", AMEND_PATH, amend).slug == "rate_limited"
    assert placed(place(bot, "BTC-USDT")), "spot is exempt"
    cancel = {"instId": "BTC-USDT-SWAP", "ordId": "1"}
    assert bot.call("POST", CANCEL_PATH, cancel).slug == "", "so are cancels"


# ---- waiting --------------------------------------------------------------------------------


def test_what_cannot_make_it_is_refused_at_once(house: House) -> None:
    bot = house.newcomer()
    assert placed(algo(bot, "BTC-USDT"))
    began = time.monotonic()
    answer = algo(bot, "BTC-USDT")
    assert time.monotonic() - began < 0.5
    assert (answer.status, answer.slug) == (429, "rate_limited")
    match = re.search(r"next slot in (\d+) ms", answer.content["msg"])
    assert match is not None
    assert 8_000 < int(match[1]) < 10_100
    assert 9 <= int(answer.headers["retry-after"]) <= 11


def test_what_can_make_it_waits(house: House) -> None:
    bot = house.newcomer()
    for _ in range(2):
        assert placed(place(bot, "BTC-USDT"))
    answer = bot.call("POST", ORDER_PATH, order_of("BTC-USDT"))
    assert placed(answer), pretty(answer)
    assert 1_000 < milliseconds(answer, "limit") < 2_400
    rejected = house.proxy.metric("tagproxy_limit_rejected_total", exchange="okx")
    assert rejected > 0
    assert house.proxy.metric("tagproxy_limit_wait_seconds_count", exchange="okx") > 0


def test_a_deadline_of_the_bots_ends_the_wait(house: House) -> None:
    bot = house.newcomer()
    for _ in range(2):
        assert placed(place(bot, "BTC-USDT"))
    began = time.monotonic()
    answer = place(bot, "BTC-USDT", within_ms=800)
    assert time.monotonic() - began < 0.3, "refused at once, not after the deadline"
    assert (answer.status, answer.code, answer.slug) == (200, "50037", "expired")
    assert placed(place(bot, "BTC-USDT", within_ms=5_000))


async def test_waiting_is_first_come_first_served_and_cancels_overtake(house: House) -> None:
    bot = house.newcomer()
    names = [f"fifo{number}" for number in range(4)]
    async with aiohttp.ClientSession() as session:
        running = []
        for number, name in enumerate(names):
            content = order_of("BTC-USDT") | {"clOrdId": name}
            running.append(asyncio.ensure_future(bot.send(session, "POST", ORDER_PATH, content)))
            if number < 2:
                await asyncio.wait(running)
            # a read that is answered shows that what was sent before it is in
            await bot.send(session, "GET", "/api/v5/account/config")
        cancel = {"instId": "BTC-USDT", "clOrdId": "fifo0"}
        cancelled = await bot.send(session, "POST", CANCEL_PATH, cancel)
        assert placed(cancelled), pretty(cancelled)
        assert not running[2].done()
        assert not running[3].done()
        answers = await asyncio.gather(*running)
    assert all(placed(answer) for answer in answers)
    assert [each["clOrdId"] for each in house.simulator.orders] == names


def test_a_bot_that_hangs_up_frees_its_place(house: House) -> None:
    """One slot in two seconds: behind a waiting order there is no place within `max_wait`."""
    path = "/api/v5/trade/close-position"
    body = compact({"instId": "BTC-USDT-SWAP", "mgnMode": "cross"})
    bot = house.newcomer()
    assert bot.call("POST", path, body).slug == ""
    with wire_to(bot) as wire:
        wire.send(request_of(bot, "POST", path, body))
        eventually("a place is taken", lambda: _refused(bot, path))
        wire.hang_up()
    answer = bot.call("POST", path, body)
    assert answer.slug == "", pretty(answer)
    assert len(house.received) == 2


def _refused(bot: Bot, path: str) -> bool:
    content = {"instId": "BTC-USDT-SWAP", "mgnMode": "cross", "at": time.monotonic()}
    answer = bot.call("POST", path, content)
    return answer.slug == "rate_limited"


# ---- when the exchange itself says no -------------------------------------------------------


@pytest.mark.parametrize(("code", "status"), [("50011", 429), ("50011", 200), ("50061", 200)])
def test_what_the_exchange_refused_for_rate_waits_again(
    house: House, code: str, status: int
) -> None:
    bot = house.newcomer()
    name = "tagproxy_exchange_rate_limited_total"
    before = house.proxy.metric(name, exchange="okx")
    house.simulator.fault("code", code=code, status=status, path=ORDER_PATH)
    answer = bot.call("POST", ORDER_PATH, order_of("ETH-USDT"))
    assert placed(answer), pretty(answer)
    assert len(house.received) == 2
    assert len(house.simulator.orders) == 1
    assert house.proxy.metric(name, exchange="okx") == before + 1


def test_the_exchanges_no_corrects_the_count_for_everybody(house: House) -> None:
    """The limit there is stricter than the table says: one refusal is enough to learn it."""
    bot = house.newcomer()
    house.simulator.control("POST", "limits", {f"POST {ORDER_PATH}": "1/2"})
    assert placed(place(bot, "XRP-USDT"))
    began = time.monotonic()
    answer = bot.call("POST", ORDER_PATH, order_of("XRP-USDT"))
    assert placed(answer), pretty(answer)
    assert time.monotonic() - began > 1.5
    assert sum(house.simulator.breaches.values()) == 1


def test_a_no_that_stays_goes_back_to_the_bot(house: House) -> None:
    bot = house.newcomer()
    house.simulator.fault("code", code="50011", status=429, path=ORDER_PATH, times=50)
    began = time.monotonic()
    answer = bot.call("POST", ORDER_PATH, order_of("DOGE-USDT"))
    assert (answer.status, answer.code) == (429, "50011"), pretty(answer)
    assert time.monotonic() - began < 8.5
    assert len(house.received) <= 5
    assert house.simulator.orders == []
