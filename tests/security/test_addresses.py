"""Addresses that may read without a key."""

from __future__ import annotations

from ipaddress import ip_address

from proxy.security.addresses import HOUR_NS, KnownAddresses

BOT = ip_address("192.0.2.1")


def test_a_stranger_is_not_known() -> None:
    assert not KnownAddresses().known(BOT, 0)


def test_loopback_is_always_known() -> None:
    addresses = KnownAddresses()
    assert addresses.known(ip_address("127.0.0.9"), 0)
    assert addresses.known(ip_address("::1"), 0)


def test_a_verified_address_is_known_for_an_hour() -> None:
    addresses = KnownAddresses()
    addresses.verified(str(BOT), 5)
    assert addresses.known(BOT, 5 + HOUR_NS - 1)
    assert not addresses.known(BOT, 5 + HOUR_NS)


def test_the_memory_is_bounded() -> None:
    addresses = KnownAddresses(addresses_max=2)
    for last in (1, 2, 3):
        addresses.verified(f"192.0.2.{last}", 0)
    assert not addresses.known(ip_address("192.0.2.1"), 0)
    assert addresses.known(ip_address("192.0.2.3"), 0)
