from __future__ import annotations

from proxy.net.round_trips import RoundTrips

MINUTE_NS = 60_000_000_000


def test_the_least_is_kept_for_five_to_ten_minutes() -> None:
    trips = RoundTrips()
    assert trips.least_ns == 0
    trips.add(100, MINUTE_NS)
    trips.add(300, 2 * MINUTE_NS)
    assert trips.least_ns == 100
    trips.add(250, 7 * MINUTE_NS)
    assert trips.least_ns == 100
    trips.add(300, 13 * MINUTE_NS)
    assert trips.least_ns == 250


def test_an_old_least_is_forgotten_after_a_long_silence() -> None:
    trips = RoundTrips()
    trips.add(100, MINUTE_NS)
    trips.add(300, 60 * MINUTE_NS)
    assert trips.least_ns == 300
