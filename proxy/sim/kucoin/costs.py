"""What a request uses up: the pools of the simulated KuCoin, and the edge in front of it.

A pool's window is fixed and opens with the first request. Public rows draw on the pool of the
address, all others on that of the user id.
https://www.kucoin.com/docs-new/rate-limit
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from proxy.sim.answers import page
from proxy.sim.kucoin.table import EDGE
from proxy.sim.windows import Cost

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.kucoin.table import Row, Table
    from proxy.sim.windows import Till

EDGE_BLOCK_NS: Final = 30_000_000_000
_SUBJECTS_KEPT: Final = 10_000
_BLOCKED: Final = (
    '<!DOCTYPE html>\n<html lang="en-US">\n'
    "<head><title>Access denied | www.kucoin.com used Cloudflare to restrict access</title></head>"
    "\n<body><h1>Error 1015</h1><p>You are being rate limited. You have been banned temporarily. "
    "error code: 1015</p></body>\n</html>\n"
)
# What rows without a published budget say of theirs: plenty, and nothing used.
_PLENTY: Final = {
    "gw-ratelimit-limit": "2000",
    "gw-ratelimit-remaining": "2000",
    "gw-ratelimit-reset": "30000",
}


@final
class Meter:
    """Tells what each request costs; `overrides` stand in place of a pool's quota at every VIP
    level, or give a row a pool of its own in which each request is one."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.overrides: dict[str, tuple[int, int]] = {}  # "METHOD path" or pool -> count, span_ns

    def cost(self, row: Row, uid: str, vip: int, source: str) -> Cost | None:
        """Return the bucket the request is counted in; None where none is published."""
        subject = source if row.public or row.pool == "public" else uid
        if row.name in self.overrides:
            count, span_ns = self.overrides[row.name]
            return Cost(f"{row.name}#0 {subject}", count, span_ns, 1, anchored=True)
        if not row.pool or row.weight < 0:
            return None
        pool = self._table.pools[row.pool]
        count, span_ns = self.overrides.get(row.pool, (pool.allowed(vip), pool.span_ns))
        return Cost(f"{row.pool} {subject}", count, span_ns, row.weight, anchored=True)

    def edge_cost(self, source: str) -> Cost:
        """Return what every request of an address costs it at the edge."""
        pool = self._table.pools[EDGE]
        count, span_ns = self.overrides.get(EDGE, (pool.allowed(0), pool.span_ns))
        return Cost(f"{EDGE} {source}", count, span_ns, 1)


@final
class Edge:
    """Cloudflare in front: an address that asks too often is shut out for a while."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._shut: dict[str, int] = {}  # address -> until, ns

    def refuses(self, source: str, now_ns: int, till: Till) -> Answer | None:
        """Count a request; return the page for one whose address is shut out."""
        if now_ns >= self._shut.get(source, now_ns):
            self._shut.pop(source, None)
            if till.charge([self._meter.edge_cost(source)]) is None:
                return None
            if len(self._shut) >= _SUBJECTS_KEPT:
                self._shut.clear()
            self._shut[source] = now_ns + EDGE_BLOCK_NS
        return page(429, _BLOCKED, {"Server": "cloudflare", "CF-RAY": "8f2d6c0a9b1e4d3f-FRA"})

    def clear(self) -> None:
        """Let everybody in again."""
        self._shut.clear()


def rate_headers(till: Till, cost: Cost | None) -> dict[str, str]:
    """Return what an answer tells of the bucket its request was counted in."""
    left = till.left(cost.bucket) if cost is not None else None
    if left is None:
        return dict(_PLENTY)
    return {
        "gw-ratelimit-limit": str(left.limit),
        "gw-ratelimit-remaining": str(left.remaining),
        "gw-ratelimit-reset": str(left.reset_ms),
    }
