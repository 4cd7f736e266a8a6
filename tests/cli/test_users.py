"""`tagproxy users` as an operator has it: words and standard input in, text and exit code out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode

import pytest

from proxy.exchanges import registry
from proxy.model import KeyTriple
from tests.cli.commands import PASSPHRASE, SECRET, Commands, triple

# ---- add ----------------------------------------------------------------------------------


def test_add_without_issue_prints_no_credentials(users: Commands) -> None:
    assert users.add("alice") == "added alice: account main on okx\n"
    shown = users.json("show", "alice")
    assert shown["issued"] == []
    (account,) = shown["accounts"]
    assert (account["exchange"], account["account"], account["mode"]) == ("okx", "main", "sign")
    assert (account["state"], account["api_key"]) == ("active", "Own-…6789")


def test_add_with_issue_prints_a_triple_and_its_id_once(users: Commands) -> None:
    issued = json.loads(users.add("alice", "--issue"))
    assert set(issued) == {"api_key", "secret", "passphrase", "id"}
    made = KeyTriple(issued["api_key"], issued["secret"], issued["passphrase"])
    assert registry.exchanges()["okx"].triple_fault(made) == ""
    (one,) = users.json("show", "alice")["issued"]
    assert one["id"] == issued["id"]
    assert one["api_key"] == f"{issued['api_key'][:4]}…{issued['api_key'][-4:]}"


def test_an_exchange_without_passphrases_prints_none(users: Commands) -> None:
    issued = json.loads(users.add("alice", "--issue", exchange="headers"))
    assert set(issued) == {"api_key", "secret", "id"}


def test_add_takes_every_option(users: Commands) -> None:
    users.add(
        *("alice", "--account", "sub1", "--allow", "transfer,keys,keys", "--code", "OwnCode1"),
        *("--ip", "10.0.0.0/8, 2001:db8::/32,192.0.2.1"),
    )
    (account,) = users.json("list")
    assert account["account"] == "sub1"
    assert account["allow"] == ["keys", "transfer"]
    assert account["ip"] == ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]
    assert account["code"] == "OwnCode1"


def test_an_account_that_exists_is_refused_and_nothing_changes(users: Commands) -> None:
    users.add("alice", "--issue")
    before = users.json("show", "alice")
    again = users.refused(1, "add", "alice", "--exchange", "okx", given=triple("Another-Key"))
    assert again == "tagproxy: alice has an account main on okx already\n"
    assert users.json("show", "alice") == before
    users.add("alice", "--account", "sub1", key="Key-Of-Sub1")
    users.add("alice", exchange="okx-us")


def test_a_key_that_another_account_has_is_refused_without_quoting_it(users: Commands) -> None:
    users.add("alice", key="The-Same-Key-01")
    line = users.refused(1, "add", "bob", "--exchange", "okx", given=triple("The-Same-Key-01"))
    assert "another account on okx has this API key" in line
    assert "Same" not in line


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("alice",), "--exchange"),
        (("alice", "--exchange", "bybit"), "has no bybit (it has: headers, okx, okx-us)"),
        (("alice", "--exchange", "okx", "--allow", "withdraw,everything"), "class: everything"),
        (("alice", "--exchange", "okx", "--ip", "10.0.0.1/8"), "--ip"),
        (("alice", "--exchange", "okx", "--code", "not a code!"), "1 to 16"),
        (("alice", "--exchange", "okx", "--code", "C" * 201), "at most 200"),
        (("alice", "--exchange", "okx", "--mode", "silent"), "--mode"),
        (("alice", "--exchange", "okx", "--mode", "keyless"), "its secret is needed"),
        (("alice", "--exchange", "headers", "--mode", "keyless", "--issue"), "own exchange key"),
        (("alice", "--exchange", "okx", "--mode", "observe", "--code", "C"), "nothing is changed"),
        (("a name", "--exchange", "okx"), "without spaces"),
        (("", "--exchange", "okx"), "1 to 64"),
        (("a" * 65, "--exchange", "okx"), "1 to 64"),
        (("line\nbreak", "--exchange", "okx"), "printable"),
    ],
)
def test_add_refuses_what_cannot_be_asked_for(
    users: Commands, words: tuple[str, ...], what: str
) -> None:
    assert what in users.refused(2, "add", *words, given=triple("key"))
    assert users.json("list") == []


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("", "is not {"),
        ("null", "is not {"),
        (f'["{SECRET}"]', "is not {"),
        (f'{{"api_key": "k", "secret": "{SECRET}"', "is not {"),
        ({"api_key": "k", "secret": 1, "passphrase": "p"}, "is not {"),
        ({"api_key": "k", "secret": SECRET, "passphrase": "p", "extra": "x"}, "other fields"),
        ({"api_key": "k", "secret": SECRET}, "passphrase is missing"),
        ({"api_key": "k", "secret": "", "passphrase": "p"}, "secret is missing"),
        (" " * 70_000, "is not {"),
    ],
)
def test_add_refuses_bad_input_without_quoting_it(
    users: Commands, given: object, what: str
) -> None:
    line = users.refused(1, "add", "alice", "--exchange", "okx", given=given)
    assert what in line
    assert SECRET not in line
    assert users.json("list") == []


@pytest.mark.parametrize(("exchange", "mode"), [("headers", "keyless"), ("okx", "observe")])
def test_modes_that_sign_nothing_need_an_api_key_and_keep_no_secret(
    users: Commands, exchange: str, mode: str
) -> None:
    add = ("add", "alice", "--exchange", exchange, "--mode", mode)
    assert "api_key is missing" in users.refused(1, *add, given={})
    assert "no API key" in users.refused(1, *add, given={"api_key": "two words"})
    assert "no API key" in users.refused(1, *add, given={"api_key": "k" * 129})
    users.done(*add, given=triple("the-only-key-there-is"))
    (account,) = users.json("show", "alice")["accounts"]
    assert (account["mode"], account["api_key"]) == (mode, "the-…e-is")
    for command in ("issue", "rotate"):
        line = users.refused(1, command, "alice", "--exchange", exchange)
        assert "own exchange key" in line


# ---- list, show ---------------------------------------------------------------------------


def test_list_and_show_can_be_narrowed(users: Commands) -> None:
    users.add("alice")
    users.add("alice", "--account", "sub1", key="Key-Of-Sub1")
    users.add("alice", exchange="okx-us")
    users.add("bob")

    def names(*words: str) -> list[tuple[str, str, str]]:
        rows = users.json("list", *words)
        return [(row["name"], row["exchange"], row["account"]) for row in rows]

    assert len(names()) == 4
    assert names("--exchange", "okx-us") == [("alice", "okx-us", "main")]
    assert names("--account", "sub1") == [("alice", "okx", "sub1")]
    assert len(users.json("show", "alice")["accounts"]) == 3
    assert len(users.json("show", "alice", "--exchange", "okx")["accounts"]) == 2


def test_tables_are_for_people(users: Commands) -> None:
    users.add("alice", "--allow", "keys")
    assert "LABEL" not in users.done("show", "alice")
    users.done("issue", "alice", "--exchange", "okx", "--label", "grid")
    columns = ["name", "exchange", "account", "mode", "state", "allow", "ip", "code", "last_seen"]
    listed = users.done("list").splitlines()
    assert listed[0].split() == [column.upper() for column in columns]
    assert listed[1].split() == ["alice", "okx", "main", "sign", "active", "keys", "-", "-", "-"]
    shown = users.done("show", "alice")
    assert "grid" in shown
    assert "Own-…6789" in shown


def test_an_empty_list_is_no_error(users: Commands) -> None:
    assert users.json("list") == []
    assert users.done("list").count("\n") == 1


@pytest.mark.parametrize("command", ["show", "disable", "enable", "remove"])
def test_a_user_that_is_not_there_is_an_error(users: Commands, command: str) -> None:
    users.add("alice")
    assert users.refused(1, command, "bob") == "tagproxy: there is no bob\n"
    line = users.refused(1, command, "alice", "--exchange", "okx-us", "--account", "sub1")
    assert line == "tagproxy: there is no account sub1 of alice on okx-us\n"


# ---- disable, enable, remove --------------------------------------------------------------


def test_disable_and_enable(users: Commands) -> None:
    users.add("alice")
    users.add("alice", exchange="okx-us")

    def states() -> list[tuple[str, str]]:
        return [(row["state"], row["reason"]) for row in users.json("list")]

    users.done("disable", "alice", "--reason", "unpaid since May")
    assert states() == [("block", "unpaid since May")] * 2
    users.done("disable", "alice", "--mode", "close-only", "--exchange", "okx-us")
    assert states() == [("block", "unpaid since May"), ("close-only", "")]
    users.done("enable", "alice")
    assert states() == [("active", "")] * 2


def test_remove_forgets_accounts_and_frees_their_keys(users: Commands) -> None:
    users.add("alice", "--issue", key="One-Key")
    users.add("alice", exchange="okx-us")
    users.done("remove", "alice", "--exchange", "okx")
    assert [row["exchange"] for row in users.json("list")] == ["okx-us"]
    users.add("bob", key="One-Key")


# ---- issue, rotate, revoke ----------------------------------------------------------------


def test_issue_adds_one_more_set(users: Commands) -> None:
    first = json.loads(users.add("alice", "--issue"))
    words = ("--exchange", "okx", "--label", "grid bot", "--ip", "192.0.2.0/24")
    second = json.loads(users.done("issue", "alice", *words))
    assert first["api_key"] != second["api_key"]
    assert first["secret"] != second["secret"]
    issued = {one["id"]: one for one in users.json("show", "alice")["issued"]}
    assert set(issued) == {first["id"], second["id"]}
    assert issued[second["id"]]["label"] == "grid bot"
    assert issued[second["id"]]["ip"] == ["192.0.2.0/24"]


def test_issue_beyond_the_accounts_addresses_is_refused(users: Commands) -> None:
    users.add("alice", "--ip", "10.0.0.0/8")
    line = users.refused(1, "issue", "alice", "--exchange", "okx", "--ip", "192.0.2.0/24")
    assert "192.0.2.0/24 is outside" in line


def test_rotate_replaces_and_with_an_overlap_later(users: Commands) -> None:
    first = json.loads(users.add("alice", "--issue"))["id"]
    second = json.loads(users.done("rotate", "alice", "--exchange", "okx"))["id"]
    assert [one["id"] for one in users.json("show", "alice")["issued"]] == [second]
    rotated = users.done("rotate", "alice", "--exchange", "okx", "--overlap", "24h")
    third = json.loads(rotated)["id"]
    ends = {one["id"]: one["expires"] for one in users.json("show", "alice")["issued"]}
    assert set(ends) == {second, third}
    assert ends[third] is None
    assert ends[second] is not None
    assert first not in ends


def test_rotate_without_issued_credentials_is_an_error(users: Commands) -> None:
    users.add("alice")
    assert "no issued credentials" in users.refused(1, "rotate", "alice", "--exchange", "okx")


def test_rotate_wants_a_duration(users: Commands) -> None:
    users.add("alice", "--issue")
    words = ("rotate", "alice", "--exchange", "okx", "--overlap", "soon")
    assert "24h" in users.refused(2, *words)


def test_revoke_ends_one_set_by_its_id(users: Commands) -> None:
    issued = json.loads(users.add("alice", "--issue"))["id"]
    users.done("revoke", issued)
    assert users.json("show", "alice")["issued"] == []
    assert issued in users.refused(1, "revoke", issued)


# ---- keys, secrets, files -----------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [("list",), ("show", "alice"), ("add", "bob", "--exchange", "okx"), ("remove", "alice")],
)
def test_a_wrong_master_key_is_bad_configuration(users: Commands, words: tuple[str, ...]) -> None:
    users.add("alice")
    right = os.environ["TAGPROXY_TEST_KEY"]
    users.monkeypatch.setenv("TAGPROXY_TEST_KEY", b64encode(bytes(32)).decode())
    assert "wrong master key" in users.refused(78, *words, given=triple("key"))
    users.monkeypatch.setenv("TAGPROXY_TEST_KEY", right)
    assert [row["name"] for row in users.json("list")] == ["alice"]


def test_the_environment_goes_before_the_file_for_every_command(users: Commands) -> None:
    users.add("alice")
    users.monkeypatch.setenv("TAGPROXY_STORAGE__URL", f"sqlite:///{users.folder}/other.db")
    assert users.json("list") == []
    users.done("import", "-", given=json.dumps({"name": "bob", "exchange": "okx"} | triple("k")))
    assert [row["name"] for row in users.json("list")] == ["bob"]
    new = users.folder / "new.key"
    new.write_bytes(b64encode(os.urandom(32)))
    code, out, _ = users.command("vault", "rotate", "--new-key", str(new))
    assert (code, out.split()[0]) == (0, "1")
    users.monkeypatch.setenv("TAGPROXY_STORAGE__MASTER_KEY", '{ file = "new.key" }')
    users.monkeypatch.setenv("TAGPROXY_EXCHANGES__OKX_US__BROKER_CODE", "no code!")
    assert "EXCHANGES__OKX_US__BROKER_CODE" in users.run("list")[2]
    users.monkeypatch.setenv("TAGPROXY_EXCHANGES__OKX_US__BROKER_CODE", "OTHER")
    assert [row["name"] for row in users.json("list")] == ["bob"]
    users.monkeypatch.delenv("TAGPROXY_STORAGE__URL")
    assert "wrong master key" in users.refused(78, "list")


def test_a_database_that_cannot_be_opened_is_one_line(users: Commands) -> None:
    (users.folder / "tagproxy.db").mkdir()
    assert "tagproxy.db" in users.refused(1, "list")


def test_no_command_but_the_issuing_one_shows_a_secret(users: Commands) -> None:
    issued = json.loads(users.add("alice", "--issue", key="Own-Key-Of-Alice-12345"))
    outputs = [
        users.done("list"),
        users.done("list", "--json"),
        users.done("show", "alice"),
        users.done("show", "alice", "--json"),
        users.done("disable", "alice"),
        users.done("enable", "alice"),
        *(file.read_bytes().decode("latin-1") for file in users.folder.glob("*.db*")),
        users.done("remove", "alice"),
    ]
    hidden = [SECRET, PASSPHRASE, "Own-Key-Of-Alice-12345"]
    hidden += [issued["api_key"], issued["secret"], issued["passphrase"]]
    assert [one for one in hidden for output in outputs if one in output] == []


def test_the_real_command_from_a_shell(users: Commands) -> None:
    command = [sys.executable, "-m", "proxy", "users"]
    config = ["-c", str(users.folder / "proxy.toml")]
    text = (users.folder / "proxy.toml").read_text()
    (users.folder / "proxy.toml").write_text(text.partition("[exchanges.headers]")[0])
    words = [*command, "add", "alice", "--exchange", "okx", "--issue", *config]
    given = json.dumps(triple("Own-Key")).encode()
    added = subprocess.run(words, input=given, capture_output=True, check=False)
    assert (added.returncode, added.stderr) == (0, b"")
    issued = json.loads(added.stdout)
    again = subprocess.run(words, input=given, capture_output=True, check=False)
    assert (again.returncode, again.stdout) == (1, b"")
    assert again.stderr == b"tagproxy: alice has an account main on okx already\n"
    shown = subprocess.run(
        [*command, "show", "alice", "--json", *config], capture_output=True, check=True
    )
    assert [one["id"] for one in json.loads(shown.stdout)["issued"]] == [issued["id"]]
