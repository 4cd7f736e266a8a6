"""What a service manager hears, over real datagram sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import secrets
import socket
import time
from typing import TYPE_CHECKING, final

import pytest

from proxy.notify import ServiceManager

if TYPE_CHECKING:
    from collections.abc import Iterator


@final
class Listening:
    """A service manager's socket, under `name` as NOTIFY_SOCKET has it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Take everything that has come."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self.socket.recv(4096).decode())
        return messages


@pytest.fixture
def listening() -> Iterator[Listening]:
    listening = Listening(f"@tagproxy-test-{secrets.token_hex(8)}")
    with listening.socket:
        yield listening


@contextlib.contextmanager
def manager_at(name: str, **environ: str) -> Iterator[ServiceManager]:
    manager = ServiceManager({"NOTIFY_SOCKET": name, **environ})
    try:
        yield manager
    finally:
        manager.close()


def say_everything(manager: ServiceManager) -> None:
    manager.ready()
    manager.reloading(5)
    manager.status("serving")
    manager.alive()
    manager.stopping()


def fill(listening: Listening) -> int:
    """Send to a socket until it takes no more; return how many it took."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        address = "\0" + listening.name[1:]
        for sent in range(100_000):
            try:
                other.sendto(b"WATCHDOG=1", address)
            except BlockingIOError:
                return sent
    raise AssertionError("it never filled")


def test_each_state_has_its_words(listening: Listening) -> None:
    with manager_at(listening.name) as manager:
        manager.ready()
        manager.reloading(1_234_567)
        manager.status("serving 3 accounts")
        manager.alive()
        manager.stopping()
    assert listening.heard() == [
        "READY=1",
        "RELOADING=1\nMONOTONIC_USEC=1234567",
        "STATUS=serving 3 accounts",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_a_socket_can_be_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    at_path = Listening(str(tmp_path_factory.mktemp("n") / "s"))
    with at_path.socket, manager_at(at_path.name) as manager:
        manager.ready()
        assert at_path.heard() == ["READY=1"]


def test_a_status_is_one_line_and_short(listening: Listening) -> None:
    """A line of its own would be another variable."""
    with manager_at(listening.name) as manager:
        manager.status("one\nSTOPPING=1\r\n" + "x" * 10_000)
    (message,) = listening.heard()
    assert message.startswith("STATUS=one STOPPING=1 xxx")
    assert "\n" not in message
    assert len(message) < 1000


@pytest.mark.parametrize(
    "name",
    ["", "@", "relative/path", "vsock:2:1234", "/no/such/socket", "/dev/null", "/" + "x" * 300],
)
def test_nothing_is_raised_where_nobody_listens(name: str) -> None:
    with manager_at(name, WATCHDOG_USEC="1000000") as manager:
        say_everything(manager)


async def test_without_a_manager_nothing_is_opened_and_nobody_attended() -> None:
    files = len(os.listdir("/proc/self/fd"))
    manager = ServiceManager({"WATCHDOG_USEC": "1000000"})
    assert len(os.listdir("/proc/self/fd")) == files
    say_everything(manager)
    assert manager.watchdog_interval_s is None
    await asyncio.wait_for(manager.attend(), 5)


def test_a_manager_that_went_away_is_told_when_it_is_back() -> None:
    name = f"@tagproxy-test-{secrets.token_hex(8)}"
    first = Listening(name)
    with manager_at(name) as manager:
        first.socket.close()
        manager.ready()
        manager.status("serving")
        with Listening(name).socket as socket_again:
            manager.alive()
            assert socket_again.recv(4096) == b"READY=1\nSTATUS=serving\nWATCHDOG=1"


def test_a_full_socket_loses_no_state(listening: Listening) -> None:
    """Without READY=1 systemd would end a service that serves."""
    with manager_at(listening.name) as manager:
        taken = fill(listening)
        started = time.monotonic()
        manager.reloading(7)
        manager.ready()
        for _ in range(1000):
            manager.alive()
        assert time.monotonic() - started < 1  # it never waits
        assert len(listening.heard()) == taken
        manager.alive()
        manager.alive()
        assert listening.heard() == [
            "RELOADING=1\nMONOTONIC_USEC=7\nREADY=1\nWATCHDOG=1",
            "WATCHDOG=1",
        ]


async def test_what_a_full_socket_did_not_take_is_said_again_without_a_watchdog(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.notify._AGAIN_S", 0.01)
    with manager_at(listening.name) as manager:
        fill(listening)
        manager.ready()
        attending = asyncio.create_task(manager.attend())
        listening.heard()
        loop = asyncio.get_running_loop()
        said = await asyncio.wait_for(loop.sock_recv(listening.socket, 4096), 5)
        assert said == b"READY=1"
        attending.cancel()
    assert listening.heard() == []


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 400}, 43_200.0),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({}, None),
    ],
)
def test_the_interval_is_half_of_what_the_watchdog_allows(
    environ: dict[str, str], interval_s: float | None
) -> None:
    with manager_at("@nobody", **environ) as manager:
        assert manager.watchdog_interval_s == interval_s


async def test_the_watchdog_hears_that_the_loop_turns_until_the_end(listening: Listening) -> None:
    loop = asyncio.get_running_loop()
    with manager_at(listening.name, WATCHDOG_USEC="20000") as manager:
        attending = asyncio.create_task(manager.attend())
        for _ in range(3):
            heard = await asyncio.wait_for(loop.sock_recv(listening.socket, 4096), 5)
            assert heard == b"WATCHDOG=1"
        attending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await attending
        listening.heard()
    assert listening.heard() == []


async def test_the_watchdog_hears_nothing_of_a_loop_that_is_stuck(listening: Listening) -> None:
    with manager_at(listening.name, WATCHDOG_USEC="10000") as manager:
        attending = asyncio.create_task(manager.attend())
        await asyncio.sleep(0)
        listening.heard()
        time.sleep(0.1)  # noqa: ASYNC251 - the loop is stuck for 20 intervals
        assert listening.heard() == []
        attending.cancel()


def test_after_its_end_nothing_is_told(listening: Listening) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": listening.name})
    manager.close()
    manager.close()
    say_everything(manager)
    assert listening.heard() == []


def test_a_process_out_of_files_can_still_tell(listening: Listening) -> None:
    with manager_at(listening.name) as manager:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            manager.alive()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert listening.heard() == ["WATCHDOG=1"]


def test_a_start_out_of_files_is_not_ended_by_this() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        manager = ServiceManager({"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "1000000"})
        say_everything(manager)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert manager.watchdog_interval_s is None
