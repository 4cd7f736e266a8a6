"""Many bots at once: more orders than the limit allows, and what of it was used at the exchange."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Final, final
from urllib.parse import urlsplit

import aiohttp

from tests.e2e.bot import ORDER, Answered, Bot, Caller, Signed, Triple
from tests.e2e.harness import BackDoor

ORDER_PATH: Final = "/api/v5/trade/order"
RETRY_S: Final = 0.05
_DIALS: Final = 200  # connections opened at a time
SECOND_NS: Final = 1_000_000_000
_STRETCHES: Final = 100
_DONE: Final = ("", "0", "200", "200000")

Ask = Callable[[], tuple[str, str, Any]]  # method, target and content of a lane's next request


@final
@dataclass
class Flood:
    """Workers that send one request after another, and how they were answered; one that was
    refused by the proxy pauses for `pause_s`."""

    pause_s: float = 0.0
    stop_at: float = 0.0  # monotonic, seconds
    answers: Counter[str] = field(default_factory=Counter)  # by outcome, see `outcome`; "cut"
    _names: Iterator[int] = field(default_factory=itertools.count)

    async def run(
        self, lanes: Iterable[tuple[Bot, dict[str, Any]]], seconds: float, workers: int
    ) -> None:
        """Keep `workers` orders of each lane (a bot of OKX and what its orders say) under way."""
        await self.rush(
            [(bot, partial(self._order, order)) for bot, order in lanes], seconds, workers
        )

    def _order(self, order: dict[str, Any]) -> tuple[str, str, Any]:
        return "POST", ORDER_PATH, order | {"clOrdId": f"flood{next(self._names)}"}

    async def rush(self, lanes: Iterable[tuple[Caller, Ask]], seconds: float, workers: int) -> None:
        """Keep `workers` requests of each lane (a bot and what it asks) under way."""
        self.stop_at = time.monotonic() + seconds
        timeout = aiohttp.ClientTimeout(total=12)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(
                *(self._work(session, bot, ask) for bot, ask in lanes for _ in range(workers))
            )

    async def _work(self, session: aiohttp.ClientSession, bot: Caller, ask: Ask) -> None:
        while time.monotonic() < self.stop_at:
            try:
                answer = await bot.send(session, *ask())
            except aiohttp.ClientError:
                self.answers["cut"] += 1
                await asyncio.sleep(RETRY_S)
                continue
            self.answers[outcome(answer)] += 1
            if answer.slug and self.pause_s:
                await asyncio.sleep(self.pause_s)


def outcome(answer: Answered) -> str:
    """Return why the proxy refused, "ok", or else the exchange's status and code."""
    content = answer.content if answer.body[:1] == b"{" else {}
    code = str(content.get("code", ""))
    done = answer.status == 200 and code in _DONE
    return answer.slug or ("ok" if done else f"{answer.status} {code}".strip())


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

    def share(self, since_ns: int = 0, until_ns: int = 1 << 62) -> float:
        """The same where requests have different weights, so that windows are not quite full:
        the mean of what any stretch of as many whole windows as there are took, by what it may
        take. A stretch begins in the first window."""
        seen = [
            (at, units)
            for at, units, within in self.arrivals
            if within and since_ns <= at < until_ns
        ]
        if not seen:
            return 0.0
        began_ns = seen[0][0]
        windows = (seen[-1][0] - began_ns) // self.span_ns - 1
        if windows < 1:
            return 0.0
        taken = 0
        for number in range(_STRETCHES):
            start_ns = began_ns + number * self.span_ns // _STRETCHES
            end_ns = start_ns + windows * self.span_ns
            taken += sum(units for at, units in seen if start_ns <= at < end_ns)
        return taken / (_STRETCHES * windows * self.count)


@final
@dataclass(frozen=True)
class Stranger(Caller):
    """A caller without a key."""

    triple: Triple = field(default_factory=partial(Triple, "", ""))
    ASKS: ClassVar = ""

    def signed(
        self, method: str, target: str, body: bytes = b"", *, now_ms: int | None = None
    ) -> Signed:
        return Signed(target, {}, body)

    def order(self, **changes: Any) -> Answered:
        raise NotImplementedError

    @staticmethod
    def fresh() -> Triple:
        raise NotImplementedError


def order_of(instrument: str) -> dict[str, Any]:
    """Return a small order for an instrument of the simulator's."""
    if instrument.endswith("-SWAP"):
        return ORDER | {"instId": instrument, "tdMode": "cross", "sz": "1", "px": "1"}
    return ORDER | {"instId": instrument, "sz": "1", "px": "1"}


def lanes_at(simulator: BackDoor, rule: str) -> dict[str, Lane]:
    """Return the buckets of one endpoint or pool, by name."""
    buckets = simulator.control("GET", "breaches")["buckets"]
    lanes = {}
    for name, told in buckets.items():
        if name.startswith((f"{rule}#", f"{rule} ")):
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
