"""The database of `[storage]`: its files, its connections, its shape brought up to date.

SQLite files are readable by their owner alone. A write takes the write lock with its first
statement, so that it never fails half-way for having read too early. Every database error leaves
here as a `StoreError` without statement, parameters or URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from sqlite3 import OperationalError
from typing import TYPE_CHECKING, Any, Final, final

from sqlalchemy import event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_only

from proxy.accounts.schema import HEAD
from proxy.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import URL, Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

BUSY_MS: Final = 5_000  # how long a write waits for another process's
_SETTING_TRIES: Final = 100
_SETTING_S: Final = 0.01
_OWNER_ONLY: Final = 0o600
_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {BUSY_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # issued credentials are shown once: they must be on disk
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what is removed is overwritten
)


@final
class Database:
    """An engine and the way to use it: `read` and `write` transactions."""

    __slots__ = ("_engine", "_name", "_writer", "path")

    def __init__(self, engine: AsyncEngine, path: Path | None) -> None:
        self._engine = engine
        self._writer = engine.execution_options(tagproxy_writes=True)
        self._name = "storage" if path is None else str(path)
        self.path = path  # of the SQLite file; None elsewhere

    @staticmethod
    async def open(url: str) -> Database:
        """Connect, make the files where there are none, and bring the tables up to date.

        Raises `StoreError`.
        """
        parsed = _parse(url)
        path = None
        if parsed.get_backend_name() == "sqlite":
            path = _sqlite_path(parsed)
            _make_private(path)
        database = Database(_engine(parsed, sqlite=path is not None), path)
        try:
            await database._migrate()
        except BaseException:
            await database.close()
            raise
        return database

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database throughout. Raises `StoreError`."""
        with _translated(self._name):
            async with self._engine.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is whole or did not happen. Raises `StoreError`."""
        with _translated(self._name):
            async with self._writer.begin() as connection:
                yield connection

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def _migrate(self) -> None:
        async with self.read() as connection:
            if await connection.run_sync(_version) == HEAD:
                return
        async with self.write() as connection:
            await connection.run_sync(_upgrade)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        return parsed.set(drivername=_DRIVERS[parsed.get_backend_name()])
    except (ArgumentError, KeyError):
        raise StoreError("the storage url is neither sqlite:// nor postgresql://") from None


def _sqlite_path(url: URL) -> Path:
    name = url.database or ""
    if name in ("", ":memory:") or name.startswith("file:") or url.query:
        raise StoreError("the storage url names no file: sqlite:////absolute/path")
    return Path(name)


def _make_private(path: Path) -> None:
    """Make the file, or take others' rights to it away. SQLite gives its side files the same.

    An existing file is never opened here: closing it again would drop SQLite's own locks.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            _create(path)
        except FileExistsError:
            _close_to_others(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def _close_to_others(path: Path) -> None:
    if not path.is_file():
        raise StoreError(f"{path}: is not a file")
    # a connection that cannot be opened leaves its thread a traceback to print; see it coming
    if not (os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)):
        raise StoreError(f"{path}: this user may not write it, or not beside it")
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        if file.exists() and file.stat().st_mode & 0o077:
            file.chmod(_OWNER_ONLY)


def _create(path: Path) -> None:
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _OWNER_ONLY)
    try:
        if os.geteuid() == 0:  # root adds the first user; the service must be able to read it
            folder = path.parent.stat()
            os.fchown(file, folder.st_uid, folder.st_gid)
    finally:
        os.close(file)


def _engine(url: URL, *, sqlite: bool) -> AsyncEngine:
    try:
        engine = create_async_engine(url, hide_parameters=True, pool_size=3, max_overflow=2)
    except ImportError as error:
        raise StoreError(f"the storage needs the package {error.name}") from None
    if sqlite:
        event.listen(engine.sync_engine, "connect", _sqlite_connected)
        event.listen(engine.sync_engine, "begin", _sqlite_begun)
    return engine


def _sqlite_connected(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by _sqlite_begun, not guessed
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        _set(cursor, pragma)
    cursor.close()


def _set(cursor: Any, pragma: str) -> None:
    """Whoever switches a new file to WAL while another does is refused without a wait."""
    for tries_left in reversed(range(_SETTING_TRIES)):
        try:
            cursor.execute(pragma)
        except OperationalError:
            if not tries_left:
                raise
            await_only(asyncio.sleep(_SETTING_S))
        else:
            return


def _sqlite_begun(connection: Connection) -> None:
    writes = connection.get_execution_options().get("tagproxy_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"{name}: {error.orig}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"{name}: {type(error).__name__}") from error
    except OSError as error:  # the way to a database server
        raise StoreError(f"{name}: {error.strerror or type(error).__name__}") from error


def _version(connection: Connection) -> str:
    """Return the newest migration that the database has seen, "" for a new database."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def _upgrade(connection: Connection) -> None:
    # imported here: most commands find the tables up to date, and this takes 0.2 s
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError as AlembicError

    config = Config()
    steps = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", steps.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except AlembicError as error:
        raise StoreError("the database was made by a newer tagproxy") from error
