"""Keys in MEXC's form: our own, and an operator's."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchanges.mexc import EXCHANGE
from proxy.model import KeyTriple


@given(st.binary(min_size=64, max_size=64))
def test_issued_keys_look_like_mexcs(random: bytes) -> None:
    triple = EXCHANGE.issue(random)
    assert re.fullmatch(r"mx0[0-9A-Za-z]{15}", triple.api_key)
    assert re.fullmatch(r"[0-9a-f]{32}", triple.secret)
    assert triple.passphrase == ""
    assert EXCHANGE.triple_fault(triple) == ""


@pytest.mark.parametrize(
    ("triple", "words"),
    [
        (KeyTriple("", "s", ""), "api_key is missing"),
        (KeyTriple("k", "", ""), "secret is missing"),
        (KeyTriple("k", "s p", ""), "secret must be at most 128 printable ASCII characters"),
        (KeyTriple("k\r\nx: y", "s", ""), "api_key must be"),
        (KeyTriple("k" * 129, "s", ""), "api_key must be"),
        (KeyTriple("k", "s", "p"), "passphrase must be left out"),
        (KeyTriple("k", "s", ""), ""),
    ],
)
def test_a_key_that_cannot_be_used_is_told(triple: KeyTriple, words: str) -> None:
    fault = EXCHANGE.triple_fault(triple)
    assert fault.startswith(words)
    assert bool(fault) is bool(words)
