"""What the commands do with accounts: add and change them, give them issued credentials.

Seals what is stored and decides which rows belong together; says nothing and prints nothing.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, final

from proxy.accounts.credentials import api_key_of, masked
from proxy.accounts.settling import NewAccount, Settler, is_over, issued_of
from proxy.errors import CommandError, VaultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.accounts.credentials import Held
    from proxy.accounts.directory import Network
    from proxy.accounts.rows import AccountRow, Change, CredentialRow
    from proxy.accounts.settling import Owner, Settled
    from proxy.accounts.store import Claim, Name, Store
    from proxy.accounts.terms import Terms
    from proxy.accounts.vault import Vault
    from proxy.clock import Clock
    from proxy.exchanges.spec import Exchange
    from proxy.model import KeyTriple

__all__ = ["Enrolment", "NewAccount", "issued_of"]


@final
class Enrolment:
    """The accounts of one database and the vault that seals for it."""

    __slots__ = ("_clock", "_store", "_vault")

    def __init__(self, store: Store, vault: Vault, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock

    @property
    def settler(self) -> Settler:
        """Settles accounts under the vault of this database."""
        return Settler(self._vault, self._clock)

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
        row = self.settler.fresh(new)
        credentials = [self.settler.sealed(row, "real", held)]
        if issued is not None:
            credentials.append(self.settler.sealed(row, "issued", issued))
        await self._store.add(replace(row, credentials=tuple(credentials)))
        return credentials[-1].id if issued is not None else ""

    async def change(
        self, terms: Terms, exchange: Exchange, owner: Owner | None = None, seen: str = ""
    ) -> Settled:
        """Change an account that is there. With a key of another owner `owner` says whose it is.

        `seen` is the id of the real credentials that were looked at before, if any were. Raises
        `CommandError`, as `Settler.settle`, and when the account is gone or has other ones by now.
        """
        settled: list[Settled] = []

        def decide(there: Mapping[Name, AccountRow], owners: Mapping[Claim, str]) -> list[Change]:
            row = there.get(terms.name)
            if row is None or (seen and seen not in {one.id for one in row.credentials}):
                raise _changed_meanwhile(terms.user)
            settled.append(self.settler.settle(terms, row, exchange, owner))
            settled[0].expect_free(owners)
            return [settled[0][:2]]

        await self._store.edit([terms.name], [terms.claim] if terms.claim else [], decide)
        return settled[0]

    async def issue(
        self, row: AccountRow, issued: KeyTriple, label: str = "", networks: tuple[str, ...] = ()
    ) -> str:
        """Add one more set of issued credentials; return its id.

        Raises `CommandError` when its networks reach beyond the account's.
        """
        _expect_within(networks, row.networks)
        new = self.settler.sealed(row, "issued", issued, label, networks)
        await self._give(row, new, None)
        return new.id

    async def rotate(self, row: AccountRow, issued: KeyTriple, overlap_ms: int) -> str:
        """Replace every issued set by one new one; the old end after `overlap_ms`.

        Return the new id. Raises `CommandError` when there is none to replace.
        """
        old = self.settler.live(row)
        if not old:
            raise CommandError(f"{row.user} has no issued credentials on {row.exchange} to replace")
        new = self.settler.sealed(row, "issued", issued, _common_label(old), _all_networks(old))
        await self._give(row, new, new.created_ms + overlap_ms)
        return new.id

    async def _give(self, row: AccountRow, new: CredentialRow, others_end_ms: int | None) -> None:
        """Add issued credentials. The account's others end at `others_end_ms`, if that is given;
        those over by now are forgotten."""
        name = (row.exchange, row.user, row.label)

        def decide(there: Mapping[Name, AccountRow], _: object) -> list[Change]:
            now = there.get(name)
            if now is None or (now.id, now.mode, now.networks) != (row.id, row.mode, row.networks):
                raise _changed_meanwhile(row.user)
            kept = [_ending(one, others_end_ms) for one in now.credentials]
            kept = [one for one in kept if not is_over(one, new.created_ms)]
            return [(now, replace(now, credentials=(*kept, new)))]

        await self._store.edit([name], [], decide)

    def masked_key(self, row: AccountRow, stored: CredentialRow) -> str:
        """Return what may be shown of an API key; "?" when it does not open."""
        try:
            return masked(api_key_of(self.settler.open(row, stored)))
        except VaultError:
            return "?"


def _changed_meanwhile(user: str) -> CommandError:
    return CommandError(f"{user} was changed by another command meanwhile")


def _ending(one: CredentialRow, end_ms: int | None) -> CredentialRow:
    """Issued credentials that end at `end_ms` at the latest."""
    if one.role != "issued" or end_ms is None:
        return one
    return replace(
        one, expires_ms=end_ms if one.expires_ms is None else min(one.expires_ms, end_ms)
    )


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
