"""What is told of an order that would not carry the code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from proxy.accounts.credentials import usable
from proxy.cli.sample_order import Tried, try_orders
from proxy.config import ExchangeTable, Origin, Secret
from proxy.config.shape import VenueTable
from proxy.errors import Refusal
from proxy.exchanges import registry
from proxy.model import KeyTriple, Tagged

if TYPE_CHECKING:
    from proxy.exchanges.spec import Exchange
    from proxy.model import OnConflict

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


MAIN, THERE = Origin("https", "x.example", 443), Origin("https", "futures.example", 443)
KUCOIN = replace(
    TABLE,
    name="kucoin",
    kind="kucoin",
    rest_url=MAIN,
    broker_key=Secret(b"key"),
    broker_name="us",
)
FUTURES = VenueTable("futures", THERE, None, "FUTURES", "us", Secret(b"key of futures"))
CREDENTIALS = usable(KeyTriple("key", "secret", "passphrase"))


def codes(table: ExchangeTable, code: str = "", on_conflict: OnConflict = "replace") -> list[Tried]:
    exchange = registry.exchanges()[table.kind].configured(table.options)
    return try_orders(exchange, table, CREDENTIALS, code, on_conflict, 1_790_000_000_000)


def test_an_order_is_tried_on_each_venue_that_is_served_with_its_own_code() -> None:
    served = replace(KUCOIN, venues={"futures": FUTURES})
    assert [(order, code, fault) for order, code, fault in codes(KUCOIN)] == [
        ("POST /api/v1/hf/orders", "CODE", "")
    ]
    assert {(code, fault) for _, code, fault in codes(served)} == {("CODE", ""), ("FUTURES", "")}


def test_an_accounts_own_code_is_looked_for_on_every_venue() -> None:
    served = replace(KUCOIN, venues={"futures": FUTURES})
    assert {(code, fault) for _, code, fault in codes(served, "HIS")} == {("HIS", "")}


@pytest.mark.parametrize("on_conflict", ["replace", "keep", "reject"])
def test_a_code_in_headers_is_found_there(on_conflict: OnConflict) -> None:
    venue = replace(FUTURES, rest_url=MAIN, broker_key=None)
    mexc = replace(TABLE, name="mexc", kind="mexc", rest_url=MAIN, venues={"futures": venue})
    tried = codes(mexc, on_conflict=on_conflict)
    assert {(code, fault) for _, code, fault in tried} == {("CODE", ""), ("FUTURES", "")}


def test_a_partner_without_a_key_signs_nothing_and_is_found_out() -> None:
    (one,) = codes(replace(KUCOIN, broker_key=None))
    assert one.fault == "it leaves without the code"
