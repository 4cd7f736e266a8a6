"""Another master key: whole, or cut off anywhere and done once more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text

from proxy.accounts import resealing
from proxy.accounts.credentials import unpack
from proxy.accounts.history import History
from proxy.accounts.resealing import reseal
from proxy.accounts.schema import CREDENTIALS, HAND_OVERS
from proxy.accounts.vault import Sealed, Vault, handover_place
from proxy.errors import VaultError
from proxy.model import KeyTriple

if TYPE_CHECKING:
    from tests.accounts.conftest import Bench

NEW = os.urandom(32)


@pytest.fixture
def old(bench: Bench) -> bytes:
    """The master key that everything on the bench is sealed under from now on."""
    key = os.urandom(32)
    bench.vault = bench.enrolment._vault = Vault([key])
    return key


async def masters(bench: Bench) -> list[str]:
    async with bench.database.read() as connection:
        found = await connection.execute(select(CREDENTIALS.c.master_id))
        return sorted(found.scalars())


async def test_every_secret_opens_with_the_new_key_alone(bench: Bench, old: bytes) -> None:
    await bench.add("alice", issue=True)
    await bench.add("bob")
    both = Vault([NEW, old])
    assert await reseal(bench.database, both) == (3, [])
    assert await masters(bench) == [both.sealing_id] * 3
    alone = Vault([NEW])
    for row in await bench.store.find():
        for one in row.credentials:
            held = unpack(alone.open(one.sealed, row.place(one.role, one.id)))
            assert isinstance(held, KeyTriple)
            assert held.api_key.endswith(row.user)


async def test_only_the_data_keys_are_sealed_anew(bench: Bench, old: bytes) -> None:
    """The sealed secret itself stays byte for byte, so it need not be opened."""
    await bench.add("alice")
    ((before,),) = [row.credentials for row in await bench.store.find()]
    await reseal(bench.database, Vault([NEW, old]))
    ((after,),) = [row.credentials for row in await bench.store.find()]
    assert after.sealed.seal != before.sealed.seal
    assert after.sealed.seal[61:] == before.sealed.seal[61:]


async def test_the_revision_stays_and_so_does_what_was_learned(bench: Bench, old: bytes) -> None:
    await bench.add("alice")
    async with bench.database.write() as connection:
        await connection.execute(text("UPDATE credentials SET learned_ms = 7, permissions = 'x'"))
    before = await bench.store.revision()
    await reseal(bench.database, Vault([NEW, old]))
    assert await bench.store.revision() == before
    async with bench.database.read() as connection:
        facts = (
            await connection.execute(text("SELECT learned_ms, permissions FROM credentials"))
        ).all()
    assert [tuple(one) for one in facts] == [(7, "x")]


async def test_a_run_that_was_cut_off_is_done_once_more(
    bench: Bench, old: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "_AT_ONCE", 2)
    for user in "abcde":
        await bench.add(user)
    both = Vault([NEW, old])
    whole, batches = resealing._reseal, iter(range(2))

    async def cut_off(*arguments: object) -> int:
        if next(batches, None) is None:
            raise KeyboardInterrupt
        return await whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(resealing, "_reseal", cut_off)
    with pytest.raises(KeyboardInterrupt):
        await reseal(bench.database, both)
    assert (await masters(bench)).count(both.sealing_id) == 4
    monkeypatch.setattr(resealing, "_reseal", whole)
    assert await reseal(bench.database, both) == (1, [])
    assert await masters(bench) == [both.sealing_id] * 5


async def test_another_key_that_is_needed_is_named_before_anything_changes(
    bench: Bench, old: bytes
) -> None:
    await bench.add("alice")
    stranger = Vault([os.urandom(32)])
    bench.enrolment._vault = stranger
    await bench.add("bob")
    before = await masters(bench)
    with pytest.raises(VaultError, match=f"sealed under master key {stranger.sealing_id}"):
        await reseal(bench.database, Vault([NEW, old]))
    assert await masters(bench) == before


async def test_a_row_that_was_moved_is_told_and_stays(bench: Bench, old: bytes) -> None:
    await bench.add("alice")
    await bench.add("bob")
    (alice, bob) = await bench.store.find()
    moved = alice.credentials[0].sealed.seal
    async with bench.database.write() as connection:
        await connection.execute(
            CREDENTIALS.update().where(CREDENTIALS.c.account_id == bob.id).values(sealed=moved)
        )
    done = await reseal(bench.database, Vault([NEW, old]))
    assert done.secrets == 1
    key = bob.credentials[0].id
    assert done.faults == [f"okx bob main real {key}: a sealed secret was moved or changed"]
    assert sorted(await masters(bench)) == sorted([Vault([NEW]).sealing_id, bench.vault.sealing_id])


async def test_what_a_process_left_to_the_next_goes_along(bench: Bench, old: bytes) -> None:
    await History(bench.database, bench.vault).save_handover("replays", [b"one", b"two"])
    assert await reseal(bench.database, Vault([NEW, old])) == (1, [])
    async with bench.database.read() as connection:
        left = (await connection.execute(select(HAND_OVERS.c.master_id))).scalars().all()
    assert left == [Vault([NEW]).sealing_id]
    assert await History(bench.database, Vault([NEW])).take_handover("replays") == [b"one", b"two"]


async def test_an_empty_database_has_nothing_to_seal(bench: Bench) -> None:
    assert await reseal(bench.database, Vault([NEW])) == (0, [])


def test_sealing_anew_under_the_same_key_is_no_work() -> None:
    vault = Vault([NEW])
    sealed = Sealed(vault.sealing_id, b"whatever")
    assert vault.reseal(sealed, handover_place("x")) is sealed
