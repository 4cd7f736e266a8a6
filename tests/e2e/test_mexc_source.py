"""Whose broker an order is at MEXC: the header `source`, ours, once, on every signed call."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.sim.mexc import table
from tests.e2e.bot import Answered
from tests.e2e.harness import Proxy, proxy_in
from tests.e2e.mexc_bot import FUTURES_ORDER, ORDER, MexcBot, spot_query
from tests.e2e.mexc_house import (
    ACCOUNT_PATH,
    ALL_CLASSES,
    ALL_PERMISSIONS,
    BATCH_PATH,
    CODE,
    CREATE_PATH,
    FUTURES_READ,
    KINDS,
    ORDER_PATH,
    STREAM_PATH,
    WIDE,
    MexcHouse,
    assert_ours,
    bare,
    counted,
    headers_of,
    mexc_house_in,
    more,
    path_of,
    pretty,
    sources,
    taken,
    wired,
)
from tests.e2e.processes import eventually
from tests.e2e.wire import wire_to

pytestmark = pytest.mark.e2e

PLACE: Final = f"{ORDER_PATH}?{spot_query()}"
PLAN: Final = FUTURES_ORDER | {
    "triggerPrice": 39000,
    "triggerType": 2,
    "executeCycle": 1,
    "trend": 1,
    "orderType": 1,
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MexcHouse]:
    with mexc_house_in(tmp_path_factory.mktemp("source")) as house:
        yield house


@pytest.fixture
def house(running: MexcHouse) -> MexcHouse:
    running.forget()
    return running


@pytest.fixture(scope="module")
def operator(running: MexcHouse) -> MexcBot:
    """A bot of the operator's own account, which may call everything."""
    fields: dict[str, Any] = {"broker": True, "market_maker": True, "perm": ALL_PERMISSIONS}
    return running.newcomer("--allow", ALL_CLASSES, **fields)


def order_sources(house: MexcHouse) -> set[str]:
    """Whose the orders are that the exchange has."""
    return {each["source"] for each in house.exchange.orders}


# ---- every kind of call ------------------------------------------------------------------------


def _filled(path: str) -> str:
    for name, value in (("symbol", "BTC_USDT"), ("currency", "USDT"), ("enabled", "true")):
        path = path.replace(f"{{{name}}}", value)
    parts = [("1" if part.startswith("{") else part) for part in path.split("/")]
    return "/".join(parts)


def _call(bot: MexcBot, row: table.Row) -> Answered:
    path = _filled(row.path)
    content: Any = None
    if path == BATCH_PATH:
        path += "?batchOrders=%5B%7B%22symbol%22%3A%22BTCUSDT%22%7D%5D"
    elif row.api == "futures" and row.method == "POST":
        content = [FUTURES_ORDER] if path.endswith("submit_batch") else {}
    elif row.group == table.BROKER_GROUP and row.method == "POST":
        content = {"subAccount": "a"}
    return bot.call(row.method, path, content)


def test_every_signed_call_of_the_exchange_is_ours_and_no_public_one(
    house: MexcHouse, operator: MexcBot
) -> None:
    rows = list(table.load().rows.values())
    for row in rows:
        answer = _call(operator, row)
        assert not answer.slug, (row.name, pretty(answer))
    arrived = {(each["method"], path_of(each)): each for each in house.exchange.requests}
    for row in rows:
        request = arrived[row.method, _filled(row.path)]
        public = row.permission == "public"
        assert sources(request) == ([] if public else [CODE]), row.name
        named = {"x-mexc-apikey", "apikey"} & set(headers_of(request))
        assert bool(named) != public, row.name


def _orders_of(bot: MexcBot) -> list[Answered]:
    futures = replace(bot, base_url=bot.base_url + "/futures")
    return [
        bot.order(),
        bot.order_in_body(),
        bot.call("POST", f"{ORDER_PATH}/test?{spot_query()}"),
        bot.batch(*[ORDER] * 3),
        bot.futures_order(),
        futures.futures_order(),
        futures.call("POST", "/api/v1/private/order/submit", FUTURES_ORDER),
        bot.call("POST", "/api/v1/private/planorder/place", PLAN),
        bot.call("POST", STREAM_PATH),
        bot.call("GET", ACCOUNT_PATH),
        futures.call("GET", FUTURES_READ),
    ]


@pytest.mark.parametrize("own", [False, True])
def test_orders_are_ours_by_issued_and_by_own_key(house: MexcHouse, own: bool) -> None:
    answers = _orders_of(house.own_bot if own else house.bot)
    assert all(map(taken, answers)), list(map(pretty, answers))
    assert_ours(house.received)
    assert len(house.exchange.orders) == 9
    assert order_sources(house) == {CODE}
    keys = {
        headers_of(each).get("x-mexc-apikey") or headers_of(each)["apikey"]
        for each in house.received
    }
    assert keys == {house.real.api_key}


def test_an_account_whose_calls_must_be_ours_is_served_whole(house: MexcHouse) -> None:
    """The exchange refuses whatever comes without the code."""
    house.exchange.control("POST", "accounts", {"uid": "500001", "require_source": CODE})
    answers = _orders_of(house.bot)
    house.exchange.control("POST", "accounts", {"uid": "500001", "require_source": ""})
    assert all(map(taken, answers)), list(map(pretty, answers))


def test_a_batch_for_market_makers_and_what_replaces_an_order_are_ours(
    house: MexcHouse, operator: MexcBot
) -> None:
    before = counted(house.proxy)
    placed = operator.call("POST", "/api/v1/private/order/submit_batch", [FUTURES_ORDER] * 4)
    assert taken(placed), pretty(placed)
    order_id = str(placed.content["data"][0]["orderId"])
    change = {"orderId": order_id, "price": 39000, "vol": 5}
    changed = operator.call("POST", "/api/v1/private/order/change_limit_order", change)
    assert taken(changed), pretty(changed)
    chase = {"orderId": changed.content["data"]}
    assert taken(operator.call("POST", "/api/v1/private/order/chase_limit_order", chase))
    assert_ours(house.received)
    assert order_sources(house) == {CODE}
    assert more(house.proxy, before) == {"other": 3, "tagged": 6}


# ---- whatever came in --------------------------------------------------------------------------

SENT: Final = {
    "none": (b"", "none"),
    "empty": (b"source:\r\n", "none"),
    "spaces": (b"source:      \r\n", "none"),
    "ours": (b"source: " + CODE.encode() + b"\r\n", "ours"),
    "ours twice": (b"source: %b\r\nSource: %b\r\n" % (CODE.encode(), CODE.encode()), "ours"),
    "ccxt": (b"source: CCXT\r\n", "other"),
    "upper case": (b"SOURCE: CCXT\r\n", "other"),
    "odd case": (b"sOuRcE: EASYT\r\n", "other"),
    "twice": (b"source: CCXT\r\nsource: EASYT\r\n", "other"),
    "thrice, ours among them": (
        b"Source: CCXT\r\nsource: %b\r\nSOURCE: X\r\n" % CODE.encode(),
        "other",
    ),
    "empty and another's": (b"source:\r\nsource: CCXT\r\n", "other"),
    "a list": (b"source: a, b, c\r\n", "other"),
    "words": (b"source:   two  words \t\r\n", "other"),
    "ours in quotes": (b'source: "' + CODE.encode() + b'"\r\n', "other"),
    "ours in lower case": (b"source: " + CODE.lower().encode() + b"\r\n", "other"),
    "latin-1": (b"source: caf\xe9\r\n", "other"),
    "utf-8": ("source: \u7801\r\n".encode(), "other"),
    "long": (b"source: " + b"x" * 3000 + b"\r\n", "other"),
    "no space": (b"source:CCXT\r\n", "other"),
}
CALLS: Final = [
    ("POST", PLACE, b"", "main"),
    ("GET", ACCOUNT_PATH, b"", "main"),
    ("POST", CREATE_PATH, json.dumps(FUTURES_ORDER).encode(), "futures"),
    ("GET", FUTURES_READ, b"", "futures"),
]


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize(
    "call", CALLS, ids=["spot order", "spot read", "futures order", "futures read"]
)
def test_one_source_leaves_whatever_came(
    house: MexcHouse, sent: str, call: tuple[str, str, bytes, str]
) -> None:
    method, target, body, _ = call
    lines, found = SENT[sent]
    before = counted(house.proxy)
    answer = wired(house.bot, method, target, body, lines)
    assert taken(answer), pretty(answer)
    assert_ours(house.received)
    assert len(house.received) == 1
    expected = {found: 1.0, "tagged": 1.0} if method == "POST" else {}
    assert more(house.proxy, before) == expected


@pytest.mark.parametrize(
    "line", [b"source : CCXT\r\n", b"source: a\r\n b\r\n", b"source: a\x00b\r\n"]
)
def test_a_header_that_is_none_is_refused(house: MexcHouse, line: bytes) -> None:
    answer = wired(house.bot, "POST", PLACE, b"", line)
    assert (answer.status, answer.slug) == (400, "bad_request"), pretty(answer)
    assert house.received == []


@pytest.mark.parametrize(
    "line",
    [
        b"x-source: CCXT\r\n",
        b"source-id: CCXT\r\n",
        b"broker: CCXT\r\n",
        b"X-MEXC-SOURCE: CCXT\r\n",
    ],
)
def test_other_headers_do_not_go_on(house: MexcHouse, line: bytes) -> None:
    answer = wired(house.bot, "POST", PLACE, b"", line)
    assert taken(answer), pretty(answer)
    assert_ours(house.received)
    assert line.partition(b":")[0].decode().lower() not in headers_of(house.last)


def test_a_parameter_named_source_is_the_bots_own_affair(house: MexcHouse) -> None:
    answer = house.bot.call("POST", f"{PLACE}&source=CCXT")
    assert taken(answer), pretty(answer)
    assert_ours(house.received)
    assert "source=CCXT" in house.last["target"]


# ---- public reads ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["/api/v3/depth?symbol=BTCUSDT", "/api/v1/contract/depth/BTC_USDT", "/api/v3/ping"]
)
@pytest.mark.parametrize("way", ["anonymous", "key alone", "signed"])
def test_public_reads_carry_nothing_of_a_broker_or_key(
    house: MexcHouse, target: str, way: str
) -> None:
    bot = house.bot
    if way == "signed":
        answer = bot.call("GET", target)
    else:
        key = f"X-MEXC-APIKEY: {bot.triple.api_key}\r\nApiKey: x\r\n" if way == "key alone" else ""
        answer = wired_unsigned(bot, target, f"source: CCXT\r\n{key}".encode())
    assert taken(answer), pretty(answer)
    (request,) = house.received
    assert sources(request) == []
    assert not {"x-mexc-apikey", "apikey", "signature", "request-time"} & set(headers_of(request))
    assert request["target"] == target


def wired_unsigned(bot: MexcBot, target: str, lines: bytes) -> Answered:
    with wire_to(bot) as wire:
        wire.send(f"GET /mexc{target} HTTP/1.1\r\nHost: a\r\n".encode() + lines + b"\r\n")
        return wire.answer()


# ---- another code ------------------------------------------------------------------------------


def test_an_account_has_a_code_of_its_own_and_another_later(house: MexcHouse) -> None:
    bot = house.newcomer("--code", "resellerCODE")
    answers = _orders_of(bot)
    assert all(map(taken, answers)), list(map(pretty, answers))
    assert_ours(house.received, "resellerCODE")
    assert order_sources(house) == {"resellerCODE"}
    house.forget()
    done = house.proxy.run(
        "users", "set", house.newest, "--exchange", "mexc", "--code", "second-CODE"
    )
    assert done.returncode == 0, done.stderr

    def changed() -> bool:
        assert taken(bot.call("GET", ACCOUNT_PATH))
        return sources(house.last) == ["second-CODE"]

    eventually("the new code is used", changed)


@pytest.mark.parametrize("code", ["a,b", "caf\u00e9", "a\r\nb: c"])
def test_a_code_that_no_header_can_carry_is_refused(house: MexcHouse, code: str) -> None:
    real = house.exchange.add_user()
    command = ("users", "add", "odd", "--exchange", "mexc", "--code", code)
    done = house.proxy.run(*command, stdin=real.as_json())
    assert done.returncode in (1, 2), done
    assert "Traceback" not in done.stderr
    assert "code" in done.stderr


# ---- the bot's own code ------------------------------------------------------------------------


@contextlib.contextmanager
def proxy_that(running: MexcHouse, directory: Path, on_conflict: str) -> Iterator[MexcBot]:
    sections = {**WIDE, "tagging": {"on_conflict": on_conflict}}
    with proxy_in(directory, running.simulator, sections, start=False, kinds=KINDS) as proxy:
        real = running.exchange.add_user()
        issued = proxy.add_user("kate", real, exchange="mexc")
        proxy.start()
        bot = proxy.mexc_bot(issued)
        running.introduce(bot)
        PROXIES[bot] = proxy
        yield bot


PROXIES: Final[dict[MexcBot, Proxy]] = {}


@pytest.fixture(scope="module")
def keeping(running: MexcHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MexcBot]:
    with proxy_that(running, tmp_path_factory.mktemp("keep"), "keep") as bot:
        yield bot


@pytest.fixture(scope="module")
def rejecting(running: MexcHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MexcBot]:
    with proxy_that(running, tmp_path_factory.mktemp("reject"), "reject") as bot:
        yield bot


ORDERS: Final = [CALLS[0], CALLS[2]]


@pytest.mark.parametrize("call", ORDERS, ids=["spot", "futures"])
@pytest.mark.parametrize(
    ("lines", "left", "found"),
    [
        (b"source: CCXT\r\n", "CCXT", {"other": 1}),
        (b"SOURCE:   CCXT  \r\n", "CCXT", {"other": 1}),
        (b"source: \r\n", CODE, {"none": 1, "tagged": 1}),
        (b"", CODE, {"none": 1, "tagged": 1}),
        (f"source: {CODE}\r\n".encode(), CODE, {"ours": 1, "tagged": 1}),
    ],
)
def test_a_code_may_be_kept(
    house: MexcHouse,
    keeping: MexcBot,
    call: tuple[str, str, bytes, str],
    lines: bytes,
    left: str,
    found: dict[str, float],
) -> None:
    method, target, body, _ = call
    before = counted(PROXIES[keeping])
    answer = wired(keeping, method, target, body, lines)
    assert taken(answer), pretty(answer)
    assert_ours(house.received, left)
    assert order_sources(house) == {left}
    assert more(PROXIES[keeping], before) == found


@pytest.mark.parametrize(
    "lines",
    [
        b"source: CCXT\r\nsource: EASYT\r\n",
        b"source: a, b\r\n",
        b"source: two words\r\n",
        b"source: caf\xe9\r\n",
        b"source: " + b"x" * 65 + b"\r\n",
    ],
)
def test_what_is_no_single_code_is_not_kept(
    house: MexcHouse, keeping: MexcBot, lines: bytes
) -> None:
    answer = wired(keeping, "POST", PLACE, b"", lines)
    assert (answer.status, answer.slug) == (400, "bad_request"), pretty(answer)
    assert house.received == []


def test_only_orders_keep_a_code(house: MexcHouse, keeping: MexcBot) -> None:
    for target in (ACCOUNT_PATH, FUTURES_READ):
        assert taken(keeping.call("GET", target))
    assert_ours(house.received)


@pytest.mark.parametrize("call", ORDERS, ids=["spot", "futures"])
def test_another_brokers_order_may_be_rejected(
    house: MexcHouse, rejecting: MexcBot, call: tuple[str, str, bytes, str]
) -> None:
    method, target, body, venue = call
    for lines in (b"source: CCXT\r\n", f"source: {CODE}\r\nSource: CCXT\r\n".encode()):
        answer = wired(rejecting, method, target, body, lines)
        assert (answer.status, answer.slug) == (400, "tag_conflict"), pretty(answer)
        assert answer.content["code"] == (600 if venue == "futures" else 700004)
        assert "CCXT" in answer.content["msg"]
        assert "NOT SENT" in answer.content["msg"]
    assert house.received == []
    for lines in (b"", b"source:\r\n", f"source: {CODE}\r\n".encode()):
        answer = wired(rejecting, method, target, body, lines)
        assert taken(answer), pretty(answer)
    assert_ours(house.received)


def test_a_rejected_order_may_be_signed_once_more_by_the_same_signature(
    house: MexcHouse, rejecting: MexcBot
) -> None:
    """It was never sent, so its signature is not used up."""
    signed = replace(rejecting, source="").signed("POST", PLACE)
    answers = [
        bare(rejecting, "POST", signed.target, b"", signed.headers | more_headers)
        for more_headers in ({"source": "CCXT"}, {})
    ]
    assert [each.slug for each in answers] == ["tag_conflict", ""], list(map(pretty, answers))
    assert len(house.received) == 1
