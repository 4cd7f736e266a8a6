"""`vault rotate` as an operator has it: another master key, and the old one out at the end."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from proxy.accounts.vault import master_key_id
from tests.cli.commands import Commands, triple

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def new_key(tmp_path: Path) -> bytes:
    """The key in new.key."""
    key = os.urandom(32)
    (tmp_path / "new.key").write_bytes(b64encode(key) + b"\n")
    return key


def rotate(users: Commands, file: str = "new.key") -> tuple[int, str, str]:
    return users.command("vault", "rotate", "--new-key", str(users.folder / file))


def with_keys(users: Commands, *keys: str) -> None:
    """Configure master keys, each as TOML."""
    text = users.config_file.read_text()
    before = 'master_key = { env = "TAGPROXY_TEST_KEY" }'
    assert before in text
    users.config_file.write_text(text.replace(before, f"master_key = [{', '.join(keys)}]"))


OLD = '{ env = "TAGPROXY_TEST_KEY" }'
NEW = '{ file = "new.key" }'


def test_every_secret_is_sealed_anew_and_the_old_key_can_go(
    users: Commands, new_key: bytes
) -> None:
    users.add("alice", "--issue")
    users.add("bob")
    shown = [users.json("show", name) for name in ("alice", "bob")]
    before = users.seals
    code, out, err = rotate(users)
    assert (code, err) == (0, "")
    assert out.startswith(
        f"3 secrets sealed anew: every one now needs master key {master_key_id(new_key)}"
    )
    assert f'master_key = [{{ file = "{users.folder / "new.key"}" }}, …]' in out
    assert "SIGHUP" in out
    assert {one.master_id for one in users.seals} == {master_key_id(new_key)}
    assert [one.id for one in users.seals] == [one.id for one in before]
    assert b64encode(new_key).decode() not in out
    with_keys(users, NEW)
    users.monkeypatch.delenv("TAGPROXY_TEST_KEY")  # nothing names it any more
    assert [users.json("show", name) for name in ("alice", "bob")] == shown


def test_with_only_the_old_key_commands_name_the_one_that_is_needed(
    users: Commands, new_key: bytes
) -> None:
    users.add("alice")
    rotate(users)
    for words in (("list",), ("show", "alice"), ("add", "bob", "--exchange", "okx")):
        line = users.refused(78, *words, given=triple("key"))
        assert f"wrong master key: the stored secrets need {master_key_id(new_key)}" in line


def test_the_new_key_may_stand_in_the_configuration_first(users: Commands, new_key: bytes) -> None:
    users.add("alice")
    with_keys(users, NEW, OLD)
    users.add("bob")
    code, out, err = rotate(users)
    assert (code, err, out.split()[0]) == (0, "", "1")
    assert {one.master_id for one in users.seals} == {master_key_id(new_key)}


def test_once_more_there_is_nothing_left_to_do(users: Commands, new_key: bytes) -> None:
    users.add("alice")
    rotate(users)
    with_keys(users, NEW, OLD)
    seals = users.seals
    assert rotate(users)[1].split()[0] == "0"
    assert users.seals == seals


def test_a_running_proxy_is_told_of_no_change(users: Commands, new_key: bytes) -> None:
    users.add("alice")
    before = users.revision
    rotate(users)
    assert users.revision == before


def test_a_secret_under_a_key_nobody_gave_is_bad_configuration(
    users: Commands, new_key: bytes
) -> None:
    users.add("alice")
    needed = users.seals[0].master_id
    users.monkeypatch.setenv("TAGPROXY_TEST_KEY", b64encode(os.urandom(32)).decode())
    code, out, err = rotate(users)
    assert (code, out) == (78, "")
    assert f"master key {needed}" in err
    assert users.seals[0].master_id == needed


def test_a_damaged_secret_is_told_and_the_others_are_done(users: Commands, new_key: bytes) -> None:
    users.add("alice")
    users.add("bob")
    damaged = users.seals[0]
    users.sql("UPDATE credentials SET sealed = zeroblob(120) WHERE id = ?", damaged.id)
    code, out, err = rotate(users)
    assert (code, out.split()[0]) == (1, "1")
    assert damaged.id in err
    assert err.startswith("tagproxy: not sealed anew: okx ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "0 bytes, not 32"),
        (b"not-base-64!", "not base64"),
        (b"\xff\xfe", "not base64"),
        (b64encode(b"short-planted-key"), "17 bytes, not 32"),
    ],
)
def test_what_is_no_master_key_is_bad_configuration_and_is_not_quoted(
    users: Commands, content: bytes, what: str
) -> None:
    (users.folder / "bad.key").write_bytes(content)
    code, out, err = rotate(users, "bad.key")
    assert (code, out) == (78, "")
    assert f"bad.key: the master key is {what}" in err
    assert err.count("\n") == 1
    assert "planted" not in err


def test_a_key_file_that_is_not_there_is_an_error(users: Commands) -> None:
    code, out, err = rotate(users, "nowhere.key")
    assert (code, out) == (1, "")
    assert err == f"tagproxy: {users.folder / 'nowhere.key'}: No such file or directory\n"


def test_the_new_key_has_to_be_named(users: Commands) -> None:
    code, _, err = users.command("vault", "rotate")
    assert code == 2
    assert "--new-key" in err
