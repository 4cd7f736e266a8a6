"""The futures' signature: who signed, and signing anew.
https://www.mexc.com/api-docs/futures/integration-guide#authentication

HMAC-SHA256 in hex over key + time + parameters: of a GET or DELETE the query sorted by name, of a
POST the JSON body as sent. Path and headers are not covered.
"""

from __future__ import annotations

from binascii import hexlify
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from proxy.errors import Refusal
from proxy.exchanges.mexc.parameters import whole
from proxy.exchanges.mexc.spot import same_readings
from proxy.model import Claim, Signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.exchanges.mac import Mac
    from proxy.model import Broker, Credentials, Outbound, Request

PREFIX: Final = b"/api/v1/"
WINDOW_MS: Final = 10_000
_WINDOW_S_MAX: Final = 60
_DEMO: Final = False  # there is no such market
_SOURCE: Final = b"\r\nsource: "
_JSON: Final = b"\r\nContent-Type: application/json\r\n"
_HEADERS: Final = (
    (b"apikey", "ApiKey"),
    (b"request-time", "Request-Time"),
    (b"signature", "Signature"),
)


def identify(request: Request) -> Claim | None:
    """Read the claim off a futures request's head; a GET without a signature is nobody's."""
    get = request.headers.get
    key = get(b"apikey")
    timestamp = get(b"request-time")
    signature = get(b"signature")
    if not (key and timestamp and signature):
        if not signature and (request.method == b"GET" or not (key or timestamp)):
            return None
        missing = [shown for name, shown in _HEADERS if not get(name)]
        raise Refusal("missing_credentials", f"{', '.join(missing)} missing")
    timestamp_ms = whole(timestamp)
    if timestamp_ms < 0:
        raise Refusal("stale_timestamp", "Request-Time must be Unix milliseconds")
    window_ms = _window_ms(get(b"recv-window"))
    return Claim(
        key,
        timestamp,
        timestamp_ms,
        signature,
        b"",
        _DEMO,
        0,
        timestamp_ms - window_ms,
        timestamp_ms + window_ms,
    )


def _window_ms(sent: bytes | None) -> int:
    """How far off a timestamp may be. The docs count Recv-Window in seconds, at most 60; a widely
    used client sends milliseconds."""
    if not sent:
        return WINDOW_MS
    window = whole(sent)
    if not 0 < window <= _WINDOW_S_MAX * 1000:
        raise Refusal("bad_request", f"Recv-Window must be 1 to {_WINDOW_S_MAX} seconds")
    return window * 1000 if window <= _WINDOW_S_MAX else window


def verify(request: Request, claim: Claim, mac: Mac) -> bytes:
    """Prove a claim; returns the HMAC. Raises `Refusal`."""
    stamped = claim.api_key + claim.timestamp
    query = request.suffix[1:]
    if request.method == b"POST":
        if query:
            raise Refusal(
                "bad_request",
                "a futures POST takes its parameters as a JSON body, not in the query: "
                "MEXC signs the body alone",
            )
        digest = mac.digest(stamped + request.body)
        if _is_its_own(digest, claim):
            return digest
    elif not request.body:
        for text in _texts(query):
            digest = mac.digest(stamped + text)
            if _is_its_own(digest, claim):
                return digest
    raise Refusal("bad_signature")


def _is_its_own(digest: bytes, claim: Claim) -> bool:
    """Whether a claim has this signature, in lower or upper case."""
    own = hexlify(digest)
    return compare_digest(own, claim.signature) or compare_digest(own, claim.signature.lower())


def _texts(query: bytes) -> Iterator[bytes]:
    """What clients sign of a query: sorted by name, encoded or not, whatever order they send."""
    for text in same_readings(query):
        yield by_name(text)
        yield text


def by_name(query: bytes) -> bytes:
    """A query with its parameters in the order of their names."""
    if query.find(b"&") < 0:
        return query
    parts: list[bytes] = query.split(b"&")
    parts.sort(key=_name)
    return b"&".join(parts)


def _name(part: bytes) -> bytes:
    return bytes(part).partition(b"=")[0]


def sign(outbound: Outbound, credentials: Credentials, broker: Broker, wall_ms: int) -> Signed:
    """Sign at `wall_ms` (Unix)."""
    mac = credentials.mac
    assert mac is not None  # MEXC gives no tokens
    suffix, body = outbound.suffix, outbound.body
    key, code = credentials.api_key, broker.code
    timestamp = b"%d" % wall_ms
    if outbound.method == b"POST":
        digest = mac.digest(key + timestamp + body)
    else:
        query = by_name(suffix[1:])
        suffix = b"?" + query if query else b""
        digest = mac.digest(key + timestamp + query)
    return Signed(
        outbound.path + suffix,
        b"ApiKey: "
        + key
        + b"\r\nRequest-Time: "
        + timestamp
        + b"\r\nSignature: "
        + hexlify(digest)
        + (_SOURCE + code if code else b"")
        + _JSON,
        body,
    )
