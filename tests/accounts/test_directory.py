"""What the hot path sees: who is found, from where, and what a change does to it."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from proxy.accounts.activity import Activity
from proxy.accounts.credentials import BearerToken, KeyOnly, fingerprint, pack
from proxy.accounts.directory import Directory
from proxy.accounts.enrolment import NewAccount
from proxy.accounts.standing import Memory
from proxy.accounts.standings import key_of
from proxy.accounts.vault import Vault
from proxy.errors import VaultError
from proxy.exchanges.mac import Mac
from proxy.model import KeyTriple

if TYPE_CHECKING:
    from proxy.accounts.directory import Access
    from tests.accounts.conftest import Bench


def triple(api_key: str) -> KeyTriple:
    return KeyTriple(api_key, "secret", "passphrase")


async def loaded(bench: Bench) -> Directory:
    directory = Directory()
    await directory.load(bench.store, bench.vault)
    return directory


def found(directory: Directory, api_key: str, exchange: str = "okx") -> Access:
    access = directory.find(exchange, api_key.encode())
    assert access is not None
    return access


async def set_key(
    bench: Bench, user: str, held: KeyTriple, role: str = "real", *, same_id: bool = False
) -> None:
    """Give an account other credentials."""
    (row,) = await bench.store.find(user)
    old = next(one for one in row.credentials if one.role == role)
    new_id = old.id if same_id else f"new-{old.id}"
    sealed = bench.vault.seal(pack(held), row.place(role, new_id))
    async with bench.database.write() as connection:
        await connection.execute(
            text(
                "UPDATE credentials SET id = :new, sealed = :seal, fingerprint = :print"
                " WHERE id = :old"
            ),
            {
                "old": old.id,
                "new": new_id,
                "seal": sealed.seal,
                "print": fingerprint(row.exchange, held.api_key),
            },
        )
    await bench.store.change([row.id], {"main_uid": "counts the revision up, no more"})


async def rotate(bench: Bench, new: Vault) -> None:
    """Seal every secret anew, and say nothing of it to a running process."""
    for row in await bench.store.find():
        for one in row.credentials:
            place = row.place(one.role, one.id)
            sealed = new.seal(bench.vault.open(one.sealed, place), place)
            async with bench.database.write() as connection:
                await connection.execute(
                    text("UPDATE credentials SET sealed = :seal, master_id = :key WHERE id = :id"),
                    {"seal": sealed.seal, "key": sealed.master_id, "id": one.id},
                )


async def test_a_directory_is_not_ready_before_it_was_loaded(bench: Bench) -> None:
    directory = Directory()
    assert not directory.ready
    assert directory.find("okx", b"own-alice") is None
    await directory.load(bench.store, bench.vault)
    assert directory.ready


async def test_the_own_key_and_issued_ones_lead_to_one_account(bench: Bench) -> None:
    issued_id = await bench.add("alice", issue=True)
    directory = await loaded(bench)
    own, issued = found(directory, "own-alice"), found(directory, "issued-alice")
    assert own.account is issued.account
    assert (own.issued_id, issued.issued_id) == ("", issued_id)
    assert own.credentials is own.account.credentials
    assert issued.credentials is not own.credentials
    assert issued.account.credentials.api_key == b"own-alice"
    assert issued.credentials.mac is not None
    assert own.credentials.mac is not None
    assert issued.credentials.mac.digest(b"x") != own.credentials.mac.digest(b"x")


async def test_a_key_is_known_on_its_own_exchange_only(bench: Bench) -> None:
    await bench.add("alice")
    directory = await loaded(bench)
    assert directory.find("okx-us", b"own-alice") is None
    assert directory.find("okx", b"own-ALICE") is None


async def test_an_account_carries_what_the_operator_said_of_it(bench: Bench) -> None:
    new = NewAccount("alice", "okx", "sub1", "sign", ("keys",), ("10.0.0.0/8",), "CODE1")
    await bench.enrolment.add(new, triple("key"), None)
    account = found(await loaded(bench), "key").account
    assert (account.user, account.exchange, account.label) == ("alice", "okx", "sub1")
    assert (account.mode, account.grants, account.code) == ("sign", frozenset({"keys"}), b"CODE1")
    assert (account.disabled, account.reason, account.site) == ("", "", "")
    assert (account.standing.account_id, account.standing.uid) == (account.id, "")


async def test_an_account_with_a_bearer_token_is_reached_by_issued_keys_only(
    bench: Bench,
) -> None:
    await bench.enrolment.add(NewAccount("alice", "okx"), BearerToken("token"), triple("issued"))
    directory = await loaded(bench)
    access = found(directory, "issued")
    assert access.account.credentials.bearer == b"token"
    assert directory.find("okx", b"") is None


async def test_an_account_without_a_secret_is_found_by_its_key(bench: Bench) -> None:
    await bench.enrolment.add(NewAccount("a", "mexc", mode="observe"), KeyOnly("key"), None)
    directory = await loaded(bench)
    access = found(directory, "key", "mexc")
    assert (access.account.mode, access.credentials.mac) == ("observe", None)
    assert access.account.credentials is access.credentials
    assert (access.api_key, access.issued_id, access.expires_ms) == (b"key", "", None)
    assert access.account.standing.identity.text.startswith("key:")
    assert (directory.accounts, directory.faults) == (1, [])


async def test_a_table_handed_out_lives_through_changes(bench: Bench) -> None:
    directory = Directory()
    table = directory.table("okx")
    await directory.load(bench.store, bench.vault)
    assert dict(table) == {}
    await bench.add("alice")
    await directory.refresh(bench.store, bench.vault)
    assert set(table) == {b"own-alice"}
    await directory.load(bench.store, bench.vault)
    assert directory.table("okx") is table
    assert set(table) == {b"own-alice"}


async def test_a_change_swaps_the_account_and_leaves_others_alone(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    await bench.add("bob")
    directory = await loaded(bench)
    alice, bob = found(directory, "own-alice"), found(directory, "own-bob")
    assert not await directory.refresh(bench.store, bench.vault)
    await bench.store.change([alice.account.id], {"disabled": "block", "reason": "unpaid"})
    assert await directory.refresh(bench.store, bench.vault)
    assert found(directory, "own-bob") is bob
    assert found(directory, "own-alice").account.disabled == "block"
    assert found(directory, "issued-alice").account.reason == "unpaid"
    assert alice.account.disabled == ""  # what is in flight sees one state throughout


async def test_revoked_rotated_and_removed_keys_are_gone(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    await bench.add("bob", issue=True)
    issued_id = await bench.add("carol", issue=True)
    directory = await loaded(bench)
    await bench.store.revoke(issued_id)
    (alice,), (bob,) = await bench.store.find("alice"), await bench.store.find("bob")
    await bench.enrolment.rotate(bob, triple("new-bob"), 0)
    await bench.store.remove([alice.id])
    await directory.refresh(bench.store, bench.vault)
    assert set(directory.table("okx")) == {b"own-bob", b"new-bob", b"own-carol"}
    assert directory.accounts == 2


async def test_a_key_may_move_to_another_account(bench: Bench) -> None:
    """Removed here and added there between two looks: the new owner must win."""
    await bench.enrolment.add(NewAccount("alice", "okx"), triple("key"), None)
    directory = await loaded(bench)
    (alice,) = await bench.store.find("alice")
    await bench.store.remove([alice.id])
    await bench.enrolment.add(NewAccount("bob", "okx"), triple("key"), None)
    await directory.refresh(bench.store, bench.vault)
    assert found(directory, "key").account.user == "bob"


async def test_an_old_key_ends_when_its_overlap_is_over(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    (alice,) = await bench.store.find()
    await bench.enrolment.rotate(alice, triple("new"), 1000)
    directory = await loaded(bench)
    directory.expire(bench.clock.now_ms + 999)
    assert directory.find("okx", b"issued-alice") is not None
    directory.expire(bench.clock.now_ms + 1000)
    assert set(directory.table("okx")) == {b"own-alice", b"new"}


@pytest.mark.parametrize(
    ("account", "own", "address", "passes"),
    [
        ((), (), "203.0.113.9", True),
        (("10.0.0.0/8",), (), "10.1.2.3", True),
        (("10.0.0.0/8",), (), "11.1.2.3", False),
        (("10.0.0.0/8", "2001:db8::/32"), (), "2001:db8::1", True),
        (("10.0.0.0/8",), (), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), (), "::ffff:11.1.2.3", False),
        (("10.0.0.0/8",), ("10.1.0.0/16",), "10.1.2.3", True),
        (("10.0.0.0/8",), ("10.1.0.0/16",), "10.2.2.3", False),
        ((), ("10.1.0.0/16",), "10.1.2.3", True),
        ((), ("10.1.0.0/16",), "10.2.2.3", False),
    ],
)
async def test_bots_come_from_where_account_and_key_both_allow(
    bench: Bench, account: tuple[str, ...], own: tuple[str, ...], address: str, passes: bool
) -> None:
    await bench.enrolment.add(NewAccount("a", "okx", networks=account), triple("own"), None)
    (row,) = await bench.store.find()
    await bench.enrolment.issue(row, triple("issued"), "", own)
    access = found(await loaded(bench), "issued")
    assert Directory.allows(access, ip_address(address)) is passes


async def test_an_accounts_addresses_hold_for_keys_that_reach_further(bench: Bench) -> None:
    """An account may be narrowed after its keys were issued."""
    await bench.enrolment.add(NewAccount("a", "okx"), triple("own"), None)
    (row,) = await bench.store.find()
    await bench.enrolment.issue(row, triple("issued"), "", ("10.0.0.0/8",))
    await bench.store.change([row.id], {"networks": "10.1.0.0/16"})
    access = found(await loaded(bench), "issued")
    assert Directory.allows(access, ip_address("10.1.0.1"))
    assert not Directory.allows(access, ip_address("10.2.0.1"))


async def test_a_row_that_does_not_open_is_reported_and_stops_nobody_else(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    await bench.add("bob", issue=True)
    async with bench.database.write() as connection:
        await connection.execute(
            text(
                "UPDATE credentials SET sealed = x'01' WHERE role = 'real' AND account_id ="
                " (SELECT id FROM accounts WHERE user = 'alice')"
            )
        )
    directory = await loaded(bench)
    assert set(directory.table("okx")) == {b"own-bob", b"issued-bob"}
    (fault,) = directory.faults
    assert fault.startswith("okx alice main: real credentials ")
    assert "secret-alice" not in fault


async def test_a_fault_that_was_repaired_is_forgotten(bench: Bench) -> None:
    await bench.add("alice")
    await bench.add("bob")
    directory = await loaded(bench)
    (alice,) = await bench.store.find("alice")
    async with bench.database.write() as connection:
        await connection.execute(
            text("UPDATE credentials SET sealed = x'01' WHERE account_id = :id"), {"id": alice.id}
        )
    await bench.store.change([alice.id], {"code": "A"})
    await directory.refresh(bench.store, bench.vault)
    assert len(directory.faults) == 1
    assert directory.find("okx", b"own-alice") is None
    await bench.store.remove([alice.id])
    await directory.refresh(bench.store, bench.vault)
    assert directory.faults == []


async def test_a_master_key_that_opens_nothing_is_a_vault_error(bench: Bench) -> None:
    await bench.add("alice")
    directory = Directory()
    with pytest.raises(VaultError, match="opens none of the stored secrets"):
        await directory.load(bench.store, Vault([os.urandom(32)]))
    assert not directory.ready


async def test_a_failed_reload_leaves_what_was_known_in_force(bench: Bench) -> None:
    await bench.add("alice")
    directory = await loaded(bench)
    with pytest.raises(VaultError):
        await directory.load(bench.store, Vault([os.urandom(32)]))
    assert directory.ready
    assert directory.find("okx", b"own-alice") is not None


async def test_what_was_learned_of_an_account_outlives_a_change_of_it(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    directory = await loaded(bench)
    access = found(directory, "own-alice")
    standing = access.account.standing
    assert found(directory, "issued-alice").account.standing is standing
    old, new = directory.standings.learned(standing, "100", "", ("192.0.2.1",), ("read",), 1)
    assert (old.text[:4], new.text) == ("key:", "100")
    assert standing.identity is new
    await bench.store.change([access.account.id], {"disabled": "block"})
    await directory.refresh(bench.store, bench.vault)
    assert found(directory, "own-alice") is not access
    assert found(directory, "own-alice").account.standing is standing
    await directory.load(bench.store, bench.vault)
    assert found(directory, "own-alice").account.standing is standing
    assert standing.identity is new


async def test_another_real_key_is_another_standing(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    directory = await loaded(bench)
    before = found(directory, "issued-alice").account.standing
    await set_key(bench, "alice", triple("replaced"))
    await directory.refresh(bench.store, bench.vault)
    after = found(directory, "issued-alice").account
    assert after.credentials.api_key == b"replaced"
    assert after.standing is not before
    assert after.standing.activity is before.activity
    assert directory.find("okx", b"own-alice") is None
    assert [standing.account_id for standing in directory.standings] == [after.id]


async def test_the_standing_goes_with_the_account(bench: Bench) -> None:
    await bench.add("alice")
    await bench.add("bob")
    directory = await loaded(bench)
    (alice,) = await bench.store.find("alice")
    await bench.store.remove([alice.id])
    await directory.refresh(bench.store, bench.vault)
    assert len(directory.standings) == 1
    (bob,) = await bench.store.find("bob")
    await bench.store.remove([bob.id])
    await directory.load(bench.store, bench.vault)
    assert (len(directory.standings), list(directory.standings.identities)) == (0, [])


async def test_so_does_one_that_did_not_open_any_more(bench: Bench) -> None:
    await bench.add("alice")
    directory = await loaded(bench)
    (alice,) = await bench.store.find()
    async with bench.database.write() as connection:
        await connection.execute(text("UPDATE credentials SET sealed = x'01'"))
    await bench.store.change([alice.id], {"code": "A"})
    await directory.refresh(bench.store, bench.vault)
    assert (directory.accounts, len(directory.standings)) == (0, 1)
    await bench.store.remove([alice.id])
    await directory.load(bench.store, bench.vault)
    assert len(directory.standings) == 0


async def test_what_an_earlier_process_knew_is_handed_in_at_the_start(bench: Bench) -> None:
    await bench.add("alice")
    (row,) = await bench.store.find()
    memory = Memory(key_of(row.credentials[0]), ("192.0.2.1",), (), 7, Activity(), damaged=False)
    directory = Directory()
    await directory.load(bench.store, bench.vault, {row.id: memory})
    standing = found(directory, "own-alice").account.standing
    assert (standing.addresses, standing.learned_ms) == (("192.0.2.1",), 7)
    assert standing.activity is memory.activity


async def test_reading_everything_anew_leaves_alone_what_did_not_change(bench: Bench) -> None:
    """Requests that wait may go on; who is not concerned must not hear `not_ready`."""
    for user in ("alice", "bob"):
        await bench.add(user, issue=True)
    directory = await loaded(bench)
    before = dict(directory.table("okx"))
    (alice,) = await bench.store.find("alice")
    await bench.store.change([alice.id], {"grants": "keys"})
    await directory.load(bench.store, bench.vault)
    now = directory.table("okx")
    assert set(now) == set(before)
    changed = {key for key in now if now[key] is not before[key]}
    assert changed == {b"own-alice", b"issued-alice"}


async def test_a_change_that_no_request_can_notice_swaps_nothing(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    directory = await loaded(bench)
    before = dict(directory.table("okx"))
    (alice,) = await bench.store.find()
    other = Vault([os.urandom(32)])
    await rotate(bench, other)
    await bench.store.change([alice.id], {"uid": "100"})
    assert await directory.refresh(bench.store, other)
    assert all(directory.table("okx")[key] is access for key, access in before.items())


@pytest.mark.parametrize("role", ["real", "issued"])
@pytest.mark.parametrize(("secret", "passphrase"), [("other", "passphrase"), ("secret", "other")])
async def test_another_secret_of_the_same_key_is_noticed(
    bench: Bench, role: str, secret: str, passphrase: str
) -> None:
    await bench.enrolment.add(NewAccount("alice", "okx"), triple("real"), triple("issued"))
    directory = await loaded(bench)
    before = found(directory, role)
    await set_key(bench, "alice", KeyTriple(role, secret, passphrase), role, same_id=True)
    await directory.refresh(bench.store, bench.vault)
    after = found(directory, role)
    assert after is not before
    assert after.credentials.passphrase == passphrase.encode()
    assert after.credentials.mac is not None
    assert after.credentials.mac.digest(b"x") == Mac(secret.encode()).digest(b"x")


async def test_known_accounts_go_on_when_the_master_key_changed_without_us(bench: Bench) -> None:
    for user in ("alice", "bob"):
        await bench.add(user, issue=True)
    bearer = NewAccount("carol", "okx")
    await bench.enrolment.add(bearer, BearerToken("token"), triple("issued-carol"))
    observed = NewAccount("dave", "okx", mode="observe")
    await bench.enrolment.add(observed, KeyOnly("own-dave"), None)
    directory = await loaded(bench)
    before = {key: access.credentials for key, access in directory.table("okx").items()}
    new = Vault([os.urandom(32)])
    await rotate(bench, new)
    rows = await bench.store.find()
    await bench.store.change([row.id for row in rows], {"disabled": "close-only"})
    assert await directory.refresh(bench.store, bench.vault)
    after = directory.table("okx")
    assert {key: access.credentials for key, access in after.items()} == before
    assert {access.account.disabled for access in after.values()} == {"close-only"}
    assert after[b"issued-carol"].account.credentials.bearer == b"token"
    (line,) = directory.faults  # one for all of them
    assert rows[0].credentials[0].sealed.master_id in line
    assert "accounts known before go on" in line
    await directory.load(bench.store, new)
    assert directory.faults == []
    assert all(directory.table("okx")[key] is access for key, access in after.items())


async def test_what_was_never_opened_is_a_fault_though_others_go_on(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    directory = await loaded(bench)
    new = Vault([os.urandom(32)])
    await rotate(bench, new)
    (alice,) = await bench.store.find("alice")
    bench.enrolment._vault = new
    issued_id = await bench.enrolment.issue(alice, triple("later"))
    await bench.add("bob")
    await directory.refresh(bench.store, bench.vault)
    assert set(directory.table("okx")) == {b"own-alice", b"issued-alice"}
    faults = sorted(directory.faults)
    assert len(faults) == 3
    assert faults[0].startswith(f"okx alice main: issued credentials {issued_id}: sealed under")
    assert faults[1].startswith("okx bob main: real credentials ")


@pytest.mark.parametrize("change", ["fingerprint = x'00'", "id = 'other'", "kind = 'none'"])
@pytest.mark.parametrize("role", ["real", "issued"])
async def test_other_credentials_are_not_taken_for_those_opened_before(
    bench: Bench, role: str, change: str
) -> None:
    await bench.add("alice", issue=True)
    directory = await loaded(bench)
    await rotate(bench, Vault([os.urandom(32)]))
    async with bench.database.write() as connection:
        await connection.execute(
            text(f"UPDATE credentials SET {change} WHERE role = :role"),  # noqa: S608
            {"role": role},
        )
    (alice,) = await bench.store.find()
    await bench.store.change([alice.id], {"code": "A"})
    await directory.refresh(bench.store, bench.vault)
    left = set[bytes]() if role == "real" else {b"own-alice"}
    assert set(directory.table("okx")) == left


async def test_an_account_that_does_not_open_for_a_while_keeps_what_it_did(bench: Bench) -> None:
    await bench.add("alice")
    directory = await loaded(bench)
    activity = found(directory, "own-alice").account.standing.activity
    sealed = (await bench.store.find())[0].credentials[0].sealed.seal
    for seal, opens in ((b"\x01", False), (sealed, True)):
        async with bench.database.write() as connection:
            await connection.execute(text("UPDATE credentials SET sealed = :seal"), {"seal": seal})
        (alice,) = await bench.store.find()
        await bench.store.change([alice.id], {"code": "A"})
        await directory.refresh(bench.store, bench.vault)
        assert (directory.find("okx", b"own-alice") is not None) == opens
    assert found(directory, "own-alice").account.standing.activity is activity


async def test_no_repr_in_the_directory_shows_a_key(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    access = found(await loaded(bench), "issued-alice")
    shown = repr(access) + repr(access.account) + repr(access.credentials)
    assert "secret" not in shown
    assert "Passphrase" not in shown
    assert "issued-alice" not in shown
