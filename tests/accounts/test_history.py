"""What outlives a process: spent units, and hand-overs that are taken once."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from proxy.accounts.history import History, Spent, _joined, _parted
from proxy.accounts.vault import Vault

if TYPE_CHECKING:
    from tests.accounts.conftest import Bench

HOUR_MS = 3_600_000


async def test_units_count_until_their_window_is_over(bench: Bench) -> None:
    history = History(bench.database, bench.vault)
    await history.reserve("a", 5, 1_000, HOUR_MS)
    await history.reserve("b", 1, 2_000, 60_000)
    assert await history.load(2_000) == [
        Spent("a", 5, 1_000, HOUR_MS),
        Spent("b", 1, 2_000, 60_000),
    ]
    assert await history.load(61_999) == await history.load(2_000)
    assert await history.load(62_000) == [Spent("a", 5, 1_000, HOUR_MS)]
    assert await history.load(1_000 + HOUR_MS) == []


async def test_a_reservation_is_seen_by_another_connection_when_it_returns(bench: Bench) -> None:
    """What a killed process reserved must be there for the next one."""
    await History(bench.database, bench.vault).reserve("a", 5, 1_000, HOUR_MS)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1])"
        ".execute('SELECT key, units FROM limit_history').fetchone())",
        str(bench.path),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert out == b"a 5\n"


async def test_what_left_its_window_is_deleted_in_passing(bench: Bench) -> None:
    history = History(bench.database, bench.vault)
    for at in range(20):
        await history.reserve("a", 1, at * 1_000, 2_000)
    async with bench.database.read() as connection:
        count = await connection.execute(text("SELECT count(*) FROM limit_history"))
        assert count.scalar() == 2


async def test_a_hand_over_is_taken_once(bench: Bench) -> None:
    history = History(bench.database, bench.vault)
    assert await history.take_handover("limits") is None
    await history.save_handover("limits", [b"one", b"", b"two"])
    assert await history.take_handover("limits") == [b"one", b"", b"two"]
    assert await history.take_handover("limits") is None


async def test_an_empty_hand_over_is_not_the_same_as_none(bench: Bench) -> None:
    history = History(bench.database, bench.vault)
    await history.save_handover("limits", [])
    assert await history.take_handover("limits") == []


async def test_a_later_hand_over_replaces_the_one_before_and_kinds_are_apart(
    bench: Bench,
) -> None:
    history = History(bench.database, bench.vault)
    await history.save_handover("limits", [b"old"])
    await history.save_handover("replays", [b"digest"])
    await history.save_handover("limits", [b"new"])
    assert await history.take_handover("limits") == [b"new"]
    assert await history.take_handover("replays") == [b"digest"]


async def test_counts_are_handed_over_as_they_were(bench: Bench) -> None:
    history = History(bench.database, bench.vault)
    rows = [Spent("okx.com|7|order BTC-USDT", 3, 1_000, 2_000), Spent("é", 1, 5, 10)]
    assert await history.take_counts() is None
    await history.save_counts(rows)
    assert await history.take_counts() == rows
    assert await history.take_counts() is None


async def test_of_two_that_take_at_once_one_gets_it(bench: Bench) -> None:
    history = History(bench.database, bench.vault)
    await history.save_handover("limits", [b"row"])
    taken = await asyncio.gather(*(history.take_handover("limits") for _ in range(3)))
    assert sorted(taken, key=lambda rows: rows is None) == [[b"row"], None, None]


async def test_a_hand_over_under_another_master_key_is_none_and_gone(bench: Bench) -> None:
    await History(bench.database, bench.vault).save_handover("limits", [b"row"])
    other = History(bench.database, Vault([os.urandom(32)]))
    assert await other.take_handover("limits") is None
    assert await History(bench.database, bench.vault).take_handover("limits") is None


@given(st.lists(st.binary(max_size=80)))
def test_rows_of_any_bytes_come_back(rows: list[bytes]) -> None:
    assert list(_parted(_joined(rows))) == rows
