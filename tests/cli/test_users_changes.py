"""`users set` and `set-key`: what changes, what stays, and whose key is taken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.accounts.credentials import KeyOnly, unpack
from proxy.accounts.vault import Place
from proxy.sim.faults import Fault
from proxy.sim.okx import SimulatedOkx, User
from tests.cli.commands import PASSPHRASE, SECRET, Commands, Exchange, triple

OLD, NEW = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
ALICE = ("alice", "--exchange", "okx")


def user(api_key: str, uid: str, **fields: Any) -> User:
    return User(api_key, SECRET, PASSPHRASE, uid, **fields)


def knows(exchange: Exchange, *users: User) -> None:
    """Open accounts at the exchange."""

    def add(okx: SimulatedOkx) -> None:
        okx.world.users.update({one.api_key: one for one in users})

    exchange.change(add)


def with_uid(users: Commands, exchange: Exchange, uid: str = "501") -> None:
    """Add alice with the old key, and let a forced change learn whose it is."""
    knows(exchange, user(OLD, uid), user("00000000-0000-4000-8000-00000000000c", uid))
    users.add("alice", "--issue", key="00000000-0000-4000-8000-00000000000c")
    users.noted("set-key", *ALICE, given=triple(OLD))
    assert users.account("alice")["uid"] == uid


# ---- set ----------------------------------------------------------------------------------


def test_set_changes_what_is_given_and_nothing_else(users: Commands) -> None:
    issued = json.loads(users.add("alice", "--issue", "--allow", "keys", "--code", "Own1"))
    before = users.json("show", "alice")
    assert users.done("set", *ALICE, "--ip", "10.0.0.0/8") == (
        "changed alice: account main on okx\n"
    )
    after = users.json("show", "alice")
    assert after["accounts"][0]["ip"] == ["10.0.0.0/8"]
    after["accounts"][0]["ip"] = []
    assert after == before
    assert after["issued"][0]["id"] == issued["id"]


def test_an_empty_value_clears(users: Commands) -> None:
    users.add("alice", "--allow", "keys,transfer", "--ip", "10.0.0.0/8", "--code", "Own1")
    users.done("set", *ALICE, "--allow", "", "--ip", "", "--code", "")
    account = users.account("alice")
    assert (account["allow"], account["ip"], account["code"]) == ([], [], "")


def test_set_touches_the_one_account_it_names(users: Commands) -> None:
    users.add("alice")
    users.add("alice", "--account", "sub1", key="Key-Of-Sub1")
    users.done("set", *ALICE, "--account", "sub1", "--allow", "keys")
    assert [row["allow"] for row in users.json("list")] == [[], ["keys"]]


def test_setting_what_is_so_already_says_so(users: Commands) -> None:
    users.add("alice", "--allow", "keys")
    done = users.done("set", *ALICE, "--allow", "keys")
    assert done == "nothing to change for alice: account main on okx\n"


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        ((), 2, "nothing to change: give --allow"),
        (("--allow", "everything"), 2, "no such class"),
        (("--ip", "10.0.0.1/8"), 2, "--ip"),
        (("--code", "not a code!"), 2, "1 to 16"),
        (("--mode", "silent"), 2, "--mode"),
        (("--mode", "keyless"), 2, "its secret is needed"),
        (("--mode", "observe", "--code", "Own1"), 2, "nothing is changed"),
        (("--account", "sub1", "--allow", "keys"), 1, "no account sub1 of alice on okx"),
    ],
)
def test_set_refuses_what_cannot_be(
    users: Commands, words: tuple[str, ...], code: int, what: str
) -> None:
    users.add("alice", "--allow", "transfer")
    before = users.json("show", "alice")
    assert what in users.refused(code, "set", *ALICE, *words)
    assert users.json("show", "alice") == before


def test_an_account_that_observes_keeps_no_secret(users: Commands) -> None:
    """Not in its row, and what was overwritten is gone."""
    users.add("alice", key=OLD)
    (before,) = users.seals
    users.done("set", *ALICE, "--mode", "observe")
    (after,) = users.seals
    assert [after.id, after.kind] == [before.id, "none"]
    assert before.sealed not in users.files
    held = unpack(users.vault.open(after.stored, Place("okx", "alice", "main", "real", after.id)))
    assert isinstance(held, KeyOnly)
    assert held.api_key == OLD
    assert users.account("alice")["api_key"] == "0000…000a"


def test_an_account_that_observes_cannot_sign_again_without_its_secret(users: Commands) -> None:
    users.done("add", *ALICE, "--mode", "observe", given=triple(OLD))
    line = users.refused(1, "set", *ALICE, "--mode", "sign")
    assert "in mode observe no secret is held" in line
    assert "set-key --mode sign" in line


def test_an_account_whose_bots_have_issued_keys_cannot_observe(users: Commands) -> None:
    issued = json.loads(users.add("alice", "--issue"))
    line = users.refused(1, "set", *ALICE, "--mode", "observe")
    assert "revoke them first" in line
    assert issued["id"] in line
    users.done("revoke", issued["id"])
    users.done("set", *ALICE, "--mode", "observe")


def test_no_code_is_set_for_an_account_that_observes(users: Commands) -> None:
    users.done("add", *ALICE, "--mode", "observe", given={"api_key": OLD})
    assert "no code is set" in users.refused(1, "set", *ALICE, "--code", "Own1")
    users.done("set", *ALICE, "--allow", "keys")


# ---- set-key ------------------------------------------------------------------------------


def test_a_key_of_the_same_user_takes_the_place_of_the_old_one(
    users: Commands, exchange: Exchange
) -> None:
    with_uid(users, exchange)
    knows(exchange, user(NEW, "501"))
    before = users.json("show", "alice")["issued"]
    done = users.done("set-key", *ALICE, given=triple(NEW))
    assert done == "replaced the key of alice: account main on okx\n"
    shown = users.json("show", "alice")
    assert shown["issued"] == before
    assert (shown["accounts"][0]["api_key"], shown["accounts"][0]["uid"]) == ("0000…000b", "501")


def test_another_users_key_is_refused_unless_forced(users: Commands, exchange: Exchange) -> None:
    with_uid(users, exchange)
    knows(exchange, user(NEW, "502", main_uid="500"))
    before = users.json("show", "alice")
    line = users.refused(1, "set-key", *ALICE, given=triple(NEW))
    assert "the key is of the exchange's user 502, the account of 501" in line
    assert SECRET not in line
    assert users.json("show", "alice") == before
    assert "502" in users.noted("set-key", *ALICE, "--force", given=triple(NEW))
    account = users.account("alice")
    assert (account["uid"], account["main_uid"]) == ("502", "500")
    assert len(users.json("show", "alice")["issued"]) == 1


def test_an_account_of_unknown_uid_takes_any_key_and_learns_its_uid(
    users: Commands, exchange: Exchange
) -> None:
    knows(exchange, user(NEW, "501"))
    users.add("alice", key=OLD)
    assert "was not known; the new key's is 501" in users.noted(
        "set-key", *ALICE, given=triple(NEW)
    )
    assert users.account("alice")["uid"] == "501"


def test_a_key_of_the_demo_market_is_asked_there(users: Commands, exchange: Exchange) -> None:
    knows(exchange, user(NEW, "501", demo=True))
    users.add("alice", key=OLD)
    users.noted("set-key", *ALICE, given=triple(NEW))
    assert users.account("alice")["uid"] == "501"


def test_without_an_answer_a_known_uid_is_not_given_up(users: Commands, exchange: Exchange) -> None:
    with_uid(users, exchange)
    knows(exchange, user(NEW, "501"))
    exchange.change(lambda okx: okx.faults.coming.append(Fault("drop", times=9)))
    line = users.refused(1, "set-key", *ALICE, given=triple(NEW))
    assert "okx does not answer" in line
    assert "the account's user 501 is not known" in line
    users.noted("set-key", *ALICE, "--force", given=triple(NEW))
    assert users.account("alice")["uid"] == ""


def test_without_an_exchange_an_unknown_uid_stays_unknown(users: Commands) -> None:
    users.add("alice", key=OLD)
    assert "okx does not answer: Connection refused" in users.noted(
        "set-key", *ALICE, given=triple(NEW)
    )
    assert users.account("alice")["api_key"] == "0000…000b"


def test_a_key_that_the_exchange_refuses_is_taken_by_force_only(
    users: Commands, exchange: Exchange
) -> None:
    users.add("alice", key=OLD)
    line = users.refused(1, "set-key", *ALICE, given=triple(NEW))
    assert "50119" in line
    assert NEW not in line
    assert "50119" in users.noted("set-key", *ALICE, "--force", given=triple(NEW))
    assert users.account("alice")["api_key"] == "0000…000b"


def test_the_same_key_with_another_secret_asks_nobody(users: Commands) -> None:
    users.add("alice", key=OLD)
    new = triple(OLD) | {"passphrase": "Mended-Passphrase-1"}
    assert "replaced the key" in users.done("set-key", *ALICE, given=new)
    assert "nothing to change" in users.done("set-key", *ALICE, given=new)


def test_a_key_that_is_taken_is_refused(users: Commands) -> None:
    users.add("alice", key=OLD)
    users.add("bob", key=NEW)
    line = users.refused(1, "set-key", *ALICE, "--force", given=triple(NEW))
    assert "another account on okx has this API key" in line


def test_the_key_issued_to_the_bots_is_not_taken_for_the_real_one(users: Commands) -> None:
    issued = json.loads(users.add("alice", "--issue", key=OLD))
    given = {name: issued[name] for name in ("api_key", "secret", "passphrase")}
    line = users.refused(1, "set-key", *ALICE, "--force", given=given)
    assert "one that was issued here" in line


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("", "is not {"),
        ({"api_key": NEW}, "standard input: secret is missing"),
        ({"api_key": NEW, "secret": SECRET, "passphrase": "two words"}, "passphrase must be"),
    ],
)
def test_set_key_refuses_bad_input(users: Commands, given: object, what: str) -> None:
    users.add("alice", key=OLD)
    line = users.refused(1, "set-key", *ALICE, given=given)
    assert what in line
    assert SECRET not in line
    assert users.account("alice")["api_key"] == "0000…000a"


def test_set_key_of_nobody_is_an_error(users: Commands) -> None:
    assert "there is no account main of alice on okx" in users.refused(
        1, "set-key", *ALICE, given=triple(NEW)
    )


def test_an_account_that_observes_takes_an_api_key_and_keeps_nothing_else(
    users: Commands,
) -> None:
    users.done("add", *ALICE, "--mode", "observe", given={"api_key": OLD})
    assert "nobody can be asked" in users.noted("set-key", *ALICE, given={"api_key": NEW})
    account = users.account("alice")
    assert (account["mode"], account["api_key"]) == ("observe", "0000…000b")


def test_an_account_that_observed_signs_once_it_is_given_the_whole_key(
    users: Commands, exchange: Exchange
) -> None:
    knows(exchange, user(NEW, "501"))
    users.done("add", *ALICE, "--mode", "observe", given={"api_key": OLD})
    line = users.refused(1, "set-key", *ALICE, "--mode", "sign", given={"api_key": NEW})
    assert "secret is missing" in line
    users.noted("set-key", *ALICE, "--mode", "sign", given=triple(NEW))
    account = users.account("alice")
    assert (account["mode"], account["uid"]) == ("sign", "501")
    users.done("issue", *ALICE)


def test_an_account_that_observes_and_whose_uid_is_known_keeps_its_key_unless_forced(
    users: Commands, exchange: Exchange
) -> None:
    with_uid(users, exchange)
    users.done("revoke", users.json("show", "alice")["issued"][0]["id"])
    users.done("set", *ALICE, "--mode", "observe")
    assert users.account("alice")["uid"] == "501"
    line = users.refused(1, "set-key", *ALICE, given={"api_key": NEW})
    assert "without its secret nobody can be asked" in line
    users.noted("set-key", *ALICE, "--force", given={"api_key": NEW})
    assert users.account("alice")["uid"] == ""
