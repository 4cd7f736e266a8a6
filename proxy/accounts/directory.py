"""Who may pass, in memory: what the hot path sees of accounts. One dict per exchange table.

Entries are never edited: a change swaps whole ones, between two requests. What does not open
(another master key, a damaged row) is left out and reported, it does not stop the others.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from ipaddress import ip_network
from sys import intern
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, final

from proxy.accounts.credentials import api_key_of, unpack, usable
from proxy.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from proxy.accounts.store import AccountRow, Changes, CredentialRow, Store
    from proxy.accounts.vault import Vault
    from proxy.model import Credentials

    Network: TypeAlias = IPv4Network | IPv6Network

_OPENED_AT_ONCE: Final = 25  # accounts per step of the loop, about 1 ms


@final
class Account:
    """One user's standing on one exchange table. `credentials` are what the exchange knows."""

    __slots__ = (
        "code",
        "credentials",
        "disabled",
        "draws",
        "exchange",
        "grants",
        "id",
        "identity",
        "label",
        "main_uid",
        "mode",
        "networks",
        "reason",
        "site",
        "uid",
        "user",
    )

    def __init__(
        self, row: AccountRow, credentials: Credentials, networks: tuple[Network, ...]
    ) -> None:
        self.id = row.id
        self.user = row.user
        self.exchange = intern(row.exchange)
        self.label = intern(row.label)
        self.mode = intern(row.mode)  # sign | keyless | observe
        self.grants = _GRANTS.setdefault(row.grants, frozenset(row.grants))
        self.code = row.code.encode()  # b"" is the exchange's own
        self.networks = networks  # () is anywhere
        self.disabled = row.disabled  # "" | block | close-only
        self.reason = row.reason
        self.uid = row.uid  # "" until learned
        self.main_uid = row.main_uid
        self.site = row.site
        self.credentials = credentials
        # what charges draw on, live and demo: remembered by the data path, and bounded there
        self.draws: tuple[dict[int, Any], dict[int, Any]] = ({}, {})
        # whose limits these are: the exchange's user, or the key alone until that is learned
        self.identity = row.uid or "key:" + sha256(credentials.api_key).hexdigest()[:24]

    def __repr__(self) -> str:
        return f"Account({self.exchange} {self.user} {self.label})"


@final
class Access:
    """One API key that bots may use, and how they sign with it."""

    __slots__ = ("account", "api_key", "credentials", "expires_ms", "issued_id", "networks")

    def __init__(
        self,
        account: Account,
        credentials: Credentials,
        networks: tuple[Network, ...],
        issued_id: str = "",
        expires_ms: int | None = None,
    ) -> None:
        self.account = account
        self.api_key = credentials.api_key
        self.credentials = credentials
        self.networks = networks or account.networks  # () is anywhere
        self.issued_id = issued_id  # "" for the account's own exchange key
        self.expires_ms = expires_ms  # Unix

    def __repr__(self) -> str:
        return f"Access({self.account!r} {self.issued_id or 'own key'})"


_GRANTS: dict[tuple[str, ...], frozenset[str]] = {}  # a few kinds for thousands of accounts


class _Opened(NamedTuple):
    accesses: list[Access]
    faults: dict[str, str]
    openings: int


@final
class Directory:
    """Every account, found by exchange table and API key. Empty and not `ready` until loaded."""

    __slots__ = (
        "_by_account",
        "_expiring",
        "_faults",
        "_reading",
        "_revision",
        "_tables",
        "ready",
    )

    def __init__(self) -> None:
        self.ready = False
        self._tables: dict[str, dict[bytes, Access]] = {}
        self._by_account: dict[str, list[Access]] = {}
        self._expiring: dict[str, Access] = {}  # by the id they were issued under
        self._reading = asyncio.Lock()  # an older reading must not overtake a newer one
        self._faults: dict[str, dict[str, str]] = {}
        self._revision: int | None = None

    def find(self, exchange: str, api_key: bytes) -> Access | None:
        """Return what `api_key` opens on the exchange table, if anything."""
        table = self._tables.get(exchange)
        return None if table is None else table.get(api_key)

    def table(self, exchange: str) -> Mapping[bytes, Access]:
        """Return the live table of one exchange: the same object for the directory's life."""
        return self._tables.setdefault(exchange, {})

    @staticmethod
    def allows(access: Access, address: IPv4Address | IPv6Address) -> bool:
        """Whether bots of this access may come from `address`: within its own networks, and
        within the account's."""
        if not access.networks:
            return True
        if address.version == 6 and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if not any(address in network for network in access.networks):
            return False
        whole = access.account.networks
        return whole is access.networks or not whole or any(address in one for one in whole)

    @property
    def faults(self) -> list[str]:
        """What was left out and why, a line each."""
        return [line for lines in self._faults.values() for line in lines.values()]

    @property
    def accounts(self) -> int:
        """How many accounts can be served."""
        return len(self._by_account)

    async def load(self, store: Store, vault: Vault) -> None:
        """Read everything anew.

        Raises `StoreError`, and `VaultError` when there are secrets and not one of them opens:
        then the master key is the wrong one, and what was known before stays.
        """
        async with self._reading:
            changes = await store.changes(None)
            opened = await self._open(changes, vault)
            if not any(one.openings for one in opened.values()):
                _expect_no_secrets(changes)
            self._swap(changes, opened)
            self.ready = True

    async def refresh(self, store: Store, vault: Vault) -> bool:
        """Read what changed since the last time; whether anything did.

        The first time everything is read, as by `load`. Raises `StoreError`.
        """
        if not self.ready:
            await self.load(store, vault)
            return True
        async with self._reading:
            if await store.revision() == self._revision:
                return False
            changes = await store.changes(self._revision)
            self._swap(changes, await self._open(changes, vault))
            return True

    def expire(self, now_ms: int) -> None:
        """Forget issued credentials whose time is over at `now_ms` (Unix)."""
        for access in list(self._expiring.values()):
            if access.expires_ms is not None and access.expires_ms <= now_ms:
                self._forget(access)

    async def _open(self, changes: Changes, vault: Vault) -> dict[str, _Opened]:
        opened: dict[str, _Opened] = {}
        for at, row in enumerate(changes.accounts):
            if at % _OPENED_AT_ONCE == 0:
                await asyncio.sleep(0)  # requests go on meanwhile
            opened[row.id] = _open_account(row, vault)
        return opened

    def _swap(self, changes: Changes, opened: dict[str, _Opened]) -> None:
        gone = set(self._by_account) - set(opened) if changes.everything else changes.removed
        if changes.everything:
            self._faults.clear()
        for account_id in (*gone, *opened):
            self._faults.pop(account_id, None)
            for access in self._by_account.pop(account_id, ()):
                self._forget(access)
        for account_id, (accesses, faults, _) in opened.items():
            if faults:
                self._faults[account_id] = faults
            if accesses:
                self._by_account[account_id] = accesses
            for access in accesses:
                self._enter(access)
        self._revision = changes.revision

    def _enter(self, access: Access) -> None:
        self._tables.setdefault(access.account.exchange, {})[access.api_key] = access
        if access.expires_ms is not None:
            self._expiring[access.issued_id] = access

    def _forget(self, access: Access) -> None:
        table = self._tables.get(access.account.exchange, {})
        if table.get(access.api_key) is access:
            del table[access.api_key]
        self._expiring.pop(access.issued_id, None)


def _expect_no_secrets(changes: Changes) -> None:
    needed = {one.sealed.master_id for row in changes.accounts for one in row.credentials}
    if needed:
        names = ", ".join(sorted(needed))
        raise VaultError(f"the master key opens none of the stored secrets; they need {names}")


def _open_account(row: AccountRow, vault: Vault) -> _Opened:
    """Open an account and every key that leads to it; without real credentials nothing does."""
    faults: dict[str, str] = {}
    found: list[tuple[CredentialRow, Credentials, bool]] = []
    for stored in row.credentials:
        try:
            held = unpack(vault.open(stored.sealed, row.place(stored.role, stored.id)))
        except VaultError as error:
            faults[stored.id] = (
                f"{row.exchange} {row.user} {row.label}: {stored.role} credentials {stored.id}:"
                f" {error}"
            )
        else:
            found.append((stored, usable(held), bool(api_key_of(held))))
    real = next((ready for stored, ready, _ in found if stored.role == "real"), None)
    if real is None:
        return _Opened([], faults, len(found))
    account = Account(row, real, _networks(row.networks))
    accesses = [
        Access(
            account,
            ready,
            _networks(stored.networks),
            stored.id if stored.role == "issued" else "",
            stored.expires_ms,
        )
        for stored, ready, keyed in found
        if keyed
    ]
    return _Opened(accesses, faults, len(found))


def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)
