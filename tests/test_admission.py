"""Who may pass: observed accounts, sources behind a load balancer, what a bot may ask of itself."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from proxy.model import SENSITIVE_CLASSES, Credentials, Reply
from proxy.passage import Passage
from tests.fakes import KEY, SECRET, kucoin_request, mexc_request, respond, signed_request
from tests.world import ORDER, ORDER_PATH, World, message, sized, slug

if TYPE_CHECKING:
    from proxy.model import Request

FOREIGN = ORDER[:-1] + b',"tag":"SOMEBODYS"}'
OURS = ORDER[:-1] + b',"tag":"OURCODE"}'
BAD_SIGN = b'{"msg":"Invalid Sign","code":"50113"}'


def observing(world: World) -> World:
    account = world.access.account
    account.mode = "observe"
    account.credentials = world.access.credentials = Credentials(KEY, None, b"")
    return world


async def test_an_observed_order_leaves_exactly_as_the_bot_signed_it() -> None:
    world = observing(World())
    request = signed_request(
        b"POST", ORDER_PATH, FOREIGN, clock=world.clock, headers={b"x-simulated-trading": b"1"}
    )
    headers = dict(request.headers)
    assert (await world.send(request)).status == 200
    head, _, body = world.connections.sent[0].partition(b"\r\n\r\n")
    assert body == FOREIGN
    assert head.startswith(b"POST /api/v5/trade/order HTTP/1.1\r\n")
    lines = head.split(b"\r\n")
    for name in (b"key", b"sign", b"timestamp", b"passphrase"):
        assert b"OK-ACCESS-%b: %b" % (name.upper(), headers[b"ok-access-" + name]) in lines
    assert b"x-simulated-trading: 1" in lines


@pytest.mark.parametrize(
    ("body", "found", "tagged"), [(FOREIGN, "other", 0), (OURS, "ours", 1), (ORDER, "none", 0)]
)
async def test_whose_code_an_observed_order_carries_is_counted(
    body: bytes, found: str, tagged: int
) -> None:
    world = observing(World())
    await world.order(body)
    counts = {"none": 0, "ours": 0, "other": 0} | {found: 1}
    assert world.metrics.foreign("okx", "main") == counts
    label = "POST trade/order"
    assert world.metrics.tagged("okx", "main", label, "rest").n == tagged


async def test_an_observed_query_is_not_touched() -> None:
    world = observing(World())
    await world.get(b"/api/v5/asset/convert/history?tag=SOMEBODYS&limit=5")
    assert b"?tag=SOMEBODYS&limit=5 HTTP/1.1" in world.connections.sent[0]


async def test_an_observed_public_read_is_not_shared() -> None:
    world = observing(World())
    await world.get(b"/api/v5/market/candles?instId=BTC-USDT")
    assert b"OK-ACCESS-SIGN: " in world.connections.sent[0]


async def test_nothing_is_told_of_an_observed_account_that_nobody_verified() -> None:
    world = observing(World())
    world.access.account.reason = "has not paid"
    for path in (b"/api/v5/asset/withdrawal", b"/api/v5/asset/deposit-address"):
        method = b"POST" if path.endswith(b"withdrawal") else b"GET"
        reply = await world.send(signed_request(method, path, clock=world.clock))
        assert slug(reply) == "forbidden_endpoint"
        assert "withdraw" not in message(reply)
        assert "deposit" not in message(reply)
    world.access.account.disabled = "block"
    reply = await world.order()
    assert slug(reply) == "user_disabled"
    assert "paid" not in message(reply)


async def test_the_exchange_verifies_an_observed_bot_and_its_address() -> None:
    world = observing(World(respond(401, BAD_SIGN)))
    await world.get(b"/api/v5/account/balance", source="198.51.100.1")
    assert not world.addresses.verified_from("198.51.100.1", world.clock.ns)
    await world.get(b"/api/v5/account/balance", source="198.51.100.1")
    assert world.addresses.verified_from("198.51.100.1", world.clock.ns)


async def test_an_observed_bot_was_seen_once_the_exchange_took_its_signature() -> None:
    world = observing(World(respond(401, BAD_SIGN)))
    activity = world.access.account.standing.activity
    await world.order(OURS)
    assert activity.last_seen_ms == 0
    await world.get(b"/api/v5/market/books?instId=BTC-USDT")
    assert activity.last_seen_ms == 0
    world.clock.advance_ms(5)
    await world.order(OURS)
    assert activity.last_seen_ms == world.clock.wall_ms()
    assert activity.totals(world.clock.wall_ms()) == (1, {})


async def test_too_many_of_the_exchanges_noes_to_an_observed_key_end_it_here() -> None:
    world = observing(World(*(respond(401, BAD_SIGN) for _ in range(100))))
    for number in range(100):
        await world.get(b"/api/v5/account/balance?x=%d" % number)
        world.clock.advance_ms(300)
    assert slug(await world.get(b"/api/v5/account/balance")) == "rate_limited"
    assert len(world.connections.sent) == 100


async def test_the_uid_of_an_observed_account_is_not_asked_for() -> None:
    world = observing(World())
    world.access.account.standing.ask_ms = 0
    await world.order()
    assert world.asked.passages == []


async def test_an_accounts_uid_is_asked_for_before_its_first_private_request_only() -> None:
    world = World()
    world.access.account.standing.ask_ms = 0
    await world.get(b"/api/v5/market/books?instId=BTC-USDT")
    assert world.asked.passages == []
    await world.order()
    assert [passage.sent for passage in world.asked.passages] == [True]
    world.access.account.standing.ask_ms = world.clock.wall_ms() + 1
    await world.get(b"/api/v5/account/balance")
    assert len(world.asked.passages) == 1


async def test_nobody_is_asked_about_before_its_signature_verified() -> None:
    world = World()
    world.access.account.standing.ask_ms = 0
    assert slug(await world.order(secret=b"another")) == "bad_signature"
    assert world.asked.passages == []


async def test_a_trusted_load_balancer_tells_where_a_bot_is() -> None:
    world = World(trusted=("10.0.0.0/8",))
    reply = await world.get(
        b"/api/v5/account/balance", source="10.0.0.1", headers={b"x-forwarded-for": b"203.0.113.9"}
    )
    assert reply.status == 200
    assert world.addresses.verified_from("203.0.113.9", world.clock.ns)
    assert not world.addresses.verified_from("10.0.0.1", world.clock.ns)


async def test_nobody_else_is_believed() -> None:
    world = World(trusted=("10.0.0.0/8",))
    request = signed_request(
        b"GET",
        b"/api/v5/account/balance",
        clock=world.clock,
        source="192.0.2.7",
        headers={b"x-forwarded-for": b"203.0.113.9"},
    )
    await world.send(request)
    assert request.source == ip_address("192.0.2.7")


async def test_a_bot_may_ask_who_it_is() -> None:
    world = World()
    reply = await world.get(b"/tagproxy/me")
    assert (reply.status, json.loads(reply.body)) == (200, {"name": "alice"})
    assert world.connections.sent == []
    assert slug(await world.get(b"/tagproxy/me", secret=b"another")) == "bad_signature"


async def test_without_a_key_there_is_nobody_to_tell_of() -> None:
    world = World(anonymous="all")
    request = signed_request(b"GET", b"/tagproxy/me", clock=world.clock)
    for name in [name for name in request.headers if name.startswith(b"ok-")]:
        del request.headers[name]
    assert slug(await world.send(request)) == "missing_credentials"


async def test_an_observed_bot_cannot_be_told_who_it_is() -> None:
    assert slug(await observing(World()).get(b"/tagproxy/me")) == "forbidden_endpoint"


async def test_what_a_bot_did_and_was_refused_is_noted_with_its_account() -> None:
    world = World(respond(), respond(401, b'{"msg":"Invalid","code":"50111"}'))
    activity = world.access.account.standing.activity
    await world.order()
    assert (activity.key_health, activity.totals(world.clock.wall_ms())) == ("ok", (1, {}))
    world.clock.advance_ms(5)
    await world.order()
    assert activity.key_health == "50111"
    await world.order(secret=b"another")
    assert activity.last_refusal == "bad_signature"
    assert activity.totals(world.clock.wall_ms()) == (2, {"bad_signature": 1})


async def test_a_stale_bot_is_told_so_where_its_owner_looks() -> None:
    world = World()
    await world.order(at_ms=world.clock.wall_ms() - 60_000)
    activity = world.access.account.standing.activity
    assert activity.last_refusal == "stale_timestamp"
    assert activity.last_seen_ms == 0


async def test_a_public_read_says_nothing_of_the_accounts_key() -> None:
    world = World(respond(401, b'{"msg":"Invalid","code":"50111"}'))
    await world.get(b"/api/v5/market/books?instId=BTC-USDT")
    assert world.access.account.standing.activity.key_health == ""


async def test_how_far_the_bots_clock_is_off_is_noted() -> None:
    world = World()
    await world.order(at_ms=world.clock.wall_ms() - 1_500)
    assert world.access.account.standing.activity.clock_off_ms == -1_500


async def test_an_observed_bot_is_not_told_the_accounts_limits() -> None:
    world = observing(World(overrides={"POST /api/v5/trade/order": (1, 60_000_000_000)}))
    await world.order(sized(0))
    reply = await world.order(sized(1))
    assert slug(reply) == "rate_limited"
    assert "BTC-USDT" not in message(reply)
    assert b"Retry-After: " in reply.head


async def test_what_wants_a_grant_is_nothing_for_strangers() -> None:
    world = World(anonymous="all")
    request = signed_request(b"POST", b"/v5/users/oauth/token", b"{}", clock=world.clock)
    for name in [name for name in request.headers if name.startswith(b"ok-")]:
        del request.headers[name]
    assert slug(await world.send(request)) == "missing_credentials"


async def test_a_stranger_who_knows_an_observed_key_does_not_spoil_its_health() -> None:
    world = observing(World(respond(), respond(401, BAD_SIGN)))
    await world.order(sized(0))
    await world.order(sized(1))
    assert world.access.account.standing.activity.key_health == "ok"


# ---- the time of a claim --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("off_ms", "expected"),
    [(-5_001, "stale_timestamp"), (-5_000, ""), (5_000, ""), (5_001, "stale_timestamp")],
)
@pytest.mark.parametrize("mode", ["sign", "keyless", "observe"])
async def test_a_claim_passes_from_its_first_instant_to_its_last(
    off_ms: int, expected: str, mode: str
) -> None:
    world = World(kind="kucoin")
    world.access.account.mode = mode
    at_ms = world.clock.wall_ms() + off_ms
    request = kucoin_request(b"GET", b"/api/v1/accounts", clock=world.clock, at_ms=at_ms)
    assert slug(await world.send(request)) == expected


@pytest.mark.parametrize(
    ("off_ms", "expected"),
    [
        (-5_001, "stale_timestamp"),
        (-5_000, "expired"),
        (-4_999, ""),
        (999, ""),
        (1_000, "stale_timestamp"),
    ],
)
@pytest.mark.parametrize("in_body", [False, True])
async def test_a_time_in_the_body_is_bounded_like_one_in_the_head(
    off_ms: int, expected: str, in_body: bool
) -> None:
    world = World(kind="mexc")
    request = mexc_request(
        b"POST",
        b"/api/v3/order",
        b"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1",
        in_body=in_body,
        clock=world.clock,
        at_ms=world.clock.wall_ms() + off_ms,
    )
    screened = world.pipeline.screen(request)
    assert isinstance(screened, Passage) is (in_body or expected != "stale_timestamp")
    reply = screened if isinstance(screened, Reply) else (await world.drive(screened))[0]
    assert reply is not None
    assert slug(reply) == expected
    assert len(world.connections.sent) == (expected == "")


async def test_a_signature_in_the_body_passes_once() -> None:
    world = World(kind="mexc")
    parameters = b"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1"
    replies = [
        await world.send(
            mexc_request(b"POST", b"/api/v3/order", parameters, in_body=True, clock=world.clock)
        )
        for _ in range(2)
    ]
    assert [slug(reply) for reply in replies] == ["", "replayed"]
    assert world.access.account.standing.activity.clock_off_ms == 0


async def test_a_wrong_signature_in_the_body_counts_as_failed() -> None:
    world = World(kind="mexc")

    def order(secret: bytes) -> Request:
        return mexc_request(
            b"POST", b"/api/v3/order", b"a=1", in_body=True, clock=world.clock, secret=secret
        )

    for _ in range(100):
        assert slug(await world.send(order(b"another"))) == "bad_signature"
    assert isinstance(world.pipeline.screen(order(b"another")), Reply), "on the head alone"
    assert slug(await world.send(order(SECRET))) == "rate_limited"


# ---- accounts whose secret is not held ------------------------------------------------------


def keyless(world: World) -> World:
    account = world.access.account
    account.mode = "keyless"
    account.credentials = world.access.credentials = Credentials(KEY, None, b"")
    return world


async def test_a_keyless_bot_cannot_be_told_who_it_is() -> None:
    world = keyless(World(kind="kucoin"))
    request = kucoin_request(b"GET", b"/tagproxy/me", clock=world.clock)
    assert slug(await world.send(request)) == "forbidden_endpoint"


async def test_nothing_is_asked_about_a_keyless_account() -> None:
    world = keyless(World(kind="kucoin"))
    world.access.account.standing.ask_ms = 0
    await world.send(kucoin_request(b"GET", b"/api/v1/accounts", clock=world.clock))
    assert world.asked.passages == []
    assert len(world.connections.sent) == 1


@pytest.mark.parametrize("granted", [False, True])
async def test_a_keyless_bot_needs_its_grants_like_any_other(granted: bool) -> None:
    world = keyless(World(kind="kucoin"))
    world.access.account.grants = frozenset({"withdraw"} if granted else ())
    for method, path in (
        (b"DELETE", b"/api/v1/withdrawals/42"),
        (b"GET", b"/api/v9/withdrawals-of-another-day"),
    ):
        reply = await world.send(kucoin_request(method, path, clock=world.clock))
        assert slug(reply) == ("" if granted else "forbidden_endpoint")
        assert "withdraw" not in reply.body.decode() or granted


@pytest.mark.parametrize("mode", ["sign", "keyless", "observe"])
@pytest.mark.parametrize("unknown_writes", ["refuse", "forward"])
async def test_what_is_never_served_is_refused_in_every_mode(
    mode: str, unknown_writes: str
) -> None:
    world = World(kind="kucoin", unknown_writes=unknown_writes)
    world.access.account.mode = mode
    world.access.account.grants = frozenset(SENSITIVE_CLASSES)
    for method, path in (
        (b"POST", b"/api/ua/v1/unified/order/place"),
        (b"POST", b"/api/UA/v1/unified/order/place"),
        (b"POST", b"/api%2Fua%2Fv1%2Forder"),
        (b"GET", b"/api/ua/v1/account/fee/kcs-deduct"),
    ):
        reply = await world.send(kucoin_request(method, path, b"{}", clock=world.clock))
        assert slug(reply) == "forbidden_endpoint", path
        assert b"unified account" in reply.body, "whoever asks: it is not about the account"
    assert world.connections.sent == []


@pytest.mark.parametrize("mode", ["sign", "keyless", "observe"])
async def test_an_unknown_write_is_forwarded_only_where_that_is_wanted(mode: str) -> None:
    for unknown_writes, sent in (("refuse", 0), ("forward", 1)):
        world = World(kind="kucoin", unknown_writes=unknown_writes)
        world.access.account.mode = mode
        request = kucoin_request(b"POST", b"/api/v9/something-new", b"{}", clock=world.clock)
        reply = await world.send(request)
        assert slug(reply) == ("" if sent else "forbidden_endpoint")
        assert len(world.connections.sent) == sent


async def test_a_disabled_keyless_account_is_refused_and_not_told_why() -> None:
    world = keyless(World(kind="kucoin"))
    world.access.account.disabled = "block"
    world.access.account.reason = "has not paid"
    reply = await world.send(kucoin_request(b"GET", b"/api/v1/accounts", clock=world.clock))
    assert slug(reply) == "user_disabled"
    assert b"paid" not in reply.body
