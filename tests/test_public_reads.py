"""One request to the exchange for all who ask the same at a time, and young copies."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy import __version__
from proxy.errors import BotGone, UpstreamTimeout
from proxy.model import Reply, Request
from proxy.passage import Passage
from proxy.tasks import Drive
from tests.fakes import FakeConnections, respond, signed_request
from tests.world import World, slug

BOOKS = b"/api/v5/market/books?instId=BTC-USDT"
CANDLES = b"/api/v5/market/candles?instId=BTC-USDT"
ANSWER = b'{"code":"0","msg":"","data":[["1","2"]]}'


def held() -> Any:
    """A step of a script: the answer comes when the test says so."""
    return lambda: None


def land(connections: FakeConnections, body: bytes = ANSWER) -> None:
    connections.free += 1
    connections.held.pop(0)(respond(200, body), None)


def asking(world: World, target: bytes = BOOKS, **kwargs: Any) -> asyncio.Future[Reply]:
    request = signed_request(b"GET", target, clock=world.clock, **kwargs)
    return asyncio.ensure_future(world.send(request))


def unsigned(world: World, target: bytes, *headers: tuple[bytes, bytes]) -> Request:
    request = signed_request(b"GET", target, clock=world.clock)
    for name in [name for name in request.headers if name.startswith(b"ok-")]:
        del request.headers[name]
    request.headers.update(headers)
    return request


def how(reply: Reply) -> bytes:
    for line in reply.head.split(b"\r\n"):
        if line.startswith(b"X-Tagproxy-Cache: "):
            return line.partition(b": ")[2]
    return b""


async def some(world: World, *targets: bytes) -> list[asyncio.Future[Reply]]:
    asked = [asking(world, target) for target in targets]
    for _ in range(5):
        await asyncio.sleep(0)
    return asked


async def test_identical_reads_in_flight_become_one() -> None:
    world = World(held())
    asked = await some(world, BOOKS, BOOKS, BOOKS)
    land(world.connections)
    replies = await asyncio.gather(*asked)
    assert [reply.body for reply in replies] == [ANSWER] * 3
    assert [how(reply) for reply in replies] == [b"", b"merged", b"merged"]
    assert len(world.connections.sent) == 1
    assert world.metrics.public_reads("okx") == {"sent": 1, "merged": 2, "hit": 0}


async def test_it_leaves_without_anybodys_key_or_headers() -> None:
    world = World()
    reply = await asking(world, headers={b"accept-language": b"zh-CN"})
    assert reply.status == 200
    (sent,) = world.connections.sent
    assert sent == (
        b"GET /api/v5/market/books?instId=BTC-USDT HTTP/1.1\r\nHost: exchange.test\r\n"
        b"Accept-Encoding: identity\r\nAccept: application/json\r\n"
        b"User-Agent: tagproxy/%b\r\n\r\n" % __version__.encode()
    )


async def test_another_query_is_another_read() -> None:
    world = World(held(), held())
    asked = await some(world, BOOKS, BOOKS + b"&sz=1")
    land(world.connections)
    land(world.connections)
    assert [how(reply) for reply in await asyncio.gather(*asked)] == [b"", b""]


async def test_the_demo_market_is_another() -> None:
    world = World(held(), held())
    flag = {b"x-simulated-trading": b"1"}
    asked = [asking(world), asking(world, headers=flag)]
    for _ in range(5):
        await asyncio.sleep(0)
    land(world.connections)
    land(world.connections)
    assert [how(reply) for reply in await asyncio.gather(*asked)] == [b"", b""]
    assert b"x-simulated-trading: 1" not in world.connections.sent[0]
    assert b"x-simulated-trading: 1" in world.connections.sent[1]


async def test_a_private_read_is_nobody_elses() -> None:
    world = World(held(), held())
    asked = await some(world, b"/api/v5/account/balance", b"/api/v5/account/balance")
    land(world.connections)
    land(world.connections)
    await asyncio.gather(*asked)
    assert len(world.connections.sent) == 2


async def test_an_answer_that_was_there_before_is_no_copy_unless_its_row_says_so() -> None:
    world = World()
    replies = [await asking(world) for _ in range(2)]
    assert [how(reply) for reply in replies] == [b"", b""]
    assert len(world.connections.sent) == 2


async def test_a_copy_is_served_as_long_as_the_row_says_counted_from_the_send() -> None:
    world = World(held())
    (first,) = await some(world, CANDLES)
    world.clock.advance_ms(400)  # on its way
    land(world.connections)
    assert how(await first) == b""
    world.clock.advance_ms(599)
    hit = await asking(world, CANDLES)
    assert (how(hit), hit.body) == (b"hit", ANSWER)
    world.clock.advance_ms(1)
    assert how(await asking(world, CANDLES)) == b""
    assert len(world.connections.sent) == 2


async def test_an_error_is_not_kept() -> None:
    world = World(respond(200, b'{"code":"51001","msg":"no such instrument","data":[]}'))
    await asking(world, CANDLES)
    assert how(await asking(world, CANDLES)) == b""


async def test_copies_are_bounded_by_their_bytes() -> None:
    world = World()
    world.connections.script = [
        respond(200, b'{"code":"0","data":"' + b"x" * 1_000_000 + b'"}') for _ in range(100)
    ]
    for number in range(100):
        world.clock.advance_ms(51)  # 40 in any 2 s
        await asking(world, CANDLES + b"&after=%d" % number)
    assert world.public_reads.kept_bytes <= 64 * 1024 * 1024
    world.clock.advance_ms(1_000)
    await asking(world, CANDLES)
    assert world.public_reads.kept_bytes < 1_000


async def test_whoever_hangs_up_takes_nothing_from_the_others() -> None:
    world = World(held())
    passage = world.pipeline.screen(signed_request(b"GET", BOOKS, clock=world.clock))
    assert isinstance(passage, Passage)
    ended: list[BaseException | None] = []
    drive = Drive(world.pipeline.carry(passage), lambda _reply, error: ended.append(error))
    drive.start()
    (second,) = await some(world, BOOKS)
    drive.drop()
    assert [type(error) for error in ended] == [BotGone]
    land(world.connections)
    assert how(await second) == b"merged"


async def test_a_read_that_nobody_waits_for_any_more_is_not_sent() -> None:
    world = World()
    for number in range(40):
        await asking(world, BOOKS + b"%d" % number)
    passage = world.pipeline.screen(signed_request(b"GET", BOOKS, clock=world.clock))
    assert isinstance(passage, Passage)
    drive = Drive(world.pipeline.carry(passage), lambda _reply, _error: None)
    drive.start()
    assert world.limiter.waiting == 1
    drive.drop()
    assert world.limiter.waiting == 0
    assert len(world.connections.sent) == 40


async def test_all_hear_when_the_exchange_does_not_answer() -> None:
    world = World(held())
    asked = await some(world, BOOKS, BOOKS)
    world.connections.held.pop(0)(None, UpstreamTimeout("the deadline passed", sent=True))
    # the second was there later, and so asks again for itself
    replies = await asyncio.gather(*asked)
    assert [slug(reply) for reply in replies] == ["upstream_unknown", ""]


async def test_those_who_wait_for_a_slot_wait_in_one_place() -> None:
    world = World()
    for number in range(40):
        await asking(world, BOOKS + b"%d" % number)
    passages = [
        world.pipeline.screen(signed_request(b"GET", BOOKS, clock=world.clock)) for _ in range(3)
    ]
    for passage in passages:
        assert isinstance(passage, Passage)
        Drive(world.pipeline.carry(passage), lambda _reply, _error: None).start()
    assert world.limiter.waiting == 1


async def test_a_call_without_a_key_joins_those_with_one() -> None:
    world = World(held())
    (first,) = await some(world, BOOKS)
    second = asyncio.ensure_future(world.send(unsigned(world, BOOKS)))
    for _ in range(5):
        await asyncio.sleep(0)
    land(world.connections)
    assert (await first).status == 200
    assert how(await second) == b"merged"


async def test_strangers_get_half_of_a_budget_and_each_a_quarter() -> None:
    world = World(anonymous="all")

    async def stranger(number: int, source: str) -> str:
        request = unsigned(world, BOOKS + b"%d" % number)
        request.peer = source
        request.source = type(request.source)(source)
        return slug(await world.send(request))

    world.delivery.max_wait_ns = 0
    one = [await stranger(number, "198.51.100.1") for number in range(15)]
    assert one == [""] * 10 + ["rate_limited"] * 5
    others = [await stranger(100 + number, f"198.51.100.{2 + number}") for number in range(15)]
    assert others == [""] * 10 + ["rate_limited"] * 5
    known = [slug(await asking(world, BOOKS + b"%d" % (200 + number))) for number in range(21)]
    assert known == [""] * 20 + ["rate_limited"]


async def test_a_source_that_verified_is_no_stranger() -> None:
    world = World(anonymous="all")
    await world.order()  # from 127.0.0.1
    world.delivery.max_wait_ns = 0
    slugs = [slug(await world.send(unsigned(world, BOOKS + b"%d" % each))) for each in range(40)]
    assert slugs == [""] * 40


async def test_whoever_comes_after_the_first_hung_up_joins_what_is_on_its_way() -> None:
    world = World(held())
    passage = world.pipeline.screen(signed_request(b"GET", BOOKS, clock=world.clock))
    assert isinstance(passage, Passage)
    drive = Drive(world.pipeline.carry(passage), lambda _reply, _error: None)
    drive.start()
    drive.drop()
    (second,) = await some(world, BOOKS)
    land(world.connections)
    reply = await second
    assert (reply.status, how(reply), reply.body) == (200, b"merged", ANSWER)
    assert len(world.connections.sent) == 1


async def test_another_table_of_the_same_host_is_another() -> None:
    """Rows, addresses and certificates are a table's own."""
    world = World(held(), held())
    other = World()
    other.site.name = "okx-two"
    passages = [
        each.pipeline.screen(signed_request(b"GET", CANDLES, clock=world.clock))
        for each in (world, other)
    ]
    ended: list[Reply | None] = []
    for passage in passages:
        assert isinstance(passage, Passage)
        Drive(world.pipeline.carry(passage), lambda reply, _error: ended.append(reply)).start()
    land(world.connections)
    for _ in range(5):
        await asyncio.sleep(0)
    assert [len(world.connections.sent), len(other.connections.sent)] == [1, 1]
    assert [how(reply) for reply in ended if reply is not None] == [b"", b""]


async def test_whoever_has_no_time_left_asks_nothing_again() -> None:
    """It would be a request that is late for everybody who joins it."""
    world = World(held(), held())
    asked = await some(world, BOOKS, BOOKS)
    world.clock.advance_ms(7_000)
    asked += await some(world, BOOKS)
    world.clock.advance_ms(1_000)
    world.connections.held.pop(0)(None, UpstreamTimeout("the deadline passed", sent=True))
    for _ in range(5):
        await asyncio.sleep(0)
    land(world.connections)
    replies = await asyncio.gather(*asked)
    assert [slug(reply) for reply in replies] == ["upstream_unknown", "upstream_unknown", ""]


async def test_a_read_that_is_posted_leaves_with_its_body_and_is_nobody_elses() -> None:
    world = World(held(), held(), held())
    target = b"/api/v5/tradingBot/grid/min-investment"
    bodies = [b'{"instId":"BTC-USDT"}', b'{"instId":"ETH-USDT"}']
    requests = [
        signed_request(b"POST", target, body, clock=world.clock, at_ms=world.clock.wall_ms() + at)
        for at, body in enumerate(bodies)
    ]
    bare = signed_request(b"POST", target, bodies[0], clock=world.clock)
    for name in [name for name in bare.headers if name.startswith(b"ok-")]:
        del bare.headers[name]
    asked = [asyncio.ensure_future(world.send(request)) for request in (*requests, bare)]
    for _ in range(5):
        await asyncio.sleep(0)
    for _ in range(3):
        land(world.connections)
    assert [how(reply) for reply in await asyncio.gather(*asked)] == [b"", b"", b""]
    sent = [data.partition(b"\r\n\r\n") for data in world.connections.sent]
    assert [body for _, _, body in sent] == [*bodies, bodies[0]]
    for head, _, _ in sent:
        assert b"Content-Type: application/json" in head
    assert [b"OK-ACCESS-SIGN: " in head for head, _, _ in sent] == [True, True, False]
