"""The whole process, in this one: what a reload puts in force, and what it tells of itself."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import os
import socket
from typing import TYPE_CHECKING, Any, Final

import pytest

from proxy import app
from proxy import config as configuration
from proxy.accounts.database import Database
from proxy.accounts.enrolment import Enrolment, NewAccount
from proxy.accounts.store import Store
from proxy.accounts.vault import Vault
from proxy.app import Service
from proxy.clock import SystemClock
from proxy.exchanges import registry
from proxy.logs import RequestLog
from proxy.model import KeyTriple
from tests.e2e.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PATIENCE_S: Final = 8.0
KEYS: Final = {name: base64.b64encode(name.encode() * 32).decode() for name in "ABC"}


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """A service sets the collector up for a process of its own."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class World:
    """A service before an exchange that is not there, and who watches it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "proxy.toml"
        self.port, self.admin = free_port(), free_port()
        self.watcher = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.watcher.bind(str(directory / "notify"))
        self.watcher.setblocking(False)
        self.read_end, self.write_end = os.pipe()
        self.written: dict[str, Any] = {}
        self.said = b""
        self.service: Service | None = None

    def write(self, **values: str) -> None:
        """Write the configuration; `values` go before what it was."""
        self.written |= values
        settings = {
            "listen": f"127.0.0.1:{self.port}",
            "admin": f"127.0.0.1:{self.admin}",
            "database": str(self.directory / "tagproxy.db"),
            "key": KEYS["A"],
            "code": "CODE",
            "more": "",
        } | self.written
        self.file.write_text(
            '[server]\nlisten = "{listen}"\ndrain_timeout = "1s"\n'
            '[admin]\nlisten = "{admin}"\n'
            '[storage]\nurl = "sqlite:///{database}"\nmaster_key = "{key}"\n'
            '[limits]\nmax_wait = "0s"\n'
            '[exchanges.okx]\nkind = "okx"\nrest_url = "http://127.0.0.1:1"\n'
            'broker_code = "{code}"\n{more}\n'.format_map(settings)
        )

    async def start(self) -> Service:
        environ = {"NOTIFY_SOCKET": str(self.directory / "notify")}
        config = configuration.load(self.file, environ, registry.exchanges())
        service = Service(config, environ=environ)
        await service.start()
        self.service = service
        return service

    async def reload(self) -> None:
        """Have it read again; return when it has said that it is ready."""
        assert self.service is not None
        assert self.told() in ([], ["READY"]), "nothing is under way"
        self.service.reload()
        told: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while "READY" not in told:
                await asyncio.sleep(0.001)
                told += self.told()
        assert told == ["RELOADING", "READY"]

    def told(self) -> list[str]:
        """What whoever watches it was told since the last time."""
        told = []
        with contextlib.suppress(BlockingIOError):
            while True:
                told.append(self.watcher.recv(4096).decode().partition("=")[0])
        return [name for name in told if name != "STATUS"]

    async def get(self, path: str, port: int = 0) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.admin)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE_S):
            answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]

    async def metric(self, name: str) -> float:
        text = (await self.get("/metrics"))[1]
        return float(next(line for line in text.splitlines() if line.startswith(name)).split()[1])

    async def worked(self) -> bool:
        return await self.metric("tagproxy_config_last_reload_successful ") == 1

    async def accepts(self, port: int) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def logged(self, words: str) -> dict[str, Any]:
        """Wait for a line with these words."""
        os.set_blocking(self.read_end, False)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(BlockingIOError):
                    self.said += os.read(self.read_end, 65536)
                for line in self.said.splitlines(keepends=True):
                    if line.endswith(b"\n") and words.encode() in line:
                        entry: dict[str, Any] = json.loads(line)
                        return entry
                await asyncio.sleep(0.01)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Its log goes into a pipe: a process's own stderr is pytest's here."""
    world = World(tmp_path)
    write_end = world.write_end
    monkeypatch.setattr(app, "RequestLog", lambda metrics: RequestLog(metrics, fd=write_end))
    world.write()
    yield world
    if world.service is not None:
        await world.service.stop()
    world.watcher.close()
    for end in (world.read_end, world.write_end):
        os.close(end)


async def test_it_says_when_it_serves_and_what_is_missing(world: World) -> None:
    service = await world.start()
    assert service.bot_address == ("127.0.0.1", world.port)
    assert service.admin_address == ("127.0.0.1", world.admin)
    assert world.told() == ["READY"]
    assert (await world.get("/readyz")) == (503, '["exchange okx cannot be reached"]')
    assert await world.worked()
    assert (await world.logged("serving"))["listen"] == f"127.0.0.1:{world.port}"
    world.service = None
    await service.stop()
    assert world.told() == ["STOPPING"]
    assert not await world.accepts(world.port)


async def test_ports_move(world: World) -> None:
    await world.start()
    old_port, old_admin = world.port, world.admin
    world.port, world.admin = free_port(), free_port()
    world.write()
    await world.reload()
    assert await world.worked()
    assert (await world.get("/okx/x", world.port))[0] == 401
    async with asyncio.timeout(PATIENCE_S):
        while await world.accepts(old_port) or await world.accepts(old_admin):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"code": "not a code"}, "exchanges.okx.broker_code: "),
        ({"more": 'rules = "none.toml"'}, "exchanges.okx.rules: "),
        ({"more": "[sever]"}, "sever: unknown key"),
    ],
)
async def test_a_bad_configuration_is_told_of_and_changes_nothing(
    world: World, values: dict[str, str], fault: str
) -> None:
    await world.start()
    before = await world.metric("tagproxy_config_last_reload_success_timestamp_seconds")
    world.write(**values, listen=f"127.0.0.1:{free_port()}")
    await world.reload()
    assert not await world.worked()
    after = await world.metric("tagproxy_config_last_reload_success_timestamp_seconds")
    assert after == before
    line = await world.logged("stays as it was")
    assert fault in line["message"]
    assert line["level"] == "error"
    assert await world.accepts(world.port)
    world.written = {}
    world.write()
    await world.reload()
    assert await world.worked()


async def test_a_fault_of_ours_counts_as_a_reload_that_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for the reload to end is not left waiting, and the next one works."""
    await world.start()

    def broken(*_: object) -> None:
        raise RuntimeError("secret words")

    with monkeypatch.context() as patched:
        patched.setattr(configuration, "load", broken)
        await world.reload()
    assert not await world.worked()
    assert "secret words" not in json.dumps(await world.logged("background work failed"))
    await world.reload()
    assert await world.worked()


async def enrol(world: World, name: str, key: str) -> None:
    """Have one account and no other, sealed under a master key."""
    database = await Database.open(f"sqlite:///{world.directory / 'tagproxy.db'}")
    store = Store(database)
    await store.remove([row.id for row in await store.find()])
    enrolment = Enrolment(store, Vault([base64.b64decode(KEYS[key])]), SystemClock())
    await enrolment.add(NewAccount(name, "okx"), KeyTriple(name, "secret", "words"), None)
    await database.close()


async def test_master_keys_that_open_nothing_are_refused(world: World) -> None:
    await enrol(world, "alice", "A")
    await world.start()
    assert await world.metric("tagproxy_accounts ") == 1
    world.write(key=KEYS["B"], listen=f"127.0.0.1:{free_port()}")
    await world.reload()
    assert not await world.worked()
    assert "master key" in (await world.logged("stays as it was"))["message"]
    assert await world.accepts(world.port)


async def test_master_keys_of_another_database_wait_for_the_restart_with_it(world: World) -> None:
    await enrol(world, "alice", "A")
    await world.start()
    world.write(key=KEYS["B"], database=str(world.directory / "other.db"), code="NEW")
    await world.reload()
    assert await world.worked()
    assert (await world.logged("needs a restart"))["key"] == "storage.url"
    assert await world.metric("tagproxy_accounts ") == 1


async def test_the_same_master_keys_are_not_tried_again(world: World) -> None:
    """All may be sealed anew under another by now: the file is still to be told of that one."""
    await enrol(world, "alice", "A")
    await world.start()
    await enrol(world, "bob", "B")
    world.write(code="NEW")
    await world.reload()
    assert await world.worked()
    world.write(key=KEYS["B"])
    await world.reload()
    assert await world.worked()
    assert await world.metric("tagproxy_accounts ") == 1


async def test_nothing_is_read_any_more_once_it_stops(world: World) -> None:
    service = await world.start()
    world.service = None
    world.write(listen=f"127.0.0.1:{free_port()}")
    stopping = asyncio.ensure_future(service.stop())
    await asyncio.sleep(0)
    service.reload()
    await stopping
    assert "RELOADING" not in world.told()
