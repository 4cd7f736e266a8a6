"""Which address a request leaves from, and what the exchange's no to an address does."""

from __future__ import annotations

import asyncio

import pytest

from proxy.accounts.activity import Activity
from proxy.accounts.standing import Identity, Standing
from proxy.egress import REST_MAX_NS, Egress, home_of
from proxy.errors import Refusal, UpstreamError
from proxy.metrics import Count
from proxy.model import Reply
from proxy.passage import Passage
from proxy.routes import Route
from tests.fakes import FakeConnections, respond, signed_request
from tests.world import ORDER_PATH, Access, World, message, sized, slug

S = 1_000_000_000
PAGE = b"<html>error code: 1015</html>"
NOT_BOUND = b'{"msg":"Your IP is not included in your API key\'s IP whitelist.","code":"50110"}'
THREE = ("192.0.2.1", "192.0.2.2", "192.0.2.3")


def egresses(*addresses: str) -> tuple[Egress, ...]:
    return tuple(
        Egress(
            address, "exchange.test", FakeConnections(), Count(), lambda _address, _seconds: None
        )
        for address in addresses
    )


def standing(account_id: str, *bound: str) -> Standing:
    made = Standing(account_id, ("c", b"f"), Identity("okx", "uid"), Activity())
    made.addresses = bound
    return made


def ranked(world: World) -> list[FakeConnections]:
    """The ways from each address, the one that the account uses first before the next."""
    account = world.access.account.standing
    ways = []
    for _ in world.egresses:
        egress = home_of(world.egresses, account, world.clock.ns)
        ways.append(world.pools[egress.address])
        egress.rests_until_ns = world.clock.ns + 1
    for egress in world.egresses:
        egress.rests_until_ns = 0
    return ways


def address_of(world: World, pool: FakeConnections) -> str:
    return next(address for address, each in world.pools.items() if each is pool)


def test_an_account_keeps_to_one_address_and_accounts_spread_over_all() -> None:
    ways = egresses(*THREE)
    homes = {name: home_of(ways, standing(name), 0).address for name in map(str, range(300))}
    assert set(homes.values()) == set(THREE)
    assert {name: home_of(ways, standing(name), 0).address for name in homes} == homes


def test_one_address_more_moves_only_those_that_go_to_it() -> None:
    fewer, more = egresses(*THREE[:2]), egresses(*THREE)
    for name in map(str, range(300)):
        before, after = (home_of(ways, standing(name), 0).address for ways in (fewer, more))
        assert after in (before, THREE[2])


def test_a_bound_key_leaves_from_an_address_it_is_bound_to() -> None:
    ways = egresses(*THREE)
    for name in map(str, range(50)):
        bound = standing(name, "198.51.100.9", THREE[1])
        assert home_of(ways, bound, 0).address == THREE[1]


def test_a_key_bound_to_what_a_router_makes_of_our_addresses_may_use_any() -> None:
    assert home_of(egresses(*THREE), standing("1", "198.51.100.9"), 0).address in THREE


def test_what_is_learned_of_the_binding_counts_from_then_on() -> None:
    ways = egresses(*THREE)
    account = standing("1")
    other = next(address for address in THREE if address != home_of(ways, account, 0).address)
    account.addresses = (other,)
    assert home_of(ways, account, 0).address == other


def test_while_its_address_rests_an_account_moves_on_and_then_comes_back() -> None:
    ways = egresses(*THREE)
    account = standing("1")
    home = home_of(ways, account, 0)
    home.ban(0, 30_000)
    assert home_of(ways, account, 1).address != home.address
    assert home_of(ways, account, 30 * S) is home


def test_a_bound_key_waits_for_its_address() -> None:
    ways = egresses(*THREE)
    account = standing("1", THREE[0])
    ways[0].ban(0, 30_000)
    with pytest.raises(Refusal) as caught:
        home_of(ways, account, 10 * S)
    assert caught.value.slug == "exchange_ban"
    assert caught.value.retry_after_ms == 20_000


def test_a_rest_of_unknown_length_doubles_until_an_answer_is_good() -> None:
    (egress,) = egresses("default")
    lengths = []
    now_ns = 0
    for _ in range(12):
        egress.ban(now_ns, 0)
        lengths.append(egress.rests_until_ns - now_ns)
        now_ns = egress.rests_until_ns
    assert lengths[:4] == [5 * S, 10 * S, 20 * S, 40 * S]
    assert lengths[-1] == REST_MAX_NS
    egress.recovered("alice")
    egress.ban(now_ns, 0)
    assert egress.rests_until_ns - now_ns == 5 * S


def test_bans_of_what_was_in_flight_already_make_a_rest_no_longer() -> None:
    (egress,) = egresses("default")
    for _ in range(20):
        egress.ban(0, 0)
    assert egress.rests_until_ns == 5 * S


@pytest.mark.parametrize("target", [b"order", b"/api/v5/account/balance", b"/api/v5/market/books"])
async def test_a_banned_address_rests_and_nobodys_key_is_blamed(target: bytes) -> None:
    world = World(respond(429, PAGE, (b"retry-after", b"60")))

    async def ask() -> Reply:
        return await (world.order() if target == b"order" else world.get(target))

    for _ in range(3):
        reply = await ask()
        assert (reply.status, slug(reply)) == (503, "exchange_ban")
        assert "no fault of your key" in message(reply)
        assert "NOT SENT" in message(reply)
        assert b"Retry-After: 60\r\n" in reply.head
    assert len(world.connections.sent) == 1
    assert world.rested == [("default", 60)]
    assert world.metrics.exchange_bans("okx", "default").n == 1
    world.clock.advance_ms(60_001)
    assert (await ask()).status == 200


async def test_an_order_that_the_edge_refused_goes_by_another_address() -> None:
    world = World(egresses=THREE)
    home = home_of(world.egresses, world.access.account.standing, 0).address
    world.pools[home].script.append(respond(403, b"<html>"))
    assert (await world.order()).status == 200
    assert [len(pool.sent) for pool in world.pools.values()].count(1) == 2
    assert world.rested == [(home, 5)]


async def test_when_every_address_is_refused_the_bot_hears_of_it() -> None:
    world = World(egresses=THREE)
    for pool in world.pools.values():
        pool.script.append(respond(418, b""))
    assert slug(await world.order()) == "exchange_ban"
    assert [len(pool.sent) for pool in world.pools.values()] == [1, 1, 1]


async def test_a_signature_whose_order_met_a_ban_may_be_used_again() -> None:
    world = World(respond(403, b"<html>"))
    at_ms = world.clock.wall_ms()
    assert slug(await world.order(at_ms=at_ms)) == "exchange_ban"
    world.clock.advance_ms(5_000)
    assert (await world.order(at_ms=at_ms)).status == 200


async def test_what_waits_for_a_slot_while_its_address_is_banned_is_not_sent_there() -> None:
    world = World(egresses=THREE[:2])
    home = home_of(world.egresses, world.access.account.standing, 0)
    for size in range(60):
        await world.order(sized(size))
    waiting = asyncio.ensure_future(world.order(sized(60)))
    await asyncio.sleep(0)
    home.ban(world.clock.ns, 60_000)
    sent = len(world.pools[home.address].sent)
    world.clock.advance_ms(2_020)
    reply = await waiting
    assert reply.status == 200
    assert len(world.pools[home.address].sent) == sent


async def test_public_reads_take_the_address_with_a_slot() -> None:
    world = World(egresses=THREE)
    for number in range(120):
        reply = await world.get(b"/api/v5/market/books?instId=%d" % number)
        assert reply.status == 200
    assert [len(pool.sent) for pool in world.pools.values()] == [40, 40, 40]


async def test_a_key_that_is_bound_to_another_address_is_tried_from_there() -> None:
    """Before anything was learned of it, or where a router hides what our addresses become."""
    world = World(egresses=THREE)
    first, second, third = ranked(world)
    for pool in (first, second):
        pool.script.append(respond(401, NOT_BOUND))
    assert (await world.order()).status == 200
    assert (await world.order(sized(2))).status == 200
    assert [len(pool.sent) for pool in (first, second, third)] == [1, 1, 2]
    assert world.access.account.standing.activity.key_health == "ok"
    assert world.metrics.tagged("okx", "main", "POST trade/order", "rest").n == 2


async def test_a_key_that_no_address_will_do_for_is_told_so_and_not_tried_everywhere() -> None:
    world = World(egresses=THREE)
    for pool in world.pools.values():
        pool.script += [respond(401, NOT_BOUND) for _ in range(30)]
    for number in range(10):
        reply = await world.get(b"/api/v5/account/balance?x=%d" % number)
        assert (reply.status, reply.body) == (401, NOT_BOUND)
        world.clock.advance_ms(500)
    assert sum(len(pool.sent) for pool in world.pools.values()) == 3 + 9
    assert world.access.account.standing.activity.key_health == "50110"
    world.clock.advance_ms(60_000)
    for pool in world.pools.values():
        pool.script.clear()
    assert (await world.get(b"/api/v5/account/balance")).status == 200


async def test_another_no_to_a_key_is_no_reason_to_try_elsewhere() -> None:
    world = World(egresses=THREE)
    ranked(world)[0].script.append(respond(401, b'{"msg":"Invalid Sign","code":"50113"}'))
    assert (await world.order()).status == 401
    assert sum(len(pool.sent) for pool in world.pools.values()) == 1


async def test_a_single_address_is_asked_once() -> None:
    world = World(respond(401, NOT_BOUND))
    assert (await world.order()).status == 401
    assert len(world.connections.sent) == 1


async def test_what_was_learned_of_a_binding_is_asked_anew_when_it_is_not_so() -> None:
    world = World(egresses=THREE)
    account = world.access.account.standing
    first, second, _ = ranked(world)
    account.addresses = (address_of(world, second),)
    account.learned_ms = world.clock.wall_ms()
    second.script.append(respond(401, NOT_BOUND))
    assert (await world.order()).status == 200
    assert (len(second.sent), len(first.sent)) == (1, 1)
    assert not world.access.account.standing.addresses
    assert (account.learned_ms, account.ask_ms) == (0, world.clock.wall_ms())


async def test_while_the_only_address_for_a_key_rests_the_key_is_not_blamed() -> None:
    world = World(egresses=THREE[:2])
    first, second = ranked(world)
    first.script.append(respond(401, NOT_BOUND))
    second.script += [respond(), respond(418, b"", (b"retry-after", b"60"))]
    assert (await world.order()).status == 200
    for size in (2, 3):
        assert slug(await world.order(sized(size))) == "exchange_ban"
    assert [len(first.sent), len(second.sent)] == [1, 2]


async def test_an_observed_key_finds_its_address_too() -> None:
    world = World(egresses=THREE[:2])
    world.access.account.mode = "observe"
    first, second = ranked(world)
    first.script.append(respond(401, NOT_BOUND))
    assert (await world.order()).status == 200
    assert first.sent == second.sent


def test_a_key_may_be_bound_to_a_network() -> None:
    ways = egresses(*THREE, "2001:db8::2")
    for name in map(str, range(50)):
        bound = standing(name, "nonsense", "198.51.100.0/24", "192.0.2.2/31")
        assert home_of(ways, bound, 0).address in THREE[1:]
        bound = standing(name, "2001:DB8:0:0::2")
        assert home_of(ways, bound, 0).address == "2001:db8::2"


async def test_a_ban_is_counted_and_told_once_however_many_were_on_their_way() -> None:
    world = World()
    (egress,) = world.egresses
    for seconds in (60, 59, 61):
        egress.ban(world.clock.ns, seconds * 1_000)
    assert egress.rests_until_ns == world.clock.ns + 61 * S
    assert world.rested == [("default", 60)]
    assert world.metrics.exchange_bans("okx", "default").n == 1


async def test_every_address_may_say_no_before_one_does_not() -> None:
    many = tuple(f"192.0.2.{number}" for number in range(12))
    for answer in (respond(418, b""), respond(401, NOT_BOUND)):
        world = World(egresses=many)
        for pool in ranked(world)[:-1]:
            pool.script.append(answer)
        assert (await world.order()).status == 200
        assert [len(pool.sent) for pool in world.pools.values()] == [1] * 12


async def test_a_bot_whose_requests_the_edge_minds_does_not_keep_the_address_from_others() -> None:
    """A firewall's 403 for an odd query looks like the one for a banned address."""
    world = World()
    other = Access()
    other.api_key = b"another"
    other.account.id = "2"
    world.keys[other.api_key] = other
    pool = world.connections
    pool.script += [respond(403, PAGE), respond()]
    assert slug(await world.order()) == "exchange_ban"
    world.clock.advance_ms(5_000)
    assert (await world.order(sized(2), key=other.api_key)).status == 200
    for number in range(5):
        pool.script.append(respond(403, PAGE))
        reply = await world.get(b"/api/v5/account/balance?x=%d" % number)
        assert (reply.status, reply.body, slug(reply)) == (403, PAGE, "")
    assert world.egresses[0].rests_until_ns <= world.clock.ns
    world.clock.advance_ms(3_600_000)
    pool.script.append(respond(403, PAGE))
    assert slug(await world.order(sized(3))) == "exchange_ban"


def test_a_ban_that_several_met_is_nobodies_own() -> None:
    (egress,) = egresses("default")
    for second, who in enumerate(("alice", "bob", "alice")):
        assert egress.ban(second * 60 * S, 0, who)
    egress.recovered("carol")
    assert egress.ban(1000 * S, 0, "alice")


def test_whoever_is_served_again_first_met_a_ban_of_the_address() -> None:
    (egress,) = egresses("default")
    assert egress.ban(0, 0, "alice")
    egress.recovered("alice")
    assert egress.ban(60 * S, 0, "alice")


def test_who_met_a_ban_of_its_own_meets_others_too() -> None:
    (egress,) = egresses("default")
    assert egress.ban(0, 0, "alice")
    egress.recovered("bob")
    assert not egress.ban(60 * S, 0, "alice")
    assert egress.ban(60 * S, 30_000, "alice")  # the edge says for how long
    assert egress.ban(100 * S, 0, "bob")
    assert egress.ban(200 * S, 0, "alice")  # nothing was well since bob
    assert egress.ban(900 * S, 0)


async def test_reads_that_wait_for_connections_spread_as_if_they_had_their_slots() -> None:
    """In a burst nobody has taken a slot yet: the first address would look free to all."""
    world = World(egresses=THREE)
    opened = asyncio.Event()

    async def ready(until_ns: int) -> None:
        await opened.wait()

    for pool in world.pools.values():
        pool.free = 0
        pool.ready = ready  # type: ignore[method-assign]
    asked = [
        asyncio.ensure_future(world.get(b"/api/v5/market/books?instId=%d" % number))
        for number in range(120)
    ]
    await asyncio.sleep(0)
    assert [egress.connecting for egress in world.egresses] == [40, 40, 40]
    for pool in world.pools.values():
        pool.free = 40
    opened.set()
    assert {reply.status for reply in await asyncio.gather(*asked)} == {200}
    assert [len(pool.sent) for pool in world.pools.values()] == [40, 40, 40]
    assert [egress.connecting for egress in world.egresses] == [0, 0, 0]


NO_ROUTE = UpstreamError("cannot connect: Cannot assign requested address", sent=False)


def cut_off(pool: FakeConnections) -> None:
    pool.free = 0
    pool.refused = NO_ROUTE


@pytest.mark.parametrize("target", [b"/api/v5/account/balance", b"/api/v5/market/books"])
async def test_from_an_address_that_cannot_connect_nothing_leaves(target: bytes) -> None:
    world = World(egresses=THREE[:2])
    first, second = ranked(world)
    cut_off(first)
    for number in range(5):
        assert (await world.get(target + b"?x=%d" % number)).status == 200
    assert (len(first.sent), len(second.sent)) == (0, 5)
    assert world.rested == []
    first.free = 4
    world.clock.advance_ms(10_000)
    await world.order()
    assert len(first.sent) == 1


async def test_when_no_address_can_connect_the_bot_hears_of_it_at_once() -> None:
    world = World(egresses=THREE)
    for pool in world.pools.values():
        cut_off(pool)
    for _ in range(3):
        reply = await world.order()
        assert slug(reply) == "upstream_unreachable"
        assert "Cannot assign" in message(reply)


async def test_an_address_that_rests_is_no_way_out_for_one_that_cannot_connect() -> None:
    world = World(egresses=THREE[:2])
    first, second = ranked(world)
    cut_off(first)
    second.script.append(respond(418, b"", (b"retry-after", b"60")))
    for size in (1, 2):
        assert slug(await world.order(sized(size))) == "upstream_unreachable"
    assert len(second.sent) == 1


async def test_what_a_strangers_query_meets_rests_no_address() -> None:
    world = World(respond(403, b"<html>"), egresses=THREE, anonymous="all")
    request = signed_request(b"GET", b"/api/v5/market/books?instId=%3Cx%3E", clock=world.clock)
    for name in [name for name in request.headers if name.startswith(b"ok-")]:
        del request.headers[name]
    assert (await world.send(request)).status == 403
    assert world.rested == []
    assert (await world.order()).status == 200


def test_another_way_from_the_same_address_rests_as_long() -> None:
    first, second = egresses(THREE[0], THREE[0])
    (other,) = egresses(THREE[1])
    first.ban(0, 30_000)
    second.rest_as(first)
    other.rest_as(first)
    assert (second.rests_until_ns, other.rests_until_ns) == (30 * S, 0)


async def test_what_is_left_of_an_earlier_configuration_sets_no_limit() -> None:
    """Its head was read before the reload, its body came after."""
    world = World(overrides={"POST /api/v5/trade/order": (5, 2 * S)})
    world.delivery.max_wait_ns = 0
    assert (await world.order(sized(0))).status == 200
    request = signed_request(b"POST", ORDER_PATH, sized(1), clock=world.clock)
    passage = world.pipeline.screen(request)
    assert isinstance(passage, Passage)
    earlier = World(overrides={"POST /api/v5/trade/order": (60, 2 * S)}).site
    earlier.egresses, earlier.accounts = world.site.egresses, world.site.accounts
    earlier.stale = True
    endpoint = next(row for row in earlier.endpoints if row.label == "POST trade/order")
    passage.route = Route(earlier, endpoint, b"/okx", ORDER_PATH, unclassified=False)
    reply, _ = await world.drive(passage)
    assert reply is not None
    assert reply.status == 200
    slugs = [slug(await world.order(sized(size))) for size in range(2, 8)]
    assert slugs == [""] * 3 + ["rate_limited"] * 3


# ---- venues -------------------------------------------------------------------------------------


def at_another_host(count: int = 3) -> tuple[Egress, ...]:
    return egresses(*THREE[:count])


def test_an_accounts_homes_on_two_venues_are_one_address_and_stay_made() -> None:
    """What was ranked for one is not thrown away for the other at every request."""
    spot, futures = egresses(*THREE), at_another_host()
    account = standing("1")
    first = {home_of(ways, account, 0).address for ways in (spot, futures)}
    assert len(first) == 1, "a key bound to addresses is bound to the same for both"
    homes = account.homes
    assert len(homes) == 2
    for number in range(100):
        home_of((spot, futures)[number % 2], account, number)
    assert {id(home) for home in account.homes} == {id(home) for home in homes}


def test_a_refusal_on_one_venue_does_not_move_the_other_nor_is_it_forgotten() -> None:
    world = World(*[respond(401, NOT_BOUND)] * 2, egresses=THREE, kind="okx")
    account = world.access.account.standing
    elsewhere = at_another_host()
    home_there = home_of(elsewhere, account, 0).address
    home_here = home_of(world.egresses, account, 0)
    assert home_here.address == home_there
    (home,) = (each for each in account.homes if each.egresses is world.egresses)
    assert home.refuse(home_here, 0)
    for _ in range(3):
        assert home_of(elsewhere, account, 1).address == home_there
        assert home_of(world.egresses, account, 1) is not home_here


def test_no_more_homes_are_kept_than_an_exchange_may_have_venues() -> None:
    account = standing("1")
    kept = [at_another_host() for _ in range(20)]
    for ways in kept:
        home_of(ways, account, 0)
    assert 2 <= len(account.homes) <= 4
    assert kept[-1] in [home.egresses for home in account.homes]


def test_what_is_learned_of_a_key_makes_every_venues_home_anew() -> None:
    spot, futures = egresses(*THREE), at_another_host()
    account = standing("1")
    for ways in (spot, futures):
        home_of(ways, account, 0)
    account.addresses = (THREE[1],)
    for ways in (spot, futures):
        assert home_of(ways, account, 0).address == THREE[1]
    assert len(account.homes) == 2


def test_budgets_of_an_address_are_one_for_all_venues() -> None:
    """`counted_at` is main's host for each of them."""
    for here, there in zip(egresses(*THREE), at_another_host(), strict=True):
        assert here.subject == there.subject


def test_a_rest_is_taken_over_by_another_way_from_the_same_address_only() -> None:
    here, there = egresses(*THREE), at_another_host()
    here[0].ban(0, 30_000)
    for new in there:
        for known in here:
            new.rest_as(known)
    assert [egress.rests_until_ns for egress in there] == [30 * S, 0, 0]


def test_a_ban_at_one_host_rests_the_address_at_the_exchanges_others_too() -> None:
    here, there = egresses(*THREE), at_another_host()
    for egress, other in zip(here, there, strict=True):
        egress.beside, other.beside = (other,), (egress,)
    here[0].ban(0, 30_000)
    assert [egress.rests_until_ns for egress in there] == [30 * S, 0, 0]
    there[1].ban(0, 5_000)
    assert [egress.rests_until_ns for egress in here] == [30 * S, 5 * S, 0]
