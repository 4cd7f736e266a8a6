"""A batch is one transaction, and what one line does another sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.accounts.importing import Importer, Line
from proxy.accounts.terms import Terms
from proxy.errors import StoreError
from proxy.exchanges import registry
from proxy.model import KeyTriple

if TYPE_CHECKING:
    from tests.accounts.conftest import Bench


def importer(bench: Bench, *, dry: bool = False) -> Importer:
    exchanges = {"okx": registry.exchanges()["okx"]}
    return Importer(bench.store, bench.enrolment.settler, exchanges, dry=dry)


def line(number: int, user: str, key: str = "", **terms: object) -> Line:
    real = KeyTriple(key or f"own-{user}", "secret", "passphrase")
    return Line(number, Terms(user, "okx", real=real, **terms))  # type: ignore[arg-type]


async def test_a_batch_counts_the_revision_up_once_and_not_without_a_change(
    bench: Bench,
) -> None:
    lines = [line(number, f"user{number}", issue=True) for number in range(5)]
    before = await bench.store.revision()
    await importer(bench).take(lines)
    assert await bench.store.revision() == before + 1
    await importer(bench).take(lines)
    assert await bench.store.revision() == before + 1
    await importer(bench, dry=True).take([line(1, "another")])
    assert await bench.store.revision() == before + 1


async def test_a_reader_is_told_of_the_whole_batch(bench: Bench) -> None:
    seen = await bench.store.revision()
    await importer(bench).take([line(1, "alice"), line(2, "bob", issue=True)])
    changes = await bench.store.changes(seen)
    assert [(row.user, len(row.credentials)) for row in changes.accounts] == [
        ("alice", 1),
        ("bob", 2),
    ]


async def test_a_batch_that_cannot_be_written_leaves_nothing(bench: Bench) -> None:
    async with bench.database.write() as connection:
        await connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON credentials WHEN NEW.role = 'issued'"
            " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    before = await bench.store.revision()
    with pytest.raises(StoreError, match="disk full"):
        await importer(bench).take([line(1, "alice"), line(2, "bob", issue=True)])
    assert await bench.store.find() == []
    assert await bench.store.revision() == before


async def test_accounts_may_swap_their_keys_in_two_batches_at_the_least(bench: Bench) -> None:
    """Line by line, a key has to be free before it is taken."""
    await importer(bench).take([line(1, "alice", "A"), line(2, "bob", "B")])
    swap = await importer(bench).take([line(1, "alice", "B"), line(2, "bob", "A")])
    assert [one.result for one in swap] == ["failed", "failed"]
    over = [line(1, "alice", "C"), line(2, "bob", "A")]
    assert [one.result for one in await importer(bench).take(over)] == ["changed", "changed"]
