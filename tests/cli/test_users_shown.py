"""`users list` and `show` after a proxy has served: what is told, and never a secret."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from proxy.accounts.activity import Activity
from proxy.accounts.database import Database
from proxy.accounts.records import Doings, Facts, save
from proxy.accounts.settling import real_of
from proxy.accounts.store import Store
from proxy.clock import SystemClock
from tests.cli.commands import Commands

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR_MS = 3_600_000
NOTHING_KNOWN: dict[str, Any] = {
    "last_seen": None,
    "key_health": "unknown",
    "key_health_at": None,
    "uid": "",
    "main_uid": "",
    "permissions": [],
    "bound_to": [],
    "learned": None,
    "clock_offset_ms": None,
    "orders_24h": 0,
    "refusals_24h": {},
    "last_refusal": None,
}


def now_ms() -> int:
    return SystemClock.wall_ms()


def did(users: Commands, name: str, do: Callable[[Activity], object]) -> None:
    """Write down what an account did, as a proxy does."""
    activity = Activity()
    do(activity)

    async def write() -> None:
        database = await Database.open(f"sqlite:///{users.folder}/tagproxy.db")
        (row,) = await Store(database).find(name)
        await save(database, [], [Doings(row.id, activity.last_seen_ms, activity.encode())])
        await database.close()

    asyncio.run(write())


def learned(users: Commands, name: str, **facts: Any) -> None:
    """Write down what an exchange told of an account's key."""

    async def write() -> None:
        database = await Database.open(f"sqlite:///{users.folder}/tagproxy.db")
        (row,) = await Store(database).find(name)
        real = real_of(row)
        assert real is not None
        await save(database, [Facts(row.id, (real.id, real.fingerprint), **facts)], [])
        await database.close()

    asyncio.run(write())


def test_an_account_nobody_used_shows_nothing(users: Commands) -> None:
    users.add("alice")
    account = users.account("alice")
    assert {name: account[name] for name in NOTHING_KNOWN} == NOTHING_KNOWN
    text = users.done("show", "alice")
    assert "never" in text
    assert "not known" in text


def test_show_tells_how_an_account_fares(users: Commands) -> None:
    users.add("alice")
    seen_ms = now_ms() - 5 * HOUR_MS

    def do(activity: Activity) -> None:
        activity.seen(seen_ms - 48 * HOUR_MS, 100)
        activity.seen(seen_ms, 7)
        for _ in range(3):
            activity.refused(seen_ms, "rate_limited", "POST trade/order", "waited 2000 ms")
        activity.refused(seen_ms, "bad_signature", "GET account/config", "look at the secret")
        activity.health(seen_ms, "50111")
        activity.clock_off_ms = -40

    did(users, "alice", do)
    learned(
        users,
        "alice",
        uid="501",
        main_uid="500",
        addresses=("203.0.113.7",),
        permissions=("read_only", "trade"),
        learned_ms=seen_ms,
    )
    account = users.account("alice")
    at = account["last_seen"]
    assert at.endswith("+00:00")
    assert account["key_health_at"] == account["learned"] == at
    assert (account["key_health"], account["uid"], account["main_uid"]) == ("50111", "501", "500")
    assert account["permissions"] == ["read_only", "trade"]
    assert account["bound_to"] == ["203.0.113.7"]
    assert (account["orders_24h"], account["clock_offset_ms"]) == (7, -40)
    assert account["refusals_24h"] == {"rate_limited": 3, "bad_signature": 1}
    assert account["last_refusal"] == {
        "at": at,
        "slug": "bad_signature",
        "endpoint": "GET account/config",
        "facts": "look at the secret",
    }
    shown = " ".join(users.done("show", "alice").split())
    for words in (
        "health 50111 at",
        "501, main account 500",
        "read_only, trade",
        "bound to 203.0.113.7",
        "-40 ms",
        "orders in 24 h 7",
        "rate_limited 3, bad_signature 1",
        f"{at} bad_signature GET account/config look at the secret",
    ):
        assert words in shown


def test_a_key_bound_to_nothing_is_told_from_one_not_asked_about(users: Commands) -> None:
    users.add("alice")
    facts = {"uid": "501", "main_uid": "", "addresses": (), "permissions": ()}
    learned(users, "alice", **facts, learned_ms=now_ms())
    assert "bound to        nothing" in users.done("show", "alice")


def seen_before(hours: int) -> Callable[[Activity], None]:
    return lambda activity: activity.seen(now_ms() - hours * HOUR_MS, 1)


def test_idle_lists_those_not_seen_for_so_long_and_those_never_seen(users: Commands) -> None:
    for name, hours in (("busy", 1), ("idle", 30), ("longer", 50)):
        users.add(name)
        did(users, name, seen_before(hours))
    users.add("never")
    users.add("elsewhere", exchange="okx-us")

    def names(*words: str) -> list[str]:
        return [row["name"] for row in users.json("list", *words)]

    assert len(names()) == 5
    assert names("--idle", "24h") == ["elsewhere", "idle", "longer", "never"]
    assert names("--idle", "2d") == ["elsewhere", "longer", "never"]
    assert names("--idle", "24h", "--exchange", "okx") == ["idle", "longer", "never"]
    assert "busy" not in users.done("list", "--idle", "24h")
    seen = {row["name"]: row["last_seen"] for row in users.json("list")}
    assert seen["busy"] is not None
    assert seen["never"] is None


@pytest.mark.parametrize("value", ["soon", "24", ""])
def test_idle_wants_a_duration(users: Commands, value: str) -> None:
    assert "24h" in users.refused(2, "list", "--idle", value)


def test_activity_that_is_damaged_does_not_keep_anything_from_being_shown(users: Commands) -> None:
    users.add("alice")
    seen_ms = now_ms()

    async def write() -> None:
        database = await Database.open(f"sqlite:///{users.folder}/tagproxy.db")
        (row,) = await Store(database).find("alice")
        await save(database, [], [Doings(row.id, seen_ms, b"rubbish")])
        await database.close()

    asyncio.run(write())
    account = users.account("alice")
    assert account["last_seen"] is not None
    assert account["orders_24h"] == 0


def test_nothing_that_is_shown_moves_a_cursor(users: Commands) -> None:
    users.add("alice")
    facts = "px \x1b[2J\x07 must be a number"
    did(users, "alice", lambda one: one.refused(now_ms(), "bad_request", "POST trade/order", facts))
    text = users.done("show", "alice")
    assert "px ?[2J? must be a number" in text
    assert "\x1b" not in text
