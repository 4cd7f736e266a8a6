"""What every exchange's key triples have in common: plain text, and not too much of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.model import KeyTriple

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]{1,128}")


def triple_fault(triple: KeyTriple) -> str:
    """What is wrong with a key triple's form, "" if nothing; never quotes it."""
    return pair_fault(triple) or _fault("passphrase", triple.passphrase)


def pair_fault(triple: KeyTriple) -> str:
    """What is wrong with a key and its secret, "" if nothing; never quotes them."""
    return _fault("api_key", triple.api_key) or _fault("secret", triple.secret)


def _fault(name: str, text: str) -> str:
    if not text:
        return f"{name} is missing"
    if _PRINTABLE.fullmatch(text) is None:
        return f"{name} must be at most 128 printable ASCII characters without spaces"
    return ""
