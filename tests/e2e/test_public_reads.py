"""Public reads: one request to the exchange for all who ask the same, within its limits."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.bot import Answered, Bot
from tests.e2e.house import House, house_in, placed
from tests.e2e.load import Burst
from tests.e2e.processes import eventually, fetch
from tests.e2e.reloading import reload
from tests.e2e.wire import request_of, wire_to

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(40)]

BOTS: Final = 40
PAIRS: Final = 48
CANDLES_PATH: Final = "/api/v5/market/candles"
CANDLES_MAX: Final = 40  # in 2 s, by address
TICKER_PATH: Final = "/api/v5/market/ticker"
BOOKS_PATH: Final = "/api/v5/market/books"
INSTRUMENTS: Final = "/api/v5/public/instruments?instType=SPOT"
MAX_WAIT_S: Final = 3.0
DEMO: Final = {"x-simulated-trading": "1"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("reads")
    rules = directory / "rules.toml"
    rules.write_text(_row("copy", '"400ms"'))
    sections: dict[str, dict[str, Any]] = {"exchanges.okx": {"rules": str(rules)}}
    with house_in(directory, sections) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.simulator.control("DELETE", "faults")
    running.forget()
    return running


def _row(key: str, value: str) -> str:
    """The order book's row, with one key more."""
    return f"""
[[endpoint]]
method = "GET"
path = "{BOOKS_PATH}"
action = "read"
permission = "public"
limit = "40/2s"
scope = "ip"
source = "the test"
checked = "2026-11-20"
confidence = "docs"
{key} = {value}
"""


def how(answer: Answered) -> str:
    return answer.headers.get("x-tagproxy-cache", "")


def arrived(house: House, path: str) -> int:
    """How many requests for this path reached the exchange."""
    return sum(target.startswith(path) for (target,) in house.simulator.arrivals("target"))


def unsigned(bot: Bot, target: str) -> bytes:
    """A public call as ccxt makes it without a key."""
    path = bot.base_url.partition("127.0.0.1")[2].partition("/")[2]
    return (
        f"GET /{path}{target} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "User-Agent: python-requests/2.32.5\r\nAccept-Encoding: gzip, deflate\r\n"
        "Accept: */*\r\nConnection: keep-alive\r\n\r\n"
    ).encode()


# ---- a fleet on one address -------------------------------------------------------------------


@pytest.mark.timed
@pytest.mark.parametrize("with_key", [True, False])
async def test_forty_bots_ask_for_candles_of_48_pairs(tmp_path: Path, with_key: bool) -> None:
    """More by far than the address may ask for; the limit is for all of them together."""
    assert PAIRS > CANDLES_MAX
    with house_in(tmp_path) as house:
        listed = house.bot.call("GET", INSTRUMENTS).content["data"][:PAIRS]
        targets = [f"{CANDLES_PATH}?instId={each['instId']}&bar=1m&limit=100" for each in listed]
        bots = [house.bot, house.own_bot] * (BOTS // 2)
        burst = Burst()
        await burst.run(
            house.bot,
            lambda: [
                request_of(bot, "GET", target) if with_key else unsigned(bot, target)
                for bot in bots
                for target in targets
            ],
        )
        statuses = Counter((answer.status, answer.slug) for answer in burst.answers)
        assert statuses == {(200, ""): BOTS * PAIRS}
        assert max(burst.seconds) < MAX_WAIT_S
        assert {answer.code for answer in burst.answers} == {"0"}
        assert house.simulator.breaches == {}
        sent = arrived(house, CANDLES_PATH)
        seen = Counter(how(answer) for answer in burst.answers)
        assert seen[""] == sent < 2 * PAIRS
        assert seen["merged"] + seen["hit"] == BOTS * PAIRS - sent
        name = "tagproxy_public_reads_total"
        assert house.proxy.metric(name, how="sent") == sent + 1
        assert house.proxy.metric(name, how="merged") == seen["merged"]
        assert house.proxy.metric(name, how="hit") == seen["hit"]


@pytest.mark.timed
async def test_a_bot_of_its_own_pace_trades_on_meanwhile(house: House) -> None:
    """Reads of all the others wait for slots that its orders do not need."""
    burst = Burst()
    flood = asyncio.ensure_future(
        burst.run(
            house.bot,
            lambda: [
                request_of(house.bot, "GET", f"{TICKER_PATH}?instId=BTC-USDT&x={number}")
                for number in range(40)
            ],
        )
    )
    trader = house.own_bot
    async with aiohttp.ClientSession() as session:
        while not flood.done():
            began = time.monotonic()
            cancel = {"instId": "BTC-USDT", "clOrdId": "none"}
            answer = await trader.send(session, "POST", "/api/v5/trade/cancel-order", cancel)
            assert answer.slug == ""
            assert time.monotonic() - began < 0.5
            await asyncio.sleep(0.05)
    await flood
    assert {answer.slug for answer in burst.answers} <= {"", "rate_limited"}
    assert house.simulator.breaches == {}


# ---- merged and copied ------------------------------------------------------------------------


async def ask_at_once(bot: Bot, *targets: str) -> list[Answered]:
    async with aiohttp.ClientSession() as session:
        return await asyncio.gather(*(bot.send(session, "GET", target) for target in targets))


async def test_reads_in_flight_become_one(house: House) -> None:
    house.simulator.fault("slow", delay_ms=400, path=TICKER_PATH)
    asked = [f"{TICKER_PATH}?instId=BTC-USDT"] * 5
    answers = await ask_at_once(house.bot, *asked, f"{TICKER_PATH}?instId=ETH-USDT")
    assert Counter(map(how, answers)) == {"": 2, "merged": 4}
    assert len({answer.body for answer in answers[:5]}) == 1
    assert len({answer.headers["x-request-id"] for answer in answers}) == 6
    assert arrived(house, TICKER_PATH) == 2


async def test_an_answer_that_came_is_no_copy_where_the_row_does_not_say_so(house: House) -> None:
    for _ in range(2):
        (answer,) = await ask_at_once(house.bot, f"{TICKER_PATH}?instId=BTC-USDT")
        assert how(answer) == ""
    assert arrived(house, TICKER_PATH) == 2


def test_a_copy_is_served_for_as_long_as_the_row_says(house: House) -> None:
    first = house.bot.call("GET", INSTRUMENTS)
    second = house.bot.call("GET", INSTRUMENTS)
    assert (how(first), how(second)) == ("", "hit")
    assert second.body == first.body
    assert second.headers["server-timing"].endswith("exchange;dur=0.000")
    eventually("the copy is too old", lambda: how(house.bot.call("GET", INSTRUMENTS)) == "", 3)
    assert arrived(house, "/api/v5/public/instruments") == 2


def test_an_operators_row_may_allow_copies(house: House) -> None:
    target = f"{BOOKS_PATH}?instId=BTC-USDT"
    assert [how(house.bot.call("GET", target)) for _ in range(3)] == ["", "hit", "hit"]
    eventually("the copy is too old", lambda: how(house.bot.call("GET", target)) == "", 2)


def test_a_copy_that_may_not_be_served_any_more_is_not(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(_row("copy", '"30s"'))
    with house_in(tmp_path, {"exchanges.okx": {"rules": str(rules)}}) as house:
        target = f"{BOOKS_PATH}?instId=BTC-USDT"
        assert [how(house.bot.call("GET", target)) for _ in range(2)] == ["", "hit"]
        rules.write_text(_row("items_max", "1"))
        reload(house.proxy)
        assert how(house.bot.call("GET", target)) == ""


def test_a_copy_of_one_market_is_none_of_the_other(house: House) -> None:
    target = f"{CANDLES_PATH}?instId=SOL-USDT"
    answers = [
        house.bot.call("GET", target),
        house.bot.call("GET", target, headers=DEMO),
        house.bot.call("GET", target),
        house.bot.call("GET", target, headers=DEMO),
    ]
    assert [how(answer) for answer in answers] == ["", "", "hit", "hit"]
    asked = [dict(map(tuple, each["headers"])) for each in house.received]
    assert [each.get("x-simulated-trading") for each in asked] == [None, "1"]


def test_a_copy_of_one_exchange_is_none_of_another(tmp_path: Path) -> None:
    with house_in(tmp_path) as house:
        okx = dict(house.proxy.sections["exchanges.okx"])
        reload(house.proxy, {"exchanges.okx-two": okx | {"broker_code": "another"}})
        base_url = house.bot.base_url
        target = f"{CANDLES_PATH}?instId=BTC-USDT"
        urls = [f"{base_url}{target}", f"{base_url}-two{target}"] * 2
        statuses = [fetch(url)[0] for url in urls]
        assert statuses == [200] * 4
        assert arrived(house, CANDLES_PATH) == 2


def test_nothing_of_a_bots_own_leaves_with_a_public_read(house: House) -> None:
    answer = house.bot.call(
        "GET",
        f"{TICKER_PATH}?instId=BTC-USDT",
        headers={
            "X-Tagproxy-Cache": "hit",
            "Cookie": "mine",
            "Accept-Language": "zh-CN",
            "Cache-Control": "no-cache",
        },
    )
    assert how(answer) == ""
    (request,) = house.received
    names = {name.lower() for name, _ in request["headers"]}
    assert names == {"host", "accept", "accept-encoding", "user-agent"}
    assert request["uid"] == ""


# ---- when it goes wrong -----------------------------------------------------------------------


async def test_whoever_asked_first_may_hang_up(house: House) -> None:
    house.simulator.fault("slow", delay_ms=600, path=TICKER_PATH)
    target = f"{TICKER_PATH}?instId=BTC-USDT"
    with wire_to(house.bot) as wire:
        wire.send(request_of(house.bot, "GET", target))
        await asyncio.to_thread(house.arrives)
        wire.hang_up()
    answers = await ask_at_once(house.bot, target, target, target)
    assert [(answer.status, how(answer)) for answer in answers] == [(200, "merged")] * 3
    assert arrived(house, TICKER_PATH) == 1


@pytest.mark.parametrize("kind", ["html", "truncated", "garbage", "reset"])
async def test_one_bad_answer_spoils_no_later_read(house: House, kind: str) -> None:
    """Whatever the exchange said goes to all who waited for it, and to nobody after them."""
    house.simulator.fault(kind, path=CANDLES_PATH)
    target = f"{CANDLES_PATH}?instId=ETH-USDT&after={time.time_ns() // 1_000_000}"
    answers = await ask_at_once(house.bot, *[target] * 4)
    expected = {502} if kind == "html" else {200}  # a read that was cut off is asked once more
    assert expected <= {answer.status for answer in answers} <= expected | {200}
    after = await asyncio.to_thread(house.bot.call, "GET", target)
    assert (after.status, after.code) == (200, "0")
    assert placed(await asyncio.to_thread(house.bot.order))


async def test_an_exchange_that_hangs_is_not_asked_by_each_in_turn(tmp_path: Path) -> None:
    with house_in(tmp_path, {"exchanges.okx": {"deadline": "1500ms"}}) as house:
        house.simulator.fault("hang", path=TICKER_PATH, times=50)
        target = f"{TICKER_PATH}?instId=BTC-USDT"
        answers = await ask_at_once(house.bot, *[target] * 20)
        assert {answer.slug for answer in answers} == {"upstream_unknown"}
        assert arrived(house, TICKER_PATH) == 1
