"""The exchange's counting: exact sliding windows, and what a fixed window would have seen.

A window of length L ending at t holds what arrived after t - L. What is refused for rate is not
counted. https://www.okx.com/docs-v5/en/#overview-rate-limits
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, NamedTuple, final

if TYPE_CHECKING:
    from collections.abc import Iterable

ARRIVALS_KEPT: Final = 200_000


class Cost(NamedTuple):
    """Units of one bucket that a request uses up."""

    bucket: str
    limit: int
    span_ns: int
    units: int
    error: str = "50011"


@final
class Arrival(NamedTuple):
    """When a request reached a bucket, with how many units, and whether there was room."""

    at_ns: int
    units: int
    within: bool


@final
class Window:
    """One bucket: what arrived within its span, to the nanosecond."""

    __slots__ = ("_log", "_used", "arrivals")

    def __init__(self) -> None:
        self._log: deque[tuple[int, int]] = deque()
        self._used = 0
        self.arrivals: deque[Arrival] = deque(maxlen=ARRIVALS_KEPT)

    def used(self, now_ns: int, span_ns: int) -> int:
        """Return the units that arrived in the span that ends now."""
        while self._log and self._log[0][0] <= now_ns - span_ns:
            self._used -= self._log.popleft()[1]
        return self._used

    def add(self, now_ns: int, units: int) -> None:
        """Count `units` at this instant."""
        self._log.append((now_ns, units))
        self._used += units


@final
class Budgets:
    """Every bucket of the exchange, and how often each was overrun."""

    def __init__(self) -> None:
        self.windows: dict[str, Window] = {}
        self.breaches: Counter[str] = Counter()
        self.spans: dict[str, tuple[int, int]] = {}  # bucket -> limit, span_ns

    def charge(self, now_ns: int, costs: Iterable[Cost]) -> Cost | None:
        """Count all of `costs`, or none and return the first that has no room."""
        merged = _merged(costs)
        broken = None
        for cost in merged:
            window = self.windows.setdefault(cost.bucket, Window())
            self.spans[cost.bucket] = (cost.limit, cost.span_ns)
            if window.used(now_ns, cost.span_ns) + cost.units > cost.limit:
                self.breaches[cost.bucket] += 1
                broken = broken or cost
        for cost in merged:
            window = self.windows[cost.bucket]
            if broken is None:
                window.add(now_ns, cost.units)
            window.arrivals.append(Arrival(now_ns, cost.units, broken is None))
        return broken

    def clear(self) -> None:
        """Forget everything that arrived."""
        self.windows.clear()
        self.breaches.clear()
        self.spans.clear()


def _merged(costs: Iterable[Cost]) -> list[Cost]:
    by_bucket: dict[str, Cost] = {}
    for cost in costs:
        known = by_bucket.get(cost.bucket)
        units = cost.units + (known.units if known is not None else 0)
        by_bucket[cost.bucket] = cost._replace(units=units)
    return list(by_bucket.values())


def most_in_sliding(arrivals: Iterable[Arrival], span_ns: int) -> int:
    """Return the most units, refused ones included, that any window of the span held."""
    held: deque[Arrival] = deque()
    used = most = 0
    for arrival in sorted(arrivals):
        held.append(arrival)
        used += arrival.units
        while held[0].at_ns <= arrival.at_ns - span_ns:
            used -= held.popleft().units
        most = max(most, used)
    return most


def most_in_fixed(arrivals: Iterable[Arrival], span_ns: int, anchor_ns: int = 0) -> int:
    """Return the most units, refused ones included, in any window that starts at
    `anchor_ns` plus a whole number of spans."""
    counts: Counter[int] = Counter()
    for arrival in arrivals:
        counts[(arrival.at_ns - anchor_ns) // span_ns] += arrival.units
    return max(counts.values(), default=0)
