"""The pool: who gets a connection, when one is opened, and what becomes of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator

import pytest

from proxy.errors import BotGone, UpstreamError, UpstreamTimeout
from proxy.model import Response
from proxy.net.upstream import Connection, Pool
from proxy.tasks import Drive
from tests.net.conftest import SECOND_NS, Exchange, OpenPool, eventually
from tests.net.test_connection import MS_NS, NOW_NS, OK, answer, ask, taken


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections."""
    with socket.socket() as taken_port:
        taken_port.bind(("127.0.0.1", 0))
        yield taken_port.getsockname()[1]


def soon() -> int:
    return NOW_NS() + 8 * SECOND_NS


# ---- taking and giving back -------------------------------------------------------------------


async def test_spare_connections_are_opened_ahead_of_need(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address, spare=3)
    pool.start()
    await eventually(lambda: pool.idle == 3)
    assert pool.take() is not None
    await eventually(lambda: pool.idle == 3)
    await eventually(lambda: (pool.open, exchange.accepted) == (4, 4))


async def test_a_connections_own_handshake_counts_as_a_round_trip(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    """The first answers may all be slow: what is late cannot be told from them alone."""
    pool = open_pool(exchange.address, spare=1)
    pool.start()
    await eventually(lambda: pool.idle == 1)
    assert 0 < pool.least_rtt_ns < SECOND_NS
    assert exchange.requests == []


async def test_spare_connections_are_opened_smoothly_but_a_waiter_is_not_held_up(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    """aiolimiter paces our own background work; it never guards an exchange's window."""
    pool = open_pool(exchange.address, spare=200)
    began_ns = NOW_NS()
    pool.start()
    await eventually(lambda: pool.idle >= 60)
    passed_s = (NOW_NS() - began_ns) / SECOND_NS
    assert passed_s >= 0.15
    assert pool.open <= 52 + 50 * passed_s
    assert pool.take() is not None


async def test_the_connection_used_last_is_taken_first(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    first = await taken(pool)
    second = await taken(pool)
    first.give_back()
    second.give_back()
    assert (pool.take(), pool.take(), pool.take()) == (second, first, None)
    first.give_back()
    await answer(second)
    assert pool.take() is second


async def test_there_are_never_more_connections_than_the_maximum(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address, connections_max=2, spare=5)
    pool.start()

    async def one() -> None:
        assert (await answer(await taken(pool))).body == b"ok"
        assert pool.open <= 2

    await asyncio.gather(*(one() for _ in range(20)))
    await eventually(lambda: exchange.accepted == 2)


async def test_waiters_are_served_in_the_order_they_came(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address, connections_max=1)
    first = await taken(pool)
    order: list[int] = []

    async def one(number: int) -> None:
        await pool.ready(soon())
        connection = pool.take()
        assert connection is not None
        order.append(number)
        connection.give_back()

    waiting = [asyncio.create_task(one(number)) for number in range(5)]
    await eventually(lambda: len(pool._line) == 5)
    first.give_back()
    assert pool.take() is None, "what came free for a waiter is nobody else's"
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("woken", [False, True])
async def test_a_waiter_that_goes_away_leaves_its_turn_to_the_next(
    exchange: Exchange, open_pool: OpenPool, woken: bool
) -> None:
    pool = open_pool(exchange.address, connections_max=1)
    first = await taken(pool)
    ended: list[BaseException | None] = []
    drive = Drive(pool.ready(soon()), lambda _, error: ended.append(error))
    drive.start()
    second = asyncio.create_task(taken(pool))
    await eventually(lambda: len(pool._line) == 2)
    if woken:
        first.give_back()
    drive.drop()
    if not woken:
        first.give_back()
    assert await second is first
    assert len(ended) == 1
    assert isinstance(ended[0], BotGone)
    assert pool._line.promised == 0


async def test_a_waiter_hears_at_its_deadline(exchange: Exchange, open_pool: OpenPool) -> None:
    pool = open_pool(exchange.address, connections_max=1)
    first = await taken(pool)
    with pytest.raises(UpstreamTimeout) as caught:
        await pool.ready(NOW_NS() + 30 * MS_NS)
    assert not caught.value.sent
    first.give_back()
    assert pool.take() is first


async def test_a_connection_lost_in_use_is_replaced_for_those_who_wait(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    wire = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    exchange.script = exchange.answering(wire, close=True)
    pool = open_pool(exchange.address, connections_max=1)
    first = await taken(pool)
    second = asyncio.create_task(taken(pool))
    await eventually(lambda: len(pool._line) == 1)
    await ask(first)
    assert await second is not first


async def test_the_exchange_is_reachable_once_a_connection_worked(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    before = pool.reachable
    connection = await taken(pool)
    connection.close()
    assert (before, pool.open, pool.reachable) == (False, 0, True)


# ---- failures ---------------------------------------------------------------------------------


async def test_a_waiter_hears_at_once_that_connecting_failed(
    closed_port: int, open_pool: OpenPool
) -> None:
    pool = open_pool(("127.0.0.1", closed_port))
    outcomes = await asyncio.gather(*(pool.ready(soon()) for _ in range(5)), return_exceptions=True)
    for error in outcomes:
        assert isinstance(error, UpstreamError)
        assert not isinstance(error, UpstreamTimeout)
        assert not error.sent
        assert "refused" in str(error)
    assert not pool.reachable


async def test_more_waiters_than_connections_all_hear_of_the_failure(
    closed_port: int, open_pool: OpenPool
) -> None:
    pool = open_pool(("127.0.0.1", closed_port), connections_max=2)
    outcomes = await asyncio.gather(*(pool.ready(soon()) for _ in range(7)), return_exceptions=True)
    assert all(isinstance(error, UpstreamError) for error in outcomes)


async def test_spare_connections_are_tried_again_ever_more_rarely(
    closed_port: int, open_pool: OpenPool
) -> None:
    pool = open_pool(("127.0.0.1", closed_port), spare=2)
    pool.start()
    await eventually(lambda: pool._retry.wait_ns == 100 * MS_NS and pool._connecting == 0)
    await eventually(lambda: pool._retry.wait_ns == 200 * MS_NS)
    assert not pool.reachable


async def test_the_pool_recovers_by_itself(
    closed_port: int, exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(("127.0.0.1", closed_port), spare=1)
    pool.start()
    await eventually(lambda: pool._retry.wait_ns > 0)
    pool._dialer._port = exchange.address[1]
    await eventually(lambda: pool.idle == 1)
    assert pool.reachable
    await answer(await taken(pool))
    assert pool._retry.wait_ns == 0


async def test_an_exchange_that_hangs_up_at_once_is_not_hammered(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return

    exchange.script = script
    pool = open_pool(exchange.address, spare=1)
    pool.start()
    await eventually(lambda: pool._retry.wait_ns >= 200 * MS_NS)
    assert exchange.accepted <= 4


async def test_connecting_has_a_time_limit(
    exchange: Exchange, open_pool: OpenPool, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """The exchange accepts and never answers the TLS hello."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()

    over = asyncio.Event()
    exchange.script = script
    pool = open_pool(exchange.address, ssl_context=tls[1], connect_timeout_ns=50 * MS_NS)
    with pytest.raises(UpstreamError) as caught:
        await pool.ready(soon())
    over.set()
    assert not caught.value.sent


async def test_a_fresh_connection_is_a_new_one(exchange: Exchange, open_pool: OpenPool) -> None:
    pool = open_pool(exchange.address)
    old = await taken(pool)
    old.give_back()
    await pool.fresh(soon())
    new = pool.take()
    assert new is not None
    assert new is not old
    assert (await answer(new)).status == 200


async def test_a_fresh_connection_takes_the_place_of_an_idle_one_at_the_maximum(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address, connections_max=1)
    old = await taken(pool)
    with pytest.raises(UpstreamError):
        await pool.fresh(soon())
    old.give_back()
    await pool.fresh(soon())
    assert pool.take() not in (None, old)
    assert pool.open == 1


async def test_a_fresh_connection_that_cannot_be_had_is_told(
    closed_port: int, open_pool: OpenPool
) -> None:
    pool = open_pool(("127.0.0.1", closed_port))
    with pytest.raises(UpstreamError) as caught:
        await pool.fresh(soon())
    assert not caught.value.sent


async def test_an_attempt_for_a_fresh_one_leaves_the_line_its_own(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    fresh = asyncio.create_task(pool.fresh(soon()))
    waiting = asyncio.create_task(taken(pool))
    await asyncio.gather(fresh, waiting)
    await eventually(lambda: exchange.accepted == 2)


# ---- retirement and the end -------------------------------------------------------------------


async def test_idle_connections_are_retired(exchange: Exchange, open_pool: OpenPool) -> None:
    pool = open_pool(exchange.address, idle_ns=50 * MS_NS)
    connection = await taken(pool)
    await answer(connection)
    assert pool.idle == 1
    await eventually(lambda: pool.open == 0)
    assert pool.take() is None
    await eventually(lambda: exchange.ended == 1)


async def test_the_servers_own_idle_limit_is_kept(exchange: Exchange, open_pool: OpenPool) -> None:
    exchange.script = exchange.answering(
        b"HTTP/1.1 200 OK\r\nKeep-Alive: max=100, timeout=1\r\nContent-Length: 0\r\n\r\n"
    )
    pool = open_pool(exchange.address)
    await answer(await taken(pool))
    await eventually(lambda: pool.open == 0)


async def test_a_connection_the_exchange_closed_is_never_taken(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange.request(reader)
        writer.write(OK)
        await close.wait()

    close = asyncio.Event()
    exchange.script = script
    pool = open_pool(exchange.address)
    await answer(await taken(pool))
    assert pool.idle == 1
    close.set()
    await eventually(lambda: pool.idle == 0)
    assert (pool.take(), pool.open) == (None, 0)


async def test_closing_fails_what_is_in_flight_and_in_line(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    exchange.script = exchange.answering(b"")
    pool = open_pool(exchange.address, connections_max=1)
    connection = await taken(pool)
    flight = asyncio.create_task(ask(connection))
    line = asyncio.create_task(pool.ready(soon()))
    await eventually(lambda: bool(exchange.requests) and len(pool._line) > 0)
    await pool.close()
    error = await flight
    assert isinstance(error, UpstreamError)
    assert error.sent
    with pytest.raises(UpstreamError):
        await line
    for wait in (pool.ready, pool.fresh):
        with pytest.raises(UpstreamError):
            await wait(soon())
    assert (pool.open, pool.idle) == (0, 0)


async def test_closing_stops_attempts(
    exchange: Exchange, open_pool: OpenPool, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await reader.read()

    exchange.script = script
    pool = open_pool(exchange.address, ssl_context=tls[1])
    fresh = asyncio.create_task(pool.fresh(soon()))
    await eventually(lambda: exchange.accepted == 1)
    await pool.close()
    with pytest.raises(UpstreamError):
        await fresh
    await eventually(lambda: not pool._attempts)


async def test_a_retired_pool_lets_answers_come_and_closes_behind_them(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await exchange.request(reader)
            await go.wait()
            writer.write(OK)

    go = asyncio.Event()
    exchange.script = script
    pool = open_pool(exchange.address, connections_max=4, spare=0)
    busy, unsent, idle, unused = [await taken(pool) for _ in range(4)]
    flight = asyncio.create_task(ask(busy))
    line = asyncio.create_task(pool.ready(soon()))
    await eventually(lambda: bool(exchange.requests) and len(pool._line) == 1)
    await eventually(lambda: exchange.accepted == 4)
    idle.give_back()
    await line
    waiting = [asyncio.create_task(pool.ready(soon())) for _ in range(2)]
    assert pool.take() is idle
    await eventually(lambda: len(pool._line) == 2)
    retired = asyncio.create_task(pool.retire(8))
    for each in waiting:
        with pytest.raises(UpstreamError) as caught:
            await each
        assert not caught.value.sent
    idle.give_back()
    assert (pool.idle, pool.take()) == (0, None)
    late = asyncio.create_task(ask(unsent))
    await eventually(lambda: len(exchange.requests) == 2)
    unused.give_back()
    await eventually(lambda: pool.open == 2)
    assert not retired.done()
    go.set()
    for answered in (await flight, await late):
        assert isinstance(answered, Response)
        assert answered.status == 200
    await retired
    assert (pool.open, pool.idle, len(pool._everyone), exchange.accepted) == (0, 0, 0, 4)


async def test_what_is_not_answered_in_time_is_cut_off_when_a_pool_is_retired(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    exchange.script = exchange.answering(b"")
    pool = open_pool(exchange.address, spare=1)
    pool.start()
    flight = asyncio.create_task(ask(await taken(pool)))
    await eventually(lambda: bool(exchange.requests))
    await pool.retire(0.02)
    error = await flight
    assert isinstance(error, UpstreamError)
    assert error.sent
    assert pool.open == 0
    for wait in (pool.ready, pool.fresh):
        with pytest.raises(UpstreamError) as caught:
            await wait(soon())
        assert not caught.value.sent


async def test_a_pool_may_be_closed_while_it_is_retired(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    exchange.script = exchange.answering(b"")
    pool = open_pool(exchange.address)
    flight = asyncio.create_task(ask(await taken(pool)))
    await eventually(lambda: bool(exchange.requests))
    retired = asyncio.create_task(pool.retire(60))
    await asyncio.sleep(0)
    await pool.close()
    await retired
    assert isinstance(await flight, UpstreamError)


async def test_retiring_stops_attempts(
    exchange: Exchange, open_pool: OpenPool, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await reader.read()

    exchange.script = script
    pool = open_pool(exchange.address, ssl_context=tls[1])
    fresh = asyncio.create_task(pool.fresh(soon()))
    await eventually(lambda: exchange.accepted == 1)
    await pool.retire(8)
    with pytest.raises(UpstreamError):
        await fresh
    await eventually(lambda: not pool._attempts)


# ---- TLS --------------------------------------------------------------------------------------


@pytest.fixture
async def tls_exchange(exchange: Exchange, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> Exchange:
    """The scripted exchange behind TLS."""
    server = await asyncio.start_server(exchange.play, "127.0.0.1", 0, ssl=tls[0])
    exchange.address = server.sockets[0].getsockname()
    exchange.servers.append(server)
    return exchange


async def test_answers_come_over_tls_1_3(
    tls_exchange: Exchange, open_pool: OpenPool, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    pool = open_pool(tls_exchange.address, ssl_context=tls[1])
    connection = await taken(pool)
    for _ in range(3):
        assert (await answer(connection)).body == b"ok"
        assert pool.take() is connection
    assert connection._transport.get_extra_info("ssl_object").version() == "TLSv1.3"
    assert tls_exchange.accepted == 1


async def test_a_close_delimited_answer_comes_over_tls(
    tls_exchange: Exchange, open_pool: OpenPool, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    tls_exchange.script = tls_exchange.answering(b"HTTP/1.1 200 OK\r\n\r\nall", close=True)
    pool = open_pool(tls_exchange.address, ssl_context=tls[1])
    assert (await answer(await taken(pool))).body == b"all"


async def test_a_certificate_nobody_signed_is_refused(
    tls_exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(tls_exchange.address, ssl_context=ssl.create_default_context())
    with pytest.raises(UpstreamError, match="certificate") as caught:
        await pool.ready(soon())
    assert not caught.value.sent


# ---- addresses of our own ---------------------------------------------------------------------


async def test_each_pool_leaves_from_an_address_of_its_own(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await exchange.request(reader)
            peer = writer.get_extra_info("peername")[0].encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(peer) + peer)

    exchange.script = script
    for address in ("127.0.0.2", "127.0.0.3", None):
        pool = open_pool(exchange.address, local_address=address)
        for _ in range(2):
            seen = (await answer(await taken(pool))).body
            assert seen.decode() == (address or "127.0.0.1")


@pytest.mark.parametrize(
    ("host", "local", "why"),
    [
        ("127.0.0.1", "203.0.113.7", "Cannot assign requested address"),
        ("localhost", "203.0.113.7", "Cannot assign requested address"),
        ("::1", "127.0.0.1", "Address family for hostname not supported"),
        ("127.0.0.1", "::1", "Address family for hostname not supported"),
    ],
)
async def test_an_address_that_cannot_be_left_from_is_named_and_not_tried_without_end(
    exchange: Exchange, open_pool: OpenPool, host: str, local: str, why: str
) -> None:
    pool = open_pool((host, exchange.address[1]), local_address=local, spare=2)
    with pytest.raises(UpstreamError) as caught:
        await pool.ready(soon())
    assert (str(caught.value), caught.value.sent) == (f"cannot connect from {local}: {why}", False)
    await eventually(lambda: pool._retry.wait_ns >= 200 * MS_NS and pool._connecting == 0)
    assert not pool.reachable
    assert exchange.accepted == 0


async def test_many_requests_at_once_all_get_their_own_answers(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            target = (await exchange.request(reader)).split(b" ")[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target) + target)

    exchange.script = script
    pool: Pool = open_pool(exchange.address, connections_max=8)

    async def one(number: int) -> None:
        connection: Connection = await taken(pool)
        response: Response = await answer(connection, b"GET /%d HTTP/1.1\r\n\r\n" % number)
        assert response.body == b"/%d" % number

    await asyncio.gather(*(one(number) for number in range(200)))
    assert pool.open <= 8
