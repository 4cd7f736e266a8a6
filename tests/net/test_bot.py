"""One bot's connection, played over real sockets."""

from __future__ import annotations

import asyncio
import socket

import pytest

from proxy.errors import BotGone
from proxy.model import Reply
from proxy.net.bot import _source_of
from tests.net.conftest import OpenPort, eventually
from tests.net.test_framing import SMUGGLING

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
MS_NS = 1_000_000


def post(body: bytes, *lines: bytes) -> bytes:
    head = b"POST /p HTTP/1.1\r\nHost: h\r\n" + b"".join(line + b"\r\n" for line in lines)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


# ---- requests in ------------------------------------------------------------------------------


async def test_a_request_reaches_the_handler_whole(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await port.bot()
    bot.write(post(b"body", b"X-A: 1"))
    answer = await bot.answer()
    assert (answer.status, answer.body, answer.headers["x-echo"]) == (200, b"body", "yes")
    request = port.handler.requests[0]
    assert (request.method, request.target, request.body) == (b"POST", b"/p", b"body")
    assert request.headers[b"x-a"] == b"1"
    assert request.started_ns > 0


async def test_a_request_may_come_byte_by_byte(open_port: OpenPort) -> None:
    port = await open_port(queued_bytes_max=10)
    bot = await port.bot()
    for number in range(2):
        wire = post(b"slow %d" % number)
        for at in range(len(wire)):
            bot.write(wire[at : at + 1])
            await asyncio.sleep(0)
        assert (await bot.answer()).body == b"slow %d" % number
    assert port.listener.buffered_bytes == 0


async def test_a_chunked_body_may_come_byte_by_byte(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await port.bot()
    for byte in CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n":
        bot.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await bot.answer()).body == b"abcde"
    bot.write(GET)
    assert (await bot.answer()).status == 200


async def test_a_large_body_comes_in_pieces(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await port.bot()
    body = bytes(range(256)) * 4000
    bot.write(post(body))
    assert (await bot.answer()).body == body
    assert port.listener.buffered_bytes == 0


async def test_empty_lines_before_a_request_are_skipped(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await port.bot()
    bot.write(b"\r\n\r\n" + GET + b"\r\n")
    assert (await bot.answer()).status == 200
    bot.write(b"\r")
    bot.write(b"\n" + GET)
    assert (await bot.answer()).status == 200


async def test_pipelined_requests_are_answered_one_at_a_time_in_order(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.hold = True
    bot = await port.bot()
    bot.write(b"".join(post(b"%d" % number) for number in range(5)) + CHUNKED + b"0\r\n\r\n")
    for number in range(6):
        await eventually(lambda: len(port.handler.tickets) > number)  # noqa: B023
        assert len(port.handler.tickets) == number + 1
        port.handler.tickets[number].go.settle(Reply(200, b"", b"answer %d" % number))
        assert (await bot.answer()).body == b"answer %d" % number


async def test_thousands_of_pipelined_requests_are_served(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await port.bot()
    bot.write(GET * 3000)
    for _ in range(3000):
        assert (await bot.answer()).status == 200


async def test_what_is_queued_behind_a_request_is_bounded(open_port: OpenPort) -> None:
    port = await open_port(queued_bytes_max=1000)
    port.handler.hold = True
    bot = await port.bot()
    bot.write(GET)
    await eventually(lambda: bool(port.handler.tickets))
    bot.writer.transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDBUF, 4096
    )
    bot.writer.transport.set_write_buffer_limits(0)
    bot.write(GET * 200_000)
    full = 0
    while full != port.listener.buffered_bytes or not full:
        full = port.listener.buffered_bytes
        await asyncio.sleep(0.02)
    assert full <= 1000 + 256 * 1024
    port.handler.hold = False
    port.handler.tickets[0].go.settle(Reply(200, b"", b""))
    for _ in range(10):
        assert (await bot.answer()).status == 200
    bot.hang_up()
    await eventually(lambda: port.listener.connections == 0)
    assert port.listener.buffered_bytes == 0


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("head", SMUGGLING.values(), ids=SMUGGLING.keys())
async def test_a_smuggling_shape_gets_400_and_reaches_nobody(
    open_port: OpenPort, head: bytes
) -> None:
    port = await open_port()
    answer = await port.exchange(head + b"\r\n" + b"0\r\n\r\n" + GET)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert port.handler.tickets == []


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\nHost: h\n\n",
        b"GET /\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"hello\r\n",
    ],
)
async def test_garbage_without_an_end_is_refused_at_once(open_port: OpenPort, data: bytes) -> None:
    port = await open_port()
    assert (await port.exchange(data)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "chunks", [b"z\r\n", b"1\r\nab\r\n", b"1\nb\r\n", b"1;" + b"x" * 300, b"0\r\nbad\r\n\r\n"]
)
async def test_an_invalid_chunk_is_400_and_the_request_reaches_nobody(
    open_port: OpenPort, chunks: bytes
) -> None:
    port = await open_port()
    assert (await port.exchange(CHUNKED + chunks)).startswith(b"HTTP/1.1 400 ")
    assert port.handler.tickets == []


async def test_a_head_too_large_is_431(open_port: OpenPort) -> None:
    port = await open_port()
    endless = b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"a" * 40_000
    for data in (endless, endless + b"\r\n\r\n", GET[:-2] + b"B: c\r\n" * 101 + b"\r\n"):
        assert (await port.exchange(data)).startswith(b"HTTP/1.1 431 ")


async def test_a_body_too_large_is_413_and_can_be_read(open_port: OpenPort) -> None:
    port = await open_port(body_bytes_max=1000)
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    for data in (post(b"x" * 1001), post(b"x" * 3_000_000), CHUNKED + chunk * 100):
        assert (await port.exchange(data)).startswith(b"HTTP/1.1 413 ")
    assert port.handler.tickets == []
    fault = port.handler.faults[0]
    assert fault[0] is not None
    assert fault[0].target == b"/p"


async def test_bodies_of_all_bots_together_are_bounded(open_port: OpenPort) -> None:
    port = await open_port(buffered_bytes_max=50_000)
    slow, other = await port.bot(), await port.bot()
    slow.write(post(b"x" * 60_000)[:40_000])
    await eventually(lambda: port.listener.buffered_bytes > 39_000)
    other.write(post(b"x" * 20_000))
    assert (await other.answer()).status == 503
    slow.hang_up()
    await eventually(lambda: port.listener.buffered_bytes == 0)
    assert not (await port.exchange(post(b"x" * 20_000, b"Connection: close"))).startswith(
        b"HTTP/1.1 503"
    )


async def test_a_request_refused_on_its_head_keeps_the_connection_over_a_small_body(
    open_port: OpenPort,
) -> None:
    port = await open_port()
    port.handler.refuse = Reply(401, b"", b"no")
    bot = await port.bot()
    wire = post(b"x" * 60_000)
    for data in (GET, post(b"abc"), CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"):
        bot.write(data)
        assert (await bot.answer()).status == 401
    bot.write(wire[:200])
    assert (await bot.answer()).status == 401
    bot.write(wire[200:])
    port.handler.refuse = None
    bot.write(GET)
    assert (await bot.answer()).status == 200
    assert port.listener.buffered_bytes == 0


async def test_a_request_refused_on_its_head_closes_over_a_large_body(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.refuse = Reply(401, b"", b"no")
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n"
    bot = await port.bot()
    bot.write(head)
    answer = await bot.answer()
    assert (answer.status, answer.headers["connection"]) == (401, "close")
    bot.write(b"x" * 900_000)
    assert await bot.rest() == b""
    bot = await port.bot()
    bot.write(CHUNKED)
    assert (await bot.answer()).status == 401
    bot.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n10000\r\n")
    assert await bot.rest() == b""


async def test_a_continuation_is_told_only_after_the_head_passed(open_port: OpenPort) -> None:
    port = await open_port()
    expect = post(b"abc", b"Expect: 100-continue")
    bot = await port.bot()
    bot.write(expect[:-3])
    assert (await bot.answer()).status == 100
    bot.write(b"abc")
    assert (await bot.answer()).body == b"abc"
    bot.write(expect)
    assert (await bot.answer()).body == b"abc"
    port.handler.refuse = Reply(401, b"", b"no")
    bot.write(expect[:-3])
    answer = await bot.answer()
    assert (answer.status, answer.headers["connection"]) == (401, "close")
    assert await bot.rest() == b""


async def test_an_unknown_expectation_is_417(open_port: OpenPort) -> None:
    port = await open_port()
    assert (await port.exchange(post(b"", b"Expect: tea"))).startswith(b"HTTP/1.1 417 ")


# ---- answers out ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "connection"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "close"),
        (b"GET / HTTP/1.0\r\n\r\n", "close"),
    ],
)
async def test_a_bot_that_wants_no_more_is_closed(
    open_port: OpenPort, head: bytes, connection: str
) -> None:
    port = await open_port()
    bot = await port.bot()
    bot.write(head)
    assert (await bot.answer()).headers["connection"] == connection
    assert await bot.rest() == b""


async def test_http_1_0_with_keep_alive_stays(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await port.bot()
    for _ in range(2):
        bot.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await bot.answer()).headers["connection"] == "keep-alive"


async def test_a_reply_that_closes_closes(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.reply = Reply(200, b"", b"last", close=True)
    bot = await port.bot()
    bot.write(GET + GET)
    answer = await bot.answer()
    assert (answer.body, answer.headers["connection"]) == (b"last", "close")
    assert await bot.rest() == b""
    assert len(port.handler.tickets) == 1


async def test_an_answer_to_head_has_no_body(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.reply = Reply(200, b"", b"12345")
    bot = await port.bot()
    bot.write(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + GET)
    assert (await bot.answer(to_head=True)).headers["content-length"] == "5"
    assert (await bot.answer()).body == b"12345"


async def test_a_handler_that_fails_is_answered_for(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await port.bot()
    port.handler.raises = RuntimeError("planted")
    bot.write(GET)
    assert (await bot.answer()).status == 500
    assert [str(error) for error in port.handler.failures] == ["planted"]
    port.handler.raises = None
    bot.write(GET)
    assert (await bot.answer()).status == 200


async def test_a_screen_that_fails_is_a_500_that_closes(open_port: OpenPort) -> None:
    port = await open_port()
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(str(context["exception"]))
    )
    port.handler.screen_raises = RuntimeError("planted")
    assert (await port.exchange(GET)).startswith(b"HTTP/1.1 500 ")
    assert reported == ["planted"]


async def test_a_handler_without_words_still_ends_the_connection(
    open_port: OpenPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = await open_port()
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    def broken(*_: object) -> Reply:
        raise RuntimeError("planted")

    monkeypatch.setattr(port.handler, "malformed", broken)
    assert (await port.exchange(b"garbage\r\n\r\n")).startswith(b"HTTP/1.1 500 ")
    monkeypatch.setattr(port.handler, "failed", broken)
    port.handler.raises = RuntimeError("planted too")
    assert await port.exchange(GET) == b""


# ---- bots that hang up ------------------------------------------------------------------------


async def test_a_bot_gone_before_the_send_takes_its_request_back(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.hold = True
    bot = await port.bot()
    bot.write(post(b"abc"))
    await eventually(lambda: bool(port.handler.tickets))
    bot.hang_up()
    ticket = port.handler.tickets[0]
    await eventually(lambda: ticket.ended is not None)
    assert isinstance(ticket.ended, BotGone)
    await eventually(lambda: port.listener.connections == 0)
    assert port.listener.buffered_bytes == 0
    assert port.handler.taken_back == [ticket]


async def test_a_handler_that_fails_over_a_bot_gone_costs_nothing(open_port: OpenPort) -> None:
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    port = await open_port()
    port.handler.hold = True
    port.handler.gone_raises = RuntimeError("planted")
    bot = await port.bot()
    bot.write(GET)
    await eventually(lambda: bool(port.handler.tickets))
    bot.writer.write_eof()
    assert await bot.rest() == b""
    await eventually(lambda: port.listener.connections == 0)
    assert [fault["exception"] for fault in faults] == [port.handler.gone_raises]


async def test_a_bot_gone_after_the_send_only_loses_the_answer(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.hold = True
    bot = await port.bot()
    bot.write(post(b"abc"))
    await eventually(lambda: bool(port.handler.tickets))
    ticket = port.handler.tickets[0]
    ticket.sent = True
    bot.hang_up(reset=True)
    await eventually(lambda: port.listener.connections == 0)
    assert ticket.ended is None
    assert port.listener.buffered_bytes == 3
    ticket.go.settle(Reply(200, b"", b"late"))
    assert port.listener.buffered_bytes == 0
    assert (port.handler.failures, port.handler.taken_back) == ([], [])


async def test_a_bot_that_closed_in_good_order_is_written_to_in_vain(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.hold = True
    bot = await port.bot()
    bot.write(GET)
    await eventually(lambda: bool(port.handler.tickets))
    port.handler.tickets[0].sent = True
    bot.hang_up()
    await eventually(lambda: all(c._eof for c in port.listener._connections))
    port.handler.tickets[0].go.settle(Reply(200, b"", b"x" * 1_000_000))
    await eventually(lambda: port.listener.connections == 0)


async def test_a_half_closed_bot_still_gets_its_answer(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.hold = True
    bot = await port.bot()
    bot.write(GET)
    await eventually(lambda: bool(port.handler.tickets))
    port.handler.tickets[0].sent = True
    bot.writer.write_eof()
    await eventually(lambda: all(c._eof for c in port.listener._connections))
    port.handler.tickets[0].go.settle(Reply(200, b"", b"still"))
    answer = await bot.answer()
    assert (answer.body, answer.headers["connection"]) == (b"still", "close")
    assert await bot.rest() == b""


async def test_a_half_closed_bot_whose_request_was_not_sent_is_dropped(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.hold = True
    bot = await port.bot()
    bot.write(GET)
    await eventually(lambda: bool(port.handler.tickets))
    bot.writer.write_eof()
    assert await bot.rest() == b""
    assert isinstance(port.handler.tickets[0].ended, BotGone)
    assert port.handler.taken_back == port.handler.tickets


@pytest.mark.parametrize("part", [b"GET / HT", post(b"abc")[:-1], CHUNKED + b"3\r\na"])
async def test_a_bot_gone_in_the_middle_of_a_request_is_forgotten(
    open_port: OpenPort, part: bytes
) -> None:
    port = await open_port()
    bot = await port.bot()
    bot.write(part)
    bot.writer.write_eof()
    assert await bot.rest() == b""
    await eventually(lambda: port.listener.connections == 0)
    assert (port.listener.buffered_bytes, port.handler.tickets) == (0, [])


# ---- bots that are slow -----------------------------------------------------------------------


async def test_a_slow_head_is_408(open_port: OpenPort) -> None:
    port = await open_port(head_timeout_ns=20 * MS_NS)
    assert (await port.exchange(GET[:10])).startswith(b"HTTP/1.1 408 ")


async def test_a_head_that_trickles_has_no_more_time(open_port: OpenPort) -> None:
    port = await open_port(head_timeout_ns=60 * MS_NS)
    bot = await port.bot()
    bot.write(b"GET / HTTP/1.1\r\nA: ")
    answer = asyncio.create_task(bot.answer())
    while not answer.done():
        bot.write(b"x")
        await asyncio.sleep(0.005)
    assert answer.result().status == 408


async def test_a_slow_body_is_408(open_port: OpenPort) -> None:
    port = await open_port(body_timeout_ns=20 * MS_NS)
    for part in (post(b"abc")[:-1], CHUNKED + b"3\r\na"):
        assert (await port.exchange(part)).startswith(b"HTTP/1.1 408 ")
    assert (port.handler.tickets, port.listener.buffered_bytes) == ([], 0)


async def test_an_idle_bot_is_closed_without_a_word(open_port: OpenPort) -> None:
    port = await open_port(idle_timeout_ns=20 * MS_NS)
    assert await port.exchange(b"") == b""
    bot = await port.bot()
    bot.write(GET)
    assert (await bot.answer()).status == 200
    assert await bot.rest() == b""


async def test_a_request_in_flight_has_no_time_limit_of_the_listener(open_port: OpenPort) -> None:
    port = await open_port(
        idle_timeout_ns=20 * MS_NS, head_timeout_ns=20 * MS_NS, body_timeout_ns=20 * MS_NS
    )
    port.handler.hold = True
    bot = await port.bot()
    bot.write(GET)
    await eventually(lambda: bool(port.handler.tickets))
    other = await port.bot()
    assert await other.rest() == b""
    other = await port.bot()
    assert await other.rest() == b""
    port.handler.tickets[0].go.settle(Reply(200, b"", b"there"))
    assert (await bot.answer()).body == b"there"


async def test_a_bot_that_does_not_read_is_cut_off_and_costs_bounded_memory(
    open_port: OpenPort,
) -> None:
    port = await open_port(write_timeout_ns=50 * MS_NS)
    port.handler.reply = Reply(200, b"", b"x" * 1_000_000)
    bot = await port.bot(limit=1024)
    bot.writer.transport.pause_reading()  # type: ignore[attr-defined]
    bot.write(GET * 1000)
    await eventually(lambda: bool(port.handler.tickets))
    await eventually(lambda: port.listener.connections == 0)
    assert len(port.handler.tickets) < 20
    assert port.listener.buffered_bytes == 0


async def test_a_bot_that_reads_late_gets_everything_in_order(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.reply = Reply(200, b"", b"x" * 1_000_000)
    bot = await port.bot(limit=1024)
    bot.writer.transport.pause_reading()  # type: ignore[attr-defined]
    bot.write(GET * 12)
    await eventually(lambda: bool(port.handler.tickets))
    bot.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(12):
        assert len((await bot.answer()).body) == 1_000_000
    assert len(port.handler.tickets) == 12


async def test_a_refused_bot_that_never_stops_sending_is_cut_off(open_port: OpenPort) -> None:
    port = await open_port(linger_bytes_max=100_000)
    bot = await port.bot()
    bot.write(b"garbage\r\n\r\n")
    assert (await bot.answer()).status == 400
    bot.write(b"x" * 2_000_000)
    await eventually(lambda: port.listener.connections == 0)


async def test_a_refused_bot_that_never_closes_is_cut_off(open_port: OpenPort) -> None:
    port = await open_port(linger_timeout_ns=20 * MS_NS)
    bot = await port.bot()
    bot.write(b"garbage\r\n\r\n")
    assert (await bot.answer()).status == 400
    await eventually(lambda: port.listener.connections == 0)


async def test_a_half_closed_bot_that_reads_late_gets_what_was_answered(
    open_port: OpenPort,
) -> None:
    port = await open_port()
    port.handler.reply = Reply(200, b"", b"x" * 8_000_000)
    bot = await port.bot(limit=1024)
    bot.writer.transport.pause_reading()  # type: ignore[attr-defined]
    bot.write(GET * 2)
    bot.writer.write_eof()
    await eventually(lambda: any(c._eof for c in port.listener._connections))
    bot.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert len((await bot.answer()).body) == 8_000_000
    assert await bot.rest() == b""


async def test_a_refused_body_that_never_comes_ends_the_connection(open_port: OpenPort) -> None:
    port = await open_port(body_timeout_ns=20 * MS_NS)
    port.handler.refuse = Reply(401, b"", b"no")
    bot = await port.bot()
    bot.write(post(b"abc")[:-1])
    assert (await bot.answer()).status == 401
    assert await bot.rest() == b""


async def test_draining_ends_a_bot_whose_refused_body_is_still_to_come(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.refuse = Reply(401, b"", b"no")
    bot = await port.bot()
    bot.write(post(b"abc")[:-1])
    assert (await bot.answer()).status == 401
    drained = asyncio.create_task(port.listener.drain(5))
    assert await bot.rest() == b""
    bot.hang_up()
    await drained


async def test_half_heads_of_all_bots_together_are_bounded(open_port: OpenPort) -> None:
    port = await open_port(buffered_bytes_max=30)
    first, second = await port.bot(), await port.bot()
    first.write(GET[:20])
    await eventually(lambda: port.listener.buffered_bytes == 20)
    second.write(GET[:20])
    assert (await second.answer()).status == 503
    first.write(GET[20:])
    assert (await first.answer()).status == 200


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        (("192.0.2.1", 80), "192.0.2.1"),
        (("::ffff:192.0.2.1", 80, 0, 0), "192.0.2.1"),
        (("2001:db8::1", 80, 0, 0), "2001:db8::1"),
        ("", "0.0.0.0"),
    ],
)
def test_the_source_is_an_address_however_the_socket_tells_it(peer: object, source: str) -> None:
    class Peer(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return peer if name == "peername" else default

    assert str(_source_of(Peer())) == source
