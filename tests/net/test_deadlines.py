from __future__ import annotations

import asyncio

import pytest

from proxy.clock import SystemClock
from proxy.net.deadlines import NEVER, TICK_NS, Deadline, Wheel

pytestmark = pytest.mark.interpreted  # they subclass Deadline


class FakeClock:
    def __init__(self) -> None:
        self.ns = 0

    def monotonic_ns(self) -> int:
        return self.ns

    def wall_ms(self) -> int:
        return 0


class Entry(Deadline):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def expired(self, now_ns: int) -> None:
        self.calls.append(now_ns)


async def test_an_entry_expires_once_and_at_most_a_tick_late() -> None:
    wheel, entry = Wheel(FakeClock()), Entry()
    wheel.limit(entry, 5 * TICK_NS + 1)
    wheel.run(5 * TICK_NS)
    assert entry.calls == []
    wheel.run(6 * TICK_NS)
    wheel.run(60 * TICK_NS)
    assert entry.calls == [6 * TICK_NS]


async def test_a_later_deadline_needs_no_filing() -> None:
    wheel, entry = Wheel(FakeClock()), Entry()
    wheel.limit(entry, 5 * TICK_NS)
    entry.deadline_ns = 9 * TICK_NS
    wheel.run(8 * TICK_NS)
    assert entry.calls == []
    wheel.run(9 * TICK_NS)
    assert len(entry.calls) == 1


async def test_an_earlier_deadline_moves_the_entry() -> None:
    wheel, entry = Wheel(FakeClock()), Entry()
    wheel.limit(entry, 50 * TICK_NS)
    wheel.limit(entry, 5 * TICK_NS)
    wheel.run(5 * TICK_NS)
    wheel.run(50 * TICK_NS)
    assert len(entry.calls) == 1


async def test_a_lifted_or_discarded_limit_never_expires() -> None:
    wheel, lifted, discarded = Wheel(FakeClock()), Entry(), Entry()
    for entry in (lifted, discarded):
        wheel.limit(entry, TICK_NS)
    lifted.deadline_ns = NEVER
    wheel.discard(discarded)
    wheel.run(100 * TICK_NS)
    assert lifted.calls == discarded.calls == []
    wheel.limit(lifted, 101 * TICK_NS)
    wheel.run(101 * TICK_NS)
    assert len(lifted.calls) == 1


async def test_an_entry_may_discard_another_of_the_same_instant() -> None:
    wheel, other = Wheel(FakeClock()), Entry()

    class Killer(Deadline):
        def expired(self, now_ns: int) -> None:
            wheel.discard(other)

    killer = Killer()
    wheel.limit(killer, TICK_NS)
    wheel.limit(other, TICK_NS)
    wheel.run(TICK_NS)
    assert other.calls == []


async def test_a_failing_entry_is_reported_and_stops_no_other() -> None:
    wheel, after = Wheel(FakeClock()), Entry()
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context["exception"])
    )

    class Bad(Deadline):
        def expired(self, now_ns: int) -> None:
            raise RuntimeError("planted")

    bad = Bad()
    wheel.limit(bad, TICK_NS)
    wheel.limit(after, TICK_NS)
    wheel.run(TICK_NS)
    assert [str(error) for error in reported] == ["planted"]
    assert len(after.calls) == 1


async def test_the_wheel_rings_by_itself_in_order_and_rests_when_empty() -> None:
    clock = SystemClock()
    wheel = Wheel(clock)
    order: list[str] = []
    ended = asyncio.Event()

    class Named(Deadline):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def expired(self, now_ns: int) -> None:
            order.append(self.name)
            if len(order) == 2:
                ended.set()

    start_ns = clock.monotonic_ns()
    late, early = Named("late"), Named("early")
    wheel.limit(late, start_ns + 2 * TICK_NS)
    wheel.limit(early, start_ns + 1)
    await ended.wait()
    assert order == ["early", "late"]
    assert clock.monotonic_ns() - start_ns >= 2 * TICK_NS
    assert wheel._timer is None
