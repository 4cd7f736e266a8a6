"""The sliding window on its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.limits.window import Window

W = 2_000


class Sender:
    def __init__(self, sent_ns: int = 0) -> None:
        self.sent_ns = sent_ns


def spent(window: Window, units: int, release_ns: int) -> None:
    sender = Sender()
    window.hold(sender, units)
    window.spend(sender, release_ns)


def test_units_are_free_again_at_their_release_and_not_before() -> None:
    window = Window(3, W)
    spent(window, 2, 100 + W)
    assert window.free(99 + W) == 1
    assert window.free(100 + W) == 3


def test_held_units_count_however_long_the_answer_takes() -> None:
    window = Window(3, W)
    window.hold(Sender(1), 3)
    assert window.free(1_000 * W) == 0


def test_units_given_back_are_free_at_once() -> None:
    window, sender = Window(3, W), Sender()
    window.hold(sender, 3)
    window.give_back(sender)
    assert window.free(0) == 3


def test_a_release_before_the_last_one_is_moved_to_it() -> None:
    window = Window(3, W)
    spent(window, 1, 500)
    spent(window, 1, 400)
    assert window.free(499) == 1
    assert window.free(500) == 3


def test_a_full_window_counts_full_until_the_fill_is_released() -> None:
    window = Window(5, W)
    spent(window, 1, 100)
    window.fill(700)
    assert window.free(99) == 0
    assert window.free(100) == 1  # our own unit comes back at its time
    assert window.free(700) == 5


def test_filling_a_window_without_room_changes_nothing() -> None:
    window = Window(1, W)
    window.hold(Sender(), 1)
    window.fill(900)
    assert (window.room, list(window.spent)) == (0, [])


def test_a_shut_window_gives_nothing_and_opens_with_all_that_is_free() -> None:
    window = Window(5, W)
    window.shut(300)
    window.shut(200)  # the longer one holds
    assert window.free(299) == 0
    assert window.free(300) == 5


def test_a_smaller_limit_counts_what_was_spent_under_the_larger() -> None:
    window = Window(5, W)
    spent(window, 4, 100)
    window.resize(2, W, 50)
    assert window.room == -2
    assert window.free(99) == 0
    assert window.earliest_ns(1, 50, 0) == 100
    assert window.free(100) == 2


def test_a_larger_limit_gives_its_room_at_once() -> None:
    window = Window(2, W)
    spent(window, 2, 100)
    window.resize(6, W, 50)
    assert window.free(50) == 4


def test_a_longer_window_takes_forgotten_units_for_spent() -> None:
    window = Window(2, W)
    spent(window, 2, 100 + W)  # sent at 100
    assert window.free(100 + W) == 2  # forgotten under the old window
    window.resize(2, 3 * W, 100 + W)
    assert window.free(100 + W) == 0
    assert window.free(100 + 3 * W - 1) == 0
    assert window.free(100 + 3 * W) == 2


def test_a_longer_window_releases_what_is_still_spent_later() -> None:
    window = Window(2, W)
    spent(window, 2, 1_000)
    window.resize(2, W + 500, 600)
    assert window.free(1_499) == 0
    assert window.free(1_500) == 2


def test_a_longer_window_costs_nothing_where_nothing_was_ever_spent() -> None:
    window = Window(2, W)
    window.resize(4, 10 * W, 50)
    assert window.free(50) == 4


def test_a_shorter_window_releases_sooner() -> None:
    window = Window(2, W)
    spent(window, 2, 100 + W)
    window.resize(2, W // 2, 100 + W // 2)
    assert window.free(100 + W // 2) == 2


def test_units_of_an_earlier_life_come_back_in_any_order() -> None:
    window = Window(5, W)
    window.recall([(300, 2), (100, 1), (200, 1)])
    assert [window.free(at) for at in (99, 100, 200, 300)] == [1, 2, 3, 5]


@pytest.mark.parametrize(
    ("units", "expected"),
    [(1, 0), (2, 100), (3, 100), (4, 250), (5, -1)],
)
def test_release_is_told_by_what_is_spent_alone(units: int, expected: int) -> None:
    window = Window(5, W)
    spent(window, 2, 100)
    spent(window, 1, 250)
    window.hold(Sender(7), 1)
    assert window.release_ns(units) == expected


def test_a_request_on_its_way_cannot_be_released_before_its_window() -> None:
    window = Window(1, W)
    window.hold(Sender(40), 1)
    assert window.earliest_ns(1, 50, 10) == 40 + 10 + W


def test_a_slot_taken_but_not_sent_could_come_back_at_any_moment() -> None:
    window = Window(1, W)
    window.hold(Sender(), 1)
    assert window.earliest_ns(1, 50, 10) == 50


def test_those_before_take_what_comes_free_first() -> None:
    window = Window(2, W)
    spent(window, 1, 100)
    spent(window, 1, 300)
    nth = [window.earliest_ns(n, 50, 10) for n in (1, 2, 3, 4, 5)]
    assert nth == [100, 300, 110 + W, 310 + W, 120 + 2 * W]


def test_nothing_can_be_had_before_a_shut_window_opens() -> None:
    window = Window(2, W)
    window.shut(500)
    assert window.earliest_ns(2, 50, 10) == 500
    assert window.release_ns(1) == 500


@given(
    count=st.integers(1, 8),
    spends=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3_000)), max_size=8),
    flying=st.lists(st.tuples(st.integers(1, 2), st.integers(0, 900)), max_size=4),
    shut_ns=st.integers(0, 2_500),
)
def test_the_instants_of_all_units_are_the_earliest_of_each(
    count: int, spends: list[tuple[int, int]], flying: list[tuple[int, int]], shut_ns: int
) -> None:
    window = Window(count, W)
    window.shut(shut_ns)
    for units, release_ns in spends:
        spent(window, units, release_ns)
    for units, sent_ns in flying:
        window.hold(Sender(sent_ns), units)
    instants = window.instants(1_000, 10)
    assert instants == [window.earliest_ns(n + 1, 1_000, 10) for n in range(count)]
    assert instants == sorted(instants)


# ---- what an exchange says that it counts ---------------------------------------------------


def test_what_others_use_counts_until_its_end_and_not_longer() -> None:
    """However much of ours ends later."""
    window = Window(10, W)
    spent(window, 2, W)
    assert window.foreign(5, 300, 0)
    assert window.free(299) == 5
    assert window.free(300) == 8
    assert window.free(W) == 10


def test_what_others_use_is_counted_once_however_often_it_is_told() -> None:
    window = Window(10, W)
    assert window.foreign(4, 300, 0)
    for at in (0, 10, 299):
        assert not window.foreign(4, 300, at)
        assert window.free(at) == 6
    assert window.foreign(6, 500, 299)
    assert window.free(299) == 4
    assert window.free(300) == 8


def test_what_is_ours_is_nobody_elses_before_its_answer_nor_after() -> None:
    window, flying = Window(10, W), Sender(1)
    window.hold(flying, 3)
    spent(window, 2, W)
    assert not window.foreign(5, 300, 0)
    window.spend(flying, W)
    assert not window.foreign(5, 300, 0)
    assert window.free(0) == 5


def test_others_never_use_more_than_there_is_nor_for_longer_than_a_window() -> None:
    window = Window(10, W)
    assert window.foreign(1 << 60, 1 << 60, 0)
    assert window.free(0) == 0
    assert window.room == 0
    assert window.free(W - 1) == 0
    assert window.free(W) == 10


def test_what_was_ours_before_the_exchanges_window_opened_hides_nobody() -> None:
    window = Window(10, W)
    spent(window, 6, 300)
    spent(window, 1, 500)
    assert window.foreign(5, 500, 100)
    assert window.room == -1
    assert window.free(300) == 5
    spent(window, 2, 400 + W)
    assert not window.foreign(7, 499, 301)
    assert window.foreign(8, 500, 301)
    assert window.free(301) == 2
    assert window.free(500) == 8


def test_units_that_the_exchange_cannot_have_seen_yet_hide_nobody() -> None:
    window, seen, later = Window(10, W), Sender(1), Sender(5)
    window.hold(seen, 2)
    window.hold(later, 3)
    assert not window.foreign(2, 300, 5, later=3)
    assert window.foreign(4, 300, 5, later=3)
    assert window.free(5) == 3


def test_what_is_told_of_a_window_that_has_closed_changes_nothing() -> None:
    window = Window(10, W)
    spent(window, 1, 3 * W)
    assert not window.foreign(1, 3 * W, 2 * W)
    assert not window.foreign(9, 2 * W + 1, 2 * W)
    assert window.free(2 * W) == 9


@pytest.mark.parametrize(("used", "until"), [(0, 300), (-5, 300), (9, 0), (9, -1)])
def test_what_is_over_or_nothing_changes_nothing(used: int, until: int) -> None:
    window = Window(10, W)
    assert not window.foreign(used, until, 0)
    assert window.free(0) == 10


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("send", "answer", "tell", "wait")),
            st.integers(0, 12),
            st.integers(0, 2 * W),
        ),
        max_size=60,
    )
)
def test_the_count_adds_up_whatever_is_told_in_whatever_order(
    steps: list[tuple[str, int, int]],
) -> None:
    """`room` and all that is held and spent are the limit, releases stay in order, and all is
    free again in the end."""
    window, now = Window(10, W), 1
    flying: list[Sender] = []
    for what, number, ns in steps:
        if what == "wait":
            now += ns
        elif what == "send" and 0 < number <= window.free(now):
            flying.append(Sender(now))
            window.hold(flying[-1], number)
        elif what == "answer" and flying:
            sender = flying.pop(number % len(flying))
            window.spend(sender, sender.sent_ns + W)
        elif what == "tell":
            window.foreign(number, now + ns, now)
        held = sum(window.held.values())
        units = sum(units for _, units in window.spent)
        assert window.room + held + units == 10
        assert list(window.spent) == sorted(window.spent, key=lambda one: one[0])
        assert window.last_ns >= max((release for release, _ in window.spent), default=0)
    for sender in flying:
        window.spend(sender, now + W)
    assert window.free(max(now, window.last_ns) + W) == 10
