"""What leaves, and whose code a bot sent: properties over odd queries and bodies."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.exchanges.mexc import EXCHANGE
from proxy.exchanges.mexc.parameters import plain_pairs
from proxy.model import Endpoint, OnConflict, Request, Tag, Tagged

if TYPE_CHECKING:
    from collections.abc import Callable

CODE: Final = b"OPERATOR1"
ROWS: Final = {endpoint.label: endpoint for endpoint in EXCHANGE.endpoints}
ORDER: Final = ROWS["POST v3/order"]
BATCH: Final = ROWS["POST v3/batchOrders"]
FUTURES: Final = ROWS["POST v1/private/order/create"]
MODES: Final[tuple[OnConflict, ...]] = ("replace", "keep", "reject")
SIGNED: Final = ("timestamp", "signature")


def request_to(
    endpoint: Endpoint, suffix: bytes = b"", body: bytes = b"", source: bytes | None = None
) -> Request:
    headers = {} if source is None else {b"source": source}
    request = Request(
        endpoint.method.encode(),
        endpoint.path.encode() + suffix,
        headers,
        IPv4Address("127.0.0.1"),
        0,
    )
    request.body = body
    return request


def tagged(endpoint: Endpoint, request: Request, mode: OnConflict = "replace") -> Tagged:
    return EXCHANGE.tag(endpoint, request, EXCHANGE.read(endpoint, request), CODE, mode)


def slug_of(call: Callable[[], object]) -> str:
    """The slug a call is refused with, "" if it is not."""
    try:
        call()
    except Refusal as refusal:
        return refusal.slug
    return ""


texts = st.text(
    st.one_of(st.sampled_from('abAB09_.~-&=+% /?#[]{}",'), st.characters(codec="utf-8")), max_size=8
)
parameters = st.dictionaries(
    st.one_of(
        st.sampled_from(("symbol", "newClientOrderId", "recvWindow", *SIGNED)),
        texts.filter(lambda name: name != ""),
    ),
    texts,
    max_size=6,
)
spellings = st.sampled_from((quote_plus, lambda text: quote(text, safe=""), quote))


@given(parameters, spellings, st.integers(0, 6))
def test_every_parameter_leaves_in_the_query_and_nothing_of_the_signature(
    sent: dict[str, str], spelled: Callable[[str], str], split: int
) -> None:
    parts = [f"{spelled(name)}={spelled(value)}" for name, value in sent.items()]
    query, body = "&".join(parts[:split]), "&".join(parts[split:])
    done = tagged(ORDER, request_to(ORDER, f"?{query}".encode(), body.encode()))
    assert done.body == b""
    left = parse_qsl(done.suffix[1:].decode(), keep_blank_values=True, strict_parsing=False)
    assert left == [(name, value) for name, value in sent.items() if name not in SIGNED]
    assert b"+" not in done.suffix
    again = tagged(ORDER, request_to(ORDER, done.suffix))
    assert again.suffix == done.suffix


members = st.one_of(
    texts, st.integers(-(10**25), 10**25), st.booleans(), st.none(), st.just(0.1), st.just(1e-8)
)


@given(st.dictionaries(texts.filter(lambda name: name != ""), members, max_size=5))
def test_a_flat_json_body_leaves_as_a_query(sent: dict[str, Any]) -> None:
    request = request_to(ORDER, b"", json.dumps(sent).encode())
    left = parse_qsl(tagged(ORDER, request).suffix[1:].decode(), keep_blank_values=True)
    assert left == [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in sent.items()
        if value is not None and name not in SIGNED
    ]


plain = st.from_regex(r"[A-Za-z0-9_.~-]{1,10}", fullmatch=True)


@given(
    st.dictionaries(
        st.one_of(plain, st.sampled_from(("recvWindow", "newClientOrderId", *SIGNED))),
        plain,
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(("POST v3/order", "GET v3/order", "GET v3/depth")),
)
def test_the_quick_way_does_what_the_careful_way_does(sent: dict[str, str], label: str) -> None:
    suffix = b"?" + urlencode(sent).encode()
    assert plain_pairs(suffix) is not None
    odd = suffix + b"&"  # an empty part says nothing, and is not plain
    assert plain_pairs(odd) is None
    endpoint = ROWS[label]
    contents = [EXCHANGE.read(endpoint, request_to(endpoint, text)) for text in (suffix, odd)]
    assert contents[0].suffix == contents[1].suffix
    assert contents[0].orders == contents[1].orders
    assert contents[0].ids == contents[1].ids


@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from(MODES))
def test_any_bytes_are_tagged_or_refused(query: bytes, body: bytes, mode: OnConflict) -> None:
    labels = (
        "POST v3/order",
        "POST v3/batchOrders",
        "POST v3/broker/sub-account/apiKey",
        "POST v1/private/order/submit_batch",
        "GET v3/depth",
        "POST v1/private/order/create",
    )
    for label in labels:
        endpoint = ROWS[label]
        for text in (query, b"batchOrders=" + query):
            request = request_to(endpoint, b"?" + text, body, source=query)
            assert slug_of(lambda: tagged(endpoint, request, mode)) in (  # noqa: B023
                "",
                "bad_request",
                "tag_conflict",
            )


@given(st.binary(max_size=30).filter(lambda sent: b"\n" not in sent), st.sampled_from(MODES))
def test_whatever_stands_in_source_one_plain_code_leaves(sent: bytes, mode: OnConflict) -> None:
    slug = slug_of(lambda: tagged(ORDER, request_to(ORDER, source=sent), mode))
    assert (
        slug
        in {"replace": ("",), "keep": ("", "bad_request"), "reject": ("", "tag_conflict")}[mode]
    )
    if slug:
        return
    done = tagged(ORDER, request_to(ORDER, source=sent), mode)
    assert done.orders == (0 if done.kept else 1)
    if done.kept:
        assert mode == "keep"
        assert EXCHANGE.code_fault(done.kept.decode()) == ""


def test_a_conflict_names_a_code_that_can_be_shown() -> None:
    with pytest.raises(Refusal, match="source CCXT is not the operator's"):
        tagged(ORDER, request_to(ORDER, source=b"CCXT"), "reject")
    with pytest.raises(Refusal, match="another's source"):
        tagged(ORDER, request_to(ORDER, source=b"\xff\x01"), "reject")


@pytest.mark.parametrize("code", ["CCXT", "a", "A-b_c.9", "x" * 64])
def test_a_broker_code_that_can_be_sent(code: str) -> None:
    assert EXCHANGE.code_fault(code) == ""


@pytest.mark.parametrize("code", ["", "a b", "a,b", "é", "a\r\nx: y", "x" * 65])
def test_a_broker_code_that_cannot_be_sent(code: str) -> None:
    assert EXCHANGE.code_fault(code).startswith("a MEXC broker code is")


@pytest.mark.parametrize(
    ("label", "suffix", "body", "ids"),
    [
        ("POST v3/order", "?newClientOrderId=bot-1", "", "bot-1"),
        ("POST v3/order", "?newClientOrderId=a%2Fb", "", "a/b"),
        ("POST v3/order", "?newClientOrderId=a%20b", "", ""),
        ("POST v3/order", "?newClientOrderId=" + "x" * 65, "", ""),
        ("POST v3/order", "", "newClientOrderId=bot-1", "bot-1"),
        ("DELETE v3/order", "?origClientOrderId=bot-1", "", "bot-1"),
        ("POST v3/order", "?symbol=BTCUSDT", "", ""),
        (
            "POST v3/batchOrders",
            "?batchOrders=" + quote('[{"newClientOrderId":"a"},{"newClientOrderId":1},{}]'),
            "",
            "a",
        ),
        (
            "POST v3/batchOrders",
            "?batchOrders=" + quote('[{"newClientOrderId":"a"},{"newClientOrderId":"b,c"}]'),
            "",
            "a",
        ),
        ("POST v1/private/order/create", "", '{"externalOid": "f-1"}', "f-1"),
        ("POST v1/private/order/create", "", '{"externalOid": "f,1"}', ""),
        ("POST v1/private/order/create", "", '{"externalOid": 7}', ""),
        (
            "POST v1/private/order/submit_batch",
            "",
            '[{"externalOid":"a"},{"externalOid":"b"}]',
            "a,b",
        ),
        ("POST v1/private/order/cancel", "", "[1,2]", ""),
    ],
)
def test_the_bots_own_order_ids_are_told(label: str, suffix: str, body: str, ids: str) -> None:
    endpoint = ROWS[label]
    content = EXCHANGE.read(endpoint, request_to(endpoint, suffix.encode(), body.encode()))
    assert EXCHANGE.client_order_ids(content) == ids


def test_the_list_of_ids_is_bounded() -> None:
    items = [{"newClientOrderId": "x" * 60}] * 20
    suffix = b"?batchOrders=" + quote(json.dumps(items)).encode()
    content = EXCHANGE.read(BATCH, request_to(BATCH, suffix))
    assert 600 < len(EXCHANGE.client_order_ids(content)) <= 700


def test_the_number_of_parameters_is_bounded() -> None:
    suffix = b"?x&" + b"&".join(b"p%d=%d" % (number, number) for number in range(300))
    with pytest.raises(Refusal, match="more than 200 parameters"):
        EXCHANGE.read(ORDER, request_to(ORDER, suffix))


@pytest.mark.parametrize(
    ("label", "body", "reduces"),
    [
        ("POST v1/private/order/create", '{"side":2}', True),
        ("POST v1/private/order/create", '{"side":4,"vol":1}', True),
        ("POST v1/private/order/create", '{"side":1}', False),
        ("POST v1/private/order/create", '{"side":3}', False),
        ("POST v1/private/order/create", '{"side":"2"}', False),
        ("POST v1/private/order/create", '{"side":1,"reduceOnly":true}', True),
        ("POST v1/private/order/create", '{"side":1,"reduceOnly":true,"positionMode":2}', True),
        ("POST v1/private/order/create", '{"side":1,"reduceOnly":true,"positionMode":1}', False),
        ("POST v1/private/order/create", '{"side":1,"reduceOnly":"true"}', False),
        ("POST v1/private/order/create", '{"side":2,"side":1}', False),
        ("POST v1/private/order/create", '{"side":1,"side":2}', False),
        ("POST v1/private/order/create", '{"side":2,"x":{"side":1}}', False),
        ("POST v1/private/order/create", "[]", False),
        ("POST v1/private/order/create", "7", False),
        ("POST v1/private/order/create", "no", False),
        ("POST v1/private/order/create", "", False),
        ("POST v1/private/order/submit_batch", '[{"side":2},{"side":4}]', True),
        ("POST v1/private/order/submit_batch", '[{"side":2},{"side":1}]', False),
        ("POST v1/private/planorder/place/v2", '{"side":4}', True),
        ("POST v1/private/trackorder/place", '{"side":4}', True),
        ("POST v1/private/position/close_all", "", True),
        ("POST v1/private/position/reverse", "{}", False),
        ("POST v1/private/position/change_leverage", '{"side":2}', False),
        ("POST v3/userDataStream", "", True),
        ("POST v3/order", "side=SELL", False),
        ("POST v3/order", "", False),
    ],
)
def test_what_only_closes_is_told(label: str, body: str, reduces: bool) -> None:
    endpoint = ROWS[label]
    content = EXCHANGE.read(endpoint, request_to(endpoint, b"", body.encode()))
    assert EXCHANGE.reduces(endpoint, content) is reduces


def test_every_sample_is_an_order_that_is_tagged() -> None:
    samples = EXCHANGE.sample_orders()
    assert [sample.venue for sample in samples] == ["main", "futures"]
    for sample in samples:
        rows = {(row.method, row.path): row for row in EXCHANGE.endpoints}
        endpoint = rows[sample.method.decode(), sample.path.decode()]
        assert endpoint.venue == sample.venue
        assert endpoint.tag is Tag.HEADERS
        done = tagged(endpoint, request_to(endpoint, sample.suffix, sample.body))
        assert (done.suffix, done.body) == (sample.suffix, sample.body)
        assert (done.found, done.orders) == ("none", 1)
