"""A simulated MEXC in this process, on a clock that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from proxy.sim.mexc import Mexc
from proxy.sim.server import SimulatedExchange
from tests.sim.client import HandClock
from tests.sim.mexc.client import BOT, BOUND, BROKER, OTHER, READER, Client


@pytest.fixture
async def mexc(clock: HandClock) -> AsyncIterator[SimulatedExchange[Mexc]]:
    users = [BOT, OTHER, READER, BOUND, BROKER]
    exchange = SimulatedExchange(Mexc(users), clock=clock)
    exchange.exchange.change_account({"uid": BROKER.uid, "broker": True})
    await exchange.start()
    yield exchange
    await exchange.stop()


@pytest.fixture
async def client(mexc: SimulatedExchange[Mexc], clock: HandClock) -> AsyncIterator[Client]:
    host, port = mexc.address
    async with aiohttp.ClientSession() as session:
        yield Client(session, clock, f"http://{host}:{port}")
