"""Whose limits an account's are: its exchange is asked once, and whoever is one user there has one
budget here. What the exchange tells of a user's own limits is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.bot import Answered, Bot, Triple
from tests.e2e.conftest import StartProxy
from tests.e2e.harness import Simulator
from tests.e2e.house import House, house_in, is_question, milliseconds, placed, pretty
from tests.e2e.load import ORDER_PATH, Flood, Lane, lanes_at, order_of
from tests.e2e.processes import eventually
from tests.e2e.reloading import reload

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(45)]

CONFIG: Final = "/api/v5/account/config"
CAP: Final = "/api/v5/trade/account-rate-limit"
ALGO: Final = "/api/v5/trade/order-algo"
BATCH: Final = "/api/v5/trade/batch-orders"
TICKER: Final = "/api/v5/market/ticker?instId=BTC-USDT"
DEMO: Final = {"x-simulated-trading": "1"}
USE_MIN: Final = 0.95
FLOOD_S: Final = 3.2
COUNTED: Final = f"POST {ORDER_PATH}"
# a flood ends this long after its last order
SECTIONS: Final[dict[str, dict[str, Any]]] = {"limits": {"max_wait": "1500ms"}}
SWAPS: Final = tuple(f"{coin}-USDT-SWAP" for coin in ("BTC", "ETH", "SOL", "XRP", "DOGE"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("identity"), SECTIONS) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


def asked(simulator: Simulator, path: str = CONFIG) -> list[dict[str, Any]]:
    """What the proxy itself asked the exchange at `path`."""
    requests = simulator.requests
    return [each for each in requests if is_question(each) and each["target"].startswith(path)]


def known(simulator: Simulator, count: int = 1) -> None:
    """Wait until so many accounts' limits were asked for: it is done last."""

    def told() -> bool:
        statuses = [each["status"] for each in asked(simulator, CAP)]
        return statuses.count(200) == count

    eventually(f"all is known of {count} accounts", told)


def header(request: dict[str, Any], name: str) -> str:
    named: dict[str, str] = {key.lower(): value for key, value in request["headers"]}
    return named.get(name, "")


def two_keys(house: House, uid: str, **fields: Any) -> tuple[Bot, Bot]:
    """Add two accounts whose keys are one user's."""
    return house.newcomer(uid=uid, **fields), house.newcomer(uid=uid, **fields)


def algo(bot: Bot) -> str:
    content = {"instId": "BTC-USDT", "tdMode": "cash", "side": "sell", "ordType": "trigger"}
    return bot.call("POST", ALGO, content | {"sz": "1"}).slug


def only(lanes: dict[str, Lane]) -> Lane:
    (lane,) = lanes.values()
    return lane


# ---- when it is asked -----------------------------------------------------------------------


def test_the_exchange_is_asked_once_before_the_first_private_request(house: House) -> None:
    bot = house.newcomer()
    assert placed(bot.call("GET", TICKER))
    assert asked(house.simulator) == [], "public calls need no identity"
    assert placed(bot.order())
    assert placed(bot.order())
    known(house.simulator)
    paths = [each["target"].partition("?")[0] for each in house.simulator.requests]
    assert paths.count(CONFIG) == paths.count(CAP) == 1
    assert paths.index(CONFIG) < paths.index(ORDER_PATH)


@pytest.mark.parametrize(("demo", "flag"), [(False, ""), (True, "1")])
def test_it_is_asked_of_the_market_that_the_request_is_for(
    house: House, demo: bool, flag: str
) -> None:
    bot = house.newcomer(demo=demo)
    answer = bot.call("POST", ORDER_PATH, order_of("BTC-USDT"), headers=DEMO if demo else {})
    assert placed(answer), pretty(answer)
    known(house.simulator)
    questions = [each for each in house.simulator.requests if is_question(each)]
    assert {header(each, "x-simulated-trading") for each in questions} == {flag}
    assert {each["code"] for each in questions} == {"0"}


async def test_many_first_requests_at_once_ask_once(house: House) -> None:
    bot = house.newcomer()
    house.simulator.fault("slow", delay_ms=300, path=CONFIG)
    calls = (asyncio.to_thread(bot.order) for _ in range(5))
    answers = await asyncio.gather(*calls)
    assert all(placed(answer) for answer in answers)
    assert len(asked(house.simulator)) == 1
    first = house.simulator.requests[0]
    assert first["target"] == CONFIG
    assert all(milliseconds(answer, "exchange") >= 200 for answer in answers)


# ---- one user, one budget -------------------------------------------------------------------


@pytest.mark.timed
async def test_two_keys_of_one_user_share_every_budget(tmp_path: Path) -> None:
    """From the first order on, and also after a restart, when there is nobody to ask."""
    with house_in(tmp_path, SECTIONS) as house:
        bots = await asyncio.to_thread(two_keys, house, "700001")
        lanes = [(bot, order_of("BTC-USDT")) for bot in bots]
        flood = Flood()
        await flood.run(lanes, seconds=FLOOD_S, workers=15)
        seen = only(lanes_at(house.simulator, COUNTED))
        assert house.simulator.breaches == {}, flood.answers
        assert seen.use() >= USE_MIN, seen.use()
        assert set(flood.answers) <= {"ok", "rate_limited"}, flood.answers

        assert house.proxy.stop() == 0
        await asyncio.to_thread(house.proxy.start)
        house.forget()
        house.simulator.fault("hang", path=CONFIG, times=100)
        began = time.monotonic()
        answer = await asyncio.to_thread(bots[0].order, instId="ETH-USDT")
        assert placed(answer), pretty(answer)
        assert time.monotonic() - began < 0.7, "its uid is stored: nobody waits for an answer"
        again = Flood()
        await again.run(lanes, seconds=2.2, workers=15)
        seen = lanes_at(house.simulator, COUNTED)[f"{COUNTED}#0 700001 BTC-USDT"]
        assert house.simulator.breaches == {}, again.answers
        assert seen.use() >= USE_MIN, seen.use()


@pytest.mark.timed
def test_the_live_and_the_demo_market_count_apart(house: House) -> None:
    """A budget of one is none of the other's, whoever's they are."""
    live, demo = house.newcomer(uid="700002"), house.newcomer(uid="700002", demo=True)
    began = time.monotonic()
    for _ in range(60):
        assert placed(live.order())
    for _ in range(60):
        content = order_of("BTC-USDT")
        assert placed(demo.call("POST", ORDER_PATH, content, headers=DEMO))
    assert time.monotonic() - began < 1.9, "nobody waited"
    assert house.simulator.breaches == {}


# ---- no answer ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields", "least_s", "most_s"),
    [
        ("hang", {}, 0.9, 2.0),
        ("html", {}, 0, 0.8),
        ("code", {"code": "50001", "status": 503}, 0, 0.8),
        ("drop", {"times": 4}, 0, 0.8),
    ],
)
def test_without_an_answer_the_order_goes_on(
    house: House, kind: str, fields: dict[str, Any], least_s: float, most_s: float
) -> None:
    bot = house.newcomer()
    house.simulator.fault(kind, path=CONFIG, **fields)
    began = time.monotonic()
    answer = bot.order()
    took_s = time.monotonic() - began
    assert placed(answer), pretty(answer)
    assert least_s <= took_s < most_s
    assert asked(house.simulator)
    began = time.monotonic()
    assert placed(bot.order()), "the next does not ask, or wait, again"
    assert time.monotonic() - began < 0.5


def test_it_is_asked_again_and_then_what_was_sent_counts_together(
    simulator: Simulator, start_proxy: StartProxy
) -> None:
    """Each key alone stayed within the limit, and so do both after that."""
    limits = {"limits": {"max_wait": "0s"}, "exchanges.okx.limits": {f"POST {ALGO}": "10/60s"}}
    simulator.control("POST", "limits", {f"POST {ALGO}": "10/60"})
    proxy = start_proxy(limits, start=False)
    bots = [
        proxy.bot(proxy.add_user(name, simulator.add_user(uid="700003"))) for name in ("ann", "ben")
    ]
    proxy.start()
    simulator.fault("html", path=CONFIG, times=2)
    began = time.monotonic()
    for bot in bots:
        assert [algo(bot) for _ in range(3)] == ["", "", ""]
    assert len(asked(simulator)) == 2

    eventually("a while goes by", lambda: time.monotonic() - began > 4)
    assert algo(bots[0]) == ""
    assert len(asked(simulator)) == 2, "neither at once nor soon"
    eventually("another second goes by", lambda: time.monotonic() - began > 6)
    for bot in bots:
        assert placed(bot.call("GET", "/api/v5/account/balance"))
    assert [each["code"] for each in asked(simulator)[2:]] == ["0", "0"]
    slugs = [algo(bot) for _ in range(3) for bot in bots]
    assert slugs == [""] * 3 + ["rate_limited"] * 3
    assert simulator.breaches == {}


# ---- limits of a user's own -----------------------------------------------------------------


def ready(house: House, **fields: Any) -> Bot:
    """Add an account of which the proxy knows all that the exchange tells."""
    bot = house.newcomer(**fields)
    assert placed(bot.call("GET", "/api/v5/account/balance"))
    known(house.simulator)
    return bot


async def batches(bot: Bot) -> list[Answered]:
    """Send 1500 orders at once, as many for each of five swaps as it takes."""
    calls = []
    for instrument in SWAPS:
        for _ in range(15):
            content = [order_of(instrument) | {"px": str(1 + n)} for n in range(20)]
            calls.append(asyncio.to_thread(bot.call, "POST", BATCH, content))
    return await asyncio.gather(*calls)


@pytest.mark.timed
@pytest.mark.parametrize("cap", [1500, 800])
async def test_the_cap_on_a_sub_accounts_orders_is_the_exchanges_own_word(
    house: House, cap: int
) -> None:
    bot = await asyncio.to_thread(ready, house, acc_rate_limit=cap)
    answers = await batches(bot)
    refused = [answer for answer in answers if not placed(answer)]
    assert (1500 - cap) // 20 == len(refused), [pretty(answer) for answer in refused]
    for answer in refused:
        assert answer.slug == "rate_limited"
        assert f"your account, subaccount-orders {cap}/2s" in answer.content["msg"]
    assert house.simulator.breaches == {}
    assert len(house.simulator.orders) == cap


@pytest.mark.timed
async def test_lead_traders_keep_to_their_lead_instruments_limits(house: House) -> None:
    """From the first order on, over a reload, and only on those."""
    lead = "BTC-USDT-SWAP"
    bot = await asyncio.to_thread(house.newcomer, role="1", lead_instruments=[lead])
    flood = Flood(pause_s=0.02)
    lanes = [(bot, order_of(lead)), (bot, order_of("ETH-USDT-SWAP"))]
    run = asyncio.ensure_future(flood.run(lanes, seconds=FLOOD_S, workers=15))
    await asyncio.sleep(FLOOD_S / 2)
    await asyncio.to_thread(reload, house.proxy)
    await run
    assert house.simulator.breaches == {}, flood.answers
    seen = {name.split()[-1]: lane for name, lane in lanes_at(house.simulator, COUNTED).items()}
    assert (seen[lead].count, seen[lead].span_ns) == (4, 2_000_000_000)
    assert seen["ETH-USDT-SWAP"].count == 60
    for name, lane in seen.items():
        assert lane.use() >= USE_MIN, name
    assert set(flood.answers) <= {"ok", "rate_limited"}, flood.answers


@pytest.mark.timed
async def test_orders_with_elp_access_have_a_limit_of_their_own(house: House) -> None:
    bot = await asyncio.to_thread(house.newcomer)
    flood = Flood()
    taker = order_of("BTC-USDT-SWAP") | {"ordType": "ioc", "isElpTakerAccess": True}
    await flood.run([(bot, taker)], seconds=FLOOD_S, workers=30)
    assert house.simulator.breaches == {}, flood.answers
    buckets = house.simulator.control("GET", "breaches")["buckets"]
    name = next(name for name in buckets if name.startswith("elp-taker-access"))
    arrivals = house.simulator.control("GET", f"arrivals?bucket={name.replace(' ', '%20')}")
    lane = Lane(buckets[name]["limit"], buckets[name]["span_ns"], [tuple(a) for a in arrivals])
    assert (lane.count, lane.breaches) == (50, 0)
    assert lane.use() >= USE_MIN
    assert set(flood.answers) <= {"ok", "rate_limited"}, flood.answers


def test_a_key_without_trading_is_learned_of_too(house: House) -> None:
    """What it may not do is the exchange's to say."""
    bot = house.newcomer(perm="read_only")
    answer = bot.order()
    assert (answer.slug, answer.code) == ("", "50120"), pretty(answer)
    assert len(asked(house.simulator)) == 1


def test_an_exchange_that_knows_no_such_key_is_asked_no_more_than_now_and_then(
    house: House,
) -> None:
    stranger = Triple("00000000-0000-4000-8000-000000000009", "S" * 32, "Strange-1")
    bot = house.proxy.bot(house.proxy.add_user("stranger", stranger))
    began = time.monotonic()
    for _ in range(5):
        answer = bot.order()
        assert (answer.status, answer.code, answer.slug) == (401, "50119", ""), pretty(answer)
    assert time.monotonic() - began < 1
    questions = [each for each in house.simulator.requests if each["target"] == CONFIG]
    assert len(questions) == 1
