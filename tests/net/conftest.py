"""Peers for the sockets: a handler that does what the test says, a bot and an exchange that play
raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.clock import SystemClock
from proxy.model import Reply, Request
from proxy.net.proxied_port import Networks
from proxy.net.server import Listener, OnUpgrade, ServerLimits
from proxy.net.upstream import Pool
from proxy.tasks import Signal

SECOND_NS = 1_000_000_000
BOTH_LOOPS = ("test_certificates", "test_proxied_port", "test_slow_readers")
PATIENCE_S = 8.0  # uvloop does not let pytest's own time limit through
LIMITS = ServerLimits(
    body_bytes_max=1024 * 1024,
    connections_max=100,
    buffered_bytes_max=8 * 1024 * 1024,
    head_timeout_ns=10 * SECOND_NS,
    body_timeout_ns=10 * SECOND_NS,
    idle_timeout_ns=10 * SECOND_NS,
    write_timeout_ns=10 * SECOND_NS,
)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that serves; both where what is tested lies close to it."""
    del config
    if item.path.stem in BOTH_LOOPS:
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


async def eventually(true: Callable[[], bool]) -> None:
    """Return once `true()`; fail if that takes very long."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - what is waited for is not ours to signal
            await asyncio.sleep(0.001)


class Ticket:
    """A request on its way through the fake handler."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.sent = False
        self.ended: BaseException | str | None = None
        self.go: Signal[Reply] = Signal()


class FakeHandler:
    """Echoes bodies, unless told to hold requests, to refuse them or to fail."""

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self.faults: list[tuple[Request | None, int, str]] = []
        self.failures: list[BaseException] = []
        self.taken_back: list[Ticket] = []
        self.gone_raises: Exception | None = None
        self.hold = False
        self.refuse: Reply | None = None
        self.raises: Exception | None = None
        self.screen_raises: Exception | None = None
        self.reply: Reply | None = None

    @property
    def requests(self) -> list[Request]:
        return [ticket.request for ticket in self.tickets]

    def screen(self, request: Request) -> Ticket | Reply:
        if self.screen_raises is not None:
            raise self.screen_raises
        if self.refuse is not None:
            return self.refuse
        return Ticket(request)

    async def carry(self, ticket: Ticket) -> Reply:
        self.tickets.append(ticket)
        try:
            if self.raises is not None:
                raise self.raises  # noqa: TRY301 - what a handler does
            if self.hold:
                return await ticket.go
        except BaseException as error:
            ticket.ended = error
            raise
        ticket.ended = "answered"
        return self.reply or Reply(200, b"X-Echo: yes\r\n", ticket.request.body)

    def malformed(self, request: Request | None, status: int, what: str) -> Reply:
        self.faults.append((request, status, what))
        return Reply(status, b"X-Fault: yes\r\n", what.encode(), close=True)

    def failed(self, ticket: Ticket, error: BaseException) -> Reply:
        self.failures.append(error)
        return Reply(500, b"", b"failed")

    def sent(self, ticket: Ticket) -> bool:
        return ticket.sent

    def gone(self, ticket: Ticket) -> None:
        self.taken_back.append(ticket)
        if self.gone_raises is not None:
            raise self.gone_raises


class Answer:
    """An HTTP answer as a bot reads it."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Bot:
    """A bot that writes raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, to_head: bool = False) -> Answer:
        """Read one answer."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._answer(to_head=to_head)

    async def _answer(self, *, to_head: bool) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head[:-4].split("\r\n")
        status = int(first.split(" ")[1])
        headers = {}
        for line in lines:
            name, value = line.split(": ", 1)
            assert name.lower() not in headers, f"repeated {name}"
            headers[name.lower()] = value
        bodyless = to_head or status in (100, 204, 304)
        body = b"" if bodyless else await self.reader.readexactly(int(headers["content-length"]))
        return Answer(status, headers, body)

    async def rest(self) -> bytes:
        """Read to the end; a reset is an end too."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def hang_up(self, *, reset: bool = False) -> None:
        if reset:
            bot = self.writer.get_extra_info("socket")
            bot.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def end(self) -> None:
        """Hang up and wait until the socket is closed."""
        self.hang_up()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Port:
    """A listener with the fake handler behind it."""

    def __init__(self, handler: FakeHandler, listener: Listener[Ticket]) -> None:
        self.handler = handler
        self.listener = listener
        self.address = ("", 0)
        self.tls: ssl.SSLContext | None = None
        self.bots: list[Bot] = []

    async def bot(self, **options: Any) -> Bot:
        """Connect one more bot."""
        if self.tls is not None:
            options |= {"ssl": self.tls, "server_hostname": "localhost"}
        bot = Bot(*await asyncio.open_connection(*self.address, **options))
        self.bots.append(bot)
        return bot

    async def close(self) -> None:
        """End everything, and see that nothing is left."""
        for bot in self.bots:
            await bot.end()
        await self.listener.drain(0)
        assert self.listener.connections == 0

    async def exchange(self, data: bytes) -> bytes:
        """Send `data` and read until the listener closes."""
        bot = await self.bot()
        bot.write(data)
        return await bot.rest()


OpenPort: TypeAlias = Callable[..., Awaitable[Port]]


@pytest.fixture
async def open_port() -> AsyncIterator[OpenPort]:
    """Open a listener; keyword arguments change its limits."""
    ports: list[Port] = []

    async def open_(
        *,
        on_upgrade: OnUpgrade | None = None,
        tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
        proxy_protocol: Networks | None = None,
        **limits: int,
    ) -> Port:
        handler = FakeHandler()
        listener: Listener[Ticket] = Listener(
            handler, replace(LIMITS, **limits), SystemClock(), on_upgrade=on_upgrade
        )
        port = Port(handler, listener)
        port.address = await listener.start("127.0.0.1", 0, tls[0] if tls else None, proxy_protocol)
        port.tls = tls[1] if tls else None
        ports.append(port)
        return port

    yield open_
    for port in ports:
        await port.close()


Script: TypeAlias = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]
]


class Exchange:
    """A server that plays a script on every connection."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.accepted = 0
        self.ended = 0
        self.address = ("", 0)
        self.servers: list[asyncio.Server] = []
        self.script: Script = self.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def answering(self, *answers: bytes, close: bool = False) -> Script:
        """A script that answers each request with all of `answers`."""

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await self.request(reader)
                for answer in answers:
                    writer.write(answer)
                    await writer.drain()
                if close:
                    return

        return script

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request head."""
        request = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(request)
        return request

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            await self.script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended += 1
            writer.close()


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """A scripted exchange without TLS."""
    played = Exchange()
    server = await asyncio.start_server(played.play, "127.0.0.1", 0)
    played.address = server.sockets[0].getsockname()
    played.servers.append(server)
    yield played
    for server in played.servers:
        server.close()
    await eventually(lambda: played.ended == played.accepted)


OpenPool: TypeAlias = Callable[..., Pool]


@pytest.fixture
async def open_pool() -> AsyncIterator[OpenPool]:
    """Make a pool for an address; keyword arguments as for Pool."""
    pools: list[Pool] = []

    def open_(address: tuple[str, int], **options: Any) -> Pool:
        given: dict[str, Any] = {
            "ssl_context": None,
            "clock": SystemClock(),
            "idle_ns": 10 * SECOND_NS,
            "connect_timeout_ns": 5 * SECOND_NS,
            "answer_bytes_max": 1024 * 1024,
            "spare": 0,
        }
        pool = Pool(*address, **(given | options))
        pools.append(pool)
        return pool

    yield open_
    for pool in pools:
        await pool.close()
        assert pool.open == 0


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost and 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


@pytest.fixture
def tls(certificate: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts for a server and for a client that trusts it."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    client = ssl.create_default_context(cafile=str(certificate))
    return server, client
