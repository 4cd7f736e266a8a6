"""Keys of one user, united while they send; and limits that change while they are used.

The exchange here counts by user from the first. Before a union nobody knows that two keys are one
user's, and together they may send too much; what was sent is sent. But no window that anything
let through after the last union falls into holds more than the limit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.limits.limiter import NoSlot, Ticket
from tests.limits.virtual import MS, S, new_limiter, now_ns, until, user_pool, virtual

JITTER = 10 * MS
THERE = 7 * MS  # the shortest ways to the exchange and back
BACK = 5 * MS
NEVER_MS = 10_000_000
USER = ("www.okx.com", "1001", False)
SUBJECTS = (USER, ("www.okx.com", "key:a", False), ("www.okx.com", "key:b", False))


@dataclass
class Job:
    """One request of the user's, sent under one of its names."""

    at_ms: int
    subject: int
    units: list[int]  # for each pool in turn
    late_there_ms: int
    late_back_ms: int
    fate: str
    held_up_ms: int  # between finding its buckets and taking its slots
    gone_ns: int = 0


LATE = st.one_of(st.just(0), st.integers(0, 15), st.integers(0, 400))
JOBS = st.lists(
    st.builds(
        Job,
        at_ms=st.integers(0, 400),
        subject=st.integers(0, 2),
        units=st.lists(st.integers(0, 3), min_size=1, max_size=2),
        late_there_ms=LATE,
        late_back_ms=LATE,
        fate=st.sampled_from(("answered", "answered", "lost", "refused", "unsent")),
        held_up_ms=st.one_of(st.just(0), st.integers(0, 500)),
    ),
    max_size=30,
)
# (count, window) of each pool
POOLS = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from([50, 100, 300])), min_size=1, max_size=2
)


class World:
    """A limiter that learns only later what the exchange knows."""

    def __init__(self, limits: list[tuple[int, int]], last_union_ms: int) -> None:
        self.limiter = new_limiter(JITTER)
        self.start_ns = now_ns()
        self.last_union_ns = self.start_ns + last_union_ms * MS + 500
        self.pools = [
            user_pool(count, window * MS, f"pool {index}")
            for index, (count, window) in enumerate(limits)
        ]
        # what the exchange saw of each: arrival, units, let through after the last union
        self.seen: list[list[tuple[int, int, bool]]] = [[] for _ in limits]

    async def unite(self, at_ms: int, old: int, new: int) -> None:
        await until(self.start_ns + at_ms * MS + 500)
        self.limiter.unite(SUBJECTS[old], SUBJECTS[new])

    async def come(self, index: int, job: Job, patience_ms: int) -> None:
        """Bring one request to its exchange, if it does not have to wait longer than it may."""
        await until(self.start_ns + job.at_ms * MS + index * 1_000)
        units = [min(one, pool.count) for one, pool in zip(job.units, self.pools, strict=False)]
        find, subject = self.limiter.bucket, SUBJECTS[job.subject]
        draws = [
            (find(pool, subject, ""), n) for pool, n in zip(self.pools, units, strict=False) if n
        ]
        if job.held_up_ms:
            await until(now_ns() + job.held_up_ms * MS)
        ticket = self.limiter.ticket(job.subject, 1, draws)
        try:
            await ticket.wait(now_ns() + patience_ms * MS)
        except NoSlot:
            return
        job.gone_ns = now_ns()
        if job.fate == "unsent":
            ticket.refund()
        else:
            await self.send(ticket, job, units)

    async def send(self, ticket: Ticket, job: Job, units: list[int]) -> None:
        sent_ns = job.gone_ns
        ticket.sent(sent_ns)
        arrives_ns = sent_ns + THERE + job.late_there_ms * MS
        for seen, n in zip(self.seen, units, strict=False):
            if n:
                seen.append((arrives_ns, n, sent_ns > self.last_union_ns))
        await until(arrives_ns + BACK + job.late_back_ms * MS)
        if job.fate == "lost":
            ticket.lost(now_ns())
        elif job.fate == "refused":
            ticket.refused("*", now_ns(), 0)
        else:
            ticket.answered(now_ns(), now_ns() - sent_ns - THERE - BACK)

    def assert_within_limits_after_the_last_union(self) -> None:
        for pool, seen in zip(self.pools, self.seen, strict=True):
            for begin_ns, _, _ in seen:
                inside = [one for one in seen if begin_ns <= one[0] < begin_ns + pool.window_ns]
                if any(after for _, _, after in inside):
                    assert sum(n for _, n, _ in inside) <= pool.count

    async def assert_all_given_back(self) -> None:
        assert self.limiter.waiting == 0
        await until(now_ns() + 2 * S)
        for pool in self.pools:
            one, *others = (self.limiter.bucket(pool, subject, "") for subject in SUBJECTS)
            assert others == [one, one]
            assert (one.held, one.queue, one.timer) == ({}, [], None)
            assert one.free(now_ns()) == pool.count


@given(
    POOLS,
    JOBS,
    st.tuples(st.integers(0, 500), st.integers(0, 500)),
    st.sampled_from([((1, 0), (2, 0)), ((1, 0), (2, 1)), ((1, 2), (2, 0))]),
    st.sampled_from([300, NEVER_MS]),
)
@settings(max_examples=300, deadline=None)
def test_after_the_union_no_window_holds_more_than_the_users_limit(
    limits: list[tuple[int, int]],
    todo: list[Job],
    unions_ms: tuple[int, int],
    unions: tuple[tuple[int, int], tuple[int, int]],
    patience_ms: int,
) -> None:
    """And nobody who waits is forgotten, whatever each key had in flight, in whatever order."""

    @virtual
    async def scenario() -> None:
        world = World(limits, max(unions_ms))
        await asyncio.gather(
            *[world.come(index, job, patience_ms) for index, job in enumerate(todo)],
            *[world.unite(at, *pair) for at, pair in zip(unions_ms, unions, strict=True)],
        )
        world.assert_within_limits_after_the_last_union()
        assert patience_ms < NEVER_MS or all(job.gone_ns for job in todo)
        await world.assert_all_given_back()

    scenario()


CHANGING = [user_pool(6, 200 * MS), user_pool(12, 200 * MS), user_pool(4, 100 * MS)]


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.sampled_from([0, 0, 1, 2]), st.integers(1, 3)),
        max_size=60,
    )
)
@example([(0, 1, 3), (0, 1, 3), (0, 1, 3), (0, 1, 2), (110, 2, 1), (0, 0, 1), (0, 1, 1)])
@settings(max_examples=200, deadline=None)
def test_a_limit_that_changes_to_and_fro_forgets_nothing_that_was_spent(
    takes: list[tuple[int, int, int]],
) -> None:
    """As during a reload: requests under the old rules and under the new come by turns."""

    @virtual
    async def scenario() -> None:
        limiter = new_limiter(JITTER)
        arrivals: list[tuple[int, int]] = []
        answers = []

        async def answer(ticket: Ticket) -> None:
            await until(now_ns() + THERE + BACK)
            ticket.answered(now_ns(), 0)

        for gap_ms, which, units in takes:
            await until(now_ns() + gap_ms * MS)
            pool = CHANGING[which]
            ticket = limiter.ticket("a", 1, [(limiter.bucket(pool, USER, ""), units)])
            if ticket.take():
                ticket.sent(now_ns())
                answers.append(asyncio.create_task(answer(ticket)))
                arrivals.append((now_ns(), units))
                inside = [n for at_ns, n in arrivals if at_ns > now_ns() - pool.window_ns]
                assert sum(inside) <= pool.count
        await asyncio.gather(*answers)

    scenario()
