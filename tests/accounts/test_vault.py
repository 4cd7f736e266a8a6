"""Sealing: what opens, what does not, and that nothing shows itself."""

from __future__ import annotations

import os
from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.accounts.vault import Place, Sealed, Vault, master_key_id, parse_master_key
from proxy.errors import VaultError

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
PLACE = Place("okx", "alice", "main", "real", "0123456789abcdef")
SECRET = b"the-secret-itself"


@given(st.binary(max_size=4096), st.text(max_size=20), st.text(max_size=20))
def test_what_was_sealed_opens_in_its_place(secret: bytes, user: str, label: str) -> None:
    vault = Vault([KEY])
    place = Place("okx", user, label, "issued", "1")
    sealed = vault.seal(secret, place)
    assert vault.open(sealed, place) == secret
    assert len(secret) < 4 or secret not in sealed.seal


@pytest.mark.parametrize("part", ["exchange", "user", "label", "purpose", "row_id"])
def test_a_seal_moved_to_another_row_does_not_open(part: str) -> None:
    vault = Vault([KEY])
    sealed = vault.seal(SECRET, PLACE)
    moved = replace(PLACE, **{part: "another"})
    with pytest.raises(VaultError, match="moved or changed"):
        vault.open(sealed, moved)


def test_parts_of_a_place_cannot_be_shifted_into_each_other() -> None:
    """`ab` + `c` and `a` + `bc` name different rows."""
    assert replace(PLACE, user="ab", label="c").bound(b"") != (
        replace(PLACE, user="a", label="bc").bound(b"")
    )


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_any_changed_byte_keeps_a_seal_from_opening(position: int, flip: int) -> None:
    vault = Vault([KEY])
    sealed = vault.seal(SECRET, PLACE)
    changed = bytearray(sealed.seal)
    changed[position % len(changed)] ^= flip
    with pytest.raises(VaultError):
        vault.open(Sealed(sealed.master_id, bytes(changed)), PLACE)


@given(st.binary(max_size=120))
def test_any_bytes_in_place_of_a_seal_are_a_vault_error(seal: bytes) -> None:
    vault = Vault([KEY])
    with pytest.raises(VaultError):
        vault.open(Sealed(master_key_id(KEY), seal), PLACE)


def test_another_master_key_does_not_open_and_the_error_says_which_is_needed() -> None:
    sealed = Vault([KEY]).seal(SECRET, PLACE)
    with pytest.raises(VaultError, match=master_key_id(KEY)) as caught:
        Vault([OTHER_KEY]).open(sealed, PLACE)
    assert "secret-itself" not in str(caught.value)


def test_a_master_key_under_anothers_id_does_not_open() -> None:
    sealed = Vault([KEY]).seal(SECRET, PLACE)
    with pytest.raises(VaultError, match="moved or changed"):
        Vault([OTHER_KEY]).open(sealed._replace(master_id=master_key_id(OTHER_KEY)), PLACE)


def test_the_first_master_key_seals_and_any_opens() -> None:
    old = Vault([KEY]).seal(SECRET, PLACE)
    both = Vault([OTHER_KEY, KEY])
    assert both.open(old, PLACE) == SECRET
    new = both.seal(SECRET, PLACE)
    assert Vault([OTHER_KEY]).open(new, PLACE) == SECRET
    assert not Vault([KEY]).knows(new.master_id)


def test_each_seal_has_a_data_key_of_its_own() -> None:
    vault = Vault([KEY])
    first, second = vault.seal(SECRET, PLACE), vault.seal(SECRET, PLACE)
    mixed = Sealed(first.master_id, first.seal[:61] + second.seal[61:])
    with pytest.raises(VaultError):
        vault.open(mixed, PLACE)


def test_a_master_key_is_read_from_base64_with_white_space_around() -> None:
    key = os.urandom(32)
    assert parse_master_key(f"  {b64encode(key).decode()}\n") == key


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "0 bytes, not 32"),
        ("not-base-64!", "not base64"),
        ("schlüssel", "not base64"),
        (b64encode(b"short-planted-key").decode(), "17 bytes, not 32"),
    ],
)
def test_a_bad_master_key_is_named_and_never_quoted(text: str, what: str) -> None:
    with pytest.raises(VaultError, match=what) as caught:
        parse_master_key(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("keys", [[], [b"short"]])
def test_a_vault_needs_whole_master_keys(keys: list[bytes]) -> None:
    with pytest.raises(VaultError):
        Vault(keys)


def test_a_repr_tells_the_master_keys_id_and_nothing_else() -> None:
    vault = Vault([KEY])
    sealed = vault.seal(SECRET, PLACE)
    shown = repr(vault) + repr(sealed)
    assert master_key_id(KEY) in shown
    assert KEY.hex() not in shown
    assert repr(sealed.seal) not in shown


def test_the_id_of_a_master_key_is_not_part_of_it() -> None:
    assert len(master_key_id(KEY)) == 16
    assert master_key_id(KEY) not in KEY.hex()
    assert master_key_id(KEY) != master_key_id(OTHER_KEY)
