"""The operator's own broker calls, DMA and FD: for accounts granted the class, within limits of up
to an hour that no restart forgets."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.bot import Answered, Bot
from tests.e2e.house import House, house_in, placed, pretty
from tests.e2e.processes import ROOT, eventually

pytestmark = pytest.mark.e2e

DMA: Final = "/api/v5/broker/dma"
ASSET: Final = "/api/v5/asset/broker/dma"
FD: Final = "/api/v5/broker/fd"
SPAN: Final = {"begin": "20260901", "end": "20260930"}
HOUR_S: Final = 3_600
DEMO: Final = {"x-simulated-trading": "1"}
SLACK_S: Final = 30  # what a test may take at the most


def rows() -> set[tuple[str, str]]:
    """Method and path of every row of the class."""
    table = tomllib.loads((ROOT / "proxy/exchanges/okx/endpoints.toml").read_text())
    return {
        (row["method"], row["path"])
        for row in table["endpoint"]
        if row.get("sensitive") == "broker"
    }


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("broker")) as house:
        yield house


@pytest.fixture
def broker(house: House) -> Bot:
    """A bot of an account that the exchange knows as a broker, granted the class here."""
    house.forget()
    return house.newcomer("--allow", "broker", broker=True)


class Caller:
    """Calls as `bot`, keeps what was called, and insists on being accepted."""

    def __init__(self, bot: Bot, headers: dict[str, str] | None = None) -> None:
        self.bot = bot
        self.headers = headers or {}
        self.called: set[tuple[str, str]] = set()

    def get(self, path: str, query: str = "") -> list[dict[str, Any]]:
        return self._call("GET", path, query, None)

    def post(self, path: str, **content: Any) -> list[dict[str, Any]]:
        return self._call("POST", path, "", content)

    def _call(self, method: str, path: str, query: str, content: Any) -> list[dict[str, Any]]:
        self.called.add((method, path))
        answer = self.bot.call(method, path + query, content, headers=self.headers)
        assert placed(answer), (method, path, pretty(answer))
        data: list[dict[str, Any]] = answer.content["data"]
        return data


def manage(call: Caller, name: str) -> None:
    """Do everything that a DMA broker can do with a sub-account, but give it play money."""
    named = f"?subAcct={name}"
    call.post(f"{DMA}/create-subaccount", subAcct=name, label="desk")
    call.post(f"{DMA}/set-subaccount-level", subAcct=name, acctLv="2")
    call.post(f"{DMA}/report-subaccount-ip", subAcct=name, clientIP="203.0.113.9")
    assert [each["subAcct"] for each in call.get(f"{DMA}/subaccount-info")[0]["details"]] == [name]
    call.get(f"{DMA}/subaccount-trade-fee", named)
    (key,) = call.post(
        f"{DMA}/subaccount/apikey", subAcct=name, label="bot1", passphrase="Passw0rd!", perm="trade"
    )
    keyed = {"subAcct": name, "apiKey": key["apiKey"]}
    call.post(f"{DMA}/subaccount/modify-apikey", **keyed, ip="203.0.113.9")
    assert [each["ip"] for each in call.get(f"{DMA}/subaccount/apikey", named)] == ["203.0.113.9"]
    call.post(f"{DMA}/subaccount/delete-apikey", **keyed)
    (address,) = call.post(f"{ASSET}/subaccount-deposit-address", subAcct=name, ccy="BTC")
    given = {"subAcct": name, "ccy": "BTC", "addr": address["addr"], "to": "18"}
    call.post(f"{ASSET}/modify-subaccount-deposit-address", **given)
    call.get(f"{ASSET}/subaccount-deposit-address", f"{named}&ccy=BTC")
    call.get(f"{ASSET}/subaccount-deposit-history")
    call.get(f"{ASSET}/subaccount-withdrawal-history")
    call.post(f"{DMA}/delete-subaccount", subAcct=name)


def report(call: Caller, owner: Bot) -> None:
    """Ask for both reports, fetch them, and see whether somebody brings rebate."""
    call.post(f"{DMA}/trades", **SPAN)
    call.get(f"{DMA}/rebate-per-orders", "?type=true")
    call.post(f"{FD}/rebate-per-orders", **SPAN)
    call.get(f"{FD}/rebate-per-orders", "?type=true")
    call.get(f"{FD}/if-rebate", f"?apiKey={owner.triple.api_key}")


def test_every_call_of_the_class_is_accepted(house: House, broker: Bot) -> None:
    call = Caller(broker)
    manage(call, "desk1abc")
    report(call, house.own_bot)
    demo = Caller(house.newcomer("--allow", "broker", broker=True, demo=True), DEMO)
    demo.post(f"{DMA}/create-subaccount", subAcct="desk2abc")
    demo.post(f"{DMA}/set-subaccount-assets", subAcct="desk2abc", ccy="USDT")
    assert call.called | demo.called == rows()
    asked = {(each["method"], each["target"].partition("?")[0]) for each in house.received}
    assert rows() <= asked
    assert house.simulator.breaches == {}


def test_without_the_grant_nothing_of_it_passes(house: House) -> None:
    house.forget()
    for method, path in sorted(rows()):
        answer = house.bot.call(method, path, None if method == "GET" else SPAN)
        assert (answer.status, answer.slug) == (403, "forbidden_endpoint"), (method, path)
        assert "class broker is not granted" in answer.content["msg"]
    assert house.received == []


def test_another_class_is_no_grant(house: House) -> None:
    bot = house.newcomer("--allow", "subaccount,keys,transfer,deposit", broker=True)
    assert bot.call("GET", f"{DMA}/subaccount-info").slug == "forbidden_endpoint"


# ---- limits ---------------------------------------------------------------------------------


def refused_for(answer: Answered, limit: str) -> float:
    """Return for how many seconds a call was refused by us for its limit."""
    assert (answer.status, answer.code, answer.slug) == (429, "50011", "rate_limited")
    text = answer.content["msg"]
    assert f"your account, {limit}" in text
    assert "NOT SENT" in text
    wait_s = int(text.partition("next slot in ")[2].partition(" ms")[0]) / 1000
    assert 0 <= int(answer.headers["retry-after"]) - wait_s <= 1
    return wait_s


def test_one_report_an_hour_also_after_a_restart(house: House, broker: Bot) -> None:
    """Whether the process ended in order or not."""
    path = f"{FD}/rebate-per-orders"

    def again() -> float:
        return refused_for(broker.call("POST", path, SPAN), "broker/fd/rebate-per-orders 1/1h")

    def stored() -> bool:
        done = house.proxy.run("users", "show", house.newest, "--json")
        return bool(json.loads(done.stdout)["accounts"][0]["uid"])

    assert placed(broker.call("POST", path, SPAN))
    eventually("whose budget it is stands in the database", stored)
    assert HOUR_S - SLACK_S < again() < HOUR_S + 1
    assert placed(broker.call("POST", f"{DMA}/trades", SPAN)), "that one has a limit of its own"
    for end in (house.proxy.kill, house.proxy.stop):
        end()
        house.proxy.start()
        assert HOUR_S - SLACK_S < again() < HOUR_S * 1.25 + 1
    assert [each["method"] for each in house.received].count("POST") == 2


def test_two_readings_a_minute(house: House, broker: Bot) -> None:
    """Live limits of the two brokers' calls are apart, as those of GET and POST are."""
    for path in (f"{FD}/rebate-per-orders", f"{DMA}/rebate-per-orders"):
        for _ in range(2):
            assert placed(broker.call("GET", path + "?type=true"))
        name = path.removeprefix("/api/v5/")
        wait_s = refused_for(broker.call("GET", path + "?type=true"), f"{name} 2/1m")
        assert 60 - SLACK_S < wait_s < 61
    assert len(house.received) == 4
    assert house.simulator.breaches == {}


@pytest.mark.timed
async def test_forty_sub_accounts_a_second(house: House, broker: Bot) -> None:
    path = f"{DMA}/create-subaccount"
    house.simulator.control("POST", "delay", {"fixed_ms": 10})
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        calls = (
            broker.send(session, "POST", path, {"subAcct": f"many{number:03d}"})
            for number in range(95)
        )
        answers = await asyncio.gather(*calls)
    house.simulator.control("POST", "delay", {"fixed_ms": 0})
    assert [answer.slug for answer in answers if not placed(answer)] == []
    assert house.simulator.breaches == {}
    buckets = house.simulator.control("GET", "breaches")["buckets"]
    (seen,) = (told for name, told in buckets.items() if path in name)
    assert (seen["limit"], seen["span_ns"], seen["accepted"]) == (40, 1_000_000_000, 95)
    assert seen["most_in_sliding"] == 40, "and all of it is used"
