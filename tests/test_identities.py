"""Who accounts are to their exchange: when it is asked, who waits for it, what follows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from proxy import identities as identities_module
from proxy.accounts.directory import Access, Account, Directory
from proxy.accounts.rows import AccountRow, CredentialRow
from proxy.accounts.standings import name_of_key
from proxy.accounts.vault import Sealed
from proxy.errors import BotGone, Refusal
from proxy.exchanges import registry, table
from proxy.identities import Identities
from proxy.metrics import Metrics
from proxy.model import Broker, Claim, LearnedLimit, Request, Response
from proxy.passage import Passage
from proxy.routes import Route, Site
from proxy.tasks import Drive
from tests.fakes import credentials
from tests.limits.virtual import (
    MS,
    START_WALL_MS,
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

if TYPE_CHECKING:
    from proxy.exchanges.spec import Lesson
    from proxy.limits.limiter import Limiter

HOST = "www.okx.com"
CONFIG, RATE, SWAP, SPOT = "account/config", "account-rate-limit", "=SWAP", "=SPOT"
HOUR = 3600 * S
POOL = user_pool(4, 2 * S)


def site(
    name: str = "okx", host: str = HOST, counted_at: str = "", **overrides: tuple[int, int]
) -> Site:
    exchange = registry.exchanges()["okx"]
    named = {key.replace("_", "-"): limit for key, limit in overrides.items()}
    return Site(
        name=name,
        venue="main",
        exchange=exchange,
        endpoints=table.resolve(exchange.endpoints, named, (10, 2 * S)),
        accounts={},
        broker=Broker(b"OURCODE"),
        egresses=(),
        authority=host,
        counted_at=counted_at or host,
        main=None,
        deadline_ns=8 * S,
        on_conflict="replace",
        unclassified_limit=(10, 2 * S),
        metrics=Metrics(),
    )


SITE = site()
ROUTE = Route(
    SITE,
    next(row for row in SITE.endpoints if row.label == "POST trade/order"),
    b"/okx",
    b"/api/v5/trade/order",
    unclassified=False,
)


def config(uid: str = "1001", **more: Any) -> bytes:
    row = {"uid": uid, "mainUid": uid, "perm": "read_only,trade", "ip": "203.0.113.7", **more}
    return orjson.dumps({"code": "0", "data": [row]})


def rate(limit: str) -> bytes:
    return orjson.dumps({"code": "0", "data": [{"accRateLimit": limit}]})


def instruments(*led: str) -> bytes:
    return orjson.dumps({"code": "0", "data": [{"instId": one, "enabled": True} for one in led]})


@dataclass
class Asked:
    account: str
    lesson: str
    demo: bool
    at_ns: int


class House:
    """Accounts, and an exchange that answers by script: a body, an error, or nothing for long."""

    def __init__(self) -> None:
        self.limiter: Limiter = new_limiter()
        self.accounts = Directory()
        self.lines: list[str] = []
        self.asked: list[Asked] = []
        self.delay_ns = 100 * MS
        self.answers: dict[str, Any] = {
            CONFIG: config(),
            RATE: rate("1000"),
            SWAP: instruments(),
            SPOT: instruments(),
        }
        self.identities = Identities(
            self._ask, self.accounts, self.limiter, LoopClock(), self.lines.append
        )
        self.identities.serve([SITE])

    async def _ask(self, passage: Passage, lesson: Lesson) -> Response:
        name = next(
            key for key in self.answers if (lesson.path + lesson.suffix).decode().endswith(key)
        )
        assert passage.access is not None
        assert passage.claim is not None
        self.asked.append(Asked(passage.access.account.id, name, passage.claim.demo, now_ns()))
        await until(now_ns() + self.delay_ns)
        answer = self.answers[name]
        if isinstance(answer, dict):
            answer = answer[passage.access.account.id]
        if isinstance(answer, BaseException):
            raise answer
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return Response(status, [], body, keep_alive=True)

    def account(self, name: str, *, uid: str = "", learned_ms: int = 0, key: str = "") -> Access:
        """One account; another real key for the same name puts a new standing in force."""
        key = key or f"key-of-{name}"
        real = CredentialRow(key, "real", "", "", (), 0, None, key.encode(), Sealed("m", b""))
        row = AccountRow(name, name, "okx", "main", "sign", 0, uid=uid, credentials=(real,))
        ready = credentials(key.encode(), b"secret", b"passphrase")
        standing = self.accounts.standings.fitting(row, real, ready)
        self.accounts.standings.enter(standing, 0)
        standing.learned_ms = standing.learned_ms or learned_ms
        return Access(Account(row, ready, (), standing), ready, ())

    def passage(
        self, access: Access, *, demo: bool = False, expires_ms: int = 0, on: Route = ROUTE
    ) -> Passage:
        clock = LoopClock()
        request = Request(b"POST", b"/okx/x", {}, ip_address("127.0.0.1"), clock.monotonic_ns())
        passage = Passage(request, on, clock.wall_ms())
        passage.access = access
        passage.claim = Claim(access.api_key, b"", -1, b"", b"", demo, expires_ms, 0, 1 << 62)
        return passage

    async def come(self, access: Access, **how: Any) -> str:
        """One private request, as the pipeline treats it: whose it is when it goes on."""
        passage = self.passage(access, **how)
        standing = access.account.standing
        if passage.wall_ms >= standing.ask_ms:
            done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            Drive(
                self.identities.learn(passage),
                lambda _, error: done.set_exception(error) if error else done.set_result(None),
            ).start()
            await done
        return standing.identity.text

    def times(self, lesson: str) -> int:
        return sum(asked.lesson == lesson for asked in self.asked)


async def ended() -> None:
    """Let what runs in the background end."""
    await until(now_ns() + 2 * S)


def key_of(access: Access) -> str:
    return name_of_key(access.account.id, access.account.credentials)


# ---- accounts that nothing is known of ---------------------------------------------------------


@virtual
async def test_the_user_is_learned_before_the_first_private_request_goes_on() -> None:
    house = House()
    access = house.account("a")
    standing = access.account.standing
    assert standing.identity.text == key_of(access)
    start_ns = now_ns()
    assert await house.come(access) == "1001"
    assert now_ns() - start_ns <= 110 * MS
    assert (standing.uid, standing.main_uid) == ("1001", "1001")
    assert standing.permissions == ("read_only", "trade")
    assert standing.addresses == ("203.0.113.7",)
    assert standing.learned_ms == LoopClock().wall_ms()
    assert standing.unsaved
    await ended()
    assert [await house.come(access) for _ in range(5)] == ["1001"] * 5
    assert house.times(CONFIG) == 1
    assert house.lines == []


@pytest.mark.parametrize("demo", [False, True])
def test_it_is_asked_once_with_the_flag_of_the_request_and_others_wait(demo: bool) -> None:
    @virtual
    async def scenario() -> None:
        house = House()
        access, other = house.account("a"), house.account("b")
        house.answers[CONFIG] = {"a": config("1001"), "b": config("1002")}
        whose = await asyncio.gather(
            *[house.come(access, demo=demo) for _ in range(20)], house.come(other, demo=demo)
        )
        assert whose == ["1001"] * 20 + ["1002"]
        asked = [one for one in house.asked if one.lesson == CONFIG]
        assert [one.account for one in asked] == ["a", "b"]
        assert {one.demo for one in asked} == {demo}

    scenario()


@virtual
async def test_budgets_of_two_keys_of_one_user_are_one_from_then_on() -> None:
    house = House()
    first, second = house.account("a"), house.account("b")
    house.answers[CONFIG] = (503, b"<html>")
    for access in (first, second):
        name = await house.come(access)
        assert name == key_of(access)
        spend(house.limiter, house.limiter.bucket(POOL, (HOST, name, False), "BTC"))
        spend(house.limiter, house.limiter.bucket(POOL, (HOST, name, True), "BTC"), 2)
    house.answers[CONFIG] = config()
    house.delay_ns = 0
    start_ns = now_ns()
    for demo in (False, True):  # demo was not tried yet, so it may be at once
        bucket = house.limiter.bucket(POOL, (HOST, "1001", demo), "BTC")
        assert bucket.free(now_ns()) == 4
    for access in (first, second):
        assert await house.come(access, demo=True) == "1001"
    assert first.account.standing.identity is second.account.standing.identity
    assert now_ns() - start_ns < 10 * MS
    for demo in (False, True):
        subject = (HOST, "1001", demo)
        assert house.limiter.bucket(POOL, subject, "BTC").free(now_ns()) == 2 - 2 * demo


@virtual
async def test_a_bot_that_hangs_up_does_not_stop_the_asking() -> None:
    house = House()
    access = house.account("a")
    gone: list[BaseException | None] = []
    passage = house.passage(access)
    drive = Drive(house.identities.learn(passage), lambda _, error: gone.append(error))
    drive.start()
    other = asyncio.create_task(house.come(access))
    await breathe()
    drive.drop()
    assert [type(error) for error in gone] == [BotGone]
    assert await other == "1001"
    assert house.times(CONFIG) == 1


@pytest.mark.parametrize(
    ("deadline_ns", "expires_in_ms", "waits_ns"),
    [(8 * S, 0, S), (S, 0, S // 2), (8 * S, 600, 300 * MS), (8 * S, 5000, S), (8 * S, 1, 0)],
)
def test_a_request_waits_a_second_at_the_most_and_half_of_what_it_has_left(
    deadline_ns: int, expires_in_ms: int, waits_ns: int
) -> None:
    @virtual
    async def scenario() -> None:
        house = House()
        house.delay_ns = 5 * S
        access = house.account("a")
        on = Route(SITE, ROUTE.endpoint, b"/okx", ROUTE.path, unclassified=False)
        hurried = site()
        hurried.deadline_ns = deadline_ns
        on.site = hurried
        start_ns = now_ns()
        expires_ms = LoopClock().wall_ms() + expires_in_ms if expires_in_ms else 0
        passage = house.passage(access, expires_ms=expires_ms, on=on)
        await house.identities.learn(passage)
        assert waits_ns <= now_ns() - start_ns <= waits_ns + 2 * MS
        assert passage.exchange_ns == now_ns() - start_ns
        assert access.account.standing.identity.text == key_of(access)
        await until(start_ns + 5 * S + MS)
        assert access.account.standing.identity.text == "1001"  # late, and still learned

    scenario()


@virtual
async def test_while_an_exchange_does_not_answer_only_the_first_second_is_waited_for() -> None:
    house = House()
    house.delay_ns = 8 * S
    access = house.account("a")
    start_ns = now_ns()
    first = asyncio.create_task(house.come(access))
    await until(start_ns + 700 * MS)
    second = asyncio.create_task(house.come(access))
    await until(start_ns + 1010 * MS)
    assert first.done()
    assert second.done()
    for _ in range(3):
        begin_ns = now_ns()
        assert await house.come(access) == key_of(access)
        assert now_ns() - begin_ns < MS
    assert house.times(CONFIG) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Refusal("upstream_unreachable"),
        Refusal("rate_limited"),
        (401, b'{"msg":"Invalid OK-ACCESS-KEY","code":"50111"}'),
        (200, b'{"msg":"","code":"50119"}'),
        (503, b"<html>"),
        (200, b'{"code":"0","data":[{"uid":""}]}'),
    ],
)
def test_without_an_answer_the_key_is_its_own_identity_and_is_tried_again(answer: Any) -> None:
    """At a request, after five seconds, ten, and so on up to five minutes."""

    @virtual
    async def scenario() -> None:
        house = House()
        house.answers[CONFIG] = answer
        house.delay_ns = 0
        access = house.account("a")
        start_ns = now_ns()
        while now_ns() < start_ns + 2000 * S:
            assert await house.come(access) == key_of(access)
            await until(now_ns() + 500 * MS)
        gaps = [
            (later.at_ns - one.at_ns) / S
            for one, later in zip(house.asked, house.asked[1:], strict=False)
        ]
        for gap, expected in zip(gaps, [5, 10, 20, 40, 80, 160, 300, 300, 300], strict=False):
            assert expected <= gap <= expected + 1
        assert len(gaps) >= 9
        assert len(house.lines) == 1  # not for each account, nor each time
        assert [pupil.waiting for pupil in house.identities._pupils.values()] == [set()]
        assert "account/config" in house.lines[0]
        house.answers[CONFIG] = config()
        await until(now_ns() + 300 * S)
        assert await house.come(access) == "1001"

    scenario()


@virtual
async def test_nobody_asks_for_an_account_that_is_not_in_use() -> None:
    house = House()
    house.answers[CONFIG] = (503, b"")
    access = house.account("a")
    await house.come(access)
    await until(now_ns() + 24 * HOUR)
    assert len(house.asked) == 1


@virtual
async def test_a_wrong_market_does_not_hold_up_the_right_one() -> None:
    """A live key asked about as a demo one is refused; that says nothing of it as a live one."""
    house = House()
    house.delay_ns = 0
    house.answers[CONFIG] = (401, b'{"msg":"","code":"50101"}')
    access = house.account("a")
    for _ in range(3):
        assert await house.come(access, demo=True) == key_of(access)
    house.answers[CONFIG] = config()
    assert await house.come(access, demo=True) == key_of(access)
    assert await house.come(access) == "1001"
    assert [one.demo for one in house.asked][:2] == [True, False]


@virtual
async def test_a_fault_of_our_own_is_told_and_lets_nobody_wait() -> None:
    house = House()
    house.answers[CONFIG] = RuntimeError("a secret")
    access = house.account("a")
    start_ns = now_ns()
    assert await house.come(access) == key_of(access)
    assert now_ns() < start_ns + S
    assert house.lines == ["identities.introduce failed: RuntimeError"]
    assert await house.come(access) == key_of(access)
    assert len(house.asked) == 1
    house.answers[CONFIG] = config()
    await until(now_ns() + 6 * S)
    assert await house.come(access) == "1001"


@virtual
async def test_an_answer_for_a_key_that_was_replaced_meanwhile_is_nobodys() -> None:
    house = House()
    old = house.account("a")
    waits = asyncio.create_task(house.come(old))
    await breathe()
    new = house.account("a", key="another")
    await waits
    await ended()
    assert house.times(RATE) == 0
    assert old.account.standing.uid == new.account.standing.uid == ""
    assert new.account.standing.identity.text == key_of(new)
    house.answers[CONFIG] = config("1002")
    assert await house.come(new) == "1002"


@virtual
async def test_only_so_many_are_asked_about_at_once_and_the_others_get_their_turn() -> None:
    house = House()
    count = identities_module.AT_ONCE * 3 + 1
    house.answers[CONFIG] = {str(number): config(f"{number}") for number in range(count)}
    asked_at_once = 0
    accesses = [house.account(str(number)) for number in range(count)]
    start_ns = now_ns()
    tasks = [asyncio.create_task(house.come(access)) for access in accesses]
    await until(start_ns + 50 * MS)
    asked_at_once = len(house.asked)
    whose = await asyncio.gather(*tasks)
    assert asked_at_once == identities_module.AT_ONCE
    assert whose == [str(number) for number in range(count)]
    configs = [one.at_ns for one in house.asked if one.lesson == CONFIG]
    assert max(configs) - start_ns <= 310 * MS


@virtual
async def test_one_exchange_that_hangs_holds_up_no_other() -> None:
    house = House()
    house.delay_ns = 8 * S
    hanging = [house.account(str(number)) for number in range(60)]
    tasks = [asyncio.create_task(house.come(access)) for access in hanging]
    await breathe()
    house.delay_ns = 0
    elsewhere = Route(
        site("okx-eea", "eea.okx.com"), ROUTE.endpoint, b"/okx-eea", ROUTE.path, unclassified=False
    )
    start_ns = now_ns()
    assert await house.come(house.account("x"), on=elsewhere) == "1001"
    assert now_ns() - start_ns < MS
    await asyncio.gather(*tasks)


@pytest.mark.interpreted
def test_too_many_in_line_go_on_under_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities_module, "IN_LINE_MAX", 2)
    monkeypatch.setattr(identities_module, "PUPILS_MAX", 2)

    @virtual
    async def scenario() -> None:
        house = House()
        accesses = [house.account(str(number)) for number in range(4)]
        start_ns = now_ns()
        whose = await asyncio.gather(*map(house.come, accesses))
        assert whose == ["1001", "1001", *map(key_of, accesses[2:])]
        assert await asyncio.gather(*map(house.come, accesses)) == ["1001"] * 4
        assert now_ns() - start_ns < 300 * MS
        house.answers[CONFIG] = (503, b"")
        for number in range(4, 10):
            await house.come(house.account(str(number)))
        assert len(house.identities._pupils) == 2

    scenario()


# ---- accounts that are known -------------------------------------------------------------------


@virtual
async def test_a_known_account_goes_on_at_once_and_is_asked_about_in_the_background() -> None:
    house = House()
    house.answers[RATE] = rate("3000")
    access = house.account("a", uid="1001", learned_ms=START_WALL_MS)
    start_ns = now_ns()
    assert await house.come(access) == "1001"
    assert now_ns() == start_ns
    assert access.account.standing.ask_ms > LoopClock().wall_ms()
    await ended()
    assert [one.lesson for one in house.asked] == [CONFIG, RATE]
    pools = access.account.standing.identity.pools
    assert pools["subaccount-orders", ""].count == 3000


@virtual
async def test_what_an_earlier_process_stored_under_the_key_counts_for_the_user() -> None:
    house = House()
    access = house.account("a", uid="1001", learned_ms=START_WALL_MS)
    earlier = new_limiter()
    for name in (key_of(access), "1001"):
        spend(earlier, earlier.bucket(POOL, (HOST, name, False), "BTC"))
    rows = earlier.snapshot(LoopClock().wall_ms())
    house.limiter.restore(rows, LoopClock().wall_ms())
    await house.come(access)
    assert house.limiter.bucket(POOL, (HOST, "1001", False), "BTC").free(now_ns()) == 2


@virtual
async def test_lessons_are_asked_again_each_hour_while_the_account_is_in_use() -> None:
    house = House()
    access = house.account("a")
    start_ns = now_ns()
    while now_ns() < start_ns + 5 * HOUR:
        await house.come(access)
        await until(now_ns() + 60 * S)
    assert 5 <= house.times(CONFIG) <= 6
    assert 5 <= house.times(RATE) <= 6
    assert house.times(SWAP) == house.times(SPOT) == 0
    await until(now_ns() + 24 * HOUR)
    before = len(house.asked)
    await asyncio.gather(*[house.come(access) for _ in range(10)])
    await ended()
    assert len(house.asked) == before + 2


@virtual
async def test_accounts_of_one_user_ask_once_for_what_is_the_users() -> None:
    house = House()
    accesses = [house.account(str(number)) for number in range(5)]
    for _ in range(3):
        await asyncio.gather(*map(house.come, accesses))
        await ended()
    assert house.times(CONFIG) == 5  # which addresses and permissions is each key's own
    assert house.times(RATE) == 1
    late = house.account("late", uid="1001", learned_ms=LoopClock().wall_ms())
    assert await house.come(late) == "1001"
    await ended()
    assert len(house.asked) == 6  # nothing is due
    assert not house.identities._pupils  # only those that were asked about in vain stay


@virtual
async def test_a_lead_traders_limits_hold_for_the_very_request_that_was_waited_with() -> None:
    house = House()
    house.answers[CONFIG] = config(roleType="1", traderInsts=["BTC-USDT-SWAP"])
    house.answers[SWAP] = instruments("BTC-USDT-SWAP", "ETH-USDT-SWAP")
    access = house.account("a")
    await house.come(access)
    pools = access.account.standing.identity.pools
    assert pools["POST /api/v5/trade/order", "BTC-USDT-SWAP"].count == 4
    assert pools["POST /api/v5/trade/order-algo", "BTC-USDT-SWAP"].count == 1
    await ended()
    pools = access.account.standing.identity.pools
    assert pools["POST /api/v5/trade/order", "ETH-USDT-SWAP"].count == 4
    assert house.times(SPOT) == 0
    house.answers[CONFIG] = config(roleType="0")  # not a lead trader any more
    await until(now_ns() + HOUR)
    await house.come(access)
    await ended()
    assert set(access.account.standing.identity.pools) == {("subaccount-orders", "")}


@virtual
async def test_remembered_draws_are_forgotten_when_a_limit_changes_and_only_then() -> None:
    house = House()
    access = house.account("a")
    await house.come(access)
    await ended()
    identity = access.account.standing.identity
    pool = identity.pools["subaccount-orders", ""]
    for limit, kept in (("1000", True), ("800", False)):
        for draws in identity.draws:
            draws[1] = "draws"
        house.answers[RATE] = rate(limit)
        await until(now_ns() + HOUR)
        await house.come(access)
        await ended()
        assert (identity.pools["subaccount-orders", ""] is pool) is kept
        assert identity.draws == (({1: "draws"},) * 2 if kept else ({}, {}))
    assert identity.pools["subaccount-orders", ""].count == 800


@virtual
async def test_a_lesson_that_tells_nothing_leaves_what_was_told_before() -> None:
    house = House()
    house.answers[RATE] = rate("5000")
    access = house.account("a")
    await house.come(access)
    await ended()
    house.answers[RATE] = (500, b"")
    house.answers[CONFIG] = Refusal("upstream_unreachable")
    start_ns = now_ns()
    while now_ns() < start_ns + 6 * HOUR:
        assert await house.come(access) == "1001"
        await until(now_ns() + 10 * S)
    identity = access.account.standing.identity
    assert identity.pools["subaccount-orders", ""].count == 5000
    assert house.times(CONFIG) < 2 + 5 * 12 + 8  # every five minutes at the most
    assert house.times(RATE) < 20  # each time after twice as long, up to an hour
    assert len(house.lines) == 2


@virtual
async def test_a_limit_that_cannot_be_one_is_left_out_and_told_once() -> None:
    house = House()
    house.answers[RATE] = rate("0")
    accesses = [house.account(str(number)) for number in range(3)]
    house.answers[CONFIG] = {str(number): config(str(number)) for number in range(3)}
    await asyncio.gather(*map(house.come, accesses))
    await ended()
    assert all(access.account.standing.identity.pools == {} for access in accesses)
    assert len(house.lines) == 1
    assert "subaccount-orders: 0 in" in house.lines[0]


@virtual
async def test_a_reload_holds_what_was_learned_against_the_operators_new_limits() -> None:
    house = House()
    house.answers[RATE] = rate("5000")
    house.answers[CONFIG] = config(roleType="1", traderInsts=["BTC-USDT-SWAP"])
    access = house.account("a")
    await house.come(access)
    await ended()
    identity = access.account.standing.identity
    assert identity.pools["subaccount-orders", ""].count == 5000
    house.identities.serve([site(subaccount_orders=(700, 2 * S))])
    assert ("subaccount-orders", "") not in identity.pools
    assert identity.pools["POST /api/v5/trade/order", "BTC-USDT-SWAP"].count == 4
    house.identities.serve([SITE])
    assert identity.pools["subaccount-orders", ""].count == 5000


@virtual
async def test_a_user_is_united_on_every_host_of_his_exchange() -> None:
    house = House()
    house.identities.serve([SITE, site(host="futures.okx.com"), site("okx-eea", "eea.okx.com")])
    access = house.account("a")
    hosts = (HOST, "futures.okx.com", "eea.okx.com")
    for host in hosts:
        spend(house.limiter, house.limiter.bucket(POOL, (host, key_of(access), False), ""))
    await house.come(access)
    free = [house.limiter.bucket(POOL, (host, "1001", False), "").free(now_ns()) for host in hosts]
    assert free == [3, 3, 4]


@virtual
async def test_a_key_that_is_said_to_be_another_users_takes_no_history_along() -> None:
    house = House()
    access = house.account("a", uid="7", learned_ms=START_WALL_MS)
    spend(house.limiter, house.limiter.bucket(POOL, (HOST, "7", False), ""))
    await house.come(access)
    await ended()
    assert access.account.standing.identity.text == "1001"
    assert house.limiter.bucket(POOL, (HOST, "1001", False), "").free(now_ns()) == 4
    assert len(house.lines) == 1
    assert house.lines[0].startswith("okx a main: ")


@virtual
async def test_of_known_accounts_too_only_so_many_are_asked_about_at_once() -> None:
    house = House()
    count = identities_module.AT_ONCE + 10
    house.answers[CONFIG] = {str(n): config(str(n)) for n in range(count)}
    accesses = [house.account(str(n), uid=str(n), learned_ms=START_WALL_MS) for n in range(count)]
    for access in accesses:
        await house.come(access)
    await until(now_ns() + 50 * MS)
    assert len(house.asked) == identities_module.AT_ONCE
    await ended()
    for access in accesses:
        await house.come(access)
    await ended()
    assert house.times(CONFIG) == house.times(RATE) == count


@virtual
async def test_a_fault_while_a_known_account_is_asked_about_ends_in_another_try() -> None:
    house = House()
    access = house.account("a", uid="1001", learned_ms=START_WALL_MS)
    house.answers[RATE] = KeyError("x")
    await house.come(access)
    await ended()
    assert house.lines == ["identities.refresh failed: KeyError"]
    house.answers[RATE] = rate("2000")
    await house.come(access)
    assert house.times(RATE) == 1
    await until(now_ns() + 61 * S)
    await house.come(access)
    await ended()
    assert house.times(RATE) == 2
    assert access.account.standing.identity.pools["subaccount-orders", ""].count == 2000


# ---- limits that answers tell by the way ----------------------------------------------------

TOLD = LearnedLimit("subaccount-orders", "", 777, 2 * S)


@virtual
async def test_a_limit_told_by_the_way_holds_for_every_account_of_the_user() -> None:
    house = House()
    first, second = house.account("a"), house.account("b")
    assert [await house.come(access) for access in (first, second)] == ["1001", "1001"]
    await ended()
    house.identities.told(house.passage(first), TOLD)
    identity = second.account.standing.identity
    assert identity.pools["subaccount-orders", ""].count == 777
    other = house.account("c", uid="1002")
    assert other.account.standing.identity.pools == {}


@virtual
async def test_a_limit_told_before_the_user_is_known_holds_for_the_key() -> None:
    house = House()
    access = house.account("a")
    house.identities.told(house.passage(access), TOLD)
    assert access.account.standing.identity.pools["subaccount-orders", ""].count == 777


@virtual
async def test_what_nobodys_request_is_told_teaches_nobody() -> None:
    house = House()
    passage = house.passage(house.account("a"))
    passage.access = None
    house.identities.told(passage, TOLD)
    assert house.lines == []


@virtual
async def test_budgets_of_a_user_met_on_a_venue_are_united_where_all_venues_count() -> None:
    house = House()
    venue = Route(
        site(host="futures.okx.com", counted_at=HOST),
        ROUTE.endpoint,
        b"/okx/futures",
        b"/x",
        unclassified=False,
    )
    access = house.account("a")
    old, new = (HOST, key_of(access), False), (HOST, "1001", False)
    spend(house.limiter, house.limiter.bucket(POOL, old, ""), 3)
    await house.come(access, on=venue)
    assert house.limiter.bucket(POOL, new, "").free(now_ns()) == 1
