"""Exchange tables as sites and connections, and what of them a change of configuration keeps."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from typing import TYPE_CHECKING, Any, Final

import pytest

from proxy import config as configuration
from proxy.accounts.directory import Directory
from proxy.clock import SystemClock
from proxy.errors import CommandError
from proxy.exchanges import registry
from proxy.metrics import Metrics
from proxy.sites import PATIENCE_NS, Sites
from tests.certificates import write_pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from proxy.egress import Egress
    from proxy.routes import Front, Site

PATIENCE_S: Final = 5.0
ORDER: Final = b"/api/v5/trade/order"
ORDER_LIMIT: Final = "POST /api/v5/trade/order"


class Ahead:
    """The time, moved ahead of what it is when told to."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def monotonic_ns(self) -> int:
        return SystemClock.monotonic_ns() + self.ahead_ns

    def wall_ms(self) -> int:
        return SystemClock.wall_ms()


class World:
    """An exchange that takes connections and says nothing, and the sites before it."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "proxy.toml"
        self.metrics = Metrics()
        self.clock = Ahead()
        self.rested: list[tuple[str, str, int]] = []
        self.sites: list[Sites] = []
        self.url = ""
        self.accepted = 0
        self.open = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._play, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open += 1
        self._writers.append(writer)
        await reader.read()
        writer.close()
        self.open -= 1

    def load(
        self, tables: dict[str, dict[str, Any]], server: str = "127.0.0.1:1"
    ) -> configuration.Config:
        lines = ["[server]", f'listen = "{server}"', "[storage]"]
        lines.append(f'master_key = "{base64.b64encode(bytes(32)).decode()}"')
        for name, values in tables.items():
            limits = values.get("limits", {})
            whole = {"kind": "okx", "rest_url": self.url, "broker_code": "CODE"} | values
            whole.pop("limits", None)
            venues = {key: value for key, value in whole.items() if isinstance(value, dict)}
            plain = {key: value for key, value in whole.items() if key not in venues}
            lines.append(f"[exchanges.{name}]")
            lines += [f"{key} = {value!r}" for key, value in plain.items()]
            lines.append(f"[exchanges.{name}.limits]")
            lines += [f'"{key}" = "{value}"' for key, value in limits.items()]
            for venue, told in venues.items():
                lines.append(f"[exchanges.{name}.{venue}]")
                lines += [f"{key} = {value!r}" for key, value in told.items()]
        self.file.write_text("\n".join(lines))
        return configuration.load(self.file, {}, registry.exchanges())

    def make(self, tables: dict[str, dict[str, Any]], last: Sites | None = None) -> Sites:
        made = self.made_of(self.load(tables), last)
        self.sites.append(made)
        return made

    def made_of(self, config: configuration.Config, last: Sites | None = None) -> Sites:
        return Sites(
            config,
            registry.exchanges(),
            Directory(),
            self.metrics,
            self.clock,
            lambda *rest: self.rested.append(rest),
            last,
        )

    async def connected(self, count: int) -> None:
        """Wait until so many connections have been opened in all."""
        async with asyncio.timeout(PATIENCE_S):
            while self.accepted < count:  # noqa: ASYNC110 - no signal of ours
                await asyncio.sleep(0.001)

    async def left(self, count: int) -> None:
        """Wait until so many are open."""
        async with asyncio.timeout(PATIENCE_S):
            while self.open != count:  # noqa: ASYNC110 - no signal of ours
                await asyncio.sleep(0.001)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    server = await world.start()
    yield world
    for sites in world.sites:
        await sites.retire(1)
        await sites.close()
    server.close()
    await world.left(0)


def egresses(sites: Sites) -> dict[str, tuple[Egress, ...]]:
    return {site.name: site.egresses for site in sites.sites}


def limit_of(front: Front, prefix: bytes = b"/okx") -> tuple[int, int]:
    route = front.find(b"POST", prefix + ORDER)
    assert route is not None
    (pool,) = (draw.pool for draw in route.endpoint.draws if draw.pool.name == ORDER_LIMIT)
    return pool.count, pool.window_ns


# ---- fronts ---------------------------------------------------------------------------------


async def test_every_table_is_on_the_shared_port_and_some_on_their_own(world: World) -> None:
    sites = world.make({"okx": {}, "okx-us": {"listen": "127.0.0.1:2"}})
    shared, own = sites.fronts
    assert (str(shared.address), str(own.address)) == ("127.0.0.1:1", "127.0.0.1:2")
    assert shared.find(b"POST", b"/okx" + ORDER) is not None
    assert shared.find(b"POST", b"/okx-us" + ORDER) is not None
    assert shared.find(b"POST", ORDER) is None
    assert own.find(b"POST", ORDER) is not None
    assert own.find(b"POST", b"/okx-us" + ORDER) is None


async def test_limits_and_rows_of_the_operators_are_in_force(world: World) -> None:
    world.file.with_name("rows.toml").write_text(
        '[[endpoint]]\nmethod = "POST"\npath = "/api/v5/new/thing"\naction = "set"\n'
        'permission = "trade"\nlimit = "1/2s"\nscope = "user"\n'
        'source = "a letter"\nchecked = "2026-01-01"\nconfidence = "docs"\n'
    )
    sites = world.make({"okx": {"rules": "rows.toml", "limits": {ORDER_LIMIT: "7/3s"}}})
    assert limit_of(sites.fronts[0]) == (7, 3_000_000_000)
    assert sites.fronts[0].find(b"POST", b"/okx/api/v5/new/thing") is not None


async def test_rows_that_went_bad_since_they_were_checked_are_named(world: World) -> None:
    rows = world.file.with_name("rows.toml")
    rows.write_text("")
    config = world.load({"okx": {"rules": "rows.toml"}})
    rows.write_text("[[endpoint]]\n")
    with pytest.raises(CommandError, match=r"exchanges\.okx: .*rows\.toml"):
        world.made_of(config)
    rows.unlink()
    with pytest.raises(CommandError, match=r"exchanges\.okx: .*rows\.toml"):
        world.made_of(config)


# ---- venues ---------------------------------------------------------------------------------

MEXC: Final = {"kind": "mexc"}
KUCOIN: Final = {"kind": "kucoin", "broker_name": "us", "broker_key": "key-of-main"}
ELSEWHERE: Final = "http://localhost:1"
FUTURES_ORDER: Final = b"/api/v1/private/order/create"


def by_venue(sites: Sites) -> dict[str, Site]:
    return {site.venue: site for site in sites.sites}


async def test_a_venue_left_out_is_at_mains_host_under_mains_code(world: World) -> None:
    sites = world.make({"mexc": MEXC})
    main, futures = by_venue(sites).values()
    assert (main.main, futures.main) == (main, main)
    assert futures.broker.code == b"CODE"
    assert futures.host == futures.counted_at == main.host
    assert futures.egresses is main.egresses
    sites.start()
    await world.connected(2)
    assert sites.connections == 2, "of one venue as of two"


async def test_a_venue_elsewhere_has_its_own_connections_and_mains_budgets(world: World) -> None:
    futures = {"rest_url": ELSEWHERE, "broker_code": "FUTURES"}
    sites = world.make({"mexc": MEXC | {"futures": futures}})
    main, other = by_venue(sites).values()
    assert other.host == "localhost:1"
    assert other.counted_at == main.counted_at == main.host != other.host
    assert other.broker.code == b"FUTURES"
    assert other.egresses[0] is not main.egresses[0]
    assert other.egresses[0].subject == main.egresses[0].subject
    assert other.deadline_ns == main.deadline_ns
    sites.start()
    await world.connected(2)
    assert sites.unreachable() == ["exchange mexc futures cannot be reached"]


async def test_a_venue_that_shares_mains_connections_is_no_exchange_of_its_own(
    world: World,
) -> None:
    sites = world.make({"mexc": MEXC | {"rest_url": ELSEWHERE}})
    assert sites.unreachable() == ["exchange mexc cannot be reached"]


async def test_each_venue_signs_with_its_own_key_and_name(world: World) -> None:
    futures = {"rest_url": ELSEWHERE, "broker_code": "F", "broker_key": "key-of-futures"}
    broker = {"rest_url": ELSEWHERE}
    made = by_venue(world.make({"kucoin": KUCOIN | {"futures": futures, "broker": broker}}))
    digests = set()
    for venue, code in (("main", b"CODE"), ("futures", b"F"), ("broker", b"CODE")):
        found = made[venue].broker
        assert found.mac is not None
        assert (found.code, found.name) == (code, b"us")
        digests.add(found.mac.digest(b"x"))
    assert len(digests) == 2


async def test_futures_beside_spot_are_found_under_both_prefixes(world: World) -> None:
    sites = world.make({"mexc": MEXC | {"listen": "127.0.0.1:2"}})
    shared, own = sites.fronts
    futures = by_venue(sites)["futures"]
    for front, prefix in ((shared, b"/mexc"), (own, b"")):
        for path in (b"", b"/futures"):
            route = front.find(b"POST", prefix + path + FUTURES_ORDER)
            assert route is not None
            assert route.site is futures
            spot = front.find(b"POST", prefix + path + b"/api/v3/order")
            assert spot is not None  # and not an unknown one, that no limit of spot's counts
            assert spot.site.venue == "main"
    assert own.find(b"POST", b"/mexc" + FUTURES_ORDER) is None


async def test_a_venue_may_have_a_port_of_its_own(world: World) -> None:
    sites = world.make({"mexc": MEXC | {"futures": {"listen": "127.0.0.1:3"}}})
    shared, own = sites.fronts
    assert str(own.address) == "127.0.0.1:3"
    assert own.find(b"POST", FUTURES_ORDER) is not None
    spot = own.find(b"POST", b"/api/v3/order")
    assert spot is not None  # the same host: counted and tagged as what it is
    assert spot.site.venue == "main"
    assert shared.find(b"POST", b"/mexc/futures" + FUTURES_ORDER) is not None


async def test_an_optional_venue_is_served_only_where_it_is_configured(world: World) -> None:
    without = world.make({"kucoin": KUCOIN | {"listen": "127.0.0.1:2"}})
    assert list(by_venue(without)) == ["main"]
    for front, prefix in zip(without.fronts, (b"/kucoin", b""), strict=True):
        for method in (b"GET", b"POST"):
            path = prefix + b"/futures/api/v1/orders"
            assert front.find(method, path) is None
            route = front.unclassified(method, path)
            assert route is not None
            assert "[exchanges.kucoin.futures] has no rest_url" in route.absent
    both = world.make({"kucoin": KUCOIN | {"futures": {"rest_url": ELSEWHERE}}})
    (front,) = both.fronts
    assert list(by_venue(both)) == ["main", "futures"]
    futures, spot = (
        front.find(b"POST", b"/kucoin" + venue + b"/api/v1/orders") for venue in (b"/futures", b"")
    )
    assert futures is not None
    assert spot is not None
    assert (futures.site.venue, spot.site.venue) == ("futures", "main")
    absent = front.unclassified(b"GET", b"/kucoin/broker/x")
    assert absent is not None
    assert absent.absent


async def test_a_reload_takes_over_what_each_venue_had(world: World) -> None:
    futures = {"rest_url": world.url.replace("127.0.0.1", "localhost")}
    table = {"mexc": MEXC | {"futures": futures}}
    before = world.make(table)
    before.start()
    await world.connected(4)
    changed = MEXC | {"deadline": "5s", "futures": futures | {"broker_code": "NEW"}}
    after = world.make({"mexc": changed}, before)
    after.start()
    await after.retire(1)
    for venue, site in by_venue(after).items():
        assert site.egresses[0] is by_venue(before)[venue].egresses[0]
    assert by_venue(after)["futures"].broker.code == b"NEW"
    assert (world.accepted, world.open) == (4, 4)
    joined = world.make({"mexc": MEXC}, after)
    joined.start()
    await joined.retire(1)
    await world.left(2)
    world.sites.remove(before)
    world.sites.remove(after)


@pytest.mark.parametrize("venue", ["main", "futures"])
async def test_an_address_rests_once_for_an_exchange_whichever_venue_minds_it(
    world: World, venue: str
) -> None:
    futures = {"rest_url": ELSEWHERE}
    table = {"mexc": MEXC | {"egress": ["127.0.0.1", "127.0.0.2"], "futures": futures}}
    sites = world.make(table)
    by_venue(sites)[venue].egresses[1].ban(SystemClock.monotonic_ns(), 5_000)
    expected = [("mexc", "127.0.0.1", False), ("mexc", "127.0.0.2", True)]
    assert list(sites.resting) == expected
    assert list(world.make(table, sites).resting) == expected, "after a reload too"


async def test_the_operators_options_decide_which_limits_are_in_force(world: World) -> None:
    def pools(**options: str) -> set[str]:
        sites = world.make({"mexc": MEXC | options})
        (route,) = [sites.fronts[0].find(b"POST", b"/mexc/api/v3/order")]
        assert route is not None
        return {draw.pool.scope[0] for draw in route.endpoint.draws if draw.pool.count == 12}

    assert pools() == {"user", "ip"}
    assert pools(order_subject="account") == {"user"}
    assert pools(order_subject="address") == {"ip"}


# ---- connections that are kept --------------------------------------------------------------


async def test_connections_to_the_same_place_are_taken_over(world: World) -> None:
    before = world.make({"okx": {}})
    before.start()
    await world.connected(2)
    after = world.make({"okx": {"broker_code": "NEW", "deadline": "5s"}}, before)
    after.start()
    await after.retire(1)
    assert egresses(after)["okx"][0] is egresses(before)["okx"][0], "its rest and budgets too"
    assert after.connections == 2
    assert (world.accepted, world.open) == (2, 2)
    assert [site.broker.code for site in after.sites] == [b"NEW"]
    world.sites.remove(before)


async def test_what_no_table_wants_any_more_is_closed(world: World) -> None:
    before = world.make({"okx": {}, "okx-us": {}})
    before.start()
    await world.connected(4)
    after = world.make({"okx": {}}, before)
    after.start()
    assert world.open == 4, "what is in flight may use them"
    await after.retire(1)
    await world.left(2)
    assert after.connections == 2
    world.sites.remove(before)


async def test_an_address_more_is_connected_from_and_the_others_stay(world: World) -> None:
    before = world.make({"okx": {"egress": ["127.0.0.1", "127.0.0.2"]}})
    before.start()
    await world.connected(4)
    after = world.make({"okx": {"egress": ["127.0.0.2", "127.0.0.3"]}}, before)
    after.start()
    await world.connected(6)
    await after.retire(1)
    await world.left(4)
    kept, fresh = egresses(after)["okx"]
    assert kept is egresses(before)["okx"][1]
    assert [kept.address, fresh.address] == ["127.0.0.2", "127.0.0.3"]
    world.sites.remove(before)


async def test_each_change_retires_what_the_one_before_it_had(world: World) -> None:
    """Also where the second comes before the first has retired anything."""
    sites = world.make({"okx": {"egress": ["127.0.0.1"]}})
    sites.start()
    first = sites
    for number, address in enumerate(("127.0.0.2", "127.0.0.1"), start=2):
        sites = world.make({"okx": {"egress": [address]}}, sites)
        sites.start()
        await world.connected(2 * number)
    assert egresses(sites)["okx"][0] is not egresses(first)["okx"][0]
    for each in world.sites[1:]:
        await each.retire(1)
    await world.left(2)
    world.sites[:-1] = []


async def test_another_authority_is_asked_anew(world: World) -> None:
    """The file is read again when it changed, and only then."""
    trusted = write_pair(world.file.parent, "any").certificate
    table = {"okx": {"rest_url": "https://127.0.0.1:1", "ca_file": trusted.name}}
    before = world.make(table)
    same = world.make(table, before)
    assert egresses(same) == egresses(before)
    changed_ns = trusted.stat().st_mtime_ns + 1_000_000
    os.utime(trusted, ns=(changed_ns, changed_ns))
    after = world.make(table, same)
    assert egresses(after)["okx"][0] is not egresses(same)["okx"][0]


async def test_what_is_trusted_is_read_once_and_only_where_it_is_needed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    made = ssl.create_default_context

    def create() -> ssl.SSLContext:
        read.append(None)
        return made()

    monkeypatch.setattr(ssl, "create_default_context", create)
    table = {"rest_url": "https://127.0.0.1:1"}
    before = world.make({"okx": table, "okx-us": table})
    assert len(read) == 1
    world.make({"okx": table, "okx-us": table}, before)
    assert len(read) == 1


# ---- what is told of them -------------------------------------------------------------------


async def test_an_exchange_is_unreachable_when_no_address_reaches_it(world: World) -> None:
    nowhere = {"rest_url": "http://127.0.0.1:1", "egress": ["127.0.0.1", "127.0.0.2"]}
    sites = world.make({"okx": {"egress": ["127.0.0.1", "192.0.2.1"]}, "okx-us": nowhere})
    sites.start()
    await world.connected(2)
    assert sites.unreachable() == ["exchange okx-us cannot be reached"]


async def test_what_a_reload_wants_connected_is_not_missed_at_once(world: World) -> None:
    """Health checks would take us for broken; what was missed before still is."""
    nowhere = {"rest_url": "http://127.0.0.1:1"}
    table = {"okx": {}, "okx-us": nowhere}
    first = world.make(table)
    first.start()
    assert len(first.unreachable()) == 2, "at the start there is nothing to go on with"
    await world.connected(2)
    after = world.make({"okx": {"egress": ["127.0.0.2"]}, "okx-us": nowhere}, first)
    after.start()
    assert after.unreachable() == ["exchange okx-us cannot be reached"]
    world.clock.ahead_ns += PATIENCE_NS
    gone = world.make({"okx": {"rest_url": "http://127.0.0.1:2"}}, after)
    gone.start()
    assert gone.unreachable() == []
    world.clock.ahead_ns += PATIENCE_NS
    assert gone.unreachable() == ["exchange okx cannot be reached"]


async def test_an_address_that_rests_is_told_of(world: World) -> None:
    sites = world.make({"okx": {"egress": ["127.0.0.1", "127.0.0.2"]}, "okx-us": {}})
    egress = egresses(sites)["okx"][1]
    egress.ban(SystemClock.monotonic_ns(), 5_000)
    assert world.rested == [("okx", "127.0.0.2", 5)]
    assert list(sites.resting) == [
        ("okx", "127.0.0.1", False),
        ("okx", "127.0.0.2", True),
        ("okx-us", "default", False),
    ]
    after = world.make({"okx": {"egress": ["127.0.0.2"]}}, sites)
    assert list(after.resting) == [("okx", "127.0.0.2", True)]
