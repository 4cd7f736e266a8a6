"""Processes of ours for end-to-end tests, and how to wait for them and ask them things.

A process started here dies with the test that started it, and with the test runner however that
ends (PR_SET_PDEATHSIG). Every wait is bounded.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import itertools
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 12.0
STOP_S: Final = 12.0
_WORKERS_MAX: Final = 16
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS_MAX
# shuffled, for other runs on this machine do the same
_ports = itertools.cycle(random.sample(range(20_000 + _worker, 32_000, _WORKERS_MAX), 750))
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None)


def eventually(what: str, holds: Callable[[], bool], timeout_s: float = START_S) -> None:
    """Wait until `holds()`; fails the test with `what` when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.02)


def free_port() -> int:
    """Return a port that nobody listens on just now, and that nobody else will take.

    Each worker of pytest-xdist has its own, and they are below those that the kernel gives to
    connections.
    """
    return next(filter(_is_free, _ports))


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def fetch(
    url: str, method: str = "GET", content: Any = None, *, ca_file: Path | None = None
) -> tuple[int, bytes]:
    """Do one HTTP request; return status and body, whatever the status."""
    parts = urlsplit(url)
    where = (parts.hostname or "", parts.port)
    if ca_file is not None:
        context = ssl.create_default_context(cafile=ca_file)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            *where, timeout=5, context=context
        )
    else:
        connection = http.client.HTTPConnection(*where, timeout=5)
    with contextlib.closing(connection):
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, None if content is None else json.dumps(content))
        answer = connection.getresponse()
        return answer.status, answer.read()


@final
class Child:
    """One process of ours, its output in files."""

    def __init__(
        self, arguments: list[str], directory: Path, name: str, environ: Mapping[str, str]
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.stdout = directory / f"{name}.out"
        self.stderr = directory / f"{name}.err"
        with self.stdout.open("ab") as out, self.stderr.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "proxy", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=directory,
                env=environment(environ),
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one prctl call, no locks
            )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def end(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = STOP_S) -> int:
        """Signal the process and return its exit code; kills it when it does not end."""
        if self.running:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def must_run(self) -> None:
        """Fail the test if the process has ended."""
        if not self.running:
            tail = self.stderr.read_text("utf-8", "replace")[-2000:]
            raise AssertionError(f"ended with {self.process.returncode}: {tail}")


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a small environment: nothing of the developer's own, HOME least of all."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | dict(more or {})


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
