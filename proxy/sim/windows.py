"""The exchange's counting: sliding windows, and fixed ones that the first request opens.

A sliding window of length L ending at t holds what arrived after t - L. An anchored one opens with
the first request after the last has closed, and closes L later. What is refused for rate is not
counted in either.
https://www.okx.com/docs-v5/en/#overview-rate-limits
https://www.kucoin.com/docs-new/rate-limit
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final, NamedTuple, final

if TYPE_CHECKING:
    from collections.abc import Iterable

ARRIVALS_KEPT: Final = 200_000


class Cost(NamedTuple):
    """Units of one bucket that a request uses up.

    A bucket is called "RULE SUBJECT[ MORE]": the rule is "METHOD path#anything" or one word, the
    subject a uid (" demo" after it) or an address; see `named`.
    """

    bucket: str
    limit: int
    span_ns: int
    units: int
    error: str = ""  # for whoever charges: how this bucket refuses
    anchored: bool = False  # a fixed window, opened by the first request


class Left(NamedTuple):
    """What rate headers tell of a bucket."""

    limit: int
    remaining: int
    reset_ms: int  # until the window closes, or until the oldest of a sliding one leaves; >= 0


@final
class Arrival(NamedTuple):
    """When a request reached a bucket, with how many units, and whether there was room."""

    at_ns: int
    units: int
    within: bool


@final
class Window:
    """One bucket: what arrived within its span, to the nanosecond, counted both ways."""

    __slots__ = ("_log", "_opened_ns", "_since_opened", "_used", "arrivals")

    def __init__(self) -> None:
        self._log: deque[tuple[int, int]] = deque()
        self._used = 0
        self._opened_ns: int | None = None
        self._since_opened = 0
        self.arrivals: deque[Arrival] = deque(maxlen=ARRIVALS_KEPT)

    def used(self, now_ns: int, span_ns: int) -> int:
        """Return the units that arrived in the span that ends now."""
        while self._log and self._log[0][0] <= now_ns - span_ns:
            self._used -= self._log.popleft()[1]
        return self._used

    def used_since_opened(self, now_ns: int, span_ns: int) -> int:
        """Return the units of the fixed window that is open now."""
        if self._opened_ns is not None and self._opened_ns + span_ns <= now_ns:
            self._opened_ns, self._since_opened = None, 0
        return self._since_opened

    def add(self, now_ns: int, units: int) -> None:
        """Count `units` at this instant; what has left the span is gone by `used…` before."""
        self._log.append((now_ns, units))
        self._used += units
        if self._opened_ns is None:
            self._opened_ns = now_ns
        self._since_opened += units

    def reset_ns(self, now_ns: int, span_ns: int, *, anchored: bool) -> int:
        """Return how long until there is more room; 0 when nothing is used."""
        if anchored:
            return 0 if self._opened_ns is None else self._opened_ns + span_ns - now_ns
        return self._log[0][0] + span_ns - now_ns if self._log else 0


@final
class Budgets:
    """Every bucket of the exchange, and how often each was overrun.

    `breaches` counts what the exchange's own rule refused, and what a fixed window had room for
    though some span of its length did not: a caller that keeps to every span breaks neither.
    """

    def __init__(self) -> None:
        self.windows: dict[str, Window] = {}
        self.breaches: Counter[str] = Counter()
        self.rules: dict[str, Cost] = {}  # bucket -> as it was charged last

    def charge(self, now_ns: int, costs: Iterable[Cost]) -> Cost | None:
        """Count all of `costs`, or none and return the first that has no room."""
        merged = _merged(costs)
        broken = None
        for cost in merged:
            window = self.windows.setdefault(cost.bucket, Window())
            self.rules[cost.bucket] = cost
            slid = window.used(now_ns, cost.span_ns)
            fixed = window.used_since_opened(now_ns, cost.span_ns)
            if max(slid, fixed if cost.anchored else 0) + cost.units > cost.limit:
                self.breaches[cost.bucket] += 1
            if (fixed if cost.anchored else slid) + cost.units > cost.limit:
                broken = broken or cost
        for cost in merged:
            window = self.windows[cost.bucket]
            if broken is None:
                window.add(now_ns, cost.units)
            window.arrivals.append(Arrival(now_ns, cost.units, broken is None))
        return broken

    def left(self, now_ns: int, bucket: str) -> Left | None:
        """Return what is left of a bucket; None if nothing was ever charged to it."""
        cost = self.rules.get(bucket)
        if cost is None:
            return None
        window = self.windows[bucket]
        slid = window.used(now_ns, cost.span_ns)
        fixed = window.used_since_opened(now_ns, cost.span_ns)
        used = fixed if cost.anchored else slid
        reset_ns = window.reset_ns(now_ns, cost.span_ns, anchored=cost.anchored)
        return Left(cost.limit, max(cost.limit - used, 0), -(-reset_ns // 1_000_000))

    def clear(self) -> None:
        """Forget everything that arrived."""
        self.windows.clear()
        self.breaches.clear()
        self.rules.clear()


@final
class Till:
    """The budgets at the instant at which one request arrived."""

    __slots__ = ("_budgets", "_now_ns", "refused")

    def __init__(self, budgets: Budgets, now_ns: int) -> None:
        self._budgets = budgets
        self._now_ns = now_ns
        self.refused = False

    def charge(self, costs: Iterable[Cost]) -> Cost | None:
        """Count all of `costs`, or none and return the first that has no room."""
        broken = self._budgets.charge(self._now_ns, costs)
        self.refused = self.refused or broken is not None
        return broken

    def left(self, bucket: str) -> Left | None:
        """Return what is left of a bucket now; None if nothing was ever charged to it."""
        return self._budgets.left(self._now_ns, bucket)


def named(bucket: str) -> tuple[str, str]:
    """Return a bucket's rule and its subject: a uid (" demo" after it) or an address."""
    words = bucket.split(" ")
    rule = 2 if "/" in words[1] else 1  # METHOD path#number, or the name of a rule of its own
    subject = rule + (2 if words[rule + 1 : rule + 2] == ["demo"] else 1)
    return " ".join(words[:rule]), " ".join(words[rule:subject])


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


def most_in_anchored(arrivals: Iterable[Arrival], span_ns: int) -> int:
    """Return the most units, refused ones included, in any window that a request opened."""
    used = most = 0
    opened_ns: int | None = None
    for arrival in sorted(arrivals):
        if opened_ns is None or opened_ns + span_ns <= arrival.at_ns:
            opened_ns, used = arrival.at_ns, 0
        used += arrival.units
        most = max(most, used)
    return most
