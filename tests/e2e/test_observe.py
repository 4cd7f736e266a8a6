"""Accounts in mode `observe`: forwarded exactly as the bot signed it, counted, and no secret held.

The simulator verifies the bot's own signature, so whatever it takes came through unchanged.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.bot import FOREIGN_TAG, Bot, Triple
from tests.e2e.harness import BROKER_CODE
from tests.e2e.house import House, compact, house_in, is_question, order, placed, pretty
from tests.e2e.load import order_of
from tests.e2e.processes import eventually
from tests.e2e.wire import head_of, wire_to

pytestmark = pytest.mark.e2e

ORDER_PATH: Final = "/api/v5/trade/order"
BATCH_PATH: Final = "/api/v5/trade/batch-orders"
BALANCE_PATH: Final = "/api/v5/account/balance"
DEMO: Final = {"x-simulated-trading": "1"}
ALGO_PATH: Final = "/api/v5/trade/order-algo"
ALGO: Final = {"tdMode": "cash", "side": "sell", "ordType": "trigger", "sz": "1"}
ODD_BODY: Final = (
    b' { "tag" :"\\u0041bc" , "instId":"BTC-USDT","tdMode":"cash","side":"buy",\n'
    b'"ordType":"limit","px":"40000","sz":"0.001"}  '
)
NAMES: Final = (f"observed{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    sections: dict[str, dict[str, Any]] = {
        "limits": {"max_wait": "2500ms"},
        "exchanges.okx.limits": {f"POST {ALGO_PATH}": "5/2s"},
    }
    with house_in(tmp_path_factory.mktemp("observe"), sections) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.simulator.control("DELETE", "faults")
    running.forget()
    return running


@pytest.fixture(scope="module")
def watched(running: House) -> Bot:
    """An observed bot for tests that need none of their own."""
    return observed(running)


def observed(house: House, *options: str, keep: tuple[str, ...] = (), **fields: Any) -> Bot:
    """A bot with its exchange's own key, of which the proxy was told the API key, and `keep`."""
    real = house.simulator.add_user(**fields)
    key = {"api_key": real.api_key} | {name: getattr(real, name) for name in keep}
    name = next(NAMES)
    command = ("users", "add", name, "--exchange", "okx", "--mode", "observe", *options)
    done = house.proxy.run(*command, stdin=json.dumps(key))
    assert done.returncode == 0, done.stderr
    eventually("the proxy knows the key", lambda: house.proxy.knows(real))
    house.newest = name
    house.forget()
    return house.proxy.bot(real)


def found(house: House) -> dict[str, float]:
    """Whose codes the proxy says it saw."""
    name = "tagproxy_foreign_codes_total"
    return {each: house.proxy.metric(name, found=each) for each in ("ours", "other", "none")}


def tagged(house: House) -> float:
    return house.proxy.metric("tagproxy_orders_tagged_total")


# ---- byte for byte ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        compact(order(tag=FOREIGN_TAG)),
        compact(order()),
        compact(order(tag="")),
        ODD_BODY,
    ],
)
def test_an_order_arrives_exactly_as_it_was_signed(house: House, watched: Bot, body: bytes) -> None:
    bot = watched
    signed = bot.headers("POST", ORDER_PATH, body)
    answer = bot.call("POST", ORDER_PATH, body, headers=signed)
    assert placed(answer), pretty(answer)
    (request,) = house.received
    assert request["body"].encode("latin-1") == body
    shown = {name.lower(): value for name, value in request["headers"]}
    for name, value in signed.items():
        assert shown[name.lower()] == value


@pytest.mark.parametrize(
    "target",
    [
        f"{BALANCE_PATH}?ccy=BTC,ETH",
        f"{BALANCE_PATH}?ccy=BTC%2CETH&",
        f"{BALANCE_PATH}?&&ccy=BTC&x=%7e+%20",
        f"{BALANCE_PATH}?",
        "/api/v5/market/ticker?instId=BTC-USDT",
    ],
)
def test_a_query_arrives_exactly_as_it_was_signed(house: House, watched: Bot, target: str) -> None:
    bot = watched
    answer = bot.call("GET", target)
    assert answer.code == "0", pretty(answer)
    (request,) = house.received
    assert request["target"] == target
    assert request["uid"]


def test_a_batch_arrives_as_it_is_and_each_order_is_charged(house: House, watched: Bot) -> None:
    bot = watched
    content = [order_of("BTC-USDT") | {"tag": tag} for tag in (BROKER_CODE, FOREIGN_TAG)]
    assert placed(bot.call("POST", BATCH_PATH, content))
    assert [each["tag"] for each in house.simulator.orders] == [BROKER_CODE, FOREIGN_TAG]


def test_the_demo_market_is_the_bots_to_name(house: House) -> None:
    bot = observed(house, demo=True)
    assert bot.call("GET", BALANCE_PATH, headers=DEMO).code == "0"
    answer = bot.call("GET", BALANCE_PATH)
    assert (answer.code, answer.slug) == ("50101", "")


def test_a_deadline_goes_along(house: House, watched: Bot) -> None:
    bot = watched
    later = {"expTime": str(int(time.time() * 1000) + 60_000)}
    assert placed(bot.call("POST", ORDER_PATH, order(), headers=later))
    shown = {name.lower(): value for name, value in house.received[0]["headers"]}
    assert shown["exptime"] == later["expTime"]


def test_nothing_else_of_a_request_goes_along(house: House, watched: Bot) -> None:
    """What could make two requests of one, or name somebody else."""
    bot = watched
    more = {
        "Cookie": "mine",
        "X-Forwarded-For": "203.0.113.9",
        "OK-ACCESS-OTHER": "1",
        "Authorization": "Bearer stolen",
        "Connection": "OK-ACCESS-SIGN",
    }
    assert bot.call("GET", BALANCE_PATH, headers=more).code == "0"
    names = {name.lower() for name, _ in house.received[0]["headers"]}
    assert not names & {"cookie", "x-forwarded-for", "ok-access-other", "authorization"}
    body = compact(order())
    with wire_to(bot) as wire:
        head = head_of(bot, "POST", ORDER_PATH, body)
        length = b"Content-Length: %d\r\n" % len(body)
        wire.send(head + length + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + body)
        assert wire.answer().status == 400
    assert house.simulator.orders == []


# ---- counted ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "whose"), [(BROKER_CODE, "ours"), (FOREIGN_TAG, "other"), ("", "none"), (None, "none")]
)
def test_whose_code_orders_carry_is_counted(
    house: House, watched: Bot, tag: str | None, whose: str
) -> None:
    bot = watched
    before, before_tagged = found(house), tagged(house)
    assert placed(bot.call("POST", ORDER_PATH, order() | ({} if tag is None else {"tag": tag})))
    assert found(house) == before | {whose: before[whose] + 1}
    assert tagged(house) == before_tagged + (whose == "ours")
    assert house.simulator.orders[0].get("tag", "") == (tag or "")


def test_the_operator_sees_that_the_account_is_in_use(house: House) -> None:
    bot = observed(house)
    assert placed(bot.call("POST", ORDER_PATH, order(tag=BROKER_CODE)))

    def shown() -> dict[str, Any]:
        done = house.proxy.run("users", "show", house.newest, "--json")
        assert done.returncode == 0, done.stderr
        (account,) = json.loads(done.stdout)["accounts"]
        content: dict[str, Any] = account
        return content

    assert shown()["mode"] == "observe"
    eventually("it was seen", lambda: shown()["last_seen"] is not None)


# ---- kept -------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [(), ("secret", "passphrase")])
def test_no_secret_is_held(house: House, keep: tuple[str, ...]) -> None:
    """Not even one that was given."""
    bot = observed(house, keep=keep)
    assert placed(bot.order())
    for name, data in house.proxy.written().items():
        assert bot.triple.secret.encode() not in data, name
        assert bot.triple.passphrase.encode() not in data, name
    done = house.proxy.run("users", "show", house.newest, "--json")
    assert bot.triple.secret not in done.stdout


async def test_limits_are_kept(house: House, watched: Bot) -> None:
    content = ALGO | {"instId": "BTC-USDT", "triggerPx": "60000", "orderPx": "-1"}
    async with aiohttp.ClientSession() as session:
        answers = await asyncio.gather(
            *(watched.send(session, "POST", ALGO_PATH, content) for _ in range(14))
        )
    slugs = [answer.slug for answer in answers]
    assert (slugs.count(""), slugs.count("rate_limited")) == (10, 4)
    assert house.simulator.breaches == {}
    assert len(house.received) == 10


def test_sensitive_classes_stay_closed_and_nothing_is_told(house: House) -> None:
    bot = observed(house)
    for method, path in (
        ("POST", "/api/v5/asset/withdrawal"),
        ("POST", "/api/v5/asset/transfer"),
        ("GET", "/api/v5/asset/deposit-address"),
        ("POST", "/api/v5/unheard/of"),
    ):
        answer = bot.call(method, path, {} if method == "POST" else None)
        assert (answer.status, answer.code, answer.slug) == (403, "50120", "forbidden_endpoint")
        assert "class" not in answer.content["msg"], "nobody has verified who asks"
    assert bot.call("GET", "/tagproxy/me").slug == "forbidden_endpoint"
    assert house.received == []
    granted = observed(house, "--allow", "deposit")
    assert granted.call("GET", "/api/v5/asset/deposit-address?ccy=BTC").slug == ""


def test_a_wrong_signature_is_the_exchanges_to_refuse(house: House, watched: Bot) -> None:
    bot = watched
    wrong = Bot(bot.base_url, Triple(bot.triple.api_key, "wrong", bot.triple.passphrase))
    answer = wrong.call("POST", ORDER_PATH, order())
    assert (answer.status, answer.code, answer.slug) == (401, "50113", "")
    stale = bot.headers("GET", BALANCE_PATH, now_ms=int(time.time() * 1000) - 40_000)
    assert bot.call("GET", BALANCE_PATH, headers=stale).slug == "stale_timestamp"
    assert len(house.received) == 1


def test_nothing_is_asked_of_the_exchange_with_a_key_that_cannot_sign(
    house: House, watched: Bot
) -> None:
    bot = watched
    for _ in range(3):
        assert placed(bot.order())
    assert not any(map(is_question, house.simulator.requests))


def test_an_observed_account_becomes_one_that_is_signed_for(house: House) -> None:
    bot = observed(house)
    assert placed(bot.order())
    change = ("users", "set-key", house.newest, "--exchange", "okx", "--mode", "sign")
    done = house.proxy.run(*change, stdin=bot.triple.as_json())
    assert done.returncode == 0, done.stderr

    def last_tag() -> str:
        assert placed(bot.order())
        return str(house.simulator.orders[-1]["tag"])

    eventually("orders carry our code", lambda: last_tag() == BROKER_CODE)
