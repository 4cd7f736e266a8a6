"""The standings in force, one per account, and the identities they share. In memory; the
directory says who comes and goes, `chronicle` writes down what is to outlive the process.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, Final, final

from proxy.accounts.activity import Activity
from proxy.accounts.standing import Identity, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from proxy.accounts.standing import Key, Memory
    from proxy.accounts.store import AccountRow, CredentialRow
    from proxy.model import Credentials

UID_MAX: Final = 64  # characters; an exchange that says more says something else
WORDS_MAX: Final = 100  # addresses or permissions kept of one key


def key_of(real: CredentialRow) -> Key:
    """Return which real credentials these are: others, even for the same account, differ."""
    return real.id, real.fingerprint


@final
class Standings:
    """Every account's standing by account id, and every identity that one of them refers to."""

    __slots__ = ("_by_account", "_identities", "_memories", "learned_lately", "news")

    def __init__(self) -> None:
        self._by_account: dict[str, Standing] = {}
        self._identities: dict[tuple[str, str], Identity] = {}
        self._memories: dict[str, Memory] = {}  # of accounts that could not be opened so far
        # whose uid must be written down before the process can die: limits are kept under it
        self.learned_lately: dict[str, Standing] = {}
        self.news = asyncio.Event()

    def __iter__(self) -> Iterator[Standing]:
        return iter(self._by_account.values())

    def __len__(self) -> int:
        return len(self._by_account)

    @property
    def identities(self) -> Iterable[Identity]:
        """Every identity that an account refers to."""
        return self._identities.values()

    def remember(self, memories: Mapping[str, Memory]) -> None:
        """Take in, by account id, what an earlier process knew."""
        self._memories = dict(memories)

    def fitting(self, row: AccountRow, real: CredentialRow, credentials: Credentials) -> Standing:
        """Return the standing in force, if its real key is still the account's, or else a new one
        that is not in force yet."""
        key = key_of(real)
        current = self._by_account.get(row.id)
        if current is not None and current.key == key:
            return current
        memory = self._memories.get(row.id)
        activity = memory.activity if memory is not None else None
        if current is not None:
            activity = current.activity  # it is the account's, whatever its key
        identity = Identity(row.exchange, row.uid or name_of_key(row.id, credentials))
        new = Standing(row.id, key, identity, activity or Activity())
        new.uid, new.main_uid = row.uid, row.main_uid
        if memory is not None and memory.key == key:
            new.addresses, new.permissions = memory.addresses, memory.permissions
            new.learned_ms = memory.learned_ms
        return new

    def enter(self, standing: Standing, key_ms: int) -> None:
        """Put what `fitting` returned in force; the account has its key since `key_ms` (Unix)."""
        current = self._by_account.get(standing.account_id)
        if current is standing:
            return
        if current is not None or standing.activity.key_health_ms < key_ms:
            standing.activity.another_key()
        standing.identity = self._hold(standing.identity)
        if current is not None:  # last: the two may share it, with what was learned of it
            self._release(current.identity)
        self._by_account[standing.account_id] = standing
        self._memories.pop(standing.account_id, None)

    def keep_only(self, account_ids: Iterable[str]) -> None:
        """Forget every other account."""
        kept = set(account_ids)
        known = self._by_account.keys() | self._memories.keys()
        for account_id in known - kept:
            self.forget(account_id)

    def forget(self, account_id: str) -> None:
        """Forget an account that is no more."""
        self._memories.pop(account_id, None)
        standing = self._by_account.pop(account_id, None)
        if standing is not None:
            self._release(standing.identity)

    def learned(
        self,
        standing: Standing,
        uid: str,
        main_uid: str,
        addresses: tuple[str, ...],
        permissions: tuple[str, ...],
        now_ms: int,
    ) -> tuple[Identity, Identity]:
        """Take in what the exchange told of a key; return whose limits the account's were and
        whose they are now, the same object where nothing changed.

        The exchange's word goes before what was known. Nothing is taken in without a uid, or for
        an account that went or got another key meanwhile.
        """
        old = standing.identity
        in_force = self._by_account.get(standing.account_id) is standing
        if not in_force or not 0 < len(uid) <= UID_MAX:
            return old, old
        standing.uid = uid
        standing.main_uid = main_uid[:UID_MAX]
        addresses, permissions = _words(addresses), _words(permissions)
        if addresses != standing.addresses:  # the same tuple tells the data path: nothing changed
            standing.addresses = addresses
        standing.permissions = permissions
        standing.learned_ms = now_ms
        standing.unsaved = True
        self.learned_lately[standing.account_id] = standing
        self.news.set()
        if old.text != uid:
            standing.identity = self._hold(Identity(old.exchange, uid))
            self._release(old)
        return old, standing.identity

    def _hold(self, identity: Identity) -> Identity:
        shared = self._identities.setdefault((identity.exchange, identity.text), identity)
        shared.holders += 1
        return shared

    def _release(self, identity: Identity) -> None:
        identity.holders -= 1
        if not identity.holders:
            del self._identities[identity.exchange, identity.text]


def name_of_key(account_id: str, credentials: Credentials) -> str:
    """Return the identity that an account has until its uid is known."""
    if not credentials.api_key:  # a Bearer token's owner is not known by any key
        return f"account:{account_id}"
    return "key:" + sha256(credentials.api_key).hexdigest()[:24]


def _words(told: tuple[str, ...]) -> tuple[str, ...]:
    """What can be kept of it, as comma-joined text."""
    return tuple(word for word in told[:WORDS_MAX] if len(word) <= UID_MAX and "," not in word)
