"""What KuCoin tells of its budgets, answer by answer, and what the proxy makes of it.

That the budgets are kept and used in a flood is `test_kucoin_floods.py`'s.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.e2e.bot import Answered
from tests.e2e.house import milliseconds
from tests.e2e.kucoin_bot import KucoinBot
from tests.e2e.kucoin_house import ACCOUNTS_PATH, KucoinHouse, kucoin_house_in, placed, pretty

pytestmark = pytest.mark.e2e

ACTIVE: Final = "/api/v1/hf/orders/active?symbol=BTC-USDT"  # 2 units of spot's
ACTIVE_UNITS: Final = 2
RATE_HEADERS: Final = ("gw-ratelimit-limit", "gw-ratelimit-remaining", "gw-ratelimit-reset")
SPOT_BY_VIP: Final = {0: 4_000, 1: 6_000, 5: 16_000, 12: 40_000}
MAX_WAIT_MS: Final = 600


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KucoinHouse]:
    sections = {"limits": {"max_wait": f"{MAX_WAIT_MS}ms"}}
    with kucoin_house_in(tmp_path_factory.mktemp("budgets"), sections) as house:
        yield house


@pytest.fixture
def house(running: KucoinHouse) -> KucoinHouse:
    running.forget()
    return running


@pytest.fixture
def bot(house: KucoinHouse) -> KucoinBot:
    """A new user's, whom the proxy has asked about; no budget of his is used up."""
    bot = house.newcomer()
    house.ask(bot)
    return bot


def futures(bot: KucoinBot) -> KucoinBot:
    return replace(bot, base_url=f"{bot.base_url}/futures")


def told(answer: Answered) -> list[int]:
    """Limit, remaining and reset of an answer."""
    return [int(answer.headers[name]) for name in RATE_HEADERS]


def quota(limit: int, remaining: int, reset_ms: int) -> dict[str, str]:
    values = map(str, (limit, remaining, reset_ms))
    return dict(zip(RATE_HEADERS, values, strict=True))


def budgets(bot: KucoinBot) -> dict[str, dict[str, Any]]:
    """What the proxy says of the account's budgets, by name."""
    answer = bot.call("GET", "/tagproxy/me")
    assert answer.status == 200, pretty(answer)
    return {each["limit"]: each for each in answer.content["budgets"]}


def rate_limited(house: KucoinHouse) -> float:
    """How often the exchange itself said "too many"."""
    return house.proxy.metric("tagproxy_exchange_rate_limited_total", exchange="kucoin")


def refused_by_us(answer: Answered) -> bool:
    return (answer.status, answer.code, answer.slug) == (429, "429000", "rate_limited")


# ---- headers -----------------------------------------------------------------------------------


def test_the_headers_come_through_as_they_are(bot: KucoinBot) -> None:
    first, second = (told(bot.call("GET", ACTIVE)) for _ in range(2))
    assert first[0] == second[0] == SPOT_BY_VIP[0]
    assert first[1] - second[1] == ACTIVE_UNITS
    assert 0 < second[2] <= first[2] <= 30_000


def test_odd_headers_come_through_and_mean_nothing(house: KucoinHouse, bot: KucoinBot) -> None:
    for headers in (
        quota(4_000, 3_999, 29_999),
        quota(4_000, 4_001, 1),  # more than there is
        {"gw-ratelimit-limit": "x", "gw-ratelimit-remaining": "-1", "gw-ratelimit-reset": "1e3"},
        {"gw-ratelimit-limit": "9" * 40, "gw-ratelimit-remaining": "0", "gw-ratelimit-reset": "9"},
        {"gw-ratelimit-remaining": "0"},
        {"GW-RateLimit-Limit": "0", "Gw-Ratelimit-Remaining": "0", "gw-ratelimit-reset": "0"},
    ):
        house.exchange.fault("code", code="400100", status=400, headers=headers)
        answer = bot.order()
        assert (answer.status, answer.code, answer.slug) == (400, "400100", "")
        for name, value in headers.items():
            assert answer.headers[name.lower()] == value
        assert placed(bot.order())
        assert budgets(bot)["spot"]["count"] == SPOT_BY_VIP[0]


# ---- too many ----------------------------------------------------------------------------------


def test_too_many_for_a_moment_is_waited_out(house: KucoinHouse, bot: KucoinBot) -> None:
    """It said that nothing was done, so the order may go once more."""
    before = rate_limited(house)
    spent = quota(4_000, 0, 250)
    house.exchange.fault("code", code="429000", status=429, headers=spent)
    answer = bot.order()
    assert placed(answer), pretty(answer)
    assert milliseconds(answer, "limit") >= 200
    assert len(house.received) == 2
    first, second = (dict(each["headers"]) for each in house.received)
    assert first["KC-API-SIGN"] != second["KC-API-SIGN"]
    assert first["KC-API-PARTNER-SIGN"] != second["KC-API-PARTNER-SIGN"]
    assert rate_limited(house) == before + 1
    assert len(house.exchange.orders) == 1


def test_too_many_for_long_is_passed_on_and_believed(house: KucoinHouse, bot: KucoinBot) -> None:
    before = rate_limited(house)
    spent = quota(4_000, 0, 20_000)
    house.exchange.fault("code", code="429000", status=429, headers=spent)
    answer = bot.order()
    assert (answer.status, answer.code, answer.slug) == (429, "429000", "")
    assert {name: answer.headers[name] for name in RATE_HEADERS} == spent
    assert rate_limited(house) == before + 1
    again = bot.order()
    assert refused_by_us(again), pretty(again)
    assert 15 <= int(again.headers["retry-after"]) <= 21
    assert len(house.received) == 1
    # another pool of the same user's, and the same pool of another user's
    assert placed(futures(bot).futures_order())
    assert placed(bot.call("GET", ACCOUNTS_PATH))
    assert placed(house.bot.order())


def test_overload_is_passed_on_and_corrects_nothing(house: KucoinHouse, bot: KucoinBot) -> None:
    """Too many, but without the headers of a budget: nobody's is used up."""
    before = rate_limited(house)
    for each in (bot, futures(bot)):
        house.exchange.fault("code", code="429000", status=429)
        send = each.order if each is bot else each.futures_order
        answer = send()
        assert (answer.status, answer.code, answer.slug) == (429, "429000", "")
        assert not any(name in answer.headers for name in RATE_HEADERS)
        assert placed(send())
    assert len(house.received) == 4
    assert rate_limited(house) == before


def test_futures_own_limit_shuts_futures_alone(house: KucoinHouse, bot: KucoinBot) -> None:
    """200002 is a limit there, for ten seconds; on spot it says that a pair is stopped."""
    house.exchange.fault("code", code="200002", status=200)
    answer = bot.order()
    assert (answer.status, answer.code, answer.slug) == (200, "200002", "")
    assert placed(bot.order())
    house.exchange.fault("code", code="200002", status=200)
    answer = futures(bot).futures_order()
    assert (answer.status, answer.code, answer.slug) == (200, "200002", "")
    again = futures(bot).futures_order()
    assert refused_by_us(again), pretty(again)
    assert 5 <= int(again.headers["retry-after"]) <= 11
    assert placed(bot.order())


# ---- what others use ---------------------------------------------------------------------------


def around(house: KucoinHouse, bot: KucoinBot) -> KucoinBot:
    """A bot of the same user's who does not come by the proxy, with another key of his."""
    (uid,) = {each["uid"] for each in house.exchange.requests if each["uid"]}
    triple = house.exchange.add_user(uid)
    return KucoinBot(house.exchange.base_url, triple, partner="")


def test_what_is_used_beside_the_proxy_is_believed(house: KucoinHouse, bot: KucoinBot) -> None:
    """The answer before tells what is left; nothing is sent that would be too much."""
    assert placed(bot.call("GET", ACTIVE))
    other = around(house, bot)
    house.exchange.control("POST", "limits", {"spot": "60/30"})
    for _ in range(25):
        _spend(house, other)
    answer = bot.call("GET", ACTIVE)  # the first that tells of it
    assert placed(answer), pretty(answer)
    limit, left, _ = told(answer)
    assert limit == 60
    fitting = left // ACTIVE_UNITS
    answers = [bot.call("GET", ACTIVE) for _ in range(fitting + 3)]
    assert [placed(each) for each in answers] == [True] * fitting + [False] * 3
    assert all(map(refused_by_us, answers[fitting:]))
    assert house.exchange.breaches == {}


def _spend(house: KucoinHouse, other: KucoinBot) -> None:
    signed = other.signed("GET", ACTIVE)
    status, body = _over_tls(house, signed.target, signed.headers)
    assert status == 200, body


def _over_tls(house: KucoinHouse, target: str, headers: dict[str, str]) -> tuple[int, bytes]:
    url = urlsplit(house.exchange.base_url)
    context = ssl.create_default_context(cafile=house.exchange.ca_file)
    connection = http.client.HTTPSConnection(url.hostname or "", url.port, context=context)
    with contextlib.closing(connection):
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_a_limit_that_an_answer_tells_is_the_accounts(house: KucoinHouse, bot: KucoinBot) -> None:
    for count in (9_000, 500, 5_000):
        house.exchange.control("POST", "limits", {"spot": f"{count}/30"})
        assert all(placed(bot.call("GET", ACTIVE)) for _ in range(2))
        assert budgets(bot)["spot"]["count"] == count
    assert budgets(bot)["spot"]["count"] == 5_000
    assert budgets(house.bot).get("spot", {}).get("count", 4_000) == 4_000  # nobody else's


# ---- VIP levels --------------------------------------------------------------------------------


@pytest.mark.parametrize("vip", [1, 5, 12])
def test_a_vip_level_widens_the_pools(house: KucoinHouse, vip: int) -> None:
    bot = house.newcomer(vip=vip)
    house.ask(bot)
    for pool, answer in (
        ("spot", bot.call("GET", ACTIVE)),
        ("futures", futures(bot).call("GET", "/api/v1/positions")),
        ("management", bot.call("GET", ACCOUNTS_PATH)),
    ):
        assert placed(answer), pretty(answer)
        assert budgets(bot)[pool]["count"] == told(answer)[0]
    assert budgets(bot)["spot"]["count"] == SPOT_BY_VIP[vip]


def test_a_level_is_learned_from_what_the_exchange_says_of_the_account(house: KucoinHouse) -> None:
    """Before any answer of that pool did tell."""
    bot = house.newcomer(vip=12)
    house.ask(bot)  # draws on the pool for management alone
    house.exchange.fault("drop", path="/api/v1/hf/orders/active", times=2)
    assert bot.call("GET", ACTIVE).slug == "upstream_unknown"
    assert budgets(bot)["spot"]["count"] == SPOT_BY_VIP[12]


# ---- the edge ----------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["main", "futures"])
def test_an_address_that_the_edge_shuts_out_rests(tmp_path: Path, venue: str) -> None:
    with kucoin_house_in(tmp_path) as house:
        house.exchange.fault("ban-1015")
        bot = house.bot if venue == "main" else house.futures_bot
        first = bot.order() if venue == "main" else bot.futures_order()
        for answer in (first, house.bot.order(), house.futures_bot.futures_order()):
            assert (answer.status, answer.code) == (503, "503000")
            assert answer.slug == "exchange_ban"
            assert 20 <= int(answer.headers["retry-after"]) <= 31
            assert "NOT SENT" in answer.content["msg"]
        public = house.bot.call("GET", "/api/v1/timestamp")
        assert public.slug == "exchange_ban"
        assert len(house.received) == 1
