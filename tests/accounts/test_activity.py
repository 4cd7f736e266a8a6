"""What is counted of an account: a day of it, the last refusals, and what is stored."""

from __future__ import annotations

import orjson
import pytest

from proxy.accounts.activity import FACTS_MAX, HOURS, REFUSALS_KEPT, Activity
from proxy.errors import SLUGS

HOUR_MS = 3_600_000
NOW_MS = 500_000 * HOUR_MS + 1


def busy() -> Activity:
    """One that has something everywhere."""
    activity = Activity()
    activity.seen(NOW_MS - HOUR_MS, 2)
    activity.seen(NOW_MS, 3)
    activity.refused(NOW_MS + 5, "rate_limited", "POST trade/order", "waited 2000 ms")
    activity.health(NOW_MS + 6, "50111")
    activity.clock_off_ms = -40
    return activity


def told(activity: Activity) -> tuple[object, ...]:
    """Everything that can be read off an activity."""
    return (
        activity.last_seen_ms,
        activity.last_refusal,
        activity.last_refusal_ms,
        activity.key_health,
        activity.key_health_ms,
        activity.clock_off_ms,
        list(activity.refusals),
        activity.totals(NOW_MS),
    )


def test_nothing_is_known_at_first() -> None:
    assert told(Activity()) == (0, "", 0, "", 0, None, [], (0, {}))
    assert not Activity().dirty


def test_orders_and_refusals_are_counted_by_slug() -> None:
    activity = Activity()
    activity.seen(NOW_MS, 1)
    activity.seen(NOW_MS + 1, 20)
    for slug in ("rate_limited", "replayed", "rate_limited"):
        activity.refused(NOW_MS + 2, slug, "POST trade/order", "")
    assert activity.totals(NOW_MS) == (21, {"rate_limited": 2, "replayed": 1})
    assert (activity.last_seen_ms, activity.last_refusal) == (NOW_MS + 1, "rate_limited")


@pytest.mark.parametrize(("hours", "orders"), [(0, 5), (HOURS - 1, 5), (HOURS, 0), (99, 0)])
def test_a_day_is_counted_and_no_more(hours: int, orders: int) -> None:
    activity = Activity()
    activity.seen(NOW_MS, 5)
    activity.refused(NOW_MS, "internal", "", "")
    later_ms = NOW_MS + hours * HOUR_MS
    assert activity.totals(later_ms) == (orders, {"internal": 1} if orders else {})
    activity.seen(later_ms, 1)
    assert activity.totals(later_ms)[0] == orders + 1


def test_hours_that_are_over_take_no_room() -> None:
    activity = Activity()
    for hour in range(5 * HOURS):
        activity.seen(NOW_MS + hour * HOUR_MS, 1)
    assert activity.totals(NOW_MS + (5 * HOURS - 1) * HOUR_MS) == (HOURS, {})
    assert len(orjson.loads(activity.encode())["hours"]) <= HOURS + 1


def test_a_clock_set_back_a_little_loses_nothing() -> None:
    activity = Activity()
    edge_ms = NOW_MS // HOUR_MS * HOUR_MS
    activity.seen(edge_ms, 1)
    activity.seen(edge_ms - 1, 1)
    activity.seen(edge_ms + 1, 1)
    assert activity.totals(edge_ms + 1) == (3, {})


def test_what_a_wrong_clock_counted_ahead_is_forgotten() -> None:
    activity = Activity()
    activity.seen(NOW_MS + 1000 * HOUR_MS, 7)
    activity.seen(NOW_MS, 1)
    assert activity.totals(NOW_MS) == (1, {})
    assert len(orjson.loads(activity.encode())["hours"]) == 1


def test_the_last_refusals_are_kept_newest_last_and_short() -> None:
    activity = Activity()
    for at in range(3 * REFUSALS_KEPT):
        activity.refused(NOW_MS + at, "bad_request", "GET account/balance", "x" * 1000)
    assert len(activity.refusals) == REFUSALS_KEPT
    newest = NOW_MS + 3 * REFUSALS_KEPT - 1
    assert activity.refusals[-1] == (newest, "bad_request", "GET account/balance", "x" * FACTS_MAX)
    assert (activity.last_refusal, activity.last_refusal_ms) == ("bad_request", newest)


@pytest.mark.parametrize("what", ["seen", "refused", "health"])
def test_whatever_is_noted_has_to_be_written_down(what: str) -> None:
    activity = Activity()
    arguments = {"seen": (NOW_MS, 0), "refused": (NOW_MS, "expired", "", ""), "health": (1, "ok")}
    getattr(activity, what)(*arguments[what])
    assert activity.dirty


def test_another_key_starts_with_unknown_health() -> None:
    activity = busy()
    activity.dirty = False
    activity.another_key()
    assert (activity.key_health, activity.key_health_ms, activity.dirty) == ("", 0, True)
    activity.dirty = False
    activity.another_key()
    assert not activity.dirty


def test_what_is_stored_comes_back_whole_and_counts_on() -> None:
    again = Activity.decode(busy().encode())
    assert again is not None
    assert told(again) == told(busy())
    assert not again.dirty
    again.seen(NOW_MS + 10, 1)
    assert again.totals(NOW_MS) == (6, {"rate_limited": 1})


def test_every_slug_can_be_stored() -> None:
    activity = Activity()
    for slug in SLUGS:
        activity.refused(NOW_MS, slug, "", "")
    again = Activity.decode(activity.encode())
    assert again is not None
    assert again.totals(NOW_MS) == (0, dict.fromkeys(SLUGS, 1))


def test_a_text_that_is_no_unicode_is_stored_as_near_as_can_be() -> None:
    activity = Activity()
    activity.refused(NOW_MS, "bad_request", "GET \udc80", "planted \udc80")
    activity.health(NOW_MS, "\udc80")
    again = Activity.decode(activity.encode())
    assert again is not None
    assert again.refusals == [(NOW_MS, "bad_request", "GET ?", "planted ?")]
    assert again.key_health == "?"


def test_no_clock_offset_is_too_large_to_be_stored() -> None:
    activity = Activity()
    activity.clock_off_ms = -(10**30)
    again = Activity.decode(activity.encode())
    assert again is not None
    assert again.clock_off_ms == -(1 << 53)


def changed(**values: object) -> bytes:
    return orjson.dumps(orjson.loads(busy().encode()) | values)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80 not JSON",
        busy().encode()[:-9],
        b"[]",
        b"7",
        b'"form"',
        b"{}",
        changed(form=2),
        changed(form="1"),
        changed(seen=-1),
        changed(seen="now"),
        changed(seen=True),
        changed(health="ok"),
        changed(health=[1, 2]),
        changed(off="none"),
        changed(off=1.5),
        changed(hours=7),
        changed(hours=[[1, 2]]),
        changed(hours=[[1, 2, []]]),
        changed(hours=[[1, -2, {}]]),
        changed(hours=[[1, 2, {"expired": "many"}]]),
        changed(refusals=[[1, "expired"]]),
        changed(refusals=[[1, "expired", 2, 3]]),
        changed(refusals=[["1", "expired", "", ""]]),
        changed(refusals=[[1, ["expired"], "", ""]]),
        changed(refusals={}),
    ],
)
def test_what_is_damaged_or_newer_is_not_believed(payload: bytes) -> None:
    assert Activity.decode(payload) is None


def test_slugs_that_this_version_does_not_know_are_left_out() -> None:
    payload = changed(
        hours=[[NOW_MS // HOUR_MS, 1, {"expired": 1, "invented": 5}]],
        refusals=[[1, "invented", "", ""], [2, "expired", "", ""]],
    )
    activity = Activity.decode(payload)
    assert activity is not None
    assert activity.totals(NOW_MS) == (1, {"expired": 1})
    assert activity.refusals == [(2, "expired", "", "")]


def test_more_than_we_would_store_is_not_taken_in() -> None:
    activity = Activity.decode(
        changed(
            hours=[[number, 1, {}] for number in range(1000)],
            refusals=[[at, "expired", "", "x" * 1000] for at in range(1000)],
        )
    )
    assert activity is not None
    assert len(activity.refusals) == REFUSALS_KEPT
    assert activity.refusals[-1] == (999, "expired", "", "x" * FACTS_MAX)
    assert len(orjson.loads(activity.encode())["hours"]) == HOURS + 1
