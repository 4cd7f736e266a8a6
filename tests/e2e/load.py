"""Many bots at once: more orders than the limit allows, and what of it was used at the exchange."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, final
from urllib.parse import urlsplit

import aiohttp

from tests.e2e.bot import ORDER, Answered, Bot
from tests.e2e.harness import Simulator

ORDER_PATH: Final = "/api/v5/trade/order"
RETRY_S: Final = 0.05
_DIALS: Final = 200  # connections opened at a time
SECOND_NS: Final = 1_000_000_000


@final
@dataclass
class Flood:
    """Workers that send one order after another, and how they were answered; one that was
    refused by the proxy pauses for `pause_s`."""

    pause_s: float = 0.0
    stop_at: float = 0.0  # monotonic, seconds
    answers: Counter[str] = field(default_factory=Counter)  # by slug; "ok"; "cut"
    _names: Iterator[int] = field(default_factory=itertools.count)

    async def run(
        self, lanes: Iterable[tuple[Bot, dict[str, Any]]], seconds: float, workers: int
    ) -> None:
        """Keep `workers` requests of each lane (a bot and what its orders say) under way."""
        self.stop_at = time.monotonic() + seconds
        timeout = aiohttp.ClientTimeout(total=12)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(
                *(self._work(session, bot, order) for bot, order in lanes for _ in range(workers))
            )

    async def _work(self, session: aiohttp.ClientSession, bot: Bot, order: dict[str, Any]) -> None:
        while time.monotonic() < self.stop_at:
            content = order | {"clOrdId": f"flood{next(self._names)}"}
            try:
                answer = await bot.send(session, "POST", ORDER_PATH, content)
            except aiohttp.ClientError:
                self.answers["cut"] += 1
                await asyncio.sleep(RETRY_S)
                continue
            self.answers[answer.slug or ("ok" if answer.code == "0" else answer.code)] += 1
            if answer.slug and self.pause_s:
                await asyncio.sleep(self.pause_s)


@final
@dataclass
class Lane:
    """What one bucket of the exchange saw."""

    count: int
    span_ns: int
    arrivals: list[tuple[int, int, bool]]  # at_ns, units, whether it was within the limit

    @property
    def breaches(self) -> int:
        return sum(not within for _, _, within in self.arrivals)

    @property
    def accepted(self) -> int:
        return sum(units for _, units, within in self.arrivals if within)

    def use(self, since_ns: int = 0, until_ns: int = 1 << 62) -> float:
        """The share of the allowed rate that was used between two instants, while there was more
        to send: how long so many whole windows may take, by how long they took."""
        at_ns = [at for at, _, within in self.arrivals if within and since_ns <= at < until_ns]
        windows = (len(at_ns) - 1) // self.count
        return windows * self.span_ns / (at_ns[windows * self.count] - at_ns[0]) if windows else 0.0


def order_of(instrument: str) -> dict[str, Any]:
    """Return a small order for an instrument of the simulator's."""
    if instrument.endswith("-SWAP"):
        return ORDER | {"instId": instrument, "tdMode": "cross", "sz": "1", "px": "1"}
    return ORDER | {"instId": instrument, "sz": "1", "px": "1"}


def lanes_at(simulator: Simulator, path: str) -> dict[str, Lane]:
    """Return the buckets of one endpoint, by name."""
    buckets = simulator.control("GET", "breaches")["buckets"]
    lanes = {}
    for name, told in buckets.items():
        if name.startswith(f"{path}#"):
            arrivals = simulator.control("GET", f"arrivals?bucket={_quoted(name)}")
            lanes[name] = Lane(told["limit"], told["span_ns"], [tuple(each) for each in arrivals])
    return lanes


def _quoted(name: str) -> str:
    return name.replace("#", "%23").replace(" ", "%20")


@final
@dataclass
class Burst:
    """Requests that all leave at one moment, each on a connection of its own that is open by
    then; how they were answered, and how long after that moment."""

    answers: list[Answered] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    async def run(self, bot: Bot, requests: Callable[[], list[bytes]]) -> None:
        """Send `requests()`, made and signed when everybody is connected."""
        url = urlsplit(bot.base_url)
        count = len(requests())
        ends: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for _ in range(0, count, _DIALS):
            dials = min(_DIALS, count - len(ends))
            ends += await asyncio.gather(
                *(asyncio.open_connection(url.hostname, url.port) for _ in range(dials))
            )
        signed = requests()
        began = time.monotonic()
        for (_, writer), request in zip(ends, signed, strict=True):
            writer.write(request)
        await asyncio.gather(*(self._read(reader, began) for reader, _ in ends))
        for _, writer in ends:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, began: float) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers["content-length"]))
        self.seconds.append(time.monotonic() - began)
        self.answers.append(Answered(int(first.split()[1]), headers, body))
