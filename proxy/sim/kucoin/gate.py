"""What a request to the simulated KuCoin must get past: headers, key, signature, body.

Strict on purpose: where the real exchange's mood is unknown, this one refuses. Keys of version 1
were switched off in 2024, so a passphrase in clear text is never right.
https://www.kucoin.com/docs-new/authentication and /docs-new/error-code
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from proxy.sim.kucoin import signature
from proxy.sim.kucoin.answers import Refused, bad_parameter
from proxy.sim.kucoin.desk import Number

if TYPE_CHECKING:
    from proxy.sim.http import Headers
    from proxy.sim.kucoin.desk import User
    from proxy.sim.kucoin.table import Row

WINDOW_MS: Final = 5_000

_SIGNED: Final = ("kc-api-key", "kc-api-sign", "kc-api-timestamp", "kc-api-passphrase")
_MISSING: Final = (
    "Please check the header of your request for KC-API-KEY, KC-API-SIGN, KC-API-TIMESTAMP, "
    "KC-API-PASSPHRASE"
)
_TIME: Final = re.compile(r"\d{13}", re.ASCII)
_WORDS: Final = {
    "general": "General",
    "spot": "Spot",
    "margin": "Margin",
    "futures": "Futures",
    "earn": "Earn",
    "withdraw": "Withdraw",
    "transfer": "Transfer",
    "leadtrade": "LeadtradeFutures",
}
_BODY_IN_DELETE: Final = "/api/v1/orders/multi-cancel"


def is_signed(headers: Headers) -> bool:
    """Return whether a request claims a key; some clients name theirs on every call, signed or
    not."""
    return "kc-api-sign" in headers


def authenticate(
    users: dict[str, User],
    method: str,
    target: str,
    headers: Headers,
    body: bytes,
    now_ms: int,
) -> User:
    """Return whose key signed the request; raises Refused with the code KuCoin gives."""
    given = [headers.get(name, [""])[0] for name in _SIGNED]
    if not all(given):
        raise Refused("400001", _MISSING)
    key, sign, stamp, passphrase = given
    if not _TIME.fullmatch(stamp) or abs(int(stamp) - now_ms) > WINDOW_MS:
        raise Refused("400002")
    user = users.get(key)
    if user is None:
        raise Refused("400003")
    if headers.get("kc-api-key-version", [""])[0] not in ("2", "3"):
        raise Refused("400009", "Invalid KC-API-KEY-VERSION", 400)
    sealed = signature.sealed_passphrase(user.secret, user.passphrase)
    if not signature.matches(sealed, passphrase):
        raise Refused("400004")
    if not any(
        signature.matches(signature.signature(user.secret, stamp, method, each, body), sign)
        for each in signature.readings(target)
    ):
        raise Refused("400005")
    return user


def authorise(user: User, row: Row, source: str) -> None:
    """Refuse an address or a permission that the key does not have; raises Refused."""
    if user.ips and source not in user.ips.split(","):
        raise Refused("400006", f"Invalid request ip, the current clientIp is:{source}")
    granted = [word.strip() for word in user.perm.split(",")]
    if not row.public and _WORDS[row.permission] not in granted:
        raise Refused("400007")


def parse(row: Row, headers: Headers, body: bytes) -> Any:
    """Parse the body of what takes one; numbers keep their spelling. Raises Refused."""
    if row.method != "POST" and row.path != _BODY_IN_DELETE:
        if body:
            raise bad_parameter("unexpected body")
        return None
    if not body:
        return {}
    kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused("415000", "Unsupported Media Type")
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError):
        raise bad_parameter("Bad Request") from None


def _no_constant(word: str) -> None:
    raise ValueError(word)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key stands twice")
    return content
