"""The commands: which there are, and how each one ends. A module here per noun.

A module has `register(subparsers)`, which adds its parser and sets `run`: a function of the parsed
arguments (`args.config` is the path of the configuration) that returns an exit code, or an
awaitable of one. Commands on a loaded configuration have `register(subparsers, common)`, and their
`run` also takes the configuration and the exchanges by kind. Only the module of the command at
hand is imported, so that no command pays for another's libraries.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from proxy.config.load import choose_path, load
from proxy.errors import CommandError, ConfigError, TagproxyError, VaultError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

DONE: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2
BAD_CONFIG: Final = 78  # EX_CONFIG of sysexits.h


class _Command(NamedTuple):
    module: str
    help: str
    with_config: bool = False  # works on a loaded configuration


_COMMANDS: Final = {
    "serve": _Command("proxy.cli.serve", "run the proxy until SIGTERM"),
    "check": _Command("proxy.cli.check", "validate the configuration"),
    "demo": _Command("proxy.cli.demo", "show it all, with simulated exchanges"),
    "sim": _Command("proxy.cli.sim", "run the simulated exchanges alone"),
    "users": _Command("proxy.cli.users", "add, change and look at users", with_config=True),
    "vault": _Command("proxy.cli.vault", "change the master key", with_config=True),
}
_LIBRARIES: Final = (
    *("aiohttp", "cryptography", "httptools", "orjson"),
    *("prometheus-client", "sqlalchemy", "uvloop"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are one line each on stderr."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except SystemExit as end:  # argparse: --help, --version, bad usage
        return end.code if isinstance(end.code, int) else FAILED
    except BrokenPipeError:  # whoever read our output went away, which is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place there is
        for line in _words(error).splitlines():
            print(line, file=sys.stderr)
        return BAD_CONFIG if isinstance(error, ConfigError | VaultError) else FAILED


def _run(arguments: list[str]) -> int:
    chosen = _COMMANDS.get(_chosen(arguments))
    args = _parser(chosen).parse_args(arguments)
    args.config = choose_path(getattr(args, "config", None))
    with_config = chosen is not None and chosen.with_config
    code = _run_with_config(args) if with_config else args.run(args)
    if inspect.isawaitable(code):
        code = asyncio.run(_finished(code))
    sys.stdout.flush()
    return int(code)


def _run_with_config(args: argparse.Namespace) -> Any:
    from proxy.exchanges import registry

    kinds = registry.exchanges()
    return args.run(args, load(args.config, os.environ, kinds), kinds)


async def _finished(code: Awaitable[int]) -> int:
    return await code


def _words(error: BaseException) -> str:
    if isinstance(error, ConfigError):
        return str(error)  # each line says itself where it comes from
    if isinstance(error, TagproxyError):
        return f"tagproxy: {' '.join(str(error).split())}"
    if isinstance(error, OSError):
        return f"tagproxy: {_os_words(error)}"
    return f"tagproxy: {_unexpected(error)}" if isinstance(error, Exception) else ""


def _os_words(error: OSError) -> str:
    words = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {words}" if error.filename else words


def _unexpected(error: Exception) -> str:
    """The kind and place of a fault of ours; its text could hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    return f"unexpected {type(error).__name__} at {place}; this is a fault of tagproxy"


class _Parser(argparse.ArgumentParser):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_USAGE, f"tagproxy: {message} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        _values: Any,
        _option: str | None = None,
    ) -> NoReturn:
        print(_version())
        parser.exit()


def _version() -> str:
    import ssl
    from importlib.metadata import version
    from platform import python_version

    from proxy import __version__

    parts = [f"{name} {version(name)}" for name in _LIBRARIES]
    openssl = ssl.OPENSSL_VERSION.removeprefix("OpenSSL ").partition(" ")[0]
    return (
        f"tagproxy {__version__} (python {python_version()}, openssl {openssl}, {', '.join(parts)})"
    )


def _chosen(arguments: list[str]) -> str:
    """The command's name: the first word that is neither an option nor an option's value."""
    words = iter(arguments)
    for word in words:
        if word in ("-c", "--config"):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _parser(chosen: _Command | None) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="tagproxy",
        description="Puts the operator's broker code on every order that bots send to an exchange.",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show versions, key libraries' too, and exit"
    )
    _add_config(parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in _COMMANDS.items():
        if command is chosen:
            _register(name, command, commands)
            _add_config_below(commands.choices[name])
        else:
            commands.add_parser(name, help=command.help)
    return parser


def _register(
    name: str, command: _Command, commands: argparse._SubParsersAction[argparse.ArgumentParser]
) -> None:
    try:
        module = importlib.import_module(command.module)
    except ModuleNotFoundError as error:
        if error.name != command.module:
            raise
        raise CommandError(f"this version has no command {name}") from error
    if command.with_config:
        module.register(commands, _Parser(add_help=False))
    else:
        module.register(commands)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS,  # what was given before the command stays
        help="configuration (default: proxy.toml here, else /etc/tagproxy/proxy.toml)",
    )


def _add_config_below(parser: argparse.ArgumentParser) -> None:
    """Let every command and sub-command take `-c`."""
    if "-c" not in parser._option_string_actions:
        _add_config(parser)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _add_config_below(below)
