"""What the commands of `tagproxy users` share: the objects they work with, input and output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import orjson

from proxy.errors import CommandError, TagproxyError
from proxy.model import KeyTriple

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from proxy.accounts.database import Database
    from proxy.accounts.enrolment import Enrolment
    from proxy.accounts.store import AccountRow, Store
    from proxy.clock import Clock
    from proxy.config import Config
    from proxy.exchanges.spec import Exchange

_INPUT_BYTES_MAX: Final = 65_536
TRIPLE_FIELDS: Final = ("api_key", "secret", "passphrase")


@final
class UsageFault(TagproxyError):
    """The command line asks for what cannot be (exit 2)."""


@final
class Desk(NamedTuple):
    """What every command works with; `kinds` are the exchanges by kind."""

    config: Config
    kinds: Mapping[str, Exchange]
    database: Database
    store: Store
    enrolment: Enrolment
    clock: Clock

    def exchange(self, name: str) -> Exchange:
        """Return what the table `name` is a site of. Raises `UsageFault`."""
        table = self.config.exchanges.get(name)
        if table is None:
            known = ", ".join(sorted(self.config.exchanges)) or "none"
            raise UsageFault(f"--exchange: the configuration has no {name} (it has: {known})")
        return self.kinds[table.kind]

    async def named(self, args: argparse.Namespace) -> list[AccountRow]:
        """Return the accounts that a command is about, one at least. Raises `CommandError`."""
        rows = await self.store.find(args.name, args.exchange, args.account)
        if not rows:
            label = f"account {args.account} of " if args.account else ""
            where = f" on {args.exchange}" if args.exchange else ""
            raise CommandError(f"there is no {label}{args.name}{where}")
        return rows


def read_triple() -> KeyTriple:
    """Read credentials from standard input: a part that is missing is "".

    Raises `CommandError`, never quoting them.
    """
    given = sys.stdin.buffer.read(_INPUT_BYTES_MAX + 1)
    try:
        fields = orjson.loads(given) if len(given) <= _INPUT_BYTES_MAX else None
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict) or not all(isinstance(one, str) for one in fields.values()):
        raise CommandError('standard input is not {"api_key": …, "secret": …, "passphrase": …}')
    if not fields.keys() <= set(TRIPLE_FIELDS):
        raise CommandError("standard input has other fields than api_key, secret, passphrase")
    return KeyTriple(*(fields.get(name, "") for name in TRIPLE_FIELDS))


def issued_object(issued: KeyTriple, issued_id: str) -> dict[str, str]:
    """Return issued credentials in the form in which an operator's own are read, and their id."""
    shown = {name: getattr(issued, name) for name in TRIPLE_FIELDS}
    if not issued.passphrase:
        del shown["passphrase"]
    return shown | {"id": issued_id}


def print_json(value: Any) -> None:
    """Print one line of JSON."""
    print(orjson.dumps(value).decode())


def print_note(text: str) -> None:
    """Say something beside what was asked for."""
    print("tagproxy:", text, file=sys.stderr)


def place_of(row: AccountRow) -> str:
    """Return how an account is spoken of."""
    return f"{row.user}: account {row.label} on {row.exchange}"
