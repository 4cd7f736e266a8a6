from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sim.windows import (
    Arrival,
    Budgets,
    Cost,
    Left,
    Till,
    most_in_anchored,
    most_in_fixed,
    most_in_sliding,
    named,
)

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


def fixed(units: int = 1) -> Cost:
    return Cost("b", 3, SPAN, units, anchored=True)


def test_a_fixed_window_opens_with_the_first_request_after_the_last_has_closed() -> None:
    budgets = Budgets()
    told = [
        budgets.charge(at_ns, [fixed(units)]) is None
        for at_ns, units in ((7, 1), (SPAN + 6, 2), (SPAN + 6, 1), (SPAN + 7, 3), (2 * SPAN + 6, 1))
    ]
    assert told == [True, True, False, True, False]
    budgets.charge(2 * SPAN + 7 + 100, [fixed()])
    assert budgets.charge(3 * SPAN + 7 + 99, [fixed(3)]) is not None
    assert budgets.charge(3 * SPAN + 7 + 100, [fixed(3)]) is None


def test_what_a_fixed_window_lets_pass_is_a_breach_all_the_same() -> None:
    budgets = Budgets()
    assert budgets.charge(0, [fixed(1)]) is None
    assert budgets.charge(SPAN - 1, [fixed(2)]) is None
    assert budgets.breaches == {}
    assert budgets.charge(SPAN, [fixed(2)]) is None
    assert budgets.breaches == {"b": 1}


@given(st.lists(st.tuples(st.integers(0, 3 * SPAN), st.integers(1, 3)), max_size=60))
def test_who_keeps_to_every_span_breaks_no_fixed_window(arrivals: list[tuple[int, int]]) -> None:
    sliding, anchored = Budgets(), Budgets()
    for at_ns, units in sorted(arrivals):
        if sliding.charge(at_ns, [one(units)]) is None:
            assert anchored.charge(at_ns, [fixed(units)]) is None
    assert anchored.breaches == {}


def test_recount_of_windows_that_requests_opened() -> None:
    arrivals = [Arrival(at_ns, 1, within=True) for at_ns in (5, SPAN + 4, SPAN + 5, SPAN + 6)]
    assert most_in_anchored(arrivals, SPAN) == 2
    assert most_in_sliding(arrivals, SPAN) == 3


@pytest.mark.parametrize(("anchored", "later"), [(True, Left(3, 3, 0)), (False, Left(3, 2, 500))])
def test_rate_headers_can_be_told_what_is_left(anchored: bool, later: Left) -> None:
    budgets = Budgets()
    cost = Cost("b", 3, SPAN, 1, anchored=anchored)
    assert Till(budgets, 0).left("b") is None
    for at_ns in (0, SPAN // 4):
        Till(budgets, at_ns).charge([cost])
    assert Till(budgets, SPAN // 4).left("b") == Left(3, 1, 1500)
    assert Till(budgets, SPAN).left("b") == later


def test_a_till_tells_that_it_refused() -> None:
    till = Till(Budgets(), 0)
    assert till.charge([one(3)]) is None
    assert not till.refused
    assert till.charge([one()]) == one()
    assert till.refused


@pytest.mark.parametrize(
    ("bucket", "rule", "subject"),
    [
        ("spot 100", "spot", "100"),
        ("subaccount-orders 100 demo", "subaccount-orders", "100 demo"),
        ("elp-taker-access 100 BTC-USDT", "elp-taker-access", "100"),
        ("POST /api/v5/trade/order#0 100 BTC-USDT", "POST /api/v5/trade/order#0", "100"),
        ("GET /api/v1/thing#ip 127.0.0.2", "GET /api/v1/thing#ip", "127.0.0.2"),
        ("POST /api/v5/trade/order#0 100 demo BTC-USDT", "POST /api/v5/trade/order#0", "100 demo"),
    ],
)
def test_a_bucket_names_its_rule_and_its_subject(bucket: str, rule: str, subject: str) -> None:
    assert named(bucket) == (rule, subject)
