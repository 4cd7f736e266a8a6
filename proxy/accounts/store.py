"""Accounts in SQL: rows in, rows out. Secrets pass through sealed; nothing here can open them.

Every change counts the revision up first, which also makes writers take turns, so that a reader
who knows revision N has seen every change up to N.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from proxy.accounts.schema import ACCOUNTS, CREDENTIALS, REMOVALS, REVISION
from proxy.accounts.vault import Place, Sealed
from proxy.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement, RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection

    from proxy.accounts.database import Database

REMOVALS_KEPT: Final = 10_000  # revisions; who is further behind loads everything
_READ_AT_ONCE: Final = 250  # rows, about 2 ms
_IDS_AT_ONCE: Final = 500  # SQLite binds at most 999 values in its older builds


@final
@dataclass(frozen=True, slots=True)
class CredentialRow:
    """Credentials as stored: the exchange's own (`role` real) or ours (issued)."""

    id: str
    role: str
    kind: str
    label: str
    networks: tuple[str, ...]
    created_ms: int
    expires_ms: int | None
    fingerprint: bytes | None = field(repr=False)
    sealed: Sealed


@final
@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account as stored, with its credentials."""

    id: str
    user: str
    exchange: str
    label: str
    mode: str
    created_ms: int
    grants: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    code: str = ""
    disabled: str = ""
    reason: str = ""
    uid: str = ""
    main_uid: str = ""
    site: str = ""
    credentials: tuple[CredentialRow, ...] = ()

    def place(self, role: str, credential_id: str) -> Place:
        """Return the place that credentials of this account are sealed for."""
        return Place(self.exchange, self.user, self.label, role, credential_id)


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
                return Changes(now, await _rows(connection), [], everything=True)
            rows = await _rows(connection, ACCOUNTS.c.revision > since)
            gone = select(REMOVALS.c.account_id).where(REMOVALS.c.revision > since)
            removed = list((await connection.execute(gone)).scalars())
            return Changes(now, rows, removed, everything=False)

    async def find(
        self, user: str | None = None, exchange: str | None = None, label: str | None = None
    ) -> list[AccountRow]:
        """Return the accounts that fit, by name, exchange and label."""
        wanted = ((ACCOUNTS.c.user, user), (ACCOUNTS.c.exchange, exchange))
        clauses = [column == value for column, value in wanted if value is not None]
        if label is not None:
            clauses.append(ACCOUNTS.c.label == label)
        async with self._database.read() as connection:
            return await _rows(connection, *clauses)

    async def master_ids(self) -> set[str]:
        """Return the ids of the master keys that the stored secrets need."""
        async with self._database.read() as connection:
            ids = await connection.execute(select(CREDENTIALS.c.master_id).distinct())
            return set(ids.scalars())

    async def add(self, row: AccountRow) -> None:
        """Add an account with its credentials.

        Raises `CommandError` when there is one already or another account has the API key.
        """
        async with self._database.write() as connection:
            revision = await _count_up(connection)
            same = select(ACCOUNTS.c.id).where(
                ACCOUNTS.c.exchange == row.exchange,
                ACCOUNTS.c.user == row.user,
                ACCOUNTS.c.label == row.label,
            )
            if (await connection.execute(same)).first() is not None:
                raise CommandError(
                    f"{row.user} has an account {row.label} on {row.exchange} already"
                )
            await connection.execute(insert(ACCOUNTS).values(_account_values(row, revision)))
            for credentials in row.credentials:
                await _insert(connection, row, credentials)

    async def change(self, ids: Iterable[str], values: Mapping[str, Any]) -> None:
        """Set columns of accounts."""
        async with self._database.write() as connection:
            revision = await _count_up(connection)
            for some in _in_parts(ids):
                await connection.execute(
                    update(ACCOUNTS)
                    .where(ACCOUNTS.c.id.in_(some))
                    .values(dict(values) | {"revision": revision})
                )

    async def remove(self, ids: Iterable[str]) -> None:
        """Remove accounts and their credentials."""
        async with self._database.write() as connection:
            revision = await _count_up(connection)
            for some in _in_parts(ids):
                await connection.execute(delete(ACCOUNTS).where(ACCOUNTS.c.id.in_(some)))
                gone = [{"account_id": one, "revision": revision} for one in some]
                await connection.execute(insert(REMOVALS), gone)
            old = REMOVALS.c.revision < revision - REMOVALS_KEPT
            await connection.execute(delete(REMOVALS).where(old))

    async def issue(
        self, row: AccountRow, credentials: CredentialRow, *, others_end_ms: int | None = None
    ) -> None:
        """Add issued credentials. The account's others end at `others_end_ms`, if that is given;
        those over by now are forgotten."""
        async with self._database.write() as connection:
            await _touch(connection, row.id)
            ends = CREDENTIALS.c.expires_ms
            others = (CREDENTIALS.c.account_id == row.id) & (CREDENTIALS.c.role == "issued")
            if others_end_ms is not None:
                later = others & (ends.is_(None) | (ends > others_end_ms))
                await connection.execute(
                    update(CREDENTIALS).where(later).values(expires_ms=others_end_ms)
                )
            over = others & (ends <= credentials.created_ms)
            await connection.execute(delete(CREDENTIALS).where(over))
            await _insert(connection, row, credentials)

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


async def _insert(connection: AsyncConnection, row: AccountRow, new: CredentialRow) -> None:
    values = {
        "id": new.id,
        "account_id": row.id,
        "exchange": row.exchange,
        "role": new.role,
        "kind": new.kind,
        "label": new.label,
        "networks": ",".join(new.networks),
        "created_ms": new.created_ms,
        "expires_ms": new.expires_ms,
        "fingerprint": new.fingerprint,
        "master_id": new.sealed.master_id,
        "sealed": new.sealed.seal,
    }
    try:
        await connection.execute(insert(CREDENTIALS).values(values))
    except IntegrityError:
        raise CommandError(f"another account on {row.exchange} has this API key") from None


async def _rows(connection: AsyncConnection, *clauses: ColumnElement[bool]) -> list[AccountRow]:
    """Read accounts with their credentials, in parts: other work goes on between them."""
    chosen = select(ACCOUNTS).where(*clauses)
    held = select(CREDENTIALS).order_by(CREDENTIALS.c.created_ms, CREDENTIALS.c.id)
    if clauses:
        ids = chosen.with_only_columns(ACCOUNTS.c.id)
        held = held.where(CREDENTIALS.c.account_id.in_(ids))
    by_account: dict[str, list[CredentialRow]] = {}
    found = await connection.stream(held)
    async for part in found.mappings().partitions(_READ_AT_ONCE):
        for row in part:
            by_account.setdefault(row["account_id"], []).append(_credential_row(row))
    accounts: list[AccountRow] = []
    order = (ACCOUNTS.c.user, ACCOUNTS.c.exchange, ACCOUNTS.c.label)
    found = await connection.stream(chosen.order_by(*order))
    async for part in found.mappings().partitions(_READ_AT_ONCE):
        accounts += [_account_row(row, by_account.get(row["id"], [])) for row in part]
    return accounts


def _credential_row(row: RowMapping) -> CredentialRow:
    return CredentialRow(
        id=row["id"],
        role=row["role"],
        kind=row["kind"],
        label=row["label"],
        networks=_words(row["networks"]),
        created_ms=row["created_ms"],
        expires_ms=row["expires_ms"],
        fingerprint=row["fingerprint"],
        sealed=Sealed(row["master_id"], row["sealed"]),
    )


_PLAIN: Final = "id user exchange label mode created_ms code disabled reason uid main_uid site"


def _account_row(row: RowMapping, credentials: list[CredentialRow]) -> AccountRow:
    return AccountRow(
        **{name: row[name] for name in _PLAIN.split()},
        grants=_words(row["grants"]),
        networks=_words(row["networks"]),
        credentials=tuple(credentials),
    )


def _account_values(row: AccountRow, revision: int) -> dict[str, Any]:
    lists = {"grants": ",".join(row.grants), "networks": ",".join(row.networks)}
    plain = {name: getattr(row, name) for name in _PLAIN.split()}
    return plain | lists | {"revision": revision}


def _words(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(",")) if joined else ()


def _in_parts(ids: Iterable[str]) -> list[list[str]]:
    every = list(ids)
    return [every[at : at + _IDS_AT_ONCE] for at in range(0, len(every), _IDS_AT_ONCE)]
