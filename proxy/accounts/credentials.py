"""What an account may hold: an HMAC key triple, a Bearer token, or an API key and no secret.

The text forms live only between an operator, the vault and `usable`; what the hot path keeps can
sign but cannot tell its secret.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Literal, TypeAlias, final

import orjson

from proxy.errors import VaultError
from proxy.exchanges.mac import Mac
from proxy.model import Credentials, KeyTriple

Kind = Literal["hmac", "bearer", "none"]


@final
class BearerToken:
    """An OAuth access token on its way to or from the vault; `refresh` is "" if there is none."""

    __slots__ = ("refresh", "token")

    def __init__(self, token: str, refresh: str = "") -> None:
        self.token = token
        self.refresh = refresh

    def __repr__(self) -> str:
        return "BearerToken(…)"


@final
class KeyOnly:
    """An API key whose secret we do not hold: modes `keyless` and `observe`."""

    __slots__ = ("api_key",)

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key

    def __repr__(self) -> str:
        return "KeyOnly(…)"


Held: TypeAlias = KeyTriple | BearerToken | KeyOnly


def kind_of(held: Held) -> Kind:
    """Return the word that the database keeps beside the seal."""
    if isinstance(held, KeyTriple):
        return "hmac"
    return "bearer" if isinstance(held, BearerToken) else "none"


def pack(held: Held) -> bytes:
    """Return the bytes to seal."""
    if isinstance(held, KeyTriple):
        fields = ["hmac", held.api_key, held.secret, held.passphrase]
    elif isinstance(held, BearerToken):
        fields = ["bearer", held.token, held.refresh]
    else:
        fields = ["none", held.api_key]
    return orjson.dumps(fields)


def unpack(packed: bytes) -> Held:
    """Return what `pack` was given. Raises `VaultError` for anything else, never quoting it."""
    try:
        fields = orjson.loads(packed)
    except orjson.JSONDecodeError:
        fields = None
    match fields:
        case ["hmac", str(api_key), str(secret), str(passphrase)]:
            return KeyTriple(api_key, secret, passphrase)
        case ["bearer", str(token), str(refresh)]:
            return BearerToken(token, refresh)
        case ["none", str(api_key)]:
            return KeyOnly(api_key)
    raise VaultError("opened credentials have an unknown form")


def api_key_of(held: Held) -> str:
    """Return the API key that bots name, "" for a Bearer token."""
    return "" if isinstance(held, BearerToken) else held.api_key


def usable(held: Held) -> Credentials:
    """Return the form that can sign and shows nothing; the text may be dropped after this."""
    if isinstance(held, KeyTriple):
        mac = Mac(held.secret.encode())
        return Credentials(held.api_key.encode(), mac, held.passphrase.encode())
    if isinstance(held, BearerToken):
        return Credentials(b"", None, b"", held.token.encode())
    return Credentials(held.api_key.encode(), None, b"")


_FINGERPRINT: Final = b"tagproxy api key\0"


def fingerprint(exchange: str, api_key: str) -> bytes | None:
    """Return what keeps one API key from being claimed twice in one exchange table.

    Not keyed, so that it outlives a change of the master key; an API key is no secret by itself.
    `None` for no key (Bearer): those do not collide.
    """
    if not api_key:
        return None
    return sha256(_FINGERPRINT + exchange.encode() + b"\0" + api_key.encode()).digest()


def masked(api_key: str) -> str:
    """Return what may be shown of an API key: enough for its owner to know it again."""
    return f"{api_key[:4]}…{api_key[-4:]}" if len(api_key) >= 16 else "…"
