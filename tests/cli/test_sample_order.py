"""What is told of an order that would not carry the code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.accounts.credentials import usable
from proxy.cli.sample_order import Tried, try_orders
from proxy.config import ExchangeTable, Origin
from proxy.errors import Refusal
from proxy.exchanges import registry
from proxy.model import KeyTriple, Tagged

if TYPE_CHECKING:
    from proxy.exchanges.spec import Exchange

OKX = registry.exchanges()["okx"]
TABLE = ExchangeTable("okx", "okx", Origin("https", "www.okx.com", 443), "CODE")


def tried(exchange: Exchange) -> Tried:
    credentials = usable(KeyTriple("key", "secret", "passphrase"))
    (found,) = try_orders(exchange, TABLE, credentials, "CODE", "replace", 0)
    return found


def test_an_order_carries_the_code() -> None:
    assert tried(OKX) == ("POST /api/v5/trade/order", "CODE", "")


def test_an_order_that_nobody_tags_is_found_out() -> None:
    def leave(*given: Any, **_: Any) -> Tagged:
        return Tagged(given[1].body, given[1].suffix, "none", 0)

    assert tried(replace(OKX, tag=leave)).fault == "it leaves without the code"


def test_an_order_that_is_refused_is_told_why() -> None:
    def refuse(*_: Any, **__: Any) -> Tagged:
        raise Refusal("tag_conflict", "tag X is not the operator's")

    fault = tried(replace(OKX, tag=refuse)).fault
    assert fault == "it is refused: tag_conflict tag X is not the operator's"
