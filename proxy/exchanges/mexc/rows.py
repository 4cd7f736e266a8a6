"""MEXC's table as read, and which paths touch money, keys or the operator's own account.
https://www.mexc.com/api-docs/ (the rows carry the page of each)
"""

from __future__ import annotations

from typing import Final

from proxy.exchanges.table import Form, load

TABLE: Final = load("proxy.exchanges.mexc", Form(venues=("main", "futures"), label_prefix="/api/"))

_KNOWN: Final = {
    (endpoint.method, endpoint.path.lower()): endpoint.sensitive for endpoint in TABLE.endpoints
}
# For paths that no row knows, whatever their version: a part of the path gives them away.
_PARTS: Final = (
    ("broker", "broker"),
    ("oauth", "keys"),
    ("apikey", "keys"),
    ("api-key", "keys"),
    ("transfer", "transfer"),
    ("withdraw", "withdraw"),
    ("deposit", "deposit"),
    ("subaccount", "subaccount"),
    ("sub-account", "subaccount"),
    ("sub_account", "subaccount"),
)
_OUT_OF_SERVICE: Final = (
    ("/open/api", "the API of version 2 is not served, use /api/v3"),
    ("/api/v3/margin", "margin is not served"),
)


def sensitive_class(method: str, path: str) -> str:
    """The sensitive class of a path, "" if none; `path` is percent-decoded and lower-case."""
    known = _KNOWN.get((method, path))
    if known is not None:
        return known
    return next((name for part, name in _PARTS if path.find(part) >= 0), "")


def unserved(method: str, path: str) -> str:
    """Why a path that no row knows is never served, "" if it may be; `path` as above."""
    return next((why for start, why in _OUT_OF_SERVICE if path.startswith(start)), "")
