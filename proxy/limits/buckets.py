"""Every bucket there is: found by key, made on demand, dropped when idle, kept over a restart.

A bucket is dropped only when that forgets nothing, so a new one in its place counts the same.
Long windows are paid for ahead through the `SpentStore`; short ones that a dead process may have
used start shut. Subjects that turn out to be one share their buckets from then on. Who waits for
what is `limiter.py`'s.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, final

from proxy.limits.bucket import Bucket, BucketsFull
from proxy.limits.history import (
    LONG_WINDOW_NS,
    Prepaid,
    SpentRow,
    chunk_life_ns,
    key_text,
    part_text,
    parted,
    subject_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from proxy.clock import Clock
    from proxy.limits.history import SpentStore, Subject
    from proxy.model import Pool

BUCKETS_MAX: Final = 65_536  # about a KiB each
BUCKETS_PER_SUBJECT_MAX: Final = 8_192
_SWEPT: Final = 2  # buckets looked at whenever one is made
_SWEPT_WHEN_FULL: Final = 64
_MS: Final = 1_000_000

Key: TypeAlias = "tuple[Subject, str, str]"  # subject, pool name, value


class Spawn(Protocol):
    """`tasks.spawn`, or what a test has in its place."""

    def __call__(self, name: str, coroutine: Coroutine[Any, Any, None], /) -> object: ...


@final
class Buckets:
    """The table of buckets. `freed` is called when a bucket may let more through than before."""

    def __init__(
        self,
        clock: Clock,
        jitter_ns: Callable[[], int],
        unknown_before_ns: int,
        store: SpentStore | None,
        spawn: Spawn,
        freed: Callable[[Bucket, int], None],
    ) -> None:
        self._clock = clock
        self._jitter_ns = jitter_ns
        self._unknown_before_ns = unknown_before_ns
        self._store = store
        self._spawn = spawn
        self._freed = freed
        self._table: OrderedDict[Key, Bucket] = OrderedDict()
        self._by_subject: dict[Subject, dict[Key, Bucket]] = {}
        self._heirs: dict[Subject, Subject] = {}  # one for each key and market whose user is known
        # rows of an earlier life that no bucket has taken yet, by the subject's text and the part's
        self._restored: dict[str, dict[str, list[tuple[int, int]]]] = {}
        self._restored_ns = 0

    def __len__(self) -> int:
        return len(self._table)

    def find(self, pool: Pool, subject: Subject, value: str) -> Bucket:
        """Return the bucket of a pool, subject and value; it takes on the pool's limit.

        Raises `BucketsFull` when a new one is needed and there are too many that still count.
        """
        bucket = self._table.get((subject, pool.name, value))
        if bucket is None:
            if subject in self._heirs:
                return self.find(pool, self._heirs[subject], value)
            return self._make(pool, (subject, pool.name, value))
        if bucket.pool is not pool:
            self._change(bucket, pool)
        return bucket

    def existing(self, pool: Pool, subject: Subject, value: str) -> Bucket:
        """As `find`, but a bucket that is there keeps its limit: `pool` is of a configuration
        that is not in force any more."""
        bucket = self._table.get((self._heir(subject), pool.name, value))
        return bucket if bucket is not None else self.find(pool, subject, value)

    def live(self, bucket: Bucket) -> Bucket:
        """Return the bucket to use in place of a dropped one: itself again, or its successor."""
        subject, name, value = bucket.key
        bucket.key = (self._heir(subject), name, value)
        current = self._table.get(bucket.key)
        if current is None:
            now_ns = self._clock.monotonic_ns()
            self._insert(bucket)
            current = bucket
            bucket.dropped = False
            self._recall(bucket, now_ns)
            bucket.settle(now_ns)
        return current

    def of(self, subject: Subject) -> list[Bucket]:
        """Return every bucket that a subject has now."""
        return list(self._by_subject.get(self._heir(subject), {}).values())

    def unite(self, old: Subject, new: Subject) -> list[tuple[Bucket, Bucket]]:
        """Give the buckets of `old` to `new`, and whatever is asked for under `old` from now on.

        Where `new` has the same bucket already, the caller has to let it absorb the other: these
        pairs (heir, other) are returned; `recall` is to be called after that. What is stored for
        `old` stays under its name: the next process has to unite the two again.
        """
        old, new = self._heir(old), self._heir(new)
        if old == new:
            return []
        self._heirs[old] = new
        pairs = []
        for key, bucket in self._by_subject.pop(old, {}).items():
            del self._table[key]
            heir = self._table.get((new, *key[1:]))
            if heir is None:
                bucket.key = (new, *key[1:])
                self._insert(bucket)
            else:
                pairs.append((heir, bucket))
        restored = self._restored.pop(subject_text(old), {})
        if restored:
            known = self._restored.setdefault(subject_text(new), {})
            for part, rows in restored.items():
                known.setdefault(part, []).extend(rows)
        return pairs

    def recall(self, subject: Subject, now_ns: int) -> None:
        """Let the buckets of a subject count the rows of an earlier life that it came by."""
        if subject_text(subject) in self._restored:
            for bucket in self.of(subject):
                self._recall(bucket, now_ns)
                bucket.settle(now_ns)

    def _heir(self, subject: Subject) -> Subject:
        while subject in self._heirs:
            subject = self._heirs[subject]
        return subject

    def top_up(self, bucket: Bucket, now_ns: int) -> None:
        """Store the next chunk of a long-window bucket, in the background, if it will be needed."""
        prepaid = bucket.prepaid
        if prepaid is None or prepaid.asking:
            return
        units = prepaid.wanted(now_ns, min(bucket.queued, max(bucket.room, 0)), bucket.count)
        if units:
            prepaid.asking = True
            self._spawn("limits-reserve", self._reserve(bucket, prepaid, units))

    async def _reserve(self, bucket: Bucket, prepaid: Prepaid, units: int) -> None:
        store = self._store
        assert store is not None
        life_ns = chunk_life_ns(bucket.pool)
        lapse_ns = self._clock.monotonic_ns() + life_ns
        counts_ns = life_ns + bucket.window_ns + self._jitter_ns()
        key = key_text(*bucket.key)
        try:
            await store.reserve(key, units, self._clock.wall_ms(), counts_ns // _MS + 1)
        finally:
            # After a failure the next request asks again; those that wait run into their limit.
            prepaid.asking = False
        heir = self._table.get(bucket.key, bucket)  # it may have become part of another meanwhile
        (heir.prepaid or prepaid).add(lapse_ns, units)
        self._freed(heir, self._clock.monotonic_ns())

    def _make(self, pool: Pool, key: tuple[Subject, str, str]) -> Bucket:
        now_ns = self._clock.monotonic_ns()
        self._sweep(_SWEPT, now_ns)
        if self._is_full(key[0]):
            self._sweep(_SWEPT_WHEN_FULL, now_ns)
            if self._is_full(key[0]):
                raise BucketsFull
        bucket = Bucket(pool, key)
        if self._store is not None and pool.window_ns > LONG_WINDOW_NS:
            bucket.prepaid = Prepaid()
        elif self._unknown_before_ns:
            bucket.shut(self._unknown_before_ns + pool.window_ns + self._jitter_ns())
        self._recall(bucket, now_ns)
        bucket.settle(now_ns)
        self._insert(bucket)
        self.top_up(bucket, now_ns)
        return bucket

    def _change(self, bucket: Bucket, pool: Pool) -> None:
        """Take on another limit; what was spent goes on counting."""
        now_ns = self._clock.monotonic_ns()
        changed = (bucket.count, bucket.window_ns) != (pool.count, pool.window_ns)
        bucket.pool = pool
        if not changed:
            return
        bucket.resize(pool.count, pool.window_ns, now_ns)
        long = self._store is not None and pool.window_ns > LONG_WINDOW_NS
        if not long:
            bucket.prepaid = None
        elif bucket.prepaid is None:
            bucket.prepaid = Prepaid()
        bucket.settle(now_ns)
        self._freed(bucket, now_ns)

    # How many there may be.

    def _insert(self, bucket: Bucket) -> None:
        self._table[bucket.key] = bucket
        self._by_subject.setdefault(bucket.key[0], {})[bucket.key] = bucket

    def _is_full(self, subject: Subject) -> bool:
        return (
            len(self._table) >= BUCKETS_MAX
            or len(self._by_subject.get(subject, ())) >= BUCKETS_PER_SUBJECT_MAX
        )

    def _sweep(self, looked_at: int, now_ns: int) -> None:
        """Drop what is idle among the next few in line: a bounded part of every making."""
        table = self._table
        for _ in range(min(looked_at, len(table))):
            key, bucket = table.popitem(last=False)
            if not bucket.idle(now_ns):
                table[key] = bucket
                continue
            bucket.dropped = True
            bucket.plain = False
            others = self._by_subject[key[0]]
            del others[key]
            if not others:
                del self._by_subject[key[0]]

    # Over a restart.

    def restore(self, rows: Iterable[tuple[str, int, int, int]], wall_ms: int) -> None:
        """Take on what an earlier process spent: (key, units, wall_ms, window_ms), see `SpentRow`.

        Before the first bucket is made. Trusts the wall clock over the restart.
        """
        assert not self._table
        now_ns = self._restored_ns = self._clock.monotonic_ns()
        for key, units, spent_ms, window_ms in rows:
            left_ms = spent_ms + window_ms - wall_ms
            if left_ms > 0:
                subject, part = parted(key)
                rows_of = self._restored.setdefault(subject, {})
                rows_of.setdefault(part, []).append((now_ns + left_ms * _MS, units))

    def _recall(self, bucket: Bucket, now_ns: int) -> None:
        """A dead process has spent nothing since: no row counts longer than a window from then."""
        if not self._restored:
            return
        subject, name, value = bucket.key
        who = subject_text(subject)
        parts = self._restored.get(who, {})
        rows = parts.pop(part_text(name, value), ())
        if rows and not parts:
            del self._restored[who]
        last_ns = self._restored_ns + bucket.window_ns + self._jitter_ns()
        bucket.recall((min(release_ns, last_ns), units) for release_ns, units in rows)
        bucket.advance(now_ns)

    def snapshot(self, wall_ms: int) -> list[SpentRow]:
        """Return what still counts, for the next process. Long windows are stored already."""
        now_ns = self._clock.monotonic_ns()
        rows = []
        for bucket in self._table.values():
            if bucket.prepaid is None:
                row = partial(_row, key_text(*bucket.key), wall_ms, now_ns, bucket.window_ns)
                rows += [row(*spent) for spent in _counting(bucket, now_ns, self._jitter_ns())]
        for subject, parts in self._restored.items():
            for part, spents in parts.items():
                rows += [
                    _row(f"{subject}|{part}", wall_ms, now_ns, release_ns - now_ns, *spent)
                    for spent in spents
                    if (release_ns := spent[0]) > now_ns
                ]
        return rows


def _counting(bucket: Bucket, now_ns: int, jitter_ns: int) -> Iterator[tuple[int, int]]:
    bucket.advance(now_ns)
    yield from bucket.spent
    for holder, units in bucket.held.items():
        if holder.sent_ns:
            yield now_ns + bucket.window_ns + jitter_ns, units
    if bucket.shut_ns > now_ns:
        yield bucket.shut_ns, bucket.count


def _row(
    key: str, wall_ms: int, now_ns: int, window_ns: int, release_ns: int, units: int
) -> SpentRow:
    window_ms = -(-window_ns // _MS)
    ends_ms = wall_ms - (now_ns - release_ns) // _MS + 1
    return SpentRow(key, units, ends_ms - window_ms, window_ms)
