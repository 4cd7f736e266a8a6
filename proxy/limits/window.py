"""The exact sliding window: at most `count` units in any `window_ns`, weights and delays included.

A slot is held until its answer is in; from then on it is spent until its release, which the
caller computes from the send (`ticket.py` has the rule). Spent units stand in the order of their
releases, each release at least the one before, so that taking is a look at the first. Pure: no
asyncio, no clock; every instant is monotonic nanoseconds and handed in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_UNKNOWN: Final = -(1 << 62)


class Holder(Protocol):
    """Whoever holds units: 0 while nothing is sent, then the instant of the send."""

    sent_ns: int


class Window:
    """One window's count. `room` is what is neither held nor spent, negative after a cut."""

    __slots__ = (
        "_before",
        "_closes_ns",
        "_passed",
        "count",
        "held",
        "last_ns",
        "room",
        "shut_ns",
        "spent",
        "window_ns",
    )

    def __init__(self, count: int, window_ns: int) -> None:
        self.count = count
        self.window_ns = window_ns
        self.room = count  # as of the last `advance`
        self.held: dict[Holder, int] = {}
        self.spent: deque[tuple[int, int]] = deque()  # (release, units)
        self.last_ns = 0  # the latest release there has been
        self.shut_ns = 0  # nothing may be taken before this instant, whatever the count
        self._passed = 0  # units whose release has come, ever
        self._closes_ns = _UNKNOWN  # when the exchange's own window does, as it told last
        self._before = 0  # units that were taken before that window opened

    def advance(self, now_ns: int) -> None:
        """Count the units whose release has come as free again."""
        spent = self.spent
        while spent and spent[0][0] <= now_ns:
            units = spent.popleft()[1]
            self.room += units
            self._passed += units

    def free(self, now_ns: int) -> int:
        """Return the units that could be taken at `now_ns`."""
        self.advance(now_ns)
        return 0 if now_ns < self.shut_ns else max(self.room, 0)

    def hold(self, holder: Holder, units: int) -> None:
        """Take units. The caller has looked whether there is room."""
        self.room -= units
        self.held[holder] = units

    def give_back(self, holder: Holder) -> None:
        """Free held units at once: they were never sent."""
        self.room += self.held.pop(holder)

    def spend(self, holder: Holder, release_ns: int) -> None:
        """Turn held units into spent ones that count until `release_ns`."""
        self.add(release_ns, self.held.pop(holder))

    def add(self, release_ns: int, units: int) -> None:
        """Count units that are out of `room` already as spent until `release_ns`.

        Releases stay in order: one that is earlier than the last is moved to it. Between answers
        that come in order the difference is at most the jitter.
        """
        release_ns = max(release_ns, self.last_ns)
        self.last_ns = release_ns
        self.spent.append((release_ns, units))

    def fill(self, release_ns: int) -> None:
        """Count the whole room as spent by somebody else until `release_ns`."""
        if self.room > 0:
            self.add(release_ns, self.room)
            self.room = 0

    def foreign(
        self, used: int, until_ns: int, now_ns: int, later: int = 0, slack_ns: int = 0
    ) -> bool:
        """Count what makes our count less than `used` as spent by somebody else until `until_ns`,
        a window from now at the longest; return whether there is any.

        The exchange counts in a window of its own that closes then. Of ours it has seen what was
        taken since that opened, less the `later` units that can only reach it after its count;
        releases are right to `slack_ns`.
        """
        self.advance(now_ns)
        until_ns = min(until_ns, now_ns + self.window_ns)
        if until_ns <= now_ns:
            return False
        if abs(until_ns - self._closes_ns) > self.window_ns // 2:
            if until_ns < self._closes_ns:
                return False  # told of the window before
            self._opened(until_ns, slack_ns)
        ours = self._passed + self.count - self.room - self._before - later
        unknown = min(used, self.count) - ours
        if unknown <= 0:
            return False
        self.room -= unknown
        release = (until_ns, unknown)
        if until_ns >= self.last_ns:
            self.add(*release)
        else:  # somebody else's end when they end, whatever of ours was sent since
            self.spent.insert(bisect_right(self.spent, release), release)
        return True

    def _opened(self, until_ns: int, slack_ns: int) -> None:
        """Another window of the exchange's has been told of: what of ours was before it?"""
        self._closes_ns = until_ns
        self._before = self._passed
        for release_ns, units in self.spent:
            if release_ns >= until_ns - slack_ns:
                break
            self._before += units

    def shut(self, until_ns: int) -> None:
        """Let nothing be taken before `until_ns`."""
        self.shut_ns = max(self.shut_ns, until_ns)

    def recall(self, rows: Iterable[tuple[int, int]]) -> None:
        """Add (release, units) of an earlier life."""
        self._closes_ns = _UNKNOWN
        for release_ns, units in sorted(rows):
            self.room -= units
            self.add(release_ns, units)

    def take_over(self, other: Window, now_ns: int) -> None:
        """Count what `other` holds and has spent here, as if it had been so from the first.

        Both have the same length. There may be no room then for a while, or less than none. What
        is on its way stays held until its answer is in, like all that is. `other` is left empty.
        """
        self.advance(now_ns)
        other.advance(now_ns)
        self.room -= other.count - other.room
        for holder, units in other.held.items():
            self.held[holder] = self.held.get(holder, 0) + units
        if other.spent:
            self.spent = deque(sorted([*self.spent, *other.spent]))
        self.last_ns = max(self.last_ns, other.last_ns)
        self.shut(other.shut_ns)
        self._closes_ns = _UNKNOWN  # to be looked at again
        other.held = {}
        other.spent = deque()
        other.room = other.count

    def resize(self, count: int, window_ns: int, now_ns: int) -> None:
        """Change the limit; what was spent under the old one goes on counting.

        A longer window reaches back to units that were forgotten already. How many they were is
        not known (the limit may have been wider before): nothing may be taken while they count.
        """
        self.advance(now_ns)
        self._closes_ns = _UNKNOWN
        longer_ns = window_ns - self.window_ns
        self.room += count - self.count
        forgotten_ns = min(self.last_ns, now_ns) + longer_ns
        if longer_ns:
            self.spent = deque((release_ns + longer_ns, units) for release_ns, units in self.spent)
        if longer_ns > 0 and self.last_ns and forgotten_ns > now_ns:
            self.shut(forgotten_ns)
        if self.last_ns:
            self.last_ns += longer_ns
        self.count = count
        self.window_ns = window_ns
        self.advance(now_ns)

    def release_ns(self, units: int) -> int:
        """Return when `units` are free by what is spent alone; 0: they are; -1: held ones lack."""
        lacking = units - self.room
        if lacking <= 0:
            return self.shut_ns
        for release_ns, freed in self.spent:
            lacking -= freed
            if lacking <= 0:
                return max(release_ns, self.shut_ns)
        return -1

    def releases(self, now_ns: int, jitter_ns: int) -> Iterator[tuple[int, int]]:
        """Yield (instant, units): when each unit that is not free can be at the earliest.

        Units taken and not yet sent could be given back now; those on their way cannot be
        released before their window has passed.
        """
        flying = []
        for holder, units in self.held.items():
            if holder.sent_ns:
                flying.append((holder.sent_ns, units))
            else:
                yield now_ns, units
        yield from self.spent
        flying.sort()
        for sent_ns, units in flying:
            yield max(sent_ns + jitter_ns + self.window_ns, self.last_ns, now_ns), units

    def earliest_ns(self, nth: int, now_ns: int, jitter_ns: int) -> int:
        """Return a lower bound of the instant when the `nth` unit from now on can be taken.

        Those before it are taken as soon as each can be, and hold for a window at least.
        """
        self.advance(now_ns)
        rounds, before = divmod(nth - 1, self.count)
        lacking = before + 1 - self.room
        at_ns = max(now_ns, self.shut_ns)
        for release_ns, units in self.releases(now_ns, jitter_ns):
            if lacking <= 0:
                break
            lacking -= units
            at_ns = max(at_ns, release_ns)
        return at_ns + rounds * (self.window_ns + jitter_ns)

    def instants(self, now_ns: int, jitter_ns: int) -> list[int]:
        """Return `earliest_ns` of the first `count` units, all at once."""
        self.advance(now_ns)
        open_ns = max(now_ns, self.shut_ns)
        instants = [open_ns] * self.room
        for release_ns, units in self.releases(now_ns, jitter_ns):
            instants += [max(release_ns, open_ns)] * units
        return instants[-self.count :]
