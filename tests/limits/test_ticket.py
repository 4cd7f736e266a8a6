"""One ticket's way: taken, sent, answered, lost, refused, given back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

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
