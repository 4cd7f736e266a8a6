"""Odd spellings of a path are refused, plain ones decoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refusal
from proxy.security.paths import decoded_path


@pytest.mark.parametrize(
    ("path", "decoded"),
    [
        (b"/api/v5/Asset/Withdrawal", "/api/v5/asset/withdrawal"),
        (b"/api/v5/x/BTC-USDT", "/api/v5/x/btc-usdt"),
        (b"/api/a%3Ab", "/api/a:b"),
        (b"/", "/"),
    ],
)
def test_a_plain_path_is_decoded_and_lowered(path: bytes, decoded: str) -> None:
    assert decoded_path(path) == decoded


@pytest.mark.parametrize(
    "path",
    [
        b"/api/v5/asset/%77ithdrawal",  # encoded letter
        b"/api/v5/asset%2Dx",
        b"/api/v5/%7Euser",
        b"/api/v5/x%39",
        b"/api//v5",
        b"/api/v5/",
        b"/api/v5;x=1/asset",
        b"/api\\v5",
        b"/api/./v5",
        b"/api/../v5",
        b"/api/%2e%2e/v5",
        b"/api/%2E/v5",
        b"/api%2F%2Fv5",
        b"/api/a%3Bb",
        b"/api/a%5Cb",
        b"/api/a%00b",
        b"/api/a%0Ab",
        b"/api/a%2577b",
        b"/api/a%zz",
        b"/api/a%",
        b"/api/a b",
        b"/api/\xc3\xa9",
        b"/api/%C3%A9",
        b"api",
        b"",
        b"/" + b"a" * 600,
    ],
)
def test_an_odd_spelling_is_refused(path: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        decoded_path(path)
    assert refused.value.slug == "bad_request"


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(path: bytes) -> None:
    try:
        decoded = decoded_path(path)
    except Refusal:
        return
    assert decoded.startswith("/")
    assert decoded == decoded.lower()
    assert "//" not in decoded
