"""Sealing and opening of secrets: AES-256-GCM, a data key for each secret. NIST SP 800-38D.

The data key is sealed under the master key; both seals are bound to the row they stand in, so
that a row copied over another does not open. Changing the master key needs the data keys sealed
anew, not the secrets. Nothing here logs, and no error quotes a secret.
"""

from __future__ import annotations

import binascii
import hmac
import os
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_FORM: Final = b"\x01"  # first byte of a seal; another form gets another number
_WRAPPED_END: Final = 1 + _NONCE_BYTES + KEY_BYTES + _TAG_BYTES
_SEAL_BYTES_MIN: Final = _WRAPPED_END + _NONCE_BYTES + _TAG_BYTES


@final
@dataclass(frozen=True, slots=True)
class Place:
    """The row that a secret belongs to; it opens nowhere else."""

    exchange: str
    user: str
    label: str
    purpose: str
    row_id: str

    def bound(self, layer: bytes) -> bytes:
        """Return the additional data of one seal: no two places share theirs."""
        parts = (self.exchange, self.user, self.label, self.purpose, self.row_id)
        encoded = [layer, *(part.encode() for part in parts)]
        return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def handover_place(kind: str) -> Place:
    """Return the place of what one process leaves to the next."""
    return Place("", "", "", "hand-over", kind)


@final
class Sealed(NamedTuple):
    """A sealed secret and the id of the master key it needs; neither is secret."""

    master_id: str
    seal: bytes

    def __repr__(self) -> str:
        return f"Sealed({self.master_id}, {len(self.seal)} bytes)"


def parse_master_key(text: str) -> bytes:
    """Return the master key in `text`, 32 bytes in base64. Raises `VaultError`, never quoting."""
    try:
        key = b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise VaultError("the master key is not base64") from None
    if len(key) != KEY_BYTES:
        raise VaultError(f"the master key is {len(key)} bytes, not {KEY_BYTES}")
    return key


def master_key_id(key: bytes) -> str:
    """Return the name of a master key: 16 hex digits that tell nothing of it."""
    return hmac.digest(key, b"tagproxy master key id", "sha256")[:8].hex()


@final
class Vault:
    """Seals under the first master key, opens under any of them."""

    __slots__ = ("_masters", "sealing_id")

    def __init__(self, master_keys: Sequence[bytes]) -> None:
        if not master_keys:
            raise VaultError("no master key is configured")
        if any(len(key) != KEY_BYTES for key in master_keys):
            raise VaultError(f"a master key is not {KEY_BYTES} bytes")
        self._masters = {master_key_id(key): AESGCM(key) for key in reversed(master_keys)}
        self.sealing_id = master_key_id(master_keys[0])

    def seal(self, secret: bytes, place: Place) -> Sealed:
        """Seal `secret` for the row at `place`."""
        data_key = os.urandom(KEY_BYTES)
        nonce = os.urandom(_NONCE_BYTES)
        text = AESGCM(data_key).encrypt(nonce, secret, place.bound(b"secret"))
        return Sealed(self.sealing_id, self._wrap(data_key, place) + nonce + text)

    def open(self, sealed: Sealed, place: Place) -> bytes:
        """Return the secret sealed for `place`.

        Raises `VaultError`: another master key is needed, or the row was moved or changed.
        """
        data_key = self._unwrap(sealed, place)
        nonce_end = _WRAPPED_END + _NONCE_BYTES
        nonce, text = sealed.seal[_WRAPPED_END:nonce_end], sealed.seal[nonce_end:]
        try:
            return AESGCM(data_key).decrypt(nonce, text, place.bound(b"secret"))
        except InvalidTag:
            raise VaultError("a sealed secret was moved or changed") from None

    def reseal(self, sealed: Sealed, place: Place) -> Sealed:
        """Return the same secret sealed under the first master key; itself, if it is so already.

        The secret is not opened: only its data key is sealed anew. Raises `VaultError` as `open`.
        """
        if sealed.master_id == self.sealing_id:
            return sealed
        wrapped = self._wrap(self._unwrap(sealed, place), place)
        return Sealed(self.sealing_id, wrapped + sealed.seal[_WRAPPED_END:])

    def knows(self, master_id: str) -> bool:
        """Whether one of the configured master keys has this id."""
        return master_id in self._masters

    def _wrap(self, data_key: bytes, place: Place) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        master = self._masters[self.sealing_id]
        return _FORM + nonce + master.encrypt(nonce, data_key, place.bound(b"key"))

    def _unwrap(self, sealed: Sealed, place: Place) -> bytes:
        master = self._masters.get(sealed.master_id)
        if master is None:
            raise VaultError(f"sealed under master key {sealed.master_id}, which is not configured")
        seal = sealed.seal
        if len(seal) < _SEAL_BYTES_MIN or seal[:1] != _FORM:
            raise VaultError("a sealed secret has an unknown form")
        nonce, text = seal[1 : 1 + _NONCE_BYTES], seal[1 + _NONCE_BYTES : _WRAPPED_END]
        try:
            return master.decrypt(nonce, text, place.bound(b"key"))
        except InvalidTag:
            raise VaultError("a sealed secret was moved or changed") from None

    def __repr__(self) -> str:
        return f"Vault({', '.join(self._masters)})"
