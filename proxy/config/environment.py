"""`TAGPROXY_EXCHANGES__OKX_US__REST_URL=…`: environment variables laid over the file.

`__` parts the names of tables, `-` is written as `_`. Text that begins with `[` or `{` is read
as TOML, so that arrays, tables and `{ file = "…" }` can be given too.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Final

from proxy.config.values import EnvText
from proxy.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.config.toml_lines import KeyPath

PREFIX: Final = "TAGPROXY_"


def overlay(
    tree: dict[str, Any], environ: Mapping[str, str]
) -> tuple[dict[KeyPath, str], list[Fault]]:
    """Set in `tree` what the environment says.

    Returns which variable set which key, and the variables that cannot be read. A variable that
    a `{ env = … }` names holds a secret and is no override.
    """
    faults: list[Fault] = []
    values: dict[str, object] = {}
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        try:
            values[name] = _value(environ[name])
        except tomllib.TOMLDecodeError:
            faults.append(Fault(f"environment variable {name}", 0, "", "is not a TOML value"))
    secrets = {*_named(tree), *(found for value in values.values() for found in _named(value))}
    overrides: dict[KeyPath, str] = {}
    for name, value in values.items():
        if name not in secrets:
            path = _path(name)
            if _set(tree, path, value):
                overrides[path] = name
            else:
                faults.append(Fault(f"environment variable {name}", 0, "", "unknown key"))
    return overrides, [fault for fault in faults if fault.file.split()[-1] not in secrets]


def _value(written: str) -> object:
    if written.startswith(("[", "{")):
        return tomllib.loads(f"value = {written}")["value"]
    return EnvText(written)


def _path(name: str) -> tuple[str, ...]:
    parts = name.removeprefix(PREFIX).lower().split("__")
    if parts[0] == "exchanges" and len(parts) > 1:
        parts[1] = parts[1].replace("_", "-")  # no exchange's name has an underscore
    return tuple(parts)


def _set(tree: dict[str, Any], path: tuple[str, ...], value: object) -> bool:
    for part in path[:-1]:
        inner = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            return False  # a value stands where the variable's name has a table
        tree = inner
    tree[path[-1]] = value
    return True


def _named(value: object) -> Iterator[str]:
    """The names of variables that `{ env = … }` anywhere in `value` speaks of."""
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(name := value.get("env"), str):
            yield name
        for inner in value.values():
            yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)
