"""MEXC's table as read, and which paths touch money, keys or the operator's own account.
https://www.mexc.com/api-docs/ (the rows carry the page of each)
"""

from __future__ import annotations

from typing import Final

from proxy.exchanges.sensitive import sensitive_paths
from proxy.exchanges.table import Form, load

TABLE: Final = load("proxy.exchanges.mexc", Form(venues=("main", "futures"), label_prefix="/api/"))

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

sensitive_class: Final = sensitive_paths(TABLE.endpoints, _PARTS)
_OUT_OF_SERVICE: Final = (
    ("/open/api", "the API of version 2 is not served, use /api/v3"),
    ("/api/v3/margin", "margin is not served"),
)


def unserved(method: str, path: str) -> str:
    """Why a path that no row knows is never served, "" if it may be; `path` as above."""
    return next((why for start, why in _OUT_OF_SERVICE if path.startswith(start)), "")
