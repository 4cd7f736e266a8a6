"""What the real process tells a service manager, from its start to its end."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import final

import pytest

from tests.e2e.harness import Proxy, proxy_in, simulator_in
from tests.e2e.processes import fetch

pytestmark = pytest.mark.e2e


@final
class Manager:
    """A service manager that remembers what it hears."""

    def __init__(self) -> None:
        self.name = f"@tagproxy-test-{secrets.token_hex(8)}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + self.name[1:])
        self.socket.settimeout(12)

    def next(self) -> dict[str, str]:
        """Wait for the next message that is not the watchdog's."""
        while True:
            lines = self.socket.recv(4096).decode().split("\n")
            heard = dict(line.split("=", 1) for line in lines)
            if heard != {"WATCHDOG": "1"}:
                return heard

    def hears(self, name: str) -> str:
        """Wait for a variable and return its value."""
        while True:
            heard = self.next()
            if name in heard:
                return heard[name]


@pytest.fixture
def manager() -> Iterator[Manager]:
    manager = Manager()
    with manager.socket:
        yield manager


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with (
        simulator_in(tmp_path / "exchange") as simulator,
        proxy_in(tmp_path / "proxy", simulator, start=False) as proxy,
    ):
        yield proxy


def test_it_tells_that_it_serves_reloads_and_stops(proxy: Proxy, manager: Manager) -> None:
    proxy.start({"NOTIFY_SOCKET": manager.name}, wait=False)
    assert manager.hears("READY") == "1"
    with contextlib.closing(socket.create_connection(("127.0.0.1", proxy.port), 5)):
        pass  # bots can connect by then
    assert fetch(f"{proxy.admin_url}/healthz")[0] == 200

    before_us = time.monotonic_ns() // 1000
    proxy.child.process.send_signal(signal.SIGHUP)
    assert before_us <= int(manager.hears("MONOTONIC_USEC")) <= time.monotonic_ns() // 1000
    assert manager.hears("READY") == "1"

    proxy.configure({"server": {"nonsense": 1}})
    proxy.child.process.send_signal(signal.SIGHUP)
    assert manager.hears("RELOADING") == "1"
    assert manager.hears("READY") == "1"  # a refused configuration ends the reload too

    proxy.child.process.send_signal(signal.SIGTERM)
    assert manager.hears("STOPPING") == "1"
    assert proxy.child.end() == 0


def test_it_keeps_a_watchdog_quiet(proxy: Proxy, manager: Manager) -> None:
    proxy.start({"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "100000"})
    for _ in range(5):
        manager.socket.settimeout(5)
        assert b"=" in manager.socket.recv(4096)
    assert proxy.stop() == 0


def test_a_watchdog_that_ends_it_sees_where_it_stood(proxy: Proxy, manager: Manager) -> None:
    """systemd sends SIGABRT; the unit sets PYTHONFAULTHANDLER."""
    proxy.start({"NOTIFY_SOCKET": manager.name, "PYTHONFAULTHANDLER": "1"})
    assert proxy.child.end(signal.SIGABRT) == -signal.SIGABRT
    said = proxy.child.stderr.read_text("utf-8", "replace")
    assert "Fatal Python error: Aborted" in said
    assert os.path.join("proxy", "app.py") in said
