"""What the proxy writes down of MEXC, what it never writes, and reads that everybody shares."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import aiohttp
import pytest

from tests.e2e.bot import Answered, Triple
from tests.e2e.mexc_bot import FUTURES_ORDER, ORDER, MexcBot, spot_query
from tests.e2e.mexc_house import (
    ACCOUNT_PATH,
    CREATE_PATH,
    FUTURES_READ,
    ORDER_PATH,
    MexcHouse,
    bare,
    keyed,
    mexc_house_in,
    path_of,
    pretty,
    sources,
    stamp,
    taken,
    wired,
)
from tests.e2e.processes import fetch

pytestmark = pytest.mark.e2e

P: Final = spot_query()
DEPTH: Final = "/api/v3/depth?symbol=BTCUSDT"
CONTRACT_DEPTH: Final = "/api/v1/contract/depth/BTC_USDT"
PLANTED: Final = "PLANTEDvalue77"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MexcHouse]:
    sections: dict[str, dict[str, Any]] = {"exchanges.mexc": {"deadline": "1500ms"}}
    with mexc_house_in(tmp_path_factory.mktemp("records"), sections) as house:
        yield house


@pytest.fixture
def house(running: MexcHouse) -> MexcHouse:
    running.forget()
    return running


# ---- log lines ---------------------------------------------------------------------------------


def test_a_spot_order_is_written_down(house: MexcHouse) -> None:
    answer = house.bot.order(newClientOrderId="mine-1")
    line = house.line(answer)
    assert (line["user"], line["account"], line["exchange"]) == ("alice", "main", "mexc")
    assert (line["endpoint"], line["outcome"]) == ("POST v3/order", "ok")
    assert line["client_order_id"] == "mine-1"
    assert line["order_id"] == answer.content["orderId"]
    assert not line["exchange_code"] or line["exchange_code"] in ("0", "200")


@pytest.mark.parametrize("below", ["", "/futures"])
def test_a_futures_order_is_written_down(house: MexcHouse, below: str) -> None:
    bot = replace(house.bot, base_url=house.bot.base_url + below)
    answer = bot.futures_order(externalOid="mine-2")
    line = house.line(answer)
    assert (line["exchange"], line["outcome"]) == ("mexc", "ok")
    assert line["endpoint"] == "POST v1/private/order/create"
    assert line["client_order_id"] == "mine-2"
    assert line["order_id"] == answer.content["data"]["orderId"]


def test_a_batch_is_written_down(house: MexcHouse) -> None:
    items = [ORDER | {"newClientOrderId": f"b-{number}"} for number in range(3)]
    answer = house.bot.batch(*items)
    line = house.line(answer)
    assert line["client_order_id"] == "b-0,b-1,b-2"
    assert line["order_id"] == ",".join(each["orderId"] for each in answer.content)


def test_what_the_exchange_refused_is_written_down(house: MexcHouse) -> None:
    line = house.line(house.bot.order(symbol="NOSUCH", newClientOrderId="x-1"))
    assert (line["outcome"], line["exchange_code"]) == ("exchange_error", "10007")
    assert (line["client_order_id"], line["order_id"]) == ("x-1", "")
    line = house.line(house.bot.futures_order(symbol="NO_SUCH"))
    assert (line["outcome"], line["exchange_code"]) == ("exchange_error", "1001")


def test_what_we_refused_is_written_down(house: MexcHouse) -> None:
    line = house.line(house.bot.call("POST", "/api/v3/capital/withdraw?coin=USDT"))
    assert (line["outcome"], line["endpoint"]) == ("forbidden_endpoint", "POST v3/capital/withdraw")
    assert line["user"] == "alice"


@pytest.mark.parametrize(
    "name", ['a"b', "a,b", "a\nb", "x" * 65, "\u7801", "a b", '","order_id":"forged'], ids=repr
)
def test_a_name_of_an_order_cannot_forge_a_line(house: MexcHouse, name: str) -> None:
    for answer in (
        house.bot.order(newClientOrderId=name),
        house.bot.futures_order(externalOid=name),
    ):
        line = house.line(answer)
        assert line["client_order_id"] in ("", name)
        assert line["order_id"] != "forged"


# ---- metrics -----------------------------------------------------------------------------------


def test_requests_and_orders_are_counted_by_venue_and_endpoint(house: MexcHouse) -> None:
    requests, tagged = "tagproxy_requests_total", "tagproxy_orders_tagged_total"
    spot = {"exchange": "mexc", "venue": "main", "endpoint": "POST v3/order"}
    batch = spot | {"endpoint": "POST v3/batchOrders"}
    futures = {"exchange": "mexc", "venue": "futures", "endpoint": "POST v1/private/order/create"}

    def counts() -> list[float]:
        metric = house.proxy.metric
        return [
            metric(requests, outcome="ok", **spot),
            metric(tagged, via="rest", **spot),
            metric(requests, outcome="ok", **batch),
            metric(tagged, via="rest", **batch),
            metric(requests, outcome="ok", **futures),
            metric(tagged, via="rest", **futures),
            metric(requests, outcome="bad_signature", **futures),
        ]

    before = counts()
    house.bot.order()
    house.bot.batch(ORDER, ORDER, ORDER)
    house.bot.futures_order()
    house.futures_bot.futures_order()
    wrong = replace(house.bot, triple=Triple(house.issued.api_key, "wrong"))
    wrong.futures_order()
    after = counts()
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1, 3, 2, 2, 1]


def test_no_user_stands_in_a_label(house: MexcHouse) -> None:
    text = fetch(f"{house.proxy.admin_url}/metrics")[1].decode()
    assert 'venue="futures"' in text
    for word in ("alice", house.real.api_key, house.issued.api_key, "500001"):
        assert word not in text


# ---- secrets -----------------------------------------------------------------------------------


def traffic(house: MexcHouse, sender: MexcBot) -> set[str]:
    """Send what passes and what fails, each twice; return every signature sent."""
    calls: list[tuple[str, str, bytes]] = [
        ("POST", f"{ORDER_PATH}?{P}&note={PLANTED}", b""),
        ("POST", ORDER_PATH, f"{P}&note={PLANTED}".encode()),
        ("POST", ORDER_PATH, f"{P}&note={PLANTED}&note={PLANTED}".encode()),
        ("POST", CREATE_PATH, json.dumps(FUTURES_ORDER | {"note": PLANTED}).encode()),
        ("POST", CREATE_PATH, b"{" + PLANTED.encode()),
        ("GET", f"{ACCOUNT_PATH}&note={PLANTED}", b""),
        ("GET", f"{FUTURES_READ}?note={PLANTED}", b""),
        ("GET", f"/api/v3/new/thing?a={PLANTED}", b""),
        ("POST", f"/api/v3/capital/withdraw?address={PLANTED}", b""),
    ]
    sent = ""
    for method, target, body in calls:
        signed = sender.signed(method, target, body)
        sent += f" {signed.target} {signed.body.decode()} {signed.headers.get('Signature', '')}"
        for _ in range(2):
            bare(sender, method, signed.target, signed.body, signed.headers)
    return signatures_in(sent)


def signatures_in(text: str) -> set[str]:
    return set(re.findall(r"\b[0-9a-f]{64}\b", text))


def test_nothing_secret_is_written_anywhere(house: MexcHouse) -> None:
    bot = house.bot
    swapped = replace(bot, triple=Triple(bot.triple.secret, bot.triple.api_key))
    secrets = {PLANTED, house.real.secret, house.issued.secret}
    for sender in (bot, house.own_bot, swapped):
        secrets |= traffic(house, sender)
    for kind in ("process-drop", "garbage", "html"):
        house.exchange.fault(kind)
        bot.order(note=PLANTED)
    left = signatures_in(json.dumps(house.received))
    assert len(left) > 10
    for name, text in house.proxy.written().items():
        assert not [each for each in secrets | left if each.encode() in text], name
        if name.endswith(".err"):  # whole API keys belong in the database alone
            keys = (house.real.api_key, house.issued.api_key)
            assert not [key for key in keys if key.encode() in text], name


# ---- public reads ------------------------------------------------------------------------------


def at_once(bots: list[MexcBot], target: str) -> list[Answered]:
    async def ask_all() -> list[Answered]:
        async with aiohttp.ClientSession() as session:
            return await asyncio.gather(*[bot.send(session, "GET", target) for bot in bots])

    return asyncio.run(ask_all())


@pytest.mark.parametrize("target", [DEPTH, CONTRACT_DEPTH])
def test_equal_reads_in_flight_share_one_request(house: MexcHouse, target: str) -> None:
    """Bots sign each with another time; what is asked is the same."""
    house.exchange.control("POST", "delay", {"fixed_ms": 300})
    try:
        answers = at_once([house.bot, house.own_bot] * 5, target)
    finally:
        house.exchange.control("POST", "delay", {"fixed_ms": 0})
    assert all(map(taken, answers)), list(map(pretty, answers))
    assert len({answer.body for answer in answers}) == 1
    merged = [answer.headers.get("x-tagproxy-cache") for answer in answers]
    assert merged.count("merged") == 9
    assert [each["target"] for each in house.received] == [target]
    assert sources(house.last) == []


def test_a_window_of_a_bots_own_does_not_keep_reads_apart(house: MexcHouse) -> None:
    house.exchange.control("POST", "delay", {"fixed_ms": 300})
    try:
        bots = [house.bot, replace(house.bot, recv_window="6000"), house.own_bot]
        answers = at_once(bots, DEPTH)
    finally:
        house.exchange.control("POST", "delay", {"fixed_ms": 0})
    assert all(map(taken, answers)), list(map(pretty, answers))
    assert len(house.received) == 1


def test_other_reads_are_not_merged(house: MexcHouse) -> None:
    house.exchange.control("POST", "delay", {"fixed_ms": 200})
    try:
        answers = at_once([house.bot, house.own_bot], ACCOUNT_PATH)
        other = at_once([house.bot], "/api/v3/depth?symbol=ETHUSDT")
    finally:
        house.exchange.control("POST", "delay", {"fixed_ms": 0})
    assert all(map(taken, answers + other))
    assert len(house.received) == 3
    assert "x-tagproxy-cache" not in answers[0].headers


@pytest.mark.parametrize(
    "target", [DEPTH, CONTRACT_DEPTH, "/api/v3/exchangeInfo?symbols=BTCUSDT,ETHUSDT"]
)
def test_a_public_read_needs_no_key_from_here(house: MexcHouse, target: str) -> None:
    answer = bare(house.bot, "GET", target)
    assert taken(answer), pretty(answer)
    assert {path_of(each) for each in house.received} == {target.partition("?")[0]}


def test_a_public_read_with_a_wrong_signature_is_refused(house: MexcHouse) -> None:
    answer = keyed(house.bot, f"{DEPTH}&{stamp()}&signature={'0' * 64}", method="GET")
    assert answer.slug == "bad_signature", pretty(answer)
    headers = {"ApiKey": house.issued.api_key, "Request-Time": str(time.time_ns() // 10**6)}
    answer = bare(house.bot, "GET", CONTRACT_DEPTH, b"", headers | {"Signature": "0" * 64})
    assert answer.slug == "bad_signature", pretty(answer)
    assert house.received == []


def test_a_library_that_sends_its_key_alone_reads_on(house: MexcHouse) -> None:
    """ccxt names the key on public calls too, whoever's it is."""
    line = f"X-MEXC-APIKEY: {MexcBot.fresh().api_key}\r\n".encode()
    with_key = bare(house.bot, "GET", DEPTH, b"", {"X-MEXC-APIKEY": "whoever"})
    assert taken(with_key), pretty(with_key)
    assert taken(wired(house.bot, "GET", CONTRACT_DEPTH, b"", line))
