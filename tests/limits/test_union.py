"""Two subjects that turn out to be one user of the exchange share their budgets from then on."""

from __future__ import annotations

import asyncio

import pytest

from proxy.limits.limiter import Bucket, Limiter, NoSlot, Ticket
from tests.limits.memory_store import MemoryStore
from tests.limits.virtual import (
    MS,
    LoopClock,
    S,
    breathe,
    new_limiter,
    now_ns,
    spend,
    until,
    user_pool,
    virtual,
)

HOST = "www.okx.com"
KEY = (HOST, "key:0a1b", False)
OTHER = (HOST, "key:2c3d", False)
USER = (HOST, "1001", False)
POOL = user_pool(4, 2 * S)
CAP = user_pool(10, 2 * S, "subaccount-orders")
HOUR = user_pool(100, 3600 * S, "POST /api/v5/rfq/create-rfq")
JITTER = 10 * MS


def one(limiter: Limiter, *buckets: Bucket, units: int = 1, account: str = "a") -> Ticket:
    return limiter.ticket(account, 1, [(bucket, units) for bucket in buckets])


async def in_flight(limiter: Limiter, bucket: Bucket, units: int = 1) -> Ticket:
    ticket = one(limiter, bucket, units=units)
    assert ticket.take()
    ticket.sent(now_ns())
    return ticket


@virtual
async def test_a_budget_without_a_counterpart_is_the_users_as_it_stands() -> None:
    limiter = new_limiter()
    bucket = limiter.bucket(POOL, KEY, "BTC")
    spend(limiter, bucket, 2)
    flying = await in_flight(limiter, bucket)
    limiter.unite(KEY, USER)
    assert limiter.bucket(POOL, USER, "BTC") is bucket
    assert limiter.bucket(POOL, KEY, "BTC") is bucket
    assert bucket.free(now_ns()) == 1
    flying.refund()
    assert bucket.free(now_ns()) == 2
    assert len(limiter.buckets) == 1


@virtual
async def test_what_both_have_spent_counts_for_both() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    old, new = limiter.bucket(POOL, KEY, ""), limiter.bucket(POOL, USER, "")
    spend(limiter, old, 3)
    await until(start_ns + S)
    spend(limiter, new, 2)
    limiter.unite(KEY, USER)
    assert limiter.bucket(POOL, KEY, "") is new
    assert new.free(now_ns()) == 0
    assert new.next_slot_ns(now_ns(), 1) == S + JITTER  # all three of the old have to go
    assert new.next_slot_ns(now_ns(), 3) == 2 * S + JITTER
    await until(start_ns + 2 * S + JITTER)
    assert new.free(now_ns()) == 2
    await until(start_ns + 3 * S + JITTER)
    assert new.free(now_ns()) == 4


@virtual
async def test_what_is_in_flight_counts_until_its_answer_is_in_and_a_window_longer() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    old, new = limiter.bucket(POOL, KEY, ""), limiter.bucket(POOL, USER, "")
    flying = [await in_flight(limiter, old, 2), await in_flight(limiter, new)]
    limiter.unite(KEY, USER)
    await until(start_ns + 5 * S)
    assert new.free(now_ns()) == 1
    flying[0].answered(now_ns(), 4 * S)  # it may have arrived only now
    flying[1].lost(now_ns())
    assert new.free(start_ns + 6 * S - 1) == 1
    assert new.free(start_ns + 6 * S) == 3
    await until(start_ns + 7 * S + JITTER)
    assert new.free(now_ns()) == 4
    assert not new.held


@virtual
async def test_who_waits_goes_on_waiting_in_one_order() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    old, new = limiter.bucket(POOL, KEY, ""), limiter.bucket(POOL, USER, "")
    spend(limiter, new, 4)
    await until(start_ns + S)
    spend(limiter, old, 4)
    went: list[str] = []

    async def go(name: str, bucket: Bucket) -> None:
        ticket = one(limiter, bucket, account=name)
        await ticket.wait(start_ns + 60 * S)
        went.append(name)
        ticket.sent(now_ns())
        ticket.answered(now_ns(), 0)

    tasks = []
    for name, bucket in (("1", old), ("2", new), ("3", old), ("4", new), ("5", old)):
        tasks.append(asyncio.create_task(go(name, bucket)))
        await breathe()
    limiter.unite(KEY, USER)
    assert old.timer is None
    assert (old.queued, new.queued) == (0, 5)
    await until(start_ns + 2 * S + 2 * JITTER)
    assert went == []  # eight count, and four are too many
    await until(start_ns + 3 * S + 2 * JITTER)
    assert went == ["1", "2", "3", "4"]
    await asyncio.gather(*tasks)
    assert went[4:] == ["5"]
    assert limiter.waiting == 0


@virtual
async def test_who_can_no_longer_make_it_is_refused_at_once_and_others_keep_their_time() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    old, new = limiter.bucket(POOL, KEY, ""), limiter.bucket(POOL, USER, "")
    spend(limiter, old, 4)
    await until(start_ns + S)
    spend(limiter, new, 4)
    hasty, patient = (
        asyncio.create_task(one(limiter, old, account=name).wait(start_ns + wait_ns))
        for name, wait_ns in (("hasty", 2500 * MS), ("patient", 4 * S))
    )
    await breathe()
    limiter.unite(KEY, USER)
    with pytest.raises(NoSlot) as refused:
        await hasty
    assert refused.value.bucket is new
    assert refused.value.next_ns == 2 * S + JITTER
    assert now_ns() < start_ns + S + MS
    await patient
    assert now_ns() >= start_ns + 3 * S + JITTER


@virtual
async def test_a_waiter_that_leaves_after_the_union_leaves_nothing_behind() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    old, new = limiter.bucket(POOL, KEY, ""), limiter.bucket(POOL, USER, "")
    cap = limiter.bucket(CAP, KEY, "")
    spend(limiter, old, 4)
    waits = asyncio.create_task(one(limiter, old, cap).wait(start_ns + 60 * S))
    await breathe()
    limiter.unite(KEY, USER)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    assert (new.queue, new.queued, cap.queue, limiter.waiting) == ([], 0, [], 0)
    assert cap is limiter.bucket(CAP, USER, "")


@virtual
async def test_draws_remembered_from_before_draw_on_the_users_budget() -> None:
    """Tickets share such lists; one that was made before may be taken long after."""
    limiter = new_limiter()
    old, new = limiter.bucket(POOL, KEY, ""), limiter.bucket(POOL, USER, "")
    remembered = [(old, 1)]
    early = Ticket(limiter, "a", 1, remembered)
    holds = Ticket(limiter, "a", 1, remembered)
    assert holds.take()
    limiter.unite(KEY, USER)
    assert old.free(now_ns()) == POOL.count  # nothing is left in it that could be forgotten
    assert early.take()
    assert Ticket(limiter, "a", 1, remembered).take()
    assert new.free(now_ns()) == 1
    holds.refund()
    early.refund()
    assert new.free(now_ns()) == 3


@virtual
async def test_a_bucket_dropped_before_the_union_comes_back_as_the_users() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    dropped = limiter.bucket(POOL, KEY, "BTC")
    for number in range(10):
        limiter.bucket(POOL, KEY, str(number))
    assert dropped.dropped
    limiter.unite(KEY, USER)
    late = one(limiter, dropped)
    assert late.take()
    assert limiter.bucket(POOL, USER, "BTC").free(now_ns()) == 3
    late.refund()
    await until(start_ns + S)
    spend(limiter, limiter.bucket(POOL, KEY, "BTC"), 4)  # a request under the old name too
    assert not one(limiter, dropped).take()


@virtual
async def test_a_bucket_that_comes_back_as_the_users_counts_what_the_user_had_before() -> None:
    limiter = new_limiter()
    spend(limiter, limiter.bucket(POOL, USER, "BTC"), 3)
    heir = new_limiter()
    heir.restore(limiter.snapshot(LoopClock().wall_ms()), LoopClock().wall_ms())
    dropped = heir.bucket(POOL, KEY, "BTC")
    for number in range(10):
        heir.bucket(POOL, OTHER, str(number))
    assert dropped.dropped
    heir.unite(KEY, USER)
    assert not one(heir, dropped, units=2).take()
    assert one(heir, dropped).take()


@virtual
async def test_a_budget_swept_after_the_union_starts_anew_for_both_names() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    old, new = limiter.bucket(POOL, KEY, ""), limiter.bucket(POOL, USER, "")
    spend(limiter, old)
    limiter.unite(KEY, USER)
    await until(start_ns + 3 * S)
    for number in range(10):
        limiter.bucket(POOL, OTHER, str(number))
    assert new.dropped
    assert one(limiter, old, units=3).take()
    assert not one(limiter, new, units=2).take()
    assert one(limiter, new).take()
    assert limiter.bucket(POOL, KEY, "") is limiter.bucket(POOL, USER, "")


@virtual
async def test_a_no_of_the_exchange_that_comes_after_the_union_corrects_the_users_budget() -> None:
    limiter = new_limiter()
    old, new = limiter.bucket(POOL, KEY, ""), limiter.bucket(POOL, USER, "")
    flying, answered = await in_flight(limiter, old), await in_flight(limiter, old)
    answered.answered(now_ns(), 0)
    limiter.unite(KEY, USER)
    answered.refused(POOL.name, now_ns(), 0)  # it is in no queue and holds nothing: not moved
    assert new.free(now_ns()) == 0
    flying.refused(POOL.name, now_ns(), 30 * S)
    assert new.free(now_ns() + 29 * S) == 0


@virtual
async def test_what_the_exchange_shut_for_one_is_shut_for_both() -> None:
    limiter = new_limiter()
    old = limiter.bucket(POOL, KEY, "")
    spend(limiter, old)
    new = limiter.bucket(POOL, USER, "")
    old.correct(0, now_ns(), 9 * S)
    limiter.unite(KEY, USER)
    assert not one(limiter, new).take()
    assert new.next_slot_ns(now_ns(), 1) == 9 * S


@virtual
async def test_different_limits_of_the_two_become_the_users() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    old = limiter.bucket(user_pool(10, S), KEY, "")
    new = limiter.bucket(POOL, USER, "")
    spend(limiter, old, 3)
    waits = asyncio.create_task(one(limiter, old, units=8).wait(start_ns + 60 * S))
    await breathe()
    limiter.unite(KEY, USER)
    with pytest.raises(NoSlot):  # more than the user may at once
        await waits
    assert new.free(start_ns + 2 * S) <= 1
    assert new.free(start_ns + 2 * S + JITTER) == 4


@virtual
async def test_several_keys_of_one_user_are_united_one_after_the_other() -> None:
    limiter = new_limiter()
    for subject in (KEY, OTHER):
        spend(limiter, limiter.bucket(POOL, subject, ""))
    limiter.unite(KEY, USER)
    limiter.unite(OTHER, KEY)  # whoever still has the old name means the user
    assert limiter.bucket(POOL, OTHER, "").free(now_ns()) == 2
    for pair in ((KEY, USER), (USER, USER), (USER, KEY), (OTHER, USER)):
        limiter.unite(*pair)
    assert limiter.bucket(POOL, USER, "").free(now_ns()) == 2
    assert one(limiter, limiter.bucket(POOL, (HOST, "key:0a1b", True), ""), units=4).take()


# ---- over restarts -------------------------------------------------------------------------


def long_lived(store: MemoryStore) -> Limiter:
    limiter = Limiter(LoopClock(), jitter_ns=JITTER, store=store)
    limiter.restore(store.rows, LoopClock().wall_ms())
    return limiter


@virtual
async def test_units_stored_for_both_are_spent_by_either() -> None:
    store = MemoryStore()
    limiter = long_lived(store)
    old, new = limiter.bucket(HOUR, KEY, ""), limiter.bucket(HOUR, USER, "")
    await breathe()
    assert [row.units for row in store.rows] == [5, 5]
    limiter.unite(KEY, USER)
    assert one(limiter, new, units=10).take()
    assert not one(limiter, old).take()  # the next chunk is being stored
    await breathe()
    assert one(limiter, old).take()
    assert new.free(now_ns()) == 89


@pytest.mark.parametrize("stores", [True, False])
def test_only_the_users_own_limit_says_whether_its_units_are_stored(stores: bool) -> None:
    """Also where the bucket of the old name comes back for it, after a long rest."""

    @virtual
    async def scenario() -> None:
        store = MemoryStore()
        limiter, start_ns = long_lived(store), now_ns()
        short = user_pool(100, 2 * S, HOUR.name)
        old = limiter.bucket(short if stores else HOUR, KEY, "")
        await breathe()
        spend(limiter, old)
        limiter.bucket(HOUR if stores else short, USER, "")
        await breathe()
        limiter.unite(KEY, USER)
        await until(start_ns + 3 * 3600 * S)
        for number in range(10):
            limiter.bucket(POOL, OTHER, str(number))
        stored = len(store.rows)
        await one(limiter, old, units=2).wait(now_ns() + S)
        await breathe()
        assert len(store.rows) == stored + stores
        assert limiter.bucket(HOUR if stores else short, USER, "") is old

    scenario()


@virtual
async def test_a_chunk_on_its_way_to_the_store_is_the_users_when_it_is_there() -> None:
    store = MemoryStore()
    store.gate = asyncio.Event()
    limiter = long_lived(store)
    old = limiter.bucket(HOUR, KEY, "")
    new = limiter.bucket(HOUR, USER, "")
    await breathe()
    waits = asyncio.create_task(one(limiter, old, units=9).wait(now_ns() + S // 2))
    await breathe()
    limiter.unite(KEY, USER)
    store.gate.set()
    await waits
    assert new.prepaid is not None
    assert new.prepaid.left(now_ns()) == sum(row.units for row in store.rows) - 9
    assert not new.prepaid.asking


@virtual
async def test_a_crash_after_a_union_forgets_nothing_once_the_next_process_unites_them() -> None:
    store = MemoryStore()
    limiter = long_lived(store)
    for subject in (KEY, USER):
        await one(limiter, limiter.bucket(HOUR, subject, "x"), units=30).wait(now_ns() + S)
    limiter.unite(KEY, USER)
    await one(limiter, limiter.bucket(HOUR, KEY, "x"), units=20).wait(now_ns() + S)

    for unites_first in (True, False):
        heir = long_lived(store)
        if unites_first:
            heir.unite(KEY, USER)
        bucket = heir.bucket(HOUR, USER, "x")
        if not unites_first:
            assert bucket.free(now_ns()) > 20
            heir.unite(KEY, USER)
        assert 0 <= bucket.free(now_ns()) <= 20
        assert heir.bucket(HOUR, KEY, "x") is bucket


@virtual
async def test_a_bucket_in_use_counts_what_the_user_had_from_an_earlier_process() -> None:
    """The key's bucket is made before its user is learned, and has no counterpart yet."""
    limiter = new_limiter()
    spend(limiter, limiter.bucket(POOL, USER, "BTC"), 3)
    heir = new_limiter()
    heir.restore(limiter.snapshot(LoopClock().wall_ms()), LoopClock().wall_ms())
    bucket = heir.bucket(POOL, KEY, "BTC")
    flying = await in_flight(heir, bucket)
    heir.unite(KEY, USER)
    assert bucket.free(now_ns()) == 0
    assert heir.snapshot(LoopClock().wall_ms())[0].key == f"{HOST}|1001|real|{POOL.name}|BTC"
    flying.refund()
    assert bucket.free(now_ns()) == 1


@virtual
async def test_rows_that_nobody_has_asked_for_yet_are_handed_on_under_the_users_name() -> None:
    limiter = new_limiter()
    spend(limiter, limiter.bucket(POOL, KEY, "A|B"), 3)
    heir = new_limiter()
    heir.restore(limiter.snapshot(LoopClock().wall_ms()), LoopClock().wall_ms())
    heir.unite(KEY, USER)
    last = new_limiter()
    last.restore(heir.snapshot(LoopClock().wall_ms()), LoopClock().wall_ms())
    assert last.bucket(POOL, USER, "A|B").free(now_ns()) == 1
    assert last.bucket(POOL, KEY, "A|B").free(now_ns()) == 4
