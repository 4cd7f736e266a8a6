"""Which of an exchange's words on one account's limits are kept, and beside whose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.learned_limits import learned_pools
from proxy.model import LearnedLimit, Pool

if TYPE_CHECKING:
    from collections.abc import Mapping

S = 1_000_000_000
CAP = Pool("subaccount-orders", 1000, 2 * S, ("user",))
ORDER = Pool("POST /api/v5/trade/order", 60, 2 * S, ("user", "instrument"))
SILENT = Pool("GET /api/v5/silent", 0, 0, ("user",), published=False)
PUBLISHED = {pool.name: pool for pool in (CAP, ORDER, SILENT)}
FILLED_IN = replace(SILENT, count=10, window_ns=2 * S)
IN_FORCE = PUBLISHED | {SILENT.name: FILLED_IN}


def learned(
    *limits: tuple[Pool, str, int, int], in_force: Mapping[str, Pool] = IN_FORCE
) -> dict[tuple[str, str], tuple[int, int]]:
    told = [LearnedLimit(pool.name, value, count, window) for pool, value, count, window in limits]
    pools, faults = learned_pools(told, in_force, PUBLISHED)
    assert faults == []
    return {key: (pool.count, pool.window_ns) for key, pool in pools.items()}


def overridden(pool: Pool, count: int) -> dict[str, Pool]:
    return IN_FORCE | {pool.name: replace(pool, count=count, window_ns=2 * S, published=True)}


@pytest.mark.parametrize("count", [1, 500, 1000, 10_000])
def test_a_whole_pools_limit_replaces_the_tables_be_it_wider_or_narrower(count: int) -> None:
    assert learned((CAP, "", count, 2 * S)) == {(CAP.name, ""): (count, 2 * S)}
    assert learned((SILENT, "", count, S)) == {(SILENT.name, ""): (count, S)}


@pytest.mark.parametrize("count", [10, 100_000])
def test_the_operators_own_limit_stands_over_the_exchanges(count: int) -> None:
    assert learned((CAP, "", 5000, 2 * S), in_force=overridden(CAP, count)) == {}
    assert learned((SILENT, "", 5000, S), in_force=overridden(SILENT, count)) == {}
    # a pool of his own that no published table has
    own = replace(CAP, name="own")
    assert learned((own, "", 5000, S), in_force=IN_FORCE | {"own": own}) == {}


@pytest.mark.parametrize(("his", "kept"), [(2, False), (4, False), (30, True), (600, True)])
def test_a_stricter_limit_of_a_part_holds_whatever_the_operator_set(his: int, kept: bool) -> None:
    found = learned((ORDER, "BTC-USDT-SWAP", 4, 2 * S), in_force=overridden(ORDER, his))
    assert found == ({(ORDER.name, "BTC-USDT-SWAP"): (4, 2 * S)} if kept else {})


def test_a_part_is_never_given_more_than_the_whole() -> None:
    part = (ORDER, "BTC-USDT-SWAP", 30, 2 * S)
    whole = (ORDER, "", 20, 2 * S)
    for told in ((part, whole), (whole, part)):
        assert learned(*told) == {(ORDER.name, ""): (20, 2 * S)}
    assert learned((ORDER, "A", 61, 2 * S), (ORDER, "B", 30, S)) == {}


def test_of_two_limits_of_one_part_the_stricter_holds() -> None:
    told = ((ORDER, "A", 8, 2 * S), (ORDER, "A", 2, S), (ORDER, "A", 5, 2 * S))
    assert learned(*told) == learned(*reversed(told)) == {(ORDER.name, "A"): (2, S)}


def test_everything_else_of_the_pool_stays() -> None:
    option = replace(ORDER, option_scope=("user", "instFamily"))
    limit = LearnedLimit(ORDER.name, "A", 4, 2 * S)
    pools, _ = learned_pools([limit], {ORDER.name: option}, {ORDER.name: option})
    assert pools == {(ORDER.name, "A"): replace(option, count=4)}


@given(st.integers(max_value=0) | st.integers(min_value=1_000_001), st.sampled_from(["", "A"]))
def test_what_can_be_no_limit_is_left_out_and_said(number: int, value: str) -> None:
    window_ns = 32 * 86_400 * S if number > 0 else number
    for limit in (
        LearnedLimit(CAP.name, value, number, 2 * S),
        LearnedLimit(CAP.name, value, 10, window_ns),
        LearnedLimit("no such pool", value, 10, 2 * S),
    ):
        pools, faults = learned_pools([limit], IN_FORCE, PUBLISHED)
        assert pools == {}
        assert len(faults) == 1
        assert limit.pool in faults[0]
