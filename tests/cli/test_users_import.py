"""`users import`: a result for each line, the same again changes nothing, secrets stay unquoted."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from proxy import cli
from proxy.accounts import importing
from proxy.cli import users_import
from proxy.exchanges import registry
from proxy.model import KeyTriple
from tests.cli.commands import PASSPHRASE, SECRET, Commands, triple

Result = dict[str, Any]


def line(name: str, **fields: Any) -> dict[str, Any]:
    given = triple(fields.pop("api_key", f"Own-Key-Of-{name}-0123456789"))
    return {"name": name, "exchange": "okx", **given, **fields}


def jsonl(*lines: object) -> str:
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)


def imported(users: Commands, *lines: object, words: tuple[str, ...] = ()) -> list[Result]:
    """Import lines that are all good."""
    out = users.done("import", "-", *words, given=jsonl(*lines))
    return [json.loads(one) for one in out.splitlines()]


def tried(users: Commands, *lines: object, words: tuple[str, ...] = ()) -> list[Result]:
    """Import lines of which some fail."""
    code, out, err = users.run("import", "-", *words, given=jsonl(*lines))
    results = [json.loads(one) for one in out.splitlines()]
    failed = sum(one["result"] == "failed" for one in results)
    assert code == 1
    assert err == f"tagproxy: {failed} of {len(results)} lines failed\n"
    return results


def words_of(results: list[Result]) -> list[str]:
    return [one["result"] for one in results]


def test_each_line_becomes_an_account_and_is_told_of(users: Commands) -> None:
    results = imported(
        users,
        line("alice", issue=True, account="sub1"),
        line("bob", allow=["keys", "transfer"], ip="10.0.0.0/8,192.0.2.1", code="Own1"),
        {"name": "carol", "exchange": "okx", "api_key": "Carols", "mode": "observe"},
    )
    issued = results[0].pop("issued")
    made = KeyTriple(issued["api_key"], issued["secret"], issued["passphrase"])
    assert registry.exchanges()["okx"].triple_fault(made) == ""
    assert results == [
        {"line": 1, "name": "alice", "exchange": "okx", "account": "sub1", "result": "added"},
        {"line": 2, "name": "bob", "exchange": "okx", "account": "main", "result": "added"},
        {"line": 3, "name": "carol", "exchange": "okx", "account": "main", "result": "added"},
    ]
    assert [one["id"] for one in users.json("show", "alice")["issued"]] == [issued["id"]]
    bob = users.account("bob")
    assert (bob["allow"], bob["code"]) == (["keys", "transfer"], "Own1")
    assert bob["ip"] == ["10.0.0.0/8", "192.0.2.1/32"]
    assert users.account("carol")["mode"] == "observe"


def test_the_same_lines_again_change_nothing_and_issue_nothing(users: Commands) -> None:
    lines = [line("alice", issue=True), line("bob", allow=["keys"]), line("carol", ip="10.0.0.1")]
    imported(users, *lines)
    before, seals = [users.json("show", name) for name in ("alice", "bob", "carol")], users.seals
    again = imported(users, *lines)
    assert words_of(again) == ["unchanged"] * 3
    assert not any("issued" in one for one in again)
    assert users.seals == seals
    assert [users.json("show", name) for name in ("alice", "bob", "carol")] == before


def test_what_a_line_does_not_say_stays_as_it_is(users: Commands) -> None:
    imported(users, line("alice", allow=["keys"], code="Own1"))
    users.done("set", "alice", "--exchange", "okx", "--ip", "10.0.0.0/8")
    assert words_of(imported(users, line("alice", allow=["keys"]))) == ["unchanged"]
    assert words_of(imported(users, line("alice", allow=[], code=""))) == ["changed"]
    account = users.account("alice")
    assert (account["allow"], account["code"], account["ip"]) == ([], "", ["10.0.0.0/8"])


def test_null_is_as_good_as_not_said(users: Commands) -> None:
    nothing = dict.fromkeys(("account", "issue", "allow", "ip", "code", "mode"))
    assert words_of(imported(users, line("alice") | nothing)) == ["added"]


def test_an_account_that_is_there_needs_no_key(users: Commands) -> None:
    users.add("alice")
    (done,) = imported(users, {"name": "alice", "exchange": "okx", "issue": True})
    assert done["result"] == "changed"
    assert done["issued"]["id"] == users.json("show", "alice")["issued"][0]["id"]


def test_issue_is_for_accounts_that_have_none_in_force(users: Commands) -> None:
    issued = imported(users, line("alice", issue=True))[0]["issued"]["id"]
    assert words_of(imported(users, line("alice", issue=True))) == ["unchanged"]
    users.done("revoke", issued)
    (again,) = imported(users, line("alice", issue=True))
    assert again["result"] == "changed"
    assert again["issued"]["id"] != issued


def test_another_key_is_taken_where_the_uid_is_not_known(users: Commands) -> None:
    imported(users, line("alice"))
    assert words_of(imported(users, line("alice", api_key="Another-Key"))) == ["changed"]
    users.sql("UPDATE accounts SET uid = '501'")
    (failed,) = tried(users, line("alice", api_key="A-Third-Key"))
    assert "of the exchange's user 501" in failed["error"]
    assert "users set-key" in failed["error"]
    same = line("alice", api_key="Another-Key", passphrase="Mended-1")
    assert words_of(imported(users, same)) == ["changed"]
    assert users.account("alice")["uid"] == "501"


def test_a_line_brings_the_secret_that_mode_sign_needs(users: Commands) -> None:
    key = {"api_key": "Own-Key-Of-alice-0123456789"}
    imported(users, {"name": "alice", "exchange": "okx", "mode": "observe", **key})
    (failed,) = tried(users, {"name": "alice", "exchange": "okx", "mode": "sign"})
    assert "no secret is held" in failed["error"]
    assert words_of(imported(users, line("alice", mode="sign"))) == ["changed"]
    assert words_of(imported(users, line("alice", mode="observe"))) == ["changed"]
    assert [one.kind for one in users.seals] == ["none"]


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("nothing but words", "not a JSON object"),
        ('{"name": "alice"', "not a JSON object"),
        (["alice"], "not a JSON object"),
        (line("alice", extra=1), "other fields than name, exchange"),
        (line(""), "name: a name is 1 to 64"),
        (line("two words"), "name: a name is 1 to 64"),
        (line("alice", account="two words"), "account: a name is 1 to 64"),
        (line("alice", account=7), "account: must be a string"),
        ({"exchange": "okx"}, "name: a name is 1 to 64"),
        ({"name": "alice"}, "exchange: must be a table of the configuration"),
        (line("alice") | {"exchange": SECRET}, "which has headers, okx, okx-us"),
        (line("alice", secret=7), "secret: must be a string"),
        (line("alice", secret=""), "secret is missing"),
        (line("alice", passphrase=f"{SECRET} {SECRET}"), "passphrase must be"),
        ({"name": "alice", "exchange": "okx"}, "real credentials are missing"),
        (line("alice", issue="yes"), "issue: must be true or false"),
        (line("alice", allow=[SECRET]), "allow: must be of withdraw"),
        (line("alice", allow={"keys": True}), "allow: must be an array"),
        (line("alice", ip=[SECRET]), "ip: must be like 10.0.0.0/8"),
        (line("alice", ip=[7]), "ip: must be an array of strings"),
        (line("alice", code=f"{SECRET}!"), "code: an OKX broker code"),
        (line("alice", mode=SECRET), "mode: must be one of"),
        (line("alice", mode="keyless"), "its secret is needed"),
        (line("alice", mode="observe", issue=True), "own exchange key"),
        (line("alice", mode="observe", code="Own1"), "nothing is changed"),
        (line("alice", mode="observe", api_key=f"{SECRET} {SECRET}"), "no API key"),
        (line("alice", code="C" * 20_000), "longer than 16384 bytes"),
    ],
)
def test_a_bad_line_fails_alone_and_is_not_quoted(users: Commands, bad: object, what: str) -> None:
    results = tried(users, line("first"), bad, line("last"))
    assert words_of(results) == ["added", "failed", "added"]
    assert what in results[1]["error"]
    assert SECRET not in json.dumps(results)
    assert PASSPHRASE not in json.dumps(results)
    assert [row["name"] for row in users.json("list")] == ["first", "last"]


def test_a_key_stands_for_one_account(users: Commands) -> None:
    users.add("zoe", key="Zoes-Key")
    results = tried(
        users,
        line("alice", api_key="Shared-Key"),
        line("bob", api_key="Shared-Key"),
        line("carol", api_key="Zoes-Key"),
        line("dave"),
    )
    assert words_of(results) == ["added", "failed", "failed", "added"]
    assert {one["error"] for one in results[1:3]} == {"another account on okx has this API key"}


def test_a_key_may_go_from_one_line_to_the_next(users: Commands) -> None:
    imported(users, line("alice", api_key="First-Key"))
    lines = [line("alice", api_key="Second-Key"), line("bob", api_key="First-Key")]
    assert words_of(imported(users, *lines, words=("--dry-run",))) == ["changed", "added"]
    assert words_of(imported(users, *lines)) == ["changed", "added"]


def test_a_line_twice_is_done_once_and_a_contradiction_fails(users: Commands) -> None:
    results = tried(
        users,
        line("alice", issue=True),
        line("alice", issue=True),
        line("alice", issue=True, allow=["keys"]),
    )
    assert words_of(results) == ["added", "unchanged", "failed"]
    assert results[2]["error"] == "line 1 says otherwise of the same account"
    assert len(users.json("show", "alice")["issued"]) == 1


def test_a_failed_line_does_not_stand_in_the_way_of_a_good_one(users: Commands) -> None:
    results = tried(users, line("alice", ip="nowhere"), line("alice", ip="10.0.0.1"))
    assert words_of(results) == ["failed", "added"]


def test_a_dry_run_looks_at_everything_and_changes_nothing(users: Commands) -> None:
    users.add("alice", key="Alices-Key")
    before, files = users.json("list"), users.seals
    results = tried(
        users,
        {"name": "alice", "exchange": "okx", "allow": ["keys"]},
        line("bob", issue=True),
        line("carol", api_key="Alices-Key"),
        line("dave", api_key="Own-Key-Of-bob-0123456789"),
        line("bob", issue=True),
        "rubbish",
        words=("--dry-run",),
    )
    assert words_of(results) == ["changed", "added", "failed", "failed", "unchanged", "failed"]
    assert not any("issued" in one for one in results)
    assert (users.json("list"), users.seals) == (before, files)


def test_a_dry_run_sees_over_the_end_of_a_batch(
    users: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users_import, "BATCH_MAX", 1)
    lines = [line("alice", api_key="Shared-Key"), line("bob", api_key="Shared-Key")]
    assert words_of(tried(users, *lines, words=("--dry-run",))) == ["added", "failed"]
    assert words_of(tried(users, *lines)) == ["added", "failed"]


def test_blank_lines_count_and_nothing_more(users: Commands) -> None:
    text = f"\n{json.dumps(line('alice'))}\r\n   \n\n{json.dumps(line('bob'))}"
    out = users.done("import", "-", given=text)
    assert [json.loads(one)["line"] for one in out.splitlines()] == [2, 5]


def test_nothing_to_import_is_no_error(users: Commands) -> None:
    assert users.done("import", "-", given="") == ""


def test_a_file_is_read_as_well(users: Commands) -> None:
    file = users.folder / "accounts.jsonl"
    file.write_text(jsonl(line("alice"), line("bob")))
    assert users.done("import", str(file)).count("added") == 2
    assert "nowhere.jsonl" in users.refused(1, "import", str(users.folder / "nowhere.jsonl"))


def test_lines_of_many_batches_are_all_done(users: Commands) -> None:
    many = [line(f"user{number:04d}", issue=True) for number in range(450)]
    results = imported(users, *many)
    assert [one["line"] for one in results] == list(range(1, 451))
    assert len({one["issued"]["api_key"] for one in results}) == 450
    assert len(users.json("list")) == 450


def test_a_run_takes_so_many_accounts(users: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "ACCOUNTS_MAX", 2)
    results = tried(users, line("alice"), line("bob"), line("carol"))
    assert "one run takes 2 accounts at most" in results[2]["error"]


def test_lines_are_done_as_they_come(users: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever feeds lines one by one sees the result of each before the next is read."""
    seen: list[list[str]] = []

    class Feed(io.RawIOBase):
        def __init__(self) -> None:
            self.parts = iter(
                [jsonl(line("alice")), jsonl(line("bob"))[:40], jsonl(line("bob"))[40:]]
            )

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            seen.append([name for (name,) in users.sql("SELECT user FROM accounts")])
            part = next(self.parts, "").encode()
            buffer[: len(part)] = part
            return len(part)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Feed())))
    assert cli.main(["users", "import", "-", "-c", str(users.config_file)]) == 0
    assert seen == [[], ["alice"], ["alice"], ["alice", "bob"]]
