"""The partner: whose the bot's was, and that nothing of it ever leaves.

Nothing in a body can be a partner, so whatever the body is it stays as it is.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.exchanges.kucoin import EXCHANGE
from proxy.exchanges.kucoin.broker import code_fault
from proxy.exchanges.mac import Mac
from proxy.model import Broker, Credentials, Endpoint, OnConflict, Outbound, Request, Tag, Tagged

CODE: Final = b"partner-1"
BROKER: Final = Broker(CODE, b"", Mac(b"mock-broker-key"))
CREDENTIALS: Final = Credentials(b"key-1", Mac(b"mock-secret"), b"Pass-1234")
MODES: Final[tuple[OnConflict, ...]] = ("replace", "keep", "reject")
PARTNER_HEADERS: Final = (
    b"kc-api-partner",
    b"kc-api-partner-sign",
    b"kc-api-partner-verify",
    b"kc-broker-name",
)

texts = st.one_of(st.binary(max_size=12), st.sampled_from((b"", CODE, b"ccxt", b"partner-1, ccxt")))
heads = st.dictionaries(st.sampled_from((*PARTNER_HEADERS, b"x-site-type", b"cookie")), texts)
bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from((b"", b"{}", b'[{"clientOid":"a"},{}]', b'{"orderList":[{}]}', b"[1]")),
)
rows = st.sampled_from(EXCHANGE.endpoints)


def request_of(endpoint: Endpoint, headers: dict[bytes, bytes], body: bytes) -> Request:
    request = Request(
        endpoint.method.encode(), endpoint.path.encode(), headers, IPv4Address("127.0.0.1"), 0
    )
    request.body = body
    return request


def tagged(endpoint: Endpoint, request: Request, mode: OnConflict) -> Tagged | str:
    """What `tag` makes of a request, or the slug that it is refused with."""
    try:
        content = EXCHANGE.read(endpoint, request)
        return EXCHANGE.tag(endpoint, request, content, CODE, mode)
    except Refusal as refusal:
        return refusal.slug


@given(rows, heads, bodies, st.sampled_from(MODES))
def test_whatever_comes_the_body_stays_and_the_codes_are_told(
    endpoint: Endpoint, headers: dict[bytes, bytes], body: bytes, mode: OnConflict
) -> None:
    done = tagged(endpoint, request_of(endpoint, headers, body), mode)
    sent = headers.get(b"kc-api-partner", b"")
    if isinstance(done, str):
        assert done == "bad_request" or (mode, done) == ("reject", "tag_conflict")
        assert done == "bad_request" or sent not in (b"", CODE)
        return
    assert (done.body, done.suffix, done.kept) == (body, b"", b"")
    if endpoint.tag is not Tag.HEADERS:
        assert (done.found, done.orders) == ("", 0)
        return
    assert done.found == ("none" if not sent else "ours" if sent == CODE else "other")
    assert done.orders >= 1


@given(rows, heads, bodies, st.sampled_from(MODES), st.integers(0, 10**13))
def test_no_partner_of_a_bots_ever_leaves(
    endpoint: Endpoint, headers: dict[bytes, bytes], body: bytes, mode: OnConflict, wall_ms: int
) -> None:
    """Neither signed anew nor with the bot's own signature: our four headers stand alone."""
    request = request_of(endpoint, headers, body)
    done = tagged(endpoint, request, mode)
    if isinstance(done, str):
        return
    outbound = Outbound(request.method, request.path, done.suffix, done.body, demo=False)
    signed = EXCHANGE.sign(outbound, CREDENTIALS, BROKER, wall_ms)
    for head in (signed.head, EXCHANGE.forwarded_head(request, BROKER)):
        assert head.lower().count(b"kc-api-partner: ") == 1
        assert head.lower().count(b"kc-api-partner-sign: ") == 1
        assert b"KC-API-PARTNER-VERIFY: true\r\n" in head
        assert b"KC-API-PARTNER: " + CODE + b"\r\n" in head
        assert b"kc-broker-name" not in head.lower()
    assert EXCHANGE.unsigned_head(request) == b""
    passed = {name.lower() for name in EXCHANGE.passed_headers}
    assert not passed & {*PARTNER_HEADERS, b"kc-api-key", b"kc-api-sign"}


def test_every_signed_call_of_every_venue_carries_the_partner() -> None:
    for endpoint in EXCHANGE.endpoints:
        outbound = Outbound(endpoint.method.encode(), endpoint.path.encode(), b"", b"", demo=False)
        head = EXCHANGE.sign(outbound, CREDENTIALS, BROKER, 1).head
        assert b"KC-API-PARTNER: " + CODE in head


@pytest.mark.parametrize(
    ("sent", "facts"),
    [
        (b"ccxt", "partner ccxt is not the operator's"),
        (b'a"b', "a KC-API-PARTNER is not the operator's"),
        (b"x" * 65, "a KC-API-PARTNER is not the operator's"),
        ("é".encode(), "a KC-API-PARTNER is not the operator's"),
    ],
)
def test_a_code_that_is_refused_is_named_if_it_can_be_shown(sent: bytes, facts: str) -> None:
    endpoint = next(row for row in EXCHANGE.endpoints if row.label == "POST v1/hf/orders")
    request = request_of(endpoint, {b"kc-api-partner": sent}, b"{}")
    with pytest.raises(Refusal) as caught:
        EXCHANGE.tag(endpoint, request, b"{}", CODE, "reject")
    assert (caught.value.slug, caught.value.facts) == ("tag_conflict", facts)


@pytest.mark.parametrize(
    ("code", "fits"),
    [
        ("goodbroker", True),
        ("python-kucoinspot", True),
        ("NODESDKFUTURES", True),
        ("a", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("", False),
        ("a b", False),
        ("a\r\nX: y", False),
        ("ä", False),
        ("a,b", False),
    ],
)
def test_a_partner_id_that_cannot_be_sent_is_told(code: str, fits: bool) -> None:
    assert (code_fault(code) == "") is fits
    assert EXCHANGE.code_fault(code) == code_fault(code)
