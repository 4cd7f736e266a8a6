"""OKX's table as read, and which paths touch money, keys or the operator's own account.
https://www.okx.com/docs-v5/en/ (the rows carry the page of each)
"""

from __future__ import annotations

from typing import Final

from proxy.exchanges.okx.charges import CONDITIONS, WORDS
from proxy.exchanges.sensitive import sensitive_paths
from proxy.exchanges.table import Form, load

TABLE: Final = load(
    "proxy.exchanges.okx",
    Form(scopes=tuple(WORDS), conditions=tuple(CONDITIONS), label_prefix="/api/v5/"),
)

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

sensitive_class: Final = sensitive_paths(TABLE.endpoints, _PARTS)


def unserved(method: str, path: str) -> str:
    """Nothing of OKX's is out of reach by its path alone."""
    return ""
