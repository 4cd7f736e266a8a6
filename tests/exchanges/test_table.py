"""The table reader: what it takes, and that every fault names file, line and row."""

from __future__ import annotations

import dataclasses

import pytest

from proxy.errors import Fault
from proxy.exchanges.okx import EXCHANGE
from proxy.exchanges.row import window
from proxy.exchanges.table import (
    Form,
    Table,
    UnknownPool,
    key_of,
    parse,
    parse_extra,
    resolve,
)
from proxy.model import Action, Endpoint, Pool, Tag

FORM = Form(("main", "futures"), ("instrument", "family"), ("big",), label_prefix="/api/")
HEAD = 'method = "POST"\npath = "/api/x"\naction = "place"\npermission = "trade"\n'
ROW = "[[endpoint]]\n" + HEAD
OWN = ROW + 'limit = "20/2s"\nscope = "user"\n'
POOL = '[[pool]]\nname = "shared"\nlimit = "4000/30s"\nscope = "user"\n'


def read(text: str) -> Table:
    return parse(text, "x.toml", FORM)


def test_a_row_is_read_whole() -> None:
    (row,) = read(
        POOL
        + """
[[endpoint]]
method = "POST"
path = "/api/v1/orders/{id}"
venue = "futures"
action = "place"
permission = "trade"
sensitive = "transfer"
tag = "each-item"
limit = "20/2s"
scope = "user+instrument"
option_scope = "user+family"
cost = "item"
weight = 3
items_max = 5
single_item_pool = "shared"
also = [{ pool = "shared", cost = "item", weight = 2, condition = "big" }]
lead_trader = "4/2s"
permission_stated = false
group = "g"
source = "s"
checked = "2026-11-20"
confidence = "docs"
note = "n"
"""
    ).endpoints
    shared = Pool("shared", 4000, 30_000_000_000, ("user",))
    own = Pool(
        "futures POST /api/v1/orders/{id}",
        20,
        2_000_000_000,
        ("user", "instrument"),
        ("user", "family"),
    )
    assert (row.action, row.tag, row.items_max) == (Action.PLACE, Tag.EACH_ITEM, 5)
    assert (row.draws[0].pool, row.draws[0].per_item, row.draws[0].weight) == (own, True, 3)
    assert row.draws[1].pool == shared
    assert (row.draws[1].condition, row.draws[1].weight) == ("big", 2)
    assert [draw.pool for draw in row.single_item_draws] == [shared, shared]
    assert not row.single_item_draws[0].per_item
    assert (row.venue, row.label, row.sensitive) == ("futures", "POST v1/orders/{id}", "transfer")
    assert (row.group, row.source, row.checked, row.note) == ("g", "s", "2026-11-20", "n")


def test_a_row_without_a_limit_is_unpublished() -> None:
    (row,) = read(ROW + 'scope = "ip"\n').endpoints
    assert row.draws[0].pool == Pool("POST /api/x", 0, 0, ("ip",), published=False)


def test_one_path_may_stand_once_per_method_venue_and_operation() -> None:
    text = OWN + OWN.replace("POST", "PUT") + OWN + 'venue = "futures"\n'
    assert len(read(text).endpoints) == 3


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[[endpoint]]\nx = ", 2, "TOML"),
        ("colour = 1", 1, "colour: is not a known key"),
        ("endpoint = 1", 1, "[[endpoint]] tables"),
        ("[endpoint]\na = 1", 1, "[[endpoint]] tables"),
        (OWN + "colour = 1", 1, "POST /api/x: colour: is not a known key"),
        (POOL + OWN + OWN, 12, "POST /api/x: path: stands there twice"),
        (
            POOL.replace("shared", "POST /api/x") + OWN,
            5,
            "POST /api/x: name: a limit named 'POST /api/x' stands",
        ),
        (POOL + (ROW + 'pool = "shared"\n') * 2, 11, "POST /api/x: path: stands there twice"),
        (POOL + POOL, 5, "shared: name: a limit named 'shared'"),
        (POOL.replace("shared", "a  b"), 1, "printable ASCII"),
        (POOL + "cost = 1", 1, "cost: is not a known key"),
        (ROW + 'pool = "other"\n', 1, "pool: 'other' is not the name of a [[pool]]"),
        (POOL + ROW + 'pool = "shared"\nlimit = "1/1s"', 5, "limit: the shared pool has it"),
        (POOL + ROW + 'pool = "shared"\nscope = "user"', 5, "scope: the shared pool has it"),
        (OWN.replace("20/2s", "20/2"), 1, "limit: '20/2' is not a limit"),
        (OWN.replace("20/2s", "0/2s"), 1, "limit: '0/2s' is not a limit"),
        (OWN.replace("20/2s", "20/32d"), 1, "at most 31 days"),
        (OWN.replace('"20/2s"', "20"), 1, "limit: must be a string"),
        (ROW, 1, "scope: is missing"),
        (ROW + 'scope = "instrument"', 1, "scope: must begin with one of"),
        (ROW + 'scope = "user+colour"', 1, "scope: 'colour' is not one of"),
        (ROW + 'scope = "user+family+family"', 1, "each at most once"),
        (OWN + 'option_scope = "ip"', 1, "option_scope: must begin with user"),
        (OWN.replace('"POST"', '"PATCH"'), 1, "method: 'PATCH' is not one of"),
        (OWN.replace("/api/x", "api/x"), 1, "path: must be a path"),
        (OWN.replace("/api/x", "/api/{x}y"), 1, "path: must be a path"),
        (OWN.replace("/api/x", "/api/*"), 1, "path: must be a path"),
        (OWN.replace('"place"', '"buy"'), 1, "action: 'buy' is not one of"),
        (OWN.replace('"trade"', '"all"'), 1, "permission: 'all' is not one of"),
        (OWN.replace("POST", "GET"), 1, "action: a GET only reads"),
        (OWN + 'tag = "head"', 1, "tag: 'head' is not one of"),
        (OWN + 'tag = "ws-args"', 1, "tag: ws-args is for WS rows"),
        (OWN + 'tag = "query-filter"', 1, "tag: query-filter is for GET rows"),
        (OWN + 'tag = "each-item"', 1, "tag: each-item needs items_max"),
        (OWN.replace("POST", "GET") + 'tag = "body"', 1, "tag: a GET row has no JSON body"),
        (OWN.replace("POST", "WS"), 1, "op: is missing"),
        (OWN + 'op = "order"', 1, "op: is not a known key"),
        (OWN + 'venue = "moon"', 1, "venue: 'moon' is not one of"),
        (OWN + 'sensitive = "rude"', 1, "sensitive: 'rude' is not one of"),
        (OWN + 'cost = "order"', 1, "cost: 'order' is not one of"),
        (OWN + "weight = 0", 1, "weight: must be a whole number from 1"),
        (OWN + "weight = true", 1, "weight: must be a whole number from 1"),
        (OWN + "items_max = 1001", 1, "items_max: must be a whole number"),
        (POOL + OWN + 'single_item_pool = "shared"', 5, "single_item_pool: the row takes no array"),
        (OWN + "also = [1]", 1, "also: must be an array of tables"),
        (OWN + 'also = [{ pool = "x" }]', 1, "also: pool: 'x' is not the name"),
        (POOL + OWN + 'also = [{ pool = "shared", condition = "odd" }]', 5, "'odd' is not one of"),
        (POOL + OWN + 'also = [{ pool = "shared", x = 1 }]', 5, "also: x: is not a known key"),
        (OWN + 'lead_trader = "4"', 1, "lead_trader: '4' is not a limit"),
        (OWN + 'permission_stated = "no"', 1, "permission_stated: must be true or false"),
        (OWN + 'checked = "yesterday"', 1, "checked: 'yesterday' is not a date"),
        (OWN + 'note = ""', 1, "note: must be a string that is not empty"),
    ],
)
def test_every_fault_names_file_line_and_row(text: str, line: int, words: str) -> None:
    with pytest.raises(Fault) as caught:
        read(text)
    assert words in str(caught.value)
    assert (caught.value.file, caught.value.line) == ("x.toml", line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20/2s", (20, 2_000_000_000)),
        ("1/250ms", (1, 250_000_000)),
        ("3/1m", (3, 60_000_000_000)),
        ("80/12h", (80, 43_200_000_000_000)),
        ("20/30d", (20, 2_592_000_000_000_000)),
        ("20/2", None),
        ("20 / 2s", None),
        ("-1/2s", None),
        ("1/0s", None),
        ("1/32d", None),
        ("", None),
    ],
)
def test_windows_are_read_exactly(text: str, expected: tuple[int, int] | None) -> None:
    assert window(text) == expected


def rows_drawing_on(endpoints: tuple[Endpoint, ...], name: str) -> list[Pool]:
    return [
        draw.pool
        for endpoint in endpoints
        for draw in (*endpoint.draws, *endpoint.single_item_draws)
        if draw.pool.name == name
    ]


def test_an_override_reaches_whoever_draws_on_the_pool() -> None:
    name = "POST /api/v5/trade/order"
    resolved = resolve(EXCHANGE.endpoints, {name: (120, 1_000_000_000)}, (10, 2_000_000_000))
    pools = rows_drawing_on(resolved, name)
    assert len(pools) == 4  # REST and WS, single and batches of one
    assert len({id(pool) for pool in pools}) == 1
    assert (pools[0].count, pools[0].window_ns) == (120, 1_000_000_000)
    assert pools[0].option_scope == ("user", "instFamily")


def test_resolving_fills_in_what_nobody_published() -> None:
    name = "GET /api/v5/sprd/ticker"
    (pool,) = rows_drawing_on(resolve(EXCHANGE.endpoints, {}, (10, 2_000_000_000)), name)
    assert (pool.count, pool.window_ns, pool.published) == (10, 2_000_000_000, False)
    (pool,) = rows_drawing_on(resolve(EXCHANGE.endpoints, {name: (7, 1)}, (10, 2)), name)
    assert (pool.count, pool.window_ns, pool.published) == (7, 1, True)


def test_an_override_of_nothing_says_what_was_perhaps_meant() -> None:
    with pytest.raises(UnknownPool) as caught:
        resolve(EXCHANGE.endpoints, {"POST /api/v5/trade/orders": (1, 1)}, (1, 1))
    assert str(caught.value) == (
        "'POST /api/v5/trade/orders' names no limit; did you mean 'POST /api/v5/trade/order'?"
    )
    with pytest.raises(UnknownPool) as caught:
        resolve(EXCHANGE.endpoints, {"?": (1, 1)}, (1, 1))
    assert str(caught.value) == "'?' names no limit"


EXTRA = """
[[pool]]
name = "new-things"
limit = "5/1s"
scope = "user"

[[endpoint]]
method = "POST"
path = "/api/v5/trade/new-thing"
action = "place"
permission = "trade"
tag = "body"
pool = "new-things"
also = [{ pool = "subaccount-orders", cost = "item", condition = "counted-order" }]

[[endpoint]]
method = "POST"
path = "/api/v5/trade/order"
action = "place"
permission = "trade"
tag = "body"
limit = "30/2s"
scope = "user+instrument"
"""


def test_an_operators_rows_add_to_the_table_and_replace_in_it() -> None:
    table = parse_extra(EXTRA, "extra.toml", EXCHANGE)
    rows = {key_of(row): row for row in table.endpoints}
    assert len(rows) == len(EXCHANGE.endpoints) + 1
    new = rows["main", "POST", "/api/v5/trade/new-thing", ""]
    assert new.label == "POST trade/new-thing"
    assert [draw.pool.name for draw in new.draws] == ["new-things", "subaccount-orders"]
    pools = rows_drawing_on(table.endpoints, "POST /api/v5/trade/order")
    assert {pool.count for pool in pools} == {30}
    assert rows["main", "WS", "/ws/v5/private", "order"].draws[0].pool.count == 30
    assert {pool.name for pool in table.pools} >= {"new-things", "elp-taker-access"}
    merged = dataclasses.replace(EXCHANGE, endpoints=table.endpoints, pools=table.pools)
    assert len(parse_extra("", "none.toml", merged).endpoints) == len(rows)


def test_an_operators_fault_is_found_in_the_operators_file() -> None:
    with pytest.raises(Fault, match=r"^extra\.toml:7: POST /api/v5/trade/new-thing: "):
        parse_extra(EXTRA.replace('"counted-order"', '"odd"'), "extra.toml", EXCHANGE)
