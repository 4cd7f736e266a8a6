"""One running proxy per database: counts kept in memory are true for one process only.

A lock on a file beside the database is held for life and falls with the process, however it
ends. A row tells how the last process ended: by a clean stop, or not. `flock(2)`.
"""

from __future__ import annotations

import fcntl
import os
from secrets import token_hex
from typing import TYPE_CHECKING, Final, Literal, final

from sqlalchemy import delete, insert, select, update

from proxy.accounts.schema import INSTANCES
from proxy.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.accounts.database import Database
    from proxy.clock import Clock

Previous = Literal["none", "clean", "died"]

_PID_BYTES_MAX: Final = 20


@final
class Instance:
    """This process's claim on a database. `previous` tells how the last one ended; after `died`
    anything it may have sent counts as sent."""

    __slots__ = ("_clock", "_database", "_id", "_lock", "previous")

    def __init__(
        self, database: Database, clock: Clock, lock: int, instance_id: str, previous: Previous
    ) -> None:
        self._database = database
        self._clock = clock
        self._lock = lock
        self._id = instance_id
        self.previous: Previous = previous

    async def release(self, *, clean: bool) -> None:
        """Give the database up; `clean` only after every count was handed over.

        Raises `StoreError`; the lock is gone all the same.
        """
        try:
            if clean:
                ended = {"stopped_ms": self._clock.wall_ms(), "clean": True}
                async with self._database.write() as connection:
                    await connection.execute(
                        update(INSTANCES).where(INSTANCES.c.id == self._id).values(ended)
                    )
        finally:
            os.close(self._lock)


async def claim(database: Database, clock: Clock) -> Instance:
    """Claim a database for this process. Raises `StoreError` when another process has it."""
    if database.path is None:
        raise StoreError("limits kept in memory need an SQLite database: one process can lock it")
    lock = _locked(database.path.with_name(database.path.name + ".lock"))
    try:
        instance_id = token_hex(8)
        previous = await _succeed(database, instance_id, clock.wall_ms())
    except BaseException:
        os.close(lock)
        raise
    return Instance(database, clock, lock, instance_id, previous)


def _locked(path: Path) -> int:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(lock, _PID_BYTES_MAX, 0).decode("ascii", "replace").strip()
        os.close(lock)
        who = f"process {holder}" if holder.isdigit() else "another process"
        raise StoreError(f"{who} serves from this database already ({path})") from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


async def _succeed(database: Database, instance_id: str, now_ms: int) -> Previous:
    """Read how the last process ended, and put this one in its place as not ended yet."""
    row = {"id": instance_id, "pid": os.getpid(), "started_ms": now_ms, "clean": False}
    async with database.write() as connection:
        ended = list((await connection.execute(select(INSTANCES.c.clean))).scalars())
        await connection.execute(delete(INSTANCES))
        await connection.execute(insert(INSTANCES).values(row))
    if not ended:
        return "none"
    return "clean" if all(ended) else "died"
