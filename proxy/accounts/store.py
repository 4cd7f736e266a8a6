"""Accounts in SQL: rows in, rows out. Secrets pass through sealed; nothing here can open them.

Every change counts the revision up first, which also makes writers take turns, so that a reader
who knows revision N has seen every change up to N.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from sqlalchemy import delete, insert, select, update

from proxy.accounts import rows
from proxy.accounts.rows import AccountRow, CredentialRow
from proxy.accounts.schema import ACCOUNTS, CREDENTIALS, REMOVALS, REVISION
from proxy.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from proxy.accounts.database import Database
    from proxy.accounts.rows import Change

__all__ = ["REMOVALS_KEPT", "AccountRow", "Changes", "CredentialRow", "Store"]

REMOVALS_KEPT: Final = 10_000  # revisions; who is further behind loads everything

Name: TypeAlias = tuple[str, str, str]  # exchange table, user, label
Claim: TypeAlias = tuple[str, bytes]  # exchange table, fingerprint of an API key


@final
@dataclass(frozen=True, slots=True)
class Changes:
    """What a reader has not seen yet. `everything`: forget what is not among `accounts`."""

    revision: int
    accounts: list[AccountRow]
    removed: list[str]
    everything: bool


@final
class Store:
    """The accounts of one database."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revision(self) -> int:
        """Return the number of the last change."""
        async with self._database.read() as connection:
            return await _revision(connection)

    async def changes(self, since: int | None) -> Changes:
        """Return what changed after revision `since`; everything for None or one far behind."""
        async with self._database.read() as connection:
            now = await _revision(connection)
            if since is None or now - since > REMOVALS_KEPT or now < since:
                return Changes(now, await rows.read(connection), [], everything=True)
            accounts = await rows.read(connection, ACCOUNTS.c.revision > since)
            gone = select(REMOVALS.c.account_id).where(REMOVALS.c.revision > since)
            removed = list((await connection.execute(gone)).scalars())
            return Changes(now, accounts, removed, everything=False)

    async def find(
        self, user: str | None = None, exchange: str | None = None, label: str | None = None
    ) -> list[AccountRow]:
        """Return the accounts that fit, by name, exchange and label."""
        wanted = ((ACCOUNTS.c.user, user), (ACCOUNTS.c.exchange, exchange))
        clauses = [column == value for column, value in wanted if value is not None]
        if label is not None:
            clauses.append(ACCOUNTS.c.label == label)
        async with self._database.read() as connection:
            return await rows.read(connection, *clauses)

    async def master_ids(self) -> set[str]:
        """Return the ids of the master keys that the stored secrets need."""
        async with self._database.read() as connection:
            ids = await connection.execute(select(CREDENTIALS.c.master_id).distinct())
            return set(ids.scalars())

    async def add(self, row: AccountRow) -> None:
        """Add an account with its credentials.

        Raises `CommandError` when there is one already or another account has the API key.
        """
        keys = {(row.exchange, one.fingerprint) for one in row.credentials if one.fingerprint}

        def decide(there: Mapping[Name, AccountRow], owners: Mapping[Claim, str]) -> list[Change]:
            if there:
                raise CommandError(
                    f"{row.user} has an account {row.label} on {row.exchange} already"
                )
            if owners:
                raise CommandError(f"another account on {row.exchange} has this API key")
            return [(None, row)]

        await self.edit([(row.exchange, row.user, row.label)], keys, decide)

    async def edit(
        self,
        names: Iterable[Name],
        claims: Iterable[Claim],
        decide: Callable[[Mapping[Name, AccountRow], Mapping[Claim, str]], Iterable[Change]],
    ) -> None:
        """Do to some hundred accounts, in one transaction, what `decide` says.

        It is told which of the accounts `names` are there and which account, by id, has each of
        the API keys in `claims`; what it raises undoes everything. Where it changes nothing the
        revision stays.
        """
        async with self._database.write() as connection:
            revision = await _count_up(connection)
            there = await _named(connection, set(names))
            owners = await _owners(connection, set(claims))
            changes = [one for one in decide(there, owners) if one[0] != one[1]]
            if changes:
                await rows.write(connection, changes, revision)
            else:
                await connection.rollback()

    async def change(self, ids: Iterable[str], values: Mapping[str, Any]) -> None:
        """Set columns of accounts."""
        async with self._database.write() as connection:
            revision = await _count_up(connection)
            for some in rows.in_parts(ids):
                await connection.execute(
                    update(ACCOUNTS)
                    .where(ACCOUNTS.c.id.in_(some))
                    .values(dict(values) | {"revision": revision})
                )

    async def remove(self, ids: Iterable[str]) -> None:
        """Remove accounts and their credentials."""
        async with self._database.write() as connection:
            revision = await _count_up(connection)
            for some in rows.in_parts(ids):
                await connection.execute(delete(ACCOUNTS).where(ACCOUNTS.c.id.in_(some)))
                gone = [{"account_id": one, "revision": revision} for one in some]
                await connection.execute(insert(REMOVALS), gone)
            old = REMOVALS.c.revision < revision - REMOVALS_KEPT
            await connection.execute(delete(REMOVALS).where(old))

    async def revoke(self, credential_id: str) -> bool:
        """End issued credentials; False when there are none of that id."""
        async with self._database.write() as connection:
            issued = (CREDENTIALS.c.id == credential_id) & (CREDENTIALS.c.role == "issued")
            owner = select(CREDENTIALS.c.account_id).where(issued)
            account_id = (await connection.execute(owner)).scalar()
            if account_id is None:
                return False
            await _touch(connection, account_id)
            await connection.execute(delete(CREDENTIALS).where(issued))
            return True


async def _revision(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(REVISION.c.value))).scalar_one())


async def _count_up(connection: AsyncConnection) -> int:
    raised = update(REVISION).values(value=REVISION.c.value + 1).returning(REVISION.c.value)
    return int((await connection.execute(raised)).scalar_one())


async def _touch(connection: AsyncConnection, account_id: str) -> None:
    revision = await _count_up(connection)
    await connection.execute(
        update(ACCOUNTS).where(ACCOUNTS.c.id == account_id).values(revision=revision)
    )


async def _named(connection: AsyncConnection, names: set[Name]) -> dict[Name, AccountRow]:
    if not names:
        return {}
    wanted = (
        ACCOUNTS.c.exchange.in_({exchange for exchange, _, _ in names}),
        ACCOUNTS.c.user.in_({user for _, user, _ in names}),
    )
    found = {
        (row.exchange, row.user, row.label): row for row in await rows.read(connection, *wanted)
    }
    return {name: found[name] for name in names & found.keys()}


async def _owners(connection: AsyncConnection, claims: set[Claim]) -> dict[Claim, str]:
    if not claims:
        return {}
    held = CREDENTIALS.c
    chosen = select(held.exchange, held.fingerprint, held.account_id).where(
        held.exchange.in_({exchange for exchange, _ in claims}),
        held.fingerprint.in_({fingerprint for _, fingerprint in claims}),
    )
    found = await connection.execute(chosen)
    owners = {(row.exchange, row.fingerprint): row.account_id for row in found}
    return {claim: owners[claim] for claim in claims & owners.keys()}
