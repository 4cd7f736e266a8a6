"""The form of OKX key triples: making ones of our own.
https://www.okx.com/docs-v5/en/#overview-rest-authentication-creating-an-api-key
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from uuid import UUID

from proxy.model import KeyTriple


def issue(random: bytes) -> KeyTriple:
    """Make a key triple that looks like OKX's: 16 bytes of key, 16 of secret, the rest passphrase.

    OKX wants upper and lower case, a digit and a special character in the passphrase; the fixed
    four in front see to that.
    """
    assert len(random) >= 64
    passphrase = "Tp1!" + urlsafe_b64encode(random[32:50]).decode()
    return KeyTriple(str(UUID(bytes=random[:16])), random[16:32].hex().upper(), passphrase)
