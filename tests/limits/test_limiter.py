"""Who waits, who goes next, who is refused at once."""

from __future__ import annotations

import asyncio

import pytest

from proxy.limits.limiter import Bucket, Limiter, NoSlot, QueueFull, Ticket
from tests.limits.virtual import (
    MS,
    SUBJECT,
    LoopClock,
    S,
    breathe,
    new_limiter,
    now_ns,
    one,
    shared_pool,
    spend,
    until,
    user_pool,
    virtual,
)

JITTER = 10 * MS
SLACK = MS  # timers fire up to this late


class Line:
    """Requests that queue up one after the other and write down when they go."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.gone: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def add(
        self, name: str, draws: list[tuple[Bucket, int]], priority: int = 1, account: str = ""
    ) -> Ticket:
        ticket = self.limiter.ticket(account or name[0], priority, draws)
        self.tasks.append(asyncio.create_task(self._go(name, ticket)))
        await breathe()
        return ticket

    async def _go(self, name: str, ticket: Ticket) -> None:
        await ticket.wait(now_ns() + 1000 * S)
        self.gone.append(name)
        ticket.sent(now_ns())
        ticket.answered(now_ns(), 0)

    async def all_gone(self) -> list[str]:
        await asyncio.gather(*self.tasks)
        return self.gone


@virtual
async def test_waiters_go_in_the_order_they_came() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    spend(limiter, bucket)
    line = Line(limiter)
    for name in ("a1", "a2", "a3"):
        await line.add(name, [(bucket, 1)])
    assert await line.all_gone() == ["a1", "a2", "a3"]


@virtual
async def test_cancels_go_before_orders_and_orders_before_reads() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    spend(limiter, bucket)
    line = Line(limiter)
    for name, priority in (("r1", 2), ("o1", 1), ("r2", 2), ("c1", 0), ("o2", 1), ("c2", 0)):
        await line.add(name, [(bucket, 1)], priority, "account")
    assert await line.all_gone() == ["c1", "c2", "o1", "o2", "r1", "r2"]


@virtual
async def test_a_newcomer_does_not_pass_one_who_waits_for_more() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(3, S), SUBJECT, "")
    spend(limiter, bucket, 2)
    line = Line(limiter)
    await line.add("a1", [(bucket, 2)])
    assert bucket.free(now_ns()) == 1
    assert not one(limiter, bucket).take()
    assert one(limiter, bucket, priority=0).take()  # a cancel may
    await line.all_gone()


@virtual
async def test_who_is_blocked_elsewhere_holds_up_nobody_there_is_room_for() -> None:
    limiter = new_limiter()
    wide = limiter.bucket(user_pool(3, 2 * S, "wide"), SUBJECT, "")
    tight = limiter.bucket(user_pool(1, 2 * S, "tight"), SUBJECT, "")
    spend(limiter, tight)
    start_ns = now_ns()
    line = Line(limiter)
    await line.add("blocked", [(tight, 1), (wide, 1)])
    first, second, third = (one(limiter, wide) for _ in range(3))
    assert first.take()
    assert second.take()
    assert not third.take()  # its slot is kept for the one before
    first.sent(now_ns())
    first.answered(now_ns(), 0)
    await line.all_gone()
    assert start_ns + 2 * S + JITTER <= now_ns() <= start_ns + 2 * S + JITTER + SLACK


@virtual
async def test_a_blocked_waiter_goes_though_its_other_bucket_filled_up_meanwhile() -> None:
    limiter = new_limiter()
    first = limiter.bucket(user_pool(1, 2 * S, "first"), SUBJECT, "")
    second = limiter.bucket(user_pool(1, S, "second"), SUBJECT, "")
    spend(limiter, second)
    line = Line(limiter)
    await line.add("a1", [(first, 1), (second, 1)])
    cancel = one(limiter, first, priority=0)
    assert cancel.take()
    cancel.sent(now_ns())
    start_ns = now_ns()
    await until(start_ns + S // 2)
    cancel.answered(now_ns(), 0)
    await line.all_gone()
    assert start_ns + 2 * S + JITTER <= now_ns() <= start_ns + 2 * S + JITTER + SLACK


@virtual
async def test_users_take_turns_on_a_pool_that_they_share() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(shared_pool(2, S), SUBJECT, "")
    spend(limiter, bucket, 2)
    line = Line(limiter)
    for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
        await line.add(name, [(bucket, 1)], 2)
    assert await line.all_gone() == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


@virtual
async def test_a_latecomer_waits_for_one_turn_of_the_others_not_for_their_backlog() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(shared_pool(1, S), SUBJECT, "")
    spend(limiter, bucket)
    line = Line(limiter)
    for number in range(9):
        await line.add(f"a{number}", [(bucket, 1)], 2)
    await until(now_ns() + 4 * S)
    assert len(line.gone) == 3
    await line.add("b", [(bucket, 1)], 2)
    gone = await line.all_gone()
    assert gone.index("b") <= 4


@virtual
async def test_turns_on_one_shared_pool_do_not_depend_on_a_backlog_of_another() -> None:
    limiter = new_limiter()
    busy = limiter.bucket(shared_pool(10, S, "busy"), SUBJECT, "")
    slow = limiter.bucket(shared_pool(1, S, "slow"), SUBJECT, "")
    line = Line(limiter)
    spend(limiter, slow)
    for number in range(8):
        await line.add(f"b{number}", [(slow, 1)], 2)
    for number in range(60):
        await line.add(f"a{number}", [(busy, 1)], 2)
    await until(now_ns() + 3 * S)
    await line.add("c", [(slow, 1)], 2)
    gone = await line.all_gone()
    assert [name for name in gone if name[0] != "a"].index("c") <= 4


@virtual
async def test_on_a_pool_of_one_user_nobody_takes_turns() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    spend(limiter, bucket)
    line = Line(limiter)
    for name in ("a1", "a2", "b1"):  # two accounts under one exchange uid
        await line.add(name, [(bucket, 1)])
    assert await line.all_gone() == ["a1", "a2", "b1"]


@virtual
async def test_who_cannot_make_it_is_refused_at_once() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(2, S), SUBJECT, "BTC")
    spend(limiter, bucket, 2)
    start_ns = now_ns()
    with pytest.raises(NoSlot) as refused:
        await one(limiter, bucket).wait(start_ns + S + JITTER - 1)
    assert (now_ns(), refused.value.next_ns) == (start_ns, S + JITTER)
    assert (refused.value.waited_ns, refused.value.bucket) == (0, bucket)
    assert limiter.waiting == 0
    await one(limiter, bucket).wait(start_ns + S + JITTER)
    assert start_ns + S + JITTER <= now_ns() <= start_ns + S + JITTER + SLACK


@virtual
async def test_those_before_count_into_what_can_be_made() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(2, S), SUBJECT, "")
    spend(limiter, bucket, 2)
    line = Line(limiter)
    await line.add("a1", [(bucket, 2)])
    with pytest.raises(NoSlot) as refused:
        await one(limiter, bucket).wait(now_ns() + 2 * S)
    assert refused.value.next_ns == 2 * (S + JITTER)
    cancel = one(limiter, bucket, priority=0)
    await cancel.wait(now_ns() + 2 * S)  # nobody is before this one
    cancel.refund()
    await line.all_gone()


@virtual
async def test_the_bucket_that_takes_longest_is_the_one_named() -> None:
    limiter = new_limiter()
    short = limiter.bucket(user_pool(1, S, "short"), SUBJECT, "")
    long = limiter.bucket(user_pool(1, 5 * S, "long"), SUBJECT, "")
    for bucket in (short, long):
        spend(limiter, bucket)
    with pytest.raises(NoSlot) as refused:
        await limiter.ticket("a", 1, [(short, 1), (long, 1)]).wait(now_ns() + 3 * S)
    assert refused.value.bucket is long


@virtual
async def test_a_request_larger_than_the_limit_is_refused_for_good() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(2, S), SUBJECT, "")
    with pytest.raises(NoSlot) as refused:
        await one(limiter, bucket, 3).wait(now_ns() + 1000 * S)
    assert refused.value.next_ns == -1


@virtual
async def test_who_waits_in_vain_hears_it_at_the_end_of_the_wait() -> None:
    """A slot on its way might be answered, or given back, at any moment: nobody can know."""
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    stuck = one(limiter, bucket)
    assert stuck.take()
    start_ns = now_ns()
    waits = asyncio.create_task(one(limiter, bucket).wait(start_ns + 2 * S))
    await until(start_ns + S)
    stuck.sent(now_ns())
    with pytest.raises(NoSlot) as refused:
        await waits
    assert start_ns + 2 * S <= now_ns() <= start_ns + 2 * S + SLACK
    assert refused.value.waited_ns == now_ns() - start_ns
    assert refused.value.next_ns == start_ns + 2 * S + JITTER - now_ns()


@virtual
async def test_no_wait_at_all_is_still_a_chance_to_take() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    await one(limiter, bucket).wait(now_ns())
    with pytest.raises(NoSlot):
        await one(limiter, bucket).wait(now_ns())


@virtual
async def test_an_account_may_have_only_so_many_waiting() -> None:
    limiter = new_limiter(waiting_max=2)
    bucket = limiter.bucket(shared_pool(1, S), SUBJECT, "")
    spend(limiter, bucket)
    line = Line(limiter)
    await line.add("a1", [(bucket, 1)])
    await line.add("a2", [(bucket, 1)])
    with pytest.raises(QueueFull) as refused:
        await limiter.ticket("a", 1, [(bucket, 1)]).wait(now_ns() + 1000 * S)
    assert refused.value.next_ns == 3 * (S + JITTER)
    await line.add("b1", [(bucket, 1)])
    assert limiter.waiting == 3
    await line.all_gone()
    await line.add("a4", [(bucket, 1)])
    assert "a4" in await line.all_gone()


@virtual
async def test_nothing_is_left_running_when_nobody_waits() -> None:
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()

    def call_at(when: float, callback: object) -> asyncio.TimerHandle:
        assert callable(callback)
        timers.append(loop.call_at(when, callback))
        return timers[-1]

    limiter = Limiter(LoopClock(), jitter_ns=JITTER, call_at=call_at)
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    spend(limiter, bucket)
    assert timers == []
    await one(limiter, bucket).wait(now_ns() + 2 * S)
    fired = [timer for timer in timers if timer.when() <= loop.time()]
    assert len(fired) == 1
    assert [timer.cancelled() for timer in timers if timer not in fired] == [True]


@virtual
async def test_a_larger_limit_lets_waiters_go_at_once() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    start_ns = now_ns()
    spend(limiter, bucket)
    line = Line(limiter)
    await line.add("a1", [(bucket, 1)])
    assert limiter.bucket(user_pool(2, S), SUBJECT, "") is bucket
    await line.all_gone()
    assert now_ns() == start_ns


@virtual
async def test_a_smaller_limit_refuses_who_can_never_go() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(5, S), SUBJECT, "")
    spend(limiter, bucket, 3)
    line = Line(limiter)
    await line.add("a1", [(bucket, 3)])
    await line.add("a2", [(bucket, 1)])
    limiter.bucket(user_pool(2, S), SUBJECT, "")
    with pytest.raises(NoSlot) as refused:
        await line.tasks[0]
    assert refused.value.next_ns == -1
    await line.tasks[1]


@virtual
async def test_the_same_limit_in_another_object_changes_nothing() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(user_pool(1, S), SUBJECT, "")
    spend(limiter, bucket)
    pool = user_pool(1, S)
    assert limiter.bucket(pool, SUBJECT, "") is bucket
    assert bucket.pool is pool
    assert bucket.free(now_ns()) == 0


@virtual
async def test_a_request_on_two_shared_pools_is_not_passed_where_the_rounds_are_fewer() -> None:
    limiter = new_limiter()
    old = limiter.bucket(shared_pool(1, S, "old"), SUBJECT, "")
    new = limiter.bucket(shared_pool(1, S, "new"), SUBJECT, "")
    spend(limiter, old)
    line = Line(limiter)
    for number in range(5):
        await line.add(f"a{number}", [(old, 1)])
    await line.all_gone()  # the rounds of one pool are ahead of the other's
    spend(limiter, new)
    line = Line(limiter)
    await line.add("x", [(old, 1), (new, 1)])
    for number in range(3):
        await line.add(f"b{number}", [(new, 1)])
    assert (await line.all_gone())[0] == "x"
