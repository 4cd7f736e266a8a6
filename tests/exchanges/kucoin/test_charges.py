"""What requests cost and say: by their row alone, the body unread."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.exchanges.kucoin import EXCHANGE
from proxy.model import Endpoint, Request

ROWS: Final = {(row.venue, row.label): row for row in EXCHANGE.endpoints}
SPOT: Final = ROWS["main", "POST v1/hf/orders"]
SPOT_BATCH: Final = ROWS["main", "POST v1/hf/orders/multi"]
FUTURES: Final = ROWS["futures", "POST v1/orders"]
FUTURES_BATCH: Final = ROWS["futures", "POST v1/orders/multi"]


def request_of(endpoint: Endpoint, body: bytes) -> Request:
    request = Request(
        endpoint.method.encode(), endpoint.path.encode(), {}, IPv4Address("127.0.0.1"), 0
    )
    request.body = body
    return request


def content_of(endpoint: Endpoint, request: Request) -> object:
    """What `read` makes of a request; None if it refuses it, as a bad request."""
    try:
        return EXCHANGE.read(endpoint, request)
    except Refusal as refusal:
        if refusal.slug != "bad_request":
            raise
        return None


bodies = st.one_of(
    st.binary(max_size=30),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(("clientOid", "orderList", "reduceOnly", "closeOrder", "x")), inner
            )
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
)


@given(st.sampled_from(EXCHANGE.endpoints), bodies)
def test_any_request_costs_what_its_row_says_or_is_refused(endpoint: Endpoint, body: bytes) -> None:
    request = request_of(endpoint, body)
    content = content_of(endpoint, request)
    if content is None:
        assert endpoint.items_max > 1 or endpoint.method == "GET"
        return
    charged = EXCHANGE.charges(endpoint, request, content)
    assert [(charge.pool, charge.value, charge.units) for charge in charged] == [
        (draw.pool, "", draw.weight) for draw in endpoint.draws
    ]
    assert type(charged) is tuple
    assert EXCHANGE.charges(endpoint, request, content) is charged
    ids = EXCHANGE.client_order_ids(content)
    assert len(ids) <= 700
    assert ids.isascii()
    EXCHANGE.reduces(endpoint, content)


@pytest.mark.parametrize(
    ("endpoint", "body", "expected"),
    [
        (SPOT, b'{"clientOid":"a1","symbol":"X"}', "a1"),
        (SPOT, b'{ "clientOid" : "a1" }', "a1"),
        (SPOT, b'{"clientOid":""}', ""),
        (SPOT, b'{"clientOid":7}', ""),
        (SPOT, b'{"clientOid":"a\\nb"}', ""),
        (SPOT, b'{"clientOid":"' + b"x" * 65 + b'"}', ""),
        (SPOT, '{"clientOid":"é"}'.encode(), ""),
        (SPOT, b"", ""),
        (SPOT, b"\xff", ""),
        (SPOT_BATCH, b'{"orderList":[{"clientOid":"a"},{},{"clientOid":"b"}]}', "a,b"),
        (FUTURES_BATCH, b'[{"clientOid":"a"}]', "a"),
        (
            FUTURES_BATCH,
            json.dumps([{"clientOid": "x" * 40}] * 100).encode(),
            ",".join(["x" * 40] * 100)[:700],
        ),
    ],
)
def test_the_bots_order_ids_are_told_for_the_log(
    endpoint: Endpoint, body: bytes, expected: str
) -> None:
    content = EXCHANGE.read(endpoint, request_of(endpoint, body))
    assert EXCHANGE.client_order_ids(content) == expected


@pytest.mark.parametrize(
    ("endpoint", "body", "expected"),
    [
        (FUTURES, b'{"reduceOnly":true}', True),
        (FUTURES, b'{"closeOrder":true,"symbol":"X"}', True),
        (FUTURES, b'{"reduceOnly":false,"closeOrder":true}', True),
        (FUTURES, b'{"reduceOnly":false}', False),
        (FUTURES, b'{"reduceOnly":"true"}', False),
        (FUTURES, b'{"reduceOnly":1}', False),
        (FUTURES, b'{"reduceOnly":true,"reduceOnly":false}', False),
        (FUTURES, b'{"reduceOnly":true,"reduce\\u004fnly":false}', False),
        (FUTURES, b'{"x":{"reduceOnly":true}}', False),
        (FUTURES, b'{"reduceOnly":true,"x":{"reduceOnly":false}}', False),
        (FUTURES, b'{"reduceOnly":true,"positionSide":"BOTH","side":"buy"}', True),
        (FUTURES, b'{"reduceOnly":true,"positionSide":"LONG","side":"sell"}', True),
        (FUTURES, b'{"reduceOnly":true,"positionSide":"SHORT","side":"buy"}', True),
        (FUTURES, b'{"reduceOnly":true,"positionSide":"LONG","side":"buy"}', False),
        (FUTURES, b'{"closeOrder":true,"positionSide":"SHORT"}', False),
        (FUTURES, b'{"side":"sell","positionSide":"LONG"}', False),
        (FUTURES, b"[]", False),
        (FUTURES, b"{", False),
        (FUTURES, b"", False),
        (FUTURES_BATCH, b'[{"reduceOnly":true},{"closeOrder":true}]', True),
        (FUTURES_BATCH, b'[{"reduceOnly":true},{}]', False),
        (FUTURES_BATCH, b'[{"reduceOnly":true},{"reduceOnly":true,"reduceOnly":true}]', False),
        (ROWS["futures", "POST v1/st-orders"], b'{"reduceOnly":true}', True),
        (ROWS["futures", "POST v1/copy-trade/futures/orders"], b'{"closeOrder":true}', True),
        (SPOT, b'{"reduceOnly":true}', False),
        (SPOT_BATCH, b'{"orderList":[{"reduceOnly":true}]}', False),
        (ROWS["main", "POST v3/hf/margin/order"], b'{"reduceOnly":true}', False),
        (ROWS["futures", "POST v1/margin/withdrawMargin"], b'{"reduceOnly":true}', False),
    ],
)
def test_only_what_can_only_close_reduces(endpoint: Endpoint, body: bytes, expected: bool) -> None:
    content = EXCHANGE.read(endpoint, request_of(endpoint, body))
    assert EXCHANGE.reduces(endpoint, content) is expected


def test_what_is_shown_of_the_sample_orders_is_an_order_of_each_venue() -> None:
    samples = EXCHANGE.sample_orders()
    assert [sample.venue for sample in samples] == ["main", "futures"]
    for sample in samples:
        label = f"{sample.method.decode()} {sample.path.decode().removeprefix('/api/')}"
        row = ROWS[sample.venue, label]
        request = request_of(row, sample.body)
        done = EXCHANGE.tag(row, request, EXCHANGE.read(row, request), b"code", "replace")
        assert (done.found, done.orders, sample.suffix) == ("none", 1, b"")
        assert json.loads(sample.body)["clientOid"]


@pytest.mark.parametrize(
    ("body", "unix_ms"),
    [
        (b'{"code":"200000","data":1546837113087}', 1546837113087),
        (b'{"code":"200000","data":"1546837113087"}', None),
        (b'{"code":"200000","data":true}', None),
        (b'{"code":"200000","data":-1}', None),
        (b'{"code":"200000","data":1e400}', None),
        (b'{"code":"429000","data":1546837113087}', None),
        (b'{"code":"200000"}', None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_the_clock_is_read_or_nothing(body: bytes, unix_ms: int | None) -> None:
    assert EXCHANGE.read_clock(body) == unix_ms
