"""Several addresses to send from: accounts keep to one, public reads use the budgets of all."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.bot import Answered, Bot, Triple
from tests.e2e.house import House, house_in, placed, pretty
from tests.e2e.processes import eventually
from tests.e2e.reloading import reload

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(40),
    pytest.mark.skipif(sys.platform != "linux", reason="every 127.x.x.x is a local address"),
]

ADDRESSES: Final = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
SECTIONS: Final[dict[str, dict[str, Any]]] = {"exchanges.okx": {"egress": list(ADDRESSES)}}
BALANCE_PATH: Final = "/api/v5/account/balance"
BOOKS_PATH: Final = "/api/v5/market/books"
BOOKS_MAX: Final = 40  # in 2 s, by address
NOT_BOUND: Final = "50110"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    sections = SECTIONS | {"limits": {"max_wait": "0s"}}
    with house_in(tmp_path_factory.mktemp("egress"), sections) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


def sources(house: House, uid: str, code: str | None = None) -> list[str]:
    """Where what reached the exchange of one account came from, and was answered with `code`."""
    shown = house.simulator.arrivals("source", "uid", "code")
    return [source for source, whose, said in shown if whose == uid and code in (None, said)]


def settle(bot: Bot) -> None:
    """Let an account do its first private request, and with it all that is asked about it."""
    answer = bot.call("GET", BALANCE_PATH)
    assert answer.code == "0", pretty(answer)


# ---- accounts ---------------------------------------------------------------------------------


def test_each_account_keeps_to_one_address_and_all_are_lived_at(house: House) -> None:
    bots = house.newcomers(*(f"60000{number}" for number in range(9)))
    for _ in range(3):
        for bot in bots.values():
            assert placed(bot.order())
            settle(bot)
    homes = [set(sources(house, uid)) for uid in bots]
    assert all(len(home) == 1 for home in homes), homes
    # by chance alone all nine live at one address once in 6,561 runs
    assert len(set[str]().union(*homes)) > 1
    assert house.simulator.breaches == {}


def test_an_account_stays_where_it_was_over_a_restart(tmp_path: Path) -> None:
    with house_in(tmp_path, SECTIONS) as house:
        settle(house.bot)
        house.proxy.stop()
        house.proxy.start()
        settle(house.bot)
        found = {source for source, _ in house.simulator.arrivals("source", "uid")}
        assert len(found) == 1


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_bound_key_is_used_from_its_address_and_its_bot_notices_nothing(
    house: House, address: str
) -> None:
    uid = f"61{address[-1]}"
    bot = house.newcomer(uid=uid, ips=f"203.0.113.9,{address}")
    assert placed(bot.order())
    strayed = house.simulator.arrivals("uid", "target", "code")
    # where the key is bound to is not known before it was asked, from anywhere
    assert {target for whose, target, code in strayed if (whose, code) == (uid, NOT_BOUND)} <= {
        "/api/v5/account/config"
    }
    assert set(sources(house, uid, "0")) == {address}
    house.forget()
    for _ in range(3):
        assert placed(bot.order())
        settle(bot)
    assert set(sources(house, uid)) == {address}


def test_a_key_bound_to_two_of_them_keeps_to_one_of_the_two(house: House) -> None:
    bot = house.newcomer(uid="62", ips="127.0.0.3,127.0.0.4")
    settle(bot)
    house.forget()
    for _ in range(3):
        assert placed(bot.order())
    found = set(sources(house, "62"))
    assert len(found) == 1
    assert found < {"127.0.0.3", "127.0.0.4"}


def test_a_key_that_was_bound_anew_is_followed(house: House) -> None:
    real = house.simulator.add_user(uid="63", ips="127.0.0.2")
    bot = house.proxy.bot(house.proxy.add_user("rebound", real))
    assert placed(bot.order())
    _bind(house, real, "63", "127.0.0.4")
    assert placed(bot.order())
    house.forget()
    assert placed(bot.order())
    assert set(sources(house, "63")) == {"127.0.0.4"}

    def bound_to() -> list[str]:
        told: list[str] = bot.call("GET", "/tagproxy/me").content["real_key"]["bound_to"]
        return told

    eventually("its new binding is learned", lambda: bound_to() == ["127.0.0.4"])
    _bind(house, real, "63", "")
    assert placed(bot.order())


def _bind(house: House, real: Triple, uid: str, ips: str) -> None:
    key = {"api_key": real.api_key, "secret": real.secret, "passphrase": real.passphrase}
    house.simulator.control("POST", "users", key | {"uid": uid, "ips": ips})


def test_a_key_bound_to_none_of_them_gets_the_exchanges_own_no(house: House) -> None:
    """As if it had been used directly; and not from every address each time."""
    bot = house.newcomer(uid="64", ips="203.0.113.9")
    for _ in range(5):
        answer = bot.call("GET", BALANCE_PATH)
        assert (answer.status, answer.code, answer.slug) == (401, NOT_BOUND, "")
    asked = [
        target
        for uid, target in house.simulator.arrivals("uid", "target")
        if (uid, target) == ("64", BALANCE_PATH)
    ]
    assert len(asked) <= 5 + len(ADDRESSES) - 1


def test_the_log_says_where_each_request_left_from(house: House) -> None:
    bot = house.newcomer(uid="65", ips="127.0.0.3")
    bot.order()
    name = house.newest

    def logged() -> bool:
        lines = [line for line in house.proxy.log if line.get("user") == name]
        return [line["egress"] for line in lines if "POST" in line["endpoint"]] == ["127.0.0.3"]

    eventually("the order's line is written", logged)


# ---- public reads -----------------------------------------------------------------------------


async def ask_for_books(bot: Bot, count: int) -> list[Answered]:
    """Ask for so many order books at once, each another."""
    connector = aiohttp.TCPConnector(limit=100)
    async with aiohttp.ClientSession(connector=connector) as session:
        return await asyncio.gather(
            *(
                bot.send(session, "GET", f"{BOOKS_PATH}?instId=BTC-USDT&sz={number + 1}")
                for number in range(count)
            )
        )


@pytest.mark.timed
async def test_public_reads_have_the_budgets_of_all_addresses(house: House) -> None:
    answers = await ask_for_books(house.bot, len(ADDRESSES) * BOOKS_MAX + 10)
    slugs = [answer.slug for answer in answers]
    assert slugs.count("") == len(ADDRESSES) * BOOKS_MAX
    assert slugs.count("rate_limited") == 10
    assert house.simulator.breaches == {}
    counted = {name: each["requests"] for name, each in house.simulator.sources.items()}
    assert counted == dict.fromkeys(ADDRESSES, BOOKS_MAX)


@pytest.mark.timed
async def test_public_reads_wait_for_whichever_address_is_free_first(tmp_path: Path) -> None:
    with house_in(tmp_path, SECTIONS) as house:
        answers = await ask_for_books(house.bot, 2 * len(ADDRESSES) * BOOKS_MAX)
        assert {answer.slug for answer in answers} == {""}
        assert house.simulator.breaches == {}
        counted = {name: each["requests"] for name, each in house.simulator.sources.items()}
        assert counted == dict.fromkeys(ADDRESSES, 2 * BOOKS_MAX)


# ---- connections ------------------------------------------------------------------------------


def test_connections_are_kept_warm_at_every_address(house: House) -> None:
    eventually(
        "every address has connections to spare",
        lambda: all(
            house.simulator.sources.get(each, {}).get("open", 0) >= 2 for each in ADDRESSES
        ),
    )
    open_now = sum(each["open"] for each in house.simulator.sources.values())
    assert house.proxy.metric("tagproxy_connections", side="exchange") == open_now


def test_an_address_more_or_less_moves_only_whom_it_must(tmp_path: Path) -> None:
    gone, *kept = ADDRESSES
    with house_in(tmp_path, _leaving_from(gone, kept[0])) as house:
        bots = house.newcomers(*(f"66{number}" for number in range(9)))
        two = _homes(house, bots)
        reload(house.proxy, _leaving_from(*ADDRESSES))
        three = _homes(house, bots)
        assert all(three[uid] in (two[uid], kept[1]) for uid in bots), (two, three)
        reload(house.proxy, _leaving_from(*kept))
        last = _homes(house, bots)
        assert all(last[uid] == three[uid] for uid in bots if three[uid] != gone), (three, last)
        assert gone not in last.values()
        eventually(
            "connections from where nothing leaves any more are closed",
            lambda: not house.simulator.sources.get(gone, {}).get("open"),
        )


async def test_an_address_that_is_not_this_machines_costs_nobody_anything(tmp_path: Path) -> None:
    with house_in(tmp_path, _leaving_from("192.0.2.1", "127.0.0.2")) as house:
        bots = await asyncio.to_thread(house.newcomers, *(f"68{number}" for number in range(6)))
        for bot in bots.values():
            answer = await asyncio.to_thread(bot.order)
            assert placed(answer), pretty(answer)
        answers = await ask_for_books(house.bot, BOOKS_MAX)
        assert {answer.slug for answer in answers} == {""}
        assert set(house.simulator.sources) == {"127.0.0.2"}


def _leaving_from(*addresses: str) -> dict[str, dict[str, Any]]:
    # old connections are kept for as long as a request may take
    return {"exchanges.okx": {"egress": list(addresses), "deadline": "4s"}}


def _homes(house: House, bots: dict[str, Bot]) -> dict[str, str]:
    house.forget()
    homes = {}
    for uid, bot in bots.items():
        assert placed(bot.order())
        (homes[uid],) = set(sources(house, uid))
    return homes
