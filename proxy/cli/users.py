"""`tagproxy users`: parse, call, print.

Real credentials come in on standard input, never as arguments. A running `serve` sees every
change within a second. Exit codes: 0 done, 1 failed, 2 bad usage, 78 wrong master key.

    users          what is quickly done       users_shown     how accounts look
    users_changes  add, set, set-key          users_import    many at once
    users_check    ask the exchange           users_desk      what they share
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from proxy.accounts.chronicle import activities
from proxy.accounts.database import Database
from proxy.accounts.enrolment import Enrolment
from proxy.accounts.records import memories
from proxy.accounts.store import Store
from proxy.accounts.vault import Vault
from proxy.cli import users_arguments, users_changes, users_shown
from proxy.cli.users_desk import Desk, UsageFault, issued_object, place_of, print_json
from proxy.clock import SystemClock
from proxy.errors import CommandError, StoreError, VaultError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Mapping

    from proxy.accounts.store import AccountRow
    from proxy.config import Config
    from proxy.exchanges.spec import Exchange
    from proxy.model import KeyTriple

FAILED: Final = 1
BAD_USAGE: Final = 2
BAD_CONFIG: Final = 78
_ISSUE_RANDOM_BYTES: Final = 64


def register(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    common: argparse.ArgumentParser,
) -> None:
    """Add `users` and its commands; `common` has the options that every command takes.

    The parsed arguments' `run` is this module's `run`.
    """
    parser = subparsers.add_parser("users", help="the accounts that may use the proxy")
    users_arguments.add_commands(parser, common)
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace, config: Config, kinds: Mapping[str, Exchange]) -> int:
    """Run the command in `args`; return its exit code. `kinds` are the exchanges by kind."""
    try:
        vault = Vault([key.reveal() for key in config.storage.master_keys])
        database = await Database.open(config.storage.url)
        try:
            clock, store = SystemClock(), Store(database)
            enrolment = Enrolment(store, vault, clock)
            await enrolment.expect_own_database()
            desk = Desk(config, kinds, database, store, enrolment, clock)
            return await _COMMANDS[args.users_command](desk, args) or 0
        finally:
            await database.close()
    except VaultError as error:
        return _failed(error, BAD_CONFIG)
    except UsageFault as error:
        return _failed(error, BAD_USAGE)
    except (CommandError, StoreError) as error:
        return _failed(error, FAILED)


def _failed(error: Exception, code: int) -> int:
    print("tagproxy:", " ".join(str(error).split()), file=sys.stderr)
    return code


# ---- look ---------------------------------------------------------------------------------


async def _list(desk: Desk, args: argparse.Namespace) -> None:
    rows = await desk.store.find(None, args.exchange, args.account)
    narrowed = bool(args.exchange or args.account)
    done = await activities(desk.database, _ids(rows) if narrowed else None)
    seen = {account_id: one.last_seen_ms for account_id, one in done.items()}
    if args.idle is not None:
        since_ms = desk.clock.wall_ms() - args.idle
        rows = [row for row in rows if seen.get(row.id, 0) <= since_ms]
    shown = [users_shown.account_object(row, seen.get(row.id, 0)) for row in rows]
    if args.json:
        print_json(shown)
    else:
        print(users_shown.accounts_text(shown))


async def _show(desk: Desk, args: argparse.Namespace) -> None:
    rows = await desk.named(args)
    known = await memories(desk.database, _ids(rows))
    shown = users_shown.user_object(
        args.name, rows, known, desk.enrolment, now_ms=desk.clock.wall_ms()
    )
    if args.json:
        print_json(shown)
    else:
        print(users_shown.user_text(shown))


async def _check(desk: Desk, args: argparse.Namespace) -> int:
    from proxy.cli import users_check  # its libraries take 0.2 s

    return await users_check.check(desk, args)


# ---- switch -------------------------------------------------------------------------------


async def _disable(desk: Desk, args: argparse.Namespace) -> None:
    rows = await desk.named(args)
    await desk.store.change(_ids(rows), {"disabled": args.mode, "reason": args.reason})
    _print_done(f"disabled ({args.mode})", rows)


async def _enable(desk: Desk, args: argparse.Namespace) -> None:
    rows = await desk.named(args)
    await desk.store.change(_ids(rows), {"disabled": "", "reason": ""})
    _print_done("enabled", rows)


async def _remove(desk: Desk, args: argparse.Namespace) -> None:
    rows = await desk.named(args)
    await desk.store.remove(_ids(rows))
    _print_done("removed", rows)


# ---- issued credentials -------------------------------------------------------------------


async def _issue(desk: Desk, args: argparse.Namespace) -> None:
    row, issued = await _to_issue(desk, args)
    issued_id = await desk.enrolment.issue(row, issued, args.label, args.ip)
    print_json(issued_object(issued, issued_id))


async def _rotate(desk: Desk, args: argparse.Namespace) -> None:
    row, issued = await _to_issue(desk, args)
    print_json(issued_object(issued, await desk.enrolment.rotate(row, issued, args.overlap)))


async def _revoke(desk: Desk, args: argparse.Namespace) -> None:
    if not await desk.store.revoke(args.id):
        raise CommandError(f"no issued credentials have the id {args.id}")
    print(f"revoked {args.id}")


async def _to_issue(desk: Desk, args: argparse.Namespace) -> tuple[AccountRow, KeyTriple]:
    exchange = desk.exchange(args.exchange)
    row = (await desk.named(args))[0]
    if row.mode != "sign":
        raise CommandError(f"in mode {row.mode} bots sign with their own exchange key")
    return row, exchange.issue(os.urandom(_ISSUE_RANDOM_BYTES))


async def _import(desk: Desk, args: argparse.Namespace) -> int:
    from proxy.cli import users_import

    return await users_import.run(desk, args)


_COMMANDS: Final[dict[str, Callable[[Desk, argparse.Namespace], Awaitable[int | None]]]] = {
    "add": users_changes.add,
    "set": users_changes.change,
    "set-key": users_changes.change_key,
    "import": _import,
    "list": _list,
    "show": _show,
    "check": _check,
    "disable": _disable,
    "enable": _enable,
    "remove": _remove,
    "issue": _issue,
    "rotate": _rotate,
    "revoke": _revoke,
}


def _ids(rows: list[AccountRow]) -> list[str]:
    return [row.id for row in rows]


def _print_done(what: str, rows: list[AccountRow]) -> None:
    for row in rows:
        print(f"{what} {place_of(row)}")
