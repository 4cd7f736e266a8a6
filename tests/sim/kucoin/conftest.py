"""A simulated KuCoin in this process, on a clock that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from proxy.sim.kucoin import SimulatedKucoin
from tests.sim.client import HandClock
from tests.sim.kucoin.client import BOUND, LIVE, READER, RICH, Client


@pytest.fixture
async def kucoin(clock: HandClock) -> AsyncIterator[SimulatedKucoin]:
    exchange = SimulatedKucoin([LIVE, READER, BOUND, RICH], clock=clock)
    await exchange.start()
    yield exchange
    await exchange.stop()


@pytest.fixture
async def client(kucoin: SimulatedKucoin, clock: HandClock) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, clock, kucoin)
