"""The listener: how many it serves, its ports, its end; and that any bytes end in an answer."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.clock import SystemClock
from proxy.model import Reply, Request
from proxy.net.server import Listener
from tests.net.conftest import LIMITS, FakeHandler, OpenPort, Port, Ticket, eventually

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


async def test_a_bot_over_the_maximum_hears_503_and_the_others_go_on(open_port: OpenPort) -> None:
    port = await open_port(connections_max=2)
    bots = [await port.bot() for _ in range(2)]
    await eventually(lambda: port.listener.connections == 2)
    extra = await port.bot()
    answer = await extra.answer()
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert await extra.rest() == b""
    for bot in bots:
        bot.write(GET)
        assert (await bot.answer()).status == 200
    bots[0].hang_up()
    await eventually(lambda: port.listener.connections == 1)
    again = await port.bot()
    again.write(GET)
    assert (await again.answer()).status == 200


async def test_bots_far_over_the_maximum_are_cut_off(open_port: OpenPort) -> None:
    port = await open_port(connections_max=1)
    first = await port.bot()
    await eventually(lambda: port.listener.connections == 1)
    extra = [await port.bot() for _ in range(80)]
    told = [await bot.rest() for bot in extra]
    assert any(told)
    assert not all(told)
    first.write(GET)
    assert (await first.answer()).status == 200


async def test_draining_closes_idle_bots_and_lets_requests_finish(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.hold = True
    idle, busy = await port.bot(), await port.bot()
    busy.write(GET)
    await eventually(lambda: bool(port.handler.tickets) and port.listener.connections == 2)
    drained = asyncio.create_task(port.listener.drain(10))
    assert await idle.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        await port.bot()
    assert not drained.done()
    port.handler.tickets[0].go.settle(Reply(200, b"", b"done"))
    answer = await busy.answer()
    assert (answer.body, answer.headers["connection"]) == (b"done", "close")
    assert await busy.rest() == b""
    await drained
    assert port.listener.connections == 0


async def test_a_request_half_in_when_draining_begins_is_answered(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await port.bot()
    bot.write(GET[:20])
    await eventually(lambda: port.listener.buffered_bytes == 20)
    drained = asyncio.create_task(port.listener.drain(10))
    await asyncio.sleep(0)
    bot.write(GET[20:])
    answer = await bot.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    await drained


async def test_draining_ends_after_its_time(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.hold = True
    bot = await port.bot()
    bot.write(GET)
    await eventually(lambda: bool(port.handler.tickets))
    await port.listener.drain(0.02)
    assert port.listener.connections == 0
    assert await bot.rest() == b""


async def test_a_retired_listener_serves_each_bot_once_more(open_port: OpenPort) -> None:
    port, other = await open_port(), await open_port()
    port.handler.hold = True
    idle, busy, elsewhere = await port.bot(), await port.bot(), await other.bot()
    busy.write(GET)
    await eventually(lambda: bool(port.handler.tickets) and port.listener.connections == 2)
    retired = asyncio.create_task(port.listener.retire(8))
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await port.bot()
    idle.write(GET)
    await eventually(lambda: len(port.handler.tickets) == 2)
    for bot, ticket in zip((busy, idle), port.handler.tickets, strict=True):
        ticket.go.settle(Reply(200, b"", b"last"))
        answer = await bot.answer()
        assert (answer.body, answer.headers["connection"]) == (b"last", "close")
        assert await bot.rest() == b""
    await retired
    assert port.listener.connections == 0
    elsewhere.write(GET)
    assert "connection" not in (await elsewhere.answer()).headers


async def test_retiring_ends_the_idle_after_its_time_and_the_busy_after_twice_that(
    open_port: OpenPort,
) -> None:
    port = await open_port()
    port.handler.hold = True
    idle, busy = await port.bot(), await port.bot()
    busy.write(GET)
    await eventually(lambda: bool(port.handler.tickets) and port.listener.connections == 2)
    retired = asyncio.create_task(port.listener.retire(0.2))
    assert await idle.rest() == b""
    assert port.listener.connections == 1
    assert await busy.rest() == b""
    await retired
    assert port.listener.connections == 0


async def test_a_listener_may_be_drained_while_it_is_retired(open_port: OpenPort) -> None:
    port = await open_port()
    port.handler.hold = True
    idle, busy = await port.bot(), await port.bot()
    busy.write(GET)
    await eventually(lambda: bool(port.handler.tickets) and port.listener.connections == 2)
    retired = asyncio.create_task(port.listener.retire(60))
    await asyncio.sleep(0)
    drained = asyncio.create_task(port.listener.drain(8))
    assert await idle.rest() == b""
    port.handler.tickets[0].go.settle(Reply(200, b"", b"last"))
    assert (await busy.answer()).body == b"last"
    await asyncio.gather(retired, drained)


async def test_limits_may_be_swapped_while_bots_are_connected(open_port: OpenPort) -> None:
    port = await open_port()
    listener = port.listener
    bot, other = await port.bot(), await port.bot()
    head = b"POST / HTTP/1.1\r\nHost: h\r\n"
    bot.write(head + b"Content-Length: 100\r\n\r\n" + b"x" * 100)
    assert (await bot.answer()).status == 200
    listener.limits = replace(LIMITS, body_bytes_max=99, headers_max=3, connections_max=2)
    bot.write(head + b"Content-Length: 100\r\n\r\n" + b"x" * 100)
    assert (await bot.answer()).status == 413
    other.write(b"GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\n\r\n")
    assert (await other.answer()).status == 200
    other.write(b"GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n")
    assert (await other.answer()).status == 431
    await eventually(lambda: listener.connections == 0)
    for limits, status in ((LIMITS, 200), (replace(LIMITS, head_bytes_max=20), 431)):
        listener.limits = limits
        assert (await port.exchange(GET[:-2] + b"Connection: close\r\n\r\n")).startswith(
            b"HTTP/1.1 %d " % status
        )
    listener.limits = replace(LIMITS, connections_max=0)
    assert (await (await port.bot()).answer()).status == 503
    listener.limits = replace(LIMITS, idle_timeout_ns=1_000_000)
    assert await port.exchange(b"") == b""


async def test_a_bot_is_served_over_tls(
    open_port: OpenPort, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    port = await open_port(tls=tls)
    bot = await port.bot()
    for body in (b"abc", b"x" * 200_000):
        bot.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert (await bot.answer()).body == body
    bot.write(b"GET /\xff HTTP/1.1\r\n\r\n")
    assert (await bot.answer()).status == 400
    bot.hang_up()


async def test_the_source_address_is_the_bots(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await port.bot()
    bot.write(GET)
    await bot.answer()
    assert str(port.handler.requests[0].source) == "127.0.0.1"


async def test_an_upgrade_hands_the_transport_and_every_byte_over(open_port: OpenPort) -> None:
    taken: list[tuple[Request, bytes]] = []

    class Tunnel(asyncio.Protocol):
        def __init__(self, transport: asyncio.Transport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data.upper())

    def on_upgrade(request: Request, transport: asyncio.Transport, raw: bytes) -> bool:
        taken.append((request, raw))
        transport.set_protocol(Tunnel(transport))
        transport.write(b"switched")
        return True

    port = await open_port(on_upgrade=on_upgrade)
    bot = await port.bot()
    raw = b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly"
    bot.write(GET + raw)
    assert (await bot.answer()).status == 200
    assert await bot.reader.readexactly(8) == b"switched"
    assert [(request.target, got) for request, got in taken] == [(b"/ws", raw)]
    assert port.listener.connections == 0
    bot.write(b"frame")
    assert await bot.reader.readexactly(5) == b"FRAME"
    bot.hang_up()


@pytest.mark.parametrize("hook", [None, lambda *_: False])
async def test_a_refused_upgrade_closes(open_port: OpenPort, hook: None) -> None:
    port = await open_port(on_upgrade=hook)
    head = b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    answer = await port.exchange(head)
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert port.handler.tickets == []


async def test_an_upgrade_with_a_body_is_400(open_port: OpenPort) -> None:
    port = await open_port(on_upgrade=lambda *_: True)
    head = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    assert (await port.exchange(head + b"Content-Length: 1\r\n\r\na")).startswith(b"HTTP/1.1 400 ")


async def test_other_upgrades_are_ignored(open_port: OpenPort) -> None:
    """Java's client asks for h2c on every plain connection."""
    port = await open_port()
    bot = await port.bot()
    bot.write(
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AA\r\nContent-Length: 3\r\n\r\nabc"
    )
    assert (await bot.answer()).body == b"abc"


async def bombard(port: Port, pieces: list[bytes]) -> None:
    bot = await port.bot()
    try:
        for piece in pieces:
            bot.write(piece)
            await asyncio.sleep(0)
        bot.writer.write_eof()
        await bot.rest()
    except (ConnectionError, RuntimeError):
        pass
    finally:
        bot.hang_up()


SPICES = st.sampled_from(
    [
        GET,
        b"\r\n",
        b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\n",
        b"Content-Length: 5\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"Expect: 100-continue\r\n",
        b"hello",
    ]
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.one_of(SPICES, st.binary(max_size=60)), max_size=8))
def test_any_bytes_leave_the_listener_serving(pieces: list[bytes]) -> None:
    """Every connection ends once the bot has no more to say, nothing stays held, and the
    listener goes on."""
    faults: list[object] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        handler = FakeHandler()
        listener: Listener[Ticket] = Listener(handler, LIMITS, SystemClock())
        port = Port(handler, listener)
        port.address = await listener.start("127.0.0.1", 0)
        await bombard(port, pieces)
        await eventually(lambda: listener.connections == 0)
        assert listener.buffered_bytes == 0
        bot = await port.bot()
        bot.write(GET)
        assert (await bot.answer()).status == 200
        await port.close()

    uvloop.run(scene())
    assert faults == []
