"""Endpoint tables: TOML -> `Endpoint` and `Pool`, strictly; and their limits set anew.

Generic over exchanges: what differs (venues, words of a scope, conditions, how labels are cut)
comes in as a `Form`. The same reader serves the built-in tables and an operator's `rules` file.
How a row is written is told at the head of each `endpoints.toml`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, replace
from datetime import date
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal, cast, final

from proxy.errors import Fault, TagproxyError
from proxy.exchanges.row import Row, row_lines
from proxy.model import SENSITIVE_CLASSES, Action, Draw, Endpoint, Pool, Tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.exchanges.spec import Exchange
    from proxy.model import Permission

_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "WS")
_PERMISSIONS: Final = ("public", "read", "trade", "withdraw")
_SUBJECTS: Final = ("user", "ip", "connection")
_PATH: Final = re.compile(r"(/([A-Za-z0-9_.*-]+|\{[A-Za-z][A-Za-z0-9_]*\}))+")
_NAME: Final = re.compile(r"[\x21-\x7e]+( [\x21-\x7e]+)*")
_ITEMS_MAX: Final = 1000
_WEIGHT_MAX: Final = 100_000
_COPY_NS_MAX: Final = 60_000_000_000

Key = tuple[str, str, str, str]  # venue, method, path, op


@final
class UnknownPool(TagproxyError):
    """A limit was set for a pool that no endpoint draws on."""

    def __init__(self, name: str, near: str) -> None:
        super().__init__(f"{name!r} names no limit" + (f"; did you mean {near!r}?" if near else ""))
        self.name = name


@final
@dataclass(frozen=True, slots=True)
class Form:
    """What one exchange's tables may say beyond what all may."""

    venues: tuple[str, ...] = ("main",)
    scopes: tuple[str, ...] = ()  # words of a scope besides the subjects
    conditions: tuple[str, ...] = ()
    items: bool = True  # whether rows may count the elements of an array
    label_prefix: str = ""  # cut off the path for the label


@final
@dataclass(frozen=True, slots=True)
class Table:
    """A table as read: rows in order, every pool once, and the limits of lead traders by label."""

    endpoints: tuple[Endpoint, ...]
    pools: tuple[Pool, ...]
    lead_traders: Mapping[str, tuple[int, int]]


def key_of(endpoint: Endpoint) -> Key:
    """What tells two rows apart."""
    return endpoint.venue, endpoint.method, endpoint.path, endpoint.op


def load(package: str, form: Form) -> Table:
    """Read the `endpoints.toml` that lies in a package. Raises `Fault`."""
    source = resources.files(package).joinpath("endpoints.toml")
    return parse(source.read_text(encoding="utf-8"), f"{package}/endpoints.toml", form)


def parse(text: str, file: str, form: Form, known: Iterable[Pool] = ()) -> Table:
    """Read a table; rows may also draw on the `known` pools. Raises `Fault`, the first found."""
    return _Reader(text, file, form, known).table()


def parse_extra(text: str, file: str, exchange: Exchange) -> Table:
    """Read an operator's rows on top of an exchange's own; a row for the same call replaces it.

    A pool of the same name is replaced for every row that draws on it. Raises `Fault`.
    """
    extra = parse(text, file, _form_of(exchange), exchange.pools)
    rows = {key_of(endpoint): endpoint for endpoint in exchange.endpoints}
    rows |= {key_of(endpoint): endpoint for endpoint in extra.endpoints}
    pools = {pool.name: pool for pool in exchange.pools}
    pools |= {pool.name: pool for pool in extra.pools}
    return Table(_rebound(rows.values(), pools), tuple(pools.values()), extra.lead_traders)


def resolve(
    endpoints: Iterable[Endpoint],
    overrides: Mapping[str, tuple[int, int]],
    unpublished: tuple[int, int],
) -> tuple[Endpoint, ...]:
    """Give every pool its count and window: an operator's, else its own, else `unpublished`.

    Limits are (count, window in ns). Each pool name ends as one object, whoever draws on it.
    Raises `UnknownPool` for an override that names none.
    """
    endpoints = tuple(endpoints)
    pools = {
        draw.pool.name: draw.pool
        for endpoint in endpoints
        for draw in (*endpoint.draws, *endpoint.single_item_draws)
    }
    for name in overrides:
        if name not in pools:
            near = difflib.get_close_matches(name, pools, n=1, cutoff=0.5)
            raise UnknownPool(name, near[0] if near else "")
    for name, pool in pools.items():
        if name in overrides:
            count, window_ns = overrides[name]
            pools[name] = replace(pool, count=count, window_ns=window_ns, published=True)
        elif not pool.published:
            pools[name] = replace(pool, count=unpublished[0], window_ns=unpublished[1])
    return _rebound(endpoints, pools)


def _rebound(endpoints: Iterable[Endpoint], pools: Mapping[str, Pool]) -> tuple[Endpoint, ...]:
    def onto(draws: tuple[Draw, ...]) -> tuple[Draw, ...]:
        return tuple(replace(draw, pool=pools[draw.pool.name]) for draw in draws)

    return tuple(
        replace(
            endpoint,
            draws=onto(endpoint.draws),
            single_item_draws=onto(endpoint.single_item_draws),
        )
        for endpoint in endpoints
    )


def _form_of(exchange: Exchange) -> Form:
    """The form that an exchange's own table has: an operator's rows may use what it uses."""
    words = {word for pool in exchange.pools for word in (*pool.scope, *pool.option_scope)}
    conditions = {draw.condition for row in exchange.endpoints for draw in row.draws}
    counts = any(
        draw.per_item or row.single_item_draws for row in exchange.endpoints for draw in row.draws
    )
    rest = next(row for row in exchange.endpoints if row.method != "WS")
    tail = rest.label.partition(" ")[2]
    return Form(
        tuple(venue.name for venue in exchange.venues),
        tuple(words.difference(_SUBJECTS)),
        tuple(conditions - {""}),
        counts,
        rest.path.removesuffix(tail),
    )


@final
class _Reader:
    def __init__(self, text: str, file: str, form: Form, known: Iterable[Pool]) -> None:
        self._text = text
        self._file = file
        self._form = form
        self._known = {pool.name: pool for pool in known}
        self._pools: dict[str, Pool] = {}
        self._rows: dict[Key, Endpoint] = {}
        self._lead_traders: dict[str, tuple[int, int]] = {}

    def table(self) -> Table:
        try:
            document = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))  # else "at end of document"
            line = int(found[1]) if found else len(self._text.splitlines())
            raise Fault(self._file, line, "TOML", str(error)) from error
        for key in document:
            if key not in ("pool", "endpoint"):
                raise Fault(self._file, 1, key, "is not a known key")
        for row in self._tables(document, "pool"):
            self._read_pool(row)
        for row in self._tables(document, "endpoint"):
            self._read_endpoint(row)
        endpoints, pools = tuple(self._rows.values()), tuple(self._pools.values())
        return Table(endpoints, pools, self._lead_traders)

    def _tables(self, document: dict[str, Any], heading: str) -> Iterable[Row]:
        tables = document.get(heading, [])
        lines = list(row_lines(self._text, heading))
        if not isinstance(tables, list) or len(lines) != len(tables):
            raise Fault(self._file, 1, heading, f"must be written as [[{heading}]] tables")
        for line, data in zip(lines, tables, strict=True):
            words = (data.get("method"), data.get("op") or data.get("path"), data.get("name"))
            name = " ".join(str(word) for word in words if word)
            yield Row(data, self._file, line, name or f"[[{heading}]]")

    def _add_pool(self, row: Row, pool: Pool) -> Pool:
        if pool.name in self._pools:
            raise row.fault("name", f"a limit named {pool.name!r} stands there already")
        self._pools[pool.name] = pool
        return pool

    def _read_pool(self, row: Row) -> None:
        name = row.text("name")
        if _NAME.fullmatch(name) is None:
            raise row.fault("name", "must be printable ASCII without double spaces")
        count, window_ns = row.window("limit")
        scope, option_scope = self._scopes(row)
        row.text("note", "")
        row.done()
        self._add_pool(row, Pool(name, count, window_ns, scope, option_scope))

    def _scopes(self, row: Row) -> tuple[tuple[str, ...], tuple[str, ...]]:
        scope = self._scope(row, "scope")
        option_scope = self._scope(row, "option_scope") if row.has("option_scope") else ()
        if option_scope and option_scope[0] != scope[0]:
            raise row.fault("option_scope", f"must begin with {scope[0]}, as scope does")
        return scope, option_scope

    def _scope(self, row: Row, key: str) -> tuple[str, ...]:
        words = tuple(row.text(key).split("+"))
        if words[0] not in _SUBJECTS:
            raise row.fault(key, f"must begin with one of {', '.join(_SUBJECTS)}")
        for word in words[1:]:
            if word not in self._form.scopes or words.count(word) > 1:
                allowed = ", ".join(sorted(self._form.scopes))
                raise row.fault(key, f"{word!r} is not one of {allowed}, each at most once")
        return words

    def _read_endpoint(self, row: Row) -> None:
        method = row.word("method", _METHODS)
        path = row.text("path")
        if _PATH.fullmatch(path) is None or ("*" in path and method != "WS"):
            raise row.fault("path", "must be a path whose variable parts are whole {names}")
        op = row.text("op") if method == "WS" else ""
        venue = row.word("venue", self._form.venues, "main")
        if (venue, method, path, op) in self._rows:
            raise row.fault("path", "stands there twice")
        label = f"WS {op}" if op else f"{method} {path.removeprefix(self._form.label_prefix)}"
        pool = self._own_pool(row, f"WS {op}" if op else f"{method} {path}", venue)
        items_max = row.whole("items_max", 1, 1, _ITEMS_MAX)
        draws, single_item_draws = self._draws(row, pool, items_max)
        if row.has("lead_trader"):
            self._lead_traders[label] = row.window("lead_trader")
        row.flag("permission_stated", default=True)
        endpoint = Endpoint(
            method=method,
            path=path,
            action=Action(row.word("action", [action.value for action in Action])),
            permission=cast("Permission", row.word("permission", _PERMISSIONS)),
            tag=self._tag(row, method, items_max),
            draws=draws,
            single_item_draws=single_item_draws,
            items_max=items_max,
            sensitive=row.word("sensitive", SENSITIVE_CLASSES, ""),
            venue=venue,
            op=op,
            group=row.text("group", ""),
            source=row.text("source", ""),
            checked=self._date(row),
            note=row.text("note", ""),
            confidence=row.word("confidence", ("docs", "seed", "sdk", "guess"), ""),
            label=label,
            copy_ns=row.duration("copy", _COPY_NS_MAX),
        )
        row.done()
        if endpoint.copy_ns and (method, endpoint.permission) != ("GET", "public"):
            raise row.fault("copy", "only a public GET may be answered from a copy")
        if method == "GET" and endpoint.action is not Action.READ:
            raise row.fault("action", "a GET only reads")
        self._rows[key_of(endpoint)] = endpoint

    def _own_pool(self, row: Row, name: str, venue: str) -> Pool:
        """The row's first budget: one it shares, one of its own, or one nobody published."""
        if row.has("pool"):
            for key in ("limit", "scope", "option_scope"):
                if row.has(key):
                    raise row.fault(key, "the shared pool has it")
            return self._pool(row, "pool")
        count, window_ns = row.window("limit") if row.has("limit") else (0, 0)
        scope, option_scope = self._scopes(row)
        name = name if venue == "main" else f"{venue} {name}"
        pool = Pool(name, count, window_ns, scope, option_scope, published=count > 0)
        return self._add_pool(row, pool)

    def _pool(self, row: Row, key: str) -> Pool:
        name = row.text(key)
        pool = self._pools.get(name) or self._known.get(name)
        if pool is None:
            raise row.fault(key, f"{name!r} is not the name of a [[pool]]")
        return pool

    def _draws(
        self, row: Row, pool: Pool, items_max: int
    ) -> tuple[tuple[Draw, ...], tuple[Draw, ...]]:
        first = Draw(pool, self._cost(row) == "item", row.whole("weight", 1, 1, _WEIGHT_MAX))
        further: list[Draw] = []
        for also in row.rows("also"):
            shared = self._pool(also, "pool")
            per_item = self._cost(also) == "item"
            weight = also.whole("weight", 1, 1, _WEIGHT_MAX)
            condition = also.word("condition", self._form.conditions, "")
            also.done()
            further.append(Draw(shared, per_item, weight, condition))
        if not (self._form.items and row.has("single_item_pool")):
            return (first, *further), ()
        if items_max == 1 and not first.per_item:
            raise row.fault("single_item_pool", "the row takes no array")
        single = Draw(self._pool(row, "single_item_pool"))
        return (first, *further), (single, *further)

    def _cost(self, row: Row) -> Literal["request", "item"]:
        words = ("request", "item") if self._form.items else ("request",)
        return cast('Literal["request", "item"]', row.word("cost", words, "request"))

    @staticmethod
    def _tag(row: Row, method: str, items_max: int) -> Tag:
        tag = Tag(row.word("tag", [tag.value for tag in Tag], "none"))
        if tag is Tag.WS_ARGS and method != "WS":
            raise row.fault("tag", "ws-args is for WS rows")
        if tag is Tag.QUERY_FILTER and method != "GET":
            raise row.fault("tag", "query-filter is for GET rows")
        if tag in (Tag.BODY, Tag.EACH_ITEM, Tag.SCOPE) and method in ("GET", "WS"):
            raise row.fault("tag", f"a {method} row has no JSON body")
        if tag is Tag.EACH_ITEM and items_max == 1:
            raise row.fault("tag", "each-item needs items_max above 1")
        return tag

    @staticmethod
    def _date(row: Row) -> str:
        text = row.text("checked", "")
        try:
            if text:
                date.fromisoformat(text)
        except ValueError:
            raise row.fault("checked", f"{text!r} is not a date such as 2026-11-20") from None
        return text
