"""OKX's table as read, and which paths touch money, keys or the operator's own account.
https://www.okx.com/docs-v5/en/ (the rows carry the page of each)
"""

from __future__ import annotations

from typing import Final

from proxy.exchanges.okx.charges import CONDITIONS, WORDS
from proxy.exchanges.table import Form, load

TABLE: Final = load(
    "proxy.exchanges.okx",
    Form(scopes=tuple(WORDS), conditions=tuple(CONDITIONS), label_prefix="/api/v5/"),
)

_KNOWN: Final = {
    (endpoint.method, endpoint.path.lower()): endpoint.sensitive
    for endpoint in TABLE.endpoints
    if endpoint.method != "WS"
}
# For paths that no row knows, whatever their version: a part of the path gives them away.
_PARTS: Final = (
    ("broker", "broker"),
    ("oauth", "keys"),
    ("apikey", "keys"),
    ("api-key", "keys"),
    ("withdraw", "withdraw"),
    ("transfer", "transfer"),
    ("move-position", "transfer"),
    ("deposit", "deposit"),
    ("subaccount", "subaccount"),
    ("sub-account", "subaccount"),
)


def sensitive_class(method: str, path: str) -> str:
    """The sensitive class of a path, "" if none; `path` is percent-decoded and lower-case."""
    known = _KNOWN.get((method, path))
    if known is not None:
        return known
    return next((name for part, name in _PARTS if path.find(part) >= 0), "")


def unserved(method: str, path: str) -> str:
    """Nothing of OKX's is out of reach by its path alone."""
    return ""
