"""What strangers may use of a budget that an address shares with them: half, and each a quarter.

Strangers are callers without a key of whom nothing is known. Their two budgets are drawn on beside
the address's own, so whatever they ask for, half of it is left to those who trade.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.model import Pool


@lru_cache(maxsize=4096)
def stranger_pools(pool: Pool) -> tuple[Pool, Pool]:
    """Return what all strangers together may use of a pool, and what each source may.

    Equal pools give the very same two. A pool of one unit is halved in time: one in two windows.
    """
    half = replace(
        pool,
        name=f"anonymous half of {pool.name}",
        count=max(pool.count // 2, 1),
        window_ns=pool.window_ns if pool.count > 1 else 2 * pool.window_ns,
    )
    per_source = replace(
        pool, name=f"anonymous share of {pool.name}", count=max(pool.count // 4, 1)
    )
    return half, per_source
