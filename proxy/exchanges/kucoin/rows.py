"""KuCoin's table as read, which paths touch money, keys or the operator's own account, and which
are not served at all.
https://www.kucoin.com/docs-new/introduction
"""

from __future__ import annotations

import re
from typing import Final

from proxy.exchanges.sensitive import sensitive_paths
from proxy.exchanges.table import Form, load

FUTURES: Final = "futures"
BROKER: Final = "broker"

TABLE: Final = load(
    "proxy.exchanges.kucoin", Form(venues=("main", FUTURES, BROKER), label_prefix="/api/")
)
# For paths that no row knows, whatever their version: a part of the path gives them away.
_PARTS: Final = (
    ("broker", "broker"),
    ("/kyc/", "broker"),
    ("oauth", "keys"),
    ("apikey", "keys"),
    ("api-key", "keys"),
    ("withdraw", "withdraw"),
    ("transfer", "transfer"),
    ("deposit", "deposit"),
    ("sub-account", "subaccount"),
    ("subaccount", "subaccount"),
    ("/sub/", "subaccount"),
    ("/user/create", "subaccount"),
)

sensitive_class: Final = sensitive_paths(TABLE.endpoints, _PARTS)
_UNIFIED: Final = re.compile(r"/+api/+ua(/|$)")
_UNIFIED_SETTING: Final = re.compile(r"/account/fee/kcs-deduct")
_WEBSITE: Final = re.compile(r"/+(_api|_oauth|oauth)(/|$)")


def unserved(method: str, path: str) -> str:
    """Why a path that no row knows is never served, "" if it may be; `path` is percent-decoded
    and lower-case.

    The unified account has orders, limits and attribution of its own; one of its GETs changes how
    fees are paid.
    """
    if _WEBSITE.match(path):
        return "a call of KuCoin's web site, not of its API"
    if _UNIFIED.match(path) and (method != "GET" or _UNIFIED_SETTING.search(path)):
        return "writes of KuCoin's unified account (/api/ua/) are not served: use the classic one"
    return ""
