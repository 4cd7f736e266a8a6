"""What an account is to be: by what it is, and by what an operator wants of it.

Seals what is to be stored; reads and writes nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from proxy.accounts.credentials import KeyOnly, api_key_of, fingerprint, kind_of, pack, unpack
from proxy.accounts.store import AccountRow, CredentialRow
from proxy.accounts.terms import held_of
from proxy.errors import CommandError, VaultError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.accounts.credentials import Held
    from proxy.accounts.store import Claim
    from proxy.accounts.terms import Terms
    from proxy.accounts.vault import Vault
    from proxy.clock import Clock
    from proxy.exchanges.spec import Exchange
    from proxy.model import KeyTriple

_ISSUE_RANDOM_BYTES: Final = 64
_NAMED_MAX: Final = 5


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
class Owner(NamedTuple):
    """Whose key it is, as the exchange says; "" where it was not asked or did not answer."""

    uid: str = ""
    main_uid: str = ""


@final
class Settled(NamedTuple):
    """An account as it was (None: new) and as it is to be, and what was issued for it."""

    before: AccountRow | None
    after: AccountRow
    issued: KeyTriple | None = None
    issued_id: str = ""

    @property
    def result(self) -> str:
        """What becomes of the account, in a word."""
        if self.before is None:
            return "added"
        return "unchanged" if self.before == self.after else "changed"

    def expect_free(self, owners: Mapping[Claim, str]) -> None:
        """Raise `CommandError` when a key that it is to have is taken; `owners` are the ids of
        the accounts that have keys, "" for a key that was given up."""
        after = self.after
        old = _claims(self.before)
        keys = [one.fingerprint for one in after.credentials if one.fingerprint is not None]
        if len(set(keys)) < len(keys):
            raise CommandError("this API key is one that was issued here")
        for claim in _claims(after) - old:
            if owners.get(claim, "") not in ("", after.id):
                raise CommandError(f"another account on {after.exchange} has this API key")

    def hand_over(self, owners: dict[Claim, str]) -> None:
        """Note in `owners` which keys the account gives up and which it takes."""
        before, after = _claims(self.before), _claims(self.after)
        owners.update(dict.fromkeys(before - after, ""))
        owners.update(dict.fromkeys(after - before, self.after.id))


@final
class Settler:
    """Settles accounts under one vault."""

    __slots__ = ("_clock", "_vault")

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock

    def settle(
        self,
        terms: Terms,
        row: AccountRow | None,
        exchange: Exchange,
        owner: Owner | None = None,
    ) -> Settled:
        """Say what an account is to be by `terms`, which have no fault; `row` is what it is now.

        The same terms again change nothing. Raises `CommandError` for what this account cannot
        be, and `VaultError` where its stored secret is needed and does not open.
        """
        base = row if row is not None else self.fresh(_new(terms))
        after = _with(base, terms)
        live = self.live(base)
        if after.mode != "sign":
            _expect_unsigned(after, terms, live)
        real = self._real(base, after, terms, exchange)
        after = _owned(after, real_of(base), real, owner)
        credentials = [real, *(issued_of(base) if after.mode == "sign" else ())]
        if not terms.issue or live:
            return Settled(row, replace(after, credentials=_in_order(credentials)))
        triple = exchange.issue(os.urandom(_ISSUE_RANDOM_BYTES))
        credentials.append(new := self.sealed(after, "issued", triple))
        return Settled(row, replace(after, credentials=_in_order(credentials)), triple, new.id)

    def open(self, row: AccountRow, stored: CredentialRow) -> Held:
        """Return what stored credentials are. Raises `VaultError`."""
        return unpack(self._vault.open(stored.sealed, row.place(stored.role, stored.id)))

    def fresh(self, new: NewAccount) -> AccountRow:
        """Return a new account, without credentials as yet."""
        return AccountRow(
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

    def live(self, row: AccountRow) -> list[CredentialRow]:
        """Return the issued credentials that are not over, oldest first."""
        now_ms = self._clock.wall_ms()
        return [one for one in issued_of(row) if not is_over(one, now_ms)]

    def _real(
        self, base: AccountRow, after: AccountRow, terms: Terms, exchange: Exchange
    ) -> CredentialRow:
        """Return the account's real credentials as they are to be: another row for other ones."""
        stored = real_of(base)
        if terms.real is not None:
            held = held_of(terms.real, after.mode, exchange)
            if stored is not None and self._opens_to(base, stored, held):
                return stored
            return self.sealed(after, "real", held)
        if stored is None:
            raise CommandError("the real credentials are missing")
        if after.mode == "sign" and stored.kind == "none":
            raise CommandError(
                f"in mode {base.mode} no secret is held, and mode sign needs it: give the whole"
                " key, users set-key --mode sign"
            )
        if after.mode == "sign" or stored.kind == "none":
            return stored
        held = KeyOnly(api_key_of(self.open(base, stored)))
        sealed = self._vault.seal(pack(held), base.place("real", stored.id))
        return replace(stored, kind=kind_of(held), sealed=sealed)

    def _opens_to(self, row: AccountRow, stored: CredentialRow, held: Held) -> bool:
        try:
            return pack(self.open(row, stored)) == pack(held)
        except VaultError:
            return False

    def sealed(
        self,
        row: AccountRow,
        role: str,
        held: Held,
        label: str = "",
        networks: tuple[str, ...] = (),
    ) -> CredentialRow:
        """Return new credentials of an account, sealed for it."""
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


def _claims(row: AccountRow | None) -> set[Claim]:
    if row is None:
        return set()
    return {(row.exchange, one.fingerprint) for one in row.credentials if one.fingerprint}


def real_of(row: AccountRow) -> CredentialRow | None:
    """Return the account's own credentials at the exchange."""
    return next((one for one in row.credentials if one.role == "real"), None)


def issued_of(row: AccountRow) -> list[CredentialRow]:
    """Return the issued credentials of an account, oldest first."""
    return [one for one in row.credentials if one.role == "issued"]


def is_over(one: CredentialRow, now_ms: int) -> bool:
    """Whether issued credentials have ended by `now_ms` (Unix)."""
    return one.role == "issued" and one.expires_ms is not None and one.expires_ms <= now_ms


def _new(terms: Terms) -> NewAccount:
    return NewAccount(terms.user, terms.exchange, terms.label)


def _with(base: AccountRow, terms: Terms) -> AccountRow:
    wanted = {
        "mode": terms.mode,
        "grants": terms.grants,
        "networks": terms.networks,
        "code": terms.code,
    }
    given: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    return replace(base, **given)


def _expect_unsigned(after: AccountRow, terms: Terms, live: list[CredentialRow]) -> None:
    """Raise `CommandError` for what an account that signs nothing cannot have."""
    if live:
        ids = ", ".join(one.id for one in live[:_NAMED_MAX]) + (", …" * (len(live) > _NAMED_MAX))
        raise CommandError(
            f"in mode {after.mode} bots sign with their own exchange key, and {after.user} has"
            f" issued credentials, which would end: revoke them first ({ids})"
        )
    if terms.issue:
        raise CommandError(f"in mode {after.mode} bots sign with their own exchange key")
    if after.mode == "observe" and terms.code:
        raise CommandError("in mode observe nothing is changed, and no code is set")


def _owned(
    after: AccountRow, before: CredentialRow | None, real: CredentialRow, owner: Owner | None
) -> AccountRow:
    """Return the account with the uid that its key stands for, as far as that is known."""
    if before is None or before.fingerprint == real.fingerprint:
        return after
    if owner is None and after.uid:
        raise CommandError(
            f"has another API key on record, of the exchange's user {after.uid}: replace it by"
            " users set-key, which asks whose the new one is"
        )
    uid, main_uid = owner if owner is not None else Owner()
    return replace(after, uid=uid, main_uid=main_uid)


def _in_order(credentials: list[CredentialRow]) -> tuple[CredentialRow, ...]:
    """As they come out of the database."""
    return tuple(sorted(credentials, key=lambda one: (one.created_ms, one.id)))
