"""What a bot is told of its own account."""

from __future__ import annotations

import json
from typing import Any

from proxy import me
from proxy.errors import SLUGS
from proxy.passage import Passage
from tests.fakes import REAL_KEY, SECRET, signed_request
from tests.world import World


async def told(world: World) -> dict[str, Any]:
    request = signed_request(
        b"GET", b"/tagproxy/me", clock=world.clock, at_ms=world.clock.wall_ms() - 40
    )
    passage = world.pipeline.screen(request)
    assert isinstance(passage, Passage)
    url = "https://proxy.example/okx"
    content = me.describe(passage, world.limiter, url, world.clock.wall_ms())
    read: dict[str, Any] = json.loads(json.dumps(content))
    return read


async def test_it_says_which_account_this_is_and_how_to_reach_it() -> None:
    world = World()
    said = await told(world)
    assert (said["name"], said["exchange"], said["account"]) == ("alice", "okx", "main")
    assert said["state"] == "active"
    assert said["base_url"] == "https://proxy.example/okx"
    assert said["your_address"] == "127.0.0.1"
    assert said["clock_offset_ms"] == -40


async def test_it_says_what_to_bind_the_real_key_to_and_what_it_is_bound_to() -> None:
    world = World(egresses=("192.0.2.1", "192.0.2.2"))
    world.access.account.standing.addresses = ("198.51.100.9",)
    said = await told(world)
    assert said["bind_real_key_to"] == ["192.0.2.1", "192.0.2.2"]
    assert said["real_key"]["bound_to"] == ["198.51.100.9"]
    assert (await told(World()))["bind_real_key_to"] == []  # the system chooses


async def test_it_says_what_is_left_of_the_budgets_that_are_in_use() -> None:
    world = World()
    await world.order()
    budgets = (await told(world))["budgets"]
    order = next(each for each in budgets if each["of"] == "BTC-USDT-SWAP")
    assert (order["left"], order["count"], order["window_ms"]) == (59, 60, 2000)


async def test_it_says_what_was_refused_and_what_to_do_newest_first() -> None:
    world = World()
    await world.order(secret=b"another")
    await world.get(b"/api/v5/asset/deposit-address")
    first, second = (await told(world))["last_refusals"]
    assert (first["slug"], second["slug"]) == ("forbidden_endpoint", "bad_signature")
    assert first["what_to_do"] == me.ADVICE["forbidden_endpoint"]
    assert first["endpoint"] == "GET asset/deposit-address"
    assert (await told(world))["refusals_24h"] == {"bad_signature": 1, "forbidden_endpoint": 1}


async def test_it_tells_no_secret_and_no_whole_key() -> None:
    world = World()
    text = json.dumps(await told(world))
    assert REAL_KEY.decode() not in text
    assert SECRET.decode() not in text


def test_there_is_advice_for_every_refusal() -> None:
    assert set(me.ADVICE) == set(SLUGS)
