"""What an account becomes: only what was asked for, and nothing that could not work."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxy.accounts.credentials import KeyOnly
from proxy.accounts.settling import Owner, Settled, real_of
from proxy.accounts.terms import Terms
from proxy.accounts.vault import Sealed, Vault
from proxy.errors import CommandError, VaultError
from proxy.exchanges import registry
from proxy.model import KeyTriple

if TYPE_CHECKING:
    from proxy.accounts.store import AccountRow
    from tests.accounts.conftest import Bench

OKX = registry.exchanges()["okx"]
HOUR_MS = 3_600_000


def terms(**wanted: object) -> Terms:
    return Terms("alice", "okx", **wanted)  # type: ignore[arg-type]


def triple(api_key: str, secret: str = "") -> KeyTriple:
    return KeyTriple(api_key, secret or "secret", "passphrase")


async def alice(bench: Bench, *, issue: bool = False) -> AccountRow:
    await bench.add("alice", issue=issue)
    (row,) = await bench.store.find("alice")
    return row


def settle(
    bench: Bench, row: AccountRow | None, owner: Owner | None = None, **wanted: object
) -> Settled:
    return bench.enrolment.settler.settle(terms(**wanted), row, OKX, owner)


async def test_terms_that_say_nothing_change_nothing(bench: Bench) -> None:
    row = await alice(bench, issue=True)
    settled = settle(bench, row)
    assert settled.result == "unchanged"
    assert tuple(settled) == (row, row, None, "")


async def test_another_key_stands_in_another_row(bench: Bench) -> None:
    """What was learned of the old one must not be taken for the new one's."""
    row = await alice(bench, issue=True)
    before = real_of(row)
    after = settle(bench, row, real=triple("own-alice", "another-secret")).after
    now = real_of(after)
    assert before is not None
    assert now is not None
    assert (now.id != before.id, now.fingerprint) == (True, before.fingerprint)
    assert [one for one in after.credentials if one.role == "issued"] == [
        one for one in row.credentials if one.role == "issued"
    ]


async def test_the_uid_goes_with_the_key(bench: Bench) -> None:
    row = replace(await alice(bench), uid="501", main_uid="500")
    same = settle(bench, row, real=triple("own-alice", "another-secret")).after
    assert (same.uid, same.main_uid) == ("501", "500")
    other = settle(bench, row, Owner("502", "502"), real=triple("another-key")).after
    assert (other.uid, other.main_uid) == ("502", "502")
    unknown = settle(bench, row, Owner(), real=triple("another-key")).after
    assert (unknown.uid, unknown.main_uid) == ("", "")
    with pytest.raises(CommandError, match="of the exchange's user 501"):
        settle(bench, row, real=triple("another-key"))


async def test_a_key_that_does_not_open_can_be_replaced_but_not_kept_without_its_secret(
    bench: Bench,
) -> None:
    row = await alice(bench)
    (real,) = row.credentials
    row = replace(row, credentials=(replace(real, sealed=Sealed("0" * 16, b"lost")),))
    assert settle(bench, row, real=triple("own-alice")).result == "changed"
    assert settle(bench, row, grants=("keys",)).result == "changed"
    with pytest.raises(VaultError):
        settle(bench, row, mode="observe")


async def test_issued_credentials_that_are_over_do_not_count(bench: Bench) -> None:
    row = await alice(bench, issue=True)
    over = tuple(
        replace(one, expires_ms=bench.clock.now_ms) if one.role == "issued" else one
        for one in row.credentials
    )
    row = replace(row, credentials=over)
    again = settle(bench, row, issue=True)
    assert again.issued is not None
    assert len(again.after.credentials) == 3
    observing = settle(bench, row, mode="observe").after
    assert [one.kind for one in observing.credentials] == ["none"]


async def test_credentials_that_end_later_are_still_in_force(bench: Bench) -> None:
    row = await alice(bench, issue=True)
    ending = tuple(
        replace(one, expires_ms=bench.clock.now_ms + HOUR_MS) if one.role == "issued" else one
        for one in row.credentials
    )
    row = replace(row, credentials=ending)
    assert settle(bench, row, issue=True).issued is None
    with pytest.raises(CommandError, match="revoke them first"):
        settle(bench, row, mode="observe")


async def test_what_observes_is_stored_in_the_same_row_without_a_secret(bench: Bench) -> None:
    row = await alice(bench)
    (before,) = row.credentials
    (after,) = settle(bench, row, mode="observe").after.credentials
    assert (after.id, after.fingerprint, after.kind) == (before.id, before.fingerprint, "none")
    held = bench.enrolment.settler.open(row, after)
    assert isinstance(held, KeyOnly)


async def test_a_new_account_needs_a_key(bench: Bench) -> None:
    with pytest.raises(CommandError, match="real credentials are missing"):
        settle(bench, None)
    settled = settle(bench, None, real=triple("own"), issue=True, grants=("keys",))
    assert settled.result == "added"
    assert (settled.after.mode, settled.after.grants, settled.after.uid) == ("sign", ("keys",), "")
    assert settled.issued is not None
    assert settled.issued_id in {one.id for one in settled.after.credentials}


async def test_a_change_is_off_when_the_account_was_changed_meanwhile(bench: Bench) -> None:
    row = await alice(bench)
    seen = row.credentials[0].id
    await bench.enrolment.change(terms(real=triple("own-alice", "mended")), OKX, None, seen)
    with pytest.raises(CommandError, match="changed by another command"):
        await bench.enrolment.change(terms(real=triple("own-alice", "late")), OKX, None, seen)
    await bench.store.remove([row.id])
    with pytest.raises(CommandError, match="changed by another command"):
        await bench.enrolment.change(terms(grants=("keys",)), OKX)


async def test_a_change_keeps_what_was_learned_of_the_account_meanwhile(bench: Bench) -> None:
    """The uid is written behind the requests, without a revision; a change reads it anew."""
    row = await alice(bench)
    await bench.store.change([row.id], {"uid": "501"})
    await bench.enrolment.change(terms(grants=("keys",)), OKX)
    (after,) = await bench.store.find("alice")
    assert (after.uid, after.grants) == ("501", ("keys",))


async def test_a_change_seals_under_the_first_master_key(bench: Bench) -> None:
    row = await alice(bench)
    bench.enrolment._vault = Vault([bytes(32)])
    settled = await bench.enrolment.change(terms(real=triple("own-alice")), OKX)
    assert settled.result == "changed"
    (after,) = await bench.store.find("alice")
    assert after.credentials[0].sealed.master_id == Vault([bytes(32)]).sealing_id
    assert row.credentials[0].id != after.credentials[0].id
