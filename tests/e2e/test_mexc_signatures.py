"""Every way in which clients sign for MEXC is taken, and what leaves is signed in one.

The simulator verifies what leaves, by the documentation alone: whatever it takes was right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

import pytest

from tests.e2e.bot import Triple
from tests.e2e.mexc_bot import FUTURES_ORDER, ORDER, MexcBot, spot_query
from tests.e2e.mexc_house import (
    ACCOUNT_PATH,
    BATCH_PATH,
    CODE,
    CREATE_PATH,
    FUTURES_READ,
    ORDER_PATH,
    MexcHouse,
    assert_ours,
    bare,
    headers_of,
    keyed,
    mac,
    mexc_house_in,
    pretty,
    said_in,
    stamp,
    stamped,
    taken,
)
from tests.e2e.processes import eventually, free_port

pytestmark = pytest.mark.e2e

P: Final = spot_query()
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MexcHouse]:
    own_port = f"127.0.0.1:{free_port()}"
    futures_port = f"127.0.0.1:{free_port()}"
    sections: dict[str, dict[str, Any]] = {
        "exchanges.mexc": {"listen": own_port},
        "exchanges.mexc.futures": {"listen": futures_port},
    }
    with mexc_house_in(tmp_path_factory.mktemp("signatures"), sections) as house:
        yield house


@pytest.fixture
def house(running: MexcHouse) -> MexcHouse:
    running.forget()
    return running


def orders(house: MexcHouse) -> list[dict[str, Any]]:
    return house.exchange.orders


# ---- spot --------------------------------------------------------------------------------------


class Sent(NamedTuple):
    """An order as some client sends it: `said` is what it signed."""

    query: str
    body: str
    said: str
    kind: str = JSON
    signature: Callable[[str], str] = str


def _in_query(p: str, t: str, said: str = "") -> Sent:
    said = said or f"{p}&{t}"
    return Sent(f"{p}&{t}&signature=$", "", said)


SPOT: Final[dict[str, Callable[[str], Sent]]] = {
    "query": lambda t: _in_query(P, t),
    "query, time first": lambda t: _in_query(t, P),
    "query, no content type": lambda t: Sent(f"{P}&{t}&signature=$", "", f"{P}&{t}", ""),
    "query, form": lambda t: Sent(f"{P}&{t}&signature=$", "", f"{P}&{t}", FORM),
    "query, signature first": lambda t: Sent(f"signature=$&{P}&{t}", "", f"{P}&{t}"),
    "query, signature amid": lambda t: Sent(f"{P}&signature=$&{t}", "", f"{P}&{t}"),
    "query, upper-case hex": lambda t: Sent(
        f"{P}&{t}&signature=$", "", f"{P}&{t}", JSON, str.upper
    ),
    "query, sorted": lambda t: _in_query(
        "&".join(sorted(f"{P}&{t}".split("&"))), "recvWindow=6000"
    ),
    "body": lambda t: Sent("", f"{P}&{t}&signature=$", f"{P}&{t}"),
    "body, form": lambda t: Sent("", f"{P}&{t}&signature=$", f"{P}&{t}", FORM),
    "body, no content type": lambda t: Sent("", f"{P}&{t}&signature=$", f"{P}&{t}", ""),
    "body, signature first": lambda t: Sent("", f"signature=$&{P}&{t}", f"{P}&{t}"),
    "body, upper-case hex": lambda t: Sent("", f"{P}&{t}&signature=$", f"{P}&{t}", FORM, str.upper),
    "both, glued": lambda t: Sent(P, f"{t}&signature=$", f"{P}{t}"),
    "both, with &": lambda t: Sent(P, f"{t}&signature=$", f"{P}&{t}"),
    "time in query": lambda t: Sent(t, f"{P}&signature=$", f"{t}{P}"),
    "time and signature in query": lambda t: Sent(f"{t}&signature=$", P, f"{t}{P}"),
    "signature alone in query": lambda t: Sent("signature=$", f"{P}&{t}", f"{P}&{t}"),
    "signature alone in body": lambda t: Sent(f"{P}&{t}", "signature=$", f"{P}&{t}"),
    "half and half": lambda t: Sent(
        f"symbol=BTCUSDT&side=BUY&{t}&signature=$",
        "type=LIMIT&quantity=0.001&price=40000",
        f"symbol=BTCUSDT&side=BUY&{t}type=LIMIT&quantity=0.001&price=40000",
        FORM,
    ),
    "json body": lambda t: Sent(f"{t}&signature=$", json.dumps(ORDER), f"{t}{json.dumps(ORDER)}"),
    "compact json body": lambda t: Sent(
        f"{t}&signature=$",
        json.dumps(ORDER, separators=(",", ":")),
        f"{t}{json.dumps(ORDER, separators=(',', ':'))}",
    ),
    "json body with numbers": lambda t: Sent(
        f"{t}&signature=$",
        '{"symbol":"BTCUSDT","side":"BUY","type":"LIMIT","quantity":0.001,"price":40000}',
        f'{t}{{"symbol":"BTCUSDT","side":"BUY","type":"LIMIT","quantity":0.001,"price":40000}}',
    ),
    "window in query": lambda t: _in_query(P, f"recvWindow=60000&{t}"),
    "window in body": lambda t: Sent(
        "", f"{P}&recvWindow=3000&{t}&signature=$", f"{P}&recvWindow=3000&{t}"
    ),
    "empty values": lambda t: _in_query(f"{P}&newClientOrderId=&stpMode=", t),
}


@pytest.mark.parametrize("way", SPOT)
@pytest.mark.parametrize("own", [False, True], ids=["issued", "own"])
def test_an_order_is_taken_however_it_is_signed(house: MexcHouse, way: str, own: bool) -> None:
    bot = house.own_bot if own else house.bot
    sent = SPOT[way](stamp())
    signature = sent.signature(mac(bot, sent.said))
    query, body = (part.replace("$", signature) for part in (sent.query, sent.body))
    target = f"{ORDER_PATH}?{query}" if query else ORDER_PATH
    answer = keyed(bot, target, body.encode(), kind=sent.kind)
    assert taken(answer), pretty(answer)
    request = house.last
    assert_ours([request])
    assert request["body"] == ""
    headers = headers_of(request)
    assert headers["content-type"] == JSON
    assert headers["x-mexc-apikey"] == house.real.api_key
    said = said_in(request)
    assert {name: said.get(name) for name in ORDER} == ORDER
    assert said["signature"] == mac(
        house.own_bot, request["target"].partition("?")[2].rpartition("&")[0]
    )
    assert len(orders(house)) == 1
    windows = [part for part in sent.said.split("&") if part.startswith("recvWindow=")]
    assert [f"recvWindow={said['recvWindow']}"] == windows if windows else "recvWindow" not in said


# What clients sign of values that they send encoded.
VALUES: Final = [
    "a b",
    "a,b",
    "[x]",
    "a&b=c#d",
    "50%",
    "a+b",
    "\u7801\u00e9",
    "a/b:c?d",
    "~_-.",
    '{"a":"b c"}',
]
SPELLINGS: Final[dict[str, tuple[Callable[[str], str], Callable[[str], str]]]] = {
    # sent, signed
    "percent": (lambda v: quote(v, safe=""), lambda v: quote(v, safe="")),
    "lower-case hex": (
        _lower := lambda v: "".join(
            each.lower() if each.startswith("%") else each for each in _escapes(quote(v, safe=""))
        ),
        _lower,
    ),
    "plus": (
        lambda v: quote(v, safe=" ").replace(" ", "+"),
        lambda v: quote(v, safe=" ").replace(" ", "+"),
    ),
    "sent with plus, signed with %20": (
        lambda v: quote(v, safe=" ").replace(" ", "+"),
        lambda v: quote(v, safe=""),
    ),
}


def _escapes(text: str) -> list[str]:
    out, at = [], 0
    while at < len(text):
        size = 3 if text[at] == "%" else 1
        out.append(text[at : at + size])
        at += size
    return out


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", ["query", "body"])
def test_values_arrive_as_they_were_meant(
    house: MexcHouse, value: str, spelling: str, place: str
) -> None:
    send, sign = SPELLINGS[spelling]
    now = stamp()
    sent, said = (f"{P}&note={spell(value)}&{now}" for spell in (send, sign))
    sent = f"{sent}&signature={mac(house.bot, said)}"
    if place == "query":
        answer = keyed(house.bot, f"{ORDER_PATH}?{sent}")
    else:
        answer = keyed(house.bot, ORDER_PATH, sent.encode())
    assert taken(answer), pretty(answer)
    assert said_in(house.last)["note"] == value
    assert f"note={quote(value, safe='')}&" in house.last["target"]


@pytest.mark.parametrize("value", ["a b", "a,b", "[x]", "\u7801", "a/b:c"])
@pytest.mark.parametrize("space", ["%20", "+"])
def test_values_may_be_signed_before_they_are_encoded(
    house: MexcHouse, value: str, space: str
) -> None:
    now = stamp()
    encoded = quote(value, safe="").replace("%20", space)
    signature = mac(house.bot, f"{P}&note={value}&{now}")
    target = f"{ORDER_PATH}?{P}&note={encoded}&{now}&signature={signature}"
    answer = keyed(house.bot, target)
    assert taken(answer), pretty(answer)
    assert said_in(house.last)["note"] == value


@pytest.mark.parametrize("name", ["X-MEXC-APIKEY", "x-mexc-apikey", "X-Mexc-ApiKey"])
def test_the_key_header_is_found_in_any_case(house: MexcHouse, name: str) -> None:
    signed = house.bot.signed("POST", f"{ORDER_PATH}?{P}")
    answer = bare(house.bot, "POST", signed.target, b"", {name: house.issued.api_key})
    assert taken(answer), pretty(answer)
    assert_ours(house.received)


@pytest.mark.parametrize("way", ["query", "body", "lower"])
def test_a_batch_travels_in_the_query(house: MexcHouse, way: str) -> None:
    items = [ORDER | {"newClientOrderId": f"batch-{way}-{number}"} for number in range(20)]
    text = quote(json.dumps(items, separators=(",", ":")), safe="")
    if way == "lower":
        text = text.replace("%2C", "%2c").replace("%5B", "%5b")
    now = stamp()
    said = f"batchOrders={text}&{now}"
    signed = f"{said}&signature={mac(house.bot, said)}"
    answer = (
        keyed(house.bot, BATCH_PATH, signed.encode())
        if way == "body"
        else keyed(house.bot, f"{BATCH_PATH}?{signed}")
    )
    assert taken(answer), pretty(answer)
    assert_ours(house.received)
    assert house.last["body"] == ""
    assert json.loads(said_in(house.last)["batchOrders"]) == items
    assert [each["source"] for each in orders(house)] == [CODE] * 20
    named = {each["clientOrderId"] for each in orders(house)}
    assert named == {item["newClientOrderId"] for item in items}


@pytest.mark.parametrize("bad", ["[]", "{}", "[1]", "", "null", "[{]", json.dumps([ORDER] * 21)])
def test_a_batch_that_is_none_is_not_sent(house: MexcHouse, bad: str) -> None:
    answer = house.bot.call("POST", f"{BATCH_PATH}?batchOrders={quote(bad, safe='')}")
    assert (answer.status, answer.slug, answer.content["code"]) == (400, "bad_request", 700004)
    assert house.received == []


def test_cancels_and_queries_name_what_was_placed(house: MexcHouse) -> None:
    name = "mine_1-a"
    placed = house.bot.order(newClientOrderId=name)
    assert taken(placed), pretty(placed)
    where = f"{ORDER_PATH}?symbol=BTCUSDT&origClientOrderId={name}"
    shown = house.bot.call("GET", where)
    assert shown.content["orderId"] == placed.content["orderId"]
    assert house.bot.call("DELETE", where).content["status"] == "CANCELED"
    again = house.bot.call(
        "DELETE", f"{ORDER_PATH}?symbol=BTCUSDT&orderId={placed.content['orderId']}"
    )
    assert (again.status, again.slug, again.content["code"]) == (400, "", -2011)
    assert_ours(house.received)
    # a delete may have its parameters in the body too
    assert taken(house.bot.order(newClientOrderId="in-body"))
    body = b"symbol=BTCUSDT&origClientOrderId=in-body"
    assert taken(house.bot.call("DELETE", ORDER_PATH, body))


def test_listen_keys_are_made_kept_and_closed(house: MexcHouse) -> None:
    made = house.bot.call("POST", "/api/v3/userDataStream").content["listenKey"]
    for method in ("PUT", "DELETE"):
        answer = house.bot.call(method, f"/api/v3/userDataStream?listenKey={made}")
        assert answer.content == {"listenKey": made}
    assert_ours(house.received)


# ---- futures -----------------------------------------------------------------------------------

BODIES: Final = [
    json.dumps(FUTURES_ORDER),
    json.dumps(FUTURES_ORDER, separators=(",", ":")),
    json.dumps(FUTURES_ORDER, indent=2) + "\n",
    json.dumps(
        FUTURES_ORDER | {"externalOid": "a-1", "note": "\u7801 & = % +"}, ensure_ascii=False
    ),
    json.dumps(FUTURES_ORDER | {"reduceOnly": False, "price": 40000.5}),
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("below", ["mexc", "futures"])
@pytest.mark.parametrize("own", [False, True], ids=["issued", "own"])
def test_a_futures_order_leaves_byte_for_byte(
    house: MexcHouse, body: str, below: str, own: bool
) -> None:
    bot = house.own_bot if own else house.bot
    bot = replace(bot, base_url=house.futures_bot.base_url) if below == "futures" else bot
    answer = bot.call("POST", CREATE_PATH, body.encode())
    assert taken(answer), pretty(answer)
    assert_ours(house.received)
    assert house.last["body"].encode("latin-1") == body.encode()
    assert house.last["target"] == CREATE_PATH
    headers = headers_of(house.last)
    assert headers["apikey"] == house.real.api_key
    assert headers["content-type"] == JSON
    assert "recv-window" not in headers


QUERIES: Final = {
    # sent, signed
    "sorted": ("order_ids=1&page_num=2", "order_ids=1&page_num=2"),
    "unsorted, signed sorted": ("symbol=BTC_USDT&page_num=1", "page_num=1&symbol=BTC_USDT"),
    "unsorted, signed as sent": ("symbol=BTC_USDT&page_num=1", "symbol=BTC_USDT&page_num=1"),
    "commas encoded": ("order_ids=1%2C2%2C3", "order_ids=1%2C2%2C3"),
    "commas plain": ("order_ids=1,2,3", "order_ids=1,2,3"),
    "commas sent encoded, signed plain": ("order_ids=1%2C2", "order_ids=1,2"),
    "space": ("note=a%20b&symbol=x", "note=a%20b&symbol=x"),
    "space as plus": ("note=a+b", "note=a%20b"),
    "none": ("", ""),
    "empty value": ("symbol=", "symbol="),
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_futures_read_is_taken_however_it_is_signed(house: MexcHouse, query: str) -> None:
    sent, said = QUERIES[query]
    target = "/api/v1/private/order/list/open_orders" + (f"?{sent}" if sent else "")
    answer = stamped(house.bot, "GET", target, said)
    assert answer.slug == "", pretty(answer)
    # the simulator signs values encoded, and takes the signature or says 602
    if "," not in sent and "+" not in sent:
        assert taken(answer), pretty(answer)
    assert_ours(house.received)
    left = house.last["target"].partition("?")[2]
    assert sorted(unquote(left).split("&")) == sorted(unquote(sent).split("&"))


@pytest.mark.parametrize("window", ["10", "60", "5000", "60000", ""])
def test_a_futures_bot_may_name_its_window(house: MexcHouse, window: str) -> None:
    signed = house.bot.signed("GET", FUTURES_READ)
    answer = bare(house.bot, "GET", signed.target, b"", signed.headers | {"Recv-Window": window})
    assert taken(answer), pretty(answer)
    assert "recv-window" not in headers_of(house.last)


def test_a_futures_signature_may_be_upper_case(house: MexcHouse) -> None:
    signed = house.bot.signed("POST", CREATE_PATH, BODIES[0].encode())
    headers = signed.headers | {"Signature": signed.headers["Signature"].upper()}
    answer = bare(house.bot, "POST", CREATE_PATH, signed.body, headers)
    assert taken(answer), pretty(answer)
    assert headers_of(house.last)["signature"].islower()


def test_futures_headers_are_found_in_any_case(house: MexcHouse) -> None:
    signed = house.bot.signed("POST", CREATE_PATH, BODIES[0].encode())
    for spell in (str.lower, str.upper, str.title):
        signed = house.bot.signed("POST", CREATE_PATH, BODIES[0].encode())
        headers = {spell(name): value for name, value in signed.headers.items()}
        answer = bare(house.bot, "POST", CREATE_PATH, signed.body, headers)
        assert taken(answer), pretty(answer)
    assert_ours(house.received)


def test_a_futures_array_is_cancelled_item_by_item(house: MexcHouse) -> None:
    ids = [house.bot.futures_order().content["data"]["orderId"] for _ in range(3)]
    answer = house.futures_bot.call(
        "POST", "/api/v1/private/order/cancel", [int(each) for each in ids]
    )
    assert taken(answer), pretty(answer)
    assert_ours(house.received)


# ---- ports of their own ------------------------------------------------------------------------


def test_a_table_and_a_venue_have_ports_without_a_prefix(house: MexcHouse) -> None:
    tables = house.proxy.sections
    spot = replace(house.bot, base_url=f"http://{tables['exchanges.mexc']['listen']}")
    futures = replace(house.bot, base_url=f"http://{tables['exchanges.mexc.futures']['listen']}")
    answers = [
        spot.order(),
        spot.futures_order(),
        spot.call("GET", ACCOUNT_PATH),
        futures.futures_order(),
        futures.call("GET", FUTURES_READ),
    ]
    assert all(map(taken, answers)), list(map(pretty, answers))
    assert_ours(house.received)


@pytest.mark.parametrize("where", ["prefix", "port"])
def test_spot_is_spot_wherever_it_is_asked_for(house: MexcHouse, where: str) -> None:
    """One host serves both: what is sent to the other's address is counted as what it is."""
    bot = house.futures_bot
    if where == "port":
        table = house.proxy.sections["exchanges.mexc.futures"]
        bot = replace(bot, base_url=f"http://{table['listen']}")
    labels = {"venue": "main", "endpoint": "POST v3/order"}
    before = house.proxy.metric("tagproxy_orders_tagged_total", **labels)
    answers = [bot.order(), bot.call("GET", ACCOUNT_PATH)]
    assert all(map(taken, answers)), list(map(pretty, answers))
    assert_ours(house.received)
    assert house.proxy.metric("tagproxy_orders_tagged_total", **labels) == before + 1
    assert [house.line(each)["endpoint"] for each in answers] == [
        "POST v3/order",
        "GET v3/openOrders",
    ]


def test_two_accounts_of_one_user_are_told_apart_by_key(house: MexcHouse) -> None:
    real = house.exchange.add_user()
    command = ("users", "add", "alice", "--exchange", "mexc", "--account", "second", "--issue")
    done = house.proxy.run(*command, stdin=real.as_json())
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert not shown.get("passphrase")
    second = MexcBot(house.bot.base_url, Triple(shown["api_key"], shown["secret"]))
    eventually("it is known", lambda: house.proxy.knows(second.triple, "mexc"))
    for bot, key in ((second, real.api_key), (house.bot, house.real.api_key)):
        assert taken(bot.order())
        assert headers_of(house.last)["x-mexc-apikey"] == key
