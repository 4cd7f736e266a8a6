"""Used signatures over a crash."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from proxy.errors import StoreError
from proxy.security.replay_ring import KEY_BYTES, ReplayRing


def _key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


def test_what_was_noted_is_found_without_closing(tmp_path: Path) -> None:
    """As after SIGKILL: nothing was flushed or closed."""
    ring = ReplayRing(tmp_path / "ring", 0, slots=8)
    ring.note(1_000, _key(1))
    ring.note(2_000, _key(2))
    found = ReplayRing(tmp_path / "ring", 0, slots=8)
    assert found.kept == [_key(1), _key(2)]
    assert not found.overrun


def test_what_is_too_old_to_be_replayed_is_dropped(tmp_path: Path) -> None:
    ring = ReplayRing(tmp_path / "ring", 0, slots=8)
    ring.note(1_000, _key(1))
    ring.note(2_000, _key(2))
    assert ReplayRing(tmp_path / "ring", 1_500, slots=8).kept == [_key(2)]
    assert ReplayRing(tmp_path / "ring", 0, slots=8).kept == [_key(2)]


def test_a_full_ring_overwrites_the_oldest_and_says_so(tmp_path: Path) -> None:
    ring = ReplayRing(tmp_path / "ring", 0, slots=4)
    for number in range(1, 7):
        ring.note(number, _key(number))
    found = ReplayRing(tmp_path / "ring", 0, slots=4)
    assert found.kept == [_key(3), _key(4), _key(5), _key(6)]
    assert found.overrun
    found.note(9, _key(9))
    assert _key(3) not in ReplayRing(tmp_path / "ring", 0, slots=4).kept


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    ReplayRing(tmp_path / "ring", 0, slots=4)
    assert stat.S_IMODE((tmp_path / "ring").stat().st_mode) == 0o600


def test_a_torn_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    ring = ReplayRing(tmp_path / "ring", 0, slots=4)
    ring.note(1, _key(1))
    raw = (tmp_path / "ring").read_bytes()
    (tmp_path / "ring").write_bytes(raw[:30])
    assert ReplayRing(tmp_path / "ring", 0, slots=4).kept == [_key(1)]


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="ring"):
        ReplayRing(tmp_path / "no such folder" / "ring", 0)
