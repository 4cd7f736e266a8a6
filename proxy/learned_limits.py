"""An exchange's own word on the limits of one account, beside the table's. Pure.

A limit told for a whole pool replaces the table's, be it wider or narrower, unless the operator
set that pool's limit himself: then his stands. One told for a part of a pool (an instrument that
a lead trader leads with) can only be stricter than the whole's, and holds whatever he set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.model import LearnedLimit, Pool

COUNT_MAX: Final = 1_000_000
WINDOW_NS_MAX: Final = 31 * 86_400_000_000_000


def learned_pools(
    limits: Iterable[LearnedLimit], in_force: Mapping[str, Pool], published: Mapping[str, Pool]
) -> tuple[dict[tuple[str, str], Pool], list[str]]:
    """Return the pools that replace others for the account, by name and part, "" being every
    part; and what is wrong with the limits that are left out, a line each.

    `in_force` are the pools by name as the operator has them, `published` as the exchange's table
    does; where the two differ he set the limit.
    """
    pools: dict[tuple[str, str], Pool] = {}
    faults = []
    for limit in sorted(limits, key=lambda limit: limit.value):  # whole pools first
        pool = in_force.get(limit.pool)
        if pool is None:
            faults.append(f"{limit.pool!r} is no limit of the table")
        elif not (0 < limit.count <= COUNT_MAX and 0 < limit.window_ns <= WINDOW_NS_MAX):
            faults.append(f"{limit.pool}: {limit.count} in {limit.window_ns} ns is no limit")
        elif limit.value:
            whole = pools.get((limit.pool, limit.value)) or pools.get((limit.pool, ""), pool)
            if _is_stricter(limit, whole):
                pools[limit.pool, limit.value] = _taken(limit, whole)
        elif not _is_the_operators(pool, published.get(limit.pool)):
            pools[limit.pool, ""] = _taken(limit, pool)
    return pools, faults


def _taken(limit: LearnedLimit, pool: Pool) -> Pool:
    return replace(pool, count=limit.count, window_ns=limit.window_ns, published=True)


def _is_stricter(limit: LearnedLimit, pool: Pool) -> bool:
    return limit.count * pool.window_ns < pool.count * limit.window_ns


def _is_the_operators(pool: Pool, published: Pool | None) -> bool:
    if published is None:
        return True
    if not published.published:
        return pool.published
    return (pool.count, pool.window_ns) != (published.count, published.window_ns)
