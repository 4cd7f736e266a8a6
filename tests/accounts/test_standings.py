"""Standings in force: what outlives a change, and who shares an identity."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from proxy.accounts.activity import Activity
from proxy.accounts.standing import Memory
from proxy.accounts.standings import UID_MAX, WORDS_MAX, Standings, key_of
from proxy.accounts.store import AccountRow, CredentialRow
from proxy.accounts.vault import Sealed
from proxy.model import Credentials

if TYPE_CHECKING:
    from proxy.accounts.standing import Standing

NOW_MS = 1_800_000_000_000


def row(user: str, exchange: str = "okx", uid: str = "") -> AccountRow:
    return AccountRow(user, user, exchange, "main", "sign", 0, uid=uid, main_uid=uid and "main")


def real(credential_id: str, fingerprint: bytes | None = b"print", at_ms: int = 1) -> CredentialRow:
    sealed = Sealed("m", b"")
    return CredentialRow(credential_id, "real", "hmac", "", (), at_ms, None, fingerprint, sealed)


def entered(
    standings: Standings, account: AccountRow, stored: CredentialRow, api_key: bytes = b"k"
) -> Standing:
    standing = standings.fitting(account, stored, Credentials(api_key, None, b""))
    standings.enter(standing, stored.created_ms)
    return standing


def learn(
    standings: Standings, standing: Standing, uid: str, addresses: tuple[str, ...] = ()
) -> tuple[str, str]:
    old, new = standings.learned(standing, uid, "", addresses, ("read",), NOW_MS)
    return old.text, new.text


def held(standings: Standings) -> dict[str, int]:
    """Every identity by its text, with how many accounts hold it."""
    return {identity.text: identity.holders for identity in standings.identities}


def test_the_key_alone_says_whose_limits_they_are_until_the_uid_is_learned() -> None:
    standings = Standings()
    standing = entered(standings, row("alice"), real("c1"), b"api key")
    assert standing.identity.text == "key:" + sha256(b"api key").hexdigest()[:24]
    assert standing.uid == ""


def test_a_stored_uid_says_it_at_once() -> None:
    standings = Standings()
    standing = entered(standings, row("alice", uid="100"), real("c1"))
    assert (standing.uid, standing.main_uid, standing.identity.text) == ("100", "main", "100")
    assert standing.learned_ms == 0


def test_accounts_with_bearer_tokens_share_nothing_for_having_no_key() -> None:
    standings = Standings()
    for user in ("alice", "bob"):
        entered(standings, row(user), real(user, None), b"")
    assert held(standings) == {"account:alice": 1, "account:bob": 1}


def test_accounts_of_one_uid_share_one_identity_within_their_exchange() -> None:
    standings = Standings()
    alice = entered(standings, row("alice", uid="100"), real("c1"))
    bob = entered(standings, row("bob"), real("c2"), b"bob's")
    carol = entered(standings, row("carol", "okx-us", uid="100"), real("c3"))
    own = bob.identity
    old, new = standings.learned(bob, "100", "", (), (), NOW_MS)
    assert (old, new) == (own, alice.identity)
    assert bob.identity is alice.identity
    assert carol.identity is not alice.identity
    assert {id(one) for one in standings.identities} == {id(alice.identity), id(carol.identity)}
    assert sorted(one.holders for one in standings.identities) == [1, 2]


def test_an_identity_goes_with_its_last_account() -> None:
    standings = Standings()
    for user in ("alice", "bob"):
        entered(standings, row(user, uid="100"), real(user))
    standings.forget("alice")
    assert held(standings) == {"100": 1}
    standings.forget("bob")
    standings.forget("bob")
    assert held(standings) == {}
    assert len(standings) == 0


def test_what_the_exchange_tells_is_taken_in_and_has_to_be_written_down() -> None:
    standings = Standings()
    standing = entered(standings, row("alice"), real("c1"))
    key = standing.identity.text
    before, now = standings.learned(standing, "100", "99", ("192.0.2.1",), ("read",), NOW_MS)
    assert (before.text, now.text, now) == (key, "100", standing.identity)
    assert (standing.uid, standing.main_uid, standing.learned_ms) == ("100", "99", NOW_MS)
    assert (standing.addresses, standing.permissions) == (("192.0.2.1",), ("read",))
    assert standing.unsaved
    assert held(standings) == {"100": 1}


def test_being_told_the_same_again_changes_no_identity_and_no_address() -> None:
    standings = Standings()
    standing = entered(standings, row("alice"), real("c1"))
    learn(standings, standing, "100", ("192.0.2.1",))
    identity, addresses = standing.identity, standing.addresses
    before, now = standings.learned(standing, "100", "", ("192.0.2.1",), (), NOW_MS + 5)
    assert before is now is identity
    assert standing.addresses is addresses
    assert standing.learned_ms == NOW_MS + 5
    assert held(standings) == {"100": 1}


def test_the_exchanges_word_goes_before_a_stored_uid() -> None:
    standings = Standings()
    standing = entered(standings, row("alice", uid="100"), real("c1"))
    assert learn(standings, standing, "200") == ("100", "200")
    assert (standing.uid, held(standings)) == ("200", {"200": 1})


@pytest.mark.parametrize("uid", ["", "1" * (UID_MAX + 1)])
def test_an_answer_without_a_usable_uid_tells_nothing(uid: str) -> None:
    standings = Standings()
    standing = entered(standings, row("alice", uid="100"), real("c1"))
    assert learn(standings, standing, uid, ("192.0.2.1",)) == ("100", "100")
    assert (standing.uid, standing.addresses, standing.unsaved) == ("100", (), False)


def test_more_than_any_exchange_tells_is_not_kept() -> None:
    standings = Standings()
    standing = entered(standings, row("alice"), real("c1"))
    many = tuple(str(n) for n in range(2 * WORDS_MAX))
    standings.learned(standing, "1", "2" * 999, many, ("a,b", "x" * 999, "read"), NOW_MS)
    assert len(standing.addresses) == WORDS_MAX
    assert standing.permissions == ("read",)
    assert len(standing.main_uid) == UID_MAX


def test_an_answer_that_comes_after_the_account_went_is_nobodys() -> None:
    standings = Standings()
    standing = entered(standings, row("alice"), real("c1"))
    standings.forget("alice")
    text = standing.identity.text
    assert learn(standings, standing, "100") == (text, text)
    assert not standing.unsaved
    assert held(standings) == {}


def test_an_answer_to_the_old_key_does_not_count_for_the_new_one() -> None:
    standings = Standings()
    old = entered(standings, row("alice"), real("c1"))
    new = entered(standings, row("alice"), real("c2"), b"new")
    learn(standings, old, "100")
    assert (new.uid, new.identity.text[:4]) == ("", "key:")
    assert held(standings) == {new.identity.text: 1}


def test_a_standing_stays_while_the_real_key_does() -> None:
    standings = Standings()
    account = row("alice")
    standing = entered(standings, account, real("c1"))
    standing.homes = homes = (object(),)
    learn(standings, standing, "100")
    again = entered(standings, replace(account, disabled="block"), real("c1", at_ms=99))
    assert again is standing
    assert (again.homes, again.uid) == (homes, "100")
    assert held(standings) == {"100": 1}


@pytest.mark.parametrize("other", [real("c2"), real("c1", b"another print")])
def test_another_real_key_is_learned_anew_and_keeps_what_the_account_did(
    other: CredentialRow,
) -> None:
    standings = Standings()
    old = entered(standings, row("alice"), real("c1"))
    learn(standings, old, "100", ("192.0.2.1",))
    old.activity.seen(NOW_MS, 3)
    old.activity.health(NOW_MS, "50111")
    new = entered(standings, row("alice", uid="100"), other, b"new")
    assert new is not old
    assert (new.key, new.uid) == (key_of(other), "100")
    assert (new.addresses, new.permissions, new.learned_ms) == ((), (), 0)
    assert new.activity is old.activity
    assert new.activity.totals(NOW_MS) == (3, {})
    assert new.activity.key_health == ""
    assert held(standings) == {"100": 1}
    assert list(standings) == [new]


def test_a_standing_that_was_not_entered_changes_nothing() -> None:
    """A reading can fail after some of it was opened."""
    standings = Standings()
    old = entered(standings, row("alice"), real("c1"))
    old.activity.health(NOW_MS, "ok")
    standings.fitting(row("alice"), real("c2"), Credentials(b"new", None, b""))
    assert list(standings) == [old]
    assert old.activity.key_health == "ok"
    assert held(standings) == {old.identity.text: 1}


def memory(key: CredentialRow, activity: Activity | None = None) -> Memory:
    return Memory(key_of(key), ("192.0.2.1",), ("read",), NOW_MS, activity, damaged=False)


def test_what_an_earlier_process_knew_is_known_again() -> None:
    standings, activity = Standings(), Activity()
    activity.health(NOW_MS, "ok")
    activity.dirty = False
    standings.remember({"alice": memory(real("c1"), activity)})
    standing = entered(standings, row("alice", uid="100"), real("c1"))
    assert (standing.addresses, standing.permissions) == (("192.0.2.1",), ("read",))
    assert (standing.learned_ms, standing.unsaved) == (NOW_MS, False)
    assert standing.activity is activity
    assert (activity.key_health, activity.dirty) == ("ok", False)


def test_what_was_known_of_another_key_is_not_believed_of_this_one() -> None:
    standings, activity = Standings(), Activity()
    activity.seen(NOW_MS, 2)
    activity.health(NOW_MS, "ok")
    standings.remember({"alice": memory(real("c1"), activity)})
    standing = entered(standings, row("alice"), real("c2", at_ms=NOW_MS + 1))
    assert (standing.addresses, standing.learned_ms) == ((), 0)
    assert standing.activity.totals(NOW_MS) == (2, {})
    assert standing.activity.key_health == ""


def test_a_memory_waits_until_its_account_can_be_opened() -> None:
    standings, activity = Standings(), Activity()
    standings.remember({"alice": memory(real("c1"), activity)})
    standings.keep_only(["alice"])
    assert entered(standings, row("alice"), real("c1")).activity is activity


def test_the_memory_of_an_account_that_went_is_dropped() -> None:
    standings, activity = Standings(), Activity()
    standings.remember({"alice": memory(real("c1"), activity)})
    standings.keep_only([])
    assert entered(standings, row("alice"), real("c1")).activity is not activity


def test_those_that_are_no_more_are_forgotten() -> None:
    standings = Standings()
    for user in ("alice", "bob", "carol"):
        entered(standings, row(user), real(user), user.encode())
    standings.keep_only(["bob", "dave"])
    assert [standing.account_id for standing in standings] == ["bob"]
    assert len(held(standings)) == 1
