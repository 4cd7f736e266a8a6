"""Lets requests through, exactly: who waits, who goes next, who can no longer make it.

Every waiter stands in the queue of each bucket it draws on, in one order for all of them. One
behind another may go first only where there is room for all before it in each of its buckets,
so nobody is delayed by it. Nothing polls: a bucket has one timer, and only while somebody waits.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, final

from proxy import tasks
from proxy.limits.bucket import PRIORITIES, Bucket, BucketsFull, NoSlot, Place, QueueFull
from proxy.limits.buckets import Buckets
from proxy.limits.listing import Budget, fullest
from proxy.limits.ticket import Ticket, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.clock import Clock
    from proxy.limits.buckets import Spawn
    from proxy.limits.history import SpentRow, SpentStore, Subject

__all__ = ["Bucket", "BucketsFull", "Budget", "Limiter", "NoSlot", "QueueFull", "Ticket", "merged"]

# uvloop rounds timers to whole milliseconds, also down: half of one more, and none fires early.
_TIMER_SLACK_NS: Final = 500_000
_STORING_NS: Final = 1_000_000_000  # how long our own store may take, whatever max_wait says


def merged(draws: list[tuple[Bucket, int]]) -> list[tuple[Bucket, int]]:
    """Put draws on one bucket together, as a `Ticket` wants them."""
    units: dict[Bucket, int] = {}
    for bucket, drawn in draws:
        units[bucket] = units.get(bucket, 0) + drawn
    return list(units.items()) if len(units) < len(draws) else draws


@final
class Limiter:
    """The limits of every subject, held in this process's memory.

    `unknown_before_ns`: an earlier process may have sent things unknown until that instant
    (monotonic; 0: it handed over), so short windows start as full until a window later. `store`:
    where windows longer than 10 s are paid for ahead; without one they are held in memory like
    short ones.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        jitter_ns: int,
        waiting_max_per_account: int = 1000,
        unknown_before_ns: int = 0,
        store: SpentStore | None = None,
        spawn: Spawn = tasks.spawn,
        call_at: Callable[[float, Callable[[], None]], asyncio.TimerHandle] | None = None,
    ) -> None:
        self.now_ns = clock.monotonic_ns
        self.jitter_ns = jitter_ns  # may be changed: what is spent counts as it did
        self.waiting = 0  # tickets in queues
        self._waiting_max = waiting_max_per_account
        self._waiting: dict[object, int] = {}  # by account
        self._call_at = call_at
        self._arrivals = 0
        self._rounds = [0] * PRIORITIES
        self.buckets = Buckets(
            clock, lambda: self.jitter_ns, unknown_before_ns, store, spawn, self.recheck
        )
        self.bucket = self.buckets.find
        self.top_up = self.buckets.top_up

    def ticket(self, account: object, priority: int, draws: list[tuple[Bucket, int]]) -> Ticket:
        """Return the slots of one request, none taken yet.

        `account` is whoever takes turns with others; `priority` 0 cancels, 1 orders, 2 reads.
        """
        return Ticket(self, account, priority, merged(draws))

    def restore(self, rows: Iterable[tuple[str, int, int, int]], wall_ms: int) -> None:
        """Take on what earlier processes spent, before the first request. See `Buckets`."""
        self.buckets.restore(rows, wall_ms)

    def snapshot(self, wall_ms: int) -> list[SpentRow]:
        """Return what the next process must count, at a clean stop."""
        return self.buckets.snapshot(wall_ms)

    def budgets(self, subject: Subject) -> list[Budget]:
        """Return how a subject's budgets stand, for people: the fullest first, and not all."""
        return fullest(self.buckets.of(subject), self.now_ns())

    def unite(self, old: Subject, new: Subject) -> None:
        """Let two subjects be one, `new`: its budgets count what was spent under either, and
        nothing is let through under `old` any more that they do not count.

        What is on its way, or has its slots, counts until its answer is in, as ever; so no
        window that a request let through from now on falls into holds more than the limit. Who
        waits goes on waiting, each at its place, and is refused at once if it can no longer make
        it. Of no avail for budgets that users share.
        """
        now_ns = self.now_ns()
        for heir, other in self.buckets.unite(old, new):
            holders = [holder for holder in other.held if isinstance(holder, Ticket)]
            tickets = [*holders, *(entry[4] for entry in other.queue)]
            heir.absorb(other, now_ns)
            for ticket in tickets:
                ticket.move(other, heir)
        self.buckets.recall(new, now_ns)
        for bucket in self.buckets.of(new):
            self.recheck(bucket, now_ns)

    # For tickets.

    def may_pass(self, ticket: Ticket, now_ns: int) -> bool:
        """Whether a ticket may take its slots now, past all who wait."""
        for index, (bucket, units) in enumerate(ticket.draws):
            if bucket.dropped:
                ticket.draws[index] = (self.buckets.live(bucket), units)
        place = ticket.place or (ticket.priority, self._turn(ticket), self._arrivals)
        for bucket, units in ticket.draws:
            bucket.settle(now_ns)
            if not bucket.admits(place, units, now_ns):
                return False
        for bucket, units in ticket.draws:
            if bucket.queue:
                bucket.note_turn(ticket.account, ticket.priority, place[1], units)
        return True

    def enter(self, ticket: Ticket, until_ns: int) -> Wait:
        """Put a ticket into its queues. Raises `NoSlot` and `QueueFull`."""
        now_ns = self.now_ns()
        account = ticket.account
        place = ticket.place or (ticket.priority, self._turn(ticket), self._arrivals)
        bucket, next_ns = self._next(ticket, place, now_ns)
        waiting = self._waiting.get(account, 0)
        if waiting >= self._waiting_max:
            raise QueueFull(bucket, 0, next_ns)
        if not next_ns and any(bucket.prepaid is not None for bucket, _ in ticket.draws):
            until_ns = max(until_ns, now_ns + _STORING_NS)
        if next_ns < 0 or now_ns + next_ns > until_ns:
            raise NoSlot(bucket, 0, next_ns)
        if ticket.place is None:
            self._arrivals += 1
            ticket.place = place
        ticket.rule = bucket.pool.name
        wait = Wait(now_ns, until_ns, self._at(until_ns, partial(self._out_of_time, ticket)))
        self._waiting[account] = waiting + 1
        self.waiting += 1
        for bucket, units in ticket.draws:
            bucket.enter(place, units, ticket)
            bucket.note_turn(account, ticket.priority, place[1], units)
        ticket.queued(wait)
        for bucket, _ in ticket.draws:
            self.dispatch(bucket, now_ns)
        return wait

    def leave(self, ticket: Ticket) -> None:
        """Take a ticket that waits in vain out of its queues, and let others go on."""
        now_ns = self.now_ns()
        self._forget(ticket, now_ns)
        for bucket, _ in ticket.draws:
            if bucket.queue:
                self.dispatch(bucket, now_ns)

    def dispatch(self, bucket: Bucket, now_ns: int) -> None:
        """Let everybody go whose turn it is in this bucket, and set the timer for the next."""
        queue = bucket.queue
        ready = bucket.ready(now_ns)
        index = before = blocked = 0
        while index < len(queue):
            entry = queue[index]
            needed = before + entry[3]
            if needed > ready:
                blocked = needed
                break
            if self._is_clear(entry[4], now_ns):
                self._grant(entry[4], now_ns)
                ready -= entry[3]
            else:
                before = needed
                index += 1
                for other, _ in entry[4].draws:  # its stored units may have lapsed
                    self.buckets.top_up(other, now_ns)
        self._set_timer(bucket, blocked, now_ns)
        if blocked:
            self.buckets.top_up(bucket, now_ns)

    def recheck(self, bucket: Bucket, now_ns: int) -> None:
        """The count has changed: refuse those who can no longer make it, and let others go."""
        if not bucket.queue:
            return
        instants = bucket.instants(now_ns, self.jitter_ns)
        lap_ns = bucket.window_ns + self.jitter_ns
        nth = 0
        doomed: list[tuple[Ticket, int]] = []
        for *_, units, ticket in bucket.queue:
            if units > bucket.count:
                doomed.append((ticket, -1))
                continue
            rounds, before = divmod(nth + units - 1, bucket.count)
            at_ns = instants[before] + rounds * lap_ns
            if at_ns > ticket.wait_state.until_ns:
                doomed.append((ticket, at_ns - now_ns))
            else:
                nth += units
        freer = {bucket: None}
        for ticket, next_ns in doomed:
            freer |= dict.fromkeys(other for other, _ in ticket.draws)
            self._forget(ticket, now_ns)
            ticket.failed(bucket, next_ns, now_ns)
        for other in freer:
            self.dispatch(other, now_ns)

    # Inside.

    def _turn(self, ticket: Ticket) -> int:
        turn = 0
        for bucket, _ in ticket.draws:
            if bucket.shared and not bucket.queue:
                bucket.rounds[:] = self._rounds
            turn = max(turn, bucket.turn(ticket.account, ticket.priority))
        return turn

    def _next(self, ticket: Ticket, place: Place, now_ns: int) -> tuple[Bucket, int]:
        """Return the bucket that keeps a ticket longest, and how long at least; -1: for good."""
        longest, next_ns = ticket.draws[0][0], 0
        for bucket, units in ticket.draws:
            if units > bucket.count:
                return bucket, -1
            nth = bucket.ahead(place) + units
            wait_ns = bucket.earliest_ns(nth, now_ns, self.jitter_ns) - now_ns
            if wait_ns > next_ns:
                longest, next_ns = bucket, wait_ns
        return longest, next_ns

    @staticmethod
    def _is_clear(ticket: Ticket, now_ns: int) -> bool:
        place = ticket.place
        assert place is not None
        return all(bucket.admits(place, units, now_ns) for bucket, units in ticket.draws)

    def _grant(self, ticket: Ticket, now_ns: int) -> None:
        self._unqueue(ticket, now_ns)
        place = ticket.place
        assert place is not None
        priority, turn, _ = place
        for bucket, _ in ticket.draws:
            if bucket.shared:
                bucket.rounds[priority] = max(bucket.rounds[priority], turn)
                self._rounds[priority] = max(self._rounds[priority], turn)
        ticket.granted(now_ns)

    def _unqueue(self, ticket: Ticket, now_ns: int) -> None:
        place = ticket.place
        assert place is not None
        for bucket, _ in ticket.draws:
            bucket.leave(place, now_ns)
        self.waiting -= 1
        left = self._waiting[ticket.account] - 1
        if left:
            self._waiting[ticket.account] = left
        else:
            del self._waiting[ticket.account]

    def _forget(self, ticket: Ticket, now_ns: int) -> None:
        self._unqueue(ticket, now_ns)
        for bucket, _ in ticket.draws:
            bucket.forget_turn(ticket.account, ticket.priority)

    def _out_of_time(self, ticket: Ticket) -> None:
        now_ns = self.now_ns()
        for bucket, _ in ticket.draws:
            self.dispatch(bucket, now_ns)
        place = ticket.place
        if ticket.waits and place is not None:
            bucket, next_ns = self._next(ticket, place, now_ns)
            self.leave(ticket)
            ticket.failed(bucket, next_ns, now_ns)

    def _due(self, bucket: Bucket) -> None:
        bucket.timer = None
        self.dispatch(bucket, self.now_ns())

    def _set_timer(self, bucket: Bucket, blocked: int, now_ns: int) -> None:
        """Wake when `blocked` units are free, if that depends on nothing but time."""
        at_ns = bucket.release_ns(blocked) if blocked else 0
        if bucket.timer is not None:
            if at_ns == bucket.timer_ns:
                return
            bucket.timer.cancel()
            bucket.timer = None
        if at_ns > now_ns:
            bucket.timer_ns = at_ns
            bucket.timer = self._at(at_ns, partial(self._due, bucket))

    def _at(self, at_ns: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
        call_at = self._call_at or asyncio.get_running_loop().call_at
        return call_at((at_ns + _TIMER_SLACK_NS) / 1e9, callback)
