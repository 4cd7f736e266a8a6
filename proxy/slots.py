"""Which slots a request needs, and so from which address it leaves.

An account's requests draw on its identity's budgets and on those of the one address it keeps to.
Public reads belong to nobody: they leave from where a slot is free first. Strangers share a part
of each address's budget, and each has a part of that.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final, final

from proxy.egress import asker, awake, home_of
from proxy.errors import Refusal
from proxy.limits.limiter import BucketsFull, Ticket, merged
from proxy.limits.strangers import stranger_pools

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.egress import Egress
    from proxy.limits.history import Subject
    from proxy.limits.limiter import Bucket, Limiter
    from proxy.model import Charge, Pool
    from proxy.passage import Passage

DRAWS_MAX: Final = 1_000  # remembered of one identity: which buckets a charge draws on
_STRANGERS: Final = "strangers"
_SITE_BITS: Final = 64  # of an IPv6 address: one customer has them all


@final
class Slots:
    """Finds the buckets of every request."""

    __slots__ = ("_limiter",)

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    def of_account(
        self, passage: Passage, charges: Sequence[Charge], demo: int, now_ns: int
    ) -> Ticket:
        """The slots of an account's request; `demo` is 0 or 1. Raises `Refusal`: `exchange_ban`,
        `overloaded`."""
        access = passage.access
        assert access is not None
        account = access.account
        standing = account.standing
        egress = passage.egress = home_of(passage.route.site.egresses, standing, now_ns)
        identity = standing.identity
        priority = passage.route.priority
        if type(charges) is not tuple or passage.route.site.stale:
            draws = self._draws(passage, egress, charges, demo)
            return Ticket(self._limiter, account.id, priority, draws)
        known = identity.draws[demo]
        found = known.get(id(charges))
        if found is not None and found[0] is charges and found[2] is egress:
            return Ticket(self._limiter, account.id, priority, found[1])
        draws = self._draws(passage, egress, charges, demo)
        if len(known) >= DRAWS_MAX:
            known.clear()
        known[id(charges)] = (charges, draws, egress)
        return Ticket(self._limiter, account.id, priority, draws)

    def of_anybody(
        self, passage: Passage, charges: Sequence[Charge], demo: int, now_ns: int
    ) -> Ticket:
        """The slots of a public read, at the address that has them first. Raises `Refusal`."""
        best: list[tuple[Bucket, int]] = []
        best_ns = -1
        ways = awake(passage.route.site.egresses, now_ns)
        if len(ways) == 1:
            passage.egress = ways[0]
            draws = self._draws(passage, ways[0], charges, demo)
            return Ticket(self._limiter, asker(passage), passage.route.priority, draws)
        for egress in ways:
            draws = self._draws(passage, egress, charges, demo)
            wait_ns = self._wait_ns(draws, egress.connecting, now_ns)
            if best_ns < 0 or wait_ns < best_ns:
                best, best_ns = draws, wait_ns
                passage.egress = egress
            if not wait_ns:
                break
        return Ticket(self._limiter, asker(passage), passage.route.priority, best)

    def _finding(self, passage: Passage) -> Callable[[Pool, Subject, str], Bucket]:
        """How buckets are found: what is left of an earlier configuration sets no limits."""
        stale = passage.route.site.stale
        return self._limiter.buckets.existing if stale else self._limiter.bucket

    def _wait_ns(self, draws: list[tuple[Bucket, int]], before: int, now_ns: int) -> int:
        """How long a newcomer would wait at the least; what never fits counts as very long.
        `before` others are on their way to the same slots."""
        jitter_ns = self._limiter.jitter_ns
        longest_ns = 0
        for bucket, units in draws:
            if units > bucket.count:
                return 1 << 62
            nth = bucket.queued + before + units
            longest_ns = max(longest_ns, bucket.earliest_ns(nth, now_ns, jitter_ns) - now_ns)
        return longest_ns

    def _draws(
        self, passage: Passage, egress: Egress, charges: Sequence[Charge], demo: int
    ) -> list[tuple[Bucket, int]]:
        bucket_of = self._finding(passage)
        by_address = egress.subject
        by_user = by_address
        access = passage.access
        pools = None
        if access is not None:
            identity = access.account.standing.identity
            by_user = (by_address[0], identity.text, demo == 1)
            pools = identity.pools
        draws: list[tuple[Bucket, int]] = []
        try:
            for charge in charges:
                pool = charge.pool
                if pool.shared:
                    draws.append((bucket_of(pool, by_address, charge.value), charge.units))
                    if passage.stranger:
                        draws += self._strangers_draws(passage, by_address, charge)
                    continue
                if pools:  # the exchange keeps another limit for this account
                    pool = (
                        pools.get((pool.name, charge.value)) or pools.get((pool.name, "")) or pool
                    )
                draws.append((bucket_of(pool, by_user, charge.value), charge.units))
        except BucketsFull as full:
            raise Refusal("overloaded", "too many different instruments at once") from full
        return merged(draws)

    def _strangers_draws(
        self, passage: Passage, by_address: Subject, charge: Charge
    ) -> list[tuple[Bucket, int]]:
        half, per_source = stranger_pools(charge.pool)
        host, address, demo = by_address
        subject = (host, f"{_STRANGERS} {address}", demo)
        value = f"{charge.value} {_source(passage)}"
        bucket_of = self._finding(passage)
        return [
            (bucket_of(half, subject, charge.value), charge.units),
            (bucket_of(per_source, subject, value), charge.units),
        ]


def _source(passage: Passage) -> str:
    source = passage.request.source
    if isinstance(source, IPv6Address):
        return f"{int(source) >> _SITE_BITS:x}::/{_SITE_BITS}"
    return str(source)
