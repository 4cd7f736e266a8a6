"""A bot's further requests, whose heads are read as repeats of the first ones."""

from __future__ import annotations

import asyncio
import gc

import pytest

from proxy.model import Reply
from proxy.net.bot import BotConnection
from tests.net.conftest import Bot, OpenPort, Port, eventually


def order(sign: bytes, body: bytes = b"0123456789") -> bytes:
    head = b"POST /p HTTP/1.1\r\nHost: h\r\nX-Sign: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (sign, len(body)) + body


async def regular(port: Port) -> Bot:
    """A bot whose next order will be read as a repeat, or not at all."""
    bot = await port.bot()
    for sign in (b"aaaaaaaaaaaa", b"bbbbbbbbbbbb"):
        bot.write(order(sign))
        assert (await bot.answer()).body == b"0123456789"
    return bot


def forbid_parsing(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(head: bytes) -> None:
        raise AssertionError(head)

    class Reader:
        read = staticmethod(parse)

    monkeypatch.setattr(port.listener, "reader", Reader())


@pytest.mark.interpreted
async def test_repeats_are_not_parsed_and_reach_the_handler_whole(
    open_port: OpenPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = await open_port()
    bot = await regular(port)
    forbid_parsing(port, monkeypatch)
    for number in range(5):
        sign, body = b"cccccccccc%02d" % number, b"01234567%02d" % number
        bot.write(order(sign, body))
        assert (await bot.answer()).body == body
        request = port.handler.requests[-1]
        assert request.headers == {b"host": b"h", b"x-sign": sign, b"content-length": b"10"}
        assert (request.method, request.target, request.peer) == (b"POST", b"/p", "127.0.0.1")
    assert port.listener.buffered_bytes == 0


@pytest.mark.interpreted
async def test_repeats_may_come_in_any_pieces(
    open_port: OpenPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = await open_port()
    bot = await regular(port)
    forbid_parsing(port, monkeypatch)
    wire = order(b"cccccccccccc")
    for at in (1, 30, len(wire) - 11, len(wire) - 10, len(wire) - 9, len(wire) - 1):
        bot.write(wire[:at])
        received = port.listener.buffered_bytes
        await asyncio.sleep(0.005)
        bot.write(wire[at:])
        assert (await bot.answer()).body == b"0123456789"
        assert received == port.listener.buffered_bytes == 0


async def test_pipelined_repeats_are_answered_in_order(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await regular(port)
    port.handler.hold = True
    bot.write(b"".join(order(b"cccccccccc%02d" % n, b"01234567%02d" % n) for n in range(20)))
    for number in range(20):
        await eventually(lambda: len(port.handler.tickets) == number + 3)  # noqa: B023
        assert port.listener.buffered_bytes >= 10
        ticket = port.handler.tickets[-1]
        ticket.go.settle(Reply(200, b"", ticket.request.body))
        assert (await bot.answer()).body == b"01234567%02d" % number
    assert port.listener.buffered_bytes == 0


async def test_a_smuggled_field_is_a_field_of_its_own(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await regular(port)
    bot.write(order(b"cc\r\nX-Y: zzz"))
    assert (await bot.answer()).status == 200
    assert port.handler.requests[-1].headers[b"x-sign"] == b"cc"
    assert port.handler.requests[-1].headers[b"x-y"] == b"zzz"


@pytest.mark.parametrize(
    "sign",
    [
        b"cc\r\nHost: zz",
        b"cc\nX-Yyy: zz",
        b"cc\rX-Yyy: zz",
        b"cc\r\n X-Y: zz",
        b"cc\0ccccccccc",
        b"cc\r\nX-Y : zz",
    ],
)
async def test_a_smuggling_shape_among_repeats_is_400(open_port: OpenPort, sign: bytes) -> None:
    port = await open_port()
    bot = await regular(port)
    bot.write(order(sign))
    answer = await bot.answer()
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert await bot.rest() == b""
    assert len(port.handler.tickets) == 2


async def test_limits_hold_for_repeats(open_port: OpenPort) -> None:
    port = await open_port(body_bytes_max=20)
    bot = await regular(port)
    bot.write(order(b"cccccccccccc", b"x" * 15))
    assert (await bot.answer()).status == 200
    bot.write(order(b"cccccccccccc", b"x" * 21))
    assert (await bot.answer()).status == 413
    port = await open_port(buffered_bytes_max=30)
    bot, other = await regular(port), await regular(port)
    port.handler.hold = True
    bot.write(order(b"cccccccccccc", b"x" * 20))
    await eventually(lambda: port.listener.buffered_bytes == 20)
    other.write(order(b"cccccccccccc", b"x" * 20))
    assert (await other.answer()).status == 503
    await eventually(lambda: port.listener.buffered_bytes == 20)
    port.handler.tickets[-1].go.settle(Reply(200, b"", b""))
    assert (await bot.answer()).status == 200
    assert port.listener.buffered_bytes == 0


async def test_a_repeat_may_be_refused_on_its_head(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await regular(port)
    port.handler.refuse = Reply(401, b"", b"no")
    for _ in range(2):
        bot.write(order(b"cccccccccccc"))
        assert (await bot.answer()).status == 401
    port.handler.refuse = None
    bot.write(order(b"cccccccccccc"))
    assert (await bot.answer()).status == 200


async def test_a_bot_gone_during_a_repeat_takes_it_back_and_is_forgotten(
    open_port: OpenPort,
) -> None:
    port = await open_port()
    bot = await regular(port)
    port.handler.hold = True
    bot.write(order(b"cccccccccccc"))
    await eventually(lambda: len(port.handler.tickets) == 3)
    bot.hang_up()
    ticket = port.handler.tickets[-1]
    await eventually(lambda: ticket.ended is not None)
    await eventually(lambda: port.listener.connections == 0)
    assert port.listener.buffered_bytes == 0


async def test_other_requests_between_repeats_are_what_they_are(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await regular(port)
    wire = order(b"cccccccccccc")
    expect = wire.replace(b"X-Sign: cccccccccccc", b"Expect: 100-continue")
    for _ in range(3):
        bot.write(expect[:-10])
        assert (await bot.answer()).status == 100
        bot.write(expect[-10:])
        assert (await bot.answer()).body == b"0123456789"
        bot.write(wire)
        assert (await bot.answer()).body == b"0123456789"
    bot.write(wire.replace(b"X-Sign: cccccccccccc", b"Connection:     close"))
    assert (await bot.answer()).headers["connection"] == "close"
    assert await bot.rest() == b""


async def test_draining_closes_behind_a_repeat(open_port: OpenPort) -> None:
    port = await open_port()
    bot = await regular(port)
    port.handler.hold = True
    bot.write(order(b"cccccccccccc"))
    await eventually(lambda: len(port.handler.tickets) == 3)
    drained = asyncio.create_task(port.listener.drain(5))
    await asyncio.sleep(0)
    port.handler.tickets[-1].go.settle(Reply(200, b"", b"last"))
    answer = await bot.answer()
    assert (answer.body, answer.headers["connection"]) == (b"last", "close")
    assert await bot.rest() == b""
    bot.hang_up()
    await drained


async def test_a_connection_that_is_gone_leaves_no_cycle(open_port: OpenPort) -> None:
    def connections() -> set[int]:
        return {id(thing) for thing in gc.get_objects() if type(thing) is BotConnection}

    port = await open_port()
    gc.collect()
    gc.disable()
    try:
        before = connections()
        bots = [await regular(port) for _ in range(3)]
        port.handler.hold = True
        bots[0].write(order(b"cccccccccccc"))
        await eventually(lambda: len(port.handler.tickets) == 7)
        ticket = port.handler.tickets[-1]
        ticket.sent = True
        ours = connections() - before
        assert len(ours) == 3
        bots[0].hang_up(reset=True)
        for bot in bots:
            await bot.end()
        await eventually(lambda: port.listener.connections == 0)
        ticket.go.settle(Reply(200, b"", b"late"))
        port.handler.tickets.clear()
        del bots, bot, ticket
        await eventually(lambda: not connections() & ours)
    finally:
        gc.enable()
