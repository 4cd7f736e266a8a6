"""Which of an account's stored credentials can be used: those that open, and those that did before
they were sealed anew under a master key that this process was not told yet. Opening never tells
whether a secret is still the same; `alike` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

from proxy.accounts.credentials import unpack, usable
from proxy.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.accounts.credentials import Kind
    from proxy.accounts.directory import Access, Account
    from proxy.accounts.store import AccountRow, CredentialRow
    from proxy.accounts.vault import Vault
    from proxy.model import Credentials


@final
class Found(NamedTuple):
    """Usable credentials, a fault line by credentials' id, and how many the vault opened."""

    usable: list[tuple[CredentialRow, Credentials]]
    faults: dict[str, str]
    openings: int


def open_credentials(
    row: AccountRow,
    vault: Vault,
    opened_before: Callable[[AccountRow, CredentialRow], Credentials | None],
) -> Found:
    """Open what can be opened. `opened_before` returns what the very same credentials opened to
    earlier in this process, if they did."""
    found: list[tuple[CredentialRow, Credentials]] = []
    faults: dict[str, str] = {}
    openings = 0
    for stored in row.credentials:
        sealed = stored.sealed
        try:
            held = unpack(vault.open(sealed, row.place(stored.role, stored.id)))
        except VaultError as error:
            kept = None if vault.knows(sealed.master_id) else opened_before(row, stored)
            if kept is None or _kind_of(kept) != stored.kind:
                where = f"{row.exchange} {row.user} {row.label}"
                faults[stored.id] = f"{where}: {stored.role} credentials {stored.id}: {error}"
            else:
                found.append((stored, kept))
                faults[stored.id] = (  # one line for all such accounts
                    f"secrets are sealed under master key {sealed.master_id}, which is not"
                    " configured: accounts known before go on, new ones cannot be served"
                )
        else:
            found.append((stored, usable(held)))
            openings += 1
    return Found(found, faults, openings)


def _kind_of(opened: Credentials) -> Kind:
    if opened.bearer:
        return "bearer"
    return "none" if opened.mac is None else "hmac"


def alike(before: Sequence[Access], now: Sequence[Access]) -> bool:
    """Whether one reading of an account left nothing changed that a request could notice."""
    return len(before) == len(now) and all(map(_same_access, before, now))


def _same_access(one: Access, other: Access) -> bool:
    return (
        (one.issued_id, one.expires_ms, one.networks)
        == (other.issued_id, other.expires_ms, other.networks)
        and _same_credentials(one.credentials, other.credentials)
        and _same_account(one.account, other.account)
    )


def _same_account(one: Account, other: Account) -> bool:
    plain = (name for name in one.__slots__ if name != "credentials")
    return _same_credentials(one.credentials, other.credentials) and all(
        getattr(one, name) == getattr(other, name) for name in plain
    )


def _same_credentials(one: Credentials, other: Credentials) -> bool:
    return one is other or (
        (one.api_key, one.passphrase, one.bearer, one.mac is None)
        == (other.api_key, other.passphrase, other.bearer, other.mac is None)
        and (one.mac is None or other.mac is None or one.mac.digest(b"") == other.mac.digest(b""))
    )
