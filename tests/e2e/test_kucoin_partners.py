"""Whose partner an order is at KuCoin: ours, on every signed call, whatever the bot sent."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.e2e.bot import Answered
from tests.e2e.harness import Proxy, Sections, proxy_in, simulator_in
from tests.e2e.kucoin_bot import (
    FUTURES_ORDER,
    ORDER,
    ORDER_PATH,
    KucoinBot,
    named,
    spot_order,
)
from tests.e2e.kucoin_house import (
    ACCOUNTS_PATH,
    FUTURES_READ,
    KINDS,
    OPERATOR,
    KucoinHouse,
    assert_ours,
    assert_signed,
    headers_of,
    kucoin_house_in,
    mac,
    placed,
    pretty,
)
from tests.e2e.wire import request_of, wire_to

pytestmark = pytest.mark.e2e

MARGIN_PATH: Final = "/api/v3/hf/margin/order"
STOP: Final = {"stopPrice": "39000", "stop": "loss"}
EUROPE: Final = {"broker_code": "europePARTNER", "broker_key": "europe-key-1", "broker_name": "eu"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KucoinHouse]:
    with kucoin_house_in(tmp_path_factory.mktemp("partners")) as house:
        yield house


@pytest.fixture
def house(running: KucoinHouse) -> KucoinHouse:
    running.forget()
    return running


@pytest.fixture(scope="module")
def broker(running: KucoinHouse) -> KucoinBot:
    """A bot of the operator's own account, which may call everything."""
    classes = "withdraw,transfer,deposit,keys,subaccount,broker"
    perm = "General,Spot,Margin,Futures,Earn,Withdraw,Transfer,LeadtradeFutures"
    return running.newcomer("--allow", classes, broker=True, perm=perm)


def wired(house: KucoinHouse, bot: KucoinBot, lines: bytes) -> Answered:
    """Place an order with more header lines than a library would send."""
    content = json.dumps(spot_order()).encode()
    request = request_of(replace(bot, partner=""), "POST", ORDER_PATH, content)
    head, end, body = request.partition(b"\r\n\r\n")
    with wire_to(bot) as wire:
        wire.send(head + b"\r\n" + lines + end[2:] + body)
        return wire.answer()


# ---- every kind of order -----------------------------------------------------------------------

SPOT_ORDERS: Final = [
    ("/api/v1/hf/orders", ORDER),
    ("/api/v1/hf/orders/sync", ORDER),
    ("/api/v1/orders", ORDER),
    (MARGIN_PATH, ORDER),
    ("/api/v1/margin/order", ORDER),
    ("/api/v1/stop-order", ORDER | STOP),
    ("/api/v3/hf/margin/stop-order", ORDER | STOP),
    (
        "/api/v3/oco/order",
        ORDER | {"price": "60000", "side": "sell", "stopPrice": "39000", "limitPrice": "38000"},
    ),
]


@pytest.mark.parametrize(("path", "order"), SPOT_ORDERS)
def test_every_kind_of_spot_order_is_ours(
    house: KucoinHouse, path: str, order: dict[str, Any]
) -> None:
    answer = house.bot.call("POST", path, named(order))
    assert placed(answer), pretty(answer)
    assert_ours(house.last)
    assert_signed(house.last, house.real)
    assert house.last["venue"] == "main"
    assert {each["tags"] for each in house.exchange.orders} == {"partner:tagproxyDEMO"}


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("/api/v1/orders", FUTURES_ORDER),
        (
            "/api/v1/st-orders",
            FUTURES_ORDER | {"triggerStopUpPrice": "60000", "stopPriceType": "TP"},
        ),
    ],
)
def test_every_kind_of_futures_order_is_ours(
    house: KucoinHouse, path: str, order: dict[str, Any]
) -> None:
    answer = house.futures_bot.call("POST", path, named(order))
    assert placed(answer), pretty(answer)
    assert_ours(house.last)
    assert_signed(house.last, house.real)
    assert house.last["venue"] == "futures"
    (order,) = house.exchange.orders
    assert order["tags"] == f"partner:{OPERATOR['futures']['broker_code']}"


def test_a_batch_is_ours_order_by_order(house: KucoinHouse) -> None:
    before = _tagged(house)
    spot = [spot_order() for _ in range(5)]
    futures = [named(FUTURES_ORDER) for _ in range(20)]
    for bot, path, content in (
        (house.bot, "/api/v1/hf/orders/multi", {"orderList": spot}),
        (house.futures_bot, "/api/v1/orders/multi", futures),
    ):
        answer = bot.call("POST", path, content)
        assert placed(answer), pretty(answer)
        assert_ours(house.last)
    assert len(house.exchange.orders) == 25
    assert all(each["tags"].startswith("partner:tagproxyDEMO") for each in house.exchange.orders)
    assert _tagged(house) == before + 25


def test_no_body_is_touched(house: KucoinHouse) -> None:
    body = b' { "symbol" :"BTC-USDT","side":"buy",\n"price":"40000","size":"1"}  '
    answer = house.bot.call("POST", ORDER_PATH, body)
    assert placed(answer), pretty(answer)
    assert house.last["body"].encode("latin-1") == body


def _tagged(house: KucoinHouse) -> float:
    return house.proxy.metric("tagproxy_orders_tagged_total", via="rest")


# ---- every signed call -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("venue", "method", "target"),
    [
        ("main", "GET", ACCOUNTS_PATH),
        ("main", "GET", "/api/v1/hf/orders/active?symbol=BTC-USDT"),
        ("main", "GET", "/api/v1/nothing/known"),
        ("main", "DELETE", "/api/v1/hf/orders?symbol=BTC-USDT"),
        ("main", "POST", "/api/v1/bullet-private"),
        ("futures", "GET", FUTURES_READ),
        ("futures", "DELETE", "/api/v3/orders?symbol=XBTUSDTM"),
        ("futures", "POST", "/api/v1/bullet-private"),
    ],
)
def test_reads_and_cancels_carry_them_too(
    house: KucoinHouse, venue: str, method: str, target: str
) -> None:
    bot = house.bot if venue == "main" else house.futures_bot
    answer = bot.call(method, target)
    assert answer.slug == "", pretty(answer)
    assert placed(answer) or "nothing" in target
    assert_ours(house.last)
    assert house.last["venue"] == venue


@pytest.mark.parametrize(
    ("venue", "target"),
    [
        ("main", "/api/v1/market/orderbook/level1?symbol=BTC-USDT"),
        ("main", "/api/v1/timestamp"),
        ("futures", "/api/v1/ticker?symbol=XBTUSDTM"),
    ],
)
def test_public_reads_carry_nothing(house: KucoinHouse, venue: str, target: str) -> None:
    bot = house.bot if venue == "main" else house.futures_bot
    answer = bot.call("GET", target)
    assert placed(answer), pretty(answer)
    assert not [name for name in headers_of(house.exchange.requests[-1]) if name.startswith("kc-")]


def test_the_brokers_host_gets_those_of_its_own_table(
    house: KucoinHouse, broker: KucoinBot
) -> None:
    """Its paths are served beside those of spot, and below its own name."""
    for base_url in (broker.base_url, f"{broker.base_url}/broker"):
        house.forget()
        answer = replace(broker, base_url=base_url).call("GET", "/api/v1/broker/nd/info")
        assert placed(answer), pretty(answer)
        (request,) = house.received
        assert request["venue"] == "broker"
        assert_ours(request)


def test_the_partner_signs_the_instant_and_key_of_the_request(house: KucoinHouse) -> None:
    """The bot's own clock and key are not those that leave."""
    bot = house.bot
    now_ms = 3_000 + int(headers_of_bot(bot)["KC-API-TIMESTAMP"])
    signed = bot.signed("GET", ACCOUNTS_PATH, now_ms=now_ms)
    answer = bot.call("GET", ACCOUNTS_PATH, headers=signed.headers)
    assert placed(answer), pretty(answer)
    headers = headers_of(house.last)
    assert headers["kc-api-timestamp"] != str(now_ms)
    assert headers["kc-api-key"] == house.real.api_key != bot.triple.api_key
    assert_ours(house.last)


def headers_of_bot(bot: KucoinBot) -> dict[str, str]:
    return bot.headers("GET", ACCOUNTS_PATH)


# ---- what bots send ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"KC-API-PARTNER: ccxt\r\n",
        b"kc-api-partner: ccxt\r\nkc-api-partner-sign: x\r\nkc-api-partner-verify: true\r\n",
        b"Kc-Api-Partner: ccxt\r\nKC-API-PARTNER-Verify: false\r\nkC-bRoKeR-nAmE: other\r\n",
        b"KC-API-PARTNER:\r\nKC-API-PARTNER-SIGN:\r\nKC-API-PARTNER-VERIFY:\r\nKC-BROKER-NAME:\r\n",
        b"KC-API-PARTNER: tagproxyDEMO\r\nKC-API-PARTNER-SIGN: AAAA\r\n",
        b"KC_API_PARTNER: ccxt\r\nKC-API-PARTNER-VERIFIED: true\r\nKC-API-PARTNER2: ccxt\r\n",
        b"KC-API-PARTNER: \xc3\xa9\r\n",
        b"KC-API-PARTNER: " + b"p" * 3000 + b"\r\n",
    ],
)
def test_whatever_partner_a_bot_names_is_dropped(house: KucoinHouse, lines: bytes) -> None:
    answer = wired(house, house.bot, lines)
    assert placed(answer), pretty(answer)
    assert_ours(house.last)
    (order,) = house.exchange.orders
    assert order["tags"] == "partner:tagproxyDEMO"


@pytest.mark.parametrize(
    "lines",
    [
        b"KC-API-PARTNER: ccxt\r\nKC-API-PARTNER: ccxt\r\n",
        b"KC-API-PARTNER: ccxt\r\nkc-api-partner: tagproxyDEMO\r\n",
        b"KC-API-PARTNER-VERIFY: true\r\nKC-Api-Partner-Verify: false\r\n",
        b"KC-BROKER-NAME: a\r\nKC-BROKER-NAME: b\r\n",
    ],
)
def test_a_partner_named_twice_never_leaves_twice(house: KucoinHouse, lines: bytes) -> None:
    answer = wired(house, house.bot, lines)
    assert placed(answer) or answer.slug == "bad_request", pretty(answer)
    for request in house.received:
        assert_ours(request)


def test_the_codes_that_bots_send_are_counted(house: KucoinHouse) -> None:
    def found() -> list[float]:
        return [
            house.proxy.metric("tagproxy_foreign_codes_total", found=each, venue="main")
            for each in ("none", "ours", "other")
        ]

    before = found()
    for partner in ("", "tagproxyDEMO", "ccxt", "python-kucoinspot"):
        assert placed(replace(house.bot, partner=partner).order())
    assert placed(house.bot.call("GET", ACCOUNTS_PATH))
    assert [now - then for now, then in zip(found(), before, strict=True)] == [1, 1, 2]


def test_a_code_of_the_accounts_own_takes_the_operators_place(house: KucoinHouse) -> None:
    """KuCoin knows that partner by the operator's key here; else it would refuse."""
    key = OPERATOR["main"]["broker_key"]
    house.exchange.control("POST", "accounts", {"partner": "customCODE", "key": key})
    bot = house.newcomer("--code", "customCODE")
    for answer in (bot.order(), bot.call("GET", ACCOUNTS_PATH)):
        assert placed(answer), pretty(answer)
        assert_ours(house.last, code="customCODE")
    (order,) = house.exchange.orders
    assert order["tags"] == "partner:customCODE"


# ---- on_conflict, and a second site ------------------------------------------------------------


@contextlib.contextmanager
def beside(running: KucoinHouse, directory: Path, sections: Sections) -> Iterator[Beside]:
    """Run another proxy in front of the same exchange."""
    with proxy_in(directory, running.simulator, sections, start=False, kinds=KINDS) as proxy:
        real = running.exchange.add_user()
        issued = proxy.add_user("alice", real, exchange="kucoin")
        proxy.start()
        yield Beside(proxy, proxy.kucoin_bot(issued))


class Beside(NamedTuple):
    proxy: Proxy
    bot: KucoinBot


@pytest.fixture(scope="module")
def rejecting(running: KucoinHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    sections = {"tagging": {"on_conflict": "reject"}}
    with beside(running, tmp_path_factory.mktemp("reject"), sections) as made:
        yield made


def test_reject_refuses_orders_that_name_another(house: KucoinHouse, rejecting: Beside) -> None:
    bot = rejecting.bot
    for answer in (
        bot.order(),
        replace(bot, base_url=f"{bot.base_url}/futures").futures_order(),
        bot.call("POST", "/api/v1/hf/orders/multi", {"orderList": [spot_order()]}),
    ):
        assert (answer.status, answer.code, answer.slug) == (400, "400100", "tag_conflict")
        assert "partner ccxt is not the operator's" in answer.content["msg"]
    assert house.exchange.orders == []


@pytest.mark.parametrize("partner", ["", "tagproxyDEMO"])
def test_reject_takes_no_code_and_ours(house: KucoinHouse, rejecting: Beside, partner: str) -> None:
    answer = replace(rejecting.bot, partner=partner).order()
    assert placed(answer), pretty(answer)
    assert_ours(house.last)


def test_reject_minds_orders_only(house: KucoinHouse, rejecting: Beside) -> None:
    answer = rejecting.bot.call("GET", ACCOUNTS_PATH)
    assert placed(answer), pretty(answer)
    assert_ours(house.last)


def test_keep_replaces_since_a_partner_signs_an_instant(house: KucoinHouse, tmp_path: Path) -> None:
    with beside(house, tmp_path, {"tagging": {"on_conflict": "keep"}}) as (proxy, bot):
        for partner in ("ccxt", "", "tagproxyDEMO"):
            answer = replace(bot, partner=partner).order()
            assert placed(answer), pretty(answer)
            assert_ours(house.last)
        assert proxy.metric("tagproxy_orders_tagged_total") == 3


def test_a_second_site_has_its_own_host_keys_and_code(house: KucoinHouse, tmp_path: Path) -> None:
    """kucoin-eu: no futures there, unless it names an address for them."""
    with simulator_in(tmp_path / "eu", kinds=KINDS) as europe:
        exchange = europe.exchange("kucoin")
        partner = {"partner": EUROPE["broker_code"], "key": EUROPE["broker_key"]}
        exchange.control("POST", "accounts", partner | {"name": EUROPE["broker_name"]})
        table = {"kind": "kucoin", "rest_url": exchange.base_url, "ca_file": str(exchange.ca_file)}
        with beside(house, tmp_path / "p", {"exchanges.kucoin-eu": table | EUROPE}) as made:
            proxy, worldwide = made
            real = exchange.add_user()
            issued = proxy.add_user("alice", real, exchange="kucoin-eu")
            bot = KucoinBot(proxy.url("kucoin-eu"), issued)
            for answer in (bot.order(), bot.call("GET", ACCOUNTS_PATH)):
                assert placed(answer), pretty(answer)
            for request in exchange.requests:
                headers = headers_of(request)
                said = headers["kc-api-timestamp"] + EUROPE["broker_code"] + real.api_key
                assert headers["kc-api-partner"] == EUROPE["broker_code"]
                assert headers["kc-api-partner-sign"] == mac(EUROPE["broker_key"], said)
                assert headers["kc-broker-name"] == "eu"
            (order,) = exchange.orders
            assert order["tags"] == "partner:europePARTNER"
            assert house.exchange.orders == []
            assert replace(bot, triple=worldwide.triple).order().slug == "unknown_key"
            assert replace(worldwide, triple=issued).order().slug == "unknown_key"
            futures = replace(bot, base_url=f"{bot.base_url}/futures").futures_order()
            assert (futures.status, futures.slug) == (400, "bad_request")
            assert "[exchanges.kucoin-eu.futures] has no rest_url" in futures.content["msg"]
            assert placed(worldwide.order())
