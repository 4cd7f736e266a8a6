"""One account's standing: what it starts with, and what it shows."""

from __future__ import annotations

from proxy.accounts.activity import Activity
from proxy.accounts.standing import Identity, Standing


def test_nothing_is_known_of_an_account_at_first() -> None:
    identity, activity = Identity("okx", "key:0"), Activity()
    standing = Standing("a1", ("c1", b"print"), identity, activity)
    assert (standing.uid, standing.main_uid, standing.learned_ms) == ("", "", 0)
    assert (standing.addresses, standing.permissions, standing.homes) == ((), (), ())
    assert (standing.ask_ms, standing.unsaved) == (0, False)
    assert standing.identity is identity
    assert standing.activity is activity


def test_identities_share_nothing_they_remember() -> None:
    one, other = Identity("okx", "1"), Identity("okx", "1")
    one.draws[0][1] = one.draws[1][2] = "drawn"
    assert (other.draws, other.pools) == (({}, {}), {})


def test_no_repr_shows_a_fingerprint() -> None:
    standing = Standing("a1", ("c1", b"print"), Identity("okx", "key:0"), Activity())
    assert repr(standing) == "Standing(a1 key:0)"
    assert repr(standing.identity) == "Identity(okx key:0)"
