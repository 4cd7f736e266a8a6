"""Signing and verifying as properties, forwarding, and keys of our own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.exchanges.kucoin import EXCHANGE
from proxy.exchanges.mac import Mac
from proxy.model import Broker, Claim, Credentials, KeyTriple, Outbound, Request

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET: Final = b"mock-secret"
BROKER_KEY: Final = b"mock-broker-key"
CREDENTIALS: Final = Credentials(b"key-1", Mac(SECRET), b"Pass-1234")
BROKER: Final = Broker(b"partner-1", b"name-1", Mac(BROKER_KEY))
NOBODY: Final = Broker(b"")
NAMES: Final = (b"kc-api-key", b"kc-api-sign", b"kc-api-timestamp", b"kc-api-passphrase")
PARTNERS: Final = (
    b"kc-api-partner",
    b"kc-api-partner-sign",
    b"kc-api-partner-verify",
    b"kc-broker-name",
)
ROW: Final = EXCHANGE.endpoints[0]

paths = st.from_regex(rb"/[a-z0-9/-]{1,20}", fullmatch=True)
suffixes = st.one_of(st.just(b""), st.from_regex(rb"\?[a-zA-Z0-9=&%+,._~-]{0,30}", fullmatch=True))
methods = st.sampled_from((b"GET", b"POST", b"DELETE"))


def mac(key: bytes, message: bytes) -> bytes:
    return base64.b64encode(hmac.new(key, message, hashlib.sha256).digest())


def lines_of(head: bytes) -> dict[bytes, bytes]:
    """The headers of a head, names in lower case; none may stand there twice."""
    assert head == b"" or head.endswith(b"\r\n")
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        assert name.lower() not in headers
        headers[name.lower()] = value
    return headers


def received(headers: dict[bytes, bytes], method: bytes, target: bytes, body: bytes) -> Request:
    request = Request(method, target, headers, IPv4Address("127.0.0.1"), 0)
    request.body = body
    request.prefix = b"/kucoin"
    return request


@given(methods, paths, suffixes, st.binary(max_size=80), st.integers(0, 10**15 - 1), st.booleans())
def test_what_is_signed_is_what_kucoin_computes(
    method: bytes, path: bytes, suffix: bytes, body: bytes, wall_ms: int, named: bool
) -> None:
    broker = BROKER if named else Broker(b"partner-1", b"", Mac(BROKER_KEY))
    outbound = Outbound(method, path, suffix, body, demo=False)
    signed = EXCHANGE.sign(outbound, CREDENTIALS, broker, wall_ms)
    assert signed.body == body
    wire_path, _, query = signed.target.partition(b"?")
    assert wire_path == path
    assert b"+" not in query
    assert unquote_to_bytes(query) == unquote_to_bytes(suffix[1:].replace(b"+", b" "))
    read = unquote_to_bytes(query).decode("utf-8", "replace").encode()
    time = str(wall_ms).encode()
    target = path + (b"?" + read if query else b"")
    expected = {
        b"kc-api-key": b"key-1",
        b"kc-api-sign": mac(SECRET, time + method + target + body),
        b"kc-api-timestamp": time,
        b"kc-api-passphrase": mac(SECRET, b"Pass-1234"),
        b"kc-api-key-version": b"3",
        b"kc-api-partner": b"partner-1",
        b"kc-api-partner-sign": mac(BROKER_KEY, time + b"partner-1" + b"key-1"),
        b"kc-api-partner-verify": b"true",
    }
    assert lines_of(signed.head) == expected | ({b"kc-broker-name": b"name-1"} if named else {})


@given(methods, paths, suffixes, st.binary(max_size=80), st.integers(5_000, 10**15 - 1))
def test_what_is_signed_verifies_and_any_change_does_not(
    method: bytes, path: bytes, suffix: bytes, body: bytes, wall_ms: int
) -> None:
    outbound = Outbound(method, path, suffix, body, demo=False)
    signed = EXCHANGE.sign(outbound, CREDENTIALS, NOBODY, wall_ms)
    request = received(lines_of(signed.head), method, signed.target, signed.body)
    claim = EXCHANGE.identify(request)
    assert claim is not None
    assert (claim.timestamp_ms, claim.demo, claim.expires_ms) == (wall_ms, False, 0)
    assert (claim.not_before_ms, claim.not_after_ms) == (wall_ms - 5_000, wall_ms + 5_000)
    query = signed.target.partition(b"?")[2]
    plain = unquote_to_bytes(query)
    unambiguous = (plain.count(b"&"), plain.count(b"=")) == (query.count(b"&"), query.count(b"="))
    if unambiguous and plain == plain.decode("utf-8", "replace").encode():
        digest = EXCHANGE.verify(ROW, request, claim, CREDENTIALS)
        assert base64.b64encode(digest) == claim.signature
    request.body += b" "
    assert slug_of(lambda: EXCHANGE.verify(ROW, request, claim, CREDENTIALS)) == "bad_signature"


def slug_of(call: Callable[[], object]) -> str:
    """The slug a call is refused with, "" if it is not."""
    try:
        call()
    except Refusal as refusal:
        return refusal.slug
    return ""


odd = st.one_of(st.binary(max_size=30), st.from_regex(rb"[0-9.+ -]{0,30}", fullmatch=True))


@given(
    st.dictionaries(st.sampled_from((*NAMES, *PARTNERS, b"kc-api-key-version")), odd),
    methods,
    odd,
    odd,
)
def test_any_head_is_a_claim_or_none_or_refused(
    headers: dict[bytes, bytes], method: bytes, query: bytes, body: bytes
) -> None:
    request = received(headers, method, b"/x?" + query, body)
    slug = slug_of(lambda: EXCHANGE.identify(request))
    assert slug in ("", "missing_credentials", "stale_timestamp")
    if slug:
        return
    claim = EXCHANGE.identify(request)
    if claim is None:
        assert not headers.get(b"kc-api-sign")
        assert not headers.get(b"kc-api-timestamp")
        return
    assert slug_of(lambda: EXCHANGE.verify(ROW, request, claim, CREDENTIALS)) == "bad_signature"


def test_what_is_missing_is_named() -> None:
    headers = {b"kc-api-key": b"k", b"kc-api-sign": b"", b"kc-api-timestamp": b"1"}
    with pytest.raises(Refusal) as caught:
        EXCHANGE.identify(received(headers, b"GET", b"/", b""))
    assert caught.value.facts == "KC-API-SIGN, KC-API-PASSPHRASE missing"


def test_a_read_that_is_not_signed_is_nobodys() -> None:
    """python-kucoin 2.2.0 sends these two with its public reads, and no signature."""
    headers = {b"kc-api-key": b"k", b"kc-api-passphrase": b"p"}
    request = received(headers, b"GET", b"/api/v1/timestamp", b"")
    assert EXCHANGE.identify(request) is None
    assert EXCHANGE.unsigned_head(request) == b""


def test_the_passphrase_is_sealed_once_for_each_key() -> None:
    credentials = Credentials(b"key-1", Mac(SECRET), b"Pass-1234")
    outbound = Outbound(b"GET", b"/x", b"", b"", demo=False)
    first = lines_of(EXCHANGE.sign(outbound, credentials, NOBODY, 1).head)
    sealed = credentials.passphrase_mac
    assert first[b"kc-api-passphrase"] == sealed == mac(SECRET, b"Pass-1234")
    second = lines_of(EXCHANGE.sign(outbound, credentials, NOBODY, 2).head)
    assert credentials.passphrase_mac is sealed
    assert second[b"kc-api-passphrase"] == sealed


def test_without_a_secret_nothing_verifies_and_nothing_is_signed() -> None:
    request = received({}, b"GET", b"/", b"")
    claim = Claim(b"k", b"1", 1, b"s", b"p", False, 0, 0, 2)
    nothing = Credentials(b"k", None, b"p")
    assert slug_of(lambda: EXCHANGE.verify(ROW, request, claim, nothing)) == "bad_signature"
    outbound = Outbound(b"GET", b"/x", b"", b"", demo=False)
    assert slug_of(lambda: EXCHANGE.sign(outbound, nothing, BROKER, 1)) == "internal"


values = st.from_regex(rb"[\x21-\x7e]{1,20}", fullmatch=True)
claims = st.fixed_dictionaries(
    dict.fromkeys(NAMES, values),
    optional=dict.fromkeys((*PARTNERS, b"kc-api-key-version", b"x-site-type", b"cookie"), values),
)


@given(claims)
def test_observed_the_bots_own_headers_leave_as_they_came(headers: dict[bytes, bytes]) -> None:
    head = EXCHANGE.forwarded_head(received(headers, b"POST", b"/x", b"{}"), None)
    mine = (*NAMES, *PARTNERS, b"kc-api-key-version")
    assert lines_of(head) == {name: headers[name] for name in mine if name in headers}


@given(claims, st.sampled_from((b"", b"name-1")))
def test_keyless_the_bots_signature_leaves_with_our_partner(
    headers: dict[bytes, bytes], name: bytes
) -> None:
    broker = Broker(b"partner-1", name, Mac(BROKER_KEY))
    head = EXCHANGE.forwarded_head(received(headers, b"POST", b"/x", b"{}"), broker)
    mine = (*NAMES, b"kc-api-key-version")
    signed = headers[b"kc-api-timestamp"] + b"partner-1" + headers[b"kc-api-key"]
    expected = {name: headers[name] for name in mine if name in headers} | {
        b"kc-api-partner": b"partner-1",
        b"kc-api-partner-sign": mac(BROKER_KEY, signed),
        b"kc-api-partner-verify": b"true",
    }
    assert lines_of(head) == expected | ({b"kc-broker-name": name} if name else {})


@pytest.mark.parametrize("broker", [NOBODY, Broker(b"", b"n", Mac(b"k")), Broker(b"code")])
def test_no_partner_leaves_without_a_code_and_its_key(broker: Broker) -> None:
    headers = dict.fromkeys((*NAMES, *PARTNERS), b"1")
    forwarded = EXCHANGE.forwarded_head(received(headers, b"GET", b"/x", b""), broker)
    outbound = Outbound(b"GET", b"/x", b"", b"", demo=False)
    signed = EXCHANGE.sign(outbound, CREDENTIALS, broker, 1).head
    for head in (forwarded, signed):
        assert not set(PARTNERS) & set(lines_of(head))


@given(st.binary(min_size=64, max_size=64))
def test_issued_triples_look_like_kucoins(random: bytes) -> None:
    triple = EXCHANGE.issue(random)
    assert re.fullmatch(r"[0-9a-f]{24}", triple.api_key)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", triple.secret)
    assert 7 <= len(triple.passphrase) <= 32
    assert EXCHANGE.triple_fault(triple) == ""


@pytest.mark.parametrize(
    ("triple", "words"),
    [
        (KeyTriple("", "s", "p"), "api_key is missing"),
        (KeyTriple("k", "s", ""), "passphrase is missing"),
        (KeyTriple("k", "s p", "p"), "secret must be at most 128 printable ASCII characters"),
        (KeyTriple("k", "s", "ä"), "passphrase must be"),
        (KeyTriple("k\r\nx: y", "s", "p"), "api_key must be"),
        (KeyTriple("k" * 129, "s", "p"), "api_key must be"),
        (KeyTriple("k", "s", "p"), ""),
    ],
)
def test_a_triple_that_cannot_be_used_is_told(triple: KeyTriple, words: str) -> None:
    fault = EXCHANGE.triple_fault(triple)
    assert fault.startswith(words)
    assert bool(fault) is bool(words)
