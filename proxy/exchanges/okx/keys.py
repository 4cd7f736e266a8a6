"""The form of OKX key triples: checking an operator's, making ones of our own.
https://www.okx.com/docs-v5/en/#overview-rest-authentication-creating-an-api-key
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
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
    """Make a key triple that looks like OKX's: 16 bytes of key, 16 of secret, the rest passphrase.

    OKX wants upper and lower case, a digit and a special character in the passphrase; the fixed
    four in front see to that.
    """
    assert len(random) >= 64
    passphrase = "Tp1!" + urlsafe_b64encode(random[32:50]).decode()
    return KeyTriple(str(UUID(bytes=random[:16])), random[16:32].hex().upper(), passphrase)
