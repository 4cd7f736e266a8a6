"""What a request must get past before anyone reads its body: the key, then what it may do.

Strict on purpose: where the real exchange's mood is unknown, this one refuses.
https://www.okx.com/docs-v5/en/#overview-rest-authentication and #error-code-rest-api
"""

from __future__ import annotations

import datetime
import json
import re
from typing import TYPE_CHECKING, Any, Final

from proxy.sim.okx.answers import Refused
from proxy.sim.okx.desk import Number
from proxy.sim.okx.signature import matches, signature
from proxy.sim.okx.table import BROKER_GROUPS

if TYPE_CHECKING:
    from proxy.sim.http import Headers
    from proxy.sim.okx.desk import User
    from proxy.sim.okx.profile import Profile
    from proxy.sim.okx.table import Row

WINDOW_MS: Final = 30_000

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_KEY: Final = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII)
_HEADERS: Final = (
    ("ok-access-key", "50103", "OK-ACCESS-KEY"),
    ("ok-access-passphrase", "50104", "OK-ACCESS-PASSPHRASE"),
    ("ok-access-sign", "50106", "OK-ACCESS-SIGN"),
    ("ok-access-timestamp", "50107", "OK-ACCESS-TIMESTAMP"),
)
_TAKES_EXPIRY: Final = (
    "/api/v5/trade/order",
    "/api/v5/trade/batch-orders",
    "/api/v5/trade/amend-order",
    "/api/v5/trade/amend-batch-orders",
    "/api/v5/tradingBot/signal/sub-order",
)


def is_demo(headers: Headers) -> bool:
    """Return whether the request is for demo trading; raises Refused for an odd value."""
    value = headers.get("x-simulated-trading", ["0"])[0]
    if value not in ("0", "1"):
        raise Refused("51000", "Parameter x-simulated-trading error", 400)
    return value == "1"


def authenticate(
    users: dict[str, User],
    method: str,
    target: str,
    headers: Headers,
    body: bytes,
    now_ms: int,
) -> User:
    """Return whose key signed the request; raises Refused with the code OKX gives."""
    if "authorization" in headers:
        raise Refused("50114", "Invalid Authority", 401)
    for name, code, shown in _HEADERS:
        if not headers.get(name, [""])[0]:
            raise Refused(code, f"Request header {shown} can not be empty.", 401)
    key, passphrase, given, stamp = (headers[name][0] for name, _, _ in _HEADERS)
    user = users.get(key)
    if user is None:
        if _KEY.fullmatch(key):
            raise Refused("50119", "API key doesn't exist", 401)
        raise Refused("50111", "Invalid OK-ACCESS-KEY", 401)
    _check_time(stamp, now_ms)
    if is_demo(headers) != user.demo:
        raise Refused("50101", "APIKey does not match current environment.", 401)
    if not matches(signature(user.secret, stamp, method, target, body), given):
        raise Refused("50113", "Invalid Sign", 401)
    if passphrase != user.passphrase:
        raise Refused("50105", "Request header OK-ACCESS-PASSPHRASE incorrect.", 401)
    return user


def _check_time(stamp: str, now_ms: int) -> None:
    unreadable = Refused("50112", "Invalid OK-ACCESS-TIMESTAMP", 401)
    if not _TIME.fullmatch(stamp):
        raise unreadable
    try:
        moment = datetime.datetime.fromisoformat(stamp)
    except ValueError:
        raise unreadable from None
    if abs(round(moment.timestamp() * 1000) - now_ms) > WINDOW_MS:
        raise Refused("50102", "Timestamp request expired", 401)


def authorise(user: User, row: Row, source: str) -> None:
    """Refuse an address or a permission that the key does not have; raises Refused."""
    if user.ips and source not in user.ips.split(","):
        raise Refused(
            "50110", f"Your IP {source} is not included in your API key's IP whitelist.", 401
        )
    granted = user.perm.split(",")
    if row.permission not in ("public", "read") and row.permission not in granted:
        raise Refused("50120", "This API key doesn't have permission to use this function")


def admit_broker(profile: Profile, row: Row) -> None:
    """Refuse a broker's call to who is none; raises Refused."""
    if row.group in BROKER_GROUPS and not profile.broker:
        raise Refused("59608", "Only Broker accounts have permission to access this API.")


def check_expiry(headers: Headers, row: Row, arrived_ms: int, now_ms: int) -> None:
    """Refuse a request whose expTime had passed when it arrived, or since, while it stood in a
    queue; raises Refused."""
    value = headers.get("exptime", [""])[0]
    if not value or row.method != "POST" or row.path not in _TAKES_EXPIRY:
        return
    if not (value.isascii() and value.isdecimal()):
        raise Refused("51000", "Parameter expTime error", 400)
    if int(value) >= now_ms:
        return
    if now_ms > arrived_ms:
        raise Refused("50037", "The order expired.")
    raise Refused(
        "50036",
        "The expTime can't be earlier than the current system time. "
        "Please adjust the expTime and try again.",
    )


def parse(headers: Headers, body: bytes) -> Any:
    """Parse a POST's body; numbers keep their spelling. Raises Refused."""
    kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused("50006", "Invalid Content-Type, please use the application/json format", 400)
    if not body:
        raise Refused("50000", "Body for POST request can not be empty.", 400)
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError):
        raise Refused("50002", "JSON syntax error", 400) from None


def _no_constant(word: str) -> None:
    raise ValueError(word)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The last of repeated keys counts, but two different broker codes are nobody's code."""
    tags = [value for key, value in pairs if key == "tag"]
    if any(value != tags[0] for value in tags):
        raise ValueError("tag")
    return dict(pairs)
