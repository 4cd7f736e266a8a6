"""One connection to an exchange, which plays raw bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TypeAlias, cast

import pytest
from httptools import HttpResponseParser

from proxy.clock import SystemClock
from proxy.errors import UpstreamError, UpstreamTimeout
from proxy.model import Response
from proxy.net.upstream import Connection, Pool
from tests.net.conftest import PATIENCE_S, SECOND_NS, Exchange, OpenPool, eventually

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MS_NS = 1_000_000
NOW_NS = SystemClock.monotonic_ns

Outcome: TypeAlias = Response | UpstreamError


async def taken(pool: Pool) -> Connection:
    """A connection, waited for if need be."""
    while True:
        connection = pool.take()
        if connection is not None:
            return connection
        await pool.ready(NOW_NS() + 8 * SECOND_NS)


async def ask(
    connection: Connection,
    data: bytes = GET,
    method: bytes = b"GET",
    within_ns: int = 8 * SECOND_NS,
) -> Outcome:
    """Send, and return the answer or the error; it must come once."""
    outcomes: list[Outcome] = []
    came = asyncio.Event()

    def done(response: Response | None, error: UpstreamError | None) -> None:
        assert (response is None) != (error is None)
        outcome = response if response is not None else error
        assert outcome is not None
        outcomes.append(outcome)
        came.set()

    connection.send(data, method, NOW_NS() + within_ns, done)
    async with asyncio.timeout(PATIENCE_S):
        await came.wait()
    await asyncio.sleep(0)
    assert len(outcomes) == 1
    return outcomes[0]


async def answer(connection: Connection, data: bytes = GET, method: bytes = b"GET") -> Response:
    outcome = await ask(connection, data, method)
    assert isinstance(outcome, Response), outcome
    return outcome


async def failure(connection: Connection, within_ns: int = 8 * SECOND_NS) -> UpstreamError:
    outcome = await ask(connection, within_ns=within_ns)
    assert isinstance(outcome, UpstreamError), outcome
    return outcome


# ---- answers ----------------------------------------------------------------------------------


async def test_the_exact_bytes_leave_and_the_answer_comes_whole(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    exchange.script = exchange.answering(
        b"HTTP/1.1 429 Too Many\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\nno!"
    )
    pool = open_pool(exchange.address)
    data = b"POST /a?b HTTP/1.1\r\nhOsT: x\r\n\r\n"
    response = await answer(await taken(pool), data, b"POST")
    assert exchange.requests == [data]
    assert (response.status, response.body, response.keep_alive) == (429, b"no!", True)
    assert response.headers == [(b"x-a", b"1"), (b"x-a", b"2"), (b"content-length", b"3")]


async def test_an_answer_may_come_byte_by_byte(exchange: Exchange, open_pool: OpenPool) -> None:
    wire = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    exchange.script = exchange.answering(*(bytes([byte]) for byte in wire))
    pool = open_pool(exchange.address)
    for _ in range(2):
        response = await answer(await taken(pool))
        assert (response.status, response.body) == (200, b"abcde")
        assert response.headers[0] == (b"a", b"b")
    assert exchange.accepted == 1


async def test_connections_are_used_again_after_every_kind_of_answer(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    for wire, method, status, body in [
        (OK, b"GET", 200, b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + OK, b"POST", 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"GET", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"GET", 304, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"HEAD", 200, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HEAD", 200, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"GET", 200, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000, b"GET", 200, None),
        (OK, b"GET", 200, b"ok"),
    ]:
        exchange.script = exchange.answering(wire)
        for connection in list(pool._free):
            connection.close()
        for _ in range(2):
            response = await answer(await taken(pool), GET, method)
            assert (response.status, response.keep_alive) == (status, True)
            assert body is None or response.body == body
    assert exchange.accepted == 9


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b""),
    ],
)
async def test_answers_that_end_the_connection(
    exchange: Exchange, open_pool: OpenPool, wire: bytes, body: bytes
) -> None:
    exchange.script = exchange.answering(wire, close=True)
    pool = open_pool(exchange.address)
    response = await answer(await taken(pool))
    assert (response.status, response.body, response.keep_alive) == (200, body, False)
    assert (pool.open, pool.idle) == (0, 0)


async def test_a_connection_is_back_before_the_answer_is_handed_over(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    connection = await taken(pool)
    seen: list[Connection | None] = []
    came = asyncio.Event()

    def done(response: Response | None, error: UpstreamError | None) -> None:
        seen.append(pool.take())
        came.set()

    connection.send(GET, b"GET", NOW_NS() + SECOND_NS, done)
    await came.wait()
    assert seen == [connection]
    assert (await answer(connection)).body == b"ok"


async def test_a_done_that_raises_costs_nobody_the_connection(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(str(context["exception"]))
    )
    connection = await taken(pool)

    def done(response: Response | None, error: UpstreamError | None) -> None:
        raise RuntimeError("planted")

    connection.send(GET, b"GET", NOW_NS() + SECOND_NS, done)
    await eventually(lambda: reported == ["planted"])
    assert pool.take() is connection
    assert (await answer(connection)).body == b"ok"


async def test_the_round_trip_is_measured(exchange: Exchange, open_pool: OpenPool) -> None:
    pool = open_pool(exchange.address)
    assert pool.least_rtt_ns == 0
    await answer(await taken(pool))
    first = pool.least_rtt_ns
    assert 0 < first < 5 * SECOND_NS
    await answer(await taken(pool))
    assert pool.least_rtt_ns <= first


# ---- answers like earlier ones ----------------------------------------------------------------


def dated(date: bytes, body: bytes = b"ok", *lines: bytes) -> bytes:
    fields = b"".join(line + b"\r\n" for line in lines)
    head = b"HTTP/1.1 200 OK\r\nDate: %b\r\n%bContent-Length: %d\r\n\r\n"
    return head % (date, fields, len(body)) + body


class NoParser:
    """Fails whoever parses."""

    def feed_data(self, data: bytes) -> None:
        raise AssertionError(data)


def scripted(exchange: Exchange, *answers: bytes) -> None:
    """One answer after another, on whichever connection."""
    left = list(answers)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await exchange.request(reader)
            writer.write(left.pop(0))

    exchange.script = script


async def test_an_answer_like_earlier_ones_is_not_parsed(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    scripted(exchange, dated(b"Mon, 1"), dated(b"Tue, 2"), dated(b"Wed, 3", b"no"), OK)
    connection = await taken(pool)
    for _ in range(2):
        await answer(connection)
        assert pool.take() is connection
    parser, connection._parser = connection._parser, cast("HttpResponseParser", NoParser())
    response = await answer(connection)
    assert (response.status, response.body, response.keep_alive) == (200, b"no", True)
    assert response.headers == [(b"date", b"Wed, 3"), (b"content-length", b"2")]
    connection._parser = parser
    assert pool.take() is connection
    assert (await answer(connection)).headers == [(b"content-length", b"2")]
    assert exchange.accepted == 1


@pytest.mark.parametrize(
    ("wire", "body", "keep_alive"),
    [
        (dated(b"Wed, 3", b"abcdefghi"), b"abcdefghi", True),
        (dated(b"Wed, 3", b"ab", b"Connection: close"), b"ab", False),
        (dated(b"Wed, 3", b"ab") + b"x", b"ab", False),
        (dated(b"Wed, 3", b"ab") * 2, b"ab", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", b"a", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + dated(b"Wed, 3", b"ab"), b"ab", True),
    ],
)
async def test_other_answers_between_like_ones_are_what_they_are(
    exchange: Exchange, open_pool: OpenPool, wire: bytes, body: bytes, keep_alive: bool
) -> None:
    pool = open_pool(exchange.address)
    like = [dated(b"Mon, 1"), dated(b"Tue, 2"), dated(b"Wed, 3")]
    scripted(exchange, *like, wire, *like, wire)
    for _ in range(2):
        for _ in like:
            assert (await answer(await taken(pool))).body == b"ok"
        response = await answer(await taken(pool))
        assert (response.status, response.body, response.keep_alive) == (200, body, keep_alive)
    assert exchange.accepted == (1 if keep_alive else 2)
    assert pool.open == (1 if keep_alive else 0)


async def test_an_answer_in_pieces_between_like_ones_comes_whole(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    wire = dated(b"Thu, 4")

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in (0, 0, 0, 5, 30, len(wire) - 1, 0, len(wire) - 2):
            await exchange.request(reader)
            if at:
                writer.write(wire[:at])
                await asyncio.sleep(0.01)
            writer.write(wire[at:])

    exchange.script = script
    connection = await taken(pool)
    for _ in range(8):
        response = await answer(connection)
        assert (response.body, response.keep_alive) == (b"ok", True)
        assert pool.take() in (connection, None)


async def test_a_body_where_head_was_asked_costs_the_connection_among_like_answers(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    scripted(exchange, *[dated(b"Mon, 1")] * 4)
    for _ in range(3):
        await answer(await taken(pool))
    response = await answer(await taken(pool), GET, b"HEAD")
    assert (response.body, response.keep_alive, pool.open) == (b"", False, 0)


async def test_a_like_answer_to_a_request_not_all_out_ends_the_connection(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    scripted(exchange, *[dated(b"Mon, 1")] * 4)
    for _ in range(3):
        await answer(await taken(pool))
    connection = await taken(pool)
    connection.pause_writing()
    assert not (await answer(connection)).keep_alive
    assert pool.open == 0


async def test_a_done_that_raises_on_a_like_answer_costs_nobody_the_connection(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(str(context["exception"]))
    )
    for _ in range(3):
        await answer(await taken(pool))
    connection = await taken(pool)

    def done(response: Response | None, error: UpstreamError | None) -> None:
        raise RuntimeError("planted")

    connection.send(GET, b"GET", NOW_NS() + SECOND_NS, done)
    await eventually(lambda: reported == ["planted"])
    assert pool.take() is connection
    assert (await answer(connection)).body == b"ok"


# ---- no answer --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"garbage\r\n\r\n",
        b"<html>maintenance</html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 201 + b"Content-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 300_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2_000_000,
    ],
)
async def test_truncated_and_garbled_answers_are_unknown(
    exchange: Exchange, open_pool: OpenPool, wire: bytes
) -> None:
    exchange.script = exchange.answering(wire, close=True)
    pool = open_pool(exchange.address)
    error = await failure(await taken(pool))
    assert error.sent
    assert not isinstance(error, UpstreamTimeout)
    assert (pool.open, pool.idle) == (0, 0)


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
async def test_a_reset_is_unknown(exchange: Exchange, open_pool: OpenPool, part: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange.request(reader)
        writer.write(part)
        await writer.drain()
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    exchange.script = script
    pool = open_pool(exchange.address)
    assert (await failure(await taken(pool))).sent


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
async def test_no_answer_by_the_deadline_is_a_timeout(
    exchange: Exchange, open_pool: OpenPool, part: bytes
) -> None:
    exchange.script = exchange.answering(part)
    pool = open_pool(exchange.address)
    start_ns = NOW_NS()
    error = await failure(await taken(pool), within_ns=50 * MS_NS)
    assert isinstance(error, UpstreamTimeout)
    assert error.sent
    assert NOW_NS() - start_ns >= 50 * MS_NS
    assert pool.open == 0


async def test_a_deadline_that_passed_already_sends_nothing(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    pool = open_pool(exchange.address)
    connection = await taken(pool)
    error = await failure(connection, within_ns=-1)
    assert isinstance(error, UpstreamTimeout)
    assert not error.sent
    assert pool.take() is connection
    assert (await answer(connection)).status == 200
    assert len(exchange.requests) == 1


async def test_a_connection_closed_before_the_send_is_not_written_to(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await close.wait()

    close = asyncio.Event()
    exchange.script = script
    pool = open_pool(exchange.address)
    connection = await taken(pool)
    close.set()
    await eventually(lambda: pool.open == 0)
    error = await failure(connection)
    assert not error.sent


@pytest.mark.parametrize(
    "extra", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"\x00" * 10]
)
async def test_bytes_behind_an_answer_cost_the_connection_and_reach_nobody(
    exchange: Exchange, open_pool: OpenPool, extra: bytes
) -> None:
    exchange.script = exchange.answering(OK + extra)
    pool = open_pool(exchange.address)
    response = await answer(await taken(pool))
    assert (response.body, response.keep_alive) == (b"ok", False)
    assert response.headers == [(b"content-length", b"2")]
    assert (pool.open, pool.take()) == (0, None)


async def test_a_body_behind_an_answer_to_head_costs_the_connection(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    exchange.script = exchange.answering(OK)
    pool = open_pool(exchange.address)
    response = await answer(await taken(pool), GET, b"HEAD")
    assert (response.body, response.keep_alive, pool.open) == (b"", False, 0)


async def test_bytes_nobody_asked_for_cost_the_connection(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange.request(reader)
        writer.write(OK)
        await speak.wait()
        writer.write(OK)
        await reader.read()

    speak = asyncio.Event()
    exchange.script = script
    pool = open_pool(exchange.address)
    await answer(await taken(pool))
    assert pool.idle == 1
    speak.set()
    await eventually(lambda: pool.open == 0)
    assert pool.take() is None


async def test_an_answer_before_the_request_is_out_ends_the_connection(
    exchange: Exchange, open_pool: OpenPool
) -> None:
    """What was not read of the request would be read as the next one."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange.request(reader)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await over.wait()

    over = asyncio.Event()
    exchange.script = script
    pool = open_pool(exchange.address)
    response = await answer(await taken(pool), GET + b"x" * 30_000_000)
    over.set()
    assert (response.status, response.keep_alive) == (413, False)
    assert pool.open == 0
