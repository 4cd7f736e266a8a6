"""What all requests of a process share, and how a configuration comes into force in it."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

from proxy import config as configuration
from proxy.answers import Answers
from proxy.config import Address, Rate
from proxy.exchanges import registry
from proxy.limits.limiter import Limiter
from proxy.metrics import Metrics
from proxy.model import Reply
from proxy.passage import Passage
from proxy.serving import Serving, needs_restart
from proxy.sites import Sites
from proxy.tasks import Drive
from tests.fakes import FakeClock, signed_request
from tests.world import Access, Accounts, Log, slug

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.config import Config

TICKER = b"/api/v5/market/ticker?instId=BTC-USDT"
ME = b"/tagproxy/me"


class World:
    """A serving with one account, and no exchange behind it."""

    def __init__(self, directory: Path) -> None:
        file = directory / "proxy.toml"
        file.write_text(
            f'[storage]\nurl = "sqlite:///{directory}/tagproxy.db"\n'
            f'master_key = "{base64.b64encode(bytes(32)).decode()}"\n'
            '[exchanges.okx]\nkind = "okx"\nrest_url = "http://127.0.0.1:1"\nbroker_code = "C"\n'
        )
        self.config = configuration.load(file, {}, registry.exchanges())
        self.clock = FakeClock()
        self.metrics = Metrics()
        access = Access()
        self.accounts = cast("Any", Accounts())
        self.accounts.table = lambda _: {access.api_key: access}
        self.accounts.standings = [access.account.standing]
        self.limiter = Limiter(self.clock, jitter_ns=0)
        answers = Answers(self.clock, self.metrics, Log())  # type: ignore[arg-type]
        self.serving = Serving(
            self.config, self.accounts, self.limiter, answers, self.clock, lambda _: None
        )
        self.take_on(self.config)

    def take_on(self, config: Config) -> None:
        sites = Sites(
            config,
            registry.exchanges(),
            self.accounts,
            self.metrics,
            self.clock,
            lambda *_: None,
        )
        self.serving.take_on(config, sites.sites)
        self.pipeline = self.serving.pipeline(sites.fronts[0])

    def screened(self, target: bytes) -> str:
        """Ask without a key; return the slug, or "" when it may pass."""
        request = signed_request(b"GET", target, clock=self.clock)
        request.headers = {b"host": b"proxy"}
        screened = self.pipeline.screen(request)
        return slug(screened) if isinstance(screened, Reply) else ""

    def me(self) -> dict[str, Any]:
        """Ask the proxy who this is."""
        screened = self.pipeline.screen(signed_request(b"GET", ME, clock=self.clock))
        assert isinstance(screened, Passage)
        answered: list[Reply | None] = []
        Drive(self.pipeline.carry(screened), lambda reply, _: answered.append(reply)).start()
        (reply,) = answered
        assert reply is not None
        told: dict[str, Any] = orjson.loads(reply.body)
        return told


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_who_may_read_without_a_key_changes(world: World) -> None:
    assert world.screened(TICKER) == ""
    security = replace(world.config.security, anonymous_public="none")
    world.take_on(replace(world.config, security=security))
    assert world.screened(TICKER) == "missing_credentials"


async def test_what_widens_windows_changes(world: World) -> None:
    limits = replace(world.config.limits, jitter_ns=7)
    world.take_on(replace(world.config, limits=limits))
    assert world.limiter.jitter_ns == 7


async def test_what_was_remembered_of_the_last_sites_is_forgotten(world: World) -> None:
    """It would keep them, and their connections, for as long as an account is idle."""
    (standing,) = world.accounts.standings
    standing.homes = (object(),)
    for draws in standing.identity.draws:
        draws[1] = object()
    world.take_on(world.config)
    assert standing.homes == ()
    assert standing.identity.draws == ({}, {})


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ({}, "http://127.0.0.1:8080/okx"),
        ({"listen": Address("::1", 81)}, "http://[::1]:81/okx"),
        ({"tls_cert": "any"}, "https://127.0.0.1:8080/okx"),
        ({"public_url": "https://proxy.example"}, "https://proxy.example/okx"),
    ],
)
async def test_bots_are_told_how_they_reach_us(
    world: World, server: dict[str, Any], url: str
) -> None:
    told = replace(world.config, server=replace(world.config.server, **server))
    world.serving.take_on(told, [])
    assert world.me()["base_url"] == url


async def test_whoever_comes_after_the_end_is_sent_away(world: World) -> None:
    world.serving.stop()
    assert world.screened(TICKER) == "shutting_down"


async def test_what_needs_a_restart_is_named(world: World) -> None:
    config = world.config
    assert needs_restart(config, config) == []
    other = replace(
        config,
        storage=replace(config.storage, url="sqlite:////elsewhere", master_keys=()),
        limits=replace(config.limits, backend="redis://x/0", unpublished=Rate(1, 1)),
        server=replace(config.server, workers=2, max_connections=1),
    )
    assert needs_restart(config, other) == ["storage.url", "limits.backend", "server.workers"]
