"""A simulator and a proxy in front of it, as processes; each test has its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bot import Bot, Triple
from tests.e2e.harness import Proxy, Simulator, proxy_in, simulator_in

StartProxy = Callable[..., Proxy]


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    with simulator_in(tmp_path / "exchange") as simulator:
        yield simulator


@pytest.fixture
def start_proxy(tmp_path: Path, simulator: Simulator) -> Iterator[StartProxy]:
    """Start proxies with `sections` of configuration merged over the usual ones."""
    with ExitStack() as stack:
        count = iter(range(100))

        def start(sections: dict[str, dict[str, Any]] | None = None, **options: Any) -> Proxy:
            directory = tmp_path / f"proxy{next(count)}"
            return stack.enter_context(proxy_in(directory, simulator, sections, **options))

        yield start


@pytest.fixture
def real(simulator: Simulator) -> Triple:
    """The key of a user of the exchange."""
    return simulator.add_user()


@pytest.fixture
def proxy(start_proxy: StartProxy, real: Triple) -> Proxy:
    """A running proxy with that user as `alice`, added before it started."""
    proxy = start_proxy(start=False)
    proxy.alice = proxy.add_user("alice", real)
    proxy.start()
    return proxy


@pytest.fixture
def bot(proxy: Proxy) -> Bot:
    """A bot of alice's, with issued credentials."""
    assert proxy.alice is not None
    return proxy.bot(proxy.alice)
