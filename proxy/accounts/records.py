"""What is written down of accounts behind their requests, in SQL: what they did, and what the
exchange told of their keys. None of it counts the revision up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from sqlalchemy import bindparam, insert, select, update

from proxy.accounts.activity import Activity
from proxy.accounts.schema import ACCOUNTS, ACTIVITY, CREDENTIALS
from proxy.accounts.standing import Memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from proxy.accounts.database import Database
    from proxy.accounts.standing import Key

_READ_AT_ONCE: Final = 250  # rows, about 2 ms
_WRITTEN_AT_ONCE: Final = 100  # rows, about 1 ms
_IDS_AT_ONCE: Final = 500  # SQLite binds at most 999 values in its older builds


@final
class Facts(NamedTuple):
    """What the exchange told of an account by its real key, at `learned_ms` (Unix)."""

    account_id: str
    key: Key
    uid: str
    main_uid: str
    addresses: tuple[str, ...]
    permissions: tuple[str, ...]
    learned_ms: int


@final
class Doings(NamedTuple):
    """What an account did: when it was last seen (Unix), and `Activity.encode`."""

    account_id: str
    last_seen_ms: int
    payload: bytes


async def memories(
    database: Database, account_ids: Iterable[str] | None = None
) -> dict[str, Memory]:
    """Return what is written down of accounts, all or some, by account id. Raises `StoreError`."""
    every = None if account_ids is None else list(account_ids)
    found: dict[str, Memory] = {}
    async with database.read() as connection:
        if every is None:
            await _remember(connection, None, found)
        else:
            for at in range(0, len(every), _IDS_AT_ONCE):
                await _remember(connection, every[at : at + _IDS_AT_ONCE], found)
    return found


async def save(database: Database, facts: Sequence[Facts], doings: Sequence[Doings]) -> None:
    """Write down what was learned of accounts, unless they have another key by now, and what they
    did. Accounts that are no more are left out. Raises `StoreError`."""
    async with database.write() as connection:
        for at in range(0, len(facts), _WRITTEN_AT_ONCE):
            await _save_facts(connection, facts[at : at + _WRITTEN_AT_ONCE])
        for at in range(0, len(doings), _WRITTEN_AT_ONCE):
            await _save_doings(connection, doings[at : at + _WRITTEN_AT_ONCE])


_REAL: Final = CREDENTIALS.c.role == "real"
_MEMORIES: Final = (
    select(
        CREDENTIALS.c.account_id,
        CREDENTIALS.c.id,
        CREDENTIALS.c.fingerprint,
        CREDENTIALS.c.addresses,
        CREDENTIALS.c.permissions,
        CREDENTIALS.c.learned_ms,
        ACTIVITY.c.last_seen_ms,
        ACTIVITY.c.payload,
    )
    .outerjoin_from(CREDENTIALS, ACTIVITY, ACTIVITY.c.account_id == CREDENTIALS.c.account_id)
    .where(_REAL, (CREDENTIALS.c.learned_ms > 0) | ACTIVITY.c.payload.is_not(None))
)
_KEY: Final = (
    (CREDENTIALS.c.account_id == bindparam("of"))
    & (CREDENTIALS.c.id == bindparam("key_id"))
    & CREDENTIALS.c.fingerprint.is_not_distinct_from(bindparam("key_fingerprint"))
    & _REAL
)
_LEARN_KEY: Final = (
    update(CREDENTIALS)
    .where(_KEY)
    .values(
        addresses=bindparam("bound_to"),
        permissions=bindparam("may"),
        learned_ms=bindparam("told_ms"),
    )
)
_LEARN_UID: Final = (
    update(ACCOUNTS)
    .where(ACCOUNTS.c.id == bindparam("of"), select(CREDENTIALS.c.id).where(_KEY).exists())
    .values(uid=bindparam("is"), main_uid=bindparam("belongs_to"))
)
_DO_MORE: Final = (
    update(ACTIVITY)
    .where(ACTIVITY.c.account_id == bindparam("of"))
    .values(last_seen_ms=bindparam("seen_ms"), payload=bindparam("did"))
)


async def _remember(
    connection: AsyncConnection, ids: list[str] | None, found: dict[str, Memory]
) -> None:
    chosen = _MEMORIES if ids is None else _MEMORIES.where(CREDENTIALS.c.account_id.in_(ids))
    rows = await connection.stream(chosen)
    async for part in rows.partitions(_READ_AT_ONCE):
        found.update((row.account_id, _memory(row)) for row in part)


def _memory(row: Any) -> Memory:
    activity, damaged = None, False
    if row.payload is not None:
        activity = Activity.decode(row.payload)
        damaged = activity is None
        if activity is None:
            activity = Activity()
            activity.last_seen_ms = row.last_seen_ms
    return Memory(
        (row.id, row.fingerprint),
        _words(row.addresses),
        _words(row.permissions),
        row.learned_ms,
        activity,
        damaged,
    )


async def _save_facts(connection: AsyncConnection, facts: Sequence[Facts]) -> None:
    told, owners = [], []
    for one in facts:
        key = {"of": one.account_id, "key_id": one.key[0], "key_fingerprint": one.key[1]}
        words = {"bound_to": ",".join(one.addresses), "may": ",".join(one.permissions)}
        told.append(key | words | {"told_ms": one.learned_ms})
        owners.append(key | {"is": one.uid, "belongs_to": one.main_uid})
    await connection.execute(_LEARN_KEY, told)
    await connection.execute(_LEARN_UID, owners)


async def _save_doings(connection: AsyncConnection, doings: Sequence[Doings]) -> None:
    """An account removed meanwhile must not stop the others: look first which there are."""
    here = select(ACCOUNTS.c.id, ACTIVITY.c.account_id).outerjoin_from(
        ACCOUNTS, ACTIVITY, ACTIVITY.c.account_id == ACCOUNTS.c.id
    )
    chosen = here.where(ACCOUNTS.c.id.in_([one.account_id for one in doings]))
    written = dict((await connection.execute(chosen)).all())
    first, again = [], []
    for one in doings:
        if one.account_id not in written:
            continue
        if written[one.account_id] is None:
            first.append(one._asdict())
        else:
            again.append({"of": one.account_id, "seen_ms": one.last_seen_ms, "did": one.payload})
    if first:
        await connection.execute(insert(ACTIVITY), first)
    if again:
        await connection.execute(_DO_MORE, again)


def _words(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(",")) if joined else ()
