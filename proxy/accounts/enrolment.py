"""What the commands do with accounts: add one, give it issued credentials, replace those.

Seals what is stored and decides which rows belong together; says nothing and prints nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_network
from secrets import token_hex
from typing import TYPE_CHECKING, final

from proxy.accounts.credentials import api_key_of, fingerprint, kind_of, masked, pack, unpack
from proxy.accounts.store import AccountRow, CredentialRow
from proxy.errors import CommandError, VaultError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.accounts.credentials import Held
    from proxy.accounts.directory import Network
    from proxy.accounts.store import Store
    from proxy.accounts.vault import Vault
    from proxy.clock import Clock
    from proxy.model import KeyTriple


@final
@dataclass(frozen=True, slots=True)
class NewAccount:
    """What an operator says of a new account."""

    user: str
    exchange: str
    label: str = "main"
    mode: str = "sign"
    grants: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    code: str = ""


@final
class Enrolment:
    """The accounts of one database and the vault that seals for it."""

    __slots__ = ("_clock", "_store", "_vault")

    def __init__(self, store: Store, vault: Vault, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock

    async def expect_own_database(self) -> None:
        """Raise `VaultError` when secrets are stored and our master keys are not theirs."""
        needed = await self._store.master_ids()
        if needed and not any(self._vault.knows(one) for one in needed):
            names = ", ".join(sorted(needed))
            raise VaultError(f"wrong master key: the stored secrets need {names}")

    async def add(self, new: NewAccount, held: Held, issued: KeyTriple | None) -> str:
        """Add an account and, if given, its first issued credentials; return their id or "".

        Raises `CommandError` when the account exists or its API key is another's.
        """
        row = AccountRow(
            id=token_hex(8),
            user=new.user,
            exchange=new.exchange,
            label=new.label,
            mode=new.mode,
            created_ms=self._clock.wall_ms(),
            grants=new.grants,
            networks=new.networks,
            code=new.code,
        )
        credentials = [self._sealed(row, "real", held)]
        if issued is not None:
            credentials.append(self._sealed(row, "issued", issued))
        await self._store.add(replace(row, credentials=tuple(credentials)))
        return credentials[-1].id if issued is not None else ""

    async def issue(
        self, row: AccountRow, issued: KeyTriple, label: str = "", networks: tuple[str, ...] = ()
    ) -> str:
        """Add one more set of issued credentials; return its id.

        Raises `CommandError` when its networks reach beyond the account's.
        """
        _expect_within(networks, row.networks)
        new = self._sealed(row, "issued", issued, label, networks)
        await self._store.issue(row, new)
        return new.id

    async def rotate(self, row: AccountRow, issued: KeyTriple, overlap_ms: int) -> str:
        """Replace every issued set by one new one; the old end after `overlap_ms`.

        Return the new id. Raises `CommandError` when there is none to replace.
        """
        now_ms = self._clock.wall_ms()
        old = [one for one in issued_of(row) if one.expires_ms is None or one.expires_ms > now_ms]
        if not old:
            raise CommandError(f"{row.user} has no issued credentials on {row.exchange} to replace")
        new = self._sealed(row, "issued", issued, _common_label(old), _all_networks(old))
        await self._store.issue(row, new, others_end_ms=now_ms + overlap_ms)
        return new.id

    def masked_key(self, row: AccountRow, stored: CredentialRow) -> str:
        """Return what may be shown of an API key; "?" when it does not open."""
        try:
            held = unpack(self._vault.open(stored.sealed, row.place(stored.role, stored.id)))
        except VaultError:
            return "?"
        return masked(api_key_of(held))

    def _sealed(
        self,
        row: AccountRow,
        role: str,
        held: Held,
        label: str = "",
        networks: tuple[str, ...] = (),
    ) -> CredentialRow:
        row_id = token_hex(8)
        return CredentialRow(
            id=row_id,
            role=role,
            kind=kind_of(held),
            label=label,
            networks=networks,
            created_ms=self._clock.wall_ms(),
            expires_ms=None,
            fingerprint=fingerprint(row.exchange, api_key_of(held)),
            sealed=self._vault.seal(pack(held), row.place(role, row_id)),
        )


def issued_of(row: AccountRow) -> list[CredentialRow]:
    """Return the issued credentials of an account, oldest first."""
    return [one for one in row.credentials if one.role == "issued"]


def _common_label(old: list[CredentialRow]) -> str:
    labels = {one.label for one in old}
    return labels.pop() if len(labels) == 1 else ""


def _all_networks(old: list[CredentialRow]) -> tuple[str, ...]:
    """Return where any of the old may be used from; the new one stands for all of them."""
    if not all(one.networks for one in old):
        return ()
    return tuple(sorted({network for one in old for network in one.networks}))


def _expect_within(own: Iterable[str], account: tuple[str, ...]) -> None:
    outer = [ip_network(text) for text in account]
    for text in own:
        inner = ip_network(text)
        if outer and not any(_covers(one, inner) for one in outer):
            raise CommandError(f"{text} is outside the account's own addresses")


def _covers(outer: Network, inner: Network) -> bool:
    return (
        outer.version == inner.version
        and int(outer.network_address) <= int(inner.network_address)
        and int(inner.broadcast_address) <= int(outer.broadcast_address)
    )
