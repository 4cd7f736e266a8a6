"""Connections that begin with a PROXY protocol header, over real sockets, TLS and not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_network
from typing import Any, TypeAlias

import pytest

from proxy.model import Reply
from tests.net.conftest import Bot, OpenPort, Port, eventually
from tests.net.test_proxy_protocol import V4_BLOCK, V6_BLOCK, v2

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
LINE = b"PROXY TCP4 203.0.113.9 192.0.2.1 40000 443\r\n"
MS_NS = 1_000_000
ANYBODY = ()
LOOPBACK = (ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8"))
OTHERS = (ip_network("10.0.0.0/8"), ip_network("::1/128"))

Tls: TypeAlias = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(params=["plain", "tls"])
def wrap(request: pytest.FixtureRequest, tls: Tls) -> Tls | None:
    """What the connections are wrapped in, behind the header."""
    return tls if request.param == "tls" else None


@pytest.fixture(autouse=True)
async def nothing_unhandled() -> AsyncIterator[None]:
    """See that no fault went unhandled."""
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    yield
    assert [fault for fault in faults if "accepted" not in fault["message"]] == []


class Peer:
    """A load balancer's raw socket."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.socket = socket.create_connection(port.address)
        self.socket.settimeout(0)
        self.handed_over = False

    async def say(self, *parts: bytes) -> Peer:
        """Send the parts, each by itself."""
        loop = asyncio.get_running_loop()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            await loop.sock_sendall(self.socket, part)
            await asyncio.sleep(0)
        return self

    async def bot(self) -> Bot:
        """Go on as the bot that the header named."""
        options: dict[str, Any] = {"sock": self.socket}
        if self.port.tls is not None:
            options |= {"ssl": self.port.tls, "server_hostname": "localhost"}
        self.handed_over = True
        bot = Bot(*await asyncio.open_connection(**options))
        self.port.bots.append(bot)
        return bot

    async def heard(self) -> bytes:
        """What comes before the end."""
        loop = asyncio.get_running_loop()
        got = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(8):
                while part := await loop.sock_recv(self.socket, 4096):
                    got += part
        return got


Dial: TypeAlias = Callable[[Port], Peer]


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Connect a peer."""
    peers: list[Peer] = []

    def dial_(port: Port) -> Peer:
        peers.append(Peer(port))
        return peers[-1]

    yield dial_
    for peer in peers:
        if not peer.handed_over:
            peer.socket.close()


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (LINE, "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::7 ::1 40000 443\r\n", "2001:db8::7"),
        (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 40000 443\r\n", "203.0.113.9"),
        (v2(0x21, 0x11, V4_BLOCK), "192.168.0.1"),
        (v2(0x21, 0x21, V6_BLOCK + b"\x04\x0f\x00" + bytes(3840)), "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (v2(0x20, 0x00), "127.0.0.1"),
        (v2(0x21, 0x31, bytes(216)), "127.0.0.1"),
    ],
)
async def test_every_request_comes_from_where_the_header_says(
    open_port: OpenPort, dial: Dial, wrap: Tls | None, header: bytes, source: str
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=LOOPBACK)
    bot = await (await dial(port).say(header)).bot()
    for _ in range(3):
        bot.write(GET)
        assert (await bot.answer()).status == 200
    assert {str(request.source) for request in port.handler.requests} == {source}
    assert {request.peer for request in port.handler.requests} == {source}
    assert port.listener.connections == 1


async def test_a_header_may_come_byte_by_byte(
    open_port: OpenPort, dial: Dial, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=ANYBODY)
    for header in (LINE, v2(0x21, 0x11, V4_BLOCK)):
        peer = dial(port)
        for byte in header:
            await peer.say(bytes([byte]))
            await asyncio.sleep(0.001)
        bot = await peer.bot()
        bot.write(GET)
        assert (await bot.answer()).status == 200
    sources = [str(request.source) for request in port.handler.requests]
    assert sources == ["203.0.113.9", "192.168.0.1"]


async def test_what_comes_with_the_header_is_not_lost(open_port: OpenPort, dial: Dial) -> None:
    port = await open_port(proxy_protocol=ANYBODY)
    for at in (0, 5, len(LINE), len(LINE) + 5):
        wire = LINE + GET + GET
        peer = await dial(port).say(wire[:at], wire[at:])
        bot = await peer.bot()
        for _ in range(2):
            assert (await bot.answer()).status == 200


async def test_bots_at_once_keep_their_own_sources(
    open_port: OpenPort, dial: Dial, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=ANYBODY)

    async def one(number: int) -> None:
        header = b"PROXY TCP4 198.51.100.%d 192.0.2.1 1 2\r\n" % number
        bot = await (await dial(port).say(header)).bot()
        bot.write(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
        assert (await bot.answer()).status == 200

    await asyncio.gather(*(one(number) for number in range(1, 41)))
    seen = {request.target: str(request.source) for request in port.handler.requests}
    assert seen == {b"/%d" % number: f"198.51.100.{number}" for number in range(1, 41)}


# ---- peers that do it wrong -------------------------------------------------------------------


async def test_a_peer_that_may_not_speak_it_is_cut_off_at_once(
    open_port: OpenPort, dial: Dial, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=OTHERS)
    peer = dial(port)
    assert await peer.heard() == b""
    with contextlib.suppress(ConnectionError):
        await dial(port).say(LINE + GET)
    await eventually(lambda: len(port.handler.faults) == 2)
    assert port.handler.requests == []


@pytest.mark.parametrize(
    "garbage", [GET, b"\x16\x03\x01\x00\xa5", LINE[:-2] + b"\n" + GET, v2(0x33, 0x11, V4_BLOCK)]
)
async def test_garbage_is_cut_off_at_once(
    open_port: OpenPort, dial: Dial, wrap: Tls | None, garbage: bytes
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=ANYBODY)
    peer = await dial(port).say(garbage)
    assert await peer.heard() == b""
    assert [(request, status) for request, status, _ in port.handler.faults] == [(None, 400)]
    await _serves(port, dial)


async def test_a_peer_that_says_nothing_is_closed_after_the_heads_time(
    open_port: OpenPort, dial: Dial, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=ANYBODY, head_timeout_ns=30 * MS_NS)
    assert await dial(port).heard() == b""
    assert port.handler.faults == []


async def test_half_a_header_is_closed_after_the_heads_time(
    open_port: OpenPort, dial: Dial, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=ANYBODY, head_timeout_ns=30 * MS_NS)
    for half in (LINE[:1], LINE[:-1], v2(0x21, 0x11, V4_BLOCK)[:-1]):
        peer = await dial(port).say(half)
        assert await peer.heard() == b""
    assert [what for _, _, what in port.handler.faults] == [
        "the PROXY protocol header took too long"
    ] * 3


async def test_a_header_and_then_silence_is_closed_after_a_while(
    open_port: OpenPort, dial: Dial, wrap: Tls | None
) -> None:
    port = await open_port(
        tls=wrap, proxy_protocol=ANYBODY, head_timeout_ns=50 * MS_NS, idle_timeout_ns=50 * MS_NS
    )
    peer = await dial(port).say(LINE)
    assert await peer.heard() == b""
    await eventually(port.listener._is_empty)


async def test_a_failed_handshake_after_the_header_ends_quietly(
    open_port: OpenPort, dial: Dial, tls: Tls
) -> None:
    port = await open_port(tls=tls, proxy_protocol=ANYBODY)
    peer = await dial(port).say(LINE + GET)
    await peer.heard()
    await eventually(port.listener._is_empty)
    await _serves(port, dial)


@pytest.mark.parametrize("said", [b"", LINE[:9], LINE])
async def test_a_peer_that_hangs_up_leaves_nothing(
    open_port: OpenPort, dial: Dial, wrap: Tls | None, said: bytes
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=ANYBODY)
    await _serves(port, dial)  # the first time opens something for the loop itself
    before = len(os.listdir("/proc/self/fd"))
    for reset in (False, True):
        peer = await dial(port).say(said)
        if reset:
            peer.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
            )
        await asyncio.sleep(0.005)
        peer.socket.close()
    await eventually(lambda: not port.listener._arrivals and port.listener.connections == 1)
    await eventually(lambda: len(os.listdir("/proc/self/fd")) == before)
    await _serves(port, dial)


# ---- limits -----------------------------------------------------------------------------------


async def test_peers_that_say_nothing_take_up_places_that_are_bounded(
    open_port: OpenPort, dial: Dial, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=ANYBODY, connections_max=3)
    silent = [dial(port) for _ in range(67)]
    await eventually(lambda: len(port.listener._arrivals) == 67)
    assert await dial(port).heard() == b""
    for peer in silent:
        peer.socket.close()
    await eventually(lambda: not port.listener._arrivals)
    await _serves(port, dial)


async def test_a_bot_over_the_maximum_hears_503(
    open_port: OpenPort, dial: Dial, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=ANYBODY, connections_max=1)
    await _serves(port, dial)
    extra = await (await dial(port).say(LINE)).bot()
    assert (await extra.answer()).status == 503


@pytest.fixture
def descriptors() -> Iterator[list[int]]:
    """Every descriptor that the process may still have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    yield taken
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for descriptor in taken:
        os.close(descriptor)


def _take_all(taken: list[int]) -> None:
    most = max(map(int, os.listdir("/proc/self/fd"))) + 8
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.dup(0))


async def test_out_of_descriptors_it_waits_and_goes_on(
    open_port: OpenPort, dial: Dial, descriptors: list[int]
) -> None:
    port = await open_port(proxy_protocol=ANYBODY)
    reports: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    tries = 0
    accept = port.listener._ports[0]._accept

    def counted(listening: socket.socket) -> None:
        nonlocal tries
        tries += 1
        accept(listening)

    peer = dial(port)
    listening = port.listener._ports[0]._sockets[0]
    loop.add_reader(listening, counted, listening)
    _take_all(descriptors)
    await eventually(lambda: bool(reports))
    await asyncio.sleep(0.25)
    assert len(reports) == 1
    assert isinstance(reports[0]["exception"], OSError)
    assert tries == 1, "it does not spin"
    for descriptor in descriptors:
        os.close(descriptor)
    descriptors.clear()
    bot = await (await peer.say(LINE)).bot()
    bot.write(GET)
    assert (await bot.answer()).status == 200


async def test_an_address_in_use_is_an_error_and_leaves_nothing_open(
    open_port: OpenPort, dial: Dial
) -> None:
    port = await open_port(proxy_protocol=ANYBODY)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="in use"):
        await port.listener.start(*port.address, None, ANYBODY)
    assert len(os.listdir("/proc/self/fd")) == before
    await _serves(port, dial)


# ---- the end ----------------------------------------------------------------------------------


async def test_draining_cuts_the_silent_off_and_answers_who_has_begun(
    open_port: OpenPort, dial: Dial, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=ANYBODY)
    silent = dial(port)
    begun = await dial(port).say(LINE[:20])
    await eventually(lambda: sum(each._heard for each in port.listener._arrivals) == 1)
    drained = asyncio.create_task(port.listener.drain(8))
    assert await silent.heard() == b""
    with pytest.raises(ConnectionRefusedError):
        dial(port)
    bot = await (await begun.say(LINE[20:])).bot()
    bot.write(GET)
    assert (await bot.answer()).status == 503
    bot.hang_up()
    await drained


async def test_draining_ends_after_its_time_whatever_is_on_its_way(
    open_port: OpenPort, dial: Dial, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=ANYBODY)
    half = await dial(port).say(LINE[:20])
    handshaking = await dial(port).say(LINE + b"\x16\x03\x01")
    await eventually(lambda: len(port.listener._arrivals | port.listener._connections) == 2)
    await eventually(lambda: all(each._heard for each in port.listener._arrivals))
    await port.listener.drain(0.02)
    assert port.listener._is_empty()
    assert await half.heard() == b""
    await handshaking.heard()


async def test_a_request_in_flight_is_answered_while_draining(
    open_port: OpenPort, dial: Dial, wrap: Tls | None
) -> None:
    port = await open_port(tls=wrap, proxy_protocol=ANYBODY)
    port.handler.hold = True
    bot = await (await dial(port).say(LINE)).bot()
    bot.write(GET)
    await eventually(lambda: bool(port.handler.tickets))
    drained = asyncio.create_task(port.listener.drain(8))
    await asyncio.sleep(0)
    port.handler.tickets[0].go.settle(Reply(200, b"", b"done"))
    assert (await bot.answer()).body == b"done"
    assert await bot.rest() == b""
    bot.hang_up()
    await drained


async def _serves(port: Port, dial: Dial) -> None:
    bot = await (await dial(port).say(LINE)).bot()
    bot.write(GET)
    assert (await bot.answer()).status == 200
