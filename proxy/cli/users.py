"""`tagproxy users`: parse, call, print.

Real credentials come in on standard input, never as arguments. A running `serve` sees every
change within a second. Exit codes: 0 done, 1 failed, 2 bad usage, 78 wrong master key.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import orjson

from proxy.accounts.credentials import KeyOnly
from proxy.accounts.database import Database
from proxy.accounts.enrolment import Enrolment, NewAccount
from proxy.accounts.store import Store
from proxy.accounts.vault import Vault
from proxy.cli import users_arguments, users_shown
from proxy.clock import SystemClock
from proxy.errors import CommandError, StoreError, TagproxyError, VaultError
from proxy.model import KeyTriple, Tag

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Mapping

    from proxy.accounts.credentials import Held
    from proxy.accounts.store import AccountRow
    from proxy.config import Config
    from proxy.exchanges.spec import Exchange

FAILED: Final = 1
BAD_USAGE: Final = 2
BAD_CONFIG: Final = 78
_INPUT_CHARS_MAX: Final = 65_536
_ISSUE_RANDOM_BYTES: Final = 64
SERVED_MODES: Final = ("sign",)  # of those an account may be stored in
_SIGNED_TAGS: Final = frozenset((Tag.BODY, Tag.EACH_ITEM, Tag.WS_ARGS, Tag.QUERY_FILTER))


@final
class UsageFault(TagproxyError):
    """The command line asks for what cannot be (exit 2)."""


class _Desk(NamedTuple):
    """What every command works with."""

    config: Config
    kinds: Mapping[str, Exchange]
    store: Store
    enrolment: Enrolment


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
            store = Store(database)
            enrolment = Enrolment(store, vault, SystemClock())
            await enrolment.expect_own_database()
            await _COMMANDS[args.users_command](_Desk(config, kinds, store, enrolment), args)
        finally:
            await database.close()
    except VaultError as error:
        return _failed(error, BAD_CONFIG)
    except UsageFault as error:
        return _failed(error, BAD_USAGE)
    except (CommandError, StoreError) as error:
        return _failed(error, FAILED)
    return 0


def _failed(error: Exception, code: int) -> int:
    print("tagproxy:", " ".join(str(error).split()), file=sys.stderr)
    return code


# ---- the commands -------------------------------------------------------------------------


async def _add(desk: _Desk, args: argparse.Namespace) -> None:
    exchange = _exchange(desk, args.exchange)
    _check_mode(exchange, args)
    if args.code and (fault := exchange.code_fault(args.code)):
        raise UsageFault(f"--code: {fault}")
    new = NewAccount(
        args.name, args.exchange, args.account, args.mode, args.allow, args.ip, args.code
    )
    held = _read_held(exchange, args.mode)
    issued = exchange.issue(os.urandom(_ISSUE_RANDOM_BYTES)) if args.issue else None
    issued_id = await desk.enrolment.add(new, held, issued)
    if issued is not None:
        _print_issued(issued, issued_id)
    else:
        print(f"added {args.name}: account {args.account} on {args.exchange}")


async def _list(desk: _Desk, args: argparse.Namespace) -> None:
    rows = await desk.store.find(None, args.exchange, args.account)
    if args.json:
        _print_json([users_shown.account_object(row) for row in rows])
    else:
        print(users_shown.accounts_text(rows))


async def _show(desk: _Desk, args: argparse.Namespace) -> None:
    shown = users_shown.user_object(args.name, await _named(desk, args), desk.enrolment)
    if args.json:
        _print_json(shown)
    else:
        print(users_shown.user_text(shown))


async def _disable(desk: _Desk, args: argparse.Namespace) -> None:
    rows = await _named(desk, args)
    await desk.store.change(_ids(rows), {"disabled": args.mode, "reason": args.reason})
    _print_done(f"disabled ({args.mode})", rows)


async def _enable(desk: _Desk, args: argparse.Namespace) -> None:
    rows = await _named(desk, args)
    await desk.store.change(_ids(rows), {"disabled": "", "reason": ""})
    _print_done("enabled", rows)


async def _remove(desk: _Desk, args: argparse.Namespace) -> None:
    rows = await _named(desk, args)
    await desk.store.remove(_ids(rows))
    _print_done("removed", rows)


async def _issue(desk: _Desk, args: argparse.Namespace) -> None:
    row, issued = await _to_issue(desk, args)
    _print_issued(issued, await desk.enrolment.issue(row, issued, args.label, args.ip))


async def _rotate(desk: _Desk, args: argparse.Namespace) -> None:
    row, issued = await _to_issue(desk, args)
    _print_issued(issued, await desk.enrolment.rotate(row, issued, args.overlap))


async def _revoke(desk: _Desk, args: argparse.Namespace) -> None:
    if not await desk.store.revoke(args.id):
        raise CommandError(f"no issued credentials have the id {args.id}")
    print(f"revoked {args.id}")


_COMMANDS: Final[dict[str, Callable[[_Desk, argparse.Namespace], Awaitable[None]]]] = {
    "add": _add,
    "list": _list,
    "show": _show,
    "disable": _disable,
    "enable": _enable,
    "remove": _remove,
    "issue": _issue,
    "rotate": _rotate,
    "revoke": _revoke,
}


# ---- what they share ----------------------------------------------------------------------


def _exchange(desk: _Desk, name: str) -> Exchange:
    table = desk.config.exchanges.get(name)
    if table is None:
        known = ", ".join(sorted(desk.config.exchanges)) or "none"
        raise UsageFault(f"--exchange: the configuration has no {name} (it has: {known})")
    return desk.kinds[table.kind]


def _check_mode(exchange: Exchange, args: argparse.Namespace) -> None:
    """Refuse modes that cannot work: nothing signed can be changed without the secret."""
    if args.mode == "keyless" and any(row.tag in _SIGNED_TAGS for row in exchange.endpoints):
        raise UsageFault(f"--mode keyless: {args.exchange} signs the code, so its secret is needed")
    if args.mode != "sign" and args.issue:
        raise UsageFault(f"--issue: in mode {args.mode} bots sign with their own exchange key")
    if args.mode == "observe" and args.code:
        raise UsageFault("--code: in mode observe nothing is changed")
    if args.mode not in SERVED_MODES:
        raise UsageFault(f"--mode {args.mode}: this version serves accounts in mode sign only")


def _read_held(exchange: Exchange, mode: str) -> Held:
    """Read real credentials from standard input. Raises `CommandError`, never quoting them."""
    text = sys.stdin.read(_INPUT_CHARS_MAX + 1)
    try:
        fields = orjson.loads(text) if len(text) <= _INPUT_CHARS_MAX else None
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict) or not all(isinstance(one, str) for one in fields.values()):
        raise CommandError('standard input is not {"api_key": …, "secret": …, "passphrase": …}')
    if not set(fields) <= {"api_key", "secret", "passphrase"}:
        raise CommandError("standard input has other fields than api_key, secret, passphrase")
    api_key = fields.get("api_key", "")
    if mode != "sign":
        if not api_key or not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
            raise CommandError("standard input: the api_key is missing or is no API key")
        return KeyOnly(api_key)
    triple = KeyTriple(api_key, fields.get("secret", ""), fields.get("passphrase", ""))
    if fault := exchange.triple_fault(triple):
        raise CommandError(f"standard input: {fault}")
    return triple


async def _named(desk: _Desk, args: argparse.Namespace) -> list[AccountRow]:
    rows = await desk.store.find(args.name, args.exchange, args.account)
    if not rows:
        label = f"account {args.account} of " if args.account else ""
        where = f" on {args.exchange}" if args.exchange else ""
        raise CommandError(f"there is no {label}{args.name}{where}")
    return rows


async def _to_issue(desk: _Desk, args: argparse.Namespace) -> tuple[AccountRow, KeyTriple]:
    exchange = _exchange(desk, args.exchange)
    row = (await _named(desk, args))[0]
    if row.mode != "sign":
        raise CommandError(f"in mode {row.mode} bots sign with their own exchange key")
    return row, exchange.issue(os.urandom(_ISSUE_RANDOM_BYTES))


def _ids(rows: list[AccountRow]) -> list[str]:
    return [row.id for row in rows]


def _print_issued(issued: KeyTriple, issued_id: str) -> None:
    shown = {"api_key": issued.api_key, "secret": issued.secret}
    if issued.passphrase:
        shown["passphrase"] = issued.passphrase
    _print_json(shown | {"id": issued_id})


def _print_json(value: Any) -> None:
    print(orjson.dumps(value).decode())


def _print_done(what: str, rows: list[AccountRow]) -> None:
    for row in rows:
        print(f"{what} {row.user}: account {row.label} on {row.exchange}")
