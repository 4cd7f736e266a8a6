"""What a request finds by its method and path: exact rows, rows whose segments vary, venues beside
and below each other, and what is another spelling of something known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.exposition import generate_latest

from proxy.config import Address
from proxy.egress import Egress
from proxy.errors import Refusal
from proxy.exchanges import registry
from proxy.exchanges.spec import Venue
from proxy.metrics import Count, Metrics
from proxy.model import Action, Broker, Draw, Endpoint, Pool, Tag
from proxy.routes import Front, Route, Site
from tests.fakes import FakeConnections

if TYPE_CHECKING:
    from proxy.model import Permission

POOL = Pool("pool", 10, 1_000_000_000, ("user",))


def row(
    method: str,
    path: str,
    action: Action = Action.READ,
    venue: str = "main",
    permission: Permission = "read",
) -> Endpoint:
    label = f"{method} {path.removeprefix('/api/')}"
    draws = (Draw(POOL),)
    return Endpoint(method, path, action, permission, Tag.NONE, draws, venue=venue, label=label)


ROWS = (
    row("GET", "/api/orders/{orderId}"),
    row("GET", "/api/orders/active"),
    row("DELETE", "/api/orders/{orderId}", Action.CANCEL),
    row("POST", "/api/orders", Action.PLACE),
    row("GET", "/api/book/{symbol}/{depth}"),
    row("GET", "/api/book/{symbol}/full"),
    row("POST", "/api/stopOrder/{orderId}/Move", Action.AMEND),
    row("WS", "/ws/{kind}", Action.PLACE),
    row("POST", "/api/f/leverage/{symbol}", Action.SET, "futures"),
    row("POST", "/api/f/orders", Action.PLACE, "futures"),
)


def site(venue: str = "main", main: Site | None = None, metrics: Metrics | None = None) -> Site:
    okx = registry.exchanges()["okx"]
    exchange = replace(okx, endpoints=ROWS, venues=(Venue("main"), Venue("futures")))
    return Site(
        name="ex",
        venue=venue,
        exchange=exchange,
        endpoints=ROWS,
        accounts={},
        broker=Broker(b"CODE"),
        egresses=(Egress("default", "ex.test", FakeConnections(), Count(), lambda *_: None),),
        authority=f"{venue}.test",
        counted_at="main.test",
        main=main,
        deadline_ns=8_000_000_000,
        on_conflict="replace",
        unclassified_limit=(10, 2_000_000_000),
        metrics=metrics or Metrics(),
    )


@pytest.fixture
def front() -> Front:
    made = Front(Address("127.0.0.1", 1))
    made.add(site(), b"/ex")
    return made


def found(front: Front, method: bytes, path: bytes) -> Any:
    """The label of what the pipeline would find for a known endpoint, else None."""
    route = front.find(method, path) or front.templated(method, path)
    return route and route.endpoint.label


# ---- segments that vary ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "label"),
    [
        (b"GET", b"/ex/api/orders/42", "GET orders/{orderId}"),
        (b"GET", b"/ex/api/orders/active", "GET orders/active"),
        (b"DELETE", b"/ex/api/orders/active", "DELETE orders/{orderId}"),
        (b"GET", b"/ex/api/book/BTC-USDT/20", "GET book/{symbol}/{depth}"),
        (b"GET", b"/ex/api/book/BTC-USDT/full", "GET book/{symbol}/full"),
        (b"POST", b"/ex/api/orders", "POST orders"),
        (b"POST", b"/ex/api/orders/42", None),
        (b"GET", b"/ex/api/orders/42/fills", None),
        (b"GET", b"/ex/api/Orders/42", None),
        (b"WS", b"/ex/ws/public", None),
        (b"GET", b"/elsewhere/api/orders/42", None),
    ],
)
def test_the_row_that_says_most_of_a_path_is_found(
    front: Front, method: bytes, path: bytes, label: str | None
) -> None:
    assert found(front, method, path) == label


def test_the_order_of_rows_does_not_matter() -> None:
    """Which of two shapes was noted first is the table's accident."""
    for rows in (ROWS, ROWS[::-1]):
        made = Front(Address("127.0.0.1", 1))
        turned = site()
        turned.endpoints = tuple(row for row in rows if row.venue == "main")
        made.add(turned, b"/ex")
        assert found(made, b"GET", b"/ex/api/book/BTC/full") == "GET book/{symbol}/full"
        assert found(made, b"GET", b"/ex/api/orders/active") == "GET orders/active"


@pytest.mark.parametrize("value", [b"BTC.USDT", b"a:b", b"a%3Ab", b"a@b", b"%C3%A9".lower()])
def test_a_value_that_has_one_reading_passes_unless_it_hides_bytes(
    front: Front, value: bytes
) -> None:
    path = b"/ex/api/orders/" + value
    if value == b"%c3%a9":  # no ASCII: an exchange may fold it into anything
        with pytest.raises(Refusal, match="bad_request"):
            front.templated(b"GET", path)
    else:
        assert found(front, b"GET", path) == "GET orders/{orderId}"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b".",
        b"..",
        b"%2e%2e",
        b"a%2Fb",
        b"a%2fb",
        b"..%2Factive",
        b"%61ctive",
        b"a%5Fb",
        b"a;b",
        b"a\\b",
        b"a%5Cb",
        b"{orderId}",
        b"\n",
        b"%0A",
        b"%00",
        b"a%20b",
        b"a%",
        b"a%zz",
        b"a%25b",
        b"\xff",
        b"1" * 600 + b".",
    ],
)
def test_a_value_that_could_be_read_in_two_ways_is_refused(front: Front, value: bytes) -> None:
    path = b"/ex/api/orders/" + value
    assert front.find(b"GET", path) is None
    with pytest.raises(Refusal) as caught:
        front.templated(b"GET", path)
    assert caught.value.slug == "bad_request"


def test_an_odd_value_is_refused_wherever_it_stands(front: Front) -> None:
    for path in (b"/ex/api/book/a%2Fb/20", b"/ex/api/book//20", b"/ex/api/book/BTC/%2e"):
        with pytest.raises(Refusal, match="bad_request"):
            front.templated(b"GET", path)


def test_metrics_name_the_row_and_never_the_value() -> None:
    metrics = Metrics()
    made = Front(Address("127.0.0.1", 1))
    made.add(site(metrics=metrics), b"/ex")
    for number in range(100):
        route = made.templated(b"GET", b"/ex/api/orders/%d" % number)
        assert route is not None
        route.outcomes["ok"] += 1
    assert metrics.outcomes("ex", "main", "GET orders/{orderId}")["ok"] == 100
    text = generate_latest(metrics.registry).decode()
    assert "orders/{orderId}" in text
    assert "orders/99" not in text


# ---- other spellings ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (b"/api/orders", True),
        (b"/api/orders/42", True),
        (b"/api/orders/active", True),
        (b"/api/stoporder/42/move", True),  # as it is after decoding: in lower case
        (b"/api/f/orders", True),  # another venue's
        (b"/api/f/leverage/btc", True),
        (b"/api/f/leverage", False),
        (b"/api/orders/42/fills", False),
        (b"/api/stoporder/42/stop", False),
        (b"/api/new", False),
    ],
)
def test_a_site_knows_every_path_of_every_venue_and_method(path: bytes, known: bool) -> None:
    for venue in ("main", "futures"):
        assert site(venue).knows(path) is known


# ---- venues ---------------------------------------------------------------------------------


def both() -> tuple[Front, Site, Site, Metrics]:
    metrics = Metrics()
    main = site(metrics=metrics)
    futures = site("futures", main, metrics)
    made = Front(Address("127.0.0.1", 1))
    made.add(main, b"/ex")
    made.add(futures, b"/ex/futures")
    return made, main, futures, metrics


def route_of(front: Front, method: bytes, path: bytes) -> Route:
    route = front.find(method, path) or front.templated(method, path)
    assert route is not None, path
    return route


def test_a_venue_beside_main_is_found_under_both_prefixes_and_counted_once() -> None:
    front, _, futures, metrics = both()
    assert front.find(b"POST", b"/ex/api/f/orders") is None
    front.add_beside(futures, b"/ex")
    for prefix in (b"/ex", b"/ex/futures"):
        for path in (b"/api/f/orders", b"/api/f/leverage/BTC"):
            route = route_of(front, b"POST", prefix + path)
            assert (route.site, route.prefix) == (futures, prefix)
            route.outcomes["ok"] += 1
    assert metrics.outcomes("ex", "futures", "POST f/orders")["ok"] == 2


def test_what_stands_beside_main_brings_nothing_else() -> None:
    front, main, futures, _ = both()
    front.add_beside(futures, b"/ex")
    for method, path in ((b"GET", b"/ex/api/new"), (b"POST", b"/ex/api/f/new")):
        route = front.unclassified(method, path)
        assert route is not None
        assert route.site is main
    assert route_of(front, b"GET", b"/ex/tagproxy/me").site is main
    assert route_of(front, b"GET", b"/ex/futures/tagproxy/me").site is futures


def test_what_no_table_knows_goes_to_the_venue_of_the_longest_prefix() -> None:
    front, main, futures, _ = both()
    for path, where in ((b"/ex/api/new", main), (b"/ex/futures/api/new", futures)):
        route = front.unclassified(b"GET", path)
        assert route is not None
        assert route.site is where
    assert front.unclassified(b"GET", b"/exfutures/api") is None


def test_the_venues_of_a_site_ask_main_and_main_asks_itself() -> None:
    _, main, futures, _ = both()
    assert (main.main, futures.main) == (main, main)
    assert [row.venue for row in futures.endpoints] == ["futures", "futures"]


def test_below_an_absent_venue_everything_has_its_reason() -> None:
    front = Front(Address("127.0.0.1", 1))
    main = site()
    front.add(main, b"/ex")
    front.add_absent(main, b"/ex/futures", "not configured")
    for method in (b"GET", b"POST", b"DELETE"):
        for path in (b"/api/f/orders", b"/api/new", b"/tagproxy/me", b"/api/orders/42"):
            assert found(front, method, b"/ex/futures" + path) is None
            route = front.unclassified(method, b"/ex/futures" + path)
            assert route is not None
            assert route.absent == "not configured"
    other = front.unclassified(b"GET", b"/ex/api/new")
    assert other is not None
    assert other.absent == ""


def test_what_no_table_knows_draws_on_what_every_call_draws_on() -> None:
    front = Front(Address("127.0.0.1", 0))
    front.add(site(), b"/ex")
    for method in (b"GET", b"POST"):
        route = front.unclassified(method, b"/ex/api/unheard-of")
        assert route is not None
        assert [draw.pool.name for draw in route.endpoint.draws] == ["unclassified", "pool"]


def test_a_port_of_its_own_has_no_prefix() -> None:
    front = Front(Address("127.0.0.1", 1))
    futures = site("futures", site())
    front.add(futures, b"")
    assert route_of(front, b"POST", b"/api/f/leverage/BTC").path == b"/api/f/leverage/{symbol}"
    assert front.find(b"POST", b"/api/orders") is None
    route = front.unclassified(b"POST", b"/api/orders")
    assert route is not None
    assert route.site is futures
