"""The two clocks. Nobody else reads time; tests hand in clocks of their own."""

from __future__ import annotations

import time
from typing import Protocol, final


class Clock(Protocol):
    """Monotonic time for windows and deadlines, wall time for signatures."""

    def monotonic_ns(self) -> int: ...

    def wall_ms(self) -> int: ...


@final
class SystemClock:
    """The machine's clocks. `monotonic_ns` is the clock of asyncio's `loop.time()`."""

    __slots__ = ()

    monotonic_ns = staticmethod(time.monotonic_ns)

    @staticmethod
    def wall_ms() -> int:
        return time.time_ns() // 1_000_000
