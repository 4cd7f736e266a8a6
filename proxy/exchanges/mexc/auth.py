"""Who signed, and signing anew: by the path, as one host serves spot and futures.
https://www.mexc.com/api-docs/spot-v3/general-info, .../futures/integration-guide

The broker code is the header `source`, which no signature covers: exactly one leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.errors import Refusal
from proxy.exchanges.mexc import futures, spot
from proxy.exchanges.mexc.futures import PREFIX

if TYPE_CHECKING:
    from proxy.model import Broker, Claim, Credentials, Endpoint, Outbound, Request, Signed

_SPOT_HEADERS: Final = ((b"x-mexc-apikey", b"X-MEXC-APIKEY"),)
_FUTURES_HEADERS: Final = (
    (b"apikey", b"ApiKey"),
    (b"request-time", b"Request-Time"),
    (b"signature", b"Signature"),
    (b"recv-window", b"Recv-Window"),
)


def identify(request: Request) -> Claim | None:
    """Read who a request says it is from; None without credentials. Raises `Refusal`."""
    if request.path.startswith(PREFIX):
        return futures.identify(request)
    return spot.identify(request)


def complete(request: Request, claim: Claim) -> None:
    """Add what a spot request's body tells of a claim. Raises `Refusal`."""
    if not request.path.startswith(PREFIX):
        spot.complete(request, claim)


def verify(endpoint: Endpoint, request: Request, claim: Claim, credentials: Credentials) -> bytes:
    """Prove a claim; returns the HMAC. A signature that leaves out the body is refused where
    something is created or moved. Raises `Refusal` (`bad_signature`, and what only the body tells:
    `missing_credentials`, `stale_timestamp`, `bad_request`)."""
    mac = credentials.mac
    if mac is None:
        raise Refusal("bad_signature")
    if request.path.startswith(PREFIX):
        return futures.verify(request, claim, mac)
    return spot.verify(endpoint, request, claim, mac)


def sign(outbound: Outbound, credentials: Credentials, broker: Broker, wall_ms: int) -> Signed:
    """Sign for MEXC at `wall_ms` (Unix), a JSON body of a spot request with its query."""
    if outbound.path.startswith(PREFIX):
        return futures.sign(outbound, credentials, broker, wall_ms)
    return spot.sign(outbound, credentials, broker, wall_ms, covers=True)


def sign_query_only(
    outbound: Outbound, credentials: Credentials, broker: Broker, wall_ms: int
) -> Signed:
    """The same, but a JSON body of a spot request is not covered, as ccxt does it."""
    if outbound.path.startswith(PREFIX):
        return futures.sign(outbound, credentials, broker, wall_ms)
    return spot.sign(outbound, credentials, broker, wall_ms, covers=False)


def unsigned_head(request: Request) -> bytes:
    """What a public request without a key carries: nothing."""
    return b""


def forwarded_head(request: Request, broker: Broker | None) -> bytes:
    """The bot's own authentication as it came, with its own `source` or the broker's."""
    get = request.headers.get
    names = _FUTURES_HEADERS if request.path.startswith(PREFIX) else _SPOT_HEADERS
    lines = [(shown, get(name)) for name, shown in names]
    lines.append((b"source", get(b"source") if broker is None else broker.code))
    lines.append((b"Content-Type", get(b"content-type")))
    return b"".join([b"%b: %b\r\n" % (shown, value) for shown, value in lines if value])
