"""HMAC-SHA256 by the vectors of RFC 4231 and against the standard library."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchanges.mac import Mac


@pytest.mark.parametrize(
    ("key", "message", "digest"),
    [
        (
            b"\x0b" * 20,
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ],
)
def test_digests_are_those_of_rfc_4231(key: bytes, message: bytes, digest: str) -> None:
    assert Mac(key).digest(message).hex() == digest


@given(st.binary(max_size=200), st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_one_secret_authenticates_many_messages(key: bytes, messages: list[bytes]) -> None:
    mac = Mac(key)
    for message in messages:
        assert mac.digest(message) == hmac.new(key, message, hashlib.sha256).digest()


def test_nothing_of_the_secret_is_shown() -> None:
    assert repr(Mac(b"planted")) == "Mac(…)"
    assert "planted" not in str(Mac(b"planted"))
