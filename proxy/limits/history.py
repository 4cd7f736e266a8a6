"""What must outlive the process: the rows of spent units, and paying for long windows ahead.

A short window that a dead process may have used is waited out at the next start; waiting out an
hour is no answer, so units of long windows are stored before they are spent, in small chunks.
Nothing here touches a database: a `SpentStore` is handed in.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, final

import orjson

if TYPE_CHECKING:
    from proxy.model import Pool

Subject = tuple[str, str, bool]  # site host; exchange uid, key or egress address; demo

LONG_WINDOW_NS: Final = 10_000_000_000  # longer ones are stored, not waited out
_CHUNKS: Final = 20  # how many chunks a whole limit is stored in
_LIVES: Final = 4  # a stored chunk may be used for this part of its window


@final
class SpentRow(NamedTuple):
    """Units of one bucket that may have been spent at `wall_ms` (Unix) and count `window_ms`."""

    key: str
    units: int
    wall_ms: int
    window_ms: int

    def encode(self) -> bytes:
        """Return the row as bytes for a hand-over."""
        return orjson.dumps(tuple(self))

    @classmethod
    def decode(cls, encoded: bytes) -> SpentRow:
        """Read what `encode` wrote. Raises ValueError or TypeError for anything else."""
        return cls(*orjson.loads(encoded))


class SpentStore(Protocol):
    """Where units of long windows are stored before they are spent."""

    async def reserve(self, key: str, units: int, wall_ms: int, window_ms: int) -> None:
        """Store that units count as spent from `wall_ms` for `window_ms`.

        Return only when the row outlives a crash. Raise when it might not: then nothing is
        spent. Rows add up; one may be deleted once its `window_ms` has passed.
        """


def key_text(subject: Subject, pool_name: str, value: str) -> str:
    """Name a bucket in storage. Only `value` comes from outside, and it stands last."""
    return f"{subject_text(subject)}|{part_text(pool_name, value)}"


def subject_text(subject: Subject) -> str:
    """What the names of all buckets of a subject begin with."""
    site, who, demo = subject
    return f"{site}|{who}|{'demo' if demo else 'real'}"


def part_text(pool_name: str, value: str) -> str:
    """What tells the buckets of one subject apart."""
    value = value.encode("utf-8", "backslashreplace").decode()  # lone surrogates are no text
    return f"{pool_name}|{value}"


def parted(key: str) -> tuple[str, str]:
    """Part what `key_text` joined: the subject's text and the bucket's."""
    site, who, flag, part = (*key.split("|", 3), "", "", "")[:4]
    return f"{site}|{who}|{flag}", part


def chunk_units(count: int) -> int:
    """Return how many units of a limit are stored at a time."""
    return max(1, count // _CHUNKS)


def chunk_life_ns(pool: Pool) -> int:
    """Return how long a stored chunk may be used; after a crash it counts that much longer."""
    return pool.window_ns // _LIVES


@final
class Prepaid:
    """Units of one long-window bucket that are stored and not yet spent."""

    __slots__ = ("_chunks", "asking")

    def __init__(self) -> None:
        self._chunks: list[list[int]] = []  # [lapse, units], in order of lapse
        self.asking = False  # a chunk is being stored

    def left(self, now_ns: int) -> int:
        """Return the units that may be spent. Lapsed ones are forgotten."""
        chunks = self._chunks
        while chunks and chunks[0][0] <= now_ns:
            del chunks[0]
        return sum(units for _, units in chunks)

    def add(self, lapse_ns: int, units: int) -> None:
        """Count a stored chunk."""
        insort(self._chunks, [lapse_ns, units])

    def take_over(self, other: Prepaid) -> None:
        """Count the chunks of another as this one's; the other has none then."""
        self._chunks = sorted([*self._chunks, *other._chunks])
        other._chunks = []

    def use(self, units: int) -> None:
        """Spend units, of the chunk that lapses first. The caller has looked at `left`."""
        chunks = self._chunks
        while units:
            used = min(units, chunks[0][1])
            chunks[0][1] -= used
            units -= used
            if not chunks[0][1]:
                del chunks[0]

    def wanted(self, now_ns: int, waiting: int, count: int) -> int:
        """Return how many units to store next; 0 while there are enough.

        `waiting` are those that could go now. A chunk is asked for before the last is used up,
        but where it is one unit: there a spare one would be too much of the limit.
        """
        left, chunk = self.left(now_ns), chunk_units(count)
        if left >= waiting and left > chunk // 2:
            return 0
        if chunk == 1 and left >= waiting:
            return 0
        return min(count, max(chunk, waiting - left))
