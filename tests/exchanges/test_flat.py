"""Charges that every request of an endpoint has alike."""

from __future__ import annotations

from ipaddress import IPv4Address

from proxy.exchanges import flat
from proxy.exchanges.flat import flat_charges
from proxy.model import Action, Charge, Draw, Endpoint, Pool, Request, Tag

POOLS = tuple(Pool(name, 10, 1_000_000_000, ("user",)) for name in "ab")


def row(*weights: int) -> Endpoint:
    draws = tuple(Draw(pool, weight=weight) for pool, weight in zip(POOLS, weights, strict=False))
    return Endpoint("GET", "/x", Action.READ, "read", Tag.NONE, draws)


REQUEST = Request(b"GET", b"/x", {}, IPv4Address("127.0.0.1"), 0)


def charged(endpoint: Endpoint) -> tuple[Charge, ...]:
    return flat_charges(endpoint, REQUEST, None)


def test_each_draw_is_charged_with_its_weight_and_no_part() -> None:
    found = [(charge.pool, charge.value, charge.units) for charge in charged(row(3, 1))]
    assert found == [(POOLS[0], "", 3), (POOLS[1], "", 1)]


def test_an_endpoint_has_the_very_same_charges_each_time() -> None:
    """What follows from them is remembered by them."""
    one = row(3)
    assert charged(one) is charged(one)


def test_an_endpoint_that_is_equal_but_another_has_its_own() -> None:
    """After a reload the same row may have other limits."""
    assert charged(row(3)) is not charged(row(3))


def test_an_endpoint_without_draws_costs_nothing() -> None:
    assert charged(row()) == ()


def test_not_more_is_remembered_than_there_is_room_for() -> None:
    kept = [row(1) for _ in range(5_000)]
    for one in kept:
        charged(one)
    assert len(flat._remembered) <= flat._REMEMBERED_MAX
    assert charged(kept[0]) is charged(kept[0])
