"""What is due to be asked of each user, and which limits follow from what was told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from proxy.accounts.standing import Identity
from proxy.courses import CLAIMED_MS, NEVER_MS, Courses, pause_ms
from proxy.exchanges.spec import Lesson
from proxy.model import Action, Draw, Endpoint, Learned, LearnedLimit, Pool, Tag

if TYPE_CHECKING:
    from proxy.model import Response

S = 1_000_000_000
HOUR_MS = 3_600_000
CAP = Pool("cap", 1000, 2 * S, ("user",))
ORDER = Pool("order", 60, 2 * S, ("user", "instrument"))
FACTS = Learned("1001", roles=("lead",))


def nothing(_: Response) -> None:
    return None


LESSONS = (
    Lesson(b"GET", b"/who", b"", nothing, 3600 * S, lambda _: True),
    Lesson(b"GET", b"/cap", b"", nothing, 3600 * S, lambda _: True),
    Lesson(b"GET", b"/lead", b"", nothing, 0, lambda facts: "lead" in facts.roles),
)


@dataclass
class Exchange:
    pools: tuple[Pool, ...] = (CAP, ORDER)


@dataclass
class Site:
    """As much of one as the courses look at."""

    name: str = "okx"
    counted_at: str = "www.okx.com"
    pools: tuple[Pool, ...] = (CAP, ORDER)
    exchange: Exchange = field(default_factory=Exchange)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        draws = tuple(map(Draw, self.pools))
        single = draws[1:]
        return (Endpoint("POST", "/o", Action.PLACE, "trade", Tag.NONE, draws[:1], single),)


def courses(*sites: Site, lines: list[str] | None = None) -> Courses:
    made = Courses(([] if lines is None else lines).append)
    made.serve(sites or (Site(),))  # type: ignore[arg-type]
    return made


def identity(text: str = "1001", exchange: str = "okx") -> Identity:
    made = Identity(exchange, text)
    made.holders = 1
    return made


def limits(*told: tuple[Pool, str, int]) -> Learned:
    return Learned(limits=tuple(LearnedLimit(pool.name, v, n, 2 * S) for pool, v, n in told))


def test_nothing_further_is_due_before_the_first_lesson() -> None:
    made = courses()
    course = made.of(identity(), len(LESSONS))
    assert made.claim(course, LESSONS, 5) == []
    assert made.next_ms(course, LESSONS) == NEVER_MS
    made.take(course, LESSONS, 0, FACTS, 5)
    assert made.next_ms(course, LESSONS) == 0
    assert made.claim(course, LESSONS, 5) == [1, 2]
    assert made.claim(course, LESSONS, 5) == []  # somebody asks
    assert made.claim(course, LESSONS, 5 + CLAIMED_MS) == [1, 2]  # and never came back


def test_a_lesson_is_due_again_after_its_time_and_one_that_is_asked_once_never() -> None:
    made = courses()
    course = made.of(identity(), len(LESSONS))
    made.take(course, LESSONS, 0, FACTS, 0)
    for number in (1, 2):
        made.take(course, LESSONS, number, Learned(), 7)
    assert course.next_ms[1:] == [HOUR_MS + 7, NEVER_MS + 7]
    assert made.claim(course, LESSONS, HOUR_MS + 7) == [1]


def test_a_lesson_in_vain_is_due_later_each_time_until_it_goes_well_once() -> None:
    made = courses()
    course = made.of(identity(), len(LESSONS))
    made.take(course, LESSONS, 0, FACTS, 0)
    pauses = []
    for _ in range(12):
        made.take(course, LESSONS, 1, None, 1000)
        pauses.append((course.next_ms[1] - 1000) // 1000)
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
    made.take(course, LESSONS, 1, Learned(), 0)
    made.take(course, LESSONS, 1, None, 0)
    assert course.next_ms[1] == 5000


def test_a_pause_is_bounded_however_often_it_was_in_vain() -> None:
    assert [pause_ms(tries) // 1000 for tries in (1, 2, 7, 1_000_000)] == [5, 10, 300, 300]


def test_accounts_of_one_user_share_a_course_and_others_do_not() -> None:
    made = courses()
    user = identity()
    course = made.of(user, 3)
    assert made.of(user, 3) is course
    assert made.of(identity(exchange="okx-eea"), 3) is not course
    assert made.of(identity("1002"), 3) is not course
    assert made.of(user, 4) is not course  # another exchange now goes by the table's name


def test_a_user_who_comes_back_begins_anew() -> None:
    """His identity is another object, and has no limits yet."""
    made = courses()
    course = made.of(identity(), 3)
    again = made.of(identity(), 3)
    assert again is not course
    assert len(made) == 1


def test_users_that_no_account_is_any_more_are_forgotten() -> None:
    made = courses()
    left = [identity(str(number)) for number in range(100)]
    for one in left:
        made.of(one, 3)
    assert len(made) == 100
    for one in left[:90]:
        one.holders = 0
    for number in range(100, 200):
        made.of(identity(str(number)), 3)
    assert len(made) == 110
    assert made.of(left[99], 3).identity is left[99]


def test_only_a_limit_that_changes_is_another_object() -> None:
    """The limiter looks anew at a budget whose pool is."""
    made = courses()
    user = identity()
    course = made.of(user, 3)
    user.draws[0][1] = user.draws[1][2] = "remembered"
    made.take(course, LESSONS, 0, limits((ORDER, "A", 4), (ORDER, "B", 4)), 0)
    assert user.draws == ({}, {})
    first = dict(user.pools)
    made.take(course, LESSONS, 0, limits((ORDER, "A", 4), (ORDER, "B", 3)), 0)
    assert user.pools["order", "A"] is first["order", "A"]
    assert user.pools["order", "B"] == replace(ORDER, count=3)


def test_a_limit_without_effect_forgets_no_draws() -> None:
    made = courses(Site(pools=(replace(CAP, count=700), ORDER)))  # the operator's
    user = identity()
    course = made.of(user, 3)
    user.draws[0][1] = "remembered"
    made.take(course, LESSONS, 1, limits((CAP, "", 5000)), 0)
    assert user.pools == {}
    assert user.draws == ({1: "remembered"}, {})


def test_limits_of_several_lessons_hold_together_and_the_stricter_counts() -> None:
    made = courses()
    user = identity()
    course = made.of(user, 3)
    made.take(course, LESSONS, 0, replace(FACTS, limits=limits((ORDER, "A", 4)).limits), 0)
    made.take(course, LESSONS, 1, limits((CAP, "", 2000)), 0)
    made.take(course, LESSONS, 2, limits((ORDER, "A", 9), (ORDER, "B", 9)), 0)
    counts = {key: pool.count for key, pool in user.pools.items()}
    assert counts == {("cap", ""): 2000, ("order", "A"): 4, ("order", "B"): 9}
    made.take(course, LESSONS, 1, None, 0)
    assert user.pools["cap", ""].count == 2000
    made.take(course, LESSONS, 0, Learned("1001"), 0)  # leads no more
    assert set(user.pools) == {("cap", "")}


def test_limits_are_those_of_the_exchange_tables_own_sites() -> None:
    lines: list[str] = []
    venue = Site(counted_at="futures.okx.com", pools=(replace(ORDER, name="futures order"),))
    other = Site("okx-eea", "eea.okx.com", (replace(CAP, name="eea cap"),))
    made = courses(Site(), venue, other, lines=lines)
    assert made.hosts("okx") == {"www.okx.com", "futures.okx.com"}
    user = identity()
    course = made.of(user, 3)
    told = (LearnedLimit("eea cap", "", 5, S), LearnedLimit("futures order", "A", 5, 2 * S))
    made.take(course, LESSONS, 0, Learned("1001", limits=told), 0)
    assert set(user.pools) == {("futures order", "A")}
    assert len(lines) == 1
    assert "eea cap" in lines[0]


# ---- limits that answers tell by the way ----------------------------------------------------


def test_the_latest_word_on_a_limit_holds_be_it_more_or_less() -> None:
    made = courses()
    user = identity()
    course = made.of(user, 3)
    for count in (4000, 200, 1500):
        made.tell(course, LearnedLimit("cap", "", count, 2 * S))
        assert user.pools["cap", ""] == replace(CAP, count=count)
    assert list(course.told) == ["cap"]


def test_an_answer_by_the_way_goes_before_a_lesson_whichever_came_first() -> None:
    """It is what the exchange counts with at the moment."""
    made = courses()
    user = identity()
    course = made.of(user, 3)
    made.tell(course, LearnedLimit("cap", "", 1500, 2 * S))
    made.take(course, LESSONS, 1, limits((CAP, "", 9000)), 0)
    assert user.pools["cap", ""].count == 1500


def test_the_operators_limit_stands_whatever_answers_tell() -> None:
    lines: list[str] = []
    mine = replace(CAP, count=700)
    made = courses(Site(pools=(mine, ORDER)), lines=lines)
    user = identity()
    course = made.of(user, 3)
    made.tell(course, LearnedLimit("cap", "", 9000, 2 * S))
    assert user.pools == {}
    assert lines == []
    made.serve([Site()])  # type: ignore[list-item]
    assert user.pools["cap", ""].count == 9000, "it was remembered for when he lets go of it"


def test_the_same_word_again_changes_and_forgets_nothing() -> None:
    made = courses()
    user = identity()
    course = made.of(user, 3)
    made.tell(course, LearnedLimit("cap", "", 1500, 2 * S))
    before = user.pools
    user.draws[0][1] = "remembered"
    made.tell(course, LearnedLimit("cap", "", 1500, 2 * S))
    assert user.pools is before
    assert user.draws[0] == {1: "remembered"}


def test_a_limit_that_is_none_is_told_and_changes_nothing() -> None:
    lines: list[str] = []
    made = courses(lines=lines)
    user = identity()
    course = made.of(user, 3)
    for count in (0, -5, 1 << 40):
        made.tell(course, LearnedLimit("cap", "", count, 2 * S))
        assert user.pools == {}
    assert len(lines) == 3


def test_venues_that_are_counted_together_are_one_host() -> None:
    made = courses(Site(), Site(), Site("okx-eea", "eea.okx.com"))
    assert made.hosts("okx") == {"www.okx.com"}
