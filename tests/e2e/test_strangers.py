"""Calls without a key, and who they come from: X-Forwarded-For of a load balancer of ours."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.e2e.bot import Answered, Bot, Triple
from tests.e2e.house import House, house_in, pretty
from tests.e2e.load import Burst
from tests.e2e.reloading import reload
from tests.e2e.wire import request_of

pytestmark = pytest.mark.e2e

BOOKS_PATH: Final = "/api/v5/market/books"
BOOKS_MAX: Final = 40  # in 2 s, by address
BALANCE_PATH: Final = "/api/v5/account/balance"
TIME_PATH: Final = "/api/v5/public/time"
LOOPBACK: Final = "127.0.0.1"
ATTEMPTS_MAX: Final = 100  # with one key from one address in a minute


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    sections: dict[str, dict[str, Any]] = {
        "server": {"trusted_proxies": ["127.0.0.0/8"]},
        "limits": {"max_wait": "0s"},
    }
    with house_in(tmp_path_factory.mktemp("strangers"), sections) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


def behind(*hops: str) -> dict[str, str]:
    """What load balancers say of where a request came from."""
    return {"X-Forwarded-For": ", ".join(hops)} if hops else {}


def unsigned(bot: Bot, target: str, *hops: str) -> bytes:
    """A call without a key, as ccxt makes it."""
    path = urlsplit(bot.base_url).path
    lines = "".join(f"{name}: {value}\r\n" for name, value in behind(*hops).items())
    return f"GET {path}{target} HTTP/1.1\r\nHost: {LOOPBACK}\r\nAccept: */*\r\n{lines}\r\n".encode()


async def ask(house: House, *requests: bytes) -> list[Answered]:
    burst = Burst()
    await burst.run(house.bot, lambda: list(requests))
    return burst.answers


async def slug_without_key(house: House, *hops: str, target: str = TIME_PATH) -> str:
    (answer,) = await ask(house, unsigned(house.bot, target, *hops))
    return answer.slug


def signed_from(bot: Bot, *hops: str, target: str = BALANCE_PATH) -> Answered:
    return bot.call("GET", target, headers=behind(*hops))


def policy(house: House, word: str) -> None:
    reload(house.proxy, {"security": {"anonymous_public": word}})


# ---- who may ----------------------------------------------------------------------------------


async def test_known_are_loopback_and_where_a_signature_was_right(house: House) -> None:
    policy(house, "known")
    assert await slug_without_key(house) == ""
    (answer,) = await ask(house, unsigned(house.bot, TIME_PATH, "198.51.100.1"))
    assert (answer.status, answer.code, answer.slug) == (401, "50103", "missing_credentials")
    wrong = Bot(house.bot.base_url, Triple(house.issued.api_key, "wrong", "wrong"))
    assert signed_from(wrong, "198.51.100.1").slug == "bad_signature"
    assert await slug_without_key(house, "198.51.100.1") == "missing_credentials"
    assert signed_from(house.bot, "198.51.100.1").slug == ""
    assert await slug_without_key(house, "198.51.100.1") == ""
    assert await slug_without_key(house, "198.51.100.2") == "missing_credentials"


async def test_a_bot_cannot_say_where_it_comes_from(house: House) -> None:
    """What stands to the left of the load balancer's own word is anybody's."""
    policy(house, "known")
    assert signed_from(house.bot, "198.51.100.10").slug == ""
    for spoofed in (("198.51.100.10",), (LOOPBACK,), ("::1",), ("localhost",)):
        slug = await slug_without_key(house, *spoofed, "198.51.100.66")
        assert slug == "missing_credentials", spoofed


async def test_none_need_not_ask(house: House) -> None:
    policy(house, "none")
    assert await slug_without_key(house) == "missing_credentials"
    assert signed_from(house.bot, "198.51.100.1").slug == ""
    assert await slug_without_key(house, "198.51.100.1") == "missing_credentials"
    assert signed_from(house.bot, target=TIME_PATH).slug == ""


@pytest.mark.parametrize("target", [BALANCE_PATH, "/api/v5/unheard/of", "/tagproxy/me"])
async def test_nothing_private_is_anybodys(house: House, target: str) -> None:
    policy(house, "all")
    for hops in ((), ("198.51.100.3",)):
        assert await slug_without_key(house, *hops, target=target) == "missing_credentials"
    assert house.received == []


# ---- how much ---------------------------------------------------------------------------------


@pytest.mark.timed
async def test_strangers_share_half_and_each_has_a_quarter(house: House) -> None:
    policy(house, "all")
    signed_from(house.bot, "198.51.100.20")
    numbers = iter(range(1, 1000))

    async def refused(count: int, *hops: str) -> Counter[str]:
        targets = [f"{BOOKS_PATH}?instId=BTC-USDT&x={next(numbers)}" for _ in range(count)]
        requests = [unsigned(house.bot, target, *hops) for target in targets]
        return Counter(answer.slug for answer in await ask(house, *requests))

    quarter = BOOKS_MAX // 4
    assert await refused(quarter + 5, "198.51.100.4") == {"": quarter, "rate_limited": 5}
    assert await refused(quarter - 2, "2001:db8::1") == {"": quarter - 2}
    # one customer has all addresses of a /64
    assert await refused(5, "2001:db8::ffff:1") == {"": 2, "rate_limited": 3}
    assert await refused(5, "198.51.100.5") == {"rate_limited": 5}
    assert await refused(2 * quarter, "198.51.100.20") == {"": 2 * quarter}
    assert await refused(5, "198.51.100.20") == {"rate_limited": 5}
    assert house.simulator.breaches == {}
    assert house.simulator.sources[LOOPBACK]["requests"] == BOOKS_MAX + 1


@pytest.mark.timed
async def test_bots_with_a_key_have_what_strangers_leave(house: House) -> None:
    """A stranger's read is no bot's to wait for: its part of the budget may be used up."""
    policy(house, "all")
    target = "/api/v5/market/ticker?instId=BTC-USDT"
    flood = [unsigned(house.bot, f"{target}&x={number}", "198.51.100.6") for number in range(30)]
    flood += [request_of(house.bot, "GET", target, headers=behind("198.51.100.6"))]
    *strangers, bots = await ask_in_turn(house, *flood)
    assert Counter(answer.slug for answer in strangers) == {"": 5, "rate_limited": 25}
    assert bots.slug == "", pretty(bots)


async def ask_in_turn(house: House, *requests: bytes) -> list[Answered]:
    return [answer for request in requests for answer in await ask(house, request)]


# ---- limits by source see the bot -------------------------------------------------------------


async def test_an_accounts_networks_see_the_bots_own_address(house: House) -> None:
    bot = house.newcomer("--ip", "203.0.113.0/24,2001:db8:5::/48")
    assert signed_from(bot, "203.0.113.9").slug == ""
    assert signed_from(bot, "2001:db8:5::1").slug == ""
    for hops in ((), ("198.51.100.7",), ("203.0.113.9", "198.51.100.7")):
        answer = signed_from(bot, *hops)
        assert (answer.status, answer.code, answer.slug) == (401, "50110", "ip_not_allowed")
        assert (hops or (LOOPBACK,))[-1] in answer.content["msg"]


async def test_failed_attempts_are_counted_by_the_bots_own_address(house: House) -> None:
    wrong = Bot(house.bot.base_url, Triple(house.issued.api_key, "wrong", "wrong"))
    async with aiohttp.ClientSession() as session:
        slugs: Counter[str] = Counter()
        for _ in range(0, ATTEMPTS_MAX + 20, 20):
            answers = await asyncio.gather(
                *(
                    wrong.send(session, "GET", BALANCE_PATH, headers=behind("198.51.100.8"))
                    for _ in range(20)
                )
            )
            slugs.update(answer.slug for answer in answers)
    assert slugs == {"bad_signature": ATTEMPTS_MAX, "rate_limited": 20}
    assert signed_from(house.bot, "198.51.100.8").slug == "rate_limited"
    assert signed_from(house.bot, "198.51.100.9").slug == ""
    assert signed_from(house.bot).slug == ""


async def test_whom_we_do_not_trust_is_not_believed(house: House) -> None:
    policy(house, "known")
    reload(house.proxy, {"server": {"trusted_proxies": ["10.0.0.0/8"]}})
    try:
        assert await slug_without_key(house, "198.51.100.11") == "", "it comes from loopback"
        told = signed_from(house.bot, "198.51.100.11", target="/tagproxy/me").content
        assert told["your_address"] == LOOPBACK
    finally:
        reload(house.proxy, {"server": {"trusted_proxies": ["127.0.0.0/8"]}})
    told = signed_from(house.bot, "198.51.100.11", target="/tagproxy/me").content
    assert told["your_address"] == "198.51.100.11"
