"""The route table: everything a request needs, found by one look-up of method and path.

Built once at start and anew at a reload. A `Site` is one venue of one exchange table with what
all its requests share; a `Route` is one of its endpoints with its own, already labelled, metrics.
No decision is made here that depends on a request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol, final

from proxy.errors import Refusal
from proxy.model import Action, Draw, Endpoint, Pool, Tag
from proxy.security.paths import decoded_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.accounts.directory import Access
    from proxy.config import Address
    from proxy.egress import Egress
    from proxy.exchanges.spec import Exchange
    from proxy.metrics import Count, Histogram, Metrics, Outcomes
    from proxy.model import Broker, OnConflict, Request
    from proxy.net.connection import Done

CANCELS: Final = 0
ORDERS: Final = 1
READS: Final = 2

# What a bot may ask the proxy itself: which account this is, and how it fares.
ME: Final = Endpoint(
    "GET", "/tagproxy/me", Action.READ, "read", Tag.NONE, (), label="GET tagproxy/me"
)

_VARIABLE: Final = b"\n"  # stands for a segment that varies: no target can have it
_PLAIN_VALUE: Final = re.compile(rb"[A-Za-z0-9_\-]+")

_GENERAL_HEADERS: Final = (
    (b"content-type", b"Content-Type: "),
    (b"accept", b"Accept: "),
    (b"accept-language", b"Accept-Language: "),
    (b"user-agent", b"User-Agent: "),
)


class Connection(Protocol):
    """A connection taken for one request; `net.connection` has the real one."""

    def send(self, data: bytes, method: bytes, deadline_ns: int, done: Done) -> None: ...

    def give_back(self) -> None: ...


class Connections(Protocol):
    """The way to one exchange host; `net.upstream.Pool` is the real one."""

    @property
    def least_rtt_ns(self) -> int: ...

    def take(self) -> Connection | None: ...

    async def ready(self, until_ns: int) -> None: ...

    async def fresh(self, until_ns: int) -> None: ...


@final
class Site:
    """One venue of one exchange table, ready to serve."""

    __slots__ = (
        "_known_paths",
        "_known_shapes",
        "accounts",
        "broker",
        "counted_at",
        "deadline_ns",
        "egresses",
        "endpoints",
        "exchange",
        "exchange_seconds",
        "foreign",
        "host",
        "main",
        "metrics",
        "name",
        "on_conflict",
        "overhead",
        "own_names",
        "passed_headers",
        "passed_lines",
        "passed_names",
        "public_reads",
        "rate_limited",
        "request_line_end",
        "stale",
        "unclassified_limit",
        "venue",
    )

    def __init__(
        self,
        *,
        name: str,
        venue: str,
        exchange: Exchange,
        endpoints: tuple[Endpoint, ...],  # of every venue
        accounts: Mapping[bytes, Access],
        broker: Broker,
        egresses: tuple[Egress, ...],
        authority: str,
        counted_at: str,
        main: Site | None,
        deadline_ns: int,
        on_conflict: OnConflict,
        unclassified_limit: tuple[int, int],
        metrics: Metrics,
    ) -> None:
        self.name = name
        self.venue = venue
        self.exchange = exchange
        # this venue's; pools resolved: overrides and unpublished limits filled in
        self.endpoints = tuple(row for row in endpoints if row.venue == venue)
        self.accounts = accounts
        self.broker = broker
        self.egresses = egresses  # at least one
        self.host = authority
        self.counted_at = counted_at  # the host under which budgets are kept, one for all venues
        self.main = main or self  # where bots reach the exchange without a venue
        self.deadline_ns = deadline_ns
        self.on_conflict: OnConflict = on_conflict
        self.unclassified_limit = unclassified_limit
        self.metrics = metrics
        self.stale = False  # another configuration is in force: what is in flight ends by this one
        # of every venue, in lower case; what varies of a path is _VARIABLE
        self._known_paths = set()
        self._known_shapes: dict[int, set[tuple[int, ...]]] = {}
        for endpoint in endpoints:
            segments = endpoint.path.lower().encode().split(b"/")
            varying = _varying(segments)
            self._known_paths.add(_filled(segments, varying))
            self._known_shapes.setdefault(len(segments), set()).add(varying)
        general = [each for each in _GENERAL_HEADERS if each[0] not in exchange.writes_headers]
        self.passed_headers = (
            *general,
            *((name.lower(), name + b": ") for name in exchange.passed_headers),
        )
        self.own_names = tuple(name.lower() for name in exchange.passed_headers)
        self.passed_names = tuple(name for name, _ in self.passed_headers)
        self.passed_lines: dict[tuple[bytes | None, ...], bytes] = {}  # what they became
        self.request_line_end = (
            b" HTTP/1.1\r\nHost: " + authority.encode() + b"\r\nAccept-Encoding: identity\r\n"
        )
        self.foreign: dict[str, int] = metrics.foreign(name, venue)
        self.overhead: Histogram = metrics.overhead(name)
        self.exchange_seconds: Histogram = metrics.exchange_seconds(name)
        self.rate_limited: Count = metrics.exchange_rate_limited(name)
        self.public_reads: dict[str, int] = metrics.public_reads(name)

    def minds(self, request: Request) -> bool:
        """Whether a request has a header of the exchange's own that may change the answer."""
        return any(name in request.headers for name in self.own_names)

    def knows(self, path: bytes) -> bool:
        """Whether a path, without our prefix and in lower case, is that of an endpoint, of any
        method and venue."""
        segments = path.split(b"/")
        return any(
            _filled(segments, varying) in self._known_paths
            for varying in self._known_shapes.get(len(segments), ())
        )


@final
class Route:
    """One endpoint of a site, with what only its own requests share."""

    __slots__ = (
        "absent",
        "endpoint",
        "guarded",
        "local",
        "loose",
        "outcomes",
        "path",
        "prefix",
        "priority",
        "public",
        "read",
        "reserves",
        "shared",
        "site",
        "tagged",
        "unclassified",
    )

    def __init__(
        self, site: Site, endpoint: Endpoint, prefix: bytes, path: bytes, *, unclassified: bool
    ) -> None:
        self.site = site
        self.endpoint = endpoint
        self.prefix = prefix
        self.path = path
        self.unclassified = unclassified
        self.absent = ""  # why nothing is served under this prefix
        self.read = endpoint.action is Action.READ
        self.reserves = endpoint.creates_or_moves  # its signature passes once
        self.loose = not site.exchange.signs_path  # its signature could be another call's
        self.guarded = unclassified or endpoint.sensitive != ""  # not for every account
        self.public = endpoint.permission == "public"
        # the same for everybody: sent without a key, once for all who ask at a time
        get = endpoint.method == "GET"
        self.shared = self.public and self.read and get and not unclassified
        self.local = endpoint is ME  # answered here
        self.priority = (
            CANCELS
            if endpoint.action is Action.CANCEL
            else READS
            if endpoint.action is Action.READ
            else ORDERS
        )
        self.outcomes: Outcomes = site.metrics.outcomes(site.name, site.venue, endpoint.label)
        self.tagged: Count = site.metrics.tagged(site.name, site.venue, endpoint.label, "rest")


@final
class Front:
    """The routes of one listening port."""

    __slots__ = ("_prefixes", "_shapes", "_templated", "address", "routes")

    def __init__(self, address: Address) -> None:
        self.address = address
        # by method, space and path with our prefix
        self.routes: dict[bytes, Route] = {}
        # likewise; what varies of a path is _VARIABLE
        self._templated: dict[bytes, Route] = {}
        # by method and number of segments: which of them vary, the fewest first
        self._shapes: dict[tuple[bytes, int], list[tuple[int, ...]]] = {}
        self._prefixes: list[tuple[bytes, Route, Route]] = []

    def add(self, site: Site, prefix: bytes) -> None:
        """Serve a site below `prefix` (empty on a port of its own)."""
        self.add_beside(site, prefix)
        me = ME.path.encode()
        self.routes[b"GET " + prefix + me] = Route(site, ME, prefix, me, unclassified=False)
        read, write = (
            Route(site, endpoint, prefix, b"", unclassified=True)
            for endpoint in _unclassified(site)
        )
        self._add_prefix(prefix, read, write)

    def add_beside(self, site: Site, prefix: bytes) -> None:
        """Serve only the known endpoints of a site below the prefix of another."""
        for endpoint in site.endpoints:
            if endpoint.method == "WS":
                continue
            method, path = endpoint.method.encode(), endpoint.path.encode()
            route = Route(site, endpoint, prefix, path, unclassified=False)
            segments = (prefix + path).split(b"/")
            varying = _varying(segments)
            if not varying:
                self.routes[method + b" " + prefix + path] = route
                continue
            self._templated[method + b" " + _filled(segments, varying)] = route
            shapes = self._shapes.setdefault((method, len(segments)), [])
            if varying not in shapes:
                shapes.append(varying)
                shapes.sort(key=len)

    def add_absent(self, site: Site, prefix: bytes, why: str) -> None:
        """Refuse, for the reason `why`, whatever comes below `prefix`."""
        endpoint = _unclassified(site)[0]
        route = Route(site, endpoint, prefix, b"", unclassified=True)
        route.absent = why
        self._add_prefix(prefix, route, route)

    def _add_prefix(self, prefix: bytes, read: Route, write: Route) -> None:
        self._prefixes.append((prefix, read, write))
        self._prefixes.sort(key=lambda entry: -len(entry[0]))

    def find(self, method: bytes, path: bytes) -> Route | None:
        """Return the route of a known endpoint without variable segments."""
        return self.routes.get(method + b" " + path)

    def templated(self, method: bytes, path: bytes) -> Route | None:
        """Return the route of a known endpoint with variable segments.

        Raises `Refusal` (`bad_request`) for a segment that could be read in two ways.
        """
        segments = path.split(b"/")
        for varying in self._shapes.get((method, len(segments)), ()):
            route = self._templated.get(method + b" " + _filled(segments, varying))
            if route is not None:
                for index in varying:
                    if _PLAIN_VALUE.fullmatch(segments[index]) is None:
                        _check_odd(path)
                return route
        return None

    def unclassified(self, method: bytes, path: bytes) -> Route | None:
        """Return the route that serves what no table knows, if the prefix is one of ours."""
        for prefix, read, write in self._prefixes:
            if path.startswith(prefix + b"/"):
                return read if method == b"GET" else write
        return None


def _varying(segments: list[bytes]) -> tuple[int, ...]:
    """Which segments of a path vary: they are written `{name}`."""
    return tuple(index for index, segment in enumerate(segments) if segment.startswith(b"{"))


def _filled(segments: list[bytes], varying: tuple[int, ...]) -> bytes:
    filled = segments.copy()
    for index in varying:
        filled[index] = _VARIABLE
    return b"/".join(filled)


def _check_odd(path: bytes) -> None:
    """Refuse a path whose variable segments are no plain names, unless there is one reading."""
    decoded = decoded_path(path)
    if decoded.count("/") != path.count(b"/"):
        raise Refusal("bad_request", "the path encodes a slash")


def _unclassified(site: Site) -> tuple[Endpoint, Endpoint]:
    """Stand-ins for endpoints that no table knows: all of one user's share one budget, beside
    those that every call of the exchange draws on."""
    count, window_ns = site.unclassified_limit
    pool = Pool("unclassified", count, window_ns, ("user",), published=False)
    draws = (Draw(pool), *_drawn_by_all(site.endpoints))
    return (
        Endpoint("GET", "", Action.READ, "read", Tag.NONE, draws, label="unclassified"),
        Endpoint("POST", "", Action.MOVE, "trade", Tag.NONE, draws, label="unclassified"),
    )


def _drawn_by_all(endpoints: tuple[Endpoint, ...]) -> list[Draw]:
    rows = [endpoint for endpoint in endpoints if endpoint.method != "WS"]
    if not rows:
        return []
    everywhere = set.intersection(*({draw.pool.name for draw in row.draws} for row in rows))
    found = {draw.pool.name: Draw(draw.pool) for draw in rows[0].draws}
    return [draw for name, draw in found.items() if name in everywhere]
