"""The form of MEXC keys: checking an operator's, making ones of our own. There is no passphrase.
https://www.mexc.com/api-docs/spot-v3/general-info#api-key-setup
"""

from __future__ import annotations

from typing import Final

from proxy.exchanges.triples import pair_fault
from proxy.model import KeyTriple

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def triple_fault(triple: KeyTriple) -> str:
    """What is wrong with a key's form, "" if nothing; never quotes it."""
    wrong = pair_fault(triple)
    if wrong or not triple.passphrase:
        return wrong
    return "passphrase must be left out: MEXC has none"


def issue(random: bytes) -> KeyTriple:
    """Make a key and secret that look like MEXC's: "mx0" and 15 letters, 32 hex digits."""
    assert len(random) >= 64
    key = "mx0" + "".join([_LETTERS[byte % len(_LETTERS)] for byte in random[:15]])
    return KeyTriple(key, random[16:32].hex(), "")
