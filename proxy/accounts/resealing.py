"""Another master key: every stored secret's data key is sealed anew, the secrets stay closed.

Batches, each a transaction; what the new key seals already is passed over, so that a run that was
cut off is simply done anew. The revision stays: to a running process nothing has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from sqlalchemy import bindparam, select, update

from proxy.accounts.schema import ACCOUNTS, CREDENTIALS, HAND_OVERS
from proxy.accounts.vault import Place, Sealed, handover_place
from proxy.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Table, Update
    from sqlalchemy.ext.asyncio import AsyncConnection

    from proxy.accounts.database import Database
    from proxy.accounts.vault import Vault

_AT_ONCE: Final = 500  # rows of one transaction, about 20 ms


@final
class Resealed(NamedTuple):
    """How many secrets were sealed anew, and those that could not be: a line each."""

    secrets: int
    faults: list[str]


@final
class _Row(NamedTuple):
    key: str
    sealed: Sealed
    place: Place


async def reseal(database: Database, vault: Vault) -> Resealed:
    """Seal every secret under the vault's first master key, which the others open.

    Raises `VaultError`, before anything is changed, when another master key is needed, and
    `StoreError`.
    """
    await _expect_known(database, vault)
    secrets = 0
    faults: list[str] = []
    last = ""
    while True:
        async with database.write() as connection:
            rows = await _next_credentials(connection, vault.sealing_id, last)
            secrets += await _reseal(connection, _CREDENTIALS, vault, rows, faults)
        if not rows:
            break
        last = rows[-1].key
    async with database.write() as connection:
        rows = await _hand_overs(connection)
        secrets += await _reseal(connection, _HAND_OVERS, vault, rows, faults)
    return Resealed(secrets, faults)


async def _expect_known(database: Database, vault: Vault) -> None:
    needed: set[str] = set()
    async with database.read() as connection:
        for column in (CREDENTIALS.c.master_id, HAND_OVERS.c.master_id):
            needed.update((await connection.execute(select(column).distinct())).scalars())
    unknown = sorted(one for one in needed if not vault.knows(one))
    if unknown:
        raise VaultError(
            f"some secrets are sealed under master key {', '.join(unknown)}, which must be among"
            " those of [storage] master_key"
        )


async def _next_credentials(connection: AsyncConnection, sealing_id: str, last: str) -> list[_Row]:
    """Those after the id `last` that another key seals, with the accounts they belong to."""
    held = CREDENTIALS.c
    chosen = (
        select(
            *(held.id, held.role, held.master_id, held.sealed),
            *(ACCOUNTS.c.exchange, ACCOUNTS.c.user, ACCOUNTS.c.label),
        )
        .join_from(CREDENTIALS, ACCOUNTS, ACCOUNTS.c.id == held.account_id)
        .where(held.id > last, held.master_id != sealing_id)
        .order_by(held.id)
        .limit(_AT_ONCE)
    )
    return [
        _Row(
            row.id,
            Sealed(row.master_id, row.sealed),
            Place(row.exchange, row.user, row.label, row.role, row.id),
        )
        for row in await connection.execute(chosen)
    ]


async def _hand_overs(connection: AsyncConnection) -> list[_Row]:
    table = HAND_OVERS.c
    found = await connection.execute(select(table.kind, table.master_id, table.payload))
    return [
        _Row(row.kind, Sealed(row.master_id, row.payload), handover_place(row.kind))
        for row in found
    ]


async def _reseal(
    connection: AsyncConnection,
    statement: Update,
    vault: Vault,
    rows: Sequence[_Row],
    faults: list[str],
) -> int:
    new: list[dict[str, Any]] = []
    for key, sealed, place in rows:
        try:
            anew = vault.reseal(sealed, place)
        except VaultError as error:
            words = (place.exchange, place.user, place.label, place.purpose, f"{key}: {error}")
            faults.append(" ".join(word for word in words if word))
            continue
        if anew is not sealed:
            under = {"was_under": sealed.master_id, "under": anew.master_id}
            new.append({"of": key, "new_seal": anew.seal} | under)
    if new:
        await connection.execute(statement, new)
    return len(new)


def _sealed_anew(table: Table, key: str, seal: str) -> Update:
    return (
        update(table)
        .where(table.c[key] == bindparam("of"), table.c.master_id == bindparam("was_under"))
        .values({"master_id": bindparam("under"), seal: bindparam("new_seal")})
    )


_CREDENTIALS: Final = _sealed_anew(CREDENTIALS, "id", "sealed")
_HAND_OVERS: Final = _sealed_anew(HAND_OVERS, "kind", "payload")
