"""What each user of an exchange was found to be and to have: roles, and limits of his own.

Kept by identity, so that accounts of one user ask once for all of them. Asks nobody
(`identities.py` does); says what is due, and puts learned limits in force.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from proxy.learned_limits import learned_pools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.accounts.standing import Identity
    from proxy.exchanges.spec import Lesson
    from proxy.model import Learned, LearnedLimit, Pool
    from proxy.routes import Site

NEVER_MS: Final = 1 << 62
RETRY_FIRST_MS: Final = 5_000  # after an answer that told nothing; doubled each time
RETRY_MAX_MS: Final = 300_000
CLAIMED_MS: Final = 60_000  # how long a lesson is left to who asks it, should he never end
_MS: Final = 1_000_000
_SWEPT: Final = 2  # courses looked at whenever one is begun


def pause_ms(tries: int, most_ms: int = RETRY_MAX_MS) -> int:
    """How long to wait after so many tries in vain."""
    return min(RETRY_FIRST_MS << min(tries - 1, 30), most_ms)


def every_ms(lesson: Lesson) -> int:
    """After how long a lesson is asked again."""
    return lesson.every_ns // _MS if lesson.every_ns else NEVER_MS


@final
class Course:
    """One user's lessons. The first is his account's own, and tells which others are wanted."""

    __slots__ = ("facts", "identity", "limits", "next_ms", "told", "tries")

    def __init__(self, identity: Identity, lessons: int) -> None:
        self.identity = identity
        self.facts: Learned | None = None  # what the first told, in this process
        self.limits: list[tuple[LearnedLimit, ...]] = [()] * lessons  # what each told last
        self.told: dict[str, LearnedLimit] = {}  # by pool: what other answers say by the way
        self.next_ms = [0] * lessons
        self.tries = [0] * lessons


@final
class Courses:
    """Every course, and the limits that they put in force on the sites served."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._courses: OrderedDict[tuple[str, str], Course] = OrderedDict()
        self._sites: list[Site] = []
        # by exchange table: the pools as the operator has them, and as the exchange's table does
        self._pools: dict[str, tuple[dict[str, Pool], dict[str, Pool]]] = {}

    def __len__(self) -> int:
        return len(self._courses)

    def serve(self, sites: Iterable[Site]) -> None:
        """Hold what was learned against the limits of these sites from now on."""
        self._sites = list(sites)
        self._pools.clear()
        for course in self._courses.values():
            self._put_in_force(course)

    def hosts(self, exchange: str) -> set[str]:
        """The hosts of an exchange table that count its users."""
        return {site.counted_at for site in self._sites if site.name == exchange}

    def of(self, identity: Identity, lessons: int) -> Course:
        """Return the course of a user, or begin one."""
        key = (identity.exchange, identity.text)
        course = self._courses.get(key)
        if course is None or course.identity is not identity or len(course.limits) != lessons:
            self._sweep()
            course = self._courses[key] = Course(identity, lessons)
        return course

    def claim(self, course: Course, lessons: tuple[Lesson, ...], now_ms: int) -> list[int]:
        """Return which lessons after the first are due, for the caller to ask."""
        due = [number for number in _wanted(course, lessons) if course.next_ms[number] <= now_ms]
        for number in due:
            course.next_ms[number] = now_ms + CLAIMED_MS
        return due

    def next_ms(self, course: Course, lessons: tuple[Lesson, ...]) -> int:
        """Return when one of them is due."""
        return min(
            (course.next_ms[number] for number in _wanted(course, lessons)), default=NEVER_MS
        )

    def take(
        self,
        course: Course,
        lessons: tuple[Lesson, ...],
        number: int,
        learned: Learned | None,
        now_ms: int,
    ) -> None:
        """Take in what a lesson told, None if nothing: then what it told before stays."""
        again_ms = every_ms(lessons[number])
        if learned is None:
            course.tries[number] += 1
            course.next_ms[number] = now_ms + pause_ms(course.tries[number], again_ms)
            return
        course.tries[number] = 0
        course.next_ms[number] = now_ms + again_ms
        before = list(course.limits)
        course.limits[number] = learned.limits
        if number == 0:
            course.facts = learned
            for other in range(1, len(lessons)):
                if not lessons[other].wanted(learned):
                    course.limits[other] = ()
        if course.limits != before:
            self._put_in_force(course)

    def tell(self, course: Course, limit: LearnedLimit) -> None:
        """Take in the limit of a whole pool that an answer told by the way: the latest word."""
        if course.told.get(limit.pool) != limit:
            course.told[limit.pool] = limit
            self._put_in_force(course)

    def _put_in_force(self, course: Course) -> None:
        identity = course.identity
        limits = [limit for told in course.limits for limit in told]
        limits += course.told.values()
        pools, faults = learned_pools(limits, *self._pools_of(identity.exchange))
        for fault in faults:
            self._report(f"{identity.exchange} told a limit that cannot be kept: {fault}")
        for key, pool in pools.items():
            known = identity.pools.get(key)
            if known == pool:
                pools[key] = known  # the same one: the limiter need not look at it again
        if pools != identity.pools:
            identity.pools = pools
            for draws in identity.draws:
                draws.clear()

    def _pools_of(self, exchange: str) -> tuple[dict[str, Pool], dict[str, Pool]]:
        found = self._pools.get(exchange)
        if found is None:
            in_force: dict[str, Pool] = {}
            published: dict[str, Pool] = {}
            for site in self._sites:
                if site.name == exchange:
                    published |= {pool.name: pool for pool in site.exchange.pools}
                    in_force |= {
                        draw.pool.name: draw.pool
                        for endpoint in site.endpoints
                        for draw in (*endpoint.draws, *endpoint.single_item_draws)
                    }
            found = self._pools[exchange] = (in_force, published)
        return found

    def _sweep(self) -> None:
        """Forget users that no account is any more."""
        for _ in range(min(_SWEPT, len(self._courses))):
            key, course = self._courses.popitem(last=False)
            if course.identity.holders:
                self._courses[key] = course


def _wanted(course: Course, lessons: tuple[Lesson, ...]) -> list[int]:
    facts = course.facts
    if facts is None:
        return []
    return [number for number, lesson in enumerate(lessons) if number and lesson.wanted(facts)]
