"""Exchanges whose code travels in headers: what leaves for them in each mode, how long a bot's own
signature may wait, and what their answers tell of budgets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import pytest

from proxy.asking import Asking
from proxy.courses import Courses
from proxy.exchanges import registry
from proxy.model import Credentials, LearnedLimit, Request
from proxy.passage import Passage
from tests.fakes import KEY, REAL_KEY, kucoin_request, mexc_request, respond
from tests.world import World, slug

if TYPE_CHECKING:
    from collections.abc import Callable

S = 1_000_000_000
KUCOIN_ORDER = b"/api/v1/hf/orders"
KUCOIN_BODY = b'{"clientOid":"1","side":"buy","symbol":"BTC-USDT","type":"limit"}'
KUCOIN_OK = b'{"code":"200000","data":{"orderId":"1"}}'
MEXC_ORDER = b"/api/v3/order"
MEXC_PARAMETERS = b"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=2"
MEXC_OK = b'{"symbol":"BTCUSDT","orderId":"1"}'
MINE = {b"kc-api-partner": b"BOTS", b"kc-api-partner-sign": b"x", b"kc-broker-name": b"bots"}

make: dict[str, Callable[[World, dict[bytes, bytes]], Request]] = {
    "kucoin": lambda world, headers: kucoin_request(
        b"POST", KUCOIN_ORDER, KUCOIN_BODY, clock=world.clock, headers=headers
    ),
    "mexc": lambda world, headers: mexc_request(
        b"POST", MEXC_ORDER, MEXC_PARAMETERS, clock=world.clock, headers=headers
    ),
}
ANSWERS = {"kucoin": KUCOIN_OK, "mexc": MEXC_OK}


def world_of(kind: str, mode: str = "sign", *script: Any, **settings: Any) -> World:
    script = script or (respond(200, ANSWERS[kind]),) * 4
    world = World(*script, kind=kind, **settings)
    account = world.access.account
    account.mode = mode
    if mode != "sign":
        account.credentials = world.access.credentials = Credentials(KEY, None, b"")
    return world


def sent_of(world: World) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """The target, the headers, each once, and the body of the last request that left."""
    head, _, body = world.connections.sent[-1].partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b": ")
        assert name.lower() not in headers
        headers[name.lower()] = value
    return first.split(b" ")[1], headers, body


def counts(world: World, tagged: int, **found: int) -> None:
    assert world.site.foreign == {"none": 0, "ours": 0, "other": 0} | found
    route = next(
        route
        for route in world.pipeline.front.routes.values()
        if route.endpoint.path.encode() in (KUCOIN_ORDER, MEXC_ORDER)
        and route.endpoint.method == "POST"
    )
    assert route.tagged.n == tagged


def partner_sign(stamp: bytes, code: bytes, key: bytes) -> bytes:
    mac = hmac.new(b"broker's key", stamp + code + key, hashlib.sha256)
    return base64.b64encode(mac.digest())


# ---- signed anew ----------------------------------------------------------------------------


async def test_a_partners_headers_are_made_anew_over_what_leaves() -> None:
    world = world_of("kucoin")
    assert (await world.send(make["kucoin"](world, MINE))).status == 200
    target, headers, body = sent_of(world)
    assert (target, body) == (KUCOIN_ORDER, KUCOIN_BODY)
    assert headers[b"kc-api-key"] == REAL_KEY
    assert (headers[b"kc-api-partner"], headers[b"kc-broker-name"]) == (b"OURCODE", b"us")
    stamp = headers[b"kc-api-timestamp"]
    assert headers[b"kc-api-partner-sign"] == partner_sign(stamp, b"OURCODE", REAL_KEY)
    counts(world, 1, other=1)


async def test_a_code_that_is_kept_is_the_one_that_leaves_and_is_not_counted() -> None:
    world = world_of("mexc", on_conflict="keep")
    assert (await world.send(make["mexc"](world, {b"source": b"BOTS"}))).status == 200
    assert sent_of(world)[1][b"source"] == b"BOTS"
    counts(world, 0, other=1)
    world.clock.advance_ms(1)
    await world.send(make["mexc"](world, {}))
    assert sent_of(world)[1][b"source"] == b"OURCODE"


@pytest.mark.parametrize("mode", ["sign", "keyless"])
async def test_a_code_that_is_kept_is_kept_in_either_mode(mode: str) -> None:
    world = world_of("mexc", mode, on_conflict="keep")
    world.access.account.code = b"HISCODE"
    await world.send(make["mexc"](world, {b"source": b"BOTS"}))
    assert sent_of(world)[1][b"source"] == b"BOTS"


@pytest.mark.parametrize("mode", ["sign", "keyless"])
@pytest.mark.parametrize(("kind", "name"), [("mexc", b"source"), ("kucoin", b"kc-api-partner")])
async def test_another_code_is_refused_where_the_operator_wants_that(
    kind: str, name: bytes, mode: str
) -> None:
    world = world_of(kind, mode, on_conflict="reject")
    assert slug(await world.send(make[kind](world, {name: b"BOTS"}))) == "tag_conflict"
    assert world.connections.sent == []


@pytest.mark.parametrize("in_body", [False, True])
async def test_what_we_sign_leaves_as_the_exchange_wants_it(in_body: bool) -> None:
    world = world_of("mexc")
    request = mexc_request(b"POST", MEXC_ORDER, MEXC_PARAMETERS, in_body=in_body, clock=world.clock)
    assert (await world.send(request)).status == 200
    target, headers, body = sent_of(world)
    assert target.startswith(MEXC_ORDER + b"?" + MEXC_PARAMETERS + b"&")
    assert target.count(b"signature=") == target.count(b"timestamp=") == 1
    assert (body, headers[b"source"]) == (b"", b"OURCODE")


async def test_a_path_with_segments_that_vary_leaves_as_it_came() -> None:
    world = world_of("kucoin")
    request = kucoin_request(
        b"DELETE", b"/api/v1/hf/orders/order-7?symbol=BTC-USDT", clock=world.clock
    )
    assert (await world.send(request)).status == 200
    assert sent_of(world)[0] == b"/api/v1/hf/orders/order-7?symbol=BTC-USDT"
    label = "DELETE v1/hf/orders/{orderId}"
    assert world.metrics.outcomes("kucoin", "main", label)["ok"] == 1


async def test_another_method_or_spelling_of_a_path_that_varies_is_refused_even_under_forward() -> (
    None
):
    world = world_of("kucoin", unknown_writes="forward")
    for method, path in (
        (b"POST", b"/api/v1/hf/orders/order-7"),
        (b"PUT", b"/api/v1/hf/orders/sync/order-7"),
        (b"DELETE", b"/api/v1/HF/orders/order-7"),
        (b"DELETE", b"/api/v1/hf%2Forders/order-7"),
        (b"DELETE", b"/api/v1/hf/orders/order%2F7"),
        (b"POST", b"/api/v1/hf/orders:x"),
        (b"POST", b"/api/v1/mark-price/a.b/current"),
        (b"POST", b"/api/v1/contracts/XBTUSDTM"),  # a path of the futures' host only
    ):
        request = kucoin_request(method, path, b"{}", clock=world.clock)
        assert slug(await world.send(request)) == "bad_request", path
    assert world.connections.sent == []


# ---- mode keyless ---------------------------------------------------------------------------


async def test_a_keyless_request_leaves_byte_for_byte_under_our_code() -> None:
    world = world_of("kucoin", "keyless")
    body = KUCOIN_BODY.replace(b":", b" :  ")
    target = KUCOIN_ORDER + b"?b=%7e&a=1+2"
    request = kucoin_request(b"POST", target, body, clock=world.clock, headers=MINE)
    before = dict(request.headers)
    assert (await world.send(request)).status == 200
    sent, headers, left = sent_of(world)
    assert (sent, left) == (target, body)
    for name in (b"key", b"sign", b"timestamp", b"passphrase", b"key-version"):
        assert headers[b"kc-api-" + name] == before[b"kc-api-" + name]
    assert (headers[b"kc-api-partner"], headers[b"kc-broker-name"]) == (b"OURCODE", b"us")
    stamp = before[b"kc-api-timestamp"]
    assert headers[b"kc-api-partner-sign"] == partner_sign(stamp, b"OURCODE", KEY)
    counts(world, 1, other=1)


@pytest.mark.parametrize("in_body", [False, True])
async def test_parameters_stay_where_a_keyless_bot_put_and_signed_them(in_body: bool) -> None:
    world = world_of("mexc", "keyless")
    request = mexc_request(b"POST", MEXC_ORDER, MEXC_PARAMETERS, in_body=in_body, clock=world.clock)
    suffix, body = request.suffix, request.body
    assert (await world.send(request)).status == 200
    target, headers, left = sent_of(world)
    assert (target, left) == (MEXC_ORDER + suffix, body)
    assert headers[b"source"] == b"OURCODE"
    counts(world, 1, none=1)


@pytest.mark.parametrize(("kind", "name"), [("mexc", b"source"), ("kucoin", b"kc-api-partner")])
@pytest.mark.parametrize("mode", ["sign", "keyless"])
async def test_an_accounts_own_code_goes_before_the_exchanges(
    kind: str, name: bytes, mode: str
) -> None:
    world = world_of(kind, mode)
    world.access.account.code = b"HISCODE"
    await world.send(make[kind](world, {}))
    headers = sent_of(world)[1]
    assert headers[name] == b"HISCODE"
    if kind == "kucoin":
        signature = partner_sign(headers[b"kc-api-timestamp"], b"HISCODE", headers[b"kc-api-key"])
        assert headers[b"kc-api-partner-sign"] == signature
    counts(world, 1, none=1)


@pytest.mark.parametrize(
    ("kind", "mine"), [("mexc", {b"source": b"BOTS"}), ("kucoin", MINE), ("kucoin", {})]
)
async def test_what_is_observed_keeps_whatever_code_it_has(
    kind: str, mine: dict[bytes, bytes]
) -> None:
    world = world_of(kind, "observe", on_conflict="reject")
    assert (await world.send(make[kind](world, mine))).status == 200
    headers = sent_of(world)[1]
    found = {
        name: value
        for name, value in headers.items()
        if name.startswith((b"source", b"kc-api-partner", b"kc-broker"))
    }
    assert found == mine
    counts(world, 0, **({"other": 1} if mine else {"none": 1}))


async def test_the_exchange_verifies_a_keyless_bot() -> None:
    refusal = respond(401, b'{"code":"400005","msg":"Invalid KC-API-SIGN"}')
    world = world_of("kucoin", "keyless", refusal, respond(200, KUCOIN_OK))
    request = kucoin_request(b"POST", KUCOIN_ORDER, KUCOIN_BODY, clock=world.clock, secret=b"no")
    reply = await world.send(request)
    assert (reply.status, reply.body) == (401, refusal.body)
    assert not world.addresses.verified_from("127.0.0.1", world.clock.ns)
    await world.send(make["kucoin"](world, {}))
    assert world.addresses.verified_from("127.0.0.1", world.clock.ns)


# ---- how long a request may wait ------------------------------------------------------------

ONE = {"kucoin": {"spot": (1, 60 * S)}, "mexc": {"spot-orders": (1, 60 * S)}}


@pytest.mark.parametrize("kind", ["kucoin", "mexc"])
@pytest.mark.parametrize("mode", ["keyless", "observe"])
@pytest.mark.parametrize(("window_ms", "expected"), [(4_400, ""), (4_600, "rate_limited")])
async def test_a_forwarded_request_waits_no_longer_than_its_signature_lives(
    kind: str, mode: str, window_ms: int, expected: str
) -> None:
    """5 s here, half a second of which it needs to get there; and that is no deadline of the
    bot's own, so it is not told as one."""
    limits = {name: (count, window_ms * 1_000_000) for name, (count, _) in ONE[kind].items()}
    world = world_of(kind, mode, overrides=limits)
    world.delivery.max_wait_ns = 60 * S
    await fill(world, kind)
    going = asyncio.ensure_future(world.send(make[kind](world, {})))
    await asyncio.sleep(0)
    world.clock.advance_ms(4_700)
    reply = await going
    assert slug(reply) == expected
    assert (b"Retry-After: 5" in reply.head) is (expected != "")
    assert len(world.connections.sent) == (1 if expected else 2)


async def fill(world: World, kind: str) -> None:
    """Send until there is no slot left, and let a millisecond pass: signatures pass once."""
    reply = await world.send(make[kind](world, {}))
    assert reply.status == 200
    world.clock.advance_ms(1)


@pytest.mark.parametrize(("kind", "expected"), [("kucoin", "rate_limited"), ("mexc", "expired")])
async def test_what_we_sign_waits_as_long_as_the_bot_itself_would(kind: str, expected: str) -> None:
    """MEXC's recvWindow is the bot's own deadline; a timestamp alone is none."""
    world = world_of(kind, overrides=ONE[kind])
    world.delivery.max_wait_ns = 7 * S
    await fill(world, kind)
    assert slug(await world.send(make[kind](world, {}))) == expected
    assert len(world.connections.sent) == 1


async def test_a_signature_that_lives_long_enough_waits_for_its_slot() -> None:
    world = world_of("kucoin", "keyless", overrides={"spot": (1, 60_000_000)})
    await fill(world, "kucoin")
    going = asyncio.ensure_future(world.send(make["kucoin"](world, {})))
    await asyncio.sleep(0)
    world.clock.advance_ms(200)
    assert (await going).status == 200
    assert len(world.connections.sent) == 2


# ---- what answers tell of budgets -----------------------------------------------------------


def told(limit: int, remaining: int, reset_ms: int, status: int = 200) -> Any:
    body = KUCOIN_OK if status == 200 else b'{"code":"429000","msg":"Too many requests"}'
    return respond(
        status,
        body,
        (b"gw-ratelimit-limit", b"%d" % limit),
        (b"gw-ratelimit-remaining", b"%d" % remaining),
        (b"gw-ratelimit-reset", b"%d" % reset_ms),
    )


def bucket_of(world: World, name: str = "spot", *, shared: bool = False) -> Any:
    pool = next(pool for pool in registry.exchanges()["kucoin"].pools if pool.name == name)
    identity = world.access.account.standing.identity
    user = ("exchange.test", identity.text, False)
    return world.limiter.bucket(pool, world.egresses[0].subject if shared else user, "")


@pytest.mark.parametrize("way_ms", [0, 40])
async def test_what_others_use_of_an_account_counts_until_its_reset(way_ms: int) -> None:
    """What leaves then gets there a way later, and the answer came a way after it was counted."""
    world = world_of("kucoin", "sign", told(4000, 1000, 10_000))
    world.connections.least_rtt_ns = way_ms * 1_000_000
    await world.send(make["kucoin"](world, {}))
    bucket = bucket_of(world)
    assert bucket.free(world.clock.ns) == 1000
    world.clock.advance_ms(10_000 - way_ms)
    assert bucket.free(world.clock.ns) == 1000, "it may be later there than here"
    world.clock.advance_ms(10)
    assert bucket.free(world.clock.ns) > 3900


@pytest.mark.parametrize("limit", [2000, 8000])
async def test_another_limit_than_ours_is_learned_for_the_account(limit: int) -> None:
    world = world_of("kucoin", "sign", told(limit, limit - 1, 10_000), told(4000, 3999, 10_000))
    learned: list[tuple[Any, LearnedLimit]] = []
    world.delivery.learn_limit = lambda *told: learned.append(told)
    await world.send(make["kucoin"](world, {}))
    ((passage, found),) = learned
    assert found == LearnedLimit("spot", "", limit, 30 * S)
    assert passage.access is world.access
    world.clock.advance_ms(1)
    await world.send(make["kucoin"](world, {}))
    assert len(learned) == 1, "what is known is not learned"


@pytest.mark.parametrize(("overrides", "passes"), [({}, 2), ({"spot": (3, 30 * S)}, 3)])
async def test_what_is_learned_is_in_force_from_the_next_request_on(
    overrides: dict[str, tuple[int, int]], passes: int
) -> None:
    """Unless the operator set the limit: then his stands."""
    world = world_of("kucoin", "sign", *[told(2, 1, 10_000)] * 4, overrides=overrides)
    courses = Courses(pytest.fail)
    courses.serve([world.site])
    identity = world.access.account.standing.identity
    world.delivery.learn_limit = lambda _, limit: courses.tell(courses.of(identity, 2), limit)
    slugs = []
    for _ in range(4):
        slugs.append(slug(await world.send(make["kucoin"](world, {}))))
        world.clock.advance_ms(1)
    assert slugs == [""] * passes + ["rate_limited"] * (4 - passes)


async def test_a_shared_budget_is_corrected_but_its_limit_stays() -> None:
    world = world_of("kucoin", "sign", told(1000, 300, 10_000))
    learned: list[object] = []
    world.delivery.learn_limit = lambda *told: learned.append(told)
    await world.send(kucoin_request(b"GET", b"/api/v1/timestamp", clock=world.clock))
    assert learned == []
    assert bucket_of(world, "public", shared=True).free(world.clock.ns) == 2000 - 700


async def test_a_refusal_for_rate_shuts_the_budget_for_as_long_as_it_says() -> None:
    world = world_of("kucoin", "sign", told(4000, 4000, 20_000, 429))
    reply = await world.send(make["kucoin"](world, {}))
    assert reply.status == 429
    bucket = bucket_of(world)
    world.clock.advance_ms(19_999)
    assert bucket.free(world.clock.ns) == 0
    world.clock.advance_ms(11)
    assert bucket.free(world.clock.ns) > 0


async def test_the_longer_of_two_words_on_a_refusal_counts() -> None:
    for reset_ms, after_s in ((2_000, 20), (20_000, 2)):
        answer = told(4000, 4000, reset_ms, 429)
        answer.headers.append((b"retry-after", b"%d" % after_s))
        world = world_of("kucoin", "sign", answer)
        await world.send(make["kucoin"](world, {}))
        world.clock.advance_ms(19_999)
        assert bucket_of(world).free(world.clock.ns) == 0


# ---- venues ---------------------------------------------------------------------------------


async def test_a_venue_has_its_own_host_and_code_and_mains_budgets() -> None:
    world = world_of("kucoin", venue="futures")
    request = kucoin_request(
        b"POST", b"/api/v1/orders", b"{}", prefix=b"/kucoin/futures", clock=world.clock
    )
    assert (await world.send(request)).status == 200
    target, headers, _ = sent_of(world)
    assert target == b"/api/v1/orders"
    assert (headers[b"host"], headers[b"kc-api-partner"]) == (b"venue.test", b"ITSCODE")
    assert bucket_of(world, "futures").free(world.clock.ns) < bucket_of(world, "futures").count


async def test_lessons_are_asked_at_main_for_whoever_comes_to_a_venue() -> None:
    world = world_of("kucoin", venue="futures")
    exchange = world.site.exchange
    request = kucoin_request(
        b"GET", b"/api/v1/account-overview", prefix=b"/kucoin/futures", clock=world.clock
    )
    passage = world.pipeline.screen(request)
    assert isinstance(passage, Passage)
    assert passage.route.site.venue == "futures"
    world.admission.verify(passage)
    response = await Asking(world.delivery, world.clock).ask(passage, exchange.lessons[0])
    assert response.status == 200
    target, headers, _ = sent_of(world)
    assert target == exchange.lessons[0].path + exchange.lessons[0].suffix
    assert headers[b"host"] == b"exchange.test"
    assert headers[b"kc-api-key"] == REAL_KEY


RATE_HEADERS = (
    (b"gw-ratelimit-limit", b"9999"),
    (b"gw-ratelimit-remaining", b"1"),
    (b"gw-ratelimit-reset", b"100"),
)


@pytest.mark.parametrize(
    ("mode", "status", "body", "learned"),
    [
        ("sign", 200, KUCOIN_OK, True),
        ("sign", 200, b'{"code":"400100","msg":"no"}', True),
        ("sign", 401, b'{"code":"400005","msg":"Invalid KC-API-SIGN"}', False),
        ("keyless", 200, KUCOIN_OK, True),
        ("keyless", 200, b'{"code":"400100","msg":"no"}', False),
    ],
)
async def test_a_budget_is_learned_from_answers_about_the_account_itself_only(
    mode: str, status: int, body: bytes, learned: bool
) -> None:
    """Anybody may ask with a key that is refused, or with no signature that we verified."""
    world = world_of("kucoin", mode, respond(status, body, *RATE_HEADERS))
    told: list[str] = []
    world.delivery.learn_limit = lambda passage, limit: told.append(limit.pool)
    await world.send(make["kucoin"](world, {}))
    assert told == (["spot"] if learned else [])


async def test_a_signature_that_names_no_call_passes_for_the_first_only() -> None:
    """MEXC signs neither path nor method: of a read that somebody saw he makes no cancel."""
    world = world_of("mexc", "sign", *(respond(200, b"[]"),) * 3)
    read = mexc_request(b"GET", b"/api/v3/openOrders", b"symbol=BTCUSDT", clock=world.clock)
    assert (await world.send(read)).status == 200
    other = again(read)
    other.method = b"DELETE"
    assert slug(await world.send(other)) == "replayed"
    assert (await world.send(again(read))).status == 200
    assert len(world.connections.sent) == 2


def again(request: Request) -> Request:
    """The same request once more."""
    target = request.prefix + request.path + request.suffix
    made = Request(request.method, target, request.headers, request.source, 0, request.peer)
    made.body = request.body
    return made


async def test_a_request_that_makes_no_sense_is_no_guess_at_a_key() -> None:
    world = world_of("mexc", "sign", *(respond(200, MEXC_OK),) * 2)
    for _ in range(150):
        odd = mexc_request(
            b"POST", b"/api/v1/private/order/create", b"symbol=BTC_USDT", clock=world.clock
        )
        odd.headers[b"apikey"] = KEY
        odd.headers[b"request-time"] = b"%d" % world.clock.wall_ms()
        odd.headers[b"signature"] = b"0" * 64
        assert slug(await world.send(odd)) == "bad_request"
    assert (await world.send(make["mexc"](world, {}))).status == 200


async def test_a_public_read_for_another_site_is_nobody_elses_too() -> None:
    world = world_of("kucoin", "sign", *(respond(200, b'{"code":"200000","data":[]}'),) * 2)
    request = kucoin_request(
        b"GET", b"/api/v2/symbols", b"", clock=world.clock, headers={b"x-site-type": b"australia"}
    )
    assert (await world.send(request)).status == 200
    assert sent_of(world)[1][b"x-site-type"] == b"australia"


@pytest.mark.parametrize("mode", ["keyless", "observe"])
async def test_a_time_in_the_body_must_be_fresh_though_nobody_here_verifies(mode: str) -> None:
    world = world_of("mexc", mode)
    late_ms = world.clock.wall_ms() - 5_001
    for at_ms, answer in ((late_ms, "stale_timestamp"), (late_ms + 2_000, "")):
        request = mexc_request(
            b"POST", MEXC_ORDER, MEXC_PARAMETERS, in_body=True, clock=world.clock, at_ms=at_ms
        )
        assert slug(await world.send(request)) == answer
