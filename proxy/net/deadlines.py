"""Time limits for everything that holds a socket: one coarse wheel and one loop timer.

A timer per request costs more than parsing it. Here setting a limit is a store and a comparison:
an entry stays where it was filed until that instant comes, and only then moves on to its real
deadline. Nothing ever expires early; it may expire up to one tick late.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from proxy.clock import Clock

NEVER: Final = 1 << 62
TICK_NS: Final = 20_000_000


class Deadline:
    """Something with a time limit; `expired` is called once the limit has passed.

    To set a limit: store `deadline_ns`, then call `Wheel.file` if it is before `filed_ns`.
    To lift it: store NEVER.
    """

    __slots__ = ("deadline_ns", "filed_ns")

    def __init__(self) -> None:
        self.deadline_ns = NEVER
        self.filed_ns = NEVER

    def expired(self, now_ns: int) -> None:
        """Act on the limit having passed. By now the entry has no limit any more."""
        raise NotImplementedError


@final
class Wheel:
    """Deadlines by tick. Idle while nothing is filed."""

    __slots__ = ("_buckets", "_clock", "_ticks", "_timer", "_timer_tick")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # A dict for its order and its O(1) removal.
        self._buckets: dict[int, dict[Deadline, None]] = {}
        self._ticks: list[int] = []  # heap of the keys of _buckets
        self._timer: asyncio.TimerHandle | None = None
        self._timer_tick = NEVER

    def limit(self, entry: Deadline, deadline_ns: int) -> None:
        """Let `entry` expire at `deadline_ns` (monotonic) unless it is changed before."""
        entry.deadline_ns = deadline_ns
        if deadline_ns < entry.filed_ns:
            self.file(entry)

    def file(self, entry: Deadline) -> None:
        """Put `entry` where its present `deadline_ns` will be noticed."""
        if entry.filed_ns != NEVER:
            self._unfile(entry)
        tick = -(-entry.deadline_ns // TICK_NS)
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            heappush(self._ticks, tick)
            if tick < self._timer_tick:
                self._schedule()
        bucket[entry] = None
        entry.filed_ns = tick * TICK_NS

    def discard(self, entry: Deadline) -> None:
        """Forget `entry`; it may be filed again later."""
        entry.deadline_ns = NEVER
        if entry.filed_ns != NEVER:
            self._unfile(entry)

    def run(self, now_ns: int) -> None:
        """Expire everything that is due at `now_ns`."""
        while self._ticks and self._ticks[0] * TICK_NS <= now_ns:
            for entry in self._buckets.pop(heappop(self._ticks)):
                entry.filed_ns = NEVER
                if entry.deadline_ns <= now_ns:
                    entry.deadline_ns = NEVER
                    self._expire(entry, now_ns)
                elif entry.deadline_ns != NEVER:
                    self.file(entry)
        self._schedule()

    def _unfile(self, entry: Deadline) -> None:
        bucket = self._buckets.get(entry.filed_ns // TICK_NS)
        if bucket is not None:
            bucket.pop(entry, None)
        entry.filed_ns = NEVER

    def _expire(self, entry: Deadline, now_ns: int) -> None:
        try:
            entry.expired(now_ns)
        except Exception as error:  # noqa: BLE001 - one entry's fault must not stop the others
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a time limit's action failed", "exception": error}
            )

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_tick = NEVER
        if self._ticks:
            self._timer_tick = self._ticks[0]
            wait_ns = self._timer_tick * TICK_NS - self._clock.monotonic_ns()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(wait_ns, 0) / 1e9, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._timer_tick = NEVER
        self.run(self._clock.monotonic_ns())
