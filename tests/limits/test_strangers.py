"""What strangers may use of an address's budget."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.limits.bucket import Bucket
from proxy.limits.strangers import stranger_pools
from proxy.model import Pool
from tests.limits.virtual import SUBJECT, S, shared_pool

CANDLES = shared_pool(40, 2 * S, "GET /api/v5/market/candles")


@pytest.mark.parametrize(
    ("count", "half", "share"),
    [(40, (20, 2 * S), 10), (3, (1, 2 * S), 1), (2, (1, 2 * S), 1), (1, (1, 4 * S), 1)],
)
def test_strangers_have_half_and_each_of_them_a_quarter(
    count: int, half: tuple[int, int], share: int
) -> None:
    together, each = stranger_pools(replace(CANDLES, count=count))
    assert (together.count, together.window_ns) == half
    assert (each.count, each.window_ns) == (share, 2 * S)


@given(st.integers(1, 10_000))
def test_all_strangers_together_never_get_more_than_half(count: int) -> None:
    together, each = stranger_pools(replace(CANDLES, count=count))
    assert 2 * together.count * CANDLES.window_ns <= count * together.window_ns
    assert each.count >= 1
    assert each.count <= max(count // 4, 1)


def test_their_budgets_are_told_apart_by_name_and_say_what_they_are() -> None:
    pools = (CANDLES, *stranger_pools(CANDLES))
    assert len({pool.name for pool in pools}) == 3
    described = [
        Bucket(pool, (SUBJECT, pool.name, value)).describe()
        for pool, value in zip(pools, ("", "BTC-USDT", " 203.0.113.7"), strict=True)
    ]
    assert described == [
        "market/candles 40/2s",
        "anonymous half of market/candles BTC-USDT 20/2s",
        "anonymous share of market/candles 203.0.113.7 10/2s",
    ]


def test_equal_pools_give_the_same_two_so_that_a_reload_changes_nothing() -> None:
    again = Pool("GET /api/v5/market/candles", 40, 2 * S, ("ip",))
    assert again is not CANDLES
    assert [id(pool) for pool in stranger_pools(again)] == [
        id(pool) for pool in stranger_pools(CANDLES)
    ]
    assert all(pool.shared for pool in stranger_pools(CANDLES))
