"""What the commands do: issue, rotate, refuse; and that no byte of a secret reaches a file."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from proxy.accounts.credentials import BearerToken, KeyOnly, unpack
from proxy.accounts.enrolment import Enrolment, NewAccount, issued_of
from proxy.accounts.history import History
from proxy.accounts.vault import Vault
from proxy.errors import CommandError, VaultError
from proxy.model import KeyTriple

if TYPE_CHECKING:
    from proxy.accounts.store import AccountRow
    from tests.accounts.conftest import Bench

HOUR_MS = 3_600_000


def triple(api_key: str) -> KeyTriple:
    return KeyTriple(api_key, "secret", "passphrase")


async def only(bench: Bench) -> AccountRow:
    (row,) = await bench.store.find()
    return row


async def test_rotate_replaces_every_issued_set_at_once(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    await bench.enrolment.issue(await only(bench), triple("second"))
    new_id = await bench.enrolment.rotate(await only(bench), triple("third"), 0)
    row = await only(bench)
    assert [one.id for one in issued_of(row)] == [new_id]
    assert len(row.credentials) == 2


async def test_rotate_with_an_overlap_lets_the_old_ones_end_later(bench: Bench) -> None:
    old_id = await bench.add("alice", issue=True)
    new_id = await bench.enrolment.rotate(await only(bench), triple("second"), 24 * HOUR_MS)
    ends = {one.id: one.expires_ms for one in issued_of(await only(bench))}
    assert ends == {old_id: bench.clock.now_ms + 24 * HOUR_MS, new_id: None}


async def test_a_second_overlap_never_makes_an_old_set_live_longer(bench: Bench) -> None:
    first = await bench.add("alice", issue=True)
    await bench.enrolment.rotate(await only(bench), triple("second"), HOUR_MS)
    await bench.enrolment.rotate(await only(bench), triple("third"), 24 * HOUR_MS)
    ends = {one.id: one.expires_ms for one in issued_of(await only(bench))}
    assert ends[first] == bench.clock.now_ms + HOUR_MS


async def test_sets_that_ended_are_forgotten_with_the_next_issue(bench: Bench) -> None:
    first = await bench.add("alice", issue=True)
    await bench.enrolment.rotate(await only(bench), triple("second"), HOUR_MS)
    bench.clock.now_ms += HOUR_MS
    await bench.enrolment.issue(await only(bench), triple("third"))
    assert first not in [one.id for one in issued_of(await only(bench))]


async def test_rotate_keeps_label_and_addresses_of_what_it_replaces(bench: Bench) -> None:
    await bench.add("alice")
    await bench.enrolment.issue(await only(bench), triple("a"), "grid", ("10.1.0.0/16",))
    await bench.enrolment.rotate(await only(bench), triple("b"), 0)
    (one,) = issued_of(await only(bench))
    assert (one.label, one.networks) == ("grid", ("10.1.0.0/16",))


async def test_rotate_of_several_stands_wherever_any_of_them_did(bench: Bench) -> None:
    await bench.add("alice")
    await bench.enrolment.issue(await only(bench), triple("a"), "grid", ("10.1.0.0/16",))
    await bench.enrolment.issue(await only(bench), triple("b"), "dca", ("10.2.0.0/16",))
    await bench.enrolment.rotate(await only(bench), triple("c"), 0)
    (one,) = issued_of(await only(bench))
    assert (one.label, one.networks) == ("", ("10.1.0.0/16", "10.2.0.0/16"))


async def test_rotate_without_issued_credentials_fails_and_changes_nothing(bench: Bench) -> None:
    await bench.add("alice")
    before = await bench.store.revision()
    with pytest.raises(CommandError, match="no issued credentials"):
        await bench.enrolment.rotate(await only(bench), triple("b"), 0)
    assert await bench.store.revision() == before


async def test_revoke_ends_issued_credentials_only(bench: Bench) -> None:
    issued_id = await bench.add("alice", issue=True)
    own_id = next(one.id for one in (await only(bench)).credentials if one.role == "real")
    assert not await bench.store.revoke(own_id)
    assert await bench.store.revoke(issued_id)
    assert not await bench.store.revoke(issued_id)
    assert [one.id for one in (await only(bench)).credentials] == [own_id]


@pytest.mark.parametrize(
    ("own", "fits"),
    [
        ("10.1.0.0/16", True),
        ("10.0.0.0/8", True),
        ("2001:db8:1::/48", True),
        ("10.0.0.0/7", False),
        ("192.0.2.1/32", False),
        ("2001:db9::/32", False),
    ],
)
async def test_issued_addresses_stay_within_the_accounts(
    bench: Bench, own: str, fits: bool
) -> None:
    new = NewAccount("alice", "okx", networks=("10.0.0.0/8", "2001:db8::/32"))
    await bench.enrolment.add(new, triple("own"), None)
    if fits:
        await bench.enrolment.issue(await only(bench), triple("a"), "", (own,))
    else:
        with pytest.raises(CommandError, match="outside the account's own addresses"):
            await bench.enrolment.issue(await only(bench), triple("a"), "", (own,))
    assert len(issued_of(await only(bench))) == fits


async def test_a_wrong_master_key_is_noticed_before_anything_is_sealed_under_it(
    bench: Bench,
) -> None:
    wrong = Enrolment(bench.store, Vault([os.urandom(32)]), bench.clock)
    await wrong.expect_own_database()  # nothing is stored yet
    await bench.add("alice")
    await bench.enrolment.expect_own_database()
    with pytest.raises(VaultError, match="wrong master key"):
        await wrong.expect_own_database()


async def test_a_row_that_does_not_open_shows_no_key(bench: Bench) -> None:
    await bench.add("alice-with-a-long-name")
    row = await only(bench)
    assert bench.enrolment.masked_key(row, row.credentials[0]) == "own-…name"
    wrong = Enrolment(bench.store, Vault([os.urandom(32)]), bench.clock)
    assert wrong.masked_key(row, row.credentials[0]) == "?"


async def test_every_kind_of_credentials_can_be_stored(bench: Bench) -> None:
    await bench.enrolment.add(NewAccount("a", "okx"), BearerToken("token-a"), triple("issued-a"))
    await bench.enrolment.add(NewAccount("b", "okx"), BearerToken("token-b"), triple("issued-b"))
    await bench.enrolment.add(NewAccount("c", "mexc", mode="keyless"), KeyOnly("key-c"), None)
    rows = await bench.store.find()
    reals = [(row, one) for row in rows for one in row.credentials if one.role == "real"]
    assert [one.kind for _, one in reals] == ["bearer", "bearer", "none"]
    opened = [unpack(bench.vault.open(one.sealed, row.place("real", one.id))) for row, one in reals]
    assert [type(held) for held in opened] == [BearerToken, BearerToken, KeyOnly]


async def test_no_file_of_the_database_holds_a_planted_secret(bench: Bench) -> None:
    """Every way of writing each secret is looked for in every byte of every file."""
    planted = [f"Planted-{word}-{os.urandom(9).hex()}" for word in "ABCDEFGH"]
    own, issued = KeyTriple(*planted[0:3]), KeyTriple(*planted[3:6])
    await bench.enrolment.add(NewAccount("alice", "okx"), own, issued)
    await bench.enrolment.add(NewAccount("bob", "okx"), BearerToken(*planted[6:8]), None)
    await bench.enrolment.rotate((await bench.store.find("alice"))[0], triple(planted[0][::-1]), 9)
    signature = os.urandom(32)
    await History(bench.database, bench.vault).save_handover("replays", [signature])
    forms = [signature, b64encode(signature), signature.hex().encode()]
    for secret in [*planted, planted[0][::-1]]:
        raw = secret.encode()
        forms += [raw, raw.hex().encode(), b64encode(raw), quote(secret).encode(), raw[::-1]]
    files = [file for file in bench.path.parent.iterdir() if file.is_file()]
    assert {"tagproxy.db", "tagproxy.db-wal"} <= {file.name for file in files}
    for file in files:
        content = file.read_bytes()
        assert [form for form in forms if form in content] == [], file.name


async def test_a_removed_accounts_seals_are_overwritten(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    row = await only(bench)
    await bench.store.remove([row.id])
    await bench.database.close()  # folds the log of changes into the file
    content = bench.path.read_bytes()
    assert not bench.path.with_name("tagproxy.db-wal").exists()
    assert [one.id for one in row.credentials if one.sealed.seal in content] == []


async def test_nothing_is_issued_for_an_account_that_was_changed_meanwhile(bench: Bench) -> None:
    """Else a secret could be stored for one that came to observe."""
    await bench.add("alice")
    row = await only(bench)
    await bench.store.change([row.id], {"mode": "observe"})
    with pytest.raises(CommandError, match="changed by another command"):
        await bench.enrolment.issue(row, triple("late"))
    await bench.store.remove([row.id])
    await bench.add("alice")
    with pytest.raises(CommandError, match="changed by another command"):
        await bench.enrolment.issue(row, triple("later"))
    assert [one.role for one in (await only(bench)).credentials] == ["real"]
