"""The form of MEXC keys: checking an operator's, making ones of our own. There is no passphrase.
https://www.mexc.com/api-docs/spot-v3/general-info#api-key-setup
"""

from __future__ import annotations

import re
from typing import Final

from proxy.model import KeyTriple

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]{1,128}")
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def triple_fault(triple: KeyTriple) -> str:
    """What is wrong with a key's form, "" if nothing; never quotes it."""
    for name, text in (("api_key", triple.api_key), ("secret", triple.secret)):
        if not text:
            return f"{name} is missing"
        if _PRINTABLE.fullmatch(text) is None:
            return f"{name} must be at most 128 printable ASCII characters without spaces"
    return "passphrase must be left out: MEXC has none" if triple.passphrase else ""


def issue(random: bytes) -> KeyTriple:
    """Make a key and secret that look like MEXC's: "mx0" and 15 letters, 32 hex digits."""
    assert len(random) >= 64
    key = "mx0" + "".join([_LETTERS[byte % len(_LETTERS)] for byte in random[:15]])
    return KeyTriple(key, random[16:32].hex(), "")
