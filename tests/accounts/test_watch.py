"""A running process sees what commands in other processes do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy import text

from proxy.accounts.database import Database
from proxy.accounts.directory import Directory
from proxy.accounts.enrolment import Enrolment, NewAccount
from proxy.accounts.store import Store
from proxy.accounts.watch import Watch
from proxy.model import KeyTriple

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.accounts.conftest import Bench


async def eventually(happened: Callable[[], bool]) -> None:
    """Let the loop go on until something happened; within the second of the contract."""
    async with asyncio.timeout(1):
        while not happened():  # noqa: ASYNC110 - it happens in the watch, which signals nobody
            await asyncio.sleep(0.01)


async def test_a_change_through_another_connection_is_seen_within_a_second(bench: Bench) -> None:
    directory, lines = Directory(), list[str]()
    watch = Watch(directory, bench.store, bench.vault, bench.clock, lines.append)
    await directory.load(bench.store, bench.vault)
    table = directory.table("okx")
    other = await Database.open(bench.url)
    command = Enrolment(Store(other), bench.vault, bench.clock)
    watch.start()
    try:
        real, issued = KeyTriple("own", "s", "p"), KeyTriple("issued", "s", "p")
        await command.add(NewAccount("alice", "okx"), real, issued)
        await eventually(lambda: b"issued" in table)
        (row,) = await Store(other).find("alice")
        await Store(other).change([row.id], {"disabled": "block"})
        await eventually(lambda: table[b"issued"].account.disabled == "block")
        await Store(other).remove([row.id])
        await eventually(lambda: not table)
    finally:
        await watch.stop()
        await other.close()
    assert lines == []


async def test_keys_end_on_time_without_any_change(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    (row,) = await bench.store.find()
    await bench.enrolment.rotate(row, KeyTriple("new", "s", "p"), 60_000)
    directory = Directory()
    watch = Watch(directory, bench.store, bench.vault, bench.clock, lambda line: None)
    await watch.look()
    assert directory.ready
    assert directory.find("okx", b"issued-alice") is not None
    bench.clock.now_ms += 60_000
    await watch.look()
    assert directory.find("okx", b"issued-alice") is None


async def test_a_fault_is_reported_once_and_again_when_it_comes_back(bench: Bench) -> None:
    await bench.add("alice")
    lines: list[str] = []
    directory = Directory()
    watch = Watch(directory, bench.store, bench.vault, bench.clock, lines.append)
    await watch.look()

    async def rename(before: str, after: str) -> None:
        async with bench.database.write() as connection:
            await connection.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))

    for _ in range(2):
        await rename("revision", "away")
        await watch.look()
        await watch.look()
        await rename("away", "revision")
        await watch.look()
    assert len(lines) == 2
    assert "no such table" in lines[0]
    assert directory.find("okx", b"own-alice") is not None


async def test_an_unreadable_row_is_reported_by_name(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    async with bench.database.write() as connection:
        await connection.execute(text("UPDATE credentials SET sealed = x'' WHERE role = 'issued'"))
    lines: list[str] = []
    watch = Watch(Directory(), bench.store, bench.vault, bench.clock, lines.append)
    await watch.look()
    await watch.look()
    assert len(lines) == 1
    assert lines[0].startswith("okx alice main: issued credentials ")


async def test_the_end_of_the_watch_itself_is_reported(bench: Bench) -> None:
    lines: list[str] = []

    def broken_clock() -> int:
        raise RuntimeError("planted")

    bench.clock.wall_ms = broken_clock  # type: ignore[method-assign]
    watch = Watch(Directory(), bench.store, bench.vault, bench.clock, lines.append)
    watch.start()
    await eventually(lambda: bool(lines))
    assert lines == ["accounts.watch ended, changes are not seen any more: RuntimeError"]
    await watch.stop()
