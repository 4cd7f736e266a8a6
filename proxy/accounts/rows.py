"""Accounts and their credentials as rows: read and written within a transaction of the caller's.

Secrets pass through sealed; nothing here can open them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from sqlalchemy import bindparam, delete, insert, select, update

from proxy.accounts.schema import ACCOUNTS, CREDENTIALS
from proxy.accounts.vault import Place, Sealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection

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


# An account as it was, or None for a new one, and as it is to be.
Change: TypeAlias = "tuple[AccountRow | None, AccountRow]"


async def read(connection: AsyncConnection, *clauses: ColumnElement[bool]) -> list[AccountRow]:
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


async def write(connection: AsyncConnection, changes: Sequence[Change], revision: int) -> None:
    """Bring accounts to what they are to be, under one revision.

    What goes goes first: one account may take a key that another gives up.
    """
    gone: list[str] = []
    changed: list[dict[str, Any]] = []
    added: list[dict[str, Any]] = []
    for before, after in changes:
        old = {one.id: one for one in before.credentials} if before is not None else {}
        now = {one.id: one for one in after.credentials}
        gone += old.keys() - now.keys()
        changed += [
            _resealed(one) for one in after.credentials if one.id in old and one != old[one.id]
        ]
        added += [_credential_values(after, one) for one in now.values() if one.id not in old]
    for some in in_parts(gone):
        await connection.execute(delete(CREDENTIALS).where(CREDENTIALS.c.id.in_(some)))
    new = [_account_values(after, revision) for before, after in changes if before is None]
    kept = [_account_values(after, revision) for before, after in changes if before is not None]
    if new:
        await connection.execute(insert(ACCOUNTS), new)
    if kept:
        await connection.execute(_CHANGE, [_bound(values) for values in kept])
    if changed:
        await connection.execute(_RESEAL, changed)
    if added:
        await connection.execute(insert(CREDENTIALS), added)


def _credential_values(row: AccountRow, new: CredentialRow) -> dict[str, Any]:
    """Return the columns of credentials that stand for the first time."""
    return {
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


def in_parts(ids: Iterable[str]) -> list[list[str]]:
    """Return ids in parts that one statement can bind."""
    every = list(ids)
    return [every[at : at + _IDS_AT_ONCE] for at in range(0, len(every), _IDS_AT_ONCE)]


_PLAIN: Final = (
    *("id", "user", "exchange", "label", "mode", "created_ms", "code"),
    *("disabled", "reason", "uid", "main_uid", "site"),
)
_CHANGEABLE: Final = (
    *("mode", "code", "disabled", "reason", "uid", "main_uid", "site"),
    *("grants", "networks", "revision"),
)
# A bound value must not have a column's own name: SQLAlchemy would set that column from it.
_CHANGE: Final = (
    update(ACCOUNTS)
    .where(ACCOUNTS.c.id == bindparam("of"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGEABLE})
)
_RESEAL: Final = (
    update(CREDENTIALS)
    .where(CREDENTIALS.c.id == bindparam("of"))
    .values(
        kind=bindparam("new_kind"),
        expires_ms=bindparam("new_end_ms"),
        master_id=bindparam("under"),
        sealed=bindparam("new_seal"),
    )
)


def _bound(values: dict[str, Any]) -> dict[str, Any]:
    return {f"new_{name}": values[name] for name in _CHANGEABLE} | {"of": values["id"]}


def _resealed(row: CredentialRow) -> dict[str, Any]:
    """Return what of credentials can change while they keep their id."""
    return {
        "of": row.id,
        "new_kind": row.kind,
        "new_end_ms": row.expires_ms,
        "under": row.sealed.master_id,
        "new_seal": row.sealed.seal,
    }


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


def _account_row(row: RowMapping, credentials: list[CredentialRow]) -> AccountRow:
    return AccountRow(
        **{name: row[name] for name in _PLAIN},
        grants=_words(row["grants"]),
        networks=_words(row["networks"]),
        credentials=tuple(credentials),
    )


def _account_values(row: AccountRow, revision: int) -> dict[str, Any]:
    lists = {"grants": ",".join(row.grants), "networks": ",".join(row.networks)}
    plain = {name: getattr(row, name) for name in _PLAIN}
    return plain | lists | {"revision": revision}


def _words(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(",")) if joined else ()
