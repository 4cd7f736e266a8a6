"""Charging any bytes; the bot's order ids. What each request costs is in limits.json."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.exchanges.okx import EXCHANGE
from proxy.model import Endpoint, Request

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = {endpoint.label: endpoint for endpoint in EXCHANGE.endpoints}
HTTP = [endpoint for endpoint in EXCHANGE.endpoints if endpoint.method != "WS"]


def request_for(endpoint: Endpoint, suffix: bytes, body: bytes) -> Request:
    target = endpoint.path.encode() + suffix
    request = Request(endpoint.method.encode(), target, {}, IPv4Address("127.0.0.1"), 0)
    request.body = body
    return request


def slug_of(call: Callable[[], object]) -> str:
    """The slug a call is refused with, "" if it is not."""
    try:
        call()
    except Refusal as refusal:
        return refusal.slug
    return ""


keys = st.sampled_from(("instId", "ordType", "ccy", "uly", "tag", "isElpTakerAccess", "x"))
scalars = st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3)
items = st.dictionaries(keys, scalars | st.lists(scalars, max_size=2), max_size=5)
bodies = st.one_of(
    st.just(b""),
    st.binary(max_size=20),
    st.one_of(items, st.lists(items, max_size=4), scalars).map(
        lambda item: json.dumps(item).encode()
    ),
)
queries = st.one_of(
    st.just(b""),
    st.binary(max_size=20).map(lambda raw: b"?" + raw),
    st.lists(
        st.sampled_from((b"instId=A-B", b"instId=C", b"uly=X", b"&", b"a%3db")), max_size=4
    ).map(lambda parts: b"?" + b"&".join(parts)),
)


@given(st.sampled_from(HTTP), queries, bodies)
def test_any_request_is_charged_to_its_first_pool_or_refused(
    endpoint: Endpoint, suffix: bytes, body: bytes
) -> None:
    request = request_for(endpoint, suffix, body)
    slug = slug_of(lambda: EXCHANGE.charges(endpoint, request, EXCHANGE.read(endpoint, request)))
    assert slug in ("", "bad_request")
    if slug:
        return
    content = EXCHANGE.read(endpoint, request)
    charged = EXCHANGE.charges(endpoint, request, content)
    draws = endpoint.single_item_draws if len(content.items) == 1 else ()
    first = (draws or endpoint.draws)[0].pool
    assert charged[0].pool is first
    assert len({(charge.pool.name, charge.value) for charge in charged}) == len(charged)
    assert all(charge.units > 0 and len(charge.value) <= 302 for charge in charged)
    assert EXCHANGE.client_order_ids(content) == ""


@given(
    st.lists(
        st.sampled_from(("A-B", "A-B-SWAP", "A-B-1-2-C", "A-B-1-2-P")), min_size=2, max_size=20
    )
)
def test_a_batch_costs_one_unit_for_each_order(instruments: list[str]) -> None:
    body = json.dumps([{"instId": instrument} for instrument in instruments]).encode()
    endpoint = ROWS["POST trade/batch-orders"]
    request = request_for(endpoint, b"", body)
    charged = EXCHANGE.charges(endpoint, request, EXCHANGE.read(endpoint, request))
    batch = [charge for charge in charged if charge.pool.name == "POST /api/v5/trade/batch-orders"]
    assert sum(charge.units for charge in batch) == len(instruments)
    capped = sum(charge.units for charge in charged if charge.pool.name == "subaccount-orders")
    assert capped == sum(instrument != "A-B" for instrument in instruments)


def test_the_bots_order_ids_are_told_for_the_log() -> None:
    endpoint = ROWS["POST trade/batch-orders"]
    for body, expected in (
        (b'[{"clOrdId":"a1"}]', "a1"),
        (b'[{"clOrdId":"a1"},{"clOrdId":""},{"algoClOrdId":"b2"},{"clOrdId":null}]', "a1,b2"),
        (b'[{"clOrdId":7},{"clOrdId":"a\\nb"},{"clOrdId":"%b"}]' % (b"x" * 65), ""),
    ):
        content = EXCHANGE.read(endpoint, request_for(endpoint, b"", body))
        assert EXCHANGE.client_order_ids(content) == expected
    untagged = ROWS["POST trade/cancel-advance-algos"]
    content = EXCHANGE.read(untagged, request_for(untagged, b"", b'[1,{"clOrdId":"a"}]'))
    assert EXCHANGE.client_order_ids(content) == "a"


def test_an_array_of_no_published_length_is_still_bounded() -> None:
    endpoint = ROWS["POST trade/cancel-advance-algos"]
    body = json.dumps([{"instId": "A-B"}] * 101).encode()
    request = request_for(endpoint, b"", body)
    assert slug_of(lambda: EXCHANGE.read(endpoint, request)) == "bad_request"
