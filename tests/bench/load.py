"""The load: keep-alive connections that send prepared requests and check every answer.

Closed loop (each connection sends when its answer is in) finds the cost at saturation; open loop
(Poisson arrivals, whatever the answers do) finds the latency. Nothing is parsed but the end.
"""

from __future__ import annotations

import asyncio
import gc
import random
import selectors
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

Address = tuple[str, int]

_GOOD_START: Final = b"HTTP/1.1 200"
_LENGTH: Final = b"content-length:"


class LoadError(Exception):
    """An answer was wrong or missing; the text quotes it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a load saw: `latencies_us` is sorted."""

    requests: int
    seconds: float
    latencies_us: list[float]

    def percentile_us(self, percent: float) -> float:
        """The smallest latency that `percent` of the requests did not exceed."""
        index = min(len(self.latencies_us) - 1, int(len(self.latencies_us) * percent / 100))
        return self.latencies_us[index]


class _Writer(Protocol):
    """What is used of a transport; uvloop's has no base class in common with asyncio's."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class _Channel(asyncio.Protocol):
    """One keep-alive connection with at most one request on it."""

    def __init__(self, accepted: bytes, answered: Callable[[_Channel, int], None]) -> None:
        self._accepted = accepted
        self._answered = answered
        self._began_ns = 0  # 0: nothing is expected
        self._buffer = b""
        self._transport: _Writer | None = None
        self.error = ""

    def connection_made(self, transport: _Writer) -> None:  # type: ignore[override]
        self._transport = transport

    def send(self, request: bytes, began_ns: int) -> None:
        assert self._transport is not None
        self._began_ns = began_ns
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if not _whole(data):
            self._buffer = data
            return
        self._buffer = b""
        if not data.startswith(_GOOD_START) or data.find(self._accepted) < 0:
            self.error = data[:600].decode("utf-8", "replace")
        began_ns, self._began_ns = self._began_ns, 0
        self._answered(self, time.monotonic_ns() - began_ns)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._began_ns:
            self.error = f"connection lost: {exc}"
            self._answered(self, 0)

    def close(self) -> None:
        self._began_ns = 0
        if self._transport is not None:
            self._transport.close()


def _whole(data: bytes) -> bool:
    """Whether an answer is in to its last byte."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = data[:end].lower()
    at = head.find(_LENGTH)
    if at < 0:
        return data.endswith(b"0\r\n\r\n")
    line_end = head.find(b"\r\n", at)
    length = int(head[at + len(_LENGTH) : line_end if line_end >= 0 else None])
    return len(data) >= end + 4 + length


class _Load:
    """Channels, latencies, and the end: all answers in, or the first wrong one."""

    def __init__(self, accepted: bytes) -> None:
        self._accepted = accepted
        self._channels: list[_Channel] = []
        self._latencies_ns: list[int] = []
        self._owed = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, address: Address, connections: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, channel = await loop.create_connection(
                lambda: _Channel(self._accepted, self._answered), *address
            )
            self._channels.append(channel)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

    def _expect(self, answers: int) -> None:
        self._latencies_ns = []
        self._owed = answers
        self._done = asyncio.get_running_loop().create_future()

    async def _finish(self) -> list[float]:
        await self._done
        return sorted(latency / 1000 for latency in self._latencies_ns)

    def _answered(self, channel: _Channel, latency_ns: int) -> None:
        self._latencies_ns.append(latency_ns)
        self._owed -= 1
        if self._done.done():
            return
        if channel.error:
            self._done.set_exception(LoadError(channel.error))
        elif self._owed == 0:
            self._done.set_result(None)
        else:
            self._free(channel)

    def _free(self, channel: _Channel) -> None:
        raise NotImplementedError


class _ClosedLoop(_Load):
    """Every channel sends its next order as soon as it is free."""

    _orders: deque[bytes]

    async def run(self, orders: list[bytes]) -> Run:
        self._orders = deque(orders)
        self._expect(len(orders))
        began = time.monotonic()
        for channel in self._channels:
            self._free(channel)
        latencies = await self._finish()
        return Run(len(latencies), time.monotonic() - began, latencies)

    def _free(self, channel: _Channel) -> None:
        if self._orders:
            channel.send(self._orders.popleft(), time.monotonic_ns())


class _OpenLoop(_Load):
    """Every order has its moment; it goes out on any free channel, or waits for one."""

    def __init__(self, accepted: bytes) -> None:
        super().__init__(accepted)
        self._idle: list[_Channel] = []
        self._late: deque[tuple[bytes, int]] = deque()

    async def run(self, orders: list[bytes], per_second: float, seed: int) -> Run:
        self._idle = list(self._channels)
        self._expect(len(orders))
        loop = asyncio.get_running_loop()
        draw = random.Random(seed)
        began = at = loop.time() + 0.01
        for order in orders:
            at += draw.expovariate(per_second)
            loop.call_at(at, self._due, order, int(at * 1e9))
        latencies = await self._finish()
        return Run(len(latencies), loop.time() - began, latencies)

    def _due(self, order: bytes, due_ns: int) -> None:
        if self._idle:
            self._idle.pop().send(order, due_ns)
        else:
            self._late.append((order, due_ns))

    def _free(self, channel: _Channel) -> None:
        if self._late:
            channel.send(*self._late.popleft())
        else:
            self._idle.append(channel)


def closed_loop(
    address: Address,
    connections: int,
    accepted: bytes,
    rounds: Iterable[Callable[[], list[bytes]]],
    measured: Callable[[], AbstractContextManager[None]],
) -> Run:
    """Send what each round signs, one after the other; the first is to warm up, the others run
    within `measured`, and are returned as one. `accepted` stands in every answer.

    Raises `LoadError` on the first answer that is not an accepted order.
    """

    async def whole() -> Run:
        load = _ClosedLoop(accepted)
        await load.connect(address, connections)
        runs = []
        try:
            warm_up, *others = rounds
            await load.run(warm_up())
            for sign in others:
                orders = sign()
                with measured():
                    runs.append(await load.run(orders))
        finally:
            load.close()
        return Run(
            sum(run.requests for run in runs),
            sum(run.seconds for run in runs),
            sorted(latency for run in runs for latency in run.latencies_us),
        )

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return _undisturbed(lambda: runner.run(whole()))


def open_loop(
    address: Address,
    connections: int,
    accepted: bytes,
    orders: list[bytes],
    per_second: float,
    seed: int,
) -> Run:
    """Send `orders` as a Poisson process; latencies count from the moment each was due.

    Runs on select(): of the loops at hand it alone takes time-outs in microseconds.
    Raises `LoadError`.
    """

    async def whole() -> Run:
        load = _OpenLoop(accepted)
        await load.connect(address, connections)
        try:
            return await load.run(orders, per_second, seed)
        finally:
            load.close()

    selector = selectors.SelectSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        return _undisturbed(lambda: runner.run(whole()))


def _undisturbed(run: Callable[[], Run]) -> Run:
    """Without the collector: its pauses would be measured as latency."""
    gc.collect()
    gc.disable()
    try:
        return run()
    finally:
        gc.enable()
