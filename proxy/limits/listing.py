"""How budgets stand, told to people: a list made on demand, never looked at by requests."""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Final, NamedTuple, final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.limits.bucket import Bucket

BUDGETS_MAX: Final = 200  # listed of one subject


@final
class Budget(NamedTuple):
    """One budget: `left` of the `limit` in any `window_ns` can be spent now."""

    name: str  # trade/order
    value: str  # the part of the pool: an instrument, a currency; "" for the whole
    left: int
    limit: int
    window_ns: int


def fullest(buckets: Iterable[Bucket], now_ns: int) -> list[Budget]:
    """List the buckets of which least is left, in that order."""
    budgets = (
        Budget(bucket.name(), bucket.key[2], bucket.free(now_ns), bucket.count, bucket.window_ns)
        for bucket in buckets
    )
    return nsmallest(BUDGETS_MAX, budgets, key=_left_part)


def _left_part(budget: Budget) -> tuple[float, str, str]:
    return budget.left / budget.limit, budget.name, budget.value
