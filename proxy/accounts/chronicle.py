"""Writes down what accounts did and what was learned of them, for the next process and for
commands in others: every two seconds, a thousand accounts at most, who waits longest first.

A database that cannot be written for a while is reported once, and loses nothing: what was not
written down stays in memory and is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, final

from proxy.accounts.records import Doings, Facts, memories, save
from proxy.errors import StoreError
from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from proxy.accounts.activity import Activity
    from proxy.accounts.database import Database
    from proxy.accounts.standing import Memory, Standing
    from proxy.accounts.standings import Standings

FLUSH_S: Final = 2.0
_FLUSHED_AT_ONCE: Final = 1_000  # accounts, about 25 ms in all, and one transaction
_LOOKED_AT_ONCE: Final = 1_000  # accounts per step of the loop, about 0.1 ms
_ENCODED_AT_ONCE: Final = 50  # about 0.2 ms


@final
class Chronicle:
    """Writes what is new of `standings` until stopped; `report` gets one line for each new
    fault."""

    __slots__ = (
        "_database",
        "_learning",
        "_next",
        "_report",
        "_reported",
        "_standings",
        "_stopping",
        "_task",
        "_writing",
    )

    def __init__(
        self, database: Database, standings: Standings, report: Callable[[str], None]
    ) -> None:
        self._database = database
        self._standings = standings
        self._report = report
        self._reported = ""
        self._next = 0  # whose turn it is first
        self._writing = asyncio.Lock()  # what is older must not be written over what is newer
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._learning: asyncio.Task[None] | None = None

    async def memories(self) -> dict[str, Memory]:
        """Return what earlier processes knew, by account id, for `Directory.load`.

        What cannot be read is reported and counts from now on. Raises `StoreError`.
        """
        found = await memories(self._database)
        damaged = [account_id for account_id, one in found.items() if one.damaged]
        if damaged:
            named = ", ".join(damaged[:3]) + (", …" if damaged[3:] else "")
            self._report(
                f"what {len(damaged)} accounts did lately is damaged or a newer tagproxy's, and"
                f" counts from now on: {named}"
            )
        return found

    def start(self) -> None:
        """Begin to write."""
        self._task = spawn("accounts.chronicle", self._run(), self._died)
        self._learning = spawn("accounts.learned", self._write_learned(), self._died)

    async def stop(self) -> None:
        """Stop, and write what is left."""
        self._stopping.set()
        self._standings.news.set()
        if self._task is not None and self._learning is not None:
            await asyncio.wait([self._task, self._learning])
            self._task = self._learning = None
        await self.flush()

    async def flush(self) -> None:
        """Write everything that is new; report what keeps it from being written."""
        await self._flush(len(self._standings))

    async def _write_learned(self) -> None:
        """Write at once what was learned: were it lost with the process, the next one would count
        what it spends under another name until it has asked again."""
        standings = self._standings
        while not self._stopping.is_set():
            await standings.news.wait()
            standings.news.clear()
            learned = list(standings.learned_lately.values())
            standings.learned_lately.clear()
            await self._flush(len(learned), learned)

    async def _flush(self, at_most: int, chosen: list[Standing] | None = None) -> None:
        fault = ""
        try:
            async with self._writing:
                new = await self._new(at_most) if chosen is None else chosen
                for at in range(0, len(new), _FLUSHED_AT_ONCE):
                    await self._write(new[at : at + _FLUSHED_AT_ONCE])
        except StoreError as error:
            fault = f"what accounts did cannot be written down for now: {error}"
        except Exception as error:  # noqa: BLE001 - whatever one flush meets, the next must come
            fault = f"what accounts did cannot be written down: {type(error).__name__}"
        if fault and fault != self._reported:
            self._report(fault)
        self._reported = fault

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._stopping.wait()
                    return
            await self._flush(_FLUSHED_AT_ONCE)

    async def _new(self, at_most: int) -> list[Standing]:
        """Return the accounts to write, beginning where the last round ended."""
        every = list(self._standings)
        first = self._next
        new: list[Standing] = []
        for at, standing in enumerate(every[first:] + every[:first]):
            if at % _LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)  # requests go on meanwhile
            if standing.unsaved or standing.activity.dirty:
                if len(new) == at_most:
                    self._next = (first + at) % len(every)
                    break
                new.append(standing)
        return new

    async def _write(self, standings: Sequence[Standing]) -> None:
        facts: dict[str, Facts] = {}
        doings: dict[str, Doings] = {}
        try:
            for at, standing in enumerate(standings):
                if at % _ENCODED_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if standing.unsaved:
                    facts[standing.account_id] = _facts(standing)
                    standing.unsaved = False
                if standing.activity.dirty:
                    doings[standing.account_id] = _doings(standing)
                    standing.activity.dirty = False
            await save(self._database, list(facts.values()), list(doings.values()))
        except BaseException:
            for standing in standings:
                standing.unsaved |= standing.account_id in facts
                standing.activity.dirty |= standing.account_id in doings
            raise

    def _died(self, name: str, error: BaseException) -> None:
        self._report(f"{name} ended, what accounts do is not kept: {type(error).__name__}")


async def activities(
    database: Database, account_ids: Iterable[str] | None = None
) -> dict[str, Activity]:
    """Return what accounts did lately, all or some, by account id; those that never did anything
    are left out. Some seconds late where another process serves. Raises `StoreError`."""
    found = await memories(database, account_ids)
    return {
        account_id: one.activity for account_id, one in found.items() if one.activity is not None
    }


def _facts(standing: Standing) -> Facts:
    return Facts(
        standing.account_id,
        standing.key,
        standing.uid,
        standing.main_uid,
        standing.addresses,
        standing.permissions,
        standing.learned_ms,
    )


def _doings(standing: Standing) -> Doings:
    activity = standing.activity
    return Doings(standing.account_id, activity.last_seen_ms, activity.encode())
