"""One request's slots: taken at one instant or not at all, held, spent, given back.

The coroutine that waits on a ticket is driven without a task (`tasks.Drive`) and may be thrown
`BotGone` at any moment, also between the grant and its wake-up. A slot is held until its answer
is in or its connection has ended, and then counts until

    sent + max(jitter, this round trip - least round trip seen) + window.

Whatever part of the round trip was the way there, two requests then reach the exchange at least a
window apart where our count says so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, final

from proxy.limits.bucket import Bucket, NoSlot

if TYPE_CHECKING:
    from proxy.limits.bucket import Place
    from proxy.limits.limiter import Limiter

_FREE: Final = 0  # holds nothing; may take or wait
_WAITING: Final = 1
_HELD: Final = 2  # slots taken
_SENT: Final = 3  # on its way; no answer yet
_OVERTAKES_NS: Final = 1_000_000  # what leaves so much later may be the first to be counted


@final
class Wait:
    """One stay in the queues."""

    __slots__ = ("error", "future", "since_ns", "timer", "until_ns")

    def __init__(self, since_ns: int, until_ns: int, timer: asyncio.TimerHandle) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.since_ns = since_ns
        self.until_ns = until_ns
        self.timer = timer
        self.error: NoSlot | None = None

    def end(self, error: NoSlot | None = None) -> None:
        """Wake the coroutine. It may be gone: then its future is done, or nobody looks at it."""
        self.timer.cancel()
        self.error = error
        if not self.future.done():
            self.future.set_result(None)


@final
class Ticket:
    """The slots of one request in every bucket it draws on.

    Made by `Limiter.ticket`. After `refund` or `refused` it can take or wait again, at the place
    it had.
    """

    __slots__ = (
        "_limiter",
        "_state",
        "account",
        "draws",
        "place",
        "priority",
        "rule",
        "sent_ns",
        "wait_state",
    )

    wait_state: Wait  # set while it waits

    def __init__(
        self, limiter: Limiter, account: object, priority: int, draws: list[tuple[Bucket, int]]
    ) -> None:
        self._limiter = limiter
        self._state = _FREE
        self.account = account
        self.priority = priority
        self.draws = draws
        self.place: Place | None = None  # in every queue, from the first wait on
        self.rule = ""  # the pool it waited for, for metrics
        self.sent_ns = 0

    def take(self) -> bool:
        """Take every slot at this instant; False when one lacks or others are before.

        The window's fields are read in place: a call for each would double the cost.
        """
        now_ns = self._limiter.now_ns()
        for bucket, units in self.draws:
            spent = bucket.spent
            if spent and spent[0][0] <= now_ns:
                bucket.advance(now_ns)
            if bucket.room < units or not bucket.plain:
                return self._take_in_order(now_ns)
        for bucket, units in self.draws:
            bucket.room -= units
            bucket.held[self] = units
        self._state = _HELD
        return True

    def _take_in_order(self, now_ns: int) -> bool:
        if not self._limiter.may_pass(self, now_ns):
            return False
        self.hold(now_ns)
        return True

    def hold(self, now_ns: int) -> None:
        """Take the slots; whoever calls has looked that they may be taken (the limiter, or we)."""
        for bucket, units in self.draws:
            bucket.hold(self, units)
            if bucket.prepaid is not None:
                bucket.prepaid.use(units)
                self._limiter.top_up(bucket, now_ns)
        self._state = _HELD

    async def wait(self, until_ns: int) -> None:
        """Return when every slot is taken, at one instant, in order with all others that wait.

        Raises `NoSlot` at once when that cannot be by `until_ns` (monotonic), or as soon as it is
        clear, at the latest then; `QueueFull` when the account has too many waiting. Whatever
        else is raised into it while it waits, no slot stays taken.
        """
        if self.take():
            return
        wait = self._limiter.enter(self, until_ns)
        try:
            await wait.future
        except BaseException:
            wait.timer.cancel()
            if self._state == _HELD:
                self.refund()
            elif self._state == _WAITING:
                self._state = _FREE
                self._limiter.leave(self)
            raise
        if wait.error is not None:
            raise wait.error

    @property
    def waits(self) -> bool:
        """Whether it stands in queues."""
        return self._state == _WAITING

    def queued(self, wait: Wait) -> None:
        """The limiter has put it into its queues."""
        self._state = _WAITING
        self.wait_state = wait

    def granted(self, now_ns: int) -> None:
        """The limiter's turn has come to this ticket; it is out of the queues already."""
        self.hold(now_ns)
        self.wait_state.end()

    def failed(self, bucket: Bucket, next_ns: int, now_ns: int) -> None:
        """It waits in vain; the limiter has taken it out of the queues."""
        self._state = _FREE
        self.wait_state.end(NoSlot(bucket, now_ns - self.wait_state.since_ns, next_ns))

    def move(self, bucket: Bucket, heir: Bucket) -> None:
        """Draw on `heir`, which has absorbed `bucket`."""
        # a new list: the old one may be remembered for other tickets, which look for themselves
        self.draws = [(heir if one is bucket else one, units) for one, units in self.draws]

    def sent(self, now_ns: int) -> None:
        """The request leaves at `now_ns`."""
        assert self._state == _HELD
        self._state = _SENT
        self.sent_ns = now_ns

    def answered(self, now_ns: int, late_ns: int) -> None:
        """The whole answer is in.

        `late_ns`: this round trip less the least that was ever seen on this way. While none was
        seen before, hand in the whole round trip: nothing is known of the way then.
        """
        assert self._state == _SENT
        self._state = _FREE
        limiter = self._limiter
        jitter_ns = limiter.jitter_ns
        counts_ns = self.sent_ns + max(late_ns, jitter_ns)
        for bucket, _ in self.draws:
            release_ns = counts_ns + bucket.window_ns
            if release_ns < bucket.last_ns:
                release_ns = bucket.last_ns
            else:
                bucket.last_ns = release_ns
            bucket.spent.append((release_ns, bucket.held.pop(self)))
            if bucket.queue:
                limiter.dispatch(bucket, now_ns)

    def lost(self, now_ns: int) -> None:
        """The connection ended at `now_ns` with no answer: the request may arrive until then."""
        assert self._state == _SENT
        self._state = _FREE
        self._spend(now_ns, now_ns + self._limiter.jitter_ns)

    def refund(self) -> None:
        """No byte was sent, or none can have arrived: the slots are free again at once."""
        assert self._state in (_HELD, _SENT)
        self._state = _FREE
        self.sent_ns = 0
        now_ns = self._limiter.now_ns()
        for bucket, _ in self.draws:
            bucket.give_back(self)
        for bucket, _ in self.draws:
            if bucket.queue:
                self._limiter.dispatch(bucket, now_ns)

    def refused(self, pool_name: str, now_ns: int, retry_after_ns: int) -> None:
        """The exchange said "too many" at `now_ns`; its answer may be counted already or not.

        `pool_name` is the pool it spoke of. "*", or one that is not among the ticket's, is taken
        for the one with the shortest window, since that is the one hit most easily, or for all that
        are as short and as narrow: a budget whose subject nobody publishes is several. All of the
        ticket's buckets of those pools are corrected; the refused request's own
        slots stay spent. Waiters that can no longer make it are refused at once.
        """
        if self._state == _SENT:
            self._state = _FREE
            self._spend(now_ns, now_ns)
        assert self._state == _FREE
        live = self._limiter.buckets.live
        drawn = [live(bucket) if bucket.dropped else bucket for bucket, _ in self.draws]
        named = [bucket for bucket in drawn if bucket.pool.name == pool_name]
        if not named and drawn:
            shortest = min(drawn, key=_window_ns)
            limit = (shortest.count, shortest.window_ns)
            named = [bucket for bucket in drawn if (bucket.count, bucket.window_ns) == limit]
        for bucket in named:
            bucket.correct(self.sent_ns, now_ns, retry_after_ns)
            self._limiter.recheck(bucket, now_ns)
        self.sent_ns = 0

    def told(
        self, pool_name: str, used: int, reset_ns: int, now_ns: int, late_ns: int = 1 << 62
    ) -> Bucket | None:
        """The exchange says that `used` units of a pool count there, for whatever reaches it within
        `reset_ns` from now. More than we know of are somebody else's; return the bucket, if it is
        ours. A unit of our own that has run out here and not yet there is no stranger's either:
        by as much as it may be late it is late here too.

        `late_ns` is as in `answered`; what left later than this request by more than that is not
        in `used`. Left out: nothing is known of the way.
        """
        jitter_ns = self._limiter.jitter_ns
        for drawn, _ in self.draws:
            if drawn.pool.name == pool_name:
                bucket = self._limiter.buckets.live(drawn) if drawn.dropped else drawn
                until_ns = now_ns + reset_ns + jitter_ns
                later = 0
                if bucket.held:
                    counted_ns = self.sent_ns + max(late_ns, 0) + _OVERTAKES_NS
                    for holder, units in bucket.held.items():
                        if not holder.sent_ns or holder.sent_ns > counted_ns:
                            later += units
                if bucket.foreign(used, until_ns, now_ns, later, 2 * jitter_ns):
                    self._limiter.recheck(bucket, now_ns)
                return bucket
        return None

    def _spend(self, now_ns: int, counts_ns: int) -> None:
        for bucket, _ in self.draws:
            bucket.spend(self, counts_ns + bucket.window_ns)
            if bucket.queue:
                self._limiter.dispatch(bucket, now_ns)


def _window_ns(bucket: Bucket) -> int:
    return bucket.window_ns
