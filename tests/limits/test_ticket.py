"""One ticket's way: taken, sent, answered, lost, refused, given back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BotGone
from proxy.limits.limiter import Bucket, NoSlot, Ticket
from proxy.model import Pool
from proxy.tasks import Drive
from tests.limits.virtual import (
    MS,
    SUBJECT,
    S,
    breathe,
    new_limiter,
    now_ns,
    one,
    spend,
    until,
    user_pool,
    virtual,
)

if TYPE_CHECKING:
    from collections.abc import Callable

JITTER = 10 * MS


@virtual
async def test_all_slots_are_taken_or_none() -> None:
    limiter = new_limiter()
    wide = limiter.bucket(user_pool(5, S, "wide"), SUBJECT, "")
    tight = limiter.bucket(user_pool(1, S, "tight"), SUBJECT, "")
    assert limiter.ticket("a", 1, [(wide, 2), (tight, 1)]).take()
    assert not limiter.ticket("a", 1, [(wide, 2), (tight, 1)]).take()
    assert wide.free(now_ns()) == 3


@virtual
async def test_draws_on_one_bucket_add_up() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(3, S), SUBJECT, "")
    other = limiter.bucket(user_pool(3, S, "other"), SUBJECT, "")
    assert limiter.ticket("a", 1, [(bucket, 1), (other, 1), (bucket, 2)]).take()
    assert (bucket.free(now_ns()), other.free(now_ns())) == (0, 2)


@virtual
async def test_a_request_that_draws_on_nothing_passes() -> None:
    assert new_limiter().ticket("a", 1, []).take()


@pytest.mark.parametrize(
    ("late_ns", "counts_ns"), [(0, JITTER), (9 * MS, JITTER), (250 * MS, 250 * MS)]
)
def test_an_answered_slot_counts_from_the_latest_arrival(late_ns: int, counts_ns: int) -> None:
    @virtual
    async def scenario() -> None:
        limiter = new_limiter()
        bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
        ticket = one(limiter, bucket)
        assert ticket.take()
        sent_ns = now_ns()
        ticket.sent(sent_ns)
        ticket.answered(sent_ns + 300 * MS, late_ns)
        assert bucket.free(sent_ns + counts_ns + S - 1) == 0
        assert bucket.free(sent_ns + counts_ns + S) == 1

    scenario()


@virtual
async def test_a_lost_slot_counts_from_the_end_of_its_connection() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    ticket = one(limiter, bucket)
    assert ticket.take()
    sent_ns = now_ns()
    ticket.sent(sent_ns)
    ticket.lost(sent_ns + 5 * S)
    assert bucket.free(sent_ns + 6 * S + JITTER - 1) == 0
    assert bucket.free(sent_ns + 6 * S + JITTER) == 1


@pytest.mark.parametrize("sent", [False, True])
def test_a_slot_that_never_reached_the_exchange_is_free_again(sent: bool) -> None:
    @virtual
    async def scenario() -> None:
        limiter = new_limiter()
        bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
        ticket = one(limiter, bucket)
        assert ticket.take()
        if sent:
            ticket.sent(now_ns())
        ticket.refund()
        assert bucket.free(now_ns()) == 1
        assert ticket.take()  # and it may try again

    scenario()


@virtual
async def test_a_refund_lets_the_next_go() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    ticket = one(limiter, bucket)
    assert ticket.take()
    waits = asyncio.create_task(one(limiter, bucket).wait(now_ns() + S))
    await breathe()
    assert not waits.done()
    ticket.refund()
    await waits
    assert bucket.free(now_ns()) == 0


@pytest.mark.parametrize("how", ["cancelled", "gone"])
@pytest.mark.parametrize("granted", ["before", "at once after", "after"])
def test_a_bot_that_leaves_the_queue_leaves_no_slot_behind(how: str, granted: str) -> None:
    """Also when its turn had come and it was about to wake."""

    @virtual
    async def scenario() -> None:
        limiter = new_limiter()
        bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
        first, leaves, last = (one(limiter, bucket) for _ in range(3))
        assert first.take()
        ended: list[BaseException | None] = []
        leave = _start(leaves, how, ended)
        await breathe()
        waits = asyncio.create_task(last.wait(now_ns() + 3 * S))
        await breathe()
        assert limiter.waiting == 2
        if granted == "before":
            first.refund()
        leave()
        if granted == "after":
            await breathe()
        if granted != "before":
            first.refund()
        await waits
        assert limiter.waiting == 0
        assert bucket.free(now_ns()) == 0
        last.refund()
        assert bucket.free(now_ns()) == 1
        expected = asyncio.CancelledError if how == "cancelled" else BotGone
        assert [type(error) for error in ended] == [expected]

    scenario()


@virtual
async def test_a_bot_may_leave_as_it_is_refused() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    sent = _sent(one(limiter, bucket))
    ended: list[BaseException | None] = []
    leave = _start(one(limiter, bucket), "gone", ended)
    sent.refused("*", now_ns(), 90 * S)
    leave()
    assert [type(error) for error in ended] == [BotGone]
    assert limiter.waiting == 0
    assert not bucket.held


def _start(ticket: Ticket, how: str, ended: list[BaseException | None]) -> Callable[[], object]:
    """Let a ticket wait in a task or in a drive; return what ends its wait from outside."""
    waiting = ticket.wait(now_ns() + 3 * S)
    if how == "gone":
        drive = Drive(waiting, lambda _, error: ended.append(error))
        drive.start()
        return drive.drop

    async def note_the_end() -> None:
        try:
            await waiting
        except asyncio.CancelledError as error:
            ended.append(error)
            raise

    return asyncio.create_task(note_the_end()).cancel


@virtual
async def test_the_rule_waited_for_is_known_for_metrics() -> None:
    limiter = new_limiter()
    wide = limiter.bucket(user_pool(5, S, "wide"), SUBJECT, "")
    tight = limiter.bucket(user_pool(1, S, "tight"), SUBJECT, "")
    spend(limiter, tight)
    ticket = limiter.ticket("a", 1, [(wide, 1), (tight, 1)])
    assert ticket.rule == ""
    await ticket.wait(now_ns() + 2 * S)
    assert ticket.rule == "tight"


def _sent(ticket: Ticket) -> Ticket:
    assert ticket.take()
    ticket.sent(now_ns())
    return ticket


@virtual
async def test_a_refusal_by_the_exchange_makes_the_bucket_count_full() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(5, S), SUBJECT, "")
    ticket = _sent(one(limiter, bucket))
    ticket.refused("*", now_ns(), 0)
    start_ns = now_ns()
    assert bucket.free(start_ns + S - 1) == 0
    assert bucket.free(start_ns + S) == 5


@virtual
async def test_a_refusal_may_follow_the_counted_answer() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(5, S), SUBJECT, "")
    ticket = _sent(one(limiter, bucket))
    ticket.answered(now_ns(), 0)
    ticket.refused("*", now_ns(), 0)
    assert bucket.free(now_ns() + S - 1) == 0


@virtual
async def test_a_refusal_fills_every_budget_that_is_as_narrow_and_no_other() -> None:
    """A budget whose subject nobody publishes is kept for the account and for the address."""
    limiter = new_limiter()
    account = limiter.bucket(user_pool(5, S), SUBJECT, "")
    address = limiter.bucket(Pool("address", 5, S, ("ip",)), SUBJECT, "")
    wider = limiter.bucket(Pool("wider", 50, S, ("ip",)), SUBJECT, "")
    draws = [(account, 1), (wider, 1), (address, 1)]
    _sent(limiter.ticket("a", 1, draws)).refused("*", now_ns(), 0)
    assert (account.free(now_ns()), address.free(now_ns())) == (0, 0)
    assert wider.free(now_ns()) == 49


@virtual
async def test_our_own_slots_come_back_in_time_after_one_refusal() -> None:
    """One unit more than we counted: the others need not wait for it."""
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(3, S), SUBJECT, "")
    start_ns = now_ns()
    spend(limiter, bucket)
    await until(start_ns + S // 2)
    _sent(one(limiter, bucket)).refused("*", now_ns(), 0)
    assert bucket.free(now_ns()) == 0
    assert bucket.free(start_ns + S + JITTER) == 1


@virtual
async def test_a_second_refusal_shuts_the_bucket_for_a_window() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(3, S), SUBJECT, "")
    start_ns = now_ns()
    spend(limiter, bucket)
    await until(start_ns + S // 2)
    _sent(one(limiter, bucket)).refused("*", now_ns(), 0)
    await until(start_ns + S + JITTER)
    _sent(one(limiter, bucket)).refused("*", now_ns(), 0)
    assert bucket.free(start_ns + 2 * S + JITTER - 1) == 0
    assert bucket.free(start_ns + 2 * S + JITTER) == 3


@virtual
async def test_refusals_of_requests_sent_together_are_one_correction() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(4, S), SUBJECT, "")
    start_ns = now_ns()
    spend(limiter, bucket)
    await until(start_ns + S // 2)
    together = [_sent(one(limiter, bucket)) for _ in range(2)]
    await until(start_ns + S // 2 + MS)
    for ticket in together:
        ticket.refused("*", now_ns(), 0)
    assert bucket.free(start_ns + S + JITTER) == 1


@virtual
async def test_the_bucket_stays_shut_as_long_as_the_exchange_asks() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(5, S), SUBJECT, "")
    start_ns = now_ns()
    _sent(one(limiter, bucket)).refused("*", start_ns, 7 * S)
    assert bucket.free(start_ns + 7 * S - 1) == 0
    assert bucket.next_slot_ns(start_ns, 1) == 7 * S
    await until(start_ns + 7 * S)
    assert one(limiter, bucket).take()
    assert bucket.plain  # and is as fast as before


@pytest.mark.parametrize(
    ("spoken_of", "full"),
    [
        ("slow", {"slow"}),
        ("*", {"fast BTC", "fast ETH"}),
        ("something else", {"fast BTC", "fast ETH"}),
        ("fast", {"fast BTC", "fast ETH"}),
    ],
)
def test_the_pool_that_the_exchange_spoke_of_is_corrected(spoken_of: str, full: set[str]) -> None:
    @virtual
    async def scenario() -> None:
        limiter = new_limiter()
        slow = limiter.bucket(user_pool(9, 2 * S, "slow"), SUBJECT, "")
        fast = user_pool(9, S, "fast")
        buckets = {
            "slow": slow,
            "fast BTC": limiter.bucket(fast, SUBJECT, "BTC"),
            "fast ETH": limiter.bucket(fast, SUBJECT, "ETH"),
        }
        ticket = _sent(limiter.ticket("a", 1, [(bucket, 1) for bucket in buckets.values()]))
        ticket.refused(spoken_of, now_ns(), 0)
        found = {name for name, bucket in buckets.items() if not bucket.free(now_ns())}
        assert found == full
        assert all(bucket.free(now_ns()) in (0, 8) for bucket in buckets.values())

    scenario()


@virtual
async def test_who_can_no_longer_make_it_hears_at_once_of_a_refusal() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(2, S), SUBJECT, "")
    start_ns = now_ns()
    tickets = [_sent(one(limiter, bucket)) for _ in range(2)]
    short = asyncio.create_task(one(limiter, bucket).wait(start_ns + 2 * S))
    long = asyncio.create_task(one(limiter, bucket).wait(start_ns + 9 * S))
    await until(start_ns + 20 * MS)
    tickets[0].refused("*", now_ns(), 5 * S)
    with pytest.raises(NoSlot) as refused:
        await short
    assert now_ns() < start_ns + 21 * MS
    assert refused.value.waited_ns == 20 * MS
    assert refused.value.next_ns == 5 * S
    tickets[1].answered(now_ns(), 0)
    await long
    assert start_ns + 5 * S + 20 * MS <= now_ns() < start_ns + 5 * S + 22 * MS


@virtual
async def test_a_refused_request_waits_again_in_its_old_place() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    spend(limiter, bucket)
    order: list[str] = []

    async def go(name: str, ticket: Ticket, *, refused: bool) -> None:
        await ticket.wait(now_ns() + 9 * S)
        ticket.sent(now_ns())
        if refused:
            ticket.refused("*", now_ns(), 0)
            await ticket.wait(now_ns() + 9 * S)
            ticket.sent(now_ns())
        order.append(name)
        ticket.answered(now_ns(), 0)

    first = asyncio.create_task(go("first", one(limiter, bucket), refused=True))
    await breathe()
    second = asyncio.create_task(go("second", one(limiter, bucket), refused=False))
    await asyncio.gather(first, second)
    assert order == ["first", "second"]


@virtual
async def test_a_ticket_follows_its_bucket_when_that_was_dropped_and_made_anew() -> None:
    limiter = new_limiter()
    pool = user_pool(1, S)
    old = limiter.bucket(pool, SUBJECT, "BTC")
    ticket = one(limiter, old)
    _make_others(limiter.bucket, pool)
    assert old.dropped
    new = limiter.bucket(pool, SUBJECT, "BTC")
    assert new is not old
    spend(limiter, new)
    assert not ticket.take()  # else the exchange saw two
    assert ticket.draws == [(new, 1)]


@virtual
async def test_a_dropped_bucket_that_is_still_in_use_lives_on() -> None:
    limiter = new_limiter()
    pool = user_pool(1, S)
    bucket = limiter.bucket(pool, SUBJECT, "BTC")
    ticket = one(limiter, bucket)
    _make_others(limiter.bucket, pool)
    assert ticket.take()
    assert limiter.bucket(pool, SUBJECT, "BTC") is bucket
    assert bucket.plain


def _make_others(bucket: object, pool: Pool) -> None:
    assert callable(bucket)
    for name in ("ETH", "XRP"):
        assert isinstance(bucket(pool, SUBJECT, name), Bucket)


# ---- what an answer tells of a budget -------------------------------------------------------


@virtual
async def test_what_others_use_makes_waiters_look_again() -> None:
    """Who can no longer make it is refused at once, who can goes on waiting."""
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(4, 30 * S, "spot"), SUBJECT, "")
    spend(limiter, bucket)
    told = one(limiter, bucket)
    assert told.take()
    told.sent(now_ns())
    waiting = [one(limiter, bucket, 3) for _ in range(2)]
    hasty, patient = (
        asyncio.ensure_future(ticket.wait(now_ns() + patience_ns))
        for ticket, patience_ns in zip(waiting, (31 * S, 300 * S), strict=True)
    )
    await breathe()
    await until(now_ns() + 5 * S)
    told.answered(now_ns(), 0)
    assert told.told("spot", 4, 28 * S, now_ns()) is bucket
    await breathe()
    assert hasty.done()
    assert not patient.done()
    with pytest.raises(NoSlot):
        await hasty
    await patient


@virtual
async def test_a_budget_that_the_request_did_not_draw_on_is_not_corrected() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(4, S, "spot"), SUBJECT, "")
    ticket = one(limiter, bucket)
    assert ticket.take()
    ticket.sent(now_ns())
    ticket.answered(now_ns(), 0)
    assert ticket.told("futures", 4, S, now_ns()) is None
    assert bucket.free(now_ns()) == 3


@virtual
async def test_a_budget_that_became_another_users_is_corrected_there() -> None:
    limiter = new_limiter()
    new = (SUBJECT[0], "known", False)
    pool = user_pool(10, S, "spot")
    heir = limiter.bucket(pool, new, "")
    spend(limiter, heir, 2)
    ticket = one(limiter, limiter.bucket(pool, SUBJECT, ""))
    assert ticket.take()
    ticket.sent(now_ns())
    ticket.answered(now_ns(), 0)
    limiter.unite(SUBJECT, new)
    assert ticket.told("spot", 5, S, now_ns()) is heir
    assert heir.free(now_ns()) == 5


class FixedWindow:
    """An exchange that counts in windows which begin with the first request after the last, and
    tells with every answer how its budget stands."""

    def __init__(self, count: int, window_ns: int) -> None:
        self.count = count
        self.window_ns = window_ns
        self.begin_ns = -window_ns
        self.used = 0

    def arrives(self, at_ns: int, units: int) -> tuple[int, int]:
        """What the answer tells: how many are used, and in how long they are forgotten."""
        if at_ns >= self.begin_ns + self.window_ns:
            self.begin_ns, self.used = at_ns, 0
        self.used += units
        return self.used, self.begin_ns + self.window_ns - at_ns


LEAST = 40 * MS
COUNT = 12

sends = st.lists(
    st.tuples(st.integers(0, 700 * MS), st.integers(1, 4), st.integers(0, 8), st.integers(0, 8)),
    min_size=1,
    max_size=40,
)


def play(requests: list[tuple[int, int, int, int]], *, steady: bool) -> list[int]:
    """Send requests of our own, and nobody else's, to an exchange that tells the truth. Return
    how long each correction made a unit count after it would have been free without it."""
    longer: list[int] = []

    @virtual
    async def scenario() -> None:
        limiter = new_limiter(jitter_ns=JITTER)
        bucket = limiter.bucket(user_pool(COUNT, S, "spot"), SUBJECT, "")
        exchange = FixedWindow(COUNT, S)
        releases: list[int] = []

        async def request(units: int, out_ns: int, back_ns: int) -> None:
            ticket = one(limiter, bucket, units)
            await ticket.wait(now_ns() + 1000 * S)
            sent_ns = now_ns()
            ticket.sent(sent_ns)
            await until(sent_ns + LEAST // 2 + out_ns)
            used, reset_ns = exchange.arrives(now_ns(), units)
            assert used <= COUNT
            await until(now_ns() + LEAST // 2 + back_ns)
            late_ns = now_ns() - sent_ns - LEAST
            ticket.answered(now_ns(), late_ns)
            releases.append(sent_ns + max(late_ns, JITTER) + S)
            before = list(bucket.spent)
            ticket.told("spot", used, reset_ns - LEAST, now_ns(), late_ns)
            added = [row for row in bucket.spent if row not in before]
            last_ns = max(at_ns for at_ns in releases if at_ns <= now_ns()) if added else 0
            longer.extend(release_ns - last_ns for release_ns, _ in added)

        going = []
        for pause_ns, units, out_ms, back_ms in requests:
            await until(now_ns() + pause_ns)
            out_ns, back_ns = (0, 0) if steady else (out_ms * MS, back_ms * MS)
            going.append(asyncio.ensure_future(request(units, out_ns, back_ns)))
        await asyncio.gather(*going)

    scenario()
    return longer


@given(sends)
def test_our_own_requests_alone_are_never_taken_for_somebody_elses(
    requests: list[tuple[int, int, int, int]],
) -> None:
    assert play(requests, steady=True) == []


@given(sends)
def test_on_an_unsteady_way_they_are_for_no_longer_than_it_is_unsteady(
    requests: list[tuple[int, int, int, int]],
) -> None:
    assert all(ns <= 16 * MS for ns in play(requests, steady=False))
