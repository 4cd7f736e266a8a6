"""A signed write passes once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.security.replay_ring import ReplayRing
from proxy.security.replays import Replays

WINDOW_MS = 30_000
MS_NS = 1_000_000


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
    replays.reserve(b"other", 60_000, 60_000 * MS_NS)
    replays.release(b"digest")
    replays.reserve(b"digest", 60_000, 60_001 * MS_NS)


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
    replays.reserve(b"digest", signed_ms, first_ms * MS_NS)
    now_ms = first_ms
    for number, gap_ms in enumerate(gaps_ms):
        now_ms += gap_ms
        replays.reserve(b"other%d" % number, now_ms, now_ms * MS_NS)
    if abs(now_ms - signed_ms) <= WINDOW_MS:
        with pytest.raises(Refusal):
            replays.reserve(b"digest", signed_ms, now_ms * MS_NS)


def test_memory_is_given_back_after_quiet() -> None:
    replays = Replays(WINDOW_MS, 0)
    replays.reserve(b"digest", 0, 0)
    replays.reserve(b"late", 10_000_000, 10_000_000 * MS_NS)
    assert len(replays) == 1


def test_a_full_memory_refuses_rather_than_forgets() -> None:
    replays = Replays(WINDOW_MS, 0, digests_max=4)
    replays.reserve(b"a", 0, 0)
    replays.reserve(b"b", 0, 0)
    with pytest.raises(Refusal) as refused:
        replays.reserve(b"c", 0, 0)
    assert refused.value.slug == "overloaded"


def test_what_was_signed_before_the_memory_begins_is_refused() -> None:
    replays = Replays(WINDOW_MS, 0)
    replays.forget_nothing_before(1000)
    with pytest.raises(Refusal) as refused:
        replays.reserve(b"digest", 999, 1)
    assert refused.value.slug == "replayed"
    replays.reserve(b"digest", 1000, 1)


def test_what_a_process_used_is_refused_by_the_next_however_it_ended(tmp_path: Path) -> None:
    """Also what was signed by a clock ahead of ours."""
    before = Replays(WINDOW_MS, 0, ReplayRing(tmp_path / "ring", 1))
    before.reserve(b"a digest of thirty-two bytes long", 20_000, 0)
    after = Replays(WINDOW_MS, 5, ReplayRing(tmp_path / "ring", 1))
    with pytest.raises(Refusal):
        after.reserve(b"a digest of thirty-two bytes long", 20_000, 6)
    after.reserve(b"another digest of 32 bytes in all", 20_000, 6)


def test_a_signature_that_covers_no_path_passes_for_one_call_only() -> None:
    replays = Replays(WINDOW_MS, 0)
    for _ in range(2):
        replays.bind(b"digest", b"GET /orders", 0)
    with pytest.raises(Refusal) as refused:
        replays.bind(b"digest", b"DELETE /orders", 1)
    assert refused.value.slug == "replayed"
    replays.bind(b"other digest", b"DELETE /orders", 1)


def test_the_call_of_a_signature_is_known_as_long_as_its_timestamp_is_acceptable() -> None:
    replays = Replays(WINDOW_MS, 0)
    replays.bind(b"digest", b"GET /orders", 0)
    replays.bind(b"other", b"GET /orders", 2 * WINDOW_MS * MS_NS)
    with pytest.raises(Refusal):
        replays.bind(b"digest", b"DELETE /orders", 2 * WINDOW_MS * MS_NS)
    replays.bind(b"other", b"GET /orders", 4 * WINDOW_MS * MS_NS)
    replays.bind(b"digest", b"DELETE /orders", 4 * WINDOW_MS * MS_NS)


def test_a_full_memory_of_calls_refuses_rather_than_forgets() -> None:
    replays = Replays(WINDOW_MS, 0, digests_max=2)
    replays.bind(b"a", b"GET /", 0)
    with pytest.raises(Refusal) as refused:
        replays.bind(b"b", b"GET /", 0)
    assert refused.value.slug == "overloaded"
