"""A signed write passes once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.security.replays import Replays

WINDOW_MS = 30_000


def test_a_second_use_of_a_signature_is_refused() -> None:
    replays = Replays(WINDOW_MS, 0)
    replays.reserve(b"digest", 0, 0)
    with pytest.raises(Refusal) as refused:
        replays.reserve(b"digest", 0, 1)
    assert refused.value.slug == "replayed"


def test_a_released_signature_may_be_used_again() -> None:
    replays = Replays(WINDOW_MS, 0)
    replays.reserve(b"digest", 0, 0)
    replays.release(b"digest")
    replays.reserve(b"digest", 0, 1)


def test_a_signature_is_released_from_the_older_generation_too() -> None:
    replays = Replays(WINDOW_MS, 0)
    replays.reserve(b"digest", 0, 0)
    replays.reserve(b"other", 60_000, 60_000)
    replays.release(b"digest")
    replays.reserve(b"digest", 60_000, 60_001)


@given(
    first_ms=st.integers(100_000, 500_000),
    skew_ms=st.integers(-WINDOW_MS, WINDOW_MS),
    gaps_ms=st.lists(st.integers(0, 70_000), max_size=6),
)
def test_no_signature_passes_twice_while_its_timestamp_is_acceptable(
    first_ms: int, skew_ms: int, gaps_ms: list[int]
) -> None:
    """Whatever traffic turns the generations in between."""
    replays = Replays(WINDOW_MS, 0)
    signed_ms = first_ms + skew_ms
    replays.reserve(b"digest", signed_ms, first_ms)
    now_ms = first_ms
    for number, gap_ms in enumerate(gaps_ms):
        now_ms += gap_ms
        replays.reserve(b"other%d" % number, now_ms, now_ms)
    if abs(now_ms - signed_ms) <= WINDOW_MS:
        with pytest.raises(Refusal):
            replays.reserve(b"digest", signed_ms, now_ms)


def test_memory_is_given_back_after_quiet() -> None:
    replays = Replays(WINDOW_MS, 0)
    replays.reserve(b"digest", 0, 0)
    replays.reserve(b"late", 10_000_000, 10_000_000)
    assert replays.remembered() == [b"late"]


def test_a_full_memory_refuses_rather_than_forgets() -> None:
    replays = Replays(WINDOW_MS, 0, digests_max=4)
    replays.reserve(b"a", 0, 0)
    replays.reserve(b"b", 0, 0)
    with pytest.raises(Refusal) as refused:
        replays.reserve(b"c", 0, 0)
    assert refused.value.slug == "overloaded"


def test_what_was_signed_before_a_crash_is_refused() -> None:
    """Only the dead process knew whether it had been used."""
    replays = Replays(WINDOW_MS, 1000)
    replays.forget_nothing_before(1000)
    with pytest.raises(Refusal) as refused:
        replays.reserve(b"digest", 999, 1001)
    assert refused.value.slug == "replayed"
    replays.reserve(b"digest", 1000, 1001)


def test_what_a_clean_stop_handed_over_is_refused() -> None:
    before = Replays(WINDOW_MS, 0)
    before.reserve(b"digest", 0, 0)
    after = Replays(WINDOW_MS, 1000)
    after.restore(before.remembered())
    with pytest.raises(Refusal):
        after.reserve(b"digest", 0, 1001)
