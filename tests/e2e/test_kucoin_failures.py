"""When KuCoin fails: what the bot is told, and that no order is ever sent twice. And what comes
back when it does not: public reads, socket tokens, metrics, log lines and `me`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.bot import Answered
from tests.e2e.house import milliseconds
from tests.e2e.kucoin_bot import (
    FUTURES_ORDER,
    FUTURES_ORDER_PATH,
    ORDER_PATH,
    KucoinBot,
    named,
    spot_order,
)
from tests.e2e.kucoin_house import (
    ACCOUNTS_PATH,
    KucoinHouse,
    assert_ours,
    headers_of,
    kucoin_house_in,
    placed,
    pretty,
)
from tests.e2e.processes import eventually, fetch
from tests.e2e.wire import request_of, wire_to

pytestmark = pytest.mark.e2e

DEADLINE_S: Final = 1.5
TIME_PATH: Final = "/api/v1/timestamp"
READS: Final = {"main": ACCOUNTS_PATH, "futures": "/api/v1/positions"}
ORDER_PATHS: Final = {"main": ORDER_PATH, "futures": FUTURES_ORDER_PATH}
BATCH_PATHS: Final = {"main": "/api/v1/hf/orders/multi", "futures": "/api/v1/orders/multi"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KucoinHouse]:
    sections = {"exchanges.kucoin": {"deadline": f"{DEADLINE_S * 1000:.0f}ms"}}
    with kucoin_house_in(tmp_path_factory.mktemp("failures"), sections) as house:
        yield house


@pytest.fixture
def house(running: KucoinHouse) -> KucoinHouse:
    running.forget()
    return running


@pytest.fixture(params=["main", "futures"])
def venue(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def bot(house: KucoinHouse, venue: str) -> KucoinBot:
    return house.bot if venue == "main" else house.futures_bot


def order_of(venue: str, **changes: Any) -> dict[str, Any]:
    return (spot_order() if venue == "main" else named(FUTURES_ORDER)) | changes


def place(bot: KucoinBot, venue: str) -> Answered:
    return bot.call("POST", ORDER_PATHS[venue], order_of(venue))


def unknown(answer: Answered) -> bool:
    told = (answer.status, answer.code, answer.slug) == (504, "504000", "upstream_unknown")
    return told and "PERHAPS SENT" in answer.content["msg"]


# ---- orders ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "happened"),
    [("drop", 0), ("process-drop", 1), ("reset", 1), ("truncated", 1), ("garbage", 1)],
)
def test_an_order_without_an_answer_is_unknown_and_not_sent_again(
    house: KucoinHouse, bot: KucoinBot, venue: str, kind: str, happened: int
) -> None:
    house.exchange.fault(kind)
    answer = place(bot, venue)
    assert unknown(answer), pretty(answer)
    assert len(house.received) == 1
    assert len(house.exchange.orders) == happened
    assert placed(place(bot, venue))


def test_no_write_of_any_kind_is_sent_again(house: KucoinHouse, bot: KucoinBot, venue: str) -> None:
    batch: Any = [order_of(venue)] if venue == "futures" else {"orderList": [order_of(venue)]}
    cancels = {"main": "/api/v1/hf/orders/abc?symbol=BTC-USDT", "futures": "/api/v1/orders/abc"}
    settings = {
        "main": "/api/v3/position/update-user-leverage",
        "futures": "/api/v2/changeCrossUserLeverage",
    }
    for count, (method, path, content) in enumerate(
        [
            ("POST", BATCH_PATHS[venue], batch),
            ("DELETE", cancels[venue], None),
            ("POST", settings[venue], {"symbol": "XBTUSDTM", "leverage": "1"}),
        ]
    ):
        house.exchange.fault("process-drop")
        answer = bot.call(method, path, content)
        assert unknown(answer), pretty(answer)
        assert len(house.received) == count + 1


def test_an_exchange_that_hangs_is_given_up_at_the_deadline(
    house: KucoinHouse, bot: KucoinBot, venue: str
) -> None:
    happens = venue == "main"
    house.exchange.fault("hang", process=happens)
    began = time.monotonic()
    answer = place(bot, venue)
    assert DEADLINE_S - 0.2 < time.monotonic() - began < DEADLINE_S + 1
    assert unknown(answer), pretty(answer)
    assert len(house.received) == 1
    assert len(house.exchange.orders) == happens


def test_a_slow_answer_within_the_deadline_is_an_answer(
    house: KucoinHouse, bot: KucoinBot, venue: str
) -> None:
    house.exchange.fault("slow", delay_ms=600)
    answer = place(bot, venue)
    assert placed(answer), pretty(answer)
    assert milliseconds(answer, "exchange") >= 600


@pytest.mark.parametrize("status", [502, 503, 504, 520])
def test_a_gateways_page_comes_back_as_it_is(
    house: KucoinHouse, bot: KucoinBot, venue: str, status: int
) -> None:
    house.exchange.fault("html", status=status)
    answer = place(bot, venue)
    assert (answer.status, answer.slug) == (status, "")
    assert answer.body.startswith(b"<html>")
    assert len(house.received) == 1
    assert house.line(answer)["outcome"] == "exchange_error"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("500000", 500),
        ("503000", 503),
        ("504000", 504),
        ("230005", 200),
        ("400100", 400),
        ("200004", 200),  # a business error, with HTTP 200
        ("400006", 403),
        ("400201", 400),
    ],
)
def test_an_error_of_the_exchange_comes_back_as_it_is(
    house: KucoinHouse, bot: KucoinBot, venue: str, code: str, status: int
) -> None:
    house.exchange.fault("code", code=code, status=status)
    answer = place(bot, venue)
    assert (answer.status, answer.code, answer.slug) == (status, code, "")
    assert len(house.received) == 1
    line = house.line(answer)
    assert (line["outcome"], line["exchange_code"]) == ("exchange_error", code)
    assert house.proxy.ready()


def test_a_read_that_was_cut_is_read_once_more(
    house: KucoinHouse, bot: KucoinBot, venue: str
) -> None:
    house.exchange.fault("drop")
    answer = bot.call("GET", READS[venue])
    assert placed(answer), pretty(answer)
    assert len(house.received) == 2
    assert_ours(house.received[0])
    assert_ours(house.received[1])


def test_idle_connections_that_the_exchange_closed_are_not_used(
    house: KucoinHouse, bot: KucoinBot, venue: str
) -> None:
    for _ in range(3):
        assert placed(place(bot, venue))
        house.exchange.control("POST", "close-idle")
        assert placed(place(bot, venue))
    assert len(house.exchange.orders) == 6


def test_a_bot_that_hangs_up_has_its_order_placed_once(
    house: KucoinHouse, bot: KucoinBot, venue: str
) -> None:
    house.exchange.fault("slow", delay_ms=300)
    with wire_to(bot) as wire:
        body = json.dumps(order_of(venue)).encode()
        wire.send(request_of(bot, "POST", ORDER_PATHS[venue], body))
        house.arrives()
        wire.hang_up()
    eventually("the order is placed", lambda: len(house.exchange.orders) == 1)
    assert len(house.received) == 1


def test_an_exchange_that_is_not_there(tmp_path: Path) -> None:
    with kucoin_house_in(tmp_path) as house:
        house.simulator.child.end()
        for answer in (house.bot.order(), house.futures_bot.futures_order()):
            told = (answer.status, answer.code, answer.slug)
            assert told == (503, "503000", "upstream_unreachable"), pretty(answer)
            assert "NOT SENT" in answer.content["msg"]
            assert set(answer.content) == {"code", "msg"}
        eventually("it is not ready", lambda: not house.proxy.ready())
        assert b"kucoin" in fetch(f"{house.proxy.admin_url}/readyz")[1]


# ---- public reads and tokens -------------------------------------------------------------------


def test_equal_public_reads_in_flight_are_one(house: KucoinHouse, venue: str) -> None:
    """Signed or not, of whatever bot; those of the other venue are others."""
    paths = {"main": "/api/v1/market/allTickers", "futures": "/api/v1/allTickers"}
    bot = house.bot if venue == "main" else house.futures_bot
    house.exchange.fault("slow", delay_ms=500, path=paths[venue])
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: bot.call("GET", paths[venue]), range(6)))
    assert all(map(placed, answers))
    assert len({answer.body for answer in answers}) == 1
    assert len(house.exchange.requests) == 1
    merged = [answer.headers.get("x-tagproxy-cache") for answer in answers]
    assert merged.count("merged") == 5
    arrived = headers_of(house.exchange.requests[0])
    assert not [name for name in arrived if name.startswith("kc-")]


def test_the_venues_share_no_answer(house: KucoinHouse) -> None:
    house.exchange.fault("slow", delay_ms=400, path=TIME_PATH, times=2)
    with ThreadPoolExecutor(2) as pool:
        bots = (house.bot, house.futures_bot)
        answers = list(pool.map(lambda bot: bot.call("GET", TIME_PATH), bots))
    assert all(map(placed, answers))
    assert sorted(each["venue"] for each in house.exchange.requests) == ["futures", "main"]


@pytest.mark.parametrize("kind", ["public", "private"])
def test_a_sockets_token_passes_through(
    house: KucoinHouse, bot: KucoinBot, venue: str, kind: str
) -> None:
    answers = [bot.call("POST", f"/api/v1/bullet-{kind}") for _ in range(2)]
    assert all(map(placed, answers)), pretty(answers[0])
    hosts = {"main": "wss://ws-api-spot.kucoin.com/", "futures": "wss://ws-api-futures.kucoin.com/"}
    tokens = set()
    for answer, request in zip(answers, house.received, strict=True):
        assert answer.body.decode("latin-1") == request["answer"]
        (server,) = answer.content["data"]["instanceServers"]
        assert server["endpoint"] == hosts[venue]
        assert request["venue"] == venue
        tokens.add(answer.content["data"]["token"])
    assert len(tokens) == 2
    log = "".join(map(str, house.proxy.log))
    assert not [token for token in tokens if token in log]


# ---- what is told of it ------------------------------------------------------------------------


def test_a_line_is_written_of_every_order(house: KucoinHouse, bot: KucoinBot, venue: str) -> None:
    order = order_of(venue)
    answer = bot.call("POST", ORDER_PATHS[venue], order)
    line = house.line(answer)
    label = {"main": "POST v1/hf/orders", "futures": "POST v1/orders"}[venue]
    told = ("user", "account", "exchange", "endpoint", "outcome", "exchange_code")
    assert [line[name] for name in told] == ["alice", "main", "kucoin", label, "ok", "200000"]
    assert line["client_order_id"] == order["clientOid"]
    assert line["order_id"] == answer.content["data"]["orderId"]
    failed = bot.call("POST", ORDER_PATHS[venue], order)  # under the same name
    line = house.line(failed)
    assert (line["outcome"], line["order_id"]) == ("exchange_error", "")
    assert line["exchange_code"] == failed.code in ("400100", "300018")


def test_a_batchs_line_names_every_order(house: KucoinHouse, bot: KucoinBot, venue: str) -> None:
    orders = [order_of(venue) for _ in range(3)]
    batch: Any = orders if venue == "futures" else {"orderList": orders}
    answer = bot.call("POST", BATCH_PATHS[venue], batch)
    line = house.line(answer)
    assert line["client_order_id"] == ",".join(each["clientOid"] for each in orders)
    assert line["order_id"] == ",".join(each["orderId"] for each in answer.content["data"])
    assert line["outcome"] == "ok"


def test_a_batch_of_which_some_failed_is_an_exchange_error(
    house: KucoinHouse, bot: KucoinBot, venue: str
) -> None:
    orders = [order_of(venue), order_of(venue, side="neither")]
    batch: Any = orders if venue == "futures" else {"orderList": orders}
    answer = bot.call("POST", BATCH_PATHS[venue], batch)
    assert placed(answer), pretty(answer)
    line = house.line(answer)
    assert line["outcome"] == "exchange_error"
    assert line["order_id"] == house.exchange.orders[0]["id"]


@pytest.mark.parametrize("how", ["id", "name", "many"])
def test_a_cancels_line_names_its_order(
    house: KucoinHouse, bot: KucoinBot, venue: str, how: str
) -> None:
    made = place(bot, venue).content["data"]
    at = {"main": "/api/v1/hf/orders", "futures": "/api/v1/orders"}[venue]
    symbol = {"main": "BTC-USDT", "futures": "XBTUSDTM"}[venue]
    part = {"id": made["orderId"], "name": f"client-order/{made['clientOid']}", "many": ""}[how]
    if how == "many" and venue == "futures":
        at = "/api/v3/orders"
    answer = bot.call("DELETE", f"{at}/{part}".rstrip("/") + f"?symbol={symbol}")
    assert placed(answer), pretty(answer)
    line = house.line(answer)
    assert made["orderId"] not in line["endpoint"]
    assert made["clientOid"] not in line["endpoint"]
    assert line["order_id"] in (made["orderId"], "")
    assert (line["order_id"] == "") == (made["orderId"] not in answer.body.decode())


def test_metrics_tell_the_venues_apart_and_name_no_order(house: KucoinHouse) -> None:
    def counted(venue: str, endpoint: str) -> float:
        name = "tagproxy_requests_total"
        labels = {"exchange": "kucoin", "venue": venue, "endpoint": endpoint, "outcome": "ok"}
        return house.proxy.metric(name, **labels)

    spot, contracts = "POST v1/hf/orders", "POST v1/orders"
    before = counted("main", spot), counted("futures", contracts)
    order_id = house.bot.order().content["data"]["orderId"]
    name = house.futures_bot.futures_order().content["data"]["clientOid"]
    assert placed(house.bot.call("DELETE", f"/api/v1/hf/orders/{order_id}?symbol=BTC-USDT"))
    named = house.futures_bot.call("GET", f"/api/v1/orders/byClientOid?clientOid={name}")
    assert placed(named), pretty(named)
    assert (counted("main", spot), counted("futures", contracts)) == (before[0] + 1, before[1] + 1)
    assert counted("main", "DELETE v1/hf/orders/{orderId}") >= 1
    text = fetch(f"{house.proxy.admin_url}/metrics")[1].decode()
    assert order_id not in text
    assert name not in text
    assert "alice" not in text
    tagged = "tagproxy_orders_tagged_total"
    assert house.proxy.metric(tagged, venue="futures", endpoint=contracts, via="rest") > 0


def test_me_tells_whose_key_it_is(house: KucoinHouse, bot: KucoinBot, venue: str) -> None:
    for each in (bot, replace(bot, triple=house.real), replace(bot, sealed=False, version="")):
        answer = each.call("GET", "/tagproxy/me")
        assert answer.status == 200, pretty(answer)
        told = answer.content
        assert (told["name"], told["exchange"], told["mode"]) == ("alice", "kucoin", "sign")
        real = told["real_key"]
        assert (real["health"], real["uid"]) == ("ok", real["main_uid"])
        assert real["permissions"] == ["General", "Spot", "Margin", "Futures"]
        assert house.real.secret not in answer.body.decode()
        assert {each["limit"] for each in told["budgets"]} >= {"spot", "management"}
    refused = bot.call("GET", "/tagproxy/me", headers={"KC-API-SIGN": "x"})
    assert (refused.status, refused.code) == (401, "400005")
    assert house.received == []


def test_me_tells_of_the_addresses_that_a_key_is_bound_to(house: KucoinHouse) -> None:
    bot = house.newcomer(ips="127.0.0.1,192.0.2.1")
    house.ask(bot)
    real = bot.call("GET", "/tagproxy/me").content["real_key"]
    assert real["bound_to"] == ["127.0.0.1", "192.0.2.1"]


def test_a_key_that_the_exchange_does_not_take_is_unwell(house: KucoinHouse) -> None:
    bot = house.newcomer()
    house.ask(bot)
    for code, status in (("400003", 401), ("400006", 403)):
        house.exchange.fault("code", code=code, status=status)
        assert bot.call("GET", ACCOUNTS_PATH).code == code
        assert bot.call("GET", "/tagproxy/me").content["real_key"]["health"] == code
    assert placed(bot.call("GET", ACCOUNTS_PATH))
    assert bot.call("GET", "/tagproxy/me").content["real_key"]["health"] == "ok"
