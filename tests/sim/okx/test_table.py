from __future__ import annotations

import pytest

from proxy.sim.okx import table

TAGGED = {
    "trade/order": "body",
    "trade/batch-orders": "each-item",
    "trade/order-algo": "body",
    "trade/close-position": "body",
    "sprd/order": "body",
    "rfq/create-rfq": "body",
    "rfq/create-quote": "body",
    "asset/convert/estimate-quote": "body",
    "asset/convert/trade": "body",
    "copytrading/algo-order": "body",
    "copytrading/close-subposition": "body",
    "copytrading/first-copy-settings": "body",
    "copytrading/amend-copy-settings": "body",
    "tradingBot/grid/order-algo": "body",
    "tradingBot/grid/copy-order-algo": "body",
    "tradingBot/dca/create": "body",
    "tradingBot/recurring/order-algo": "body",
    "finance/staking-defi/purchase": "body",
}


def test_the_complete_tag_list_is_served() -> None:
    rows = table.load().values()
    found = {
        row.path.removeprefix(table.PREFIX): row.tag
        for row in rows
        if row.tag in ("body", "each-item")
    }
    assert found == TAGGED


def test_a_line_says_all_of_a_row() -> None:
    row = table.parse_row(
        "POST a/b 3/5 user+ccy trade items=4 single=a/c cap also=1/9:ip tag=body lead=1/5"
    )
    assert row.name == "POST /api/v5/a/b"
    assert row.rates == (
        table.Rate(3, 5_000_000_000, ("user", "ccy")),
        table.Rate(1, 9_000_000_000, ("ip",)),
    )
    assert row.lead == table.Rate(1, 5_000_000_000, ("user", "ccy"))
    assert (row.items_max, row.single, row.capped) == (4, "POST /api/v5/a/c", True)


def test_lead_traders_have_limits_of_their_own_where_the_exchange_has_them() -> None:
    rows = table.load().values()
    found = {row.path.removeprefix(table.PREFIX): row.lead.count for row in rows if row.lead}
    orders = ("trade/order", "trade/batch-orders", "trade/amend-order", "trade/amend-batch-orders")
    assert found == dict.fromkeys(orders, 4) | {"trade/order-algo": 1}


def test_an_unpublished_limit_is_no_limit() -> None:
    assert table.parse_row("POST /v5/users/oauth/token - ip public").rates == ()


@pytest.mark.parametrize("line", ["", "GET a", "GET a x/y user read"])
def test_a_line_that_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"not enough values|invalid literal"):
        table.parse_row(line)
