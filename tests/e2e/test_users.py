"""The operator's `tagproxy users` against a running proxy: seen by bots within a second."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.e2e.bot import Bot, Triple
from tests.e2e.harness import BROKER_CODE
from tests.e2e.house import House, house_in, placed
from tests.e2e.processes import eventually

pytestmark = pytest.mark.e2e

WITHIN_S: Final = 1.3  # the contract's second, and what this test takes to look
PENDING_PATH: Final = "/api/v5/trade/orders-pending"  # a wide limit: it is asked often


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("users")) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


def users(house: House, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = house.proxy.run("users", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done


def fails(house: House, code: int, *arguments: str, stdin: str = "") -> str:
    """Run a command that must fail; return its one line of words."""
    done = house.proxy.run("users", *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, ""), done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def issued_by(done: subprocess.CompletedProcess[str]) -> tuple[Triple, str]:
    shown = json.loads(done.stdout)
    return Triple(shown["api_key"], shown["secret"], shown["passphrase"]), shown["id"]


def slug_of(bot: Bot) -> str:
    return bot.call("GET", PENDING_PATH).slug


def soon(what: str, holds: Callable[[], bool]) -> None:
    began = time.monotonic()
    eventually(what, holds, timeout_s=3)
    assert time.monotonic() - began < WITHIN_S, what


def test_an_added_user_is_served_within_a_second(house: House) -> None:
    real = house.simulator.add_user()
    done = users(house, "add", "amy", "--exchange", "okx", "--issue", stdin=real.as_json())
    triple, _ = issued_by(done)
    soon("amy's bot is served", lambda: slug_of(house.proxy.bot(triple)) == "")
    soon("so is her own key", lambda: slug_of(house.proxy.bot(real)) == "")
    assert placed(house.proxy.bot(triple).order())
    assert [each["tag"] for each in house.simulator.orders] == [BROKER_CODE]


def test_without_issue_only_the_own_key_works(house: House) -> None:
    real = house.simulator.add_user()
    done = users(house, "add", "ann", "--exchange", "okx", stdin=real.as_json())
    assert real.api_key not in done.stdout
    soon("ann is served", lambda: slug_of(house.proxy.bot(real)) == "")
    assert _shown(house, "ann")["issued"] == []


def test_an_account_that_exists_is_left_alone(house: House) -> None:
    bot = house.newcomer("--code", "firstCODE")
    other = house.simulator.add_user()
    words = fails(
        house,
        1,
        *("add", house.newest, "--exchange", "okx", "--issue", "--code", "secondCODE"),
        stdin=other.as_json(),
    )
    assert house.newest in words
    assert placed(bot.order())
    assert [each["tag"] for each in house.simulator.orders] == ["firstCODE"]
    assert slug_of(house.proxy.bot(other)) == "unknown_key"


def test_a_user_has_several_accounts(house: House) -> None:
    house.newcomer()
    name = house.newest
    real = house.simulator.add_user()
    arguments = ("add", name, "--exchange", "okx", "--account", "second", "--issue")
    triple, _ = issued_by(users(house, *arguments, stdin=real.as_json()))
    soon("the second account is served", lambda: slug_of(house.proxy.bot(triple)) == "")
    assert [each["account"] for each in _shown(house, name)["accounts"]] == ["main", "second"]
    users(house, "disable", name, "--account", "second")
    soon("only that one is disabled", lambda: slug_of(house.proxy.bot(triple)) == "user_disabled")
    states = [each["state"] for each in _shown(house, name)["accounts"]]
    assert states == ["active", "block"]


def _shown(house: House, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(users(house, "show", name, "--json").stdout)
    return shown


def test_disable_and_enable_take_effect_within_a_second(house: House) -> None:
    bot = house.newcomer()
    users(house, "disable", house.newest, "--reason", "unpaid since May")
    soon("the user is disabled", lambda: slug_of(bot) == "user_disabled")
    assert "unpaid since May" in bot.call("GET", PENDING_PATH).content["msg"]
    users(house, "enable", house.newest)
    soon("the user is enabled", lambda: slug_of(bot) == "")


def test_close_only_passes_reads_cancels_and_reduce_only_orders(house: House) -> None:
    bot = house.newcomer()
    swap = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "sz": "1"}
    assert placed(bot.order(**swap, clOrdId="open1"))
    users(house, "disable", house.newest, "--mode", "close-only")
    soon("it may only close", lambda: bot.order(**swap).slug == "forbidden_endpoint")
    assert slug_of(bot) == ""
    cancel = {"instId": "BTC-USDT-SWAP", "clOrdId": "open1"}
    assert placed(bot.call("POST", "/api/v5/trade/cancel-order", cancel))
    assert placed(bot.order(**swap, side="sell", reduceOnly=True))


def test_a_removed_user_is_unknown_within_a_second(house: House) -> None:
    bot = house.newcomer()
    users(house, "remove", house.newest)
    soon("the user is gone", lambda: slug_of(bot) == "unknown_key")
    fails(house, 1, "show", house.newest)


def test_issued_keys_come_and_go_one_by_one(house: House) -> None:
    first = house.newcomer()
    name = house.newest
    done = users(house, "issue", name, "--exchange", "okx", "--label", "second bot")
    triple, number = issued_by(done)
    second = house.proxy.bot(triple)
    soon("the second key works", lambda: slug_of(second) == "")
    listed = {each["id"]: each["label"] for each in _shown(house, name)["issued"]}
    assert len(listed) == 2
    assert listed[number] == "second bot"
    users(house, "revoke", number)
    soon("it is revoked", lambda: slug_of(second) == "unknown_key")
    assert slug_of(first) == ""
    fails(house, 1, "revoke", number)


def test_rotation_replaces_every_issued_key_but_not_the_own_one(house: House) -> None:
    real = house.simulator.add_user()
    done = users(house, "add", "rob", "--exchange", "okx", "--issue", stdin=real.as_json())
    old = house.proxy.bot(issued_by(done)[0])
    soon("the old key works", lambda: slug_of(old) == "")
    new = house.proxy.bot(issued_by(users(house, "rotate", "rob", "--exchange", "okx"))[0])
    soon("the new key works", lambda: slug_of(new) == "")
    soon("the old one does not", lambda: slug_of(old) == "unknown_key")
    assert slug_of(house.proxy.bot(real)) == ""


def test_rotation_with_an_overlap_lets_both_live_for_so_long(house: House) -> None:
    old = house.newcomer()
    arguments = ("rotate", house.newest, "--exchange", "okx", "--overlap", "2s")
    new = house.proxy.bot(issued_by(users(house, *arguments))[0])
    soon("the new key works", lambda: slug_of(new) == "")
    assert slug_of(old) == ""
    eventually("the old one has run out", lambda: slug_of(old) == "unknown_key", timeout_s=4)
    assert slug_of(new) == ""


def test_addresses_of_one_key_do_not_bind_the_other(house: House) -> None:
    first = house.newcomer()
    arguments = ("issue", house.newest, "--exchange", "okx", "--ip", "10.0.0.0/8")
    second = house.proxy.bot(issued_by(users(house, *arguments))[0])
    soon("the second key is bound", lambda: slug_of(second) == "ip_not_allowed")
    assert slug_of(first) == ""


def test_what_is_listed_holds_no_secret(house: House) -> None:
    bot = house.newcomer("--allow", "transfer,deposit", "--ip", "127.0.0.1/32")
    for arguments in (("list",), ("list", "--json"), ("show", house.newest)):
        text = users(house, *arguments).stdout
        assert house.newest in text
        for secret in (bot.triple.secret, bot.triple.passphrase, bot.triple.api_key):
            assert secret not in text
    account = next(
        each
        for each in json.loads(users(house, "list", "--json").stdout)
        if each["name"] == house.newest
    )
    assert (account["exchange"], account["account"], account["state"]) == ("okx", "main", "active")
    assert (account["allow"], account["ip"]) == (["deposit", "transfer"], ["127.0.0.1/32"])


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ("add", "zoe")),
        (2, ("add", "zoe", "--exchange", "nowhere")),
        (2, ("add", "zoe", "--exchange", "okx", "--allow", "everything")),
        (2, ("add", "zoe", "--exchange", "okx", "--ip", "10.0.0.0/33")),
        (2, ("add", "zoe", "--exchange", "okx", "--code", "not-a-code!")),
        (2, ("add", "zoe", "--exchange", "okx", "--mode", "keyless")),
        (2, ("add", "", "--exchange", "okx")),
        (2, ("frobnicate",)),
        (1, ("add", "zoe", "--exchange", "okx")),  # nothing on standard input
        (1, ("show", "nobody")),
        (1, ("disable", "nobody")),
        (1, ("remove", "alice", "--account", "second")),
        (1, ("revoke", "nothing")),
        (1, ("rotate", "nobody", "--exchange", "okx")),
    ],
)
def test_commands_that_cannot_work_say_so(
    house: House, code: int, arguments: tuple[str, ...]
) -> None:
    assert fails(house, code, *arguments).startswith("tagproxy: ")


@pytest.mark.parametrize(
    "stdin", ["{", "[]", '{"api_key": "SECRETa"}', '{"api_key": 1}', "SECRETa" * 20_000]
)
def test_bad_input_is_not_repeated(house: House, stdin: str) -> None:
    words = fails(house, 1, "add", "zoe", "--exchange", "okx", stdin=stdin)
    assert "SECRETa" not in words


def test_an_exchange_key_belongs_to_one_account(house: House) -> None:
    real = house.simulator.add_user()
    users(house, "add", "owner", "--exchange", "okx", stdin=real.as_json())
    fails(house, 1, "add", "thief", "--exchange", "okx", "--issue", stdin=real.as_json())
    fails(house, 1, "show", "thief")
