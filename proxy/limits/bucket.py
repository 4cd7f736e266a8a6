"""One budget of one subject: its window, and the tickets that wait for it in order.

The order is one for all buckets, (priority, turn, arrival), so that two tickets that wait for the
same two buckets can never wait for each other. Decides and counts; wakes nobody (`limiter.py`).
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Final, final

from proxy.errors import TagproxyError
from proxy.limits.history import Prepaid
from proxy.limits.window import Window

if TYPE_CHECKING:
    import asyncio

    from proxy.limits.history import Subject
    from proxy.limits.ticket import Ticket
    from proxy.model import Pool

PRIORITIES: Final = 3  # 0 cancels, 1 orders, 2 reads
_VERSION: Final = re.compile(r"^/api/v\d+/")
_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "WS")

Place = tuple[int, int, int]  # priority, turn, arrival
Entry = tuple[int, int, int, int, "Ticket"]  # the place, units, who


class NoSlot(TagproxyError):
    """A request cannot have its slots in time.

    `next_ns` is how long until they could be had at the earliest, 0 when they might be had at any
    moment, -1 when never: the request costs more than the limit. `waited_ns`: in this wait.
    """

    def __init__(self, bucket: Bucket, waited_ns: int, next_ns: int) -> None:
        super().__init__(bucket.describe())
        self.bucket = bucket
        self.waited_ns = waited_ns
        self.next_ns = next_ns


@final
class QueueFull(NoSlot):
    """The account has as many requests waiting as it may."""


@final
class BucketsFull(TagproxyError):
    """There is no room for another bucket: too many different instruments asked for at once."""


@final
class Bucket(Window):
    """The budget `pool` of one subject and value."""

    __slots__ = (
        "_corrected_ns",
        "_finish",
        "dropped",
        "key",
        "plain",
        "pool",
        "prepaid",
        "queue",
        "queued",
        "rounds",
        "shared",
        "timer",
        "timer_ns",
    )

    def __init__(self, pool: Pool, key: tuple[Subject, str, str]) -> None:
        super().__init__(pool.count, pool.window_ns)
        self.pool = pool
        self.key = key
        self.shared = pool.shared
        self.plain = True  # room alone decides: nobody waits, not shut, not prepaid, not dropped
        self.dropped = False  # no longer the limiter's: look the key up again before taking
        self.prepaid: Prepaid | None = None
        self.queue: list[Entry] = []
        self.queued = 0  # units waited for
        self.timer: asyncio.TimerHandle | None = None
        self.timer_ns = 0
        self.rounds = [0] * PRIORITIES  # shared pools: the turn that goes now
        self._finish: dict[tuple[object, int], int] = {}  # account, priority -> its next turn
        self._corrected_ns = 0  # when the exchange last said that our count was too low

    # What can be taken.

    def ready(self, now_ns: int) -> int:
        """Return the units that may be taken now, by whoever is first. May be negative."""
        self.advance(now_ns)
        if now_ns < self.shut_ns:
            return 0
        if self.prepaid is None:
            return self.room
        return min(self.room, self.prepaid.left(now_ns))

    def admits(self, place: Place, units: int, now_ns: int) -> bool:
        """Whether there is room for `units` at `place`, and for all that wait before it."""
        ready = self.ready(now_ns) - units
        if ready < 0:
            return False
        for entry in self.queue:
            if entry >= place:
                break
            ready -= entry[3]
            if ready < 0:
                return False
        return True

    def ahead(self, place: Place) -> int:
        """Return the units waited for before `place`."""
        queue = self.queue
        if not queue or queue[-1] < place:
            return self.queued
        return sum(entry[3] for entry in queue[: bisect_left(queue, place)])

    def next_slot_ns(self, now_ns: int, units: int, jitter_ns: int = 0) -> int:
        """Return how long until `units` could be had by a newcomer, at the earliest; -1: never."""
        if units > self.count:
            return -1
        return self.earliest_ns(self.queued + units, now_ns, jitter_ns) - now_ns

    def settle(self, now_ns: int) -> None:
        """Find out again whether room alone decides."""
        self.plain = (
            not self.queue and now_ns >= self.shut_ns and self.prepaid is None and not self.dropped
        )

    def idle(self, now_ns: int) -> bool:
        """Whether forgetting the bucket forgets nothing."""
        self.advance(now_ns)
        if self.held or self.spent or self.queue or now_ns < self.shut_ns:
            return False
        prepaid = self.prepaid
        return prepaid is None or not (prepaid.asking or prepaid.left(now_ns))

    # Who waits.

    def enter(self, place: Place, units: int, ticket: Ticket) -> None:
        """Let a ticket wait at its place."""
        insort(self.queue, (*place, units, ticket))
        self.queued += units
        self.plain = False

    def leave(self, place: Place, now_ns: int) -> None:
        """Let the ticket at `place` wait no longer."""
        index = bisect_left(self.queue, place)
        self.queued -= self.queue[index][3]
        del self.queue[index]
        if not self.queue:
            self._finish.clear()
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None
            self.settle(now_ns)

    # Two that turn out to be one.

    def absorb(self, other: Bucket, now_ns: int) -> None:
        """Be the budget of `other`'s requests too: its units count here, and who waits there
        waits here, each at its place.

        For a user's own budgets, that nobody takes turns on; no ticket draws on both. `other` is
        left empty and dropped, and its key leads here. Its tickets are the caller's.
        """
        if (other.count, other.window_ns) != (self.count, self.window_ns):
            other.resize(self.count, self.window_ns, now_ns)
        self.take_over(other, now_ns)
        self.queue = sorted([*self.queue, *other.queue])
        self.queued += other.queued
        other.queue = []
        other.queued = 0
        if other.timer is not None:
            other.timer.cancel()
            other.timer = None
        if self.prepaid is None:
            other.prepaid = None
        elif other.prepaid is None:
            other.prepaid = Prepaid()
        else:
            self.prepaid.take_over(other.prepaid)
        self._corrected_ns = max(self._corrected_ns, other._corrected_ns)
        other.pool = self.pool
        other.key = self.key
        other.dropped = True
        other.plain = False
        self.settle(now_ns)

    # Users in turn: start-time fair queueing, counted in units.

    def turn(self, account: object, priority: int) -> int:
        """Return the turn of a newcomer: after its account's own, on shared pools in rounds."""
        if self.shared:
            return max(self.rounds[priority], self._finish.get((account, priority), 0))
        index = bisect_left(self.queue, (priority + 1,))
        if index and self.queue[index - 1][0] == priority:
            return self.queue[index - 1][1]
        return 0

    def note_turn(self, account: object, priority: int, turn: int, units: int) -> None:
        """Book a turn on the account. Forgotten when nobody waits any more."""
        if self.shared:
            finish = self._finish.get((account, priority), 0)
            self._finish[account, priority] = max(finish, turn + units)

    def forget_turn(self, account: object, priority: int) -> None:
        """A ticket of the account left without its slots: go on from its last that still waits."""
        if (account, priority) not in self._finish:
            return
        for entry in reversed(self.queue):
            if entry[0] == priority and entry[4].account == account:
                self._finish[account, priority] = entry[1] + entry[3]
                return
        del self._finish[account, priority]

    # What the exchange says.

    def correct(self, sent_ns: int, now_ns: int, retry_after_ns: int) -> None:
        """The exchange called this full at `now_ns`, on a request sent at `sent_ns`.

        It counts units that we do not: they are added for a window. When it says so again of a
        request that went out after such a correction, the limit itself is lower than ours, and
        the bucket stays shut for a window. It also stays shut as long as the exchange asks.
        """
        again = self._corrected_ns and sent_ns >= self._corrected_ns
        self.advance(now_ns)
        if retry_after_ns > 0:
            self.shut(now_ns + retry_after_ns)
        elif again and now_ns - self._corrected_ns <= 2 * self.window_ns:
            self.shut(now_ns + self.window_ns)
        else:
            self.fill(now_ns + self.window_ns)
        self._corrected_ns = now_ns
        self.settle(now_ns)

    def name(self) -> str:
        """Return what a person knows the pool by: `trade/order`, `batchOrders per ip`.

        A read keeps its method where `order` alone would be taken for placing one.
        """
        words: list[str] = []
        for word in self.pool.name.split(" "):
            text = _VERSION.sub("", word, count=1)
            if (
                words
                and words[-1] in _METHODS
                and (text == word or "/" in text or words[-1] != "GET")
            ):
                words.pop()
            words.append(text.strip("/"))
        return " ".join(words)

    def describe(self) -> str:
        """Return what a person knows the limit by: `trade/order BTC-USDT-SWAP 60/2s`."""
        value = self.key[2].strip()
        limit = f"{self.count}/{_span(self.window_ns)}"
        return f"{self.name()} {value} {limit}" if value else f"{self.name()} {limit}"


def _span(window_ns: int) -> str:
    for unit_ns, unit in ((3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s")):
        if window_ns % unit_ns == 0:
            return f"{window_ns // unit_ns}{unit}"
    return f"{window_ns / 1_000_000:g}ms"
