"""Learns who an account is to its exchange, and which limits are its own.

An exchange counts by user, whatever key he comes with. So before an account's first private
request its exchange is asked whose key this is, and budgets that turn out to be one user's are
united; without an answer the key is an identity of its own until there is one. What else the
exchange tells is asked in the background, now and then, while the account is in use: there are no
timers, a request that finds something due starts it.

`learn` is awaited by coroutines that are driven by hand (`tasks.Drive`): it waits on plain futures
only. Whatever asks the exchange is a task of its own, which no bot that hangs up can end.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from proxy.accounts.standings import name_of_key
from proxy.courses import CLAIMED_MS, Courses, every_ms, pause_ms
from proxy.errors import Refusal
from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from proxy.accounts.directory import Directory
    from proxy.accounts.standing import Standing
    from proxy.clock import Clock
    from proxy.exchanges.spec import Lesson
    from proxy.limits.limiter import Limiter
    from proxy.model import Learned, LearnedLimit, Response
    from proxy.passage import Passage
    from proxy.routes import Site

    Ask: TypeAlias = Callable[[Passage, Lesson], Coroutine[Any, Any, Response]]

WAIT_NS: Final = 1_000_000_000  # longest that a request waits for its user to be known
AT_ONCE: Final = 50  # questions to one exchange about unknown accounts, and about known ones
IN_LINE_MAX: Final = 1_000  # unknown accounts that are asked about, or wait for it
PUPILS_MAX: Final = 10_000
SAID_MAX: Final = 1_000
_BUSY_MS: Final = 1_000  # until a question is tried again that there was no place for
_MS: Final = 1_000_000


@final
class _Pupil:
    """An account whose exchange is being asked who it is, or was in vain."""

    __slots__ = ("again_ms", "asking", "since_ns", "standing", "tries", "waiting")

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.asking = False
        self.since_ns = 0  # when that began
        self.waiting: set[asyncio.Future[None]] = set()
        # live and demo apart: a key is of one market, and a bot may have named the other
        self.tries = [0, 0]
        self.again_ms = [0, 0]


@final
class _Crew:
    """How many questions one exchange is asked."""

    __slots__ = ("background", "gate", "in_line")

    def __init__(self) -> None:
        self.gate = asyncio.Semaphore(AT_ONCE)
        self.in_line = 0
        self.background = 0


@final
class Identities:
    """Whose every account is, as far as it is known.

    `ask` puts a lesson to the exchange, for the account and the market of a passage, and raises
    `Refusal`. `report` gets a line, once, for each thing that nobody expected.
    """

    def __init__(
        self,
        ask: Ask,
        accounts: Directory,
        limiter: Limiter,
        clock: Clock,
        report: Callable[[str], None],
    ) -> None:
        self._ask = ask
        self._standings = accounts.standings
        self._limiter = limiter
        self._clock = clock
        self._report = report
        self._courses = Courses(self._say)
        self._pupils: OrderedDict[str, _Pupil] = OrderedDict()
        self._crews: defaultdict[str, _Crew] = defaultdict(_Crew)  # by exchange table
        self._said: set[str] = set()

    def serve(self, sites: Iterable[Site]) -> None:
        """These are the sites from now on; limits learned before are held against theirs."""
        self._courses.serve(sites)

    async def learn(self, passage: Passage) -> None:
        """Find out whose the account of a request is, or, where that is known, what else is due.

        To be awaited before the request is charged, when its time has come to the standing's
        `ask_ms`. Returns at once for an account that is known; else after a second at the latest,
        or half of the time that the request has left, and it goes on under what is known then.
        """
        access = passage.access
        assert access is not None
        account = access.account
        standing = account.standing
        pupil = self._pupil(standing)
        if standing.uid:
            if not standing.ask_ms:  # the first time in this process
                key = name_of_key(account.id, account.credentials)
                self._unite(passage, key, standing.identity.text)
            self._refresh(passage, pupil)
        elif pupil.asking or self._introduce(passage, pupil):
            await self._wait(passage, pupil)

    def told(self, passage: Passage, limit: LearnedLimit) -> None:
        """An answer said by the way that the account of a request has this limit."""
        access = passage.access
        if access is not None:
            lessons = passage.route.site.exchange.lessons
            course = self._courses.of(access.account.standing.identity, len(lessons))
            self._courses.tell(course, limit)

    def _pupil(self, standing: Standing) -> _Pupil:
        pupil = self._pupils.get(standing.account_id)
        if pupil is None or pupil.standing is not standing:
            if len(self._pupils) >= PUPILS_MAX:
                self._pupils.popitem(last=False)
            pupil = self._pupils[standing.account_id] = _Pupil(standing)
        return pupil

    # ---- accounts that nothing is known of -----------------------------------------------------

    def _introduce(self, passage: Passage, pupil: _Pupil) -> bool:
        """Begin to ask whose key it is, unless that was in vain lately; whether it was begun."""
        crew = self._crews[passage.route.site.name]
        if pupil.again_ms[_market(passage)] > passage.wall_ms or crew.in_line >= IN_LINE_MAX:
            return False
        crew.in_line += 1
        pupil.asking = True
        pupil.since_ns = self._clock.monotonic_ns()
        spawn("identities.introduce", self._introduced(passage, pupil, crew), self._died)
        return True

    async def _introduced(self, passage: Passage, pupil: _Pupil, crew: _Crew) -> None:
        known = False
        try:
            async with crew.gate:
                known = await self._ask_first(passage, pupil)
        finally:
            crew.in_line -= 1
            pupil.asking = False
            for told in pupil.waiting:
                _let_go(told)
        if known:
            self._refresh(passage, pupil)

    async def _wait(self, passage: Passage, pupil: _Pupil) -> None:
        """Wait until the answer is there, but for no longer than the request can."""
        clock, claim = self._clock, passage.claim
        now_ns = clock.monotonic_ns()
        deadline_ns = passage.request.started_ns + passage.route.site.deadline_ns
        wait_ns = min(pupil.since_ns + WAIT_NS - now_ns, (deadline_ns - now_ns) // 2)
        if claim is not None and claim.expires_ms:
            wait_ns = min(wait_ns, (claim.expires_ms - clock.wall_ms()) * _MS // 2)
        if wait_ns <= 0:
            return
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(wait_ns / 1e9, _let_go, told)
        pupil.waiting.add(told)
        try:
            await told
        finally:
            timer.cancel()
            pupil.waiting.discard(told)
            passage.exchange_ns += clock.monotonic_ns() - now_ns  # it is the exchange's time

    # ---- accounts that are known ---------------------------------------------------------------

    def _refresh(self, passage: Passage, pupil: _Pupil) -> None:
        """Begin to ask what is due of a known account, in the background."""
        standing = pupil.standing
        crew = self._crews[passage.route.site.name]
        now_ms = self._clock.wall_ms()
        standing.ask_ms = self._next_ms(passage, pupil)
        if standing.ask_ms > now_ms or pupil.asking:
            self._dismiss(pupil)
            return
        if crew.background >= AT_ONCE:
            standing.ask_ms = now_ms + _BUSY_MS
            return
        standing.ask_ms = now_ms + CLAIMED_MS
        crew.background += 1
        pupil.asking = True
        spawn("identities.refresh", self._refreshed(passage, pupil, crew), self._died)

    async def _refreshed(self, passage: Passage, pupil: _Pupil, crew: _Crew) -> None:
        lessons, courses = passage.route.site.exchange.lessons, self._courses
        try:
            if self._first_ms(passage, pupil) <= self._clock.wall_ms():
                await self._ask_first(passage, pupil)
            course = courses.of(pupil.standing.identity, len(lessons))
            for number in courses.claim(course, lessons, self._clock.wall_ms()):
                learned = await self._asked(passage, lessons[number])
                courses.take(course, lessons, number, learned, self._clock.wall_ms())
        finally:
            crew.background -= 1
            pupil.asking = False
            self._dismiss(pupil)
        pupil.standing.ask_ms = self._next_ms(passage, pupil)

    def _first_ms(self, passage: Passage, pupil: _Pupil) -> int:
        """When the first lesson is due: each account's own, whoever its user is."""
        standing, lessons = pupil.standing, passage.route.site.exchange.lessons
        market = _market(passage)
        if pupil.tries[market]:
            return pupil.again_ms[market]
        if self._courses.of(standing.identity, len(lessons)).facts is None:
            return 0  # an earlier process learned it
        return standing.learned_ms + every_ms(lessons[0])

    def _next_ms(self, passage: Passage, pupil: _Pupil) -> int:
        lessons = passage.route.site.exchange.lessons
        course = self._courses.of(pupil.standing.identity, len(lessons))
        return min(self._first_ms(passage, pupil), self._courses.next_ms(course, lessons))

    # ---- asking --------------------------------------------------------------------------------

    async def _ask_first(self, passage: Passage, pupil: _Pupil) -> bool:
        """Ask whose the account's key is and take it in; whether that is known now."""
        access = passage.access
        assert access is not None
        standing, lessons = pupil.standing, passage.route.site.exchange.lessons
        market = _market(passage)
        pupil.tries[market] += 1  # until it has gone well
        try:
            facts = await self._asked(passage, lessons[0])
        finally:
            now_ms = self._clock.wall_ms()
            pupil.again_ms[market] = now_ms + pause_ms(pupil.tries[market])
        if facts is None:
            return False
        uid = standing.uid
        before, now = self._standings.learned(
            standing, facts.uid, facts.main_uid, facts.addresses, facts.permissions, now_ms
        )
        if now.text != facts.uid:  # the account went meanwhile, or has another key
            return False
        pupil.tries[market] = pupil.again_ms[market] = 0
        if now is not before:
            if uid:
                account = access.account
                self._say(
                    f"{account.exchange} {account.user} {account.label}: the exchange says that"
                    " the key is another user's than before"
                )
            else:
                self._unite(passage, before.text, now.text)
        self._courses.take(self._courses.of(now, len(lessons)), lessons, 0, facts, now_ms)
        return True

    async def _asked(self, passage: Passage, lesson: Lesson) -> Learned | None:
        """Put a lesson to the exchange; None when it tells nothing."""
        try:
            response = await self._ask(passage, lesson)
        except Refusal as refusal:
            why: str = refusal.slug
        else:
            learned = lesson.read(response)
            if learned is not None:
                return learned
            why = f"HTTP {response.status}"
        path = (lesson.path + lesson.suffix).decode()
        self._say(f"{passage.route.site.name} does not tell of an account at {path}: {why}")
        return None

    def _unite(self, passage: Passage, old: str, new: str) -> None:
        """Let what the exchange counts for one user be one budget, on each host and market."""
        site = passage.route.site
        for host in {site.counted_at, *self._courses.hosts(site.name)}:
            for demo in (False, True):
                self._limiter.unite((host, old, demo), (host, new, demo))

    def _dismiss(self, pupil: _Pupil) -> None:
        """Forget that an account was asked about, unless it still is, or was in vain."""
        account_id = pupil.standing.account_id
        idle = not pupil.asking and not any(pupil.tries)
        if idle and self._pupils.get(account_id) is pupil:
            del self._pupils[account_id]

    def _say(self, line: str) -> None:
        if line not in self._said and len(self._said) < SAID_MAX:
            self._said.add(line)
            self._report(line)

    def _died(self, name: str, error: BaseException) -> None:
        self._say(f"{name} failed: {type(error).__name__}")


def _market(passage: Passage) -> int:
    """0 live, 1 demo."""
    claim = passage.claim
    return int(claim is not None and claim.demo)


def _let_go(told: asyncio.Future[None]) -> None:
    if not told.done():
        told.set_result(None)
