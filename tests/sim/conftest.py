"""A simulated OKX in this process, on a clock that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from proxy.sim.okx import SimulatedOkx
from tests.sim.client import BOUND, DEMO, LIVE, READER, Client, HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def okx(clock: HandClock) -> AsyncIterator[SimulatedOkx]:
    exchange = SimulatedOkx([LIVE, DEMO, READER, BOUND], clock=clock)
    await exchange.start()
    yield exchange
    await exchange.stop()


@pytest.fixture
async def client(okx: SimulatedOkx, clock: HandClock) -> AsyncIterator[Client]:
    host, port = okx.address
    async with aiohttp.ClientSession() as session:
        yield Client(session, clock, f"http://{host}:{port}")
