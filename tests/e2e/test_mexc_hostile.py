"""What only an attacker or a broken client sends to MEXC: nothing of it may become another order.

Whoever holds one signed request must not be able to make two different orders of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.e2e.bot import Answered, next_ms
from tests.e2e.mexc_bot import FUTURES_ORDER, ORDER, spot_query
from tests.e2e.mexc_house import (
    ACCOUNT_PATH,
    ALL_CLASSES,
    ALL_PERMISSIONS,
    BATCH_PATH,
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
from tests.e2e.wire import wire_to

pytestmark = pytest.mark.e2e

P: Final = spot_query()
JSON_ORDER: Final = json.dumps(FUTURES_ORDER).encode()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MexcHouse]:
    with mexc_house_in(tmp_path_factory.mktemp("hostile")) as house:
        yield house


@pytest.fixture
def house(running: MexcHouse) -> MexcHouse:
    running.forget()
    return running


def refused(answer: Answered, *slugs: str) -> bool:
    return (
        answer.slug in slugs
        and answer.status in (400, 401, 413)
        and "NOT SENT" in answer.content["msg"]
    )


def signed_query(house: MexcHouse, said: str) -> str:
    return f"{said}&signature={mac(house.bot, said)}"


# ---- what the signature does not cover ---------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"quantity=9",
        b"&quantity=9",
        b"quantity=9&",
        b'{"quantity":"9"}',
        b'[{"quantity":"9"}]',
        b" ",
        b"x",
    ],
)
@pytest.mark.parametrize("where", ["whole order in query", "time in query"])
def test_a_body_that_no_signature_covers_is_refused(
    house: MexcHouse, body: bytes, where: str
) -> None:
    said = f"{P}&{stamp()}" if where.startswith("whole") else stamp()
    answer = keyed(house.bot, f"{ORDER_PATH}?{signed_query(house, said)}", body)
    assert refused(answer, "bad_signature", "bad_request"), pretty(answer)
    assert house.received == []


@pytest.mark.parametrize("more", ["&quantity=9", "&note=1", "&=", "&", "&note"])
def test_parameters_behind_the_signature_are_covered_or_refused(
    house: MexcHouse, more: str
) -> None:
    answer = keyed(house.bot, f"{ORDER_PATH}?{signed_query(house, f'{P}&{stamp()}')}{more}")
    assert refused(answer, "bad_signature", "bad_request"), pretty(answer)
    assert house.received == []


def test_brokers_writes_cover_their_json_and_others_may_not_send_it_uncovered(
    house: MexcHouse,
) -> None:
    bot = house.newcomer("--allow", ALL_CLASSES, broker=True, perm=ALL_PERMISSIONS)
    path = "/api/v3/broker/sub-account/virtualSubAccount"
    body = b'{"subAccount":"mine","note":"n"}'
    now = stamp()
    uncovered = keyed(bot, f"{path}?{now}&signature={mac(bot, now)}", body)
    assert refused(uncovered, "bad_signature"), pretty(uncovered)
    assert house.received == []
    now = stamp()
    covered = keyed(bot, f"{path}?{now}&signature={mac(bot, now.encode() + body)}", body)
    assert covered.status == 200, pretty(covered)
    assert house.last["body"].encode() == body
    assert_ours(house.received)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_futures_query_or_body_of_another_is_refused(house: MexcHouse, method: str) -> None:
    if method == "GET":
        target = "/api/v1/private/order/list/open_orders"
        answers = [
            stamped(house.bot, "GET", f"{target}?page_size=1&symbol=x", "page_size=1"),
            stamped(house.bot, "GET", f"{target}?page_size=1", "page_size=1&symbol=x"),
            stamped(house.bot, "GET", f"{target}?page_size=1", ""),
        ]
    else:
        answers = [
            stamped(house.bot, "POST", CREATE_PATH, JSON_ORDER, JSON_ORDER + b" "),
            stamped(house.bot, "POST", CREATE_PATH, JSON_ORDER, JSON_ORDER.replace(b"10", b"99")),
            stamped(house.bot, "POST", CREATE_PATH, "", JSON_ORDER),
            stamped(house.bot, "POST", CREATE_PATH, JSON_ORDER, b""),
        ]
    for answer in answers:
        assert refused(answer, "bad_signature"), pretty(answer)
    assert house.received == []


@pytest.mark.parametrize("futures", [False, True])
def test_a_signature_is_good_for_its_own_path_of_the_api_only_once(
    house: MexcHouse, futures: bool
) -> None:
    """No signature of MEXC's covers the path: what one write used is no good for another."""
    if futures:
        first = house.bot.signed("POST", CREATE_PATH, JSON_ORDER)
        targets = [CREATE_PATH, "/api/v1/private/order/submit", "/api/v1/private/planorder/place"]
        answers = [bare(house.bot, "POST", path, first.body, first.headers) for path in targets]
    else:
        first = house.bot.signed("POST", f"{ORDER_PATH}?{P}")
        query = first.target.partition("?")[2]
        paths = [ORDER_PATH, ORDER_PATH, "/api/v3/capital/convert"]
        answers = [bare(house.bot, "POST", f"{path}?{query}", b"", first.headers) for path in paths]
    assert taken(answers[0]), pretty(answers[0])
    assert [each.slug for each in answers[1:]] == ["replayed", "replayed"]
    assert len(house.exchange.orders) == 1


def test_a_signature_for_one_call_is_none_for_another(house: MexcHouse) -> None:
    """A read's signature is no cancel's, though neither covers its path; and as often as before."""
    target = "/api/v3/openOrders?symbol=BTCUSDT"
    signed = house.bot.signed("GET", target)
    first, *again = [
        bare(house.bot, method, signed.target, b"", signed.headers)
        for method in ("GET", "DELETE", "GET")
    ]
    assert taken(first), pretty(first)
    assert [each.slug for each in again] == ["replayed", ""]
    assert len(house.received) == 2


# ---- repeated names ----------------------------------------------------------------------------


REPEATED: Final[dict[str, Callable[[str], tuple[str, str]]]] = {
    "query": lambda t: (f"{P}&quantity=9&{t}", ""),
    "the same value": lambda t: (f"{P}&quantity=0.001&{t}", ""),
    "body": lambda t: ("", f"{P}&quantity=9&{t}"),
    "query and body": lambda t: (f"{P}&{t}", "quantity=9"),
    "body and query": lambda t: (f"quantity=9&{t}", P),
    "encoded name": lambda t: (f"{P}&%71uantity=9&{t}", ""),
    "encoded name in body": lambda t: (f"{P}&{t}", "quantit%79=9"),
    "time": lambda t: (f"{P}&{t}&{t}", ""),
    "time in query and body": lambda t: (f"{P}&{t}", t),
    "time encoded": lambda t: (f"{P}&{t}&%74imestamp=1", ""),
    "window": lambda t: (f"{P}&recvWindow=5000&recvWindow=60000&{t}", ""),
    "window in both": lambda t: (f"{P}&recvWindow=5000&{t}", "recvWindow=60000"),
    "no name": lambda t: (f"{P}&=1&{t}", ""),
    "bare =": lambda t: (f"{P}&note=a=b&{t}", ""),
}


@pytest.mark.parametrize("how", REPEATED)
@pytest.mark.parametrize("glue", ["", "&"])
def test_a_parameter_stands_once(house: MexcHouse, how: str, glue: str) -> None:
    query, body = REPEATED[how](stamp())
    said = query + (glue if query and body else "") + body
    signature = f"signature={mac(house.bot, said)}"
    for signed_there in ("query", "body"):
        q, b = query, body
        if signed_there == "query" or not b:
            q = f"{q}&{signature}" if q else signature
        else:
            b = f"{b}&{signature}"
        answer = keyed(house.bot, f"{ORDER_PATH}?{q}", b.encode())
        assert refused(answer, "bad_request", "bad_signature"), pretty(answer)
    assert house.received == []


def test_a_name_in_another_case_is_another_name(house: MexcHouse) -> None:
    answer = house.bot.call("POST", f"{ORDER_PATH}?{P}&Quantity=9")
    assert taken(answer), pretty(answer)
    assert said_in(house.last)["quantity"] == "0.001"
    (order,) = house.exchange.orders
    assert order["origQty"] == "0.001"


@pytest.mark.parametrize(
    "tail", ["&signature=00", "&%73ignature=00", "&Signature=00&signature=11", "&signature="]
)
def test_a_signature_stands_once(house: MexcHouse, tail: str) -> None:
    said = f"{P}&{stamp()}"
    for target in (
        f"{ORDER_PATH}?{said}&signature={mac(house.bot, said)}{tail}",
        f"{ORDER_PATH}?{tail[1:]}&{said}&signature={mac(house.bot, said)}",
    ):
        answer = keyed(house.bot, target)
        assert refused(answer, "bad_request", "bad_signature", "missing_credentials"), pretty(
            answer
        )
    both = keyed(
        house.bot,
        f"{ORDER_PATH}?{said}&signature={mac(house.bot, said)}",
        f"signature={mac(house.bot, said)}".encode(),
    )
    assert refused(both, "bad_request", "bad_signature"), pretty(both)
    assert house.received == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"symbol":"BTCUSDT","symbol":"ETHUSDT"}',
        b'{"symbol":"BTCUSDT","s\\u0079mbol":"ETHUSDT"}',
        b'{"symbol":{"a":1}}',
        b'{"symbol":["BTCUSDT"]}',
        b'[{"symbol":"BTCUSDT"}]',
        b'{"symbol":NaN}',
        b"{",
        b'{"a":"\\ud800"}',
        b'{"timestamp":1}',
        b"[" * 3000,
        b'{"a":1e999}',
    ],
)
def test_a_json_body_that_is_no_flat_object_is_refused(house: MexcHouse, body: bytes) -> None:
    now = stamp()
    signature = mac(house.bot, now.encode() + body)
    answer = keyed(house.bot, f"{ORDER_PATH}?{now}&signature={signature}", body)
    if answer.slug == "":  # a number that the exchange has to judge
        assert b"1e999" in body
        assert answer.status == 400, pretty(answer)
        return
    assert refused(answer, "bad_request", "bad_signature"), pretty(answer)
    assert house.received == []


# ---- one signature, two readings ---------------------------------------------------------------


def _glued(house: MexcHouse, whole: str, at: int) -> Answered:
    """Send a text that was signed whole as a query and a body, parted in the middle."""
    query, body = whole[:at], whole[at:]
    return keyed(
        house.bot, f"{ORDER_PATH}?{query}", f"{body}&signature={mac(house.bot, whole)}".encode()
    )


def test_where_query_and_body_meet_is_no_matter_of_choice(house: MexcHouse) -> None:
    """However a signed order is cut in two, it is the same order or none."""
    for at in range(1, 100, 3):
        now = f"timestamp={next_ms()}"
        whole = f"{P}&newClientOrderId=a1symbol&{now}"
        answer = _glued(house, whole, at)
        if answer.slug == "":
            said = {name: value for name, value in said_in(house.last).items() if name in ORDER}
            assert said == ORDER, (whole[:at], whole[at:])
        else:
            assert refused(answer, "bad_request", "bad_signature", "missing_credentials"), pretty(
                answer
            )


SECOND: Final = {
    "encoded &": ("note=a%26quantity=9", "note=a&quantity=9"),
    "encoded & and =": ("note=a%26quantity%3D9", "note=a&quantity=9"),
    "encoded =": ("note%3Da=", "note=a="),
    "encoded %": ("note=a%2525", "note=a%25"),
    "double encoded &": ("note=a%2526quantity=9", "note=a%26quantity=9"),
    "plus": ("note=a%2Bb", "note=a+b"),
    "plus as %20": ("note=a+b", "note=a%2Bb"),
    "hash": ("note=a%23b", "note=a"),
    "null": ("note=a%00b", "note=a\0b"),
}


@pytest.mark.parametrize("pair", SECOND)
@pytest.mark.parametrize("direction", ["decoded", "encoded"])
@pytest.mark.parametrize("place", ["query", "body"])
def test_a_signature_for_one_text_is_none_for_another(
    house: MexcHouse, pair: str, direction: str, place: str
) -> None:
    """Signed is one, sent is the other; both must mean the same, or nothing is sent."""
    sent, said = SECOND[pair] if direction == "decoded" else SECOND[pair][::-1]
    if any(each in sent for each in "\0#"):
        return  # no request target, see the bytes below
    now = stamp()
    order = "symbol=BTCUSDT&side=BUY&type=LIMIT&price=40000"
    base = order if "quantity" in said + sent else P
    signature = mac(house.bot, f"{base}&{said}&{now}")
    text = f"{base}&{sent}&{now}&signature={signature}"
    if place == "query":
        answer = keyed(house.bot, f"{ORDER_PATH}?{text}")
    else:
        answer = keyed(house.bot, ORDER_PATH, text.encode())
    if pair == "null" and answer.slug == "":
        assert "%00" in house.last["target"]
        return
    assert refused(answer, "bad_request", "bad_signature"), (sent, said, pretty(answer))
    assert house.received == []


@pytest.mark.parametrize(
    "value", ["a&quantity=9", "a=b", "a#b", "a%26b", "a\0b", "a\r\nsource: x", "a\nb"]
)
def test_an_encoded_sign_stays_a_part_of_its_value(house: MexcHouse, value: str) -> None:
    answer = house.bot.call("POST", f"{ORDER_PATH}?{P}&note={quote(value, safe='')}")
    if answer.slug:
        assert refused(answer, "bad_request"), pretty(answer)
        assert house.received == []
        return
    assert said_in(house.last)["note"] == value
    assert {each["origQty"] for each in house.exchange.orders} <= {"0.001"}
    assert_ours(house.received)


# ---- bytes -------------------------------------------------------------------------------------


def _raw(house: MexcHouse, target: bytes, lines: bytes = b"", body: bytes = b"") -> Answered:
    key = house.bot.triple.api_key.encode()
    head = b"POST /mexc%b HTTP/1.1\r\nHost: a\r\nX-MEXC-APIKEY: %b\r\n" % (target, key)
    with wire_to(house.bot) as wire:
        wire.send(head + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return wire.answer()


@pytest.mark.parametrize(
    "odd", [b"\0", b"\r", b"\n", b" ", b"\x7f", b"\xff", b"\t", b"#frag", "\u7801".encode()]
)
@pytest.mark.parametrize("signed", [False, True])
def test_odd_bytes_in_a_query_never_reach_the_exchange_as_they_are(
    house: MexcHouse, odd: bytes, signed: bool
) -> None:
    said = f"{P}&note=a".encode() + odd + f"b&{stamp()}".encode()
    target = f"{ORDER_PATH}?".encode() + said
    if signed:
        target += b"&signature=" + mac(house.bot, said).encode()
    answer = _raw(house, target)
    for request in house.received:
        assert request["target"].isascii()
        assert request["target"].isprintable()
        assert " " not in request["target"]
    if house.received:
        assert signed
        assert_ours(house.received)
    else:
        assert answer.status in (400, 401), pretty(answer)


@pytest.mark.parametrize(
    "lines",
    [
        b"source: a\r\n\r\nGET /sim/state HTTP/1.1\r\nHost: a\r\n",
        b"source: a\rX-Injected: b\r\n",
        b"source: a\nX-Injected: b\r\n",
        b"source: a\x0b\x0cX-Injected: b\r\n",
        b"Content-Type: text/plain\r\nX-Injected: b\r\n",
    ],
)
def test_headers_cannot_be_injected(house: MexcHouse, lines: bytes) -> None:
    said = f"{P}&{stamp()}"
    target = f"{ORDER_PATH}?{signed_query(house, said)}".encode()
    _raw(house, target, lines)
    for request in house.received:
        headers = headers_of(request)
        assert "x-injected" not in headers
        assert headers["content-type"] == "application/json"
    if house.received:
        assert_ours(house.received)


def test_a_bots_own_authentication_of_the_other_api_goes_nowhere(house: MexcHouse) -> None:
    """The exchange would refuse a request that is signed in two ways."""
    futures = house.bot.headers("POST", CREATE_PATH, JSON_ORDER)
    spot = house.bot.signed("POST", f"{ORDER_PATH}?{P}")
    answer = bare(house.bot, "POST", spot.target, b"", futures | spot.headers)
    assert taken(answer), pretty(answer)
    assert not {"apikey", "signature", "request-time"} & set(headers_of(house.last))
    answer = bare(house.bot, "POST", CREATE_PATH, JSON_ORDER, spot.headers | futures)
    assert taken(answer), pretty(answer)
    assert "x-mexc-apikey" not in headers_of(house.last)


@pytest.mark.parametrize("count", [50, 199, 201, 5_000])
def test_a_request_may_have_many_parameters_but_not_any_number(
    house: MexcHouse, count: int
) -> None:
    many = "&".join(f"p{number}=%20" for number in range(count))
    said = f"{many}&{P}&{stamp()}"
    body = f"{said}&signature={mac(house.bot, said)}".encode()
    answer = keyed(house.bot, ORDER_PATH, body)
    if count > 190:
        assert refused(answer, "bad_request"), pretty(answer)
        assert house.received == []
    else:
        assert taken(answer), pretty(answer)
        assert said_in(house.last)["p49"] == " "


def test_a_long_query_is_taken_or_refused_but_never_cut(house: MexcHouse) -> None:
    for size in (1_000, 6_000, 20_000, 100_000):
        said = f"{P}&note={'x' * size}&{stamp()}"
        answer = keyed(house.bot, f"{ORDER_PATH}?{signed_query(house, said)}")
        if answer.slug or answer.status != 200:
            assert answer.status in (400, 413, 414, 431), pretty(answer)
        else:
            assert len(said_in(house.last)["note"]) == size
    assert taken(house.bot.order())


def test_a_long_body_that_moves_into_the_query_is_taken_or_refused(house: MexcHouse) -> None:
    for size in (1_000, 60_000, 500_000):
        said = f"{P}&note={'x' * size}&{stamp()}"
        body = f"{said}&signature={mac(house.bot, said)}".encode()
        answer = keyed(house.bot, ORDER_PATH, body)
        assert answer.status in (200, 400, 413, 414, 431), pretty(answer)
    assert taken(house.bot.order())


def test_a_batch_cannot_hide_orders(house: MexcHouse) -> None:
    items = json.dumps([ORDER])
    for text in (
        items[:-1] + ',{"symbol":"BTCUSDT"}]x',
        items + items,
        '[{"symbol":"BTCUSDT"},5]',
        "[" * 2000,
        json.dumps({"0": ORDER}),
        "\ufeff" + items,
    ):
        answer = house.bot.call("POST", f"{BATCH_PATH}?batchOrders={quote(text, safe='')}")
        assert refused(answer, "bad_request"), pretty(answer)
    assert house.received == []


@pytest.mark.parametrize(
    "key", ["", "x", "a b", "x" * 5000, "mx0\u00e9", "' or 1=1", "../../etc/passwd", "%00"]
)
def test_an_odd_key_is_unknown_or_missing(house: MexcHouse, key: str) -> None:
    said = signed_query(house, f"{P}&{stamp()}")
    headers = {"X-MEXC-APIKEY": key.encode("latin-1", "replace").decode("latin-1")}
    answer = bare(house.bot, "POST", f"{ORDER_PATH}?{said}", b"", headers)
    assert refused(answer, "unknown_key", "missing_credentials", "bad_request"), pretty(answer)
    assert house.received == []


def test_two_keys_are_none(house: MexcHouse) -> None:
    said = signed_query(house, f"{P}&{stamp()}").encode()
    line = b"x-mexc-apikey: " + house.own_bot.triple.api_key.encode() + b"\r\n"
    answer = _raw(house, f"{ORDER_PATH}?".encode() + said, line)
    assert refused(answer, "unknown_key", "bad_request"), pretty(answer)
    assert house.received == []


SIGNATURES: Final[list[Callable[[str], str]]] = [
    lambda right: "",
    lambda right: right[:-1],
    lambda right: right + "0",
    lambda right: right[::-1],
    lambda right: "g" * 64,
    lambda right: "%00" * 21,
    lambda right: f"%20{right}",
    lambda right: "\u00e9" * 3,
    lambda right: "0" * 5000,
]


@pytest.mark.parametrize("wrong", range(len(SIGNATURES)))
def test_an_odd_signature_is_bad(house: MexcHouse, wrong: int) -> None:
    said = f"{P}&{stamp()}"
    spoiled = quote(SIGNATURES[wrong](mac(house.bot, said)), safe="%")
    for answer in (
        keyed(house.bot, f"{ORDER_PATH}?{said}&signature={spoiled}"),
        keyed(house.bot, ORDER_PATH, f"{said}&signature={spoiled}".encode()),
    ):
        slugs = ("bad_signature", "missing_credentials", "bad_request")
        assert refused(answer, *slugs), pretty(answer)
    headers: dict[str, Any] = house.bot.headers("POST", CREATE_PATH, JSON_ORDER)
    headers["Signature"] = spoiled
    answer = bare(house.bot, "POST", CREATE_PATH, JSON_ORDER, headers)
    assert refused(answer, "bad_signature", "missing_credentials"), pretty(answer)
    assert house.received == []


def test_who_guesses_too_often_is_not_heard_and_the_user_is(house: MexcHouse) -> None:
    bot = house.newcomer()
    headers = {"X-MEXC-APIKEY": bot.triple.api_key}

    def guess() -> Answered:
        target = f"{ACCOUNT_PATH}&{stamp()}&signature={'0' * 64}"
        return bare(bot, "GET", target, b"", headers, source="127.0.2.1")

    answers = [guess() for _ in range(105)]
    assert {each.slug for each in answers[:100]} == {"bad_signature"}
    assert {(each.status, each.slug) for each in answers[100:]} == {(429, "rate_limited")}
    assert taken(bot.order())
    assert taken(bot.call("GET", FUTURES_READ))
