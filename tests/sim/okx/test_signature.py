"""Vectors published by OKX in its builder demo; not computed here."""

from __future__ import annotations

import pytest

from proxy.sim.okx.signature import matches, signature

STAMP = "2020-12-08T09:08:57.715Z"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/api/v5/account/balance", "tpQYvXdaAfU8ae6zI1rJ2xVcyMIk9BKWK/fysaanweQ="),
        ("/api/v5/account/balance?ccy=BTC", "pS6nHuBl6Qc9S0h+soCkCVHaVHZzS19KqFpeI/doTlE="),
    ],
)
def test_signature_is_the_published_one(target: str, expected: str) -> None:
    assert signature("mock-secret", STAMP, "GET", target) == expected


def test_signature_covers_method_and_body() -> None:
    plain = signature("s", STAMP, "POST", "/p", b"{}")
    assert plain != signature("s", STAMP, "GET", "/p", b"{}")
    assert plain != signature("s", STAMP, "POST", "/p", b"{ }")


def test_odd_characters_in_a_signature_are_a_mismatch() -> None:
    assert not matches("abc", "äöü\udc80")
