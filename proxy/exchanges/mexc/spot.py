"""Spot's and the broker API's signature: who signed, and signing anew.
https://www.mexc.com/api-docs/spot-v3/general-info#signed

HMAC-SHA256 in hex over the query and the body with nothing between them, less `signature`, which
may stand in either. What leaves has every parameter in the query and is signed as sent.
"""

from __future__ import annotations

from binascii import hexlify
from hmac import compare_digest
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from proxy.errors import Refusal
from proxy.exchanges.mexc.parameters import (
    PARAMETERS_MAX,
    decoded,
    is_json,
    of_json,
    plain_pairs,
    too_many,
    value_of,
    whole,
    without,
)
from proxy.model import Action, Claim, Signed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.exchanges.mac import Mac
    from proxy.model import Broker, Credentials, Endpoint, Outbound, Request

RECV_WINDOW_MS: Final = 5_000
RECV_WINDOW_MS_MAX: Final = 60_000
_AHEAD_MS: Final = 1_000  # how far a timestamp may be ahead of MEXC's clock
_ANY_TIME_MS: Final = 1 << 62
_DEMO: Final = False  # there is no such market
_SIGNATURE: Final = b"signature="
_LAST: Final = b"&signature="
_SOURCE: Final = b"\r\nsource: "
_JSON: Final = b"\r\nContent-Type: application/json\r\n"
_TIMESTAMP: Final = b"timestamp="
_RECV_WINDOW: Final = b"recvWindow="
# What a body may begin with that is glued to a query: none of them ends with another, so that the
# place where they were glued is the only one possible.
FIRST_NAMES: Final = frozenset(
    b"symbol side type timeInForce quantity quoteOrderQty price newClientOrderId stopPrice "
    b"icebergQty stpMode batchOrders orderId origClientOrderId timestamp recvWindow listenKey "
    b"mxDeductEnable tradeGroupName coin asset amount address memo network netWork "
    b"withdrawOrderId contractAddress remark fromAccount toAccount fromAccountType toAccountType "
    b"fromAccountName toAccountName toAccountUid areaCode subAccount note apiKey permissions "
    b"ip".split()
)


# ---- claims -----------------------------------------------------------------------------------


def identify(request: Request) -> Claim | None:
    """Read the claim off a spot request's head: the query, and what stands in the body later.

    Libraries send the key on public reads too: a GET without a signature is nobody's.
    """
    key = request.headers.get(b"x-mexc-apikey")
    suffix = request.suffix
    pairs = plain_pairs(suffix)
    if pairs is not None:
        signature = pairs.get(b"signature")
        timestamp = pairs.get(b"timestamp")
        recv_window = pairs.get(b"recvWindow")
    else:
        signature = value_of(suffix, _SIGNATURE)
        timestamp = value_of(suffix, _TIMESTAMP)
        recv_window = value_of(suffix, _RECV_WINDOW)
    if not key:
        if signature:
            raise Refusal("missing_credentials", "X-MEXC-APIKEY missing")
        return None
    if request.method == b"GET":
        if not signature:
            return None
        if timestamp is None:
            raise Refusal("missing_credentials", "timestamp missing")
    claim = Claim(key, b"", -1, signature or b"", b"", _DEMO, 0, 0, _ANY_TIME_MS)
    if timestamp is not None:
        _set_time(claim, timestamp, recv_window)
    return claim


def _set_time(claim: Claim, timestamp: bytes, recv_window: bytes | None) -> None:
    timestamp_ms = whole(timestamp)
    if timestamp_ms < 0:
        raise Refusal("stale_timestamp", "timestamp must be Unix milliseconds")
    window_ms = RECV_WINDOW_MS if recv_window is None else whole(recv_window)
    if not 0 <= window_ms <= RECV_WINDOW_MS_MAX:
        raise Refusal("bad_request", f"recvWindow must be 0 to {RECV_WINDOW_MS_MAX} milliseconds")
    claim.timestamp = timestamp
    claim.timestamp_ms = timestamp_ms
    claim.not_before_ms = timestamp_ms - _AHEAD_MS + 1
    claim.not_after_ms = claim.expires_ms = timestamp_ms + window_ms


def complete(request: Request, claim: Claim) -> None:
    """Take from the body what the query did not tell. Raises `Refusal`."""
    suffix, body = request.suffix, request.body
    if is_json(body):
        members = dict(of_json(body)) if not claim.timestamp or not claim.signature else {}
        signature = members.get(b"signature")
        timestamp = members.get(b"timestamp")
        recv_window = members.get(b"recvWindow")
    else:
        signature = value_of(body, _SIGNATURE)
        timestamp = value_of(body, _TIMESTAMP)
        recv_window = value_of(body, _RECV_WINDOW)
    if not claim.signature:
        claim.signature = signature or b""
    sent = value_of(suffix, _TIMESTAMP)
    timestamp = timestamp if sent is None else sent  # the query's counts
    if not timestamp or not claim.signature:
        raise Refusal("missing_credentials", "timestamp and signature must both be there")
    sent = value_of(suffix, _RECV_WINDOW)
    _set_time(claim, timestamp, recv_window if sent is None else sent)


# ---- proofs -----------------------------------------------------------------------------------


def verify(endpoint: Endpoint, request: Request, claim: Claim, mac: Mac) -> bytes:
    """Prove a claim and complete it from the body; returns the HMAC. Raises `Refusal`."""
    suffix, signature = request.suffix, claim.signature
    if request.body or claim.timestamp_ms < 0 or not signature:
        complete(request, claim)
    else:
        at = len(suffix) - len(signature) - len(_LAST)
        if suffix.find(_LAST) == at:  # where it mostly stands
            digest = mac.digest(suffix[1:at])
            if compare_digest(hexlify(digest), signature):
                return digest
    wanted = claim.signature.lower()  # one client sends upper case
    for text in _texts(endpoint, without(suffix[1:], _SIGNATURE), request.body):
        digest = mac.digest(text)
        if compare_digest(hexlify(digest), wanted):
            return digest
    raise Refusal("bad_signature")


def _texts(endpoint: Endpoint, query: bytes, body: bytes) -> Iterator[bytes]:
    """What clients sign for one and the same request."""
    if is_json(body):
        if _ends_with_time(query):
            yield query + body
        if endpoint.action is Action.READ:
            yield query  # ccxt does not sign JSON bodies
        return
    if query.count(b"&") + body.count(b"&") > PARAMETERS_MAX:
        raise too_many()  # each would be decoded several times
    body = without(body, _SIGNATURE)
    if not body or not query:
        yield from same_readings(query or body)
        return
    if body.partition(b"=")[0] in FIRST_NAMES:
        glued_bodies = tuple(same_readings(body))
        for left in same_readings(query):
            for right in glued_bodies:
                yield left + right
    yield from same_readings(query + b"&" + body)


def same_readings(text: bytes) -> Iterator[bytes]:
    """The spellings that real clients sign of what they send otherwise: undecoded, with %20.

    A spelling counts only if it says the same when it is read itself, so that one signature
    cannot stand for two different requests.
    """
    yield text
    if text.find(b"%") < 0 and text.find(b"+") < 0:
        return
    said = decoded(text)
    forms = [text]
    for form in (
        text.replace(b"+", b"%20"),
        unquote_to_bytes(text),
        unquote_to_bytes(text.replace(b"+", b" ")),
    ):
        if said is not None and form not in forms and decoded(form) == said:
            forms.append(form)
            yield form


def _ends_with_time(query: bytes) -> bool:
    """Whether JSON may follow a query: after a number it cannot be taken for more of it."""
    name, _, value = query.rpartition(b"&")[2].partition(b"=")
    return not query or (name in (b"timestamp", b"recvWindow") and value.isdigit())


# ---- signing ----------------------------------------------------------------------------------


def sign(
    outbound: Outbound, credentials: Credentials, broker: Broker, wall_ms: int, *, covers: bool
) -> Signed:
    """Sign at `wall_ms` (Unix); `covers` says whether the signature is over a JSON body too."""
    mac = credentials.mac
    assert mac is not None  # MEXC gives no tokens
    suffix, body = outbound.suffix, outbound.body
    query = suffix[1:] + b"&timestamp=%d" % wall_ms if suffix else b"timestamp=%d" % wall_ms
    digest = mac.digest(query + body if body and covers else query)
    code = broker.code
    return Signed(
        outbound.path + b"?" + query + _LAST + hexlify(digest),
        b"X-MEXC-APIKEY: " + credentials.api_key + (_SOURCE + code if code else b"") + _JSON,
        body,
    )
