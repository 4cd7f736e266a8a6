"""Signing and verifying as properties, and keys of our own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.exchanges.mac import Mac
from proxy.exchanges.okx import EXCHANGE
from proxy.model import Broker, Claim, Credentials, KeyTriple, Outbound, Request

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = b"mock-secret"
ENDPOINT = EXCHANGE.endpoints[0]
CREDENTIALS = Credentials(b"key-1", Mac(SECRET), b"Pass-1234")
NAMES = ("ok-access-key", "ok-access-sign", "ok-access-timestamp", "ok-access-passphrase")

paths = st.from_regex(rb"/[a-z0-9/-]{1,20}", fullmatch=True)
suffixes = st.one_of(st.just(b""), st.from_regex(rb"\?[a-zA-Z0-9=&%+,._~-]{0,30}", fullmatch=True))


def received(signed_head: bytes, method: bytes, target: bytes, body: bytes) -> Request:
    lines = signed_head.decode("latin-1").split("\r\n")[:-1]
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.lower().encode()] = value.encode("latin-1")
    request = Request(method, target, headers, IPv4Address("127.0.0.1"), 0)
    request.body = body
    request.prefix = b"/okx"
    return request


@given(
    st.sampled_from((b"GET", b"POST")),
    paths,
    suffixes,
    st.binary(max_size=80),
    st.integers(0, 253402300799999),
    st.booleans(),
)
def test_what_is_signed_verifies_and_any_change_does_not(
    method: bytes, path: bytes, suffix: bytes, body: bytes, wall_ms: int, demo: bool
) -> None:
    outbound = Outbound(method, path, suffix, body, demo=demo)
    signed = EXCHANGE.sign(outbound, CREDENTIALS, Broker(b"x"), wall_ms)
    request = received(signed.head, method, signed.target, signed.body)
    claim = EXCHANGE.identify(request)
    assert claim is not None
    assert (claim.timestamp_ms, claim.demo) == (wall_ms, demo)
    digest = EXCHANGE.verify(ENDPOINT, request, claim, CREDENTIALS)
    stamp = datetime.fromtimestamp(wall_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    text = f"{stamp}.{wall_ms % 1000:03d}Z".encode() + method + path + suffix + body
    assert digest == hmac.new(SECRET, text, hashlib.sha256).digest()
    assert claim.signature == base64.b64encode(digest)
    request.body += b" "
    with pytest.raises(Refusal) as caught:
        EXCHANGE.verify(ENDPOINT, request, claim, CREDENTIALS)
    assert caught.value.slug == "bad_signature"


def slug_of(call: Callable[[], object]) -> str:
    """The slug a call is refused with, "" if it is not."""
    try:
        call()
    except Refusal as refusal:
        return refusal.slug
    return ""


odd = st.one_of(st.binary(max_size=30), st.from_regex(rb"[0-9T:.Z-]{0,30}", fullmatch=True))


@given(
    st.dictionaries(
        st.sampled_from([name.encode() for name in (*NAMES, "x-simulated-trading", "exptime")]),
        odd,
    ),
    odd,
)
def test_any_head_is_a_claim_or_none_or_refused(headers: dict[bytes, bytes], body: bytes) -> None:
    request = Request(b"GET", b"/x?" + body, headers, IPv4Address("127.0.0.1"), 0)
    slug = slug_of(lambda: EXCHANGE.identify(request))
    assert slug in ("", "missing_credentials", "stale_timestamp", "bad_request")
    if slug:
        return
    claim = EXCHANGE.identify(request)
    if claim is None:
        assert not any(headers.get(name.encode()) for name in NAMES)
        return
    with pytest.raises(Refusal) as caught:
        EXCHANGE.verify(ENDPOINT, request, claim, CREDENTIALS)
    assert caught.value.slug == "bad_signature"


def test_a_deadline_is_read_off_the_head() -> None:
    headers = dict.fromkeys([name.encode() for name in NAMES], b"x")
    headers[b"ok-access-timestamp"] = b"2020-12-08T09:08:57.715Z"
    headers[b"exptime"] = b"1607418540000"
    claim = EXCHANGE.identify(Request(b"GET", b"/", headers, IPv4Address("127.0.0.1"), 0))
    assert claim is not None
    assert claim.expires_ms == 1607418540000


def test_what_is_missing_is_named() -> None:
    headers = {b"ok-access-key": b"k", b"ok-access-sign": b"", b"ok-access-timestamp": b"t"}
    with pytest.raises(Refusal) as caught:
        EXCHANGE.identify(Request(b"GET", b"/", headers, IPv4Address("127.0.0.1"), 0))
    assert caught.value.facts == "OK-ACCESS-SIGN, OK-ACCESS-PASSPHRASE missing"


def test_without_a_secret_nothing_verifies() -> None:
    request = Request(b"GET", b"/", {}, IPv4Address("127.0.0.1"), 0)
    claim = Claim(b"k", b"t", 0, b"s", b"p", False, 0, 0, 0)
    with pytest.raises(Refusal) as caught:
        EXCHANGE.verify(ENDPOINT, request, claim, Credentials(b"k", None, b"p"))
    assert caught.value.slug == "bad_signature"


def test_a_bearer_token_is_sent_as_such() -> None:
    outbound = Outbound(b"GET", b"/x", b"", b"", demo=True)
    signed = EXCHANGE.sign(outbound, Credentials(b"", None, b"", b"token"), Broker(b"x"), 0)
    assert signed.head == b"Authorization: Bearer token\r\nx-simulated-trading: 1\r\n"


@given(st.binary(min_size=64, max_size=64))
def test_issued_triples_look_like_okxs(random: bytes) -> None:
    triple = EXCHANGE.issue(random)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", triple.api_key)
    assert re.fullmatch(r"[0-9A-F]{32}", triple.secret)
    assert 8 <= len(triple.passphrase) <= 32
    for kind in ("[A-Z]", "[a-z]", "[0-9]", "[^A-Za-z0-9]"):
        assert re.search(kind, triple.passphrase)
    assert EXCHANGE.triple_fault(triple) == ""


@pytest.mark.parametrize(
    ("triple", "words"),
    [
        (KeyTriple("", "s", "p"), "api_key is missing"),
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
