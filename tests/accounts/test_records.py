"""What is written down behind the requests: whose it is, and what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from proxy.accounts import records
from proxy.accounts.activity import Activity
from proxy.accounts.credentials import BearerToken
from proxy.accounts.enrolment import NewAccount
from proxy.accounts.records import Doings, Facts, memories, save
from proxy.errors import StoreError

if TYPE_CHECKING:
    from proxy.accounts.store import AccountRow
    from tests.accounts.conftest import Bench

NOW_MS = 1_800_000_000_000


async def account(bench: Bench, user: str) -> AccountRow:
    (row,) = await bench.store.find(user)
    return row


def facts(row: AccountRow, uid: str = "100") -> Facts:
    real = next(one for one in row.credentials if one.role == "real")
    key = (real.id, real.fingerprint)
    return Facts(row.id, key, uid, "99", ("192.0.2.1", "2001:db8::1"), ("read", "trade"), NOW_MS)


def doings(row: AccountRow, orders: int) -> Doings:
    activity = Activity()
    activity.seen(NOW_MS, orders)
    return Doings(row.id, NOW_MS, activity.encode())


async def test_what_was_written_down_comes_back(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    await bench.add("bob", issue=True)
    row = await account(bench, "alice")
    await save(bench.database, [facts(row)], [doings(row, 3)])
    (account_id, memory), *others = (await memories(bench.database)).items()
    assert (account_id, others) == (row.id, [])
    assert memory.key == facts(row).key
    assert memory.addresses == ("192.0.2.1", "2001:db8::1")
    assert (memory.permissions, memory.learned_ms) == (("read", "trade"), NOW_MS)
    assert memory.activity is not None
    assert memory.activity.totals(NOW_MS) == (3, {})
    row = await account(bench, "alice")
    assert (row.uid, row.main_uid) == ("100", "99")
    assert (await account(bench, "bob")).uid == ""


async def test_what_is_written_again_replaces_what_was(bench: Bench) -> None:
    await bench.add("alice")
    row = await account(bench, "alice")
    for orders in (1, 2):
        await save(bench.database, [facts(row, str(orders))], [doings(row, orders)])
    memory = (await memories(bench.database))[row.id]
    assert memory.activity is not None
    assert memory.activity.totals(NOW_MS)[0] == 2
    assert (await account(bench, "alice")).uid == "2"


async def test_writing_behind_counts_no_revision_up(bench: Bench) -> None:
    """A running process would swap the account for it."""
    await bench.add("alice")
    row, revision = await account(bench, "alice"), await bench.store.revision()
    await save(bench.database, [facts(row)], [doings(row, 1)])
    assert await bench.store.revision() == revision
    assert (await bench.store.changes(revision)).accounts == []


async def test_what_was_learned_with_a_key_that_was_replaced_is_not_written(bench: Bench) -> None:
    await bench.add("alice")
    row = await account(bench, "alice")
    learned = facts(row)
    for change in ("id = 'other'", "fingerprint = x'00'"):
        async with bench.database.write() as connection:
            await connection.execute(text(f"UPDATE credentials SET {change}"))  # noqa: S608
        await save(bench.database, [learned], [])
        assert (await account(bench, "alice")).uid == ""
        assert await memories(bench.database) == {}


async def test_facts_of_a_bearer_account_are_written_too(bench: Bench) -> None:
    """Its credentials have no fingerprint to compare."""
    await bench.enrolment.add(NewAccount("alice", "okx"), BearerToken("token"), None)
    row = await account(bench, "alice")
    await save(bench.database, [facts(row)], [])
    assert (await account(bench, "alice")).uid == "100"
    assert list(await memories(bench.database)) == [row.id]


async def test_an_account_removed_meanwhile_does_not_stop_the_others(bench: Bench) -> None:
    await bench.add("alice")
    await bench.add("bob")
    alice, bob = await account(bench, "alice"), await account(bench, "bob")
    await bench.store.remove([alice.id])
    await save(bench.database, [facts(alice), facts(bob)], [doings(alice, 1), doings(bob, 2)])
    assert list(await memories(bench.database)) == [bob.id]


async def test_what_an_account_did_goes_with_it(bench: Bench) -> None:
    await bench.add("alice")
    row = await account(bench, "alice")
    await save(bench.database, [], [doings(row, 1)])
    await bench.store.remove([row.id])
    async with bench.database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM activity"))).scalar() == 0


async def test_some_accounts_can_be_asked_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_IDS_AT_ONCE", 2)
    monkeypatch.setattr(records, "_READ_AT_ONCE", 2)
    monkeypatch.setattr(records, "_WRITTEN_AT_ONCE", 2)
    for user in "abcde":
        await bench.add(user)
    rows = await bench.store.find()
    await save(bench.database, [facts(row) for row in rows], [doings(row, 1) for row in rows])
    ids = [row.id for row in rows]
    assert set(await memories(bench.database)) == set(ids)
    assert set(await memories(bench.database, [*ids[:3], "nobody"])) == set(ids[:3])
    assert await memories(bench.database, []) == {}


@pytest.mark.parametrize("payload", [b"", b"damaged", b'{"form":2,"seen":"then"}'])
async def test_of_damaged_or_newer_activity_only_the_time_is_left(
    bench: Bench, payload: bytes
) -> None:
    await bench.add("alice")
    row = await account(bench, "alice")
    await save(bench.database, [facts(row)], [Doings(row.id, NOW_MS, payload)])
    memory = (await memories(bench.database))[row.id]
    assert memory.damaged
    assert memory.activity is not None
    assert memory.activity.last_seen_ms == NOW_MS
    assert memory.activity.totals(NOW_MS) == (0, {})
    assert memory.addresses == ("192.0.2.1", "2001:db8::1")


async def test_what_cannot_be_written_is_a_store_error_and_nothing_of_it_is(bench: Bench) -> None:
    await bench.add("alice")
    row = await account(bench, "alice")
    async with bench.database.write() as connection:
        await connection.execute(text("ALTER TABLE activity RENAME TO away"))
    with pytest.raises(StoreError, match="activity"):
        await save(bench.database, [facts(row)], [doings(row, 1)])
    assert (await account(bench, "alice")).uid == ""
