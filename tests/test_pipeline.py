"""One request's way through the pipeline, over scripted connections and with OKX's own rules."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from proxy.errors import BotGone, UpstreamError, UpstreamTimeout
from proxy.model import Reply
from proxy.passage import Passage
from proxy.tasks import Drive
from tests.fakes import KEY, REAL_KEY, respond, signed_request
from tests.world import ORDER, ORDER_PATH, TOO_MANY, Access, World, message, slug

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.model import Request
    from tests.fakes import FakeClock


async def test_an_order_leaves_tagged_and_signed_with_the_real_key() -> None:
    world = World()
    reply = await world.order()
    assert reply.status == 200
    (sent,) = world.connections.sent
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/v5/trade/order HTTP/1.1\r\nHost: exchange.test\r\n")
    assert b"OK-ACCESS-KEY: " + REAL_KEY in head
    assert KEY not in sent
    assert json.loads(body) == {**json.loads(ORDER), "tag": "OURCODE"}


async def test_an_answer_carries_its_id_and_its_timing_and_no_cookies() -> None:
    world = World(respond(200, b'{"code":"0"}', (b"set-cookie", b"a=b"), (b"x-kept", b"yes")))
    reply = await world.order()
    assert b"X-Request-Id: " in reply.head
    assert b"Server-Timing: proxy;dur=" in reply.head
    assert b"x-kept: yes\r\n" in reply.head
    assert b"cookie" not in reply.head.lower()


async def test_only_listed_headers_of_the_bot_go_on() -> None:
    world = World()
    await world.order(
        headers={b"cookie": b"c", b"x-forwarded-for": b"1.2.3.4", b"accept": b"application/json"}
    )
    head = world.connections.sent[0].lower()
    assert b"accept: application/json" in head
    assert b"user-agent: a bot" in head
    assert b"cookie" not in head
    assert b"forwarded" not in head


async def test_a_never_sent_order_tries_another_connection() -> None:
    world = World(UpstreamError("closed", sent=False), UpstreamError("closed", sent=False))
    assert (await world.order()).status == 200
    assert len(world.connections.sent) == 1


async def test_connections_that_all_close_before_the_send_are_told_as_not_sent() -> None:
    world = World(*(UpstreamError("closed", sent=False) for _ in range(9)))
    reply = await world.order()
    assert slug(reply) == "upstream_unreachable"
    assert "NOT SENT" in message(reply)
    assert world.connections.sent == []


@pytest.mark.parametrize(
    "error", [UpstreamError("reset", sent=True), UpstreamTimeout("deadline", sent=True)]
)
async def test_an_order_that_may_have_been_sent_is_never_sent_again(error: UpstreamError) -> None:
    world = World(error)
    reply = await world.order()
    assert (reply.status, slug(reply)) == (504, "upstream_unknown")
    assert "PERHAPS SENT" in message(reply)
    assert len(world.connections.sent) == 1


async def test_a_read_is_repeated_once_on_a_fresh_connection() -> None:
    world = World(UpstreamError("reset", sent=True))
    assert (await world.get(b"/api/v5/account/balance")).status == 200
    assert len(world.connections.sent) == 2
    assert world.connections.fresh_ones == 1


async def test_a_read_is_not_repeated_twice_nor_after_its_deadline() -> None:
    for script in (
        (UpstreamError("reset", sent=True), UpstreamError("reset", sent=True)),
        (UpstreamTimeout("deadline", sent=True),),
    ):
        world = World(*script)
        reply = await world.get(b"/api/v5/account/balance")
        assert slug(reply) == "upstream_unknown"
        assert len(world.connections.sent) == len(script)


async def test_no_connection_in_time_is_told_as_not_sent() -> None:
    world = World()
    world.connections.free = 0
    reply = await world.order()
    assert (reply.status, slug(reply)) == (503, "upstream_unreachable")


async def test_a_rate_refusal_goes_back_when_no_slot_comes_in_time() -> None:
    """Our count is corrected: the window is taken as full, and its end lies past max_wait."""
    world = World(respond(429, TOO_MANY, (b"retry-after", b"5")))
    reply = await world.order()
    assert reply.status == 429
    assert reply.body == TOO_MANY
    assert len(world.connections.sent) == 1
    refused = await world.order(ORDER.replace(b'"px":"1"', b'"px":"2"'))
    assert slug(refused) == "rate_limited"
    assert b"Retry-After: " in refused.head


async def test_a_full_window_is_refused_at_once_with_the_facts() -> None:
    world = World(overrides={"POST /api/v5/trade/order": (1, 20_000_000_000)})
    await world.order()
    reply = await world.order(ORDER.replace(b'"px":"1"', b'"px":"2"'))
    assert (reply.status, slug(reply)) == (429, "rate_limited")
    text = message(reply)
    assert text.startswith("Too Many Requests [tagproxy rate_limited: your account, ")
    assert "trade/order BTC-USDT-SWAP 1/20s, waited 0 ms, next slot in " in text
    assert ", NOT SENT, req " in text


async def test_a_bots_own_deadline_ends_the_wait_as_expired() -> None:
    world = World(overrides={"POST /api/v5/trade/order": (1, 20_000_000_000)})
    await world.order()
    deadline = str(world.clock.wall_ms() + 500).encode()
    reply = await world.order(
        ORDER.replace(b'"px":"1"', b'"px":"2"'), headers={b"exptime": deadline}
    )
    assert (reply.status, slug(reply)) == (200, "expired")


async def test_a_deadline_in_the_past_is_not_sent() -> None:
    world = World()
    reply = await world.order(headers={b"exptime": str(world.clock.wall_ms() - 1).encode()})
    assert slug(reply) == "expired"
    assert world.connections.sent == []


async def test_the_same_signed_order_passes_once() -> None:
    world = World()
    stamp = world.clock.wall_ms()
    assert (await world.order(at_ms=stamp)).status == 200
    assert slug(await world.order(at_ms=stamp)) == "replayed"
    assert len(world.connections.sent) == 1


async def test_the_same_signed_read_passes_again() -> None:
    world = World()
    stamp = world.clock.wall_ms()
    for _ in range(2):
        assert (await world.get(b"/api/v5/account/balance", at_ms=stamp)).status == 200


async def test_a_signature_whose_order_was_never_sent_may_be_used_again() -> None:
    world = World(*(UpstreamError("closed", sent=False) for _ in range(4)))
    stamp = world.clock.wall_ms()
    assert slug(await world.order(at_ms=stamp)) == "upstream_unreachable"
    assert (await world.order(at_ms=stamp)).status == 200


def _wrong(**kwargs: Any) -> Callable[[FakeClock], Request]:
    def make(clock: FakeClock) -> Request:
        return signed_request(b"POST", ORDER_PATH, ORDER, clock=clock, **kwargs)

    return make


@pytest.mark.parametrize(
    ("make", "status", "expected"),
    [
        (_wrong(key=b"nobody"), 401, "unknown_key"),
        (_wrong(secret=b"wrong"), 401, "bad_signature"),
        (_wrong(passphrase=b"wrong"), 401, "bad_passphrase"),
        (_wrong(at_ms=1_000), 401, "stale_timestamp"),
        (_wrong(headers={b"ok-access-timestamp": b"noon"}), 401, "stale_timestamp"),
    ],
)
async def test_who_may_not_pass_hears_the_exchanges_own_code(
    make: Callable[[FakeClock], Request], status: int, expected: str
) -> None:
    world = World()
    reply = await world.send(make(world.clock))
    assert (reply.status, slug(reply)) == (status, expected)
    assert world.connections.sent == []


async def test_key_address_and_time_are_decided_on_the_head_alone() -> None:
    world = World()
    world.access.networks = (object(),)
    world.accounts.allowed = False
    request = signed_request(b"POST", ORDER_PATH, ORDER, clock=world.clock)
    request.body = b""
    screened = world.pipeline.screen(request)
    assert isinstance(screened, Reply)
    assert slug(screened) == "ip_not_allowed"


async def test_too_many_failures_are_refused_without_looking_at_the_signature() -> None:
    world = World()
    for _ in range(100):
        await world.order(secret=b"wrong")
    assert slug(await world.order()) == "rate_limited"
    assert (await world.order(source="127.0.0.2")).status == 200


async def test_a_disabled_account_is_told_so_only_after_its_signature_verified() -> None:
    world = World()
    world.access.account.disabled = "block"
    assert slug(await world.order(secret=b"wrong")) == "bad_signature"
    assert slug(await world.order()) == "user_disabled"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"POST", b"/api/v5/asset/transfer"),
        (b"POST", b"/api/v5/asset/withdrawal"),
        (b"GET", b"/api/v5/asset/deposit-address?ccy=BTC"),
        (b"POST", b"/api/v5/Asset/Transfer"),
        (b"POST", b"/api/v6/asset/withdrawal-new"),
        (b"GET", b"/api/v5/users/subaccount/apikey-new"),
    ],
)
@pytest.mark.parametrize("unknown_writes", ["refuse", "forward"])
async def test_a_sensitive_class_is_refused_unless_granted(
    method: bytes, target: bytes, unknown_writes: str
) -> None:
    world = World(unknown_writes=unknown_writes)
    body = b'{"ccy":"BTC"}' if method == b"POST" else b""
    reply = await world.send(signed_request(method, target, body, clock=world.clock))
    assert slug(reply) in {"forbidden_endpoint", "bad_request"}
    assert world.connections.sent == []


async def test_a_granted_class_passes() -> None:
    world = World()
    world.access.account.grants = frozenset({"transfer"})
    request = signed_request(
        b"POST", b"/api/v5/asset/transfer", b'{"ccy":"BTC"}', clock=world.clock
    )
    assert (await world.send(request)).status == 200


async def test_unknown_reads_pass_and_unknown_writes_do_not() -> None:
    world = World()
    assert (await world.get(b"/api/v5/trade/new-read?x=1")).status == 200
    request = signed_request(b"POST", b"/api/v5/trade/new-write", b"{}", clock=world.clock)
    assert slug(await world.send(request)) == "forbidden_endpoint"
    assert len(world.connections.sent) == 1


async def test_another_spelling_of_a_known_write_is_refused_even_under_forward() -> None:
    """It would reach the exchange untagged."""
    world = World(unknown_writes="forward")
    for method, target in ((b"POST", b"/api/v5/trade/Order"), (b"PUT", ORDER_PATH)):
        request = signed_request(method, target, ORDER, clock=world.clock)
        assert slug(await world.send(request)) == "bad_request"
    assert world.connections.sent == []


@pytest.mark.parametrize(
    ("anonymous", "source", "passes"),
    [
        ("known", "127.0.0.1", True),
        ("known", "192.0.2.1", False),
        ("all", "192.0.2.1", True),
        ("none", "127.0.0.1", False),
    ],
)
async def test_public_reads_without_a_key(anonymous: str, source: str, passes: bool) -> None:
    world = World(anonymous=anonymous)
    request = signed_request(b"GET", b"/api/v5/public/time", clock=world.clock, source=source)
    request.headers = {b"host": b"proxy"}
    reply = await world.send(request)
    assert (reply.status == 200) is passes
    if passes:
        assert b"OK-ACCESS" not in world.connections.sent[0]
    else:
        assert slug(reply) == "missing_credentials"


async def test_a_private_call_without_a_key_is_refused() -> None:
    world = World(anonymous="all")
    request = signed_request(b"GET", b"/api/v5/account/balance", clock=world.clock)
    request.headers = {b"host": b"proxy"}
    assert slug(await world.send(request)) == "missing_credentials"


async def test_nothing_is_an_authentication_answer_while_accounts_are_not_loaded() -> None:
    world = World()
    world.accounts.ready = False
    reply = await world.order(key=b"nobody")
    assert (reply.status, slug(reply)) == (503, "not_ready")


async def test_a_stopping_proxy_says_so() -> None:
    world = World()
    world.admission.stopping = True
    assert slug(await world.order()) == "shutting_down"


async def test_a_path_of_no_exchange_is_not_found() -> None:
    world = World()
    request = signed_request(b"GET", b"/api", clock=world.clock, prefix=b"/elsewhere")
    reply = await world.send(request)
    assert reply.status == 404


@pytest.mark.parametrize("path", [b"/api//v5", b"/api/v5/", b"/api/%76x", b"/api/v5/../x"])
async def test_odd_paths_are_bad_requests_in_the_exchanges_shape(path: bytes) -> None:
    world = World()
    reply = await world.send(signed_request(b"GET", path, clock=world.clock))
    assert (reply.status, slug(reply)) == (400, "bad_request")
    assert json.loads(reply.body)["code"] == "51000"


async def test_a_bot_that_hangs_up_before_the_send_drops_its_request() -> None:
    world = World(overrides={"POST /api/v5/trade/order": (1, 2_000_000_000)})
    await world.order()
    request = signed_request(
        b"POST", ORDER_PATH, ORDER.replace(b'"px":"1"', b'"px":"2"'), clock=world.clock
    )
    passage = world.pipeline.screen(request)
    assert isinstance(passage, Passage)
    ended: list[BaseException | None] = []
    drive = Drive(world.pipeline.carry(passage), lambda _, error: ended.append(error))
    drive.start()
    assert ended == []
    assert not world.pipeline.sent(passage)
    drive.drop()
    assert isinstance(ended[0], BotGone)
    assert len(world.connections.sent) == 1
    world.pipeline.gone(passage)
    assert [line[4] for line in world.log.lines] == ["ok", "bot_gone"]


async def test_our_own_fault_after_the_send_is_an_unknown_outcome() -> None:
    world = World()
    request = signed_request(b"POST", ORDER_PATH, ORDER, clock=world.clock)
    passage = world.pipeline.screen(request)
    assert isinstance(passage, Passage)
    before = world.pipeline.failed(passage, RuntimeError())
    assert (before.status, slug(before)) == (503, "internal")
    passage.sent = True
    after = world.pipeline.failed(passage, RuntimeError())
    assert (after.status, slug(after)) == (504, "upstream_unknown")
    assert len(world.log.faults) == 2


async def test_an_accounts_own_code_overrides_the_exchanges() -> None:
    world = World()
    world.access.account.code = b"HISCODE"
    await world.order()
    assert b'"tag":"HISCODE"' in world.connections.sent[0]


async def test_a_key_that_is_taken_away_while_the_body_comes_in_sends_nothing() -> None:
    world = World()
    request = signed_request(b"POST", ORDER_PATH, ORDER, clock=world.clock)
    passage = world.pipeline.screen(request)
    assert isinstance(passage, Passage)
    world.keys.clear()
    reply, _ = await world.drive(passage)
    assert reply is not None
    assert slug(reply) == "unknown_key"
    assert world.connections.sent == []


async def test_an_account_that_changes_while_the_body_comes_in_counts_as_it_is_now() -> None:
    world = World()
    request = signed_request(b"POST", ORDER_PATH, ORDER, clock=world.clock)
    passage = world.pipeline.screen(request)
    assert isinstance(passage, Passage)
    world.keys[KEY] = changed = Access()
    changed.account.code = b"NEWCODE"
    await world.drive(passage)
    assert b'"tag":"NEWCODE"' in world.connections.sent[0]


async def test_an_account_that_changes_while_its_order_waits_sends_nothing() -> None:
    world = World(overrides={"POST /api/v5/trade/order": (1, 1_000_000_000)})
    await world.order()
    request = signed_request(
        b"POST", ORDER_PATH, ORDER.replace(b'"px":"1"', b'"px":"2"'), clock=world.clock
    )
    passage = world.pipeline.screen(request)
    assert isinstance(passage, Passage)
    driven = asyncio.ensure_future(world.drive(passage))
    await asyncio.sleep(0)
    world.keys[KEY] = Access()
    world.clock.advance_ms(1_500)
    reply, _ = await driven
    assert reply is not None
    assert slug(reply) == "not_ready"
    assert len(world.connections.sent) == 1


async def test_a_public_read_without_a_key_keeps_its_demo_flag() -> None:
    world = World()
    request = signed_request(b"GET", b"/api/v5/public/time", clock=world.clock)
    request.headers = {b"host": b"proxy", b"x-simulated-trading": b"1"}
    await world.send(request)
    assert b"x-simulated-trading: 1\r\n" in world.connections.sent[0]


@pytest.mark.parametrize("path", [b"/api/v5/trade/order.json", b"/api/v5/trade/order:x"])
async def test_a_known_path_with_an_ending_is_no_unknown_write(path: bytes) -> None:
    world = World(unknown_writes="forward")
    reply = await world.send(signed_request(b"POST", path, ORDER, clock=world.clock))
    assert slug(reply) == "bad_request"


SPOT = ORDER.replace(b"BTC-USDT-SWAP", b"BTC-USDT")
LONG = ORDER[:-1] + b',"posSide":"long"}'


@pytest.mark.parametrize(
    ("path", "body", "passes"),
    [
        (ORDER_PATH, SPOT[:-1] + b',"reduceOnly":true}', False),
        (ORDER_PATH, LONG[:-1] + b',"reduceOnly":true}', False),
        (ORDER_PATH, LONG.replace(b'"buy"', b'"sell"'), True),
        (b"/api/v5/tradingBot/grid/order-algo", ORDER[:-1] + b',"reduceOnly":true}', False),
        (ORDER_PATH, ORDER, False),
        (ORDER_PATH, ORDER[:-1] + b',"reduceOnly":true}', True),
        (ORDER_PATH, ORDER[:-1] + b',"reduceOnly":"true"}', True),
        (ORDER_PATH, ORDER[:-1] + b',"reduceOnly":true,"reduceOnly":false}', False),
        (b"/api/v5/trade/close-position", b'{"instId":"BTC-USDT-SWAP","mgnMode":"cross"}', True),
        (b"/api/v5/trade/cancel-order", b'{"instId":"BTC-USDT-SWAP","ordId":"1"}', True),
        (b"/api/v5/trade/amend-order", b'{"instId":"BTC-USDT-SWAP","ordId":"1"}', False),
    ],
)
async def test_a_close_only_account_may_only_get_out(
    path: bytes, body: bytes, passes: bool
) -> None:
    world = World()
    world.access.account.disabled = "close-only"
    reply = await world.send(signed_request(b"POST", path, body, clock=world.clock))
    assert slug(reply) == ("" if passes else "forbidden_endpoint")
    assert (await world.get(b"/api/v5/account/balance")).status == 200


async def test_an_exchange_that_keeps_refusing_for_rate_is_not_asked_for_ever() -> None:
    world = World(*(respond(429, TOO_MANY) for _ in range(9)))
    reply = await world.order()
    assert (reply.status, reply.body) == (429, TOO_MANY)
    assert len(world.connections.sent) <= 4


async def test_an_order_of_unknown_fate_counts_as_tagged() -> None:
    world = World(UpstreamError("reset", sent=True))
    await world.order()
    route = world.pipeline.front.find(b"POST", b"/okx" + ORDER_PATH)
    assert route is not None
    assert route.tagged.n == 1


async def test_every_answer_is_counted_and_logged_once() -> None:
    world = World()
    await world.order()
    await world.order(secret=b"wrong")
    outcomes = [line[4] for line in world.log.lines]
    assert outcomes == ["ok", "bad_signature"]
    route = world.pipeline.front.find(b"POST", b"/okx" + ORDER_PATH)
    assert route is not None
    assert route.outcomes["ok"] == 1
    assert route.tagged.n == 1
    assert world.site.foreign["none"] == 1
