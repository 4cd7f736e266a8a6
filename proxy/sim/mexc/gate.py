"""What a request must get past before anyone does what it asks: HTTP's own rules, then the key.

Strict on purpose: where the real exchange's mood is unknown, this one refuses.
https://www.mexc.com/api-docs/spot-v3/general-info
https://www.mexc.com/api-docs/futures/integration-guide
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, final

from proxy.sim.mexc import parameters
from proxy.sim.mexc.answers import HTTP_FAULT, Denied, bad_signature, missing, wrong
from proxy.sim.mexc.signature import (
    futures_signature,
    matches,
    sorted_parameters,
    spot_signature,
)
from proxy.sim.mexc.table import BROKER_GROUP

if TYPE_CHECKING:
    from proxy.sim.http import Headers
    from proxy.sim.mexc.desk import Account, User, World
    from proxy.sim.mexc.table import Row

AHEAD_MS: Final = 1000
WINDOW_MS: Final = 5000
WINDOW_MAX_MS: Final = 60_000
FUTURES_WINDOW_S: Final = 10
FUTURES_WINDOW_MAX_S: Final = 60

_STAMP: Final = re.compile(r"[0-9]{13}", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,6}", re.ASCII)
_KEY: Final = re.compile(r"[A-Za-z0-9]{6,64}", re.ASCII)
_SPOT_HEADERS: Final = ("x-mexc-apikey",)
_FUTURES_HEADERS: Final = ("apikey", "request-time", "signature", "recv-window")
_TIME_WORDS: Final = "Timestamp for this request is outside of the recvWindow."


@final
@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it came."""

    method: str
    query: bytes
    headers: Headers
    body: bytes
    source: str  # the address it came from


@final
@dataclass(slots=True)
class Caller:
    """Who asks, and what for."""

    user: User | None  # None: public and unsigned
    parameters: dict[str, str] = field(default_factory=dict)
    content: Any = None


def identify(world: World, row: Row, request: Request, now_ms: int) -> Caller:
    """Return who calls and what it says; raises Denied with the code that MEXC gives."""
    foreign = _FUTURES_HEADERS if row.api == "spot" else _SPOT_HEADERS
    for name in foreign:
        if name in request.headers:
            raise Denied(HTTP_FAULT, f"credentials of another API: {name}", 400)
    read = _spot if row.api == "spot" else _futures
    return read(world, row, request, now_ms)


def _spot(world: World, row: Row, request: Request, now_ms: int) -> Caller:
    content = _spot_content(row, request)
    query = parameters.read(request.query)
    body = parameters.read(request.body if content is None else b"")
    said = parameters.joined(query, body)
    if query.signature is not None and body.signature is not None:
        raise parameters.repeated(parameters.SIGNATURE)
    given = query.signature if query.signature is not None else body.signature
    key = _header(request, "x-mexc-apikey")
    if row.permission == "public" and given is None:
        if key:
            _spot_user(world, key)
        return Caller(None, said)
    if not key:
        raise Denied(400, "api key required", 400)
    user = _spot_user(world, key)
    if not given:
        raise missing(parameters.SIGNATURE)
    _check_spot_time(said, now_ms)
    signed = body.signed
    if content is not None and world.settings.json_body == "covered":
        signed = request.body
    if not matches(spot_signature(user.secret, query.signed, signed), given):
        raise bad_signature()
    return Caller(user, said, content)


def _spot_content(row: Row, request: Request) -> Any:
    """Return a JSON body, which brokers alone send; None where there is none."""
    if request.method == "GET":
        return None
    if not _is_json(request):
        raise Denied(700013, "Invalid content Type.", 400)
    if not request.body.lstrip().startswith((b"{", b"[")):
        return None
    content = _parsed(request.body, Denied(700013, "Invalid content Type.", 400))
    if row.group != BROKER_GROUP or not isinstance(content, dict):
        raise Denied(700013, "Invalid content Type.", 400)
    return content


def _spot_user(world: World, key: str) -> User:
    if not _KEY.fullmatch(key):
        raise Denied(700001, "API-key format invalid.", 400)
    user = world.users.get(key)
    if user is None:
        raise Denied(10072, "Api key info invalid", 400)
    return user


def _check_spot_time(said: dict[str, str], now_ms: int) -> None:
    stamp, window = said.get("timestamp", ""), said.get("recvWindow", str(WINDOW_MS))
    if not _STAMP.fullmatch(stamp):
        raise missing("timestamp")
    if not _COUNT.fullmatch(window):
        raise missing("recvWindow")
    if int(window) > WINDOW_MAX_MS:
        raise Denied(700005, "recvWindow must less than 60000", 400)
    if not (int(stamp) < now_ms + AHEAD_MS and now_ms - int(stamp) <= int(window)):
        raise Denied(700003, _TIME_WORDS, 400)


def _futures(world: World, row: Row, request: Request, now_ms: int) -> Caller:
    query = _futures_query(request)
    said = dict(query)
    given = _header(request, "signature")
    key = _header(request, "apikey")
    if row.permission == "public" and not given:
        if key:
            _futures_user(world, key)
        return Caller(None, said)
    if not key:
        raise Denied(401, "Not logged in or login has expired", 401)
    user = _futures_user(world, key)
    stamp = _check_futures_time(request, now_ms)
    signed = request.body if request.method == "POST" else sorted_parameters(query)
    if not matches(futures_signature(user.secret, key, stamp, signed), given):
        raise Denied(602, "Signature verification failed!", 401)
    content = None
    if request.method == "POST":
        if not _is_json(request):
            raise wrong("Content-Type")
        unreadable = Denied(601, "Data parsing error", 400)
        content = _parsed(request.body, unreadable) if request.body else {}
    return Caller(user, said, content)


def _futures_query(request: Request) -> list[tuple[str, str]]:
    try:
        query = parameters.read(request.query)
        parameters.joined(query, parameters.read(b""))
    except Denied as denied:
        raise wrong(denied.msg) from denied
    if query.signature is not None or (query.pairs and request.method == "POST"):
        raise wrong("parameters that no signature covers")
    return query.pairs


def _futures_user(world: World, key: str) -> User:
    user = world.users.get(key)
    if user is None:
        raise Denied(402, "API Key expired, please apply again", 401)
    return user


def _check_futures_time(request: Request, now_ms: int) -> str:
    """The documentation means seconds by Recv-Window; a client that means ms is refused."""
    stamp = _header(request, "request-time")
    window = _header(request, "recv-window") or str(FUTURES_WINDOW_S)
    if not _COUNT.fullmatch(window) or not 1 <= int(window) <= FUTURES_WINDOW_MAX_S:
        raise wrong("Recv-Window")
    if not _STAMP.fullmatch(stamp) or abs(int(stamp) - now_ms) > int(window) * 1000:
        raise Denied(513, "Invalid request, please check the request time", 401)
    return stamp


def authorise(user: User, account: Account, row: Row, request: Request) -> None:
    """Refuse an address, a permission or a source that the key may not have; raises Denied."""
    spot = row.api == "spot"
    if user.ips and request.source not in user.ips.split(","):
        raise (
            Denied(700006, f"IP [{request.source}] not in the ip white list", 400)
            if spot
            else Denied(406, "Accessing IP is not in the whitelist", 401)
        )
    granted = user.perm.split(",")
    allowed = row.permission in ("public", *granted)
    if row.group == BROKER_GROUP and not account.broker:
        allowed = False
    if account.require_source and _header(request, "source") != account.require_source:
        allowed = False
    if allowed:
        return
    if spot:
        raise Denied(700007, "No permission to access the endpoint.", 403)
    code = 701 if row.permission == "read" else 702
    raise Denied(code, "Please enable the API Key's access", 403)


def _header(request: Request, name: str) -> str:
    return request.headers.get(name, [""])[0]


def _is_json(request: Request) -> bool:
    kind = _header(request, "content-type").partition(";")[0].strip().lower()
    return kind == "application/json"


def _parsed(body: bytes, unreadable: Denied) -> Any:
    """Numbers stay exact; a repeated key is nobody's order."""
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_float=Decimal,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError):
        raise unreadable from None


def _no_constant(word: str) -> None:
    raise ValueError(word)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("repeated key")
    return dict(pairs)
