"""The bots' ports over a change of configuration: what stays, what comes, what goes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from proxy.clock import SystemClock
from proxy.config import Address, ServerTable
from proxy.errors import CommandError
from proxy.model import Reply
from proxy.ports import Ports
from proxy.routes import Front
from tests.certificates import Pair, any_certificate, common_name, write_pair
from tests.e2e.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from proxy.model import Request

PATIENCE_S: Final = 5.0
DRAIN_S: Final = 2.0
REQUEST: Final = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PLAIN: Final = ServerTable()


_names: dict[int, tuple[str, Front]] = {}


def named(address: Address, name: str) -> Front:
    """Return a front that can be told from another on the same address."""
    front = Front(address)
    _names[id(front)] = (name, front)
    return front


class SaysItsFront:
    """In a pipeline's place: answers every request with its front's name."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def screen(self, request: Request) -> Reply:
        return Reply(200, b"", _names[id(self.front)][0].encode())

    def malformed(self, request: Request | None, status: int, what: str) -> Reply:
        return Reply(status, b"", what.encode(), close=True)


class Bot:
    """One connection of a bot's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self) -> str:
        """Send a request; return the answer's body, with "close" where the connection ends."""
        self.writer.write(REQUEST)
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = (await self.reader.readexactly(size)).decode()
            if b"connection: close" in head:
                assert await self.reader.read() == b""
                body += " close"
        return body

    async def last(self) -> str:
        """Return the answer with which the connection ends; it may not be the next."""
        for _ in range(100):
            body = await self.ask()
            if body.endswith(" close"):
                return body
        return "never"

    async def closed(self) -> bool:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read() == b""

    @property
    def certificate(self) -> str:
        return common_name(self.writer.get_extra_info("ssl_object"))


class World:
    """The ports, and bots that connect to them."""

    def __init__(self) -> None:
        self.ports = Ports(cast("Any", SaysItsFront), None, SystemClock())
        self.bots: list[Bot] = []

    async def bot(self, address: Address, *, tls: bool = False, said: bytes = b"") -> Bot:
        """Connect; `said` goes first, in clear."""
        options: dict[str, Any] = {"ssl": any_certificate()} if tls else {}
        bot = Bot(*await asyncio.open_connection(*address, **options))
        bot.writer.write(said)
        self.bots.append(bot)
        return bot

    async def refuses(self, address: Address) -> bool:
        """Whether nobody listens there."""
        try:
            await self.bot(address)
        except ConnectionRefusedError:
            return True
        return False


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    for bot in world.bots:
        bot.writer.transport.abort()
        with contextlib.suppress(OSError):
            await bot.writer.wait_closed()
    await world.ports.retire(0)
    await world.ports.drain(0)
    assert world.ports.connections == 0


def address() -> Address:
    return Address("127.0.0.1", free_port())


def secured(pair: Pair) -> ServerTable:
    return replace(PLAIN, tls_cert=pair.certificate, tls_key=pair.key)


# ---- what stays -----------------------------------------------------------------------------


async def test_each_front_is_served_on_its_address(world: World) -> None:
    shared, own = address(), address()
    await world.ports.open([named(shared, "shared"), named(own, "own")], PLAIN)
    assert world.ports.bound == [tuple(shared), tuple(own)]
    assert await (await world.bot(shared)).ask() == "shared"
    assert await (await world.bot(own)).ask() == "own"
    assert world.ports.connections == 2


async def test_a_connection_that_stays_is_served_by_the_new_front(world: World) -> None:
    at = address()
    await world.ports.open([named(at, "old")], PLAIN)
    bot = await world.bot(at)
    assert await bot.ask() == "old"
    await world.ports.open([named(at, "new")], PLAIN)
    await world.ports.retire(DRAIN_S)
    assert await bot.ask() == "new"
    assert await (await world.bot(at)).ask() == "new"


async def test_ports_that_stay_take_new_maxima_on(world: World) -> None:
    at = address()
    await world.ports.open([named(at, "old")], PLAIN)
    bot = await world.bot(at)
    assert await bot.ask() == "old"
    await world.ports.open([named(at, "new")], replace(PLAIN, max_connections=1))
    assert await bot.ask() == "new"
    second = await world.bot(at)
    second.writer.write(REQUEST)
    assert (await second.reader.readline()).split()[1] == b"503"


async def test_two_fronts_can_change_places(world: World) -> None:
    one, other = address(), address()
    await world.ports.open([named(one, "shared"), named(other, "own")], PLAIN)
    bot = await world.bot(other)
    assert await bot.ask() == "own"
    await world.ports.open([named(other, "shared"), named(one, "own")], PLAIN)
    assert world.ports.bound == [tuple(other), tuple(one)]
    assert await bot.ask() == "shared"


# ---- what goes ------------------------------------------------------------------------------


async def test_a_port_that_goes_lets_each_bot_have_one_more_answer(world: World) -> None:
    """A bot that were cut off while it is idle could be sending just then."""
    stays, goes = address(), address()
    await world.ports.open([named(stays, "shared"), named(goes, "own")], PLAIN)
    bot = await world.bot(goes)
    assert await bot.ask() == "own"
    await world.ports.open([named(stays, "shared")], PLAIN)
    assert world.ports.connections == 1, "it is still counted"
    retiring = asyncio.ensure_future(world.ports.retire(DRAIN_S))
    assert await bot.last() == "own close"
    await retiring
    assert await world.refuses(goes)
    assert world.ports.connections == 0


async def test_a_bot_that_says_nothing_more_is_let_go_in_the_end(world: World) -> None:
    stays, goes = address(), address()
    await world.ports.open([named(stays, "shared"), named(goes, "own")], PLAIN)
    bot = await world.bot(goes)
    assert await bot.ask() == "own"
    await world.ports.open([named(stays, "shared")], PLAIN)
    await world.ports.retire(0.05)
    assert await bot.closed()


async def test_the_end_ends_ports_that_are_going_too(world: World) -> None:
    stays, goes = address(), address()
    await world.ports.open([named(stays, "shared"), named(goes, "own")], PLAIN)
    bots = [await world.bot(stays), await world.bot(goes)]
    for bot in bots:
        await bot.ask()
    await world.ports.open([named(stays, "shared")], PLAIN)
    world.ports.stop_accepting()
    assert await world.refuses(stays)
    await world.ports.drain(DRAIN_S)
    for bot in bots:
        assert await bot.closed()


# ---- what cannot be had ---------------------------------------------------------------------


async def test_a_port_that_is_taken_changes_nothing(world: World) -> None:
    stays, fresh = address(), address()
    await world.ports.open([named(stays, "old")], PLAIN)
    bot = await world.bot(stays)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    taken = Address(*server.sockets[0].getsockname())
    fronts = [named(each, "new") for each in (stays, fresh, taken)]
    with pytest.raises(CommandError, match=f"cannot listen on {taken}: "):
        await world.ports.open(fronts, replace(PLAIN, max_connections=1))
    server.close()
    assert await bot.ask() == "old"
    assert await world.refuses(fresh)
    assert await (await world.bot(stays)).ask() == "old"
    assert world.ports.bound == [tuple(stays)]
    await world.ports.retire(DRAIN_S)


async def test_ports_given_up_for_tls_come_back_where_another_is_taken(
    world: World, tmp_path: Path
) -> None:
    stays = address()
    await world.ports.open([named(stays, "old")], PLAIN)
    bot = await world.bot(stays)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    taken = Address(*server.sockets[0].getsockname())
    with pytest.raises(CommandError):
        await world.ports.open(
            [named(stays, "new"), named(taken, "new")],
            secured(write_pair(tmp_path, "any")),
        )
    server.close()
    assert await bot.ask() == "old"
    assert await (await world.bot(stays)).ask() == "old"


async def test_a_certificate_that_cannot_be_used_changes_nothing(
    world: World, tmp_path: Path
) -> None:
    at = address()
    pair = write_pair(tmp_path, "good")
    await world.ports.open([named(at, "old")], secured(pair))
    pair.key.write_text("no key")
    with pytest.raises(CommandError, match="server"):
        await world.ports.open([named(at, "new")], secured(pair))
    bot = await world.bot(at, tls=True)
    assert (bot.certificate, await bot.ask()) == ("good", "old")


# ---- TLS ------------------------------------------------------------------------------------


async def test_tls_is_switched_on_and_off(world: World, tmp_path: Path) -> None:
    at = address()
    await world.ports.open([named(at, "plain")], PLAIN)
    plain = await world.bot(at)
    assert await plain.ask() == "plain"
    await world.ports.open([named(at, "tls")], secured(write_pair(tmp_path, "any")))
    encrypted = await world.bot(at, tls=True)
    assert await encrypted.ask() == "tls"
    retiring = asyncio.ensure_future(world.ports.retire(DRAIN_S))
    assert await plain.last() == "plain close"
    await retiring
    await world.ports.open([named(at, "plain again")], PLAIN)
    assert await (await world.bot(at)).ask() == "plain again"
    retiring = asyncio.ensure_future(world.ports.retire(DRAIN_S))
    assert await encrypted.last() == "tls close"
    await retiring


@pytest.mark.parametrize("kinds", [("ec", "ec", "ec"), ("ec", "rsa", "ec"), ("rsa", "ec", "rsa")])
async def test_a_renewed_certificate_is_shown_to_newcomers_only(
    world: World, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    """Whatever its kind of key: a context holds one of each kind, and may go on with the older."""
    at = address()
    bots = []
    for number, kind in enumerate(kinds):
        pair = write_pair(tmp_path, f"certificate {number}", kind=kind)
        await world.ports.open([named(at, str(number))], secured(pair))
        bots.append(await world.bot(at, tls=True))
        assert bots[-1].certificate == f"certificate {number}"
        await world.ports.retire(DRAIN_S)
        for bot in bots:
            assert await bot.ask() == str(number), "no connection was closed"


# ---- PROXY headers --------------------------------------------------------------------------


async def test_whose_headers_are_believed_changes(world: World) -> None:
    at = address()
    header = b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n"
    behind = replace(PLAIN, proxy_protocol=True, trusted_proxies=(ip_network("127.0.0.0/8"),))
    await world.ports.open([named(at, "plain")], PLAIN)
    await world.ports.open([named(at, "behind")], behind)
    bot = await world.bot(at, said=header)
    assert await bot.ask() == "behind"
    elsewhere = replace(behind, trusted_proxies=(ip_network("192.0.2.0/24"),))
    await world.ports.open([named(at, "elsewhere")], elsewhere)
    with contextlib.suppress(ConnectionError):
        assert await (await world.bot(at, said=header)).closed()
    assert await bot.ask() == "behind", "an older connection goes by what was believed then"
    retiring = asyncio.ensure_future(world.ports.retire(DRAIN_S))
    assert await bot.last() == "behind close"
    await retiring
