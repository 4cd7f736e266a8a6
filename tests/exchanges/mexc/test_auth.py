"""Signing and verifying as properties, and what is forwarded unsigned."""

from __future__ import annotations

import hashlib
import hmac
import re
from ipaddress import IPv4Address
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.exchanges.mac import Mac
from proxy.exchanges.mexc import EXCHANGE, configured
from proxy.exchanges.mexc.spot import FIRST_NAMES
from proxy.model import Broker, Claim, Credentials, Endpoint, Outbound, Request, Signed

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = b"0123456789abcdef0123456789abcdef"
CREDENTIALS = Credentials(b"mx0vglMockKey12345", Mac(SECRET), b"")
ROWS = {endpoint.label: endpoint for endpoint in EXCHANGE.endpoints}
ORDER = ROWS["POST v3/order"]
FUTURES_ORDER = ROWS["POST v1/private/order/create"]
BROKER = Broker(b"OPERATOR1")
LIMITS = ("timestamp", "signature", "recvWindow")

names = st.from_regex(rb"[a-zA-Z_][a-zA-Z0-9_.]{0,8}", fullmatch=True).filter(
    lambda name: name.decode() not in LIMITS
)
values = st.from_regex(rb"[a-zA-Z0-9_.~-]{0,12}", fullmatch=True)
queries = st.dictionaries(names, values, max_size=5).map(
    lambda pairs: b"&".join(name + b"=" + value for name, value in pairs.items())
)
instants = st.integers(10**12, 10**13 - 1)


def asked(
    method: bytes, target: bytes, body: bytes = b"", headers: dict[bytes, bytes] | None = None
) -> Request:
    request = Request(method, target, headers or {}, IPv4Address("127.0.0.1"), 0)
    request.body = body
    request.prefix = b"/mexc"
    return request


def received(signed: Signed, method: bytes) -> Request:
    headers: dict[bytes, bytes] = {}
    for line in signed.head.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        assert name.lower() not in headers
        headers[name.lower()] = value
    return asked(method, signed.target, signed.body, headers)


def verified(endpoint: Endpoint, request: Request) -> tuple[Claim, bytes]:
    claim = EXCHANGE.identify(request)
    assert claim is not None
    return claim, EXCHANGE.verify(endpoint, request, claim, CREDENTIALS)


def slug_of(call: Callable[[], object]) -> str:
    """The slug a call is refused with, "" if it is not."""
    try:
        call()
    except Refusal as refusal:
        return refusal.slug
    return ""


@given(st.sampled_from((b"GET", b"POST", b"DELETE")), queries, instants)
def test_a_spot_request_that_is_signed_verifies_and_any_change_does_not(
    method: bytes, query: bytes, wall_ms: int
) -> None:
    suffix = b"?" + query if query else b""
    outbound = Outbound(method, b"/api/v3/order", suffix, b"", demo=False)
    signed = EXCHANGE.sign(outbound, CREDENTIALS, BROKER, wall_ms)
    request = received(signed, method)
    claim, digest = verified(ORDER, request)
    text = (query + b"&" if query else b"") + b"timestamp=%d" % wall_ms
    assert digest == hmac.new(SECRET, text, hashlib.sha256).digest()
    assert request.suffix == b"?" + text + b"&signature=" + digest.hex().encode()
    assert (claim.timestamp_ms, claim.expires_ms) == (wall_ms, wall_ms + 5000)
    assert (claim.not_before_ms, claim.not_after_ms) == (wall_ms - 999, wall_ms + 5000)
    changed = asked(method, signed.target.replace(b"timestamp=1", b"timestamp=2"), b"")
    changed.headers = request.headers
    if changed.target != signed.target:
        assert slug_of(lambda: verified(ORDER, changed)) == "bad_signature"
    longer = asked(method, signed.target + b"&x=1", b"", request.headers)
    assert slug_of(lambda: verified(ORDER, longer)) == "bad_signature"


@given(st.binary(max_size=80), instants)
def test_a_futures_body_that_is_signed_verifies_and_any_change_does_not(
    body: bytes, wall_ms: int
) -> None:
    outbound = Outbound(b"POST", FUTURES_ORDER.path.encode(), b"", body, demo=False)
    signed = EXCHANGE.sign(outbound, CREDENTIALS, BROKER, wall_ms)
    request = received(signed, b"POST")
    claim, digest = verified(FUTURES_ORDER, request)
    text = CREDENTIALS.api_key + b"%d" % wall_ms + body
    assert digest == hmac.new(SECRET, text, hashlib.sha256).digest()
    assert (claim.timestamp_ms, claim.expires_ms) == (wall_ms, 0)
    assert (claim.not_before_ms, claim.not_after_ms) == (wall_ms - 10_000, wall_ms + 10_000)
    request.body += b" "
    assert slug_of(lambda: verified(FUTURES_ORDER, request)) == "bad_signature"


@given(queries, instants)
def test_a_futures_query_leaves_in_the_order_of_its_names(query: bytes, wall_ms: int) -> None:
    suffix = b"?" + query if query else b""
    outbound = Outbound(b"GET", b"/api/v1/private/account/assets", suffix, b"", demo=False)
    signed = EXCHANGE.sign(outbound, CREDENTIALS, BROKER, wall_ms)
    parts = sorted(query.split(b"&"), key=lambda part: part.partition(b"=")[0])
    ordered = b"&".join(parts)
    assert signed.target == outbound.path + (b"?" + ordered if ordered else b"")
    text = CREDENTIALS.api_key + b"%d" % wall_ms + ordered
    digest = hmac.new(SECRET, text, hashlib.sha256).digest()
    assert verified(ROWS["GET v1/private/account/assets"], received(signed, b"GET"))[1] == digest


spellings = st.text(st.sampled_from("ab&=+%?#, é[]{}\"'"), max_size=6)


@given(st.dictionaries(st.sampled_from(("symbol", "price", "x")), spellings), spellings)
def test_one_signature_never_stands_for_two_requests(sent: dict[str, str], text: str) -> None:
    """Whatever text a bot has signed, the requests it proves say the same."""
    stamp = "timestamp=1795265716624"
    spelled = [
        "&".join([f"{name}={how(value)}" for name, value in sent.items()] + [stamp])
        for how in (quote, quote_plus, lambda value: value, lambda value: value + text)
    ]
    queries = [(query, "") for query in spelled]
    queries += [(query[:at], query[at:]) for query in spelled for at in range(len(query))]
    by_digest: dict[bytes, set[bytes]] = {}
    for signed in spelled:
        signature = hmac.new(SECRET, signed.encode(), hashlib.sha256).hexdigest()
        for query, body in queries:
            target = f"/api/v3/order?{query}&signature={signature}".encode()
            if not query:
                target = f"/api/v3/order?signature={signature}".encode()
            request = asked(b"POST", target, body.encode(), {b"x-mexc-apikey": CREDENTIALS.api_key})
            try:
                _, digest = verified(ORDER, request)
                content = EXCHANGE.read(ORDER, request)
            except Refusal:
                continue
            by_digest.setdefault(digest, set()).add(content.suffix)
    for leaving in by_digest.values():
        said = {frozenset(unquote_plus(suffix.decode())[1:].split("&")) for suffix in leaving}
        assert len(said) == 1


def test_a_query_and_a_body_glued_together_can_be_parted_in_one_place_only() -> None:
    for name in FIRST_NAMES:
        assert not [other for other in FIRST_NAMES if other != name and other.endswith(name)]


HEADERS = ("x-mexc-apikey", "apikey", "request-time", "signature", "recv-window", "source")
odd = st.one_of(st.binary(max_size=30), st.from_regex(rb"[0-9.-]{0,20}", fullmatch=True))
pieces = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.sampled_from(
            (b"timestamp=", b"signature=", b"recvWindow=", b"&", b"=", b"1795265716624", b"{", b'"')
        ),
    ),
    max_size=8,
).map(b"".join)


@given(
    st.sampled_from((b"GET", b"POST", b"DELETE")),
    st.sampled_from((b"/api/v3/order", b"/api/v1/private/order/create", b"/api/v3/broker/x", b"")),
    st.dictionaries(st.sampled_from([name.encode() for name in HEADERS]), odd),
    pieces,
    pieces,
)
def test_any_request_is_a_claim_or_none_or_refused(
    method: bytes, path: bytes, headers: dict[bytes, bytes], query: bytes, body: bytes
) -> None:
    request = asked(method, path + b"?" + query, body, headers)
    slug = slug_of(lambda: EXCHANGE.identify(request))
    assert slug in ("", "missing_credentials", "stale_timestamp", "bad_request")
    if slug:
        return
    claim = EXCHANGE.identify(request)
    if claim is None:
        return
    assert slug_of(lambda: EXCHANGE.verify(ORDER, request, claim, CREDENTIALS)) in (
        "bad_signature",
        "missing_credentials",
        "stale_timestamp",
        "bad_request",
    )


@pytest.mark.parametrize("path", [b"/api/v3/time", b"/api/v1/contract/ping"])
def test_a_key_alone_on_a_read_is_nobodys(path: bytes) -> None:
    """pymexc sends its key with public calls, and a time and a window too."""
    headers = {b"x-mexc-apikey": b"k", b"apikey": b"k"}
    assert EXCHANGE.identify(asked(b"GET", path + b"?timestamp=1&recvWindow=5000")) is None
    assert (
        EXCHANGE.identify(asked(b"GET", path + b"?timestamp=1&recvWindow=5000", b"", headers))
        is None
    )


def test_without_any_credentials_a_request_is_nobodys() -> None:
    for method in (b"GET", b"POST"):
        assert EXCHANGE.identify(asked(method, b"/api/v3/order?symbol=BTCUSDT")) is None
        assert EXCHANGE.identify(asked(method, b"/api/v1/private/order/create")) is None


def test_what_stands_in_the_body_is_told_by_verify() -> None:
    text = b"symbol=BTCUSDT&recvWindow=2000&timestamp=1795265716624"
    signature = hmac.new(SECRET, text, hashlib.sha256).hexdigest().encode()
    request = asked(b"POST", b"/api/v3/order", text + b"&signature=" + signature)
    request.headers[b"x-mexc-apikey"] = CREDENTIALS.api_key
    claim = EXCHANGE.identify(request)
    assert claim is not None
    assert (claim.timestamp_ms, claim.signature, claim.expires_ms) == (-1, b"", 0)
    assert claim.not_before_ms <= 0
    assert claim.not_after_ms > 1 << 60
    EXCHANGE.verify(ORDER, request, claim, CREDENTIALS)
    assert (claim.timestamp, claim.signature) == (b"1795265716624", signature)
    assert (claim.timestamp_ms, claim.expires_ms) == (1795265716624, 1795265718624)
    assert (claim.not_before_ms, claim.not_after_ms) == (1795265715625, 1795265718624)


@pytest.mark.parametrize(
    ("sent", "window_ms"),
    [(b"5", 5_000), (b"60", 60_000), (b"61", 61), (b"5000", 5_000), (b"", 10_000)],
)
def test_the_futures_window_is_in_seconds_or_what_a_client_takes_for_it(
    sent: bytes, window_ms: int
) -> None:
    headers = {b"apikey": b"k", b"request-time": b"1000000", b"signature": b"s"}
    headers[b"recv-window"] = sent
    claim = EXCHANGE.identify(asked(b"GET", b"/api/v1/private/account/assets", b"", headers))
    assert claim is not None
    assert claim.not_after_ms - claim.timestamp_ms == window_ms


def test_a_futures_post_with_a_query_is_told_what_is_wrong() -> None:
    headers = {b"apikey": b"k", b"request-time": b"1000000", b"signature": b"s"}
    request = asked(b"POST", b"/api/v1/private/order/create?vol=1", b"", headers)
    with pytest.raises(Refusal, match="takes its parameters as a JSON body") as caught:
        verified(FUTURES_ORDER, request)
    assert caught.value.slug == "bad_request"


def test_what_is_missing_is_named() -> None:
    headers = {b"apikey": b"k", b"signature": b"s"}
    with pytest.raises(Refusal, match="Request-Time missing"):
        EXCHANGE.identify(asked(b"GET", b"/api/v1/private/account/assets", b"", headers))
    with pytest.raises(Refusal, match="X-MEXC-APIKEY missing"):
        EXCHANGE.identify(asked(b"GET", b"/api/v3/account?signature=a"))


def test_without_a_secret_nothing_verifies() -> None:
    claim = Claim(b"k", b"t", 0, b"s", b"", False, 0, 0, 0)
    for path in (b"/api/v3/order", b"/api/v1/private/order/create"):
        request = asked(b"POST", path)
        with pytest.raises(Refusal) as caught:
            EXCHANGE.verify(ORDER, request, claim, Credentials(b"k", None, b""))
        assert caught.value.slug == "bad_signature"


@given(
    st.sampled_from(("/api/v3/order", "/api/v1/private/order/create")),
    st.sampled_from((b"", b"CCXT", b"OPERATOR1", b"CCXT, EASYT", b", ")),
)
def test_exactly_one_source_leaves_whatever_came_in(path: str, sent: bytes) -> None:
    """Repeated ones come joined; none is ever passed on beside ours."""
    request = asked(b"POST", path.encode(), b"", {b"source": sent})
    endpoint = next(row for row in EXCHANGE.endpoints if row.path == path and row.method == "POST")
    tagged = EXCHANGE.tag(
        endpoint, request, EXCHANGE.read(endpoint, request), BROKER.code, "replace"
    )
    outbound = Outbound(b"POST", path.encode(), tagged.suffix, tagged.body, demo=False)
    signed = EXCHANGE.sign(outbound, CREDENTIALS, BROKER, 1)
    assert re.findall(rb"(?i)^source:.*$", signed.head, re.MULTILINE) == [b"source: OPERATOR1\r"]
    assert b"source" not in EXCHANGE.passed_headers
    unnamed = EXCHANGE.sign(outbound, CREDENTIALS, Broker(b""), 1)
    assert b"source" not in unnamed.head.lower()
    forwarded = EXCHANGE.forwarded_head(request, BROKER)
    assert forwarded.lower().count(b"source:") == 1
    assert b"source: OPERATOR1\r\n" in forwarded


def test_what_is_forwarded_is_as_it_came() -> None:
    headers = {
        b"x-mexc-apikey": b"k",
        b"apikey": b"f",
        b"request-time": b"1",
        b"signature": b"ab",
        b"recv-window": b"30",
        b"content-type": b"application/json",
        b"source": b"CCXT",
        b"cookie": b"x",
    }
    spot = asked(b"POST", b"/api/v3/order", b"", headers)
    futures = asked(b"POST", b"/api/v1/private/order/create", b"", headers)
    content = b"Content-Type: application/json\r\n"
    assert EXCHANGE.forwarded_head(spot, None) == (
        b"X-MEXC-APIKEY: k\r\nsource: CCXT\r\n" + content
    )
    signed = b"ApiKey: f\r\nRequest-Time: 1\r\nSignature: ab\r\nRecv-Window: 30\r\n"
    assert EXCHANGE.forwarded_head(futures, None) == signed + b"source: CCXT\r\n" + content
    assert EXCHANGE.forwarded_head(futures, BROKER) == signed + b"source: OPERATOR1\r\n" + content
    assert EXCHANGE.forwarded_head(spot, Broker(b"")) == b"X-MEXC-APIKEY: k\r\n" + content
    assert EXCHANGE.forwarded_head(asked(b"GET", b"/api/v3/time"), None) == b""


def test_a_read_without_a_key_needs_no_headers() -> None:
    assert EXCHANGE.unsigned_head(asked(b"GET", b"/api/v3/time")) == b""


def test_a_json_body_is_covered_unless_the_operator_says_otherwise() -> None:
    body, path = b'{"subAccount":"abc"}', b"/api/v3/broker/sub-account/virtualSubAccount"
    outbound = Outbound(b"POST", path, b"", body, demo=False)
    for words, text in (
        ({}, b"timestamp=7" + body),
        ({"json_body_signature": "covered"}, b"timestamp=7" + body),
        ({"json_body_signature": "query-only"}, b"timestamp=7"),
    ):
        signed = configured(words).sign(outbound, CREDENTIALS, BROKER, 7)
        digest = hmac.new(SECRET, text, hashlib.sha256).hexdigest().encode()
        assert signed.target == path + b"?timestamp=7&signature=" + digest
        assert signed.body == body
    futures = Outbound(b"POST", b"/api/v1/private/order/create", b"", body, demo=False)
    signed = configured({"json_body_signature": "query-only"}).sign(futures, CREDENTIALS, BROKER, 7)
    assert signed.head == EXCHANGE.sign(futures, CREDENTIALS, BROKER, 7).head
