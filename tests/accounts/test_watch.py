"""A running process sees what commands in other processes do."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from sqlalchemy import text

from proxy.accounts.database import Database
from proxy.accounts.directory import Directory
from proxy.accounts.enrolment import Enrolment, NewAccount
from proxy.accounts.store import Store
from proxy.accounts.vault import Vault
from proxy.accounts.watch import Watch
from proxy.model import KeyTriple

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

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


async def test_a_new_vault_opens_what_the_old_one_could_not(bench: Bench) -> None:
    keys = [os.urandom(32), os.urandom(32)]
    old, both = Vault(keys[:1]), Vault(keys[::-1])
    await Enrolment(bench.store, old, bench.clock).add(
        NewAccount("alice", "okx"), KeyTriple("old", "s", "p"), None
    )
    await Enrolment(bench.store, both, bench.clock).add(
        NewAccount("bob", "okx"), KeyTriple("new", "s", "p"), None
    )
    directory, lines = Directory(), list[str]()
    watch = Watch(directory, bench.store, old, bench.clock, lines.append)
    await watch.look()
    alice = directory.find("okx", b"old")
    assert set(directory.table("okx")) == {b"old"}
    watch.vault = both
    await watch.look()
    assert watch.vault is both
    assert set(directory.table("okx")) == {b"old", b"new"}
    assert directory.find("okx", b"old") is alice
    assert [line[:14] for line in lines] == ["okx bob main: "]


async def test_a_new_vault_that_opens_nothing_is_reported_and_dropped(bench: Bench) -> None:
    await bench.add("alice")
    directory, lines = Directory(), list[str]()
    watch = Watch(directory, bench.store, bench.vault, bench.clock, lines.append)
    await watch.look()
    watch.vault = Vault([os.urandom(32)])
    await watch.look()
    assert watch.vault is bench.vault
    await watch.look()
    assert [line[:32] for line in lines] == ["the master key opens none of the"]
    await bench.add("bob")
    await watch.look()
    assert set(directory.table("okx")) == {b"own-alice", b"own-bob"}


async def test_a_new_vault_waits_for_a_database_that_cannot_be_read(bench: Bench) -> None:
    await bench.add("alice")
    directory, lines = Directory(), list[str]()
    watch = Watch(directory, bench.store, bench.vault, bench.clock, lines.append)
    await watch.look()
    new = Vault([os.urandom(32)])
    (alice,) = await bench.store.find()
    place = alice.place("real", alice.credentials[0].id)
    sealed = new.seal(bench.vault.open(alice.credentials[0].sealed, place), place)
    async with bench.database.write() as connection:
        await connection.execute(
            text("UPDATE credentials SET sealed = :seal, master_id = :id"),
            {"seal": sealed.seal, "id": sealed.master_id},
        )
        await connection.execute(text("ALTER TABLE revision RENAME TO away"))
    watch.vault = new
    await watch.look()
    assert watch.vault is bench.vault
    async with bench.database.write() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO revision"))
    await watch.look()
    assert watch.vault is new
    assert len(lines) == 1


async def test_everything_is_read_once_for_a_new_vault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload looks while the watch itself may be looking."""
    await bench.add("alice")
    directory, loads = Directory(), list[Vault]()
    watch = Watch(directory, bench.store, bench.vault, bench.clock, lambda line: None)
    await watch.look()
    load = Directory.load

    async def counted(self: Directory, store: Store, vault: Vault) -> None:
        loads.append(vault)
        await load(self, store, vault)

    monkeypatch.setattr(Directory, "load", counted)
    watch.vault = bench.vault
    await asyncio.gather(*(watch.look() for _ in range(3)))
    assert loads == [bench.vault]


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
