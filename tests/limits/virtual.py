"""Virtual time for limiter tests: an event loop that jumps to its next timer, never waits."""

from __future__ import annotations

import asyncio
import functools
import math
import selectors
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, ParamSpec

from proxy.limits.limiter import Limiter
from proxy.model import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from proxy.limits.limiter import Bucket, Ticket

P = ParamSpec("P")

MS = 1_000_000
S = 1_000_000_000
SUBJECT = ("www.okx.com", "1001", False)
START_WALL_MS = 1_760_000_000_000


class _Jump(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing left to happen: somebody waits for ever")
        self.loop.now_ns += self.loop.turn_ns
        if timeout > 0:
            self.loop.now_ns += max(1, round(timeout * 1e9))
        # A timer fires when its time has come, not a nanosecond before: time stands still between.
        self.loop._clock_resolution = math.ulp(self.loop.time())
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time stands still while anything can run, then jumps to the next timer."""

    _clock_resolution: float

    def __init__(self, now_ns: int = 1000 * S) -> None:
        selector = _Jump()
        selector.loop = self
        self.now_ns = now_ns
        self.turn_ns = 0  # what one turn of the loop takes
        super().__init__(selector)

    def time(self) -> float:
        return self.now_ns / 1e9


class LoopClock:
    """The running virtual loop's time; `wall_ms` runs along."""

    def monotonic_ns(self) -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return loop.now_ns

    def wall_ms(self) -> int:
        return START_WALL_MS + self.monotonic_ns() // MS


def virtual(scenario: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in virtual time. It fails when it leaves a waiter that nothing wakes."""

    @functools.wraps(scenario)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = VirtualLoop()
        try:
            loop.run_until_complete(scenario(*args, **kwargs))
        finally:
            loop.run_until_complete(_end(asyncio.all_tasks(loop)))
            loop.close()

    return run


async def _end(left: set[asyncio.Task[Any]]) -> None:
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def now_ns() -> int:
    return LoopClock().monotonic_ns()


async def until(at_ns: int) -> None:
    """Go on at `at_ns`, or a float's rounding later."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_at(at_ns / 1e9, future.set_result, None)
    await future


async def breathe() -> None:
    """Let everything run that can run at this instant."""
    for _ in range(5):
        await asyncio.sleep(0)


def user_pool(count: int, window_ns: int, name: str = "POST /api/v5/trade/order") -> Pool:
    return Pool(name, count, window_ns, ("user", "instrument"))


def shared_pool(count: int, window_ns: int, name: str = "GET /api/v5/market/ticker") -> Pool:
    return Pool(name, count, window_ns, ("ip",))


def new_limiter(jitter_ns: int = 10 * MS, waiting_max: int = 1000) -> Limiter:
    return Limiter(LoopClock(), jitter_ns=jitter_ns, waiting_max_per_account=waiting_max)


def one(limiter: Limiter, bucket: Bucket, units: int = 1, priority: int = 1) -> Ticket:
    return limiter.ticket("account", priority, [(bucket, units)])


def spend(limiter: Limiter, bucket: Bucket, units: int = 1) -> None:
    """Send and answer one request at this instant."""
    ticket = one(limiter, bucket, units)
    assert ticket.take()
    ticket.sent(now_ns())
    ticket.answered(now_ns(), 0)


class ExchangeWindow:
    """What a strict exchange sees of one limit: (arrival, units)."""

    def __init__(self, count: int, window_ns: int) -> None:
        self.count = count
        self.window_ns = window_ns
        self.arrivals: list[tuple[int, int]] = []

    def most_in_any_window(self) -> int:
        """The most units in any half-open window, wherever it begins.

        Every fixed window is one of these, whatever instant it is anchored at.
        """
        arrivals = sorted(self.arrivals)
        sums = [0]
        for _, units in arrivals:
            sums.append(sums[-1] + units)
        most = 0
        for index, (at_ns, _) in enumerate(arrivals):
            end = bisect_left(arrivals, (at_ns + self.window_ns,))
            most = max(most, sums[end] - sums[index])
        return most

    def most_in_windows_from_first(self) -> int:
        """The most units in fixed windows that begin with the first request after the last."""
        begin_ns, units_in, most = -self.window_ns, 0, 0
        for at_ns, units in sorted(self.arrivals):
            if at_ns >= begin_ns + self.window_ns:
                begin_ns, units_in = at_ns, 0
            units_in += units
            most = max(most, units_in)
        return most

    def most_in_grid(self, anchor_ns: int) -> int:
        """The most units in back-to-back windows, one of which begins at `anchor_ns`."""
        cells: dict[int, int] = {}
        for at_ns, units in self.arrivals:
            cell = (at_ns - anchor_ns) // self.window_ns
            cells[cell] = cells.get(cell, 0) + units
        return max(cells.values(), default=0)
