"""What the limits and the replay guard leave behind for the next process.

Long windows are written as they are spent, so that a crash forgets nothing; short ones are handed
over at a clean stop only. A hand-over is sealed (the replay guard's rows are signatures), is
read once, and is gone with the reading, so that no later process can believe it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

import orjson
from sqlalchemy import delete, insert, select

from proxy.accounts.schema import HAND_OVERS, LIMIT_HISTORY
from proxy.accounts.vault import Sealed, handover_place
from proxy.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.accounts.database import Database
    from proxy.accounts.vault import Vault

_COUNTS: Final = "limits"
_LENGTH_BYTES: Final = 4


@final
class Spent(NamedTuple):
    """Units of one limit that may have been used at the instant `wall_ms` (Unix)."""

    key: str
    units: int
    wall_ms: int
    window_ms: int


@final
class History:
    """Spent units and hand-overs of one database."""

    __slots__ = ("_database", "vault")

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self.vault = vault

    async def reserve(self, key: str, units: int, wall_ms: int, window_ms: int) -> None:
        """Record units as spent; when this returns they outlive the process.

        What has left its window by `wall_ms` is deleted in passing. Raises `StoreError`.
        """
        row = {
            "key": key,
            "units": units,
            "wall_ms": wall_ms,
            "window_ms": window_ms,
            "ends_ms": wall_ms + window_ms,
        }
        over = LIMIT_HISTORY.c.ends_ms <= wall_ms
        async with self._database.write() as connection:
            await connection.execute(insert(LIMIT_HISTORY).values(row))
            await connection.execute(delete(LIMIT_HISTORY).where(over))

    async def load(self, now_ms: int) -> list[Spent]:
        """Return what still counts at `now_ms` (Unix), oldest first. Raises `StoreError`."""
        table = LIMIT_HISTORY.c
        counting = (
            select(table.key, table.units, table.wall_ms, table.window_ms)
            .where(table.ends_ms > now_ms)
            .order_by(table.wall_ms, table.id)
        )
        async with self._database.read() as connection:
            return [Spent(*row) for row in await connection.execute(counting)]

    async def save_handover(self, kind: str, rows: Iterable[bytes]) -> None:
        """Leave `rows` to the next process, in place of what was left before.

        Raises `StoreError`.
        """
        sealed = self.vault.seal(_joined(rows), handover_place(kind))
        row = {"kind": kind, "master_id": sealed.master_id, "payload": sealed.seal}
        async with self._database.write() as connection:
            await connection.execute(delete(HAND_OVERS).where(HAND_OVERS.c.kind == kind))
            await connection.execute(insert(HAND_OVERS).values(row))

    async def save_counts(self, rows: Iterable[tuple[str, int, int, int]]) -> None:
        """Leave the short windows' counts, as `Spent`, to the next process."""
        await self.save_handover(_COUNTS, (orjson.dumps(tuple(row)) for row in rows))

    async def take_counts(self) -> list[Spent] | None:
        """Return the short windows' counts and forget them; None as in `take_handover`."""
        rows = await self.take_handover(_COUNTS)
        return None if rows is None else [Spent(*orjson.loads(row)) for row in rows]

    async def take_handover(self, kind: str) -> list[bytes] | None:
        """Return the rows left under `kind` and forget them.

        None when there are none, or none that this vault opens: then the last process has to be
        taken for dead. Raises `StoreError`.
        """
        taken = (
            delete(HAND_OVERS)
            .where(HAND_OVERS.c.kind == kind)
            .returning(HAND_OVERS.c.master_id, HAND_OVERS.c.payload)
        )
        async with self._database.write() as connection:
            row = (await connection.execute(taken)).first()
        if row is None:
            return None
        try:
            return list(_parted(self.vault.open(Sealed(*row), handover_place(kind))))
        except VaultError:
            return None


def _joined(rows: Iterable[bytes]) -> bytes:
    return b"".join(len(row).to_bytes(_LENGTH_BYTES, "big") + row for row in rows)


def _parted(joined: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(joined):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(joined[at:start], "big")
        yield joined[start:at]
