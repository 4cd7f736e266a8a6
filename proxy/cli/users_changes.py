"""`users add`, `set` and `set-key`: one account by the words of a command line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.accounts.credentials import fingerprint, usable
from proxy.accounts.enrolment import NewAccount
from proxy.accounts.settling import Owner, real_of
from proxy.accounts.terms import Terms, held_of
from proxy.cli.users_desk import (
    UsageFault,
    issued_object,
    place_of,
    print_json,
    print_note,
    read_triple,
)
from proxy.errors import CommandError
from proxy.model import KeyTriple

if TYPE_CHECKING:
    import argparse

    from proxy.accounts.credentials import Held
    from proxy.accounts.store import AccountRow
    from proxy.cli.users_desk import Desk
    from proxy.exchanges.spec import Exchange

_ISSUE_RANDOM_BYTES: Final = 64


async def add(desk: Desk, args: argparse.Namespace) -> None:
    """Add an account."""
    exchange = desk.exchange(args.exchange)
    mode = args.mode or "sign"
    new = NewAccount(
        *(args.name, args.exchange, args.account, mode),
        *(args.allow or (), args.ip or (), args.code or ""),
    )
    _expect_possible(
        Terms(args.name, args.exchange, mode=mode, code=new.code, issue=args.issue), exchange
    )
    held = _held(read_triple(), mode, exchange)
    issued = exchange.issue(os.urandom(_ISSUE_RANDOM_BYTES)) if args.issue else None
    issued_id = await desk.enrolment.add(new, held, issued)
    if issued is not None:
        print_json(issued_object(issued, issued_id))
    else:
        print(f"added {args.name}: account {args.account} on {args.exchange}")


async def change(desk: Desk, args: argparse.Namespace) -> None:
    """Change what is given of an account."""
    exchange = desk.exchange(args.exchange)
    given = (args.mode, args.allow, args.ip, args.code)
    if all(value is None for value in given):
        raise UsageFault("there is nothing to change: give --allow, --ip, --code or --mode")
    terms = Terms(args.name, args.exchange, args.account, *given)
    _expect_possible(terms, exchange)
    (row,) = await desk.named(args)
    settled = await desk.enrolment.change(terms, exchange)
    print("changed" if settled.result == "changed" else "nothing to change for", place_of(row))


async def change_key(desk: Desk, args: argparse.Namespace) -> None:
    """Replace an account's real credentials, if they are its own user's."""
    exchange = desk.exchange(args.exchange)
    given = read_triple()
    terms = Terms(args.name, args.exchange, args.account, args.mode, real=given)
    _expect_possible(terms, exchange)
    (row,) = await desk.named(args)
    held = _held(given, args.mode or row.mode, exchange)
    stored = real_of(row)
    owner, note = None, ""
    if stored is not None and stored.fingerprint != fingerprint(row.exchange, given.api_key):
        desk.enrolment.settler.settle(terms, row, exchange, Owner())  # before anybody is asked
        owner, note = await _owner(desk, row, held, force=args.force)
    seen = stored.id if stored is not None else ""
    settled = await desk.enrolment.change(terms, exchange, owner, seen)
    print(
        "replaced the key of" if settled.result == "changed" else "nothing to change for",
        place_of(row),
    )
    if note:
        print_note(note)


def _expect_possible(terms: Terms, exchange: Exchange) -> None:
    if fault := terms.fault(exchange):
        raise UsageFault(f"--{fault}")


def _held(real: KeyTriple, mode: str, exchange: Exchange) -> Held:
    try:
        return held_of(real, mode, exchange)
    except CommandError as error:
        raise CommandError(f"standard input: {error}") from error


async def _owner(desk: Desk, row: AccountRow, held: Held, *, force: bool) -> tuple[Owner, str]:
    """Return whose the new key is, and what the operator should know of that. Raises
    `CommandError` where it may be another user than the account's and that was not forced."""
    asked = await _asked(desk, row, held)
    owner = asked.owner
    if owner is not None and row.uid == owner.uid:
        return owner, ""
    if owner is not None and not row.uid:
        return owner, f"the account's uid was not known; the new key's is {owner.uid}"
    if owner is not None:
        doubt = f"the key is of the exchange's user {owner.uid}, the account of {row.uid}"
    elif row.uid:
        doubt = f"{asked.why}; whether the key is of the account's user {row.uid} is not known"
    else:
        doubt = asked.why
    if not force and (row.uid or asked.refused):
        raise CommandError(f"{doubt}; --force replaces it all the same")
    return owner or Owner(), doubt


class _Asked(NamedTuple):
    owner: Owner | None
    why: str = ""  # there is none
    refused: bool = False  # the exchange does not take the key


async def _asked(desk: Desk, row: AccountRow, held: Held) -> _Asked:
    if not isinstance(held, KeyTriple):
        return _Asked(None, "without its secret nobody can be asked whose the key is")
    from proxy.cli.exchange_calls import CallError, whose  # its libraries take 0.2 s

    table = desk.config.exchanges[row.exchange]
    try:
        told = await whose(table, desk.exchange(row.exchange), usable(held), desk.clock)
    except CallError as error:
        return _Asked(None, f"{row.exchange} does not answer: {error}")
    if told.learned is None:
        return _Asked(None, f"{row.exchange} says: {told.words}", told.key_refused)
    return _Asked(Owner(told.learned.uid, told.learned.main_uid))
