"""The form of KuCoin key triples: checking an operator's, making ones of our own.
https://www.kucoin.com/docs-new/authentication
"""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from proxy.model import KeyTriple

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]{1,128}")


def triple_fault(triple: KeyTriple) -> str:
    """What is wrong with a key triple's form, "" if nothing; never quotes it."""
    parts = (
        ("api_key", triple.api_key),
        ("secret", triple.secret),
        ("passphrase", triple.passphrase),
    )
    for name, text in parts:
        if not text:
            return f"{name} is missing"
        if _PRINTABLE.fullmatch(text) is None:
            return f"{name} must be at most 128 printable ASCII characters without spaces"
    return ""


def issue(random: bytes) -> KeyTriple:
    """Make a key triple that looks like KuCoin's: 12 bytes of key, 16 of secret, 16 of
    passphrase (KuCoin takes 7 to 32 characters)."""
    assert len(random) >= 64
    return KeyTriple(random[:12].hex(), str(UUID(bytes=random[16:32])), random[32:48].hex())
