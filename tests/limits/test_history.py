"""Rows of spent units, and units paid for ahead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.limits.history import Prepaid, SpentRow, chunk_units, key_text


@given(st.builds(SpentRow, st.text(), st.integers(0, 2**40), st.integers(0, 2**50), st.just(9)))
def test_a_row_survives_its_encoding(row: SpentRow) -> None:
    assert SpentRow.decode(row.encode()) == row


@pytest.mark.parametrize("encoded", [b"", b"[]", b"[1]", b"nonsense", b"7"])
def test_what_is_no_row_is_not_read_as_one(encoded: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        SpentRow.decode(encoded)


def test_a_value_from_outside_cannot_name_another_bucket() -> None:
    inside = key_text(("www.okx.com", "1", False), "a", "x|b|y")
    assert inside == "www.okx.com|1|real|a|x|b|y"
    assert key_text(("www.okx.com", "1", True), "a", "") == "www.okx.com|1|demo|a|"


def test_any_value_makes_a_key_that_can_be_stored() -> None:
    assert key_text(("h", "1", False), "a", "\ud800").endswith("|a|\\ud800")


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (19, 1), (40, 2), (4000, 200)])
def test_a_limit_is_stored_in_small_chunks(count: int, expected: int) -> None:
    assert chunk_units(count) == expected


def test_stored_units_may_be_spent_until_they_lapse() -> None:
    prepaid = Prepaid()
    prepaid.add(100, 3)
    prepaid.add(200, 2)
    prepaid.use(1)
    assert prepaid.left(99) == 4
    assert prepaid.left(100) == 2
    assert prepaid.left(200) == 0


def test_the_chunk_that_lapses_first_is_used_first() -> None:
    prepaid = Prepaid()
    prepaid.add(100, 2)
    prepaid.add(200, 2)
    prepaid.use(3)
    assert (prepaid.left(99), prepaid.left(100)) == (1, 1)


@pytest.mark.parametrize(
    ("left", "waiting", "count", "expected"),
    [
        (0, 0, 100, 5),  # a chunk ahead
        (2, 0, 100, 5),
        (3, 0, 100, 0),
        (3, 4, 100, 5),  # more is waited for than is left
        (0, 30, 100, 30),
        (0, 300, 100, 100),  # never more than the limit
        (0, 0, 10, 0),  # a chunk of one: none spare
        (0, 1, 10, 1),
        (1, 1, 10, 0),
    ],
)
def test_as_much_is_stored_as_will_be_needed(
    left: int, waiting: int, count: int, expected: int
) -> None:
    prepaid = Prepaid()
    if left:
        prepaid.add(1_000, left)
    assert prepaid.wanted(0, waiting, count) == expected
