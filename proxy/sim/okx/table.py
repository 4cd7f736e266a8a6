"""Reads `okx.toml`: what the simulated OKX serves and how it counts. Its own table on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

from proxy.sim import table

PREFIX: Final = "/api/v5/"
BROKER_GROUPS: Final = ("DMA broker", "FD broker")


@final
@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` units in `span_ns`, counted apart for each value of `scope`."""

    count: int
    span_ns: int
    scope: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One endpoint."""

    method: str
    path: str
    rates: tuple[Rate, ...]
    permission: str  # public, read, trade, withdraw
    group: str
    option_scope: tuple[str, ...] = ()
    items_max: int = 0  # 0: takes an object, not an array
    single: str = ""  # "METHOD path" of the row an array of one is charged to
    tag: str = ""
    capped: bool = False
    lead: Rate | None = None  # in place of the first rate, on a lead trader's lead instruments

    @property
    def name(self) -> str:
        """Return `METHOD path`."""
        return f"{self.method} {self.path}"


@final
@dataclass(slots=True)
class _Notes:
    rates: list[Rate] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)


def load() -> dict[str, Row]:
    """Return every row by `METHOD path`."""
    rows = [parse_row(line, group) for group, line in table.lines("proxy.sim.okx", "okx.toml")]
    return {row.name: row for row in rows}


def parse_row(line: str, group: str = "") -> Row:
    """Read one line of the table; raises ValueError when it makes no sense."""
    method, path, limit, scope, permission, *rest = line.split()
    notes = _notes(rest)
    if limit != "-":
        notes.rates.insert(0, _rate(f"{limit}:{scope}"))
    words = notes.words
    single = words.get("single", "")
    return Row(
        method=method,
        path=_whole(path),
        rates=tuple(notes.rates),
        permission=permission,
        group=group,
        option_scope=tuple(words["option"].split("+")) if "option" in words else (),
        items_max=int(words.get("items", 0)),
        single=f"{method} {_whole(single)}" if single else "",
        tag=words.get("tag", ""),
        capped="cap" in words,
        lead=_rate(f"{words['lead']}:{scope}") if "lead" in words else None,
    )


def _notes(rest: list[str]) -> _Notes:
    notes = _Notes()
    for word in rest:
        key, _, value = word.partition("=")
        if key == "also":
            notes.rates.append(_rate(value))
        else:
            notes.words[key] = value
    return notes


def _rate(text: str) -> Rate:
    limit, _, scope = text.partition(":")
    count, span_ns = table.rate(limit)
    return Rate(count, span_ns, tuple(scope.split("+")))


def _whole(path: str) -> str:
    return path if path.startswith("/") else PREFIX + path
