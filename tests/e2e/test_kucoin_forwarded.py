"""Accounts of KuCoin's whose secret is not held: `keyless` and `observe`.

The simulator verifies the bot's own signature, so whatever it takes came through unchanged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.e2e.bot import Answered, next_ms
from tests.e2e.kucoin_bot import (
    FUTURES_ORDER,
    FUTURES_ORDER_PATH,
    ORDER_PATH,
    KucoinBot,
    named,
    spot_order,
)
from tests.e2e.kucoin_house import (
    ACCOUNTS_PATH,
    OPERATOR,
    PARTNER_HEADERS,
    KucoinHouse,
    assert_ours,
    headers_of,
    kucoin_house_in,
    mac,
    placed,
    pretty,
)
from tests.e2e.processes import eventually

pytestmark = pytest.mark.e2e

SIGNED: Final = ("key", "sign", "timestamp", "passphrase", "key-version")
COPY_PATH: Final = "/api/v1/copy-trade/futures/orders"  # draws 2 of its pool's
LEADS: Final = "General,Spot,Futures,LeadtradeFutures"
LIFE_MS: Final = 5_000  # of a signature
WINDOW_S: Final = 1
ODD_BODY: Final = b' { "symbol":"BTC-USDT",\n"side" : "buy","price":"40000","size":"1"} '
TAKEN: Final = "partner:tagproxyDEMO"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KucoinHouse]:
    sections: dict[str, dict[str, Any]] = {
        "limits": {"max_wait": "7s"},
        "exchanges.kucoin": {"deadline": "8s"},
        "exchanges.kucoin.limits": {"copytrading": "2/30s", "earn": f"5/{WINDOW_S}s"},
    }
    with kucoin_house_in(tmp_path_factory.mktemp("forwarded"), sections) as house:
        yield house


@pytest.fixture
def house(running: KucoinHouse) -> KucoinHouse:
    running.forget()
    return running


@pytest.fixture(scope="module")
def keyless(running: KucoinHouse) -> KucoinBot:
    return running.forwarded("keyless", perm="General,Spot,Margin,Futures,Earn")


@pytest.fixture(scope="module")
def observed(running: KucoinHouse) -> KucoinBot:
    """It names no partner; ccxt's would not be known here, and asks to be verified."""
    return replace(running.forwarded("observe"), partner="")


def futures(bot: KucoinBot) -> KucoinBot:
    return replace(bot, base_url=f"{bot.base_url}/futures")


def assert_as_signed(request: dict[str, Any], sent: dict[str, str]) -> None:
    """Insist that the bot's own signature headers arrived as it sent them."""
    arrived = headers_of(request)
    own = {name.lower(): value for name, value in sent.items()}
    for word in SIGNED:
        assert arrived.get(f"kc-api-{word}") == own.get(f"kc-api-{word}"), word


def sign_own(
    bot: KucoinBot, method: str, target: str, content: Any = None, **more: Any
) -> tuple[Answered, dict[str, str]]:
    """Send a request; return the answer and the headers it was sent with."""
    body = content if isinstance(content, bytes) else b""
    if content is not None and not isinstance(content, bytes):
        body = json.dumps(content).encode()
    headers = bot.headers(method, target, body, **more)
    return bot.call(method, target, body, headers=headers), headers


# ---- keyless -----------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["main", "futures"])
@pytest.mark.parametrize("partner", ["ccxt", "", "tagproxyDEMO"])
def test_keyless_our_partner_signs_the_bots_own_instant_and_key(
    house: KucoinHouse, keyless: KucoinBot, venue: str, partner: str
) -> None:
    bot = replace(keyless, partner=partner)
    bot, path, content = (
        (bot, ORDER_PATH, spot_order())
        if venue == "main"
        else (futures(bot), FUTURES_ORDER_PATH, _contract())
    )
    answer, sent = sign_own(bot, "POST", path, content)
    assert placed(answer), pretty(answer)
    assert_as_signed(house.last, sent)
    assert_ours(house.last)
    assert json.loads(house.last["body"]) == content
    (order,) = house.exchange.orders
    assert order["tags"] == f"partner:{OPERATOR[venue]['broker_code']}"


def _contract() -> dict[str, Any]:
    return named(FUTURES_ORDER)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", ACCOUNTS_PATH, b""),
        ("GET", f"{ACCOUNTS_PATH}?currency=USDT&a=x%20y%2Cz&b=%21%40%23", b""),
        ("DELETE", "/api/v1/hf/orders?symbol=BTC-USDT", b""),
        ("GET", "/api/v1/nothing/known?a=1", b""),
        (
            "POST",
            "/api/v1/hf/orders/test",
            b' { "symbol":"BTC-USDT",\n"side" : "buy","price":"40000","size":"1"} ',
        ),
    ],
)
def test_keyless_every_call_leaves_byte_for_byte(
    house: KucoinHouse, keyless: KucoinBot, method: str, target: str, body: bytes
) -> None:
    answer, sent = sign_own(keyless, method, target, body)
    assert answer.slug == "", pretty(answer)
    assert placed(answer) or "nothing" in target, pretty(answer)
    assert_as_signed(house.last, sent)
    assert_ours(house.last)
    assert (house.last["target"], house.last["body"]) == (target, body.decode())


def test_keyless_a_plus_stays_a_plus(house: KucoinHouse, keyless: KucoinBot) -> None:
    """Here what is signed is the bot's; nothing may be spelled anew."""
    target = f"{ACCOUNTS_PATH}?a=x+y"
    answer, sent = sign_own(keyless, "GET", target)
    assert placed(answer), pretty(answer)
    assert house.last["target"] == target
    assert_as_signed(house.last, sent)


def test_keyless_a_batch_is_counted(house: KucoinHouse, keyless: KucoinBot) -> None:
    def tagged() -> float:
        return house.proxy.metric("tagproxy_orders_tagged_total", venue="main")

    before = tagged()
    content = {"orderList": [spot_order() for _ in range(4)]}
    answer, _ = sign_own(keyless, "POST", "/api/v1/hf/orders/multi", content)
    assert placed(answer), pretty(answer)
    assert [each["tags"] for each in house.exchange.orders] == [TAKEN] * 4
    assert tagged() == before + 4


def test_keyless_what_the_exchange_says_of_the_signature_is_passed_on(
    house: KucoinHouse, keyless: KucoinBot
) -> None:
    for changes, code in (
        ({"triple": replace(keyless.triple, secret="wrong")}, "400004"),
        ({"sealed": False}, "400004"),
        ({"version": ""}, "400009"),
    ):
        answer = replace(keyless, **changes).call("GET", ACCOUNTS_PATH)
        assert (answer.code, answer.slug) == (code, ""), pretty(answer)
    assert placed(keyless.call("GET", ACCOUNTS_PATH))


@pytest.mark.parametrize("off_ms", [-5_500, 5_500])
def test_keyless_a_signature_that_is_dead_does_not_leave(
    house: KucoinHouse, keyless: KucoinBot, off_ms: int
) -> None:
    answer, _ = sign_own(keyless, "GET", ACCOUNTS_PATH, now_ms=next_ms() + off_ms)
    assert (answer.status, answer.code, answer.slug) == (400, "400002", "stale_timestamp")
    assert house.received == []


def test_keyless_the_queue_is_shorter_than_the_signatures_life(house: KucoinHouse) -> None:
    """Slots come in 30 s, and others may wait 7 s for one; this signature lives 1.5 s more."""
    bot = futures(house.forwarded("keyless", perm=LEADS))
    assert placed(bot.call("POST", COPY_PATH, _contract()))
    began = time.monotonic()
    now_ms = next_ms() - (LIFE_MS - 1_500)
    answer, _ = sign_own(bot, "POST", COPY_PATH, _contract(), now_ms=now_ms)
    waited_s = time.monotonic() - began
    assert (answer.status, answer.code, answer.slug) == (429, "429000", "rate_limited")
    assert waited_s < 1.5
    assert "NOT SENT" in answer.content["msg"]
    assert len(house.received) == 1


def test_keyless_limits_are_kept(house: KucoinHouse, keyless: KucoinBot) -> None:
    content = {"productId": "1", "amount": "1", "accountType": "MAIN"}
    began = time.monotonic()
    for _ in range(2):
        answer, _ = sign_own(keyless, "POST", "/api/v1/earn/orders", content)
        assert placed(answer), pretty(answer)
    assert time.monotonic() - began >= WINDOW_S
    first, second = (each["arrived_ns"] for each in house.received)
    assert second - first >= WINDOW_S * 1_000_000_000


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v3/withdrawals"),
        ("GET", "/api/v2/broker/queryUser"),
        ("POST", "/api/ua/v1/order"),
        ("POST", "/api/v9/new/thing"),
    ],
)
@pytest.mark.parametrize("mode", ["keyless", "observe"])
def test_what_is_closed_stays_closed_and_nothing_is_told(
    house: KucoinHouse, request: pytest.FixtureRequest, mode: str, method: str, path: str
) -> None:
    bot: KucoinBot = request.getfixturevalue("observed" if mode == "observe" else mode)
    answer = bot.call(method, path, {} if method == "POST" else None)
    assert (answer.status, answer.code, answer.slug) == (403, "400007", "forbidden_endpoint")
    assert house.received == []


@pytest.mark.parametrize("mode", ["keyless", "observe"])
def test_nobody_tells_of_an_account_without_a_secret(
    house: KucoinHouse, request: pytest.FixtureRequest, mode: str
) -> None:
    bot: KucoinBot = request.getfixturevalue("observed" if mode == "observe" else mode)
    answer = bot.call("GET", "/tagproxy/me")
    assert (answer.status, answer.slug) == (403, "forbidden_endpoint")


def test_keyless_nothing_is_asked_of_the_exchange(house: KucoinHouse, keyless: KucoinBot) -> None:
    assert placed(keyless.call("GET", ACCOUNTS_PATH))
    assert len(house.exchange.requests) == 1


def test_keyless_no_secret_is_taken(house: KucoinHouse) -> None:
    """Whoever tells one all the same does not find it kept."""
    bot = house.forwarded("keyless", secret=True)
    assert placed(bot.order())
    for name, content in house.proxy.written().items():
        assert bot.triple.secret.encode() not in content, name


# ---- observe -----------------------------------------------------------------------------------


def found(house: KucoinHouse) -> dict[str, float]:
    name = "tagproxy_foreign_codes_total"
    return {each: house.proxy.metric(name, found=each) for each in ("ours", "other", "none")}


@pytest.mark.parametrize("venue", ["main", "futures"])
@pytest.mark.parametrize(
    ("partner", "verify", "whose"),
    [
        ("", False, "none"),
        ("ccxt", False, "other"),
        ("ours", True, "ours"),
        ("ours", False, "ours"),
    ],
)
def test_observed_orders_leave_as_they_are_and_their_code_is_counted(
    house: KucoinHouse, observed: KucoinBot, venue: str, partner: str, verify: bool, whose: str
) -> None:
    bot = observed if venue == "main" else futures(observed)
    path = ORDER_PATH if venue == "main" else FUTURES_ORDER_PATH
    content = spot_order() if venue == "main" else _contract()
    body = json.dumps(content).encode()
    headers = bot.headers("POST", path, body)
    headers |= _partner(venue, headers, partner, verify=verify)
    before = found(house)
    tagged = house.proxy.metric("tagproxy_orders_tagged_total")
    answer = bot.call("POST", path, body, headers=headers)
    assert placed(answer), pretty(answer)
    assert_as_signed(house.last, headers)
    arrived = headers_of(house.last)
    sent = {name.lower(): value for name, value in headers.items()}
    assert [arrived.get(name) for name in PARTNER_HEADERS] == list(map(sent.get, PARTNER_HEADERS))
    after = found(house)
    assert {name for name in after if after[name] != before[name]} == {whose}
    grown = house.proxy.metric("tagproxy_orders_tagged_total") - tagged
    assert grown == (whose == "ours")
    (order,) = house.exchange.orders
    ours = f"partner:{OPERATOR[venue]['broker_code']}"
    assert order["tags"] == (ours if whose == "ours" else None)


def _partner(venue: str, headers: dict[str, str], partner: str, *, verify: bool) -> dict[str, str]:
    """Partner headers of a bot's own; `ours` as the operator would give them to a customer."""
    if not partner:
        return {}
    operator = OPERATOR[venue]
    code = operator["broker_code"] if partner == "ours" else partner
    said = headers["KC-API-TIMESTAMP"] + code + headers["KC-API-KEY"]
    lines = {"KC-API-PARTNER": code, "KC-API-PARTNER-SIGN": mac(operator["broker_key"], said)}
    return lines | ({"KC-API-PARTNER-VERIFY": "true"} if verify else {})


def test_observed_a_code_that_the_exchange_refuses_is_the_bots_to_mend(
    house: KucoinHouse, observed: KucoinBot
) -> None:
    answer = replace(observed, partner="ccxt").order()
    assert (answer.status, answer.code, answer.slug) == (400, "400200", "")
    assert house.exchange.orders == []


def test_observed_reads_leave_as_they_are(house: KucoinHouse, observed: KucoinBot) -> None:
    for bot, target in (
        (observed, f"{ACCOUNTS_PATH}?a=x+y%2Cz"),
        (futures(observed), "/api/v1/positions"),
    ):
        answer, sent = sign_own(bot, "GET", target)
        assert placed(answer), pretty(answer)
        assert_as_signed(house.last, sent)
        assert house.last["target"] == target
        assert not set(PARTNER_HEADERS) & set(headers_of(house.last))


def test_an_account_goes_from_observe_to_keyless_to_sign(house: KucoinHouse) -> None:
    """Each step by one command, seen by the running proxy."""
    bot = replace(house.forwarded("observe"), partner="")
    name = house.newest
    assert placed(bot.order())
    where = (name, "--exchange", "kucoin")
    done = house.proxy.run("users", "set", *where, "--mode", "keyless")
    assert done.returncode == 0, done.stderr
    _eventually_ours(house, bot)
    change = ("users", "set-key", *where, "--mode", "sign")
    done = house.proxy.run(*change, stdin=bot.triple.as_json())
    assert done.returncode == 0, done.stderr
    clear = replace(bot, sealed=False, version="")
    eventually("it is signed for", lambda: placed(clear.order()))


def _eventually_ours(house: KucoinHouse, bot: KucoinBot) -> None:
    def is_ours() -> bool:
        assert placed(bot.order())
        return bool(house.exchange.orders[-1]["tags"] == TAKEN)

    eventually("its orders are ours", is_ours)
