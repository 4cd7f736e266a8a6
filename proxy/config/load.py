"""From a file and an environment to a `Config`, or to every fault in them at once."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from proxy.config.cautions import bot_ports, note_cautions
from proxy.config.environment import overlay
from proxy.config.exchange_tables import read_exchanges
from proxy.config.sections import (
    read_admin,
    read_limits,
    read_security,
    read_server,
    read_storage,
    read_tagging,
)
from proxy.config.shape import Config
from proxy.config.source import Source, written
from proxy.config.toml_lines import locate
from proxy.errors import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config.shape import Address
    from proxy.config.toml_lines import KeyPath
    from proxy.exchanges.spec import Exchange

_HERE: Final = Path("proxy.toml")
_INSTALLED: Final = Path("/etc/tagproxy/proxy.toml")
_SYNTAX_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)$")
_TABLES: Final = ("server", "admin", "storage", "limits", "security", "tagging", "exchanges")


def choose_path(given: str | Path | None) -> Path:
    """The configuration file: the one given, else the one here, else the installed one."""
    if given is not None:
        return Path(given)
    # False where this user may not look, as Path.exists is not
    return _HERE if os.path.exists(_HERE) else _INSTALLED


def load(path: Path, environ: Mapping[str, str], exchanges: Mapping[str, Exchange]) -> Config:
    """Read and check a whole configuration; `exchanges` are the kinds that can be served.

    Raises `ConfigError` with every fault found.
    """
    source = _source(path, environ)
    config = Config(
        server=read_server(source.whole("server")),
        admin=read_admin(source.whole("admin")),
        storage=read_storage(source.whole("storage")),
        limits=read_limits(source.whole("limits")),
        security=read_security(source.whole("security")),
        tagging=read_tagging(source.whole("tagging")),
        exchanges=read_exchanges(source, exchanges),
        path=path,
        cautions=(),
    )
    for name in source.tree.keys() - set(_TABLES):
        source.fault((name,), "unknown key")
    _check_ports(source, config)
    if source.faults:
        raise ConfigError(sorted(source.faults, key=lambda fault: (fault.file, fault.line)))
    note_cautions(source, config, exchanges)
    return replace(config, cautions=tuple(source.cautions))


def _source(path: Path, environ: Mapping[str, str]) -> Source:
    text = _text(path)
    try:
        tree: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_fault(path, text, error)]) from error
    lines = locate(text)
    overrides, faults = overlay(tree, environ)
    source = Source(path, tree, lines, overrides, environ)
    source.faults.extend(faults)
    return source


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError([Fault(str(path), 0, "", "no such file; name one with -c")]) from error
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise ConfigError([Fault(str(path), 0, "", what)]) from error
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Fault(str(path), line, "", "is not UTF-8")]) from error


def _syntax_fault(path: Path, text: str, error: tomllib.TOMLDecodeError) -> Fault:
    found = _SYNTAX_LINE.search(str(error))
    line = int(found[1]) if found else text.rstrip("\n").count("\n") + 1
    return Fault(str(path), line, "", str(error).partition(" (at ")[0])


def _check_ports(source: Source, config: Config) -> None:
    first: dict[Address, KeyPath] = {}
    listens = [*bot_ports(config), (("admin", "listen"), config.admin.listen)]
    listens.sort(key=lambda entry: source.says(entry[0]))  # a default is not to blame
    for path, address in listens:
        if address.port and first.setdefault(address, path) != path:
            source.fault(path, f"{address} is taken by {written(first[address])}")
