"""What accounts did outlives the process, whatever the database does meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from proxy.accounts import chronicle as chronicle_module
from proxy.accounts.chronicle import Chronicle, activities
from proxy.accounts.database import Database
from proxy.accounts.directory import Directory
from proxy.accounts.enrolment import Enrolment
from proxy.accounts.records import Doings, save
from proxy.accounts.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.accounts.standing import Standing
    from tests.accounts.conftest import Bench

NOW_MS = 1_800_000_000_000


class Process:
    """A running proxy, as far as its accounts go."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.lines: list[str] = []
        self.directory = Directory()
        self.chronicle = Chronicle(bench.database, self.directory.standings, self.lines.append)

    async def load(self) -> Process:
        memories = await self.chronicle.memories()
        await self.directory.load(self.bench.store, self.bench.vault, memories)
        return self

    def standing(self, user: str) -> Standing:
        access = self.directory.find("okx", f"own-{user}".encode())
        assert access is not None
        return access.account.standing


async def eventually(happened: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await happened():  # noqa: ASYNC110 - another process signals nobody
            await asyncio.sleep(0.01)


async def orders(bench: Bench) -> dict[str, int]:
    """The orders of a day that are written down, by user."""
    users = {row.id: row.user for row in await bench.store.find()}
    found = await activities(bench.database)
    return {users[key]: activity.totals(NOW_MS)[0] for key, activity in found.items()}


async def renamed(bench: Bench, before: str, after: str) -> None:
    async with bench.database.write() as connection:
        await connection.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))


async def test_what_one_process_did_and_learned_the_next_one_knows(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    await bench.add("bob")
    first = await Process(bench).load()
    alice = first.standing("alice")
    alice.activity.seen(NOW_MS, 3)
    alice.activity.refused(NOW_MS, "rate_limited", "POST trade/order", "waited")
    alice.activity.health(NOW_MS, "ok")
    first.directory.standings.learned(alice, "100", "99", ("192.0.2.1",), ("read",), NOW_MS)
    await first.chronicle.stop()

    second = await Process(bench).load()
    again = second.standing("alice")
    assert again is not alice
    assert again.activity.totals(NOW_MS) == (3, {"rate_limited": 1})
    assert (again.activity.key_health, again.activity.dirty) == ("ok", False)
    assert (again.uid, again.main_uid, again.identity.text) == ("100", "99", "100")
    assert (again.addresses, again.permissions) == (("192.0.2.1",), ("read",))
    assert (again.learned_ms, again.unsaved) == (NOW_MS, False)
    assert second.standing("bob").learned_ms == 0
    again.activity.seen(NOW_MS, 1)
    await second.chronicle.stop()
    assert await orders(bench) == {"alice": 4}
    assert first.lines == second.lines == []


async def test_what_is_new_is_written_while_it_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chronicle_module, "FLUSH_S", 0.01)
    await bench.add("alice")
    process = await Process(bench).load()
    other = await Database.open(bench.url)  # as a command in another process has it
    process.chronicle.start()
    try:
        activity = process.standing("alice").activity
        for count in (1, 2):
            activity.seen(NOW_MS, 1)

            async def written(count: int = count) -> bool:
                found = await activities(other, [process.standing("alice").account_id])
                return [one.totals(NOW_MS)[0] for one in found.values()] == [count]

            await eventually(written)
    finally:
        await process.chronicle.stop()
        await other.close()


async def test_nothing_new_writes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.add("alice")
    process = await Process(bench).load()
    alice = process.standing("alice")
    alice.activity.seen(NOW_MS, 1)
    process.directory.standings.learned(alice, "100", "", (), (), NOW_MS)
    await process.chronicle.flush()

    async def unexpected(*args: object) -> None:
        raise AssertionError(args)

    monkeypatch.setattr(chronicle_module, "save", unexpected)
    await process.chronicle.flush()
    await process.chronicle.stop()
    assert process.lines == []


async def test_a_database_that_cannot_be_written_is_reported_once_and_loses_nothing(
    bench: Bench,
) -> None:
    await bench.add("alice")
    process = await Process(bench).load()
    alice = process.standing("alice")
    for times in (1, 2):
        await renamed(bench, "activity", "away")
        for _ in range(3):
            alice.activity.seen(NOW_MS, 1)
            process.directory.standings.learned(alice, f"uid{times}", "", (), (), NOW_MS)
            await process.chronicle.flush()
        await renamed(bench, "away", "activity")
        await process.chronicle.flush()
        assert await orders(bench) == {"alice": 3 * times}
        assert [row.uid for row in await bench.store.find()] == [f"uid{times}"]
    assert len(process.lines) == 2
    assert process.lines[0].startswith("what accounts did cannot be written down for now: ")


async def test_what_happens_during_a_write_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.add("alice")
    process = await Process(bench).load()
    alice = process.standing("alice")

    async def meanwhile(*args: object) -> None:
        alice.activity.seen(NOW_MS, 10)
        process.directory.standings.learned(alice, "200", "", (), (), NOW_MS)
        await save(*args)  # type: ignore[arg-type]

    alice.activity.seen(NOW_MS, 1)
    process.directory.standings.learned(alice, "100", "", (), (), NOW_MS)
    with monkeypatch.context() as patched:
        patched.setattr(chronicle_module, "save", meanwhile)
        await process.chronicle.flush()
    assert await orders(bench) == {"alice": 1}
    await process.chronicle.flush()
    assert await orders(bench) == {"alice": 11}
    assert [row.uid for row in await bench.store.find()] == ["200"]


async def test_a_flush_that_is_cancelled_leaves_everything_to_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.add("alice")
    process = await Process(bench).load()
    process.standing("alice").activity.seen(NOW_MS, 1)
    entered = asyncio.Event()

    async def never(*args: object) -> None:
        entered.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(chronicle_module, "save", never)
        task = asyncio.create_task(process.chronicle.flush())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await process.chronicle.flush()
    assert await orders(bench) == {"alice": 1}


async def test_a_round_takes_a_bounded_number_and_everyone_gets_a_turn(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chronicle_module, "_FLUSHED_AT_ONCE", 2)
    monkeypatch.setattr(chronicle_module, "_LOOKED_AT_ONCE", 1)
    monkeypatch.setattr(chronicle_module, "_ENCODED_AT_ONCE", 1)
    for user in "abcde":
        await bench.add(user)
    process = await Process(bench).load()
    for count in (2, 4, 5):
        for user in "abcde":
            process.standing(user).activity.seen(NOW_MS, 1)
        await process.chronicle._flush(2)
        assert len(await orders(bench)) == count
    assert await orders(bench) == {"a": 3, "b": 1, "c": 2, "d": 2, "e": 3}
    await process.chronicle.stop()
    assert await orders(bench) == dict.fromkeys("abcde", 3)


async def test_a_command_removes_and_changes_accounts_between_flushes(bench: Bench) -> None:
    for user in ("alice", "bob"):
        await bench.add(user)
    process = await Process(bench).load()
    for user in ("alice", "bob"):
        standing = process.standing(user)
        standing.activity.seen(NOW_MS, 1)
        process.directory.standings.learned(standing, "100", "", (), (), NOW_MS)
    other = await Database.open(bench.url)
    (alice,) = await bench.store.find("alice")
    await Store(other).remove([alice.id])
    await process.chronicle.flush()
    assert await orders(bench) == {"bob": 1}
    await other.close()
    assert process.lines == []


async def test_two_processes_that_write_at_once_both_succeed(bench: Bench) -> None:
    """Commands add accounts while a running proxy writes down what the others do."""
    for number in range(20):
        await bench.add(f"user{number}")
    process = await Process(bench).load()
    other = await Database.open(bench.url)
    command = Enrolment(Store(other), bench.vault, bench.clock)
    bench.enrolment = command

    async def serve() -> None:
        for _ in range(20):
            for standing in process.directory.standings:
                standing.activity.seen(NOW_MS, 1)
            await process.chronicle.flush()

    async def add() -> None:
        for number in range(20):
            await bench.add(f"later{number}")

    await asyncio.gather(serve(), add())
    await other.close()
    assert process.lines == []
    assert await orders(bench) == {f"user{number}": 20 for number in range(20)}
    assert len(await bench.store.find()) == 40


async def test_damaged_activities_are_reported_in_one_line_and_begin_anew(bench: Bench) -> None:
    for user in "abcde":
        await bench.add(user)
    rows = await bench.store.find()
    await save(bench.database, [], [Doings(row.id, NOW_MS, b'{"form":9}') for row in rows[:4]])
    process = await Process(bench).load()
    (line,) = process.lines
    assert line.startswith("what 4 accounts did lately is damaged or a newer tagproxy's")
    assert line.endswith(", …")
    activity = process.standing("a").activity
    assert activity.last_seen_ms == NOW_MS
    activity.seen(NOW_MS, 1)
    await process.chronicle.stop()
    assert (await orders(bench))["a"] == 1
    again = await Process(bench).load()
    assert again.lines[0].startswith("what 3 accounts did lately")
    assert not again.lines[0].endswith("…")


async def test_only_accounts_that_did_something_are_told_of(bench: Bench) -> None:
    for user in ("alice", "bob"):
        await bench.add(user)
    process = await Process(bench).load()
    alice, bob = process.standing("alice"), process.standing("bob")
    alice.activity.seen(NOW_MS, 1)
    process.directory.standings.learned(bob, "100", "", (), (), NOW_MS)
    await process.chronicle.stop()
    assert list(await activities(bench.database)) == [alice.account_id]
    assert await activities(bench.database, [bob.account_id]) == {}


async def test_whatever_goes_wrong_the_next_flush_comes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.add("alice")
    process = await Process(bench).load()
    process.standing("alice").activity.seen(NOW_MS, 1)

    async def broken(*args: object) -> None:
        raise RuntimeError("planted")

    with monkeypatch.context() as patched:
        patched.setattr(chronicle_module, "save", broken)
        await process.chronicle.flush()
    await process.chronicle.flush()
    assert process.lines == ["what accounts did cannot be written down: RuntimeError"]
    assert await orders(bench) == {"alice": 1}


async def test_the_end_of_the_chronicle_itself_is_reported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chronicle_module, "FLUSH_S", "never")
    process = await Process(bench).load()
    process.chronicle.start()

    async def reported() -> bool:
        return bool(process.lines)

    await eventually(reported)
    assert process.lines[0] == "accounts.chronicle ended, what accounts do is not kept: TypeError"
    await process.chronicle.stop()


async def test_what_was_learned_is_written_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed must not take a uid with it: limits are kept under that."""
    monkeypatch.setattr(chronicle_module, "FLUSH_S", 3600.0)
    await bench.add("alice")
    process = await Process(bench).load()
    process.chronicle.start()
    process.directory.standings.learned(process.standing("alice"), "100", "99", (), (), NOW_MS)

    async def written() -> bool:
        return [row.uid for row in await bench.store.find()] == ["100"]

    await eventually(written)
    await process.chronicle.stop()
