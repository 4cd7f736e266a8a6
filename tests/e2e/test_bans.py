"""The exchange's edge refuses an address of ours: it rests, others go on, and no key is blamed."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.bot import Bot, encoded
from tests.e2e.house import House, house_in, is_question, placed, pretty
from tests.e2e.load import ORDER_PATH, order_of
from tests.e2e.processes import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(40),
    pytest.mark.skipif(sys.platform != "linux", reason="every 127.x.x.x is a local address"),
]

ADDRESSES: Final = tuple(f"127.0.0.{number}" for number in range(2, 8))
BALANCE_PATH: Final = "/api/v5/account/balance"
CANDLES_PATH: Final = "/api/v5/market/candles"
UNKNOWN_S: Final = 5  # what an address rests for when the edge does not say
IN_FLIGHT_NS: Final = 500_000_000  # what was sent already is there by then


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("bans"), leaving_from(ADDRESSES)) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


def leaving_from(addresses: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {"exchanges.okx": {"egress": list(addresses)}} if addresses else {}


def home_of(house: House, bot: Bot) -> str:
    """Where an account's requests leave from."""
    house.forget()
    assert bot.call("GET", BALANCE_PATH).code == "0"
    return str(house.received[-1]["source"])


def resting(house: House, address: str) -> bool:
    return house.proxy.metric("tagproxy_egress_resting", egress=address) == 1


def bans(house: House, address: str) -> float:
    return house.proxy.metric("tagproxy_exchange_bans_total", egress=address)


def health(bot: Bot) -> str:
    """What the proxy thinks of the account's key."""
    return str(bot.call("GET", "/tagproxy/me").content["real_key"]["health"])


# ---- one of several ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("ban-1015", "left"),
        ("ban-403", "left"),
        ("ban-418", "left"),
        ("ban-429", "left"),
        ("ban-429", "date"),
        ("ban-1015", "-"),
        ("ban-403", "-"),
        ("ban-418", "-"),
        ("ban-429", "-"),
    ],
)
def test_an_account_goes_on_from_another_address(house: House, kind: str, says: str) -> None:
    # an account whose home wakes meanwhile would go back there
    eventually("nothing rests", lambda: not any(resting(house, each) for each in ADDRESSES))
    bot = house.newcomer()
    home = home_of(house, bot)
    eventually("all is asked", lambda: sum(map(is_question, house.simulator.requests)) == 2)
    house.forget()
    before, told = bans(house, home), len(told_of(house, home))
    house.simulator.fault(kind, source=home, for_ms=1200, retry_after=says)
    names = [f"moved{number}" for number in range(3)]
    for name in names:
        answer = bot.order(clOrdId=name)
        assert placed(answer), pretty(answer)
    assert [each["clOrdId"] for each in house.simulator.orders] == names
    assert [source for (source,) in house.simulator.arrivals("source")].count(home) == 1
    assert bans(house, home) == before + 1
    assert resting(house, home)
    assert health(bot) == "ok"
    eventually("the log says so", lambda: len(told_of(house, home)) > told)
    (seconds,) = told_of(house, home)[told:]
    assert seconds in ((UNKNOWN_S,) if says == "-" else (2, 3))  # whole seconds, and of a date too
    if says != "-":
        eventually("it comes back by itself", lambda: home_of(house, bot) == home, 4)
        assert not resting(house, home)


def told_of(house: House, address: str) -> list[int]:
    """For how many seconds each the log said that an address rests."""
    return [
        line["seconds"]
        for line in house.proxy.log
        if line.get("egress") == address and "rests" in line.get("message", "")
    ]


@pytest.mark.timed
async def test_under_load_no_order_is_lost_and_none_is_doubled(tmp_path: Path) -> None:
    with house_in(tmp_path, leaving_from(ADDRESSES[:2])) as house:
        bots = list(house.newcomers(*(f"67{number}" for number in range(6))).values())
        homes = Counter(home_of(house, bot) for bot in bots)
        home = homes.most_common(1)[0][0]
        house.forget()
        house.simulator.fault("ban-429", source=home, for_ms=2500, skip=10)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            answers = await asyncio.gather(
                *(
                    bot.send(
                        session,
                        "POST",
                        ORDER_PATH,
                        order_of("BTC-USDT") | {"clOrdId": f"load{bots.index(bot)}x{number}"},
                    )
                    for number in range(40)
                    for bot in bots
                )
            )
        assert all(placed(answer) for answer in answers), Counter(each.slug for each in answers)
        names = [each["clOrdId"] for each in house.simulator.orders]
        assert len(names) == len(set(names)) == 240
        assert house.simulator.breaches == {}
        shown = house.simulator.arrivals("source", "fault", "arrived_ns")
        refused_ns = [at_ns for source, fault, at_ns in shown if fault == "ban-429"]
        assert refused_ns
        assert bans(house, home) == 1
        after = [at for source, _, at in shown if source == home and at > refused_ns[0]]
        assert all(at_ns < refused_ns[0] + IN_FLIGHT_NS for at_ns in after)


async def test_public_reads_go_on_from_the_others(tmp_path: Path) -> None:
    """Whoever joined a read that met the ban is answered with it."""
    with house_in(tmp_path, leaving_from(ADDRESSES[:2])) as house:
        house.simulator.fault("ban-403", for_ms=1500, retry_after="left")
        asked = f"{CANDLES_PATH}?instId=BTC-USDT"
        async with aiohttp.ClientSession() as session:
            answers = await asyncio.gather(
                *(house.bot.send(session, "GET", asked) for _ in range(20))
            )
            assert {answer.code for answer in answers} == {"0"}
            shown = house.simulator.arrivals("source", "status")
            assert [status for _, status in shown] == [403, 200]
            banned, other = (source for source, _ in shown)
            assert banned != other
            answers = await asyncio.gather(
                *(
                    house.bot.send(session, "GET", f"{asked}&limit={number + 1}")
                    for number in range(30)
                )
            )
        assert {answer.code for answer in answers} == {"0"}
        assert house.simulator.sources[banned]["requests"] == 1


# ---- all of them ------------------------------------------------------------------------------


@pytest.mark.parametrize("addresses", [(), ADDRESSES[:2]])
def test_while_all_rest_bots_hear_so_and_for_how_long(
    tmp_path: Path, addresses: tuple[str, ...]
) -> None:
    with house_in(tmp_path, leaving_from(addresses)) as house:
        bot = house.bot
        for address in addresses or ("127.0.0.1",):
            house.simulator.fault("ban-1015", source=address, for_ms=2500, retry_after="left")
        content = order_of("ETH-USDT") | {"clOrdId": "again"}
        signed = bot.headers("POST", ORDER_PATH, encoded(content))
        answers = [
            bot.call("POST", ORDER_PATH, content, headers=signed),
            bot.call("GET", BALANCE_PATH),
            bot.call("GET", f"{CANDLES_PATH}?instId=BTC-USDT"),
            bot.call("POST", "/api/v5/trade/cancel-order", {"instId": "BTC-USDT", "ordId": "1"}),
        ]
        for answer in answers:
            assert (answer.status, answer.code, answer.slug) == (503, "50001", "exchange_ban")
            assert 1 <= int(answer.headers["retry-after"]) <= 3
            assert "no fault of your key" in answer.content["msg"]
            assert "NOT SENT" in answer.content["msg"]
        assert len(house.received) == max(len(addresses), 1)
        assert house.simulator.orders == []
        assert health(bot) == "ok"
        outcomes = house.proxy.metric("tagproxy_requests_total", outcome="exchange_ban")
        assert outcomes == len(answers)
        eventually("it comes back by itself", lambda: bot.call("GET", BALANCE_PATH).slug == "", 4)
        # the signature was not used up
        assert placed(bot.call("POST", ORDER_PATH, content, headers=signed))
        assert [each["clOrdId"] for each in house.simulator.orders] == ["again"]


def test_a_bot_whose_requests_the_edge_minds_harms_the_others_once(tmp_path: Path) -> None:
    """A firewall's page for an odd request is the same as for a banned address."""
    with house_in(tmp_path) as house:
        odd, other = house.bot, house.newcomer()
        assert placed(other.order())
        path = "/api/v5/account/positions"
        house.simulator.fault("ban-403", path=path, times=100)
        assert odd.call("GET", path).slug == "exchange_ban"
        assert other.order().slug == "exchange_ban"
        eventually("others are served again", lambda: placed(other.order()), UNKNOWN_S + 2)
        for _ in range(3):
            answer = odd.call("GET", path)
            assert (answer.status, answer.slug) == (403, ""), pretty(answer)
            assert placed(other.order())
        assert bans(house, "default") == 1
