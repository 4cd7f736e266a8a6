"""The shortest way to an exchange and back, remembered for five to ten minutes."""

from __future__ import annotations

from typing import Final, final

from proxy.net.deadlines import NEVER

_WINDOW_NS: Final = 300_000_000_000


@final
class RoundTrips:
    """A rolling minimum in two windows."""

    __slots__ = ("_before_ns", "_least_ns", "_until_ns", "least_ns")

    def __init__(self) -> None:
        self._least_ns = NEVER
        self._before_ns = NEVER
        self._until_ns = 0
        self.least_ns = 0  # the shortest of late; 0 before the first

    def add(self, took_ns: int, now_ns: int) -> None:
        """Remember one. `now_ns` is monotonic."""
        if now_ns >= self._until_ns:
            recent = now_ns - self._until_ns < _WINDOW_NS
            self._before_ns = self._least_ns if recent else NEVER
            self._least_ns = NEVER
            self._until_ns = now_ns + _WINDOW_NS
        if took_ns < self._least_ns:
            self._least_ns = took_ns
            self.least_ns = min(took_ns, self._before_ns)
