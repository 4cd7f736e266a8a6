from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sim.windows import Arrival, Budgets, Cost, most_in_fixed, most_in_sliding

SPAN = 2_000_000_000


def one(units: int = 1, bucket: str = "b", limit: int = 3) -> Cost:
    return Cost(bucket, limit, SPAN, units)


def test_the_limit_itself_is_within() -> None:
    budgets = Budgets()
    assert [budgets.charge(0, [one()]) is None for _ in range(4)] == [True, True, True, False]
    assert budgets.breaches == {"b": 1}


@pytest.mark.parametrize(("after_ns", "room"), [(SPAN - 1, False), (SPAN, True)])
def test_a_slot_comes_back_one_span_after_it_was_taken(after_ns: int, room: bool) -> None:
    budgets = Budgets()
    for at_ns in (0, 10, 20):
        budgets.charge(at_ns, [one()])
    assert (budgets.charge(after_ns, [one()]) is None) is room


def test_what_is_refused_is_not_counted() -> None:
    budgets = Budgets()
    budgets.charge(0, [one(3)])
    for _ in range(5):
        assert budgets.charge(SPAN - 1, [one()]) is not None
    assert budgets.charge(SPAN, [one(3)]) is None


def test_all_buckets_are_charged_or_none() -> None:
    budgets = Budgets()
    budgets.charge(0, [one(3, "full")])
    assert budgets.charge(1, [one(3, "free"), one(1, "full")]) is not None
    assert budgets.charge(2, [one(3, "free")]) is None


def test_elements_on_one_bucket_add_up() -> None:
    budgets = Budgets()
    assert budgets.charge(0, [one(2), one(2)]) is not None
    assert budgets.charge(0, [one(1), one(2)]) is None


@given(
    st.lists(st.tuples(st.integers(0, 3 * SPAN), st.integers(1, 3)), max_size=60),
    st.integers(0, SPAN),
)
def test_what_was_within_never_exceeds_any_window(
    arrivals: list[tuple[int, int]], anchor_ns: int
) -> None:
    budgets = Budgets()
    for at_ns, units in sorted(arrivals):
        budgets.charge(at_ns, [one(units)])
    window = budgets.windows.get("b")
    within = [each for each in window.arrivals if each.within] if window else []
    assert most_in_sliding(within, SPAN) <= 3
    assert most_in_fixed(within, SPAN, anchor_ns) <= 3


def test_recount_finds_what_a_fixed_window_cannot_see() -> None:
    burst = [Arrival(SPAN - 1, 3, within=True), Arrival(SPAN + 1, 3, within=True)]
    assert most_in_sliding(burst, SPAN) == 6
    assert most_in_fixed(burst, SPAN) == 3
    assert most_in_fixed(burst, SPAN, SPAN // 2) == 6
