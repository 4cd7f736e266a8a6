"""What an account of KuCoin's may do: sensitive classes, accounts that may only close, writes that
no table knows."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.e2e.bot import Answered
from tests.e2e.kucoin_bot import FUTURES_ORDER, FUTURES_ORDER_PATH, KucoinBot, named, spot_order
from tests.e2e.kucoin_house import (
    ACCOUNTS_PATH,
    KucoinHouse,
    assert_ours,
    kucoin_house_in,
    placed,
    pretty,
)
from tests.e2e.processes import ROOT, eventually

pytestmark = pytest.mark.e2e

CLASSES: Final = ("withdraw", "transfer", "deposit", "keys", "subaccount", "broker")
EVERY_PERMISSION: Final = "General,Spot,Margin,Futures,Earn,Withdraw,Transfer,LeadtradeFutures"
WITHDRAWAL: Final = {"currency": "USDT", "amount": "5", "toAddress": "x", "withdrawType": "ADDRESS"}
TRANSFER: Final = {"clientOid": "1", "currency": "USDT", "amount": "1", "type": "INTERNAL"}
SPAN: Final = "begin=20260901&end=20260930"
ALL_AND: Final = "siteType=all&tradeType=all"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KucoinHouse]:
    sections = {"security": {"unknown_writes": "forward"}}
    with kucoin_house_in(tmp_path_factory.mktemp("grants"), sections) as house:
        yield house


@pytest.fixture
def house(running: KucoinHouse) -> KucoinHouse:
    running.forget()
    return running


@pytest.fixture(scope="module")
def grantees(running: KucoinHouse) -> dict[str, KucoinBot]:
    """A bot for each class, of an account that was granted this one alone."""
    return {
        name: running.newcomer("--allow", name, broker=True, perm=EVERY_PERMISSION)
        for name in CLASSES
    }


def rows() -> dict[str, list[tuple[str, str, str]]]:
    """Venue, method and path of every sensitive row, by class."""
    table = tomllib.loads((ROOT / "proxy/exchanges/kucoin/endpoints.toml").read_text())
    found = defaultdict(list)
    for row in table["endpoint"]:
        path = row["path"].replace("{withdrawalId}", "w1")
        if "sensitive" in row:
            found[row["sensitive"]].append((row.get("venue", "main"), row["method"], path))
    return dict(found)


def at(bot: KucoinBot, venue: str) -> KucoinBot:
    return bot if venue == "main" else replace(bot, base_url=f"{bot.base_url}/{venue}")


def forbidden(answer: Answered) -> bool:
    told = (answer.status, answer.code, answer.slug) == (403, "400007", "forbidden_endpoint")
    return told and answer.content["msg"].startswith("Access denied, require more permission [")


# ---- classes -----------------------------------------------------------------------------------


def test_every_class_has_its_rows() -> None:
    found = rows()
    assert sorted(found) == sorted(CLASSES)
    assert {venue for venue, _, _ in found["broker"]} == {"main", "broker"}
    assert {venue for venue, _, _ in found["transfer"]} == {"main", "futures"}


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_for_who_was_granted_it(
    house: KucoinHouse, grantees: dict[str, KucoinBot], name: str
) -> None:
    other = grantees[CLASSES[CLASSES.index(name) - 1]]
    for venue, method, path in rows()[name]:
        content: Any = {} if method == "POST" else None
        for bot in (house.bot, other):
            answer = at(bot, venue).call(method, path, content)
            assert forbidden(answer), (venue, method, path, pretty(answer))
            assert f"class {name} is not granted" in answer.content["msg"]
    assert house.received == []
    for venue, method, path in rows()[name]:
        content = {} if method == "POST" else None
        answer = at(grantees[name], venue).call(method, path, content)
        assert answer.slug == "", (venue, method, path, pretty(answer))
        assert (house.last["venue"], house.last["method"]) == (venue, method)
        assert answer.code not in ("400005", "400007", "400200", "400201", "404000")
        assert_ours(house.last)


UNLISTED: Final = [
    ("withdraw", "GET", "/api/v9/withdrawals/quotas2"),
    ("withdraw", "POST", "/api/v9/withdrawals"),
    ("transfer", "POST", "/api/v9/accounts/universal-transfer"),
    ("deposit", "POST", "/api/v9/deposit-address/make"),
    ("keys", "POST", "/api/v9/sub/api-key"),
    ("subaccount", "POST", "/api/v9/sub-accounts/x"),
    ("broker", "GET", "/api/v9/broker/any"),
    ("broker", "POST", "/api/kyc/anything"),
]


@pytest.mark.parametrize(("name", "method", "path"), UNLISTED)
def test_a_path_that_no_row_knows_has_the_class_of_its_words(
    house: KucoinHouse, grantees: dict[str, KucoinBot], name: str, method: str, path: str
) -> None:
    """Though writes that nobody knows are forwarded here."""
    content: Any = {} if method == "POST" else None
    for below in ("main", "futures"):
        assert forbidden(at(house.bot, below).call(method, path, content))
        assert forbidden(at(house.bot, below).call(method, path.upper(), content))
    assert house.received == []
    answer = grantees[name].call(method, path, content)
    assert (answer.status, answer.slug) == (404, ""), pretty(answer)
    assert_ours(house.last)


def test_money_moves_for_who_may_move_it(
    house: KucoinHouse, grantees: dict[str, KucoinBot]
) -> None:
    for answer in (
        grantees["withdraw"].call("POST", "/api/v3/withdrawals", WITHDRAWAL),
        grantees["transfer"].call("POST", "/api/v3/accounts/universal-transfer", TRANSFER),
        at(grantees["transfer"], "futures").call("POST", "/api/v3/transfer-out", TRANSFER),
    ):
        assert placed(answer), pretty(answer)


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v2/broker/api/rebase/download?{SPAN}&tradeType=SPOT",
        f"/api/v2/broker/api/rebate/download?{SPAN}&tradeType=FUTURE",
        f"/api/v2/broker/queryMyCommission?{ALL_AND}&rebateType=0",
        f"/api/v2/broker/queryUser?{ALL_AND}&page=1&pageSize=100",
        f"/api/v2/broker/queryDetailByUid?{ALL_AND}&uid=1&direction=NEXT",
        "/api/v1/broker/nd/info?begin=20260901&end=20260930&tradeType=1",
        f"/api/v1/broker/nd/rebase/download?{SPAN}&tradeType=1",
    ],
)
def test_a_brokers_reports_come_to_the_brokers_own_account(
    house: KucoinHouse, grantees: dict[str, KucoinBot], path: str
) -> None:
    answer = grantees["broker"].call("GET", path)
    assert placed(answer), pretty(answer)
    assert house.last["target"] == path
    assert house.last["venue"] == ("broker" if "/nd/" in path else "main")
    assert forbidden(house.bot.call("GET", path))


# ---- what no table knows -----------------------------------------------------------------------


def test_writes_that_nobody_knows_are_forwarded_where_it_says_so(house: KucoinHouse) -> None:
    for venue in ("main", "futures"):
        answer = at(house.bot, venue).call("POST", "/api/v9/new/thing", {"a": 1})
        assert (answer.status, answer.slug, answer.code) == (404, "", "404000")
        assert (house.last["venue"], house.last["body"]) == (venue, '{"a": 1}')
        assert_ours(house.last)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/ua/v1/unified/order/place"),
        ("POST", "/API/UA/v1/order"),
        ("DELETE", "/api/ua/v9/x"),
        ("POST", "/api/ua/v1/account/withdrawal"),
        ("GET", "/api/ua/v2/account/fee/kcs-deduct"),
        ("POST", "/api/ua"),
    ],
)
def test_writes_of_the_unified_account_never_leave(
    house: KucoinHouse, method: str, path: str
) -> None:
    for venue in ("main", "futures"):
        answer = at(house.bot, venue).call(method, path, {} if method == "POST" else None)
        assert forbidden(answer), pretty(answer)
        assert "unified account" in answer.content["msg"]
    assert house.received == []


@pytest.mark.parametrize("path", ["/_api/trade/orders", "/_oauth/access-token", "/oauth"])
def test_calls_of_the_web_site_never_leave(house: KucoinHouse, path: str) -> None:
    for method in ("GET", "POST"):
        answer = house.bot.call(method, path, {} if method == "POST" else None)
        assert forbidden(answer), pretty(answer)
        assert "web site" in answer.content["msg"]
    assert house.received == []


@pytest.mark.parametrize(
    "path", ["/api/v1/orders/", "/API/v1/orders", "/api/v1/Orders", "/api/v1/orders%2F"]
)
def test_no_other_spelling_of_a_known_write_is_forwarded(house: KucoinHouse, path: str) -> None:
    for venue in ("main", "futures"):
        answer = at(house.bot, venue).call("POST", path, spot_order())
        assert (answer.status, answer.slug) == (400, "bad_request"), pretty(answer)
    assert house.received == []


# ---- accounts that may only close --------------------------------------------------------------


@pytest.fixture(scope="module")
def closing(running: KucoinHouse) -> KucoinBot:
    """A bot of an account that may only close."""
    bot = running.newcomer()
    told = ("--mode", "close-only", "--reason", "unpaid bill")
    done = running.proxy.run("users", "disable", running.newest, *told)
    assert done.returncode == 0, done.stderr
    eventually("orders are refused", lambda: bot.order().slug == "forbidden_endpoint")
    return bot


def test_close_only_lets_reads_and_cancels_pass(house: KucoinHouse, closing: KucoinBot) -> None:
    for venue, method, target in (
        ("main", "GET", ACCOUNTS_PATH),
        ("main", "DELETE", "/api/v1/hf/orders?symbol=BTC-USDT"),
        ("main", "DELETE", "/api/v1/hf/orders/abc?symbol=BTC-USDT"),
        ("futures", "GET", "/api/v1/positions"),
        ("futures", "DELETE", "/api/v3/orders?symbol=XBTUSDTM"),
    ):
        answer = at(closing, venue).call(method, target)
        assert answer.slug == "", pretty(answer)


@pytest.mark.parametrize(
    "changes",
    [
        {"reduceOnly": True},
        {"closeOrder": True},
        {"closeOrder": True, "side": "sell", "size": 0},
    ],
)
def test_close_only_lets_futures_orders_reduce(
    house: KucoinHouse, closing: KucoinBot, changes: dict[str, Any]
) -> None:
    answer = at(closing, "futures").futures_order(**changes)
    assert placed(answer), pretty(answer)
    assert_ours(house.last)
    batch = [named(FUTURES_ORDER) | changes for _ in range(2)]
    answer = at(closing, "futures").call("POST", "/api/v1/orders/multi", batch)
    assert answer.slug == "", pretty(answer)


TWICE: Final = b'{"clientOid":"a1","symbol":"XBTUSDTM","side":"buy","type":"market","size":1,'


@pytest.mark.parametrize(
    "content",
    [
        FUTURES_ORDER,
        FUTURES_ORDER | {"reduceOnly": False},
        FUTURES_ORDER | {"reduceOnly": "true"},
        FUTURES_ORDER | {"closeOrder": 1},
        FUTURES_ORDER | {"reduceOnly": None},
        FUTURES_ORDER | {"reduceonly": True},
        FUTURES_ORDER | {"remark": "reduceOnly"},
        FUTURES_ORDER | {"reduceOnly": True, "positionSide": "LONG"},  # buys a long position
        TWICE + b'"reduceOnly":true,"reduceOnly":false}',
        TWICE + b'"reduceOnly":true,"reduce\\u004fnly":false}',
        b"{",
        b"[]",
    ],
)
def test_close_only_refuses_what_may_open(
    house: KucoinHouse, closing: KucoinBot, content: Any
) -> None:
    answer = at(closing, "futures").call("POST", FUTURES_ORDER_PATH, content)
    assert forbidden(answer), pretty(answer)
    assert "unpaid bill" in answer.content["msg"]
    assert house.received == []


def test_close_only_knows_no_reducing_spot_order(house: KucoinHouse, closing: KucoinBot) -> None:
    for path in ("/api/v1/hf/orders", "/api/v1/orders", "/api/v3/hf/margin/order"):
        answer = closing.call("POST", path, spot_order(reduceOnly=True, closeOrder=True))
        assert forbidden(answer), pretty(answer)
    batch = [named(FUTURES_ORDER) | {"reduceOnly": True}, named(FUTURES_ORDER)]
    mixed = at(closing, "futures").call("POST", "/api/v1/orders/multi", batch)
    assert forbidden(mixed), pretty(mixed)
    assert house.received == []


def test_a_disabled_user_is_nobody(house: KucoinHouse) -> None:
    bot = house.newcomer()
    done = house.proxy.run("users", "disable", house.newest, "--reason", "gone")
    assert done.returncode == 0, done.stderr
    eventually("the user is disabled", lambda: bot.call("GET", bot.ASKS).status == 401)
    for each in (bot.order(), at(bot, "futures").futures_order()):
        assert (each.status, each.code, each.slug) == (401, "400003", "user_disabled")
        assert "gone" in each.content["msg"]
    assert house.proxy.run("users", "enable", house.newest).returncode == 0
    eventually("the user is back", lambda: placed(bot.order()))
