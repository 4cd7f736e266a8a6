"""Bots that do not take their answers: what they hold is counted, and bounded."""

from __future__ import annotations

import asyncio
import ssl
from typing import TypeAlias

import pytest

from proxy.model import Reply
from tests.net.conftest import Bot, OpenPort, Port, eventually

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
MIB = 1024 * 1024
MS_NS = 1_000_000
LARGE = bytes(range(256)) * (16 * MIB // 256)
KERNEL_BYTES = 11 * MIB  # what the system takes off our hands on loopback, at the most

Tls: TypeAlias = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(params=["plain", "tls"])
def wrap(request: pytest.FixtureRequest, tls: Tls) -> Tls | None:
    """What the connections are wrapped in."""
    return tls if request.param == "tls" else None


async def deaf(port: Port, wire: bytes = GET) -> Bot:
    """A bot that asks and does not read."""
    bot = await port.bot(limit=1024)
    bot.writer.transport.pause_reading()  # type: ignore[attr-defined]
    bot.write(wire)
    asked = len(port.handler.tickets)
    await eventually(lambda: len(port.handler.tickets) > asked)
    return bot


def listen(bot: Bot) -> None:
    bot.writer.transport.resume_reading()  # type: ignore[attr-defined]


async def test_what_a_bot_does_not_take_is_counted_until_it_does(
    open_port: OpenPort, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, buffered_bytes_max=64 * MIB)
    port.handler.reply = Reply(200, b"", LARGE)
    bot = await deaf(port)
    assert len(LARGE) - KERNEL_BYTES < port.listener.buffered_bytes <= len(LARGE) + MIB
    listen(bot)
    assert (await bot.answer()).body == LARGE
    await eventually(lambda: port.listener.buffered_bytes == 0)
    bot.write(GET)
    assert (await bot.answer()).body == LARGE
    await eventually(lambda: (port.listener.buffered_bytes, len(port.listener.slow)) == (0, 0))


async def test_a_bot_that_takes_its_answers_is_never_held_up(
    open_port: OpenPort, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, buffered_bytes_max=64 * MIB)
    port.handler.reply = Reply(200, b"", LARGE)
    bot = await port.bot()
    bot.write(GET * 5)
    for _ in range(5):
        assert (await bot.answer()).body == LARGE
    assert port.listener.buffered_bytes == 0


async def test_the_slowest_reader_makes_room_for_the_others(
    open_port: OpenPort, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, buffered_bytes_max=20 * MIB)
    port.handler.reply = Reply(200, b"", LARGE)
    bots = [await deaf(port) for _ in range(6)]
    await eventually(lambda: port.listener.connections < 6)
    assert port.listener.buffered_bytes <= 20 * MIB
    for bot in bots:
        listen(bot)
    assert len(await bots[0].rest()) < len(LARGE)
    assert (await bots[5].answer()).body == LARGE
    await eventually(lambda: port.listener.buffered_bytes == 0)


async def test_a_reader_too_slow_for_all_memory_there_is_is_cut_off(
    open_port: OpenPort, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, buffered_bytes_max=2 * MIB)
    port.handler.reply = Reply(200, b"", LARGE)
    bot = await deaf(port)
    await eventually(lambda: port.listener.connections == 0)
    assert (port.listener.buffered_bytes, len(port.listener.slow)) == (0, 0)
    listen(bot)
    assert len(await bot.rest()) < len(LARGE)


async def test_slow_readers_make_room_for_a_body(open_port: OpenPort, wrap: Tls | None) -> None:
    port = await open_port(tls=wrap, buffered_bytes_max=16 * MIB + MIB // 2)
    port.handler.reply = Reply(200, b"", LARGE)
    slow = await deaf(port)
    held = port.listener.buffered_bytes
    assert held > MIB
    port.handler.reply = None
    port.handler.hold = True
    others = [await port.bot() for _ in range(16)]
    body = b"x" * (MIB - 1024)
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    for bot in others:
        bot.write(head + body)
    await eventually(lambda: len(port.handler.tickets) == 17)
    for ticket in port.handler.tickets[1:]:
        ticket.go.settle(Reply(200, b"", b"done"))
    for bot in others:
        assert (await bot.answer()).body == b"done"
    listen(slow)
    assert len(await slow.rest()) < len(LARGE)
    assert port.listener.buffered_bytes == 0


async def test_the_last_answer_of_a_connection_is_whole(
    open_port: OpenPort, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, buffered_bytes_max=64 * MIB)
    port.handler.reply = Reply(200, b"", LARGE, close=True)
    bot = await deaf(port)
    assert port.listener.buffered_bytes > len(LARGE) - KERNEL_BYTES
    listen(bot)
    assert (await bot.answer()).body == LARGE
    assert await bot.rest() == b""
    bot.hang_up()
    await eventually(lambda: port.listener.connections == 0)
    assert port.listener.buffered_bytes == 0


async def test_a_bot_that_vanishes_is_counted_no_more(
    open_port: OpenPort, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, buffered_bytes_max=64 * MIB)
    port.handler.reply = Reply(200, b"", LARGE)
    bot = await deaf(port)
    assert port.listener.buffered_bytes > 0
    bot.hang_up(reset=True)
    await eventually(lambda: port.listener.connections == 0)
    assert (port.listener.buffered_bytes, len(port.listener.slow)) == (0, 0)


async def test_taking_an_answer_has_one_time_limit_however_many_pieces_it_has(
    open_port: OpenPort, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, buffered_bytes_max=64 * MIB, write_timeout_ns=300 * MS_NS)
    port.handler.reply = Reply(200, b"", LARGE)
    bot = await deaf(port)
    taken = 0

    async def sip() -> None:
        nonlocal taken
        async with asyncio.timeout(8):
            while part := await bot.reader.read(64 * 1024):
                taken += len(part)
                await asyncio.sleep(0.02)

    listen(bot)
    sipping = asyncio.create_task(sip())
    await eventually(lambda: port.listener.connections == 0)
    assert 0 < taken < len(LARGE) // 2
    sipping.cancel()
    await asyncio.wait([sipping])


async def test_a_slow_reader_is_let_go_when_it_has_read_while_draining(
    open_port: OpenPort, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, buffered_bytes_max=64 * MIB)
    port.handler.reply = Reply(200, b"", LARGE)
    bot = await deaf(port)
    drained = asyncio.create_task(port.listener.drain(6))
    await asyncio.sleep(0)
    listen(bot)
    async with asyncio.timeout(3):
        assert (await bot.answer()).body == LARGE
        assert await bot.rest() == b""
        bot.hang_up()
        await drained
    assert port.listener.connections == 0
