"""The database itself: its shape, its files, its errors."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import TimeoutError as SQLAlchemyTimeout

import proxy.accounts.migrations
from proxy.accounts.database import Database, _translated
from proxy.accounts.records import memories
from proxy.accounts.schema import HEAD, METADATA
from proxy.errors import StoreError

if TYPE_CHECKING:
    from tests.accounts.conftest import Bench


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), METADATA))


async def test_migrations_lead_from_an_empty_file_to_the_tables_in_the_schema(
    bench: Bench,
) -> None:
    async with bench.database.read() as connection:
        assert await connection.run_sync(_differences) == []


def test_the_newest_migration_is_the_one_the_schema_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(*proxy.accounts.migrations.__path__)))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_what_an_older_version_stored_is_still_there(bench: Bench) -> None:
    await bench.add("alice", issue=True)
    before = await bench.store.find()
    async with bench.database.write() as connection:
        await connection.execute(text("DROP TABLE activity"))
        for column in ("addresses", "permissions", "learned_ms"):
            await connection.execute(text(f"ALTER TABLE credentials DROP COLUMN {column}"))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    again = await Database.open(bench.url)
    async with again.read() as connection:
        assert await connection.run_sync(_differences) == []
    await again.close()
    assert await bench.store.find() == before
    assert await memories(bench.database) == {}


async def test_opening_again_changes_nothing(bench: Bench) -> None:
    await bench.add("alice")
    before = await bench.store.find()
    again = await Database.open(bench.url)
    await again.close()
    assert await bench.store.find() == before


async def test_two_that_open_an_empty_database_at_once_both_succeed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    for database in await asyncio.gather(Database.open(url), Database.open(url)):
        async with database.read() as connection:
            count = await connection.execute(text("SELECT count(*) FROM revision"))
            assert count.scalar() == 1
        await database.close()


async def test_a_failed_migration_leaves_nothing_half_made(tmp_path: Path) -> None:
    path = tmp_path / "tagproxy.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE instances (x)")  # the last table that the first step makes
    other.close()
    with pytest.raises(StoreError, match="instances"):
        await Database.open(f"sqlite:///{path}")
    with sqlite3.connect(path) as other:
        tables = [row[0] for row in other.execute("SELECT name FROM sqlite_master")]
    other.close()
    assert tables == ["instances"]


async def test_a_database_of_a_newer_version_is_refused(bench: Bench) -> None:
    async with bench.database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer tagproxy"):
        await Database.open(bench.url)


async def test_every_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "tagproxy.db"
    before = os.umask(0)
    try:
        database = await Database.open(f"sqlite:///{path}")
    finally:
        os.umask(before)
    async with database.write() as connection:
        await connection.execute(text("UPDATE revision SET value = 7"))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await database.close()
    assert modes == {"tagproxy.db": 0o600, "tagproxy.db-wal": 0o600, "tagproxy.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "tagproxy.db"
    path.touch(0o644)
    path.chmod(0o644)
    await (await Database.open(f"sqlite:///{path}")).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_a_file_that_root_makes_belongs_to_the_folders_owner(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 65_534, 65_534)
    database = await Database.open(f"sqlite:///{folder / 'tagproxy.db'}")
    owners = {file.stat().st_uid for file in folder.iterdir()}
    await database.close()
    assert owners == {65_534}


async def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at as one" * 20)
    with pytest.raises(StoreError, match="not a database"):
        await Database.open(f"sqlite:///{path}")


async def test_a_directory_in_the_files_place_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "tagproxy.db").mkdir(0o755)
    with pytest.raises(StoreError, match="is not a file"):
        await Database.open(f"sqlite:///{tmp_path / 'tagproxy.db'}")
    assert stat.S_IMODE((tmp_path / "tagproxy.db").stat().st_mode) == 0o755


async def test_a_file_that_this_user_may_not_write_is_a_store_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != bench.path)
    with pytest.raises(StoreError, match="may not write"):
        await Database.open(bench.url)


async def test_a_place_where_nothing_can_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        await Database.open(f"sqlite:///{tmp_path / 'file' / 'tagproxy.db'}")


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////tmp/x.db?mode=ro", "names no file"),
        ("mysql://user:planted@host/db", "neither sqlite"),
        ("planted nonsense", "neither sqlite"),
        ("postgresql://user:planted@localhost/db", "needs the package asyncpg"),
    ],
)
async def test_a_storage_url_that_cannot_be_used_is_refused_without_quoting_it(
    url: str, what: str
) -> None:
    with pytest.raises(StoreError, match=what) as caught:
        await Database.open(url)
    assert "planted" not in str(caught.value)


async def test_an_error_tells_neither_statement_nor_parameters(bench: Bench) -> None:
    async with bench.database.write() as connection:
        await connection.execute(text("DROP TABLE revision"))
    with pytest.raises(StoreError) as caught:
        await bench.add("planted-name")
    assert "planted" not in str(caught.value) + repr(caught.value.__cause__)
    assert "no such table" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "storage: Connection refused"),
        (SQLAlchemyTimeout("planted"), "storage: TimeoutError"),
    ],
)
def test_errors_on_the_way_to_a_server_are_store_errors(error: Exception, what: str) -> None:
    with pytest.raises(StoreError) as caught, _translated("storage"):
        raise error
    assert str(caught.value) == what
