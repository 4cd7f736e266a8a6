"""Under any arrivals, weights and delays: never too many, none forgotten, none passed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import BotGone
from proxy.limits import limiter as limiter_module
from proxy.limits.limiter import Bucket, Limiter, NoSlot
from proxy.tasks import Drive
from tests.limits.memory_store import MemoryStore
from tests.limits.virtual import (
    MS,
    SUBJECT,
    ExchangeWindow,
    LoopClock,
    S,
    new_limiter,
    now_ns,
    shared_pool,
    until,
    user_pool,
    virtual,
)

JITTER = 10 * MS
US = 1_000  # timers for one instant fire in any order: what comes together comes so far apart
THERE = 7 * MS  # the shortest ways to the exchange and back
BACK = 5 * MS

# (count, window, shared) of each pool
POOLS = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from([50, 100, 300]), st.booleans()),
    min_size=1,
    max_size=3,
)


@dataclass
class Job:
    """One request: when it comes, what it costs, what happens to it on the way."""

    at_ms: int
    account: int
    priority: int
    units: list[int]  # for each pool in turn; missing ones are 0
    late_there_ms: int = 0
    late_back_ms: int = 0
    fate: str = "answered"
    leaves_ms: int = 1_000_000  # when the bot hangs up, after it came
    came_ns: int = 0
    gone_ns: int = 0
    error: BaseException | None = field(default=None, repr=False)

    def draws(self, buckets: list[Bucket]) -> list[tuple[Bucket, int]]:
        return [
            (bucket, min(units, bucket.count))
            for bucket, units in zip(buckets, self.units, strict=False)
            if units
        ]


def jobs(units_max: int = 4, fates: tuple[str, ...] = ("answered",)) -> st.SearchStrategy[Job]:
    late = st.one_of(st.just(0), st.integers(0, 15), st.integers(0, 400))
    return st.builds(
        Job,
        at_ms=st.integers(0, 400),
        account=st.integers(0, 2),
        priority=st.integers(0, 2),
        units=st.lists(st.integers(0, units_max), min_size=1, max_size=3),
        late_there_ms=late,
        late_back_ms=late,
        fate=st.sampled_from(fates),
    )


class World:
    """A limiter, and an exchange that counts what arrives."""

    def __init__(self, pools: list[tuple[int, int, bool]]) -> None:
        self.limiter = new_limiter(JITTER)
        self.start_ns = now_ns()
        self.buckets = [
            self.limiter.bucket(
                (shared_pool if shared else user_pool)(count, window * MS, f"pool {index}"),
                SUBJECT,
                "",
            )
            for index, (count, window, shared) in enumerate(pools)
        ]
        self.seen = {
            bucket: ExchangeWindow(bucket.count, bucket.window_ns) for bucket in self.buckets
        }

    async def go(self, job: Job, until_ns: int) -> None:
        """Bring one request to its exchange, as the pipeline does."""
        draws = job.draws(self.buckets)
        ticket = self.limiter.ticket(job.account, job.priority, draws)
        job.came_ns = now_ns()
        await ticket.wait(until_ns)
        job.gone_ns = sent_ns = now_ns()
        if job.fate == "unsent":
            ticket.refund()
            return
        ticket.sent(sent_ns)
        there_ns = THERE + job.late_there_ms * MS
        for bucket, units in draws:
            self.seen[bucket].arrivals.append((sent_ns + there_ns, units))
        await until(sent_ns + there_ns + BACK + job.late_back_ms * MS)
        if job.fate == "lost":
            ticket.lost(now_ns())
        elif job.fate == "refused":
            ticket.refused("*", now_ns(), 0)
        else:
            ticket.answered(now_ns(), now_ns() - sent_ns - THERE - BACK)

    async def run(self, todo: list[Job], wait_ns: int = 10_000 * S) -> None:
        """Run every request; they come in the order of the list within one millisecond."""

        async def one(index: int, job: Job) -> None:
            await until(self.start_ns + job.at_ms * MS + index * US)
            try:
                await self.go(job, now_ns() + wait_ns)
            except NoSlot as error:
                job.error = error

        await asyncio.gather(*[one(index, job) for index, job in enumerate(todo)])

    async def assert_all_given_back(self) -> None:
        assert self.limiter.waiting == 0
        await until(now_ns() + 2 * S)
        for bucket in self.buckets:
            assert not bucket.queue
            assert not bucket.held
            assert bucket.timer is None
            assert bucket.free(now_ns()) == bucket.count

    def assert_within_limits(self) -> None:
        for seen in self.seen.values():
            assert seen.most_in_any_window() <= seen.count
            assert seen.most_in_windows_from_first() <= seen.count
            for anchor_ns in range(0, seen.window_ns, seen.window_ns // 7):
                assert seen.most_in_grid(self.start_ns + anchor_ns) <= seen.count


@given(POOLS, st.lists(jobs(fates=("answered", "lost", "refused", "unsent")), max_size=25))
@settings(max_examples=150, deadline=None)
def test_the_exchange_never_sees_more_than_the_limit_and_nobody_is_forgotten(
    pools: list[tuple[int, int, bool]], todo: list[Job]
) -> None:
    """Whatever part of a round trip was the way there, in every sliding and fixed window."""

    @virtual
    async def scenario() -> None:
        world = World(pools)
        await world.run(todo)
        assert all(job.gone_ns for job in todo)
        world.assert_within_limits()
        await world.assert_all_given_back()

    scenario()


@given(st.lists(jobs(), min_size=2, max_size=25), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_nobody_in_a_bucket_is_passed_by_a_later_or_a_lower_one(
    todo: list[Job], count: int
) -> None:
    @virtual
    async def scenario() -> None:
        for job in todo:
            job.units = [max(1, job.units[0])]
        world = World([(count, 100, False)])
        in_order = sorted(todo, key=lambda job: job.at_ms)  # stable: the list's order breaks ties
        await world.run(in_order)
        for index, first in enumerate(in_order):
            for later in in_order[index + 1 :]:
                if first.priority <= later.priority:
                    assert first.gone_ns <= later.gone_ns

    scenario()


@given(POOLS, st.lists(jobs(), min_size=1, max_size=25), st.data())
@settings(max_examples=100, deadline=None)
def test_bots_that_hang_up_at_any_moment_leave_no_slot_taken(
    pools: list[tuple[int, int, bool]], todo: list[Job], data: st.DataObject
) -> None:
    for job in todo:
        job.leaves_ms = data.draw(st.one_of(st.integers(0, 400), st.just(1_000_000)))

    @virtual
    async def scenario() -> None:
        world = World(pools)
        loop = asyncio.get_running_loop()
        left = len(todo)
        all_ended = loop.create_future()

        def start(job: Job) -> None:
            def ended(_: object, error: BaseException | None) -> None:
                nonlocal left
                left -= 1
                job.error = error
                if not left:
                    all_ended.set_result(None)

            drive = Drive(world.go(job, now_ns() + 10_000 * S), ended)
            drive.start()

            def hang_up() -> None:
                if not job.gone_ns and job.error is None:
                    drive.drop()

            loop.call_at((world.start_ns + (job.at_ms + job.leaves_ms) * MS) / 1e9, hang_up)

        for job in todo:
            loop.call_at((world.start_ns + job.at_ms * MS) / 1e9, start, job)
        await all_ended
        assert all(job.gone_ns or isinstance(job.error, BotGone) for job in todo)
        world.assert_within_limits()
        await world.assert_all_given_back()

    scenario()


async def _burst(
    count: int, arrivals_ns: list[int], wait_ns: int
) -> list[tuple[int, NoSlot | None]]:
    """Send one unit at each of the instants; return when each went or was refused, and why."""
    limiter, start_ns = new_limiter(JITTER), now_ns()
    bucket = limiter.bucket(user_pool(count, 100 * MS), SUBJECT, "")

    async def one(at_ns: int) -> tuple[int, NoSlot | None]:
        await until(start_ns + at_ns)
        ticket = limiter.ticket("a", 1, [(bucket, 1)])
        try:
            await ticket.wait(start_ns + at_ns + wait_ns)
        except NoSlot as refused:
            return now_ns() - start_ns, refused
        ticket.sent(now_ns())
        ticket.answered(now_ns(), 0)
        return now_ns() - start_ns, None

    return await asyncio.gather(*[one(at_ns) for at_ns in arrivals_ns])


@pytest.mark.interpreted
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=30),
    st.integers(1, 4),
    st.integers(0, 400),
)
@settings(max_examples=150, deadline=None)
def test_a_request_is_refused_at_once_exactly_when_it_cannot_make_it(
    arrivals_ms: list[int], count: int, wait_ms: int
) -> None:
    """Each refused one is sent again in the same company, and allowed to wait for ever."""
    arrivals_ns = [at_ms * MS + index * US for index, at_ms in enumerate(sorted(arrivals_ms))]
    wait_ns = wait_ms * MS

    @virtual
    async def scenario() -> None:
        ended = await _burst(count, arrivals_ns, wait_ns)
        company: list[int] = []
        for came_ns, (at_ns, refused) in zip(arrivals_ns, ended, strict=True):
            if refused is None:
                company.append(came_ns)
                continue
            assert at_ns <= came_ns + 1  # a float's rounding
            again = await _burst(count, [*company, came_ns], 10_000 * S)
            assert again[-1][0] > came_ns + wait_ns
            assert abs(again[-1][0] - came_ns - refused.next_ns) <= US

    with patch.object(limiter_module, "_TIMER_SLACK_NS", 0):
        scenario()


@given(POOLS, st.lists(jobs(), min_size=1, max_size=25), st.integers(0, 500))
@settings(max_examples=100, deadline=None)
def test_nobody_waits_longer_than_allowed(
    pools: list[tuple[int, int, bool]], todo: list[Job], wait_ms: int
) -> None:
    @virtual
    async def scenario() -> None:
        world = World(pools)
        await world.run(todo, wait_ms * MS)
        for job in todo:
            if job.error is None:
                assert job.gone_ns <= job.came_ns + wait_ms * MS + MS
        world.assert_within_limits()
        await world.assert_all_given_back()

    scenario()


@given(
    backlogs=st.lists(st.integers(5, 20), min_size=2, max_size=4),
    late_ms=st.lists(st.integers(0, 300), min_size=4, max_size=4),
    count=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_users_with_a_backlog_get_the_same_share_of_a_shared_pool(
    backlogs: list[int], late_ms: list[int], count: int
) -> None:
    @virtual
    async def scenario() -> None:
        world = World([(count, 100, True)])
        todo = [
            Job(late_ms[user], user, 2, [1])
            for user, many in enumerate(backlogs)
            for _ in range(many)
        ]
        await world.run(todo)
        for one, many in enumerate(backlogs):
            for other in range(one):
                # While both wait: after the later came, until the first of them is done.
                begin_ns = world.start_ns + max(late_ms[one], late_ms[other]) * MS + MS
                ends = [
                    max(job.gone_ns for job in todo if job.account == user) for user in (one, other)
                ]
                shares = [
                    sum(begin_ns < job.gone_ns < min(ends) for job in todo if job.account == user)
                    for user in (one, other)
                ]
                assert abs(shares[0] - shares[1]) <= 1 + count, many

    scenario()


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3)), min_size=5, max_size=60),
    st.sets(st.integers(0, 59), max_size=3),
    st.sampled_from([3, 10, 45]),
)
@settings(max_examples=60, deadline=None)
def test_long_windows_hold_over_any_number_of_crashes(
    takes: list[tuple[int, int]], crashes: set[int], count: int
) -> None:
    """Only what the store has been told survives; what is in flight arrives all the same."""
    pool = user_pool(count, 100 * S)

    @virtual
    async def scenario() -> None:
        store = MemoryStore()
        seen = ExchangeWindow(count, pool.window_ns)

        def new_life() -> Limiter:
            limiter = Limiter(
                LoopClock(), jitter_ns=JITTER, store=store, unknown_before_ns=now_ns()
            )
            limiter.restore(store.rows, LoopClock().wall_ms())
            return limiter

        limiter = new_life()
        for index, (gap_s, units) in enumerate(takes):
            await until(now_ns() + gap_s * S // 4)
            if index in crashes:
                limiter = new_life()
            ticket = limiter.ticket("a", 1, [(limiter.bucket(pool, SUBJECT, ""), units)])
            await ticket.wait(now_ns() + 1000 * S)
            seen.arrivals.append((now_ns(), units))
            ticket.sent(now_ns())
            ticket.answered(now_ns(), 0)
        assert seen.most_in_any_window() <= count

    scenario()
