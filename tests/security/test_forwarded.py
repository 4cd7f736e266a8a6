"""Whom a request comes from behind load balancers that are trusted, and behind others."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.security.forwarded import RealSources, real_source

PEER = ip_address("10.0.0.1")
STRANGER = ip_address("203.0.113.66")
TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def source(value: bytes, peer: str = "10.0.0.1") -> str:
    return str(real_source(ip_address(peer), value, TRUSTED))


@pytest.mark.parametrize(
    ("value", "real"),
    [
        (b"", "10.0.0.1"),
        (b"198.51.100.7", "198.51.100.7"),
        (b"  198.51.100.7\t", "198.51.100.7"),
        (b"192.0.2.9, 198.51.100.7", "198.51.100.7"),
        (b"198.51.100.7, 10.0.0.2", "198.51.100.7"),
        (b"192.0.2.9,198.51.100.7,10.0.0.2,10.9.9.9", "198.51.100.7"),
        (b"198.51.100.7,fd00::1", "198.51.100.7"),
        (b"127.0.0.1, 198.51.100.7", "198.51.100.7"),
        (b"127.0.0.1", "127.0.0.1"),
        # all trusted: the leftmost
        (b"10.0.0.3", "10.0.0.3"),
        (b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
        # every spelling
        (b"198.51.100.7:567", "198.51.100.7"),
        (b"[2001:DB8::7]:443", "2001:db8::7"),
        (b"[2001:db8::7]", "2001:db8::7"),
        (b"2001:db8::7", "2001:db8::7"),
        (b"::ffff:198.51.100.7", "198.51.100.7"),
        (b"[::ffff:198.51.100.7]:1", "198.51.100.7"),
        (b"198.51.100.7, ::ffff:10.0.0.2", "198.51.100.7"),
        (b"198.51.100.7, 10.0.0.2:8080", "198.51.100.7"),
    ],
)
def test_the_first_hop_from_the_right_that_is_not_trusted_is_the_source(
    value: bytes, real: str
) -> None:
    assert source(value) == real


@pytest.mark.parametrize(
    "garbage",
    [
        b"unknown",
        b"_hidden",
        b"",
        b" ",
        b"198.51.100",
        b"198.51.100.256",
        b"198.51.100.07",
        b"198.51.100.7:",
        b"198.51.100.7:123456",
        b"198.51.100.7:x",
        b"198.51.100.7/32",
        b"198.51.100.7 10.0.0.9",
        b'"198.51.100.7"',
        b"for=198.51.100.7",
        b"[198.51.100.7",
        b"198.51.100.7]",
        b"[]",
        b"fe80::1%eth0",
        b"[fe80::1%25eth0]",
        b"2001:db8::7::1",
        "１.2.3.4".encode(),
        b"\xff\xfe",
        b"198.51.100.7\n",
    ],
)
def test_nothing_left_of_garbage_is_believed(garbage: bytes) -> None:
    assert source(b"198.51.100.7, " + garbage) == "10.0.0.1"
    assert source(b"198.51.100.7, " + garbage + b", 10.0.0.2") == "10.0.0.2"
    assert source(garbage + b", 198.51.100.8") == "198.51.100.8"


def test_a_peer_that_is_not_trusted_is_the_source_whatever_it_says() -> None:
    for peer in ("203.0.113.66", "2001:db8::66", "::1", "127.0.0.1"):
        assert source(b"198.51.100.7", peer) == peer
    assert real_source(PEER, b"198.51.100.7", ()) == PEER


def test_a_value_without_end_is_read_from_the_right_and_no_further() -> None:
    assert source(b"192.0.2.9, " * 3000 + b"198.51.100.7") == "198.51.100.7"
    assert source(b"198.51.100.7," + b"10.0.0.2," * 500 + b"10.0.0.3") == "10.0.0.2"
    assert source(b"198.51.100.7" + b" " * 2040 + b",10.0.0.2") == "10.0.0.2"
    assert source(b"9" * 10_000) == "10.0.0.1"


def test_a_value_cut_at_its_maximum_is_not_mistaken_for_a_shorter_one() -> None:
    """What is left of a bad address when its first digit is cut off would be a good one."""
    hops = b",fd00::2" * 20
    for size in range(2040, 2060):
        value = b"1198.51.100.7".ljust(size - len(hops)) + hops
        assert source(value) == "fd00::2"


HOPS = st.sampled_from(
    [b"10.0.0.2", b"198.51.100.7", b"[fd00::1]:1", b"::1", b"unknown", b" ", b"::ffff:10.1.1.1"]
)


@given(st.lists(st.one_of(HOPS, st.binary(max_size=20)), max_size=40).map(b",".join))
def test_any_value_gives_an_address(value: bytes) -> None:
    assert real_source(STRANGER, value, TRUSTED) == STRANGER
    found = real_source(PEER, value, TRUSTED)
    assert found == PEER or str(found)
    sources = RealSources(TRUSTED)
    for _ in range(2):
        assert sources.of(PEER, "10.0.0.1", value) == (found, str(found))


@given(
    st.lists(st.one_of(HOPS, st.binary(max_size=20)), max_size=20).map(b",".join),
    st.integers(0, 2),
)
def test_what_a_client_adds_on_the_left_changes_nothing(forged: bytes, hops: int) -> None:
    honest = b"198.51.100.7" + b", 10.0.0.2" * hops
    assert source(forged + b", " + honest) == "198.51.100.7"


def test_what_is_kept_is_bounded() -> None:
    sources = RealSources(TRUSTED, kept_max=5)
    for number in range(20):
        real = sources.of(PEER, "10.0.0.1", b"198.51.100.%d" % number)
        assert real == (ip_address(f"198.51.100.{number}"), f"198.51.100.{number}")
        assert len(sources._kept) <= 5
    long = b" " * 200 + b"198.51.100.7"
    kept = len(sources._kept)
    assert sources.of(PEER, "10.0.0.1", long)[1] == "198.51.100.7"
    assert len(sources._kept) == kept


def test_the_same_value_from_another_peer_is_read_anew() -> None:
    sources = RealSources(TRUSTED)
    assert sources.of(PEER, "10.0.0.1", b"198.51.100.7")[1] == "198.51.100.7"
    assert sources.of(STRANGER, "203.0.113.66", b"198.51.100.7")[1] == "203.0.113.66"
