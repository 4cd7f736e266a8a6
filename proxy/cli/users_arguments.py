"""The arguments of `tagproxy users`: what each command takes and how a value is written.

A value that cannot be is a usage error (exit 2) before anything is read or opened.
"""

from __future__ import annotations

import argparse
from typing import Final

from proxy.config import values
from proxy.model import SENSITIVE_CLASSES

NAME_CHARS_MAX: Final = 64
_TEXT_CHARS_MAX: Final = 200
_MS_NS: Final = 1_000_000


def add_commands(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """Add every command below `users`; the chosen one is `users_command`."""
    commands = parser.add_subparsers(dest="users_command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[common], help=text, description=text)

    add = command("add", "add an account; reads its real credentials, JSON, on standard input")
    _one_account(add)
    add.add_argument("--issue", action="store_true", help="print credentials for the bots, once")
    add.add_argument(
        "--allow",
        type=_classes,
        default=(),
        metavar="CLASS,…",
        help="grant sensitive classes: " + ", ".join(SENSITIVE_CLASSES),
    )
    _networks(add, "where the user's bots may come from")
    add.add_argument("--code", type=_text, default="", help="instead of the exchange's code")
    add.add_argument("--mode", choices=("sign", "keyless", "observe"), default="sign")

    _listing(command("list", "list accounts"))
    show = command("show", "show one user's accounts and issued credentials, never secrets")
    show.add_argument("name", metavar="NAME")
    _listing(show)

    disable = command("disable", "let a user's requests pass no more, or only to close")
    _some_accounts(disable)
    disable.add_argument("--mode", choices=("block", "close-only"), default="block")
    disable.add_argument("--reason", type=_text, default="", metavar="TEXT")
    _some_accounts(command("enable", "end what disable did"))
    _some_accounts(command("remove", "forget a user's accounts and their credentials"))

    issue = command("issue", "print one more set of credentials for an account's bots, once")
    _one_account(issue)
    issue.add_argument("--label", type=_text, default="", metavar="TEXT")
    _networks(issue, "where these credentials may be used from")
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


def _some_accounts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    _narrowing(parser)


def _listing(parser: argparse.ArgumentParser) -> None:
    _narrowing(parser)
    parser.add_argument("--json", action="store_true")


def _narrowing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exchange", metavar="E", help="only on this exchange")
    parser.add_argument("--account", metavar="LABEL", help="only this account")


def _networks(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--ip", type=_cidrs, default=(), metavar="CIDR,…", help=text)


def _name(text: str) -> str:
    if not 0 < len(text) <= NAME_CHARS_MAX or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError(
            f"a name is 1 to {NAME_CHARS_MAX} printable characters without spaces"
        )
    return text


def _text(text: str) -> str:
    if len(text) > _TEXT_CHARS_MAX or not text.isprintable():
        raise argparse.ArgumentTypeError(f"at most {_TEXT_CHARS_MAX} printable characters")
    return text


def _classes(text: str) -> tuple[str, ...]:
    classes = _parts(text)
    unknown = sorted(classes - set(SENSITIVE_CLASSES))
    if unknown:
        known = ", ".join(SENSITIVE_CLASSES)
        raise argparse.ArgumentTypeError(f"no such class: {', '.join(unknown)} (there are {known})")
    return tuple(sorted(classes))


def _cidrs(text: str) -> tuple[str, ...]:
    try:
        return tuple(sorted(str(values.network(part)) for part in _parts(text)))
    except values.Wrong as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _duration_ms(text: str) -> int:
    try:
        return values.duration(text) // _MS_NS
    except values.Wrong as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parts(text: str) -> set[str]:
    return {part.strip() for part in text.split(",") if part.strip()}
