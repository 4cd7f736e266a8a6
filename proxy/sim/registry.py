"""Finds the simulated exchanges: every package here is one, see `proxy.sim.exchange`.

The folder is the registration; nothing else names an exchange.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import proxy.sim
from proxy.errors import TagproxyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.sim.exchange import Simulated


class BrokenSimulator(TagproxyError):
    """A simulated exchange's folder cannot be used; the text names it and says why."""


def kinds(folders: Iterable[str] = proxy.sim.__path__) -> tuple[str, ...]:
    """Return the name of every exchange that is here, nothing imported."""
    found = (entry for folder in folders for entry in Path(folder).iterdir())
    return tuple(sorted(entry.name for entry in found if (entry / "__init__.py").is_file()))


def make(kind: str, package: str = "proxy.sim") -> Simulated:
    """Make a fresh exchange without users. Raises `BrokenSimulator`."""
    try:
        made: Simulated = importlib.import_module(f"{package}.{kind}").EXCHANGE()
    except Exception as error:  # whatever is wrong with it, the name must be told
        raise BrokenSimulator(f"simulator {kind}: {type(error).__name__}: {error}") from error
    if made.kind != kind or not made.venues or made.venues[0] != "main":
        raise BrokenSimulator(f"simulator {kind}: its kind is {made.kind!r}, {made.venues=}")
    return made


def exchanges(only: Iterable[str] = ()) -> list[Simulated]:
    """Make every exchange, or `only` those, in the order in which they are shown. Raises
    `BrokenSimulator`."""
    made = [make(kind) for kind in tuple(only) or kinds()]
    return sorted(made, key=lambda exchange: (exchange.place, exchange.kind))
