"""Reads `mexc.toml`: what the simulated MEXC serves and how it counts. Its own table on purpose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, final

from proxy.sim.table import lines, rate

PREFIXES: Final = {"spot": "/api/v3/", "futures": "/api/v1/"}
BROKER_GROUP: Final = "Broker"
ORDERS: Final = "orders"
_FUTURES: Final = ("contract/", "private/", PREFIXES["futures"])


@final
@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` requests in `span_ns`."""

    count: int
    span_ns: int


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One endpoint; `{name}` in its path stands for any one segment."""

    method: str
    path: str
    api: str  # "spot" or "futures": whose authentication, limits and answers it has
    group: str
    permission: str  # public, read, trade, withdraw, transfer, admin
    weight: int = 0  # of the 500 per 10 s; 0: not counted so
    orders: bool = False  # draws on the budget that spot order calls share
    rates: tuple[Rate, ...] = ()  # of its own
    code: bool = False  # creates orders

    @property
    def name(self) -> str:
        """Return `METHOD path`."""
        return f"{self.method} {self.path}"


@final
class Table:
    """Every row, found by method and path: one without variables goes before one with."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows: dict[str, Row] = {}
        self._templates: list[tuple[re.Pattern[str], Row]] = []
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Serve one more, or one in place of the one that has its name."""
        self.rows[row.name] = row
        if "{" in row.path:
            self._templates = [each for each in self._templates if each[1].name != row.name]
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", row.path)
            self._templates.append((re.compile(pattern), row))

    def find(self, method: str, path: str) -> tuple[Row, dict[str, str]] | None:
        """Return the row and the values of its variables."""
        row = self.rows.get(f"{method} {path}")
        if row is not None and "{" not in path:
            return row, {}
        for pattern, each in self._templates:
            matched = pattern.fullmatch(path) if each.method == method else None
            if matched is not None:
                return each, matched.groupdict()
        return None

    def knows(self, path: str) -> bool:
        """Return whether the path is served at all, whatever the method."""
        return any(self.find(method, path) for method in ("GET", "POST", "PUT", "DELETE"))


def load() -> Table:
    """Return the whole table."""
    return Table([parse_row(line, name) for name, line in lines("proxy.sim.mexc", "mexc.toml")])


def parse_row(line: str, group: str = "") -> Row:
    """Read one line of the table; raises ValueError when it makes no sense.

    A path that begins with a slash is whole.
    """
    method, path, charge, permission, *rest = line.split()
    api = "futures" if path.startswith(_FUTURES) else "spot"
    rates = [Rate(*rate(word.partition("=")[2])) for word in rest if word.startswith("also=")]
    if "/" in charge:
        rates.insert(0, Rate(*rate(charge)))
    counted = charge not in ("-", ORDERS) and "/" not in charge
    return Row(
        method=method,
        path=path if path.startswith("/") else PREFIXES[api] + path,
        api=api,
        group=group,
        permission=permission,
        weight=int(charge) if counted else 0,
        orders=charge == ORDERS,
        rates=tuple(rates),
        code="code" in rest,
    )
