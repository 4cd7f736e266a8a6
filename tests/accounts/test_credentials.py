"""The union of what accounts may hold: round trips, reprs, fingerprints."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.accounts.credentials import (
    BearerToken,
    Held,
    KeyOnly,
    fingerprint,
    kind_of,
    masked,
    pack,
    unpack,
    usable,
)
from proxy.errors import VaultError
from proxy.model import KeyTriple

TRIPLE = KeyTriple("api-key", "planted-secret", "planted-passphrase")
HELD: list[tuple[Held, str, list[str]]] = [
    (TRIPLE, "hmac", ["api_key", "secret", "passphrase"]),
    (BearerToken("planted-token", "planted-refresh"), "bearer", ["token", "refresh"]),
    (KeyOnly("api-key"), "none", ["api_key"]),
]


@pytest.mark.parametrize(("held", "kind", "fields"), HELD)
def test_every_kind_comes_back_as_it_was(held: Held, kind: str, fields: list[str]) -> None:
    back = unpack(pack(held))
    assert type(back) is type(held)
    assert kind_of(back) == kind
    assert [getattr(back, name) for name in fields] == [getattr(held, name) for name in fields]


@given(st.binary(max_size=200) | st.sampled_from([b"[]", b'["hmac","a"]', b'["none",1]', b"{}"]))
def test_anything_else_is_a_vault_error_that_quotes_nothing(packed: bytes) -> None:
    with pytest.raises(VaultError, match=r"^opened credentials have an unknown form$"):
        unpack(packed)


def test_a_triple_becomes_what_can_sign() -> None:
    ready = usable(TRIPLE)
    assert ready.api_key == b"api-key"
    assert ready.passphrase == b"planted-passphrase"
    assert ready.mac is not None
    assert ready.mac.digest(b"message") == hmac.digest(b"planted-secret", b"message", "sha256")


def test_a_bearer_token_becomes_credentials_without_a_key() -> None:
    ready = usable(BearerToken("planted-token"))
    assert (ready.api_key, ready.mac, ready.bearer) == (b"", None, b"planted-token")


def test_a_key_without_a_secret_cannot_sign() -> None:
    ready = usable(KeyOnly("api-key"))
    assert (ready.api_key, ready.mac) == (b"api-key", None)


@pytest.mark.parametrize(("held", "kind", "fields"), HELD)
def test_no_repr_shows_a_secret(held: Held, kind: str, fields: list[str]) -> None:
    assert "planted" not in repr(held) + repr(usable(held)), (kind, fields)


def test_a_key_is_told_apart_by_exchange_table_and_bearers_never_collide() -> None:
    assert fingerprint("okx", "a") != fingerprint("okx-us", "a")
    assert fingerprint("okx", "a") == fingerprint("okx", "a")
    assert fingerprint("okx", "") is None


def test_a_masked_key_shows_its_ends_only_when_it_is_long() -> None:
    assert masked("0123456789abcdefXYZ") == "0123…fXYZ"
    assert masked("short-key") == "…"
