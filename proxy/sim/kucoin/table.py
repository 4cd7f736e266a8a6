"""Reads `kucoin.toml`: what the simulated KuCoin serves and how it counts. Its own table."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Final, NamedTuple, final

MAIN: Final = "main"
FUTURES: Final = "futures"
BROKER: Final = "broker"
VENUES: Final = (MAIN, FUTURES, BROKER)
EDGE: Final = "edge"
_SECOND_NS: Final = 1_000_000_000


@final
@dataclass(frozen=True, slots=True)
class Pool:
    """A budget that many endpoints draw on."""

    name: str
    span_ns: int
    quota: tuple[int, ...]  # by VIP level

    def allowed(self, vip: int) -> int:
        """Return what this VIP level may draw in a window."""
        return self.quota[min(vip, len(self.quota) - 1)]


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One endpoint."""

    venue: str
    method: str
    path: str  # with {names} for whole segments
    weight: int  # -1: not published
    pool: str  # "": not published
    permission: str  # public, general, spot, margin, futures, earn, withdraw, transfer, leadtrade
    group: str
    order: bool = False  # creates, tests or amends orders

    @property
    def name(self) -> str:
        """Return `METHOD path`."""
        return f"{self.method} {self.path}"

    @property
    def public(self) -> bool:
        """Return whether anybody may call it."""
        return self.permission == "public"


class Found(NamedTuple):
    """A row, and what stood in the place of its names."""

    row: Row
    names: dict[str, str]


@final
class Table:
    """Every row by venue, exact paths before those with names in them."""

    def __init__(self) -> None:
        text = resources.files("proxy.sim.kucoin").joinpath("kucoin.toml").read_text("utf-8")
        content = tomllib.loads(text)
        self.pools = {
            pool["name"]: Pool(pool["name"], pool["seconds"] * _SECOND_NS, tuple(pool["quota"]))
            for pool in content["pool"]
        }
        self.rows: list[Row] = []
        self._exact: dict[tuple[str, str], dict[str, Row]] = {}  # venue, path -> method -> row
        self._named: dict[tuple[str, int], list[Row]] = {}  # venue, segments
        for group in content["group"]:
            for line in group["rows"].split("\n"):
                if line:
                    self.add(line, group["venue"], group["name"])

    def add(self, line: str, venue: str = MAIN, group: str = "") -> Row:
        """Serve one more endpoint; raises ValueError when the line makes no sense."""
        row = parse_row(line, venue, group)
        if row.pool and row.pool not in self.pools:
            raise ValueError(f"no such pool: {row.pool}")
        self.rows.append(row)
        if "{" in row.path:
            self._named.setdefault((venue, row.path.count("/")), []).append(row)
        else:
            self._exact.setdefault((venue, row.path), {})[row.method] = row
        return row

    def find(self, venue: str, method: str, path: str) -> Found | None:
        """Return the row that a call meets."""
        row = self._exact.get((venue, path), {}).get(method)
        if row is not None:
            return Found(row, {})
        for each in self._named.get((venue, path.count("/")), ()):
            names = _names(each.path, path) if each.method == method else None
            if names is not None:
                return Found(each, names)
        return None

    def knows(self, venue: str, path: str) -> bool:
        """Return whether any method is served on this path."""
        return (venue, path) in self._exact or any(
            _names(row.path, path) is not None
            for row in self._named.get((venue, path.count("/")), ())
        )


def parse_row(line: str, venue: str = MAIN, group: str = "") -> Row:
    """Read one line of the table; raises ValueError when it makes no sense."""
    method, path, weight, pool, permission, *rest = line.split()
    if rest not in ([], ["order"]):
        raise ValueError(f"unknown words: {rest}")
    return Row(
        venue=venue,
        method=method,
        path=path,
        weight=-1 if weight == "-" else int(weight),
        pool="" if pool == "-" else pool,
        permission=permission,
        group=group,
        order=bool(rest),
    )


def _names(template: str, path: str) -> dict[str, str] | None:
    names: dict[str, str] = {}
    for word, given in zip(template.split("/"), path.split("/"), strict=True):
        if word.startswith("{"):
            if not given:
                return None
            names[word[1:-1]] = given
        elif word != given:
            return None
    return names
