"""The arguments of `tagproxy users`: what each command takes.

A value that cannot be is a usage error (exit 2) before anything is read or opened.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeVar

from proxy.accounts.terms import MODES
from proxy.cli import users_values
from proxy.config.values import Wrong
from proxy.model import SENSITIVE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def add_commands(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """Add every command below `users`; the chosen one is `users_command`."""
    commands = parser.add_subparsers(dest="users_command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[common], help=text, description=text)

    _add_changing(command)
    _add_looking(command)
    _add_switching(command)
    _add_issuing(command)


def _add_changing(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    add = command("add", "add an account; reads its real credentials, JSON, on standard input")
    _one_account(add)
    add.add_argument("--issue", action="store_true", help="print credentials for the bots, once")
    _terms(add)
    change = command("set", "change what is given of an account; an empty value clears")
    _one_account(change)
    _terms(change)
    key = command("set-key", "replace an account's real credentials, from standard input")
    _one_account(key)
    key.add_argument("--mode", choices=MODES, help="change the mode with the key")
    key.add_argument(
        "--force", action="store_true", help="though the exchange says it is another user's"
    )
    load = command("import", "add and change accounts by JSON lines; prints one for each")
    load.add_argument("file", metavar="FILE", help="- is standard input")
    load.add_argument("--dry-run", action="store_true", help="look at everything, change nothing")


def _add_looking(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    listing = command("list", "list accounts")
    _listing(listing)
    listing.add_argument(
        "--idle",
        type=_duration_ms,
        metavar="24h",
        help="only those not used for so long, or never",
    )
    show = command("show", "show one user's accounts and issued credentials, never secrets")
    check = command("check", "ask the exchange whether a user's real keys work, and show all of it")
    for each in (show, check):
        each.add_argument("name", metavar="NAME")
        _listing(each)


def _add_switching(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    disable = command("disable", "let a user's requests pass no more, or only to close")
    _some_accounts(disable)
    disable.add_argument("--mode", choices=("block", "close-only"), default="block")
    disable.add_argument("--reason", type=_line, default="", metavar="TEXT")
    _some_accounts(command("enable", "end what disable did"))
    _some_accounts(command("remove", "forget a user's accounts and their credentials"))


def _add_issuing(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    issue = command("issue", "print one more set of credentials for an account's bots, once")
    _one_account(issue)
    issue.add_argument("--label", type=_line, default="", metavar="TEXT")
    _networks(issue, "where these credentials may be used from", ())
    rotate = command("rotate", "replace an account's issued credentials by new ones")
    _one_account(rotate)
    rotate.add_argument(
        "--overlap", type=_duration_ms, default=0, metavar="24h", help="how long the old ones live"
    )
    revoke = command("revoke", "end one set of issued credentials")
    revoke.add_argument("id", metavar="ID")


def _one_account(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=_name)
    parser.add_argument("--exchange", required=True, metavar="E", help="a table of [exchanges]")
    parser.add_argument("--account", default="main", metavar="LABEL", type=_name)


def _terms(parser: argparse.ArgumentParser) -> None:
    """What can be said of an account; None is what was not said."""
    parser.add_argument(
        "--allow",
        type=_classes,
        metavar="CLASS,…",
        help="grant sensitive classes: " + ", ".join(SENSITIVE_CLASSES),
    )
    _networks(parser, "where the user's bots may come from", None)
    parser.add_argument("--code", type=_line, help="instead of the exchange's code")
    parser.add_argument("--mode", choices=MODES)


def _some_accounts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    _narrowing(parser)


def _listing(parser: argparse.ArgumentParser) -> None:
    _narrowing(parser)
    parser.add_argument("--json", action="store_true")


def _narrowing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exchange", metavar="E", help="only on this exchange")
    parser.add_argument("--account", metavar="LABEL", help="only this account")


def _networks(parser: argparse.ArgumentParser, text: str, default: tuple[str, ...] | None) -> None:
    parser.add_argument("--ip", type=_cidrs, default=default, metavar="CIDR,…", help=text)


def _argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse show what is wrong with a value."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except Wrong as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


_name = _argument(users_values.name)
_line = _argument(users_values.line)
_classes = _argument(lambda text: users_values.classes(users_values.parted(text)))
_cidrs = _argument(lambda text: users_values.networks(users_values.parted(text)))
_duration_ms = _argument(users_values.duration_ms)
