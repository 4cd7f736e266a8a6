from __future__ import annotations

from collections import Counter

import pytest

from proxy.sim.mexc import routes, table
from proxy.sim.mexc.table import Rate

SECOND_NS = 1_000_000_000
CREATING = {
    "POST /api/v3/order",
    "POST /api/v3/batchOrders",
    "POST /api/v1/private/order/create",
    "POST /api/v1/private/order/submit",
    "POST /api/v1/private/order/submit_batch",
    "POST /api/v1/private/order/chase_limit_order",
    "POST /api/v1/private/order/change_limit_order",
    "POST /api/v1/private/position/reverse",
    "POST /api/v1/private/position/close_all",
    "POST /api/v1/private/planorder/place",
    "POST /api/v1/private/planorder/place/v2",
    "POST /api/v1/private/stoporder/place",
    "POST /api/v1/private/trackorder/place",
}


def test_the_whole_list_is_served() -> None:
    rows = table.load().rows
    assert len(rows) == 199
    assert Counter(row.api for row in rows.values()) == {"spot": 99, "futures": 100}
    assert {name for name, row in rows.items() if row.code} == CREATING
    assert sum(row.group == table.BROKER_GROUP for row in rows.values()) == 16
    assert {row.name for row in rows.values() if row.orders} == {
        "POST /api/v3/order",
        "POST /api/v3/batchOrders",
        "DELETE /api/v3/order",
        "DELETE /api/v3/openOrders",
        "DELETE /api/v3/order/all",
    }
    assert all(row.weight or row.orders or row.rates for row in rows.values())


def test_everything_that_is_simulated_is_served() -> None:
    assert set(routes.SIMULATED) <= set(table.load().rows)


def test_a_line_says_all_of_a_row() -> None:
    row = table.parse_row("POST a/b orders trade also=3/5 code", "Group")
    assert row == table.Row(
        "POST",
        "/api/v3/a/b",
        "spot",
        "Group",
        "trade",
        orders=True,
        rates=(Rate(3, 5 * SECOND_NS),),
        code=True,
    )
    row = table.parse_row("GET private/x 4/2 read")
    assert (row.name, row.api) == ("GET /api/v1/private/x", "futures")
    assert (row.rates, row.weight) == ((Rate(4, 2 * SECOND_NS),), 0)
    assert table.parse_row("GET /api/v1/contract/x 4/2 public").api == "futures"
    assert table.parse_row("GET x 25 read").weight == 25
    assert table.parse_row("GET x - read also=5/2").rates == (Rate(5, 2 * SECOND_NS),)


@pytest.mark.parametrize("line", ["", "GET a", "GET a x/y read", "GET a x read"])
def test_a_line_that_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"not enough values|could not convert|invalid literal"):
        table.parse_row(line)


def test_a_path_without_variables_goes_first() -> None:
    rows = table.load()
    found = rows.find("GET", "/api/v1/private/account/asset/analysis/today_pnl")
    assert found is not None
    assert found[1] == {}
    found = rows.find("GET", "/api/v1/private/account/asset/analysis/3")
    assert found is not None
    assert found[1] == {"type": "3"}
    assert rows.find("GET", "/api/v1/private/account/asset/{currency}") is not None
    assert rows.find("GET", "/api/v1/private/account/asset/a/b") is None
    assert rows.knows("/api/v1/private/order/get/7")
    assert not rows.knows("/api/v1/private/order/get/7/8")
