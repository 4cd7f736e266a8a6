"""Who may pass, in memory: what the hot path sees of accounts. One dict per exchange table.

Entries are never edited: a change swaps whole ones, between two requests, and leaves alone what it
does not concern. What is learned of an account while it is served is in its `Standing`, which
stays. What does not open (another master
key, a damaged row) is left out and reported, it does not stop the others.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from sys import intern
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, final

from proxy.accounts.credentials import fingerprint
from proxy.accounts.opening import alike, open_credentials
from proxy.accounts.standings import Standings, key_of
from proxy.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from proxy.accounts.standing import Memory, Standing
    from proxy.accounts.store import AccountRow, Changes, CredentialRow, Store
    from proxy.accounts.vault import Vault
    from proxy.model import Credentials

    Network: TypeAlias = IPv4Network | IPv6Network

_OPENED_AT_ONCE: Final = 25  # accounts per step of the loop, about 1 ms


@final
class Account:
    """One user's account on one exchange table. `credentials` are what the exchange knows."""

    __slots__ = (
        "code",
        "credentials",
        "disabled",
        "exchange",
        "grants",
        "id",
        "label",
        "mode",
        "networks",
        "reason",
        "site",
        "standing",
        "user",
    )

    def __init__(
        self,
        row: AccountRow,
        credentials: Credentials,
        networks: tuple[Network, ...],
        standing: Standing,
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
        self.site = row.site
        self.credentials = credentials
        self.standing = standing  # what is learned while it is served; outlives this object

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
        self.credentials = credentials  # without a mac where no secret is held: mode observe
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
    key_ms: int  # since when the account has its real key, Unix


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
        "standings",
    )

    def __init__(self) -> None:
        self.ready = False
        self.standings = Standings()
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
        """What was left out and why, or goes on without its master key: a line each."""
        return list(
            dict.fromkeys(line for lines in self._faults.values() for line in lines.values())
        )

    @property
    def accounts(self) -> int:
        """How many accounts can be served."""
        return len(self._by_account)

    async def load(
        self, store: Store, vault: Vault, memories: Mapping[str, Memory] | None = None
    ) -> None:
        """Read everything anew. `memories`, by account id: what an earlier process knew.

        Raises `StoreError`, and `VaultError` when there are secrets and not one of them opens:
        then the master key is the wrong one, and what was known before stays.
        """
        async with self._reading:
            if memories is not None:
                self.standings.remember(memories)
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
            opened[row.id] = self._open_account(row, vault)
        return opened

    def _open_account(self, row: AccountRow, vault: Vault) -> _Opened:
        """Open an account and every key that leads to it; without real credentials nothing does."""
        found = open_credentials(row, vault, self._opened_before)
        real = next((one for one in found.usable if one[0].role == "real"), None)
        if real is None:
            return _Opened([], found.faults, found.openings, 0)
        standing = self.standings.fitting(row, *real)
        account = Account(row, real[1], _networks(row.networks), standing)
        accesses = [
            Access(
                account,
                ready,
                _networks(stored.networks),
                stored.id if stored.role == "issued" else "",
                stored.expires_ms,
            )
            for stored, ready in found.usable
            if ready.api_key
        ]
        before = self._by_account.get(row.id, [])
        if alike(before, accesses):
            accesses = before  # a request that waits may go on
        return _Opened(accesses, found.faults, found.openings, real[0].created_ms)

    def _opened_before(self, row: AccountRow, stored: CredentialRow) -> Credentials | None:
        for access in self._by_account.get(row.id, ()):
            if stored.role == "real":
                if access.account.standing.key == key_of(stored):
                    return access.account.credentials
            elif access.issued_id == stored.id:
                same = fingerprint(row.exchange, access.api_key.decode()) == stored.fingerprint
                return access.credentials if same else None
        return None

    def _swap(self, changes: Changes, opened: dict[str, _Opened]) -> None:
        gone = set(self._by_account) - set(opened) if changes.everything else changes.removed
        if changes.everything:
            self._faults.clear()
            self.standings.keep_only(opened)
        for account_id in gone:
            self._faults.pop(account_id, None)
            self.standings.forget(account_id)
            self._drop(account_id)
        changed = {
            account_id: one
            for account_id, one in opened.items()
            if one.accesses is not self._by_account.get(account_id)
        }
        for account_id in changed:
            self._drop(account_id)
        for account_id, one in changed.items():
            if one.accesses:
                self._by_account[account_id] = one.accesses
                self.standings.enter(one.accesses[0].account.standing, one.key_ms)
            for access in one.accesses:
                self._enter(access)
        for account_id, one in opened.items():
            self._faults.pop(account_id, None)
            if one.faults:
                self._faults[account_id] = one.faults
        self._revision = changes.revision

    def _drop(self, account_id: str) -> None:
        for access in self._by_account.pop(account_id, ()):
            self._forget(access)

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


def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)
