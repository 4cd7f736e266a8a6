"""Accounts in SQL: uniqueness, revisions, and what a reader is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from proxy.accounts import rows
from proxy.accounts import store as store_module
from proxy.accounts.database import Database
from proxy.accounts.enrolment import NewAccount
from proxy.accounts.store import Store
from proxy.errors import CommandError, StoreError
from proxy.model import KeyTriple

if TYPE_CHECKING:
    from tests.accounts.conftest import Bench


def triple(api_key: str) -> KeyTriple:
    return KeyTriple(api_key, "secret", "passphrase")


async def test_an_account_comes_back_whole(bench: Bench) -> None:
    new = NewAccount("alice", "okx", "sub1", "sign", ("keys", "transfer"), ("10.0.0.0/8",), "CODE1")
    await bench.enrolment.add(new, triple("key"), triple("issued"))
    (row,) = await bench.store.find("alice")
    assert (row.user, row.exchange, row.label, row.mode) == ("alice", "okx", "sub1", "sign")
    assert (row.grants, row.networks, row.code) == (
        ("keys", "transfer"),
        ("10.0.0.0/8",),
        "CODE1",
    )
    assert (row.disabled, row.reason, row.uid, row.main_uid, row.site) == ("",) * 5
    assert row.created_ms == bench.clock.now_ms
    assert sorted(one.role for one in row.credentials) == ["issued", "real"]


async def test_a_second_account_of_the_same_name_is_refused_and_nothing_changes(
    bench: Bench,
) -> None:
    await bench.add("alice")
    before, revision = await bench.store.find(), await bench.store.revision()
    with pytest.raises(CommandError, match="alice has an account main on okx already"):
        await bench.enrolment.add(NewAccount("alice", "okx"), triple("other"), None)
    assert await bench.store.find() == before
    assert await bench.store.revision() == revision


async def test_an_api_key_is_claimed_once_per_exchange_table(bench: Bench) -> None:
    await bench.enrolment.add(NewAccount("alice", "okx"), triple("shared"), None)
    with pytest.raises(CommandError, match="another account on okx has this API key") as caught:
        await bench.enrolment.add(NewAccount("bob", "okx"), triple("shared"), None)
    assert "shared" not in str(caught.value)
    assert await bench.store.find("bob") == []
    await bench.enrolment.add(NewAccount("bob", "okx-us"), triple("shared"), None)


async def test_an_issued_key_cannot_be_anothers_own(bench: Bench) -> None:
    await bench.enrolment.add(NewAccount("alice", "okx"), triple("a"), triple("shared"))
    with pytest.raises(CommandError, match="another account"):
        await bench.enrolment.add(NewAccount("bob", "okx"), triple("shared"), None)


async def test_labels_and_exchanges_tell_accounts_of_one_user_apart(bench: Bench) -> None:
    for exchange, label in (("okx", "main"), ("okx", "sub1"), ("mexc", "main")):
        new = NewAccount("alice", exchange, label)
        await bench.enrolment.add(new, triple(f"{exchange}-{label}"), None)
    await bench.add("bob")

    async def found(*narrow: str | None) -> list[tuple[str, str, str]]:
        return [(row.user, row.exchange, row.label) for row in await bench.store.find(*narrow)]

    assert len(await found()) == 4
    assert await found("alice", "okx") == [("alice", "okx", "main"), ("alice", "okx", "sub1")]
    assert await found("alice", None, "main") == [
        ("alice", "mexc", "main"),
        ("alice", "okx", "main"),
    ]
    assert await found("carol") == []


async def test_a_reader_is_told_what_changed_and_no_more(bench: Bench) -> None:
    await bench.add("alice")
    await bench.add("bob", issue=True)
    seen = await bench.store.revision()
    (bob,) = await bench.store.find("bob")
    await bench.store.change([bob.id], {"disabled": "block"})
    changes = await bench.store.changes(seen)
    assert not changes.everything
    assert [(row.user, row.disabled, len(row.credentials)) for row in changes.accounts] == [
        ("bob", "block", 2)
    ]
    assert changes.revision == seen + 1
    nothing = await bench.store.changes(changes.revision)
    assert (nothing.accounts, nothing.removed) == ([], [])


async def test_a_reader_is_told_what_is_gone(bench: Bench) -> None:
    await bench.add("alice")
    (alice,) = await bench.store.find("alice")
    seen = await bench.store.revision()
    await bench.store.remove([alice.id])
    changes = await bench.store.changes(seen)
    assert (changes.accounts, changes.removed) == ([], [alice.id])
    assert await bench.store.master_ids() == set()


async def test_a_reader_too_far_behind_reads_everything(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "REMOVALS_KEPT", 2)
    for user in ("alice", "bob", "carol", "dave"):
        await bench.add(user)
    assert (await bench.store.changes(1)).everything
    assert not (await bench.store.changes(2)).everything


async def test_old_removals_are_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "REMOVALS_KEPT", 2)
    for user in ("alice", "bob", "carol"):
        await bench.add(user)
        (row,) = await bench.store.find(user)
        await bench.store.remove([row.id])
    async with bench.database.read() as connection:
        kept = await connection.execute(text("SELECT revision FROM removals ORDER BY 1"))
        assert list(kept.scalars()) == [4, 6]


async def test_a_database_put_back_from_a_copy_is_read_whole(bench: Bench) -> None:
    await bench.add("alice")
    assert (await bench.store.changes(99)).everything


async def test_many_accounts_are_changed_in_one_go(bench: Bench) -> None:
    await bench.add("alice")
    (alice,) = await bench.store.find("alice")
    await bench.store.change([alice.id, *map(str, range(1200))], {"disabled": "close-only"})
    assert [row.disabled for row in await bench.store.find()] == ["close-only"]


async def test_more_accounts_than_are_read_at_once_come_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_READ_AT_ONCE", 2)
    for user in "abcde":
        await bench.add(user, issue=True)
    found = await bench.store.find()
    assert [(row.user, len(row.credentials)) for row in found] == [(user, 2) for user in "abcde"]


async def test_a_command_waits_for_anothers_write_to_end(bench: Bench) -> None:
    other = Store(await Database.open(bench.url))
    try:
        async with bench.database.write() as connection:
            await connection.execute(text("UPDATE revision SET value = 41"))
            assert await other.revision() == 0
        assert await other.revision() == 41
    finally:
        await other._database.close()


async def test_a_closed_away_table_is_a_store_error(bench: Bench) -> None:
    async with bench.database.write() as connection:
        await connection.execute(text("DROP TABLE credentials"))
    with pytest.raises(StoreError, match="credentials"):
        await bench.store.changes(None)


async def test_no_repr_of_a_row_shows_a_fingerprint_or_a_seal(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    (row,) = await bench.store.find()
    for one in row.credentials:
        assert repr(one.sealed.seal) not in repr(row)
        assert repr(one.fingerprint) not in repr(row)
