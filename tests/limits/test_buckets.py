"""The table of buckets: dropping, bounds, restarts, and paying for long windows ahead."""

from __future__ import annotations

import asyncio

import pytest

from proxy.errors import StoreError
from proxy.limits import buckets as buckets_module
from proxy.limits.limiter import Bucket, BucketsFull, Limiter, NoSlot
from proxy.limits.window import Window
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

JITTER = 10 * MS
HOUR = user_pool(100, 3600 * S, "POST /api/v5/asset/withdrawal")
SPARSE = user_pool(5, 3600 * S, "POST /api/v5/sparse")


def _wall_ms() -> int:
    return LoopClock().wall_ms()


def _long(store: MemoryStore) -> Limiter:
    return Limiter(LoopClock(), jitter_ns=JITTER, store=store, unknown_before_ns=now_ns())


@virtual
async def test_subjects_pools_and_values_are_counted_apart() -> None:
    limiter = new_limiter()
    pool = user_pool(1, S)
    spend(limiter, limiter.bucket(pool, SUBJECT, "BTC"))
    assert not one(limiter, limiter.bucket(pool, SUBJECT, "BTC")).take()
    for subject in (("eea.okx.com", "1001", False), ("www.okx.com", "1001", True)):
        assert one(limiter, limiter.bucket(pool, subject, "BTC")).take()
    assert one(limiter, limiter.bucket(pool, SUBJECT, "ETH")).take()
    assert one(limiter, limiter.bucket(user_pool(1, S, "other"), SUBJECT, "BTC")).take()


@virtual
async def test_idle_buckets_are_dropped_as_others_are_made() -> None:
    limiter = new_limiter()
    pool = user_pool(5, S)
    for number in range(100):
        limiter.bucket(pool, SUBJECT, str(number))
    assert len(limiter.buckets) < 5


@virtual
async def test_what_still_counts_is_never_dropped() -> None:
    limiter = new_limiter()
    pool = user_pool(1, S)
    spent = limiter.bucket(pool, SUBJECT, "a")
    spend(limiter, spent)
    held = limiter.bucket(pool, SUBJECT, "b")
    assert one(limiter, held).take()
    shut = limiter.bucket(pool, SUBJECT, "c")
    shut.shut(now_ns() + S)
    waited = limiter.bucket(pool, SUBJECT, "d")
    holder = one(limiter, waited)
    assert holder.take()
    waits = asyncio.create_task(one(limiter, waited).wait(now_ns() + 9 * S))
    await breathe()
    for number in range(100):
        limiter.bucket(pool, SUBJECT, str(number))
    kept = [limiter.bucket(pool, SUBJECT, name) for name in "abcd"]
    assert kept == [spent, held, shut, waited]
    assert [bucket.free(now_ns()) for bucket in kept] == [0, 0, 0, 0]
    holder.refund()
    await waits
    await until(now_ns() + 3 * S)
    for number in range(100):
        limiter.bucket(pool, SUBJECT, str(number))
    assert spent.dropped
    assert shut.dropped


@pytest.mark.interpreted
@pytest.mark.parametrize("bound", ["BUCKETS_MAX", "BUCKETS_PER_SUBJECT_MAX"])
def test_too_many_buckets_in_use_are_refused_and_the_rest_goes_on(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets_module, bound, 3)

    @virtual
    async def scenario() -> None:
        limiter = new_limiter()
        pool = user_pool(2, S)
        for name in "abc":
            spend(limiter, limiter.bucket(pool, SUBJECT, name))
        with pytest.raises(BucketsFull):
            limiter.bucket(pool, SUBJECT, "d")
        spend(limiter, limiter.bucket(pool, SUBJECT, "a"))
        other = ("www.okx.com", "1002", False)
        if bound == "BUCKETS_PER_SUBJECT_MAX":
            limiter.bucket(pool, other, "a")
        await until(now_ns() + 2 * S)
        limiter.bucket(pool, SUBJECT, "d")

    scenario()


@pytest.mark.interpreted
def test_when_there_are_too_many_an_idle_one_further_back_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buckets_module, "BUCKETS_MAX", 4)

    @virtual
    async def scenario() -> None:
        limiter = new_limiter()
        pool = user_pool(2, S)
        for name in "abcd":
            spend(limiter, limiter.bucket(pool, SUBJECT, name))
        await until(now_ns() + 2 * S)
        for name in "ca":  # the next in line; making the others has turned it
            spend(limiter, limiter.bucket(pool, SUBJECT, name))
        limiter.bucket(pool, SUBJECT, "e")
        assert len(limiter.buckets) == 3

    scenario()


@virtual
async def test_short_windows_of_an_unknown_past_start_full() -> None:
    """A process that died may have sent a whole limit's worth just before."""
    start_ns = now_ns()
    limiter = Limiter(LoopClock(), jitter_ns=JITTER, unknown_before_ns=start_ns)
    await until(start_ns + S)
    bucket = limiter.bucket(user_pool(5, 2 * S), SUBJECT, "")
    assert bucket.free(now_ns()) == 0
    await one(limiter, bucket, 5).wait(now_ns() + 2 * S)
    assert start_ns + 2 * S + JITTER <= now_ns() <= start_ns + 2 * S + JITTER + MS
    assert limiter.bucket(user_pool(5, 2 * S), SUBJECT, "later").free(now_ns()) == 5


@virtual
async def test_without_a_store_long_windows_are_held_like_short_ones() -> None:
    limiter = Limiter(LoopClock(), jitter_ns=JITTER, unknown_before_ns=now_ns())
    assert limiter.bucket(HOUR, SUBJECT, "").next_slot_ns(now_ns(), 1) == 3600 * S + JITTER
    limiter = new_limiter()
    bucket = limiter.bucket(HOUR, SUBJECT, "")
    spend(limiter, bucket, 100)
    assert bucket.next_slot_ns(now_ns(), 1) == 3600 * S + JITTER


@virtual
async def test_a_clean_stop_hands_its_counts_over() -> None:
    limiter = new_limiter()
    pool = user_pool(5, 2 * S)
    bucket = limiter.bucket(pool, SUBJECT, "BTC")
    start_ns = now_ns()
    spend(limiter, bucket, 2)
    await until(start_ns + S)
    cut_off = one(limiter, bucket)
    assert cut_off.take()
    cut_off.sent(now_ns())
    assert one(limiter, bucket).take()  # never sent: counts for nothing
    closed = limiter.bucket(pool, SUBJECT, "ETH")
    closed.shut(now_ns() + S)
    rows = limiter.snapshot(_wall_ms())

    heir = new_limiter()
    heir.restore(rows, _wall_ms())
    bucket = heir.bucket(pool, SUBJECT, "BTC")
    assert bucket.free(now_ns()) == 2
    assert heir.bucket(pool, SUBJECT, "ETH").free(now_ns()) == 0
    assert bucket.free(start_ns + 2 * S + JITTER) == 2
    assert bucket.free(start_ns + 2 * S + JITTER + MS) == 4
    assert bucket.free(start_ns + 3 * S + JITTER + MS) == 5


@virtual
async def test_counts_that_nobody_asked_for_are_handed_on() -> None:
    limiter = new_limiter()
    pool = user_pool(5, 2 * S)
    spend(limiter, limiter.bucket(pool, SUBJECT, "BTC"), 3)
    between = new_limiter()
    between.restore(limiter.snapshot(_wall_ms()), _wall_ms())
    last = new_limiter()
    last.restore(between.snapshot(_wall_ms()), _wall_ms())
    assert last.bucket(pool, SUBJECT, "BTC").free(now_ns()) == 2
    await until(now_ns() + 3 * S)
    assert between.snapshot(_wall_ms()) == []
    assert last.snapshot(_wall_ms()) == []


@virtual
async def test_rows_that_have_left_their_window_are_not_restored() -> None:
    limiter = new_limiter()
    spend(limiter, limiter.bucket(user_pool(5, 2 * S), SUBJECT, ""))
    rows = limiter.snapshot(_wall_ms())
    heir = new_limiter()
    heir.restore(rows, _wall_ms() + 2020)
    assert heir.snapshot(_wall_ms()) == []


@virtual
async def test_a_long_window_spends_only_what_is_stored() -> None:
    store = MemoryStore()
    store.gate = asyncio.Event()
    limiter = _long(store)
    bucket = limiter.bucket(HOUR, SUBJECT, "")
    assert not one(limiter, bucket).take()
    waits = asyncio.create_task(one(limiter, bucket).wait(now_ns() + S // 2))
    await breathe()
    assert not waits.done()
    store.gate.set()
    await waits
    assert [row.units for row in store.rows] == [5]


@virtual
async def test_no_wait_for_the_exchange_is_still_time_to_store() -> None:
    limiter = _long(MemoryStore())
    await one(limiter, limiter.bucket(SPARSE, SUBJECT, "")).wait(now_ns())


@virtual
async def test_the_next_chunk_is_stored_before_the_last_is_spent() -> None:
    store = MemoryStore()
    limiter = _long(store)
    bucket = limiter.bucket(HOUR, SUBJECT, "")
    await breathe()
    for _ in range(100):
        assert one(limiter, bucket).take()  # never has to wait
        await breathe()
    assert bucket.free(now_ns()) == 0
    assert sum(row.units for row in store.rows) <= 105


@virtual
async def test_when_nothing_can_be_stored_nothing_is_spent() -> None:
    store = MemoryStore()
    store.broken = True
    deaths: list[BaseException] = []

    async def report(work: asyncio.Task[None]) -> None:
        try:
            await work
        except StoreError as error:
            deaths.append(error)

    tasks: list[asyncio.Task[None]] = []

    def spawn(_: str, coroutine: object) -> None:
        assert asyncio.iscoroutine(coroutine)
        tasks.append(asyncio.create_task(report(asyncio.create_task(coroutine))))

    limiter = Limiter(LoopClock(), jitter_ns=JITTER, store=store, spawn=spawn)
    bucket = limiter.bucket(SPARSE, SUBJECT, "")
    with pytest.raises(NoSlot):
        await one(limiter, bucket).wait(now_ns() + 2 * S)
    assert deaths
    store.broken = False
    await one(limiter, bucket).wait(now_ns() + 2 * S)  # the next one asks again


@virtual
async def test_stored_units_that_lapsed_are_stored_again_and_wake_who_waits() -> None:
    """Also for one who waits for something else the while."""
    store = MemoryStore()
    limiter = _long(store)
    bucket = limiter.bucket(HOUR, SUBJECT, "")
    slow = limiter.bucket(user_pool(1, 10 * S, "slow"), SUBJECT, "")
    slow.shut(now_ns() + 1000 * S)
    await breathe()
    waits = asyncio.create_task(
        limiter.ticket("a", 1, [(slow, 1), (bucket, 1)]).wait(now_ns() + 2000 * S)
    )
    await waits
    assert len(store.rows) >= 2


@virtual
async def test_a_crash_forgets_nothing_of_a_long_window() -> None:
    store = MemoryStore()
    limiter = _long(store)
    bucket = limiter.bucket(SPARSE, SUBJECT, "")
    start_ns = now_ns()
    for number in range(3):
        await until(start_ns + number * 900 * S)
        await one(limiter, bucket).wait(now_ns())
    heir = _long(store)
    heir.restore(store.rows, _wall_ms())
    bucket = heir.bucket(SPARSE, SUBJECT, "")
    assert bucket.free(now_ns()) == 2  # chunks of one: nothing is counted too often
    assert _opens_ns(bucket, 5) >= start_ns + 1800 * S + 3600 * S


def _opens_ns(bucket: Bucket, units: int) -> int:
    return Window.earliest_ns(bucket, units, now_ns(), JITTER)


@virtual
async def test_units_spent_late_in_the_life_of_their_chunk_count_from_then() -> None:
    store = MemoryStore()
    bucket = (limiter := _long(store)).bucket(HOUR, SUBJECT, "")
    start_ns = now_ns()
    await breathe()
    await until(start_ns + 800 * S)
    for _ in range(3):
        assert one(limiter, bucket).take()
    heir = _long(store)
    heir.restore(store.rows, _wall_ms())
    bucket = heir.bucket(HOUR, SUBJECT, "")
    await until(start_ns + 4399 * S)
    assert bucket.free(now_ns()) <= 97
    await until(start_ns + 4401 * S)
    assert bucket.free(now_ns()) == 100


@virtual
async def test_what_is_stored_already_is_not_handed_over_again() -> None:
    limiter = _long(MemoryStore())
    await one(limiter, limiter.bucket(HOUR, SUBJECT, "")).wait(now_ns())
    assert limiter.snapshot(_wall_ms()) == []


@virtual
async def test_stored_units_survive_a_changed_limit() -> None:
    store = MemoryStore()
    limiter = _long(store)
    bucket = limiter.bucket(HOUR, SUBJECT, "")
    await breathe()
    limiter.bucket(user_pool(50, 3600 * S, HOUR.name), SUBJECT, "")
    assert one(limiter, bucket, 5).take()
    assert len(store.rows) == 1


@virtual
async def test_a_window_made_long_by_a_reload_is_stored_from_then_on() -> None:
    store = MemoryStore()
    limiter = Limiter(LoopClock(), jitter_ns=JITTER, store=store)
    bucket = limiter.bucket(user_pool(5, 2 * S, HOUR.name), SUBJECT, "")
    limiter.bucket(HOUR, SUBJECT, "")
    await one(limiter, bucket).wait(now_ns() + S)
    assert store.rows
    limiter.bucket(user_pool(5, 2 * S, HOUR.name), SUBJECT, "")
    assert bucket.prepaid is None
    await until(now_ns() + 3 * S)
    assert one(limiter, bucket).take()
