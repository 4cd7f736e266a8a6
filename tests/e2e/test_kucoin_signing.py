"""What KuCoin's bots sign and how they spell it: all that clients do is taken, and what leaves is
signed as the documentation has it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.bot import Answered, next_ms
from tests.e2e.kucoin_bot import FUTURES_ORDER, ORDER_PATH, KucoinBot, named, spot_order
from tests.e2e.kucoin_house import (
    ACCOUNTS_PATH,
    KucoinHouse,
    assert_ours,
    assert_signed,
    headers_of,
    kucoin_house_in,
    mac,
    placed,
    pretty,
)
from tests.e2e.processes import ROOT, fetch, free_port
from tests.e2e.wire import wire_to

pytestmark = pytest.mark.e2e

CLASSES: Final = "withdraw,transfer,deposit,keys,subaccount,broker"
EVERY_PERMISSION: Final = "General,Spot,Margin,Futures,Earn,Withdraw,Transfer,LeadtradeFutures"
# No such path, or not signed as it wants: what no row may be answered with.
REFUSED: Final = {
    *("404000", "405000"),
    *("400001", "400003", "400004", "400005", "400007", "400200", "400201"),
}
TICKER: Final = "/api/v1/market/orderbook/level1?symbol=BTC-USDT"
SHARED_PAIRS: Final = 14  # of spot and futures, in the tables as they are
# KuCoin's own sources do not agree whether it wants a key; bots read it without one.
DISPUTED: Final = ("futures", "GET", "/api/v1/contracts/risk-limit/{symbol}")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KucoinHouse]:
    ports = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    sections: dict[str, dict[str, Any]] = {
        "limits": {"unpublished": "100/2s"},
        "exchanges.kucoin": {"listen": ports[0]},
        "exchanges.kucoin.futures": {"listen": ports[1]},
        "exchanges.kucoin.broker": {"listen": ports[2]},
    }
    with kucoin_house_in(tmp_path_factory.mktemp("signing"), sections) as house:
        yield house


@pytest.fixture
def house(running: KucoinHouse) -> KucoinHouse:
    running.forget()
    return running


@pytest.fixture(scope="module")
def grantee(running: KucoinHouse) -> KucoinBot:
    """A bot of an account that may call everything, here and at the exchange."""
    options = ("--allow", CLASSES)
    bot = running.newcomer(*options, broker=True, perm=EVERY_PERMISSION, vip=12)
    running.ask(bot)
    return bot


def port_of(house: KucoinHouse, venue: str = "") -> str:
    """The base URL of a port of its own."""
    name = "exchanges.kucoin" + (f".{venue}" if venue else "")
    return f"http://{house.proxy.sections[name]['listen']}"


def signing(bot: KucoinBot, method: str, said: str, body: bytes = b"") -> dict[str, str]:
    """Headers whose signature covers exactly `said` for the path and query."""
    now = str(next_ms())
    text = f"{now}{method}{said}{body.decode()}"
    headers = bot.headers(method, said, body)
    sign = mac(bot.triple.secret, text)
    return headers | {"KC-API-TIMESTAMP": now, "KC-API-SIGN": sign}


# ---- queries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("?currency=USDT&type=main", "?currency=USDT&type=main"),
        ("?a=BTC%2CETH", "?a=BTC%2CETH"),  # raw
        ("?a=BTC%2CETH", "?a=BTC,ETH"),  # decoded, as the documentation has it
        ("?a=BTC,ETH", "?a=BTC,ETH"),
        ("?a=x%20y", "?a=x y"),
        ("?a=x+y", "?a=x y"),  # plus-decoded: kucoin-universal-sdk
        ("?a=x+y", "?a=x+y"),
        ("?a=x+y%2Cz", "?a=x y,z"),
        ("?a=x+y%2Cz", "?a=x+y,z"),
        ("?a=x+y", "?a=x%20y"),
        ("?a=%21%40%23", "?a=!@#"),  # the documentation's own example
        ("?a=%E4%B8%AD", "?a=中"),
        ("?a=%2B1", "?a=+1"),
        ("?a=1%25", "?a=1%"),
        ("?", "?"),
        ("?", ""),
        ("", "?"),
        ("?a=", "?a="),
        ("?a", "?a"),
        ("?b=2&a=1&b=3", "?b=2&a=1&b=3"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/kucoin"])
def test_each_reading_of_a_query_that_clients_sign_is_taken(
    house: KucoinHouse, sent: str, said: str, prefix: str
) -> None:
    headers = signing(house.bot, "GET", f"{prefix}{ACCOUNTS_PATH}{said}")
    answer = sent_as(house.bot, "GET", ACCOUNTS_PATH + sent, headers)
    assert placed(answer), pretty(answer)
    assert_ours(house.last)
    assert_signed(house.last, house.real)
    meant = sent.replace("+", "%20") if len(sent) > 1 else ""
    assert house.last["target"] == ACCOUNTS_PATH + meant


def sent_as(
    bot: KucoinBot, method: str, target: str, headers: dict[str, str], body: bytes = b""
) -> Answered:
    """Send a target byte for byte, with exactly these headers."""
    path = bot.base_url.partition("//")[2].partition("/")[2]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"{method} {'/' + path if path else ''}{target} HTTP/1.1\r\nHost: x\r\n{lines}"
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    with wire_to(bot) as wire:
        wire.send(f"{head}{length}\r\n".encode() + body)
        return wire.answer()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("?a=1%26b=2", "?a=1&b=2"),  # another separator than was sent
        ("?a=1&b=2", "?a=1%26b=2"),
        ("?a%3D1=2", "?a=1=2"),
        ("?a=1", "?A=1"),
        ("?a=1&b=2", "?b=2&a=1"),
        ("?a=%252C", "?a=,"),  # decoded twice
        ("?a=x%2By", "?a=x y"),
        ("?a=x%20y", "?a=x+y"),
    ],
)
def test_a_signature_stands_for_one_query_only(house: KucoinHouse, sent: str, said: str) -> None:
    headers = signing(house.bot, "GET", ACCOUNTS_PATH + said)
    answer = sent_as(house.bot, "GET", ACCOUNTS_PATH + sent, headers)
    assert (answer.status, answer.code, answer.slug) == (401, "400005", "bad_signature")
    assert house.received == []


def test_futures_may_sign_their_whole_prefix(house: KucoinHouse) -> None:
    bot = house.futures_bot
    path = "/api/v1/positions"
    for prefix in ("", "/kucoin/futures"):
        answer = sent_as(bot, "GET", path, signing(bot, "GET", prefix + path))
        assert placed(answer), pretty(answer)
        assert (house.last["venue"], house.last["target"]) == ("futures", path)
    for prefix in ("/kucoin", "/futures", "/kucoin/futures/"):
        answer = sent_as(bot, "GET", path, signing(bot, "GET", prefix + path))
        assert answer.slug == "bad_signature"


def test_a_body_may_have_a_query_beside_it(house: KucoinHouse) -> None:
    target = f"{ORDER_PATH}/test?tradeType=TRADE%2CX"
    for said in (target, f"{ORDER_PATH}/test?tradeType=TRADE,X"):
        body = json.dumps(spot_order()).encode()
        headers = signing(house.bot, "POST", said, body)
        answer = sent_as(house.bot, "POST", target, headers, body)
        assert placed(answer), pretty(answer)
        assert (house.last["target"], house.last["body"]) == (target, body.decode())


def test_an_order_of_futures_has_none(house: KucoinHouse) -> None:
    """Whether it only closes a position is read off its body."""
    answer = house.futures_bot.call("POST", "/api/v1/orders?symbol=XBTUSDTM", named(FUTURES_ORDER))
    assert (answer.status, answer.code, answer.slug) == (400, "400100", "bad_request")
    assert house.received == []


def test_a_delete_may_have_a_body(house: KucoinHouse) -> None:
    made = [house.futures_bot.futures_order() for _ in range(2)]
    ids = [answer.content["data"]["orderId"] for answer in made]
    path = "/api/v1/orders/multi-cancel"
    answer = house.futures_bot.call("DELETE", path, {"orderIdsList": ids})
    assert placed(answer), pretty(answer)
    assert [each["orderId"] for each in answer.content["data"]] == ids
    assert json.loads(house.last["body"]) == {"orderIdsList": ids}
    assert house.last["method"] == "DELETE"
    headers = signing(house.futures_bot, "DELETE", path, b'{"orderIdsList":["1"]}')
    changed = sent_as(house.futures_bot, "DELETE", path, headers, b'{"orderIdsList":["2"]}')
    assert changed.slug == "bad_signature"


# ---- passphrases and keys ----------------------------------------------------------------------


@pytest.mark.parametrize("version", ["3", "2", "1", ""])
@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "clear"])
@pytest.mark.parametrize("whose", ["issued", "own"])
def test_a_passphrase_may_come_in_each_form(
    house: KucoinHouse, version: str, sealed: bool, whose: str
) -> None:
    """Of issued credentials and of the account's own key, at the same time."""
    bot = house.bot if whose == "issued" else house.own_bot
    bot = replace(bot, version=version, sealed=sealed)
    for each in (bot, replace(bot, base_url=f"{bot.base_url}/futures")):
        path = "/api/v1/positions" if "futures" in each.base_url else ACCOUNTS_PATH
        answer = each.call("GET", path)
        assert placed(answer), pretty(answer)
        assert_signed(house.last, house.real)


def test_header_names_come_in_any_case(house: KucoinHouse) -> None:
    """Go's clients send Kc-Api-Key."""
    for spelled in (str.title, str.lower, str.upper):
        headers = house.bot.headers("GET", ACCOUNTS_PATH)
        headers = {spelled(name): value for name, value in headers.items()}
        assert placed(sent_as(house.bot, "GET", ACCOUNTS_PATH, headers))


@pytest.mark.parametrize("off_ms", [-4_500, 4_000])
def test_a_clock_within_five_seconds_is_good(house: KucoinHouse, off_ms: int) -> None:
    body = json.dumps(spot_order()).encode()
    now_ms = next_ms() + off_ms
    signed = house.bot.signed("POST", ORDER_PATH, body, now_ms=now_ms)
    answer = sent_as(house.bot, "POST", ORDER_PATH, signed.headers, body)
    assert placed(answer), pretty(answer)
    assert headers_of(house.last)["kc-api-timestamp"] != str(now_ms)


@pytest.mark.parametrize("method_and_target", ["GET " + TICKER, "POST /api/v1/bullet-public"])
def test_a_public_call_that_names_a_key_but_does_not_sign_is_anybodys(
    house: KucoinHouse, method_and_target: str
) -> None:
    """python-kucoin sends key and passphrase, in clear, with every call."""
    method, target = method_and_target.split()
    headers = {
        "KC-API-KEY": house.issued.api_key,
        "KC-API-PASSPHRASE": house.issued.passphrase,
        "Accept": "application/json",
        "Content-Type": "application/json",
        "KC-API-PARTNER": "python-kucoinspot",
        "KC-API-PARTNER-VERIFY": "true",
    }
    answer = sent_as(house.bot, method, target, headers)
    assert placed(answer), pretty(answer)
    (request,) = house.exchange.requests
    assert not [name for name in headers_of(request) if name.startswith("kc-")]
    assert house.issued.passphrase not in str(request)


def test_such_a_call_is_refused_where_a_key_is_needed(house: KucoinHouse) -> None:
    headers = {
        "KC-API-KEY": house.issued.api_key,
        "KC-API-PASSPHRASE": house.issued.passphrase,
    }
    answer = sent_as(house.bot, "GET", ACCOUNTS_PATH, headers)
    assert (answer.status, answer.code) == (400, "400001")
    assert answer.slug == "missing_credentials"


# ---- where it goes -----------------------------------------------------------------------------


def rows() -> list[tuple[str, str, str]]:
    """Venue, method and path of every row of the table."""
    table = tomllib.loads(Path(ROOT / "proxy/exchanges/kucoin/endpoints.toml").read_text())
    return [(row.get("venue", "main"), row["method"], row["path"]) for row in table["endpoint"]]


def shared_pairs() -> list[tuple[str, str]]:
    of = {venue: {row[1:] for row in rows() if row[0] == venue} for venue in ("main", "futures")}
    return sorted(of["main"] & of["futures"])


def filled(path: str) -> str:
    return "/".join("abc-1" if part.startswith("{") else part for part in path.split("/"))


def test_shared_paths_go_to_the_venue_of_the_base_url(
    house: KucoinHouse, grantee: KucoinBot
) -> None:
    pairs = shared_pairs()
    assert len(pairs) == SHARED_PAIRS
    for method, path in pairs:
        for venue, below in (("main", ""), ("futures", "/futures")):
            bot = replace(grantee, base_url=grantee.base_url + below)
            answer = bot.call(method, filled(path), content_for(venue, method, path))
            assert answer.slug == "", (venue, method, path, pretty(answer))
            request = house.exchange.requests[-1]
            assert (request["venue"], request["method"]) == (venue, method)
            assert request["target"] == filled(path)


@pytest.mark.timeout(60)
def test_every_row_of_the_table_is_served(house: KucoinHouse, grantee: KucoinBot) -> None:
    """Each leaves signed, as ours, for the host it belongs to, and exists there."""
    house.exchange.control("POST", "limits", {"edge": "5000/1"})
    wrong = []
    for venue, method, path in rows():
        below = "" if venue == "main" else f"/{venue}"
        bot = replace(grantee, base_url=grantee.base_url + below)
        answer = bot.call(method, filled(path), content_for(venue, method, path))
        request = house.exchange.requests[-1]
        arrived = (request["venue"], request["method"], request["target"])
        served = answer.slug == "" and request["code"] not in REFUSED
        if not served or arrived != (venue, method, filled(path)):
            wrong.append((venue, method, path))
    assert wrong == [DISPUTED]
    assert house.exchange.breaches == {}


def content_for(venue: str, method: str, path: str) -> Any:
    if method != "POST":
        return None
    if not path.endswith(("orders/multi", "multi/sync")):
        return {}
    return [named(FUTURES_ORDER)] if venue == "futures" else {"orderList": [spot_order()]}


def test_a_port_of_its_own_needs_no_prefix(house: KucoinHouse, grantee: KucoinBot) -> None:
    for venue, path in (
        ("", ACCOUNTS_PATH),
        ("futures", "/api/v1/positions"),
        ("broker", "/api/v1/broker/nd/info"),
    ):
        bot = replace(grantee, base_url=port_of(house, venue))
        answer = bot.call("GET", path)
        assert placed(answer), pretty(answer)
        assert house.last["venue"] == (venue or "main")
        assert_ours(house.last)
    spot = replace(house.bot, base_url=port_of(house))
    assert placed(spot.order())
    assert placed(replace(spot, base_url=spot.base_url + "/futures").futures_order())
    assert placed(replace(house.bot, base_url=port_of(house, "futures")).futures_order())
    assert [each["venue"] for each in house.exchange.orders] == ["main", "futures", "futures"]
    me = replace(spot, base_url=port_of(house, "futures")).call("GET", "/tagproxy/me")
    assert me.status == 200, pretty(me)


def test_nothing_is_served_beside_the_prefix(house: KucoinHouse) -> None:
    status, _ = fetch(f"{port_of(house)}/kucoin{TICKER}")
    assert status in (400, 404)
    status, _ = fetch(f"http://127.0.0.1:{house.proxy.port}{TICKER}")
    assert status == 404
    assert house.received == []


# ---- path variables ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "my-order_1", "x" * 40, "5c52e11203aa677f33e493fb"])
def test_an_order_is_found_by_the_bots_own_name(house: KucoinHouse, name: str) -> None:
    assert placed(house.bot.order(clientOid=name))
    path = f"/api/v1/hf/orders/client-order/{name}?symbol=BTC-USDT"
    found = house.bot.call("GET", path)
    assert placed(found), pretty(found)
    assert found.content["data"]["clientOid"] == name
    assert house.last["target"] == path
    order_id = found.content["data"]["id"]
    by_id = house.bot.call("GET", f"/api/v1/hf/orders/{order_id}?symbol=BTC-USDT")
    assert by_id.content["data"]["clientOid"] == name
    assert placed(house.bot.call("DELETE", path)), pretty(found)
    assert house.line(found)["endpoint"] == "GET v1/hf/orders/client-order/{clientOid}"


@pytest.mark.parametrize("name", ["a.b", "a:b", "a@b", "~a", "a%3Ab", "a%24", "cancelAll2"])
def test_odd_names_leave_as_they_came(house: KucoinHouse, name: str) -> None:
    """That the exchange does not take such a name is for it to say."""
    path = f"/api/v1/hf/orders/client-order/{name}?symbol=BTC-USDT"
    answer = sent_as(house.bot, "GET", path, signing(house.bot, "GET", path))
    assert answer.slug == "", pretty(answer)
    assert answer.code not in ("400005", "404000")
    assert house.last["target"] == path
    line = house.line(answer)
    assert line["endpoint"] == "GET v1/hf/orders/client-order/{clientOid}"


@pytest.mark.parametrize(
    "name",
    [
        "a%2Fb",
        "%61",
        "a%2e",
        "..",
        "%2e%2e",
        "a;b",
        "a%3Bb",
        "a\\b",
        "a%5Cb",
        "a%",
        "a%00",
        "",
        "a%20b",
    ],
)
def test_names_that_could_be_read_in_two_ways_are_refused(house: KucoinHouse, name: str) -> None:
    for method in ("GET", "DELETE"):
        path = f"/api/v1/hf/orders/client-order/{name}"
        answer = sent_as(house.bot, method, path, signing(house.bot, method, path))
        assert (answer.status, answer.slug) == (400, "bad_request"), pretty(answer)
        assert answer.code == "400100"
    assert house.received == []


def test_a_fixed_path_is_not_taken_for_a_variable(house: KucoinHouse) -> None:
    """…/orders/cancelAll is not the order called so: their weights differ."""
    answer = house.bot.call("DELETE", "/api/v1/hf/orders/cancelAll")
    assert placed(answer), pretty(answer)
    assert house.line(answer)["endpoint"] == "DELETE v1/hf/orders/cancelAll"


def test_another_spelling_of_a_known_write_is_refused(house: KucoinHouse) -> None:
    for path in ("/api/v1/HF/orders", "/api/v1/hf/orders/", "/api/v1//hf/orders", "/API/v1/orders"):
        answer = house.bot.call("POST", path, spot_order())
        assert (answer.status, answer.slug) == (400, "bad_request"), pretty(answer)
    assert house.received == []
