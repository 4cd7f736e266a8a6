from __future__ import annotations

import pytest

from proxy.sim.kucoin.table import VENUES, Table, parse_row


@pytest.fixture(scope="module")
def table() -> Table:
    return Table()


def test_every_row_is_found_by_its_own_path(table: Table) -> None:
    assert len(table.rows) == 301
    for row in table.rows:
        path = row.path.replace("{", "").replace("}", "")
        found = table.find(row.venue, row.method, path)
        assert found is not None
        assert found.row is row


def test_a_name_stands_for_one_whole_segment(table: Table) -> None:
    found = table.find("main", "DELETE", "/api/v1/hf/orders/abc")
    assert found is not None
    assert found.row.path == "/api/v1/hf/orders/{orderId}"
    assert found.names == {"orderId": "abc"}
    assert table.find("main", "DELETE", "/api/v1/hf/orders/") is None
    assert table.find("main", "DELETE", "/api/v1/hf/orders/a/b") is None


def test_an_exact_path_goes_before_one_with_names(table: Table) -> None:
    found = table.find("main", "GET", "/api/v1/hf/orders/active")
    assert found is not None
    assert found.row.path == "/api/v1/hf/orders/active"


def test_the_same_path_is_another_row_at_another_venue(table: Table) -> None:
    spot, futures = (table.find(venue, "POST", "/api/v1/orders") for venue in VENUES[:2])
    assert spot is not None
    assert futures is not None
    assert (spot.row.pool, futures.row.pool) == ("spot", "futures")
    assert not table.knows("broker", "/api/v1/orders")
    assert table.knows("main", "/api/v1/orders/x")


def test_rows_say_what_they_draw_and_need(table: Table) -> None:
    row = parse_row("POST /api/v1/hf/orders 1 spot spot order")
    assert (row.weight, row.pool, row.permission, row.order) == (1, "spot", "spot", True)
    assert parse_row("GET /x - - general").weight == -1
    for pool, vip, quota in (("spot", 0, 4000), ("spot", 12, 40_000), ("public", 9, 2000)):
        assert table.pools[pool].allowed(vip) == quota


@pytest.mark.parametrize(
    "line", ["GET /x 1 spot", "GET /x one spot general", "GET /x 1 spot general what"]
)
def test_a_line_that_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid|unknown"):
        parse_row(line)


def test_a_pool_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="no such pool"):
        Table().add("GET /x 1 deep general")
