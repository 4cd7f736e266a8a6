"""Finds the exchanges: every sub-folder here is one, and a broken one stops the start by name.

The folder is the registration; nothing else names an exchange.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import proxy.exchanges
from proxy.errors import TagproxyError
from proxy.exchanges.spec import Exchange
from proxy.exchanges.table import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class BrokenExchange(TagproxyError):
    """An exchange's folder cannot be used; the text names it and says why."""


@cache
def exchanges() -> Mapping[str, Exchange]:
    """Every kind of exchange by name. Raises `BrokenExchange`."""
    return MappingProxyType(find(proxy.exchanges.__path__, "proxy.exchanges"))


def find(folders: Iterable[str], package: str) -> dict[str, Exchange]:
    """Import every sub-folder of a package and check what it offers. Raises `BrokenExchange`."""
    return {
        entry.name: _take(entry.name, package)
        for folder in folders
        for entry in sorted(Path(folder).iterdir())
        if entry.is_dir() and _is_used(entry)
    }


def _is_used(folder: Path) -> bool:
    """Whether there is more in a folder than what Python left behind."""
    return not folder.name.startswith(("_", ".")) and any(
        entry.name != "__pycache__" for entry in folder.iterdir()
    )


def _take(name: str, package: str) -> Exchange:
    try:
        exchange = importlib.import_module(f"{package}.{name}").EXCHANGE
    except Exception as error:  # whatever is wrong with it, the name must be told
        raise BrokenExchange(f"exchange {name}: {type(error).__name__}: {error}") from error
    if not isinstance(exchange, Exchange):
        raise BrokenExchange(f"exchange {name}: EXCHANGE is not an Exchange")
    what = fault(name, exchange)
    if what:
        raise BrokenExchange(f"exchange {name}: {what}")
    return exchange


def fault(name: str, exchange: Exchange) -> str:
    """What is wrong with the record of the folder `name`, "" if nothing."""
    rows = exchange.endpoints
    missing = [field for field in _FUNCTIONS if not callable(getattr(exchange, field))]
    faults = {
        f"its kind is {exchange.kind!r}": exchange.kind != name,
        f"{', '.join(missing)} must be functions": bool(missing),
        "its first venue is not main": [venue.name for venue in exchange.venues[:1]] != ["main"],
        "it has no endpoints": not rows,
        "an endpoint stands in its table twice": len({key_of(row) for row in rows}) < len(rows),
        "two endpoints have one label": len({(row.venue, row.label) for row in rows}) < len(rows),
        "it has no lesson that tells an account's uid": not exchange.lessons,
        "two limits have one name": len({pool.name for pool in exchange.pools})
        < len(exchange.pools),
    }
    return next((text for text, holds in faults.items() if holds), "")


_FUNCTIONS = (
    "identify",
    "verify",
    "complete",
    "read",
    "tag",
    "charges",
    "sign",
    "unsigned_head",
    "forwarded_head",
    "configured",
    "unserved",
    "classify",
    "refusal",
    "client_order_ids",
    "reduces",
    "sensitive_class",
    "code_fault",
    "triple_fault",
    "issue",
    "read_clock",
    "sample_orders",
)
