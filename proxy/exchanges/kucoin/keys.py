"""The form of KuCoin key triples: making ones of our own.
https://www.kucoin.com/docs-new/authentication
"""

from __future__ import annotations

from uuid import UUID

from proxy.model import KeyTriple


def issue(random: bytes) -> KeyTriple:
    """Make a key triple that looks like KuCoin's: 12 bytes of key, 16 of secret, 16 of
    passphrase (KuCoin takes 7 to 32 characters)."""
    assert len(random) >= 64
    return KeyTriple(random[:12].hex(), str(UUID(bytes=random[16:32])), random[32:48].hex())
