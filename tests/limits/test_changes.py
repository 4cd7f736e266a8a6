"""Limits and the jitter may change while requests wait: a reload, or what an exchange told."""

from __future__ import annotations

import asyncio

import pytest

from proxy.limits.limiter import Limiter, NoSlot
from tests.limits.memory_store import MemoryStore
from tests.limits.virtual import (
    MS,
    SUBJECT,
    LoopClock,
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

NARROW, WIDE = user_pool(60, 2 * S), user_pool(120, 2 * S)


@virtual
async def test_a_limit_that_is_widened_and_narrowed_again_forgets_nothing() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    spend(limiter, limiter.bucket(NARROW, SUBJECT, ""), 50)
    await until(start_ns + 300 * MS)
    spend(limiter, limiter.bucket(WIDE, SUBJECT, ""), 40)
    await until(start_ns + 600 * MS)
    bucket = limiter.bucket(NARROW, SUBJECT, "")
    assert not one(limiter, bucket).take()
    assert bucket.next_slot_ns(now_ns(), 1) == 1410 * MS
    assert limiter.bucket(WIDE, SUBJECT, "").free(now_ns()) == 30
    await until(start_ns + 2 * S + 10 * MS)
    assert limiter.bucket(NARROW, SUBJECT, "").free(now_ns()) == 20
    await until(start_ns + 2300 * MS + 10 * MS)
    assert bucket.free(now_ns()) == 60


@virtual
async def test_after_a_shorter_window_a_longer_one_counts_whatever_may_have_been_sent() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    spend(limiter, limiter.bucket(WIDE, SUBJECT, ""), 120)
    await until(start_ns + 1500 * MS)
    short = limiter.bucket(user_pool(10, S), SUBJECT, "")
    assert one(limiter, short).take()  # under this rule the 120 are long gone
    bucket = limiter.bucket(WIDE, SUBJECT, "")
    assert bucket.free(now_ns()) == 0
    await until(start_ns + 2 * S + 10 * MS)
    assert bucket.free(now_ns()) == 119


@virtual
async def test_a_stricter_limit_holds_for_those_who_wait_already() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    bucket = limiter.bucket(NARROW, SUBJECT, "")
    spend(limiter, bucket, 60)
    waits = [
        asyncio.create_task(one(limiter, bucket).wait(start_ns + wait_ns))
        for wait_ns in (3 * S, 3 * S, 3 * S, 9 * S)
    ]
    await breathe()
    limiter.bucket(user_pool(2, 2 * S), SUBJECT, "")
    await breathe()
    assert [task.done() for task in waits] == [False, False, True, False]
    with pytest.raises(NoSlot):
        await waits[2]
    await until(start_ns + 2 * S + 20 * MS)
    assert [task.done() for task in waits] == [True, True, True, False]
    waits[3].cancel()


@virtual
async def test_another_jitter_counts_for_what_is_answered_from_then_on() -> None:
    limiter, start_ns = new_limiter(), now_ns()
    bucket = limiter.bucket(user_pool(2, S), SUBJECT, "")
    spend(limiter, bucket)
    flying = one(limiter, bucket)
    assert flying.take()
    flying.sent(now_ns())
    waits = asyncio.create_task(one(limiter, bucket, 2).wait(start_ns + 9 * S))
    await breathe()
    limiter.jitter_ns = 200 * MS
    flying.answered(now_ns(), 0)
    assert bucket.free(start_ns + S + 10 * MS) == 1
    await waits
    assert start_ns + 1200 * MS <= now_ns() <= start_ns + 1202 * MS


@virtual
async def test_new_buckets_are_made_with_the_jitter_of_the_day() -> None:
    start_ns = now_ns()
    store = MemoryStore()
    limiter = Limiter(LoopClock(), jitter_ns=0, unknown_before_ns=start_ns, store=store)
    limiter.jitter_ns = 300 * MS
    bucket = limiter.bucket(user_pool(2, S), SUBJECT, "")
    assert bucket.next_slot_ns(now_ns(), 1) == 1300 * MS
    long = limiter.bucket(user_pool(2, 100 * S, "long"), SUBJECT, "")
    await one(limiter, long).wait(now_ns())
    assert store.rows[0].window_ms == 125_301
