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
    from proxy.routes import Front

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
            plain = {"kind": "okx", "rest_url": self.url, "broker_code": "CODE"} | values
            plain.pop("limits", None)
            lines.append(f"[exchanges.{name}]")
            lines += [f"{key} = {value!r}" for key, value in plain.items()]
            lines.append(f"[exchanges.{name}.limits]")
            lines += [f'"{key}" = "{value}"' for key, value in limits.items()]
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
