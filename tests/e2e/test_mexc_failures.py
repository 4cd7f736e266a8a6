"""When MEXC fails: what the bot is told, and that no order is ever sent twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.bot import Answered
from tests.e2e.mexc_bot import FUTURES_ORDER, ORDER, MexcBot
from tests.e2e.mexc_house import (
    ACCOUNT_PATH,
    FUTURES_READ,
    STREAM_PATH,
    MexcHouse,
    assert_ours,
    mexc_house_in,
    path_of,
    pretty,
    taken,
)
from tests.e2e.processes import eventually

pytestmark = pytest.mark.e2e

DEADLINE_S: Final = 1.2


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MexcHouse]:
    sections: dict[str, dict[str, Any]] = {
        "limits": {"max_wait": "2s"},
        "exchanges.mexc": {"deadline": f"{DEADLINE_S * 1000:.0f}ms", "connect_timeout": "1s"},
    }
    with mexc_house_in(tmp_path_factory.mktemp("failures"), sections, tls=True) as house:
        yield house


@pytest.fixture
def house(running: MexcHouse) -> MexcHouse:
    running.forget()
    return running


WRITES: Final[dict[str, Callable[[MexcBot], Answered]]] = {
    "spot": lambda bot: bot.order(),
    "spot body": lambda bot: bot.order_in_body(),
    "batch": lambda bot: bot.batch(ORDER, ORDER),
    "futures": lambda bot: bot.futures_order(),
    "submit": lambda bot: bot.call("POST", "/api/v1/private/order/submit", FUTURES_ORDER),
    "cancel": lambda bot: bot.call("DELETE", "/api/v3/openOrders?symbol=BTCUSDT"),
    "futures cancel": lambda bot: bot.call("POST", "/api/v1/private/order/cancel_all", {}),
    "listen key": lambda bot: bot.call("POST", STREAM_PATH),
}
READS: Final[dict[str, Callable[[MexcBot], Answered]]] = {
    "spot": lambda bot: bot.call("GET", ACCOUNT_PATH),
    "futures": lambda bot: bot.call("GET", FUTURES_READ),
}
SPOT_AND_FUTURES: Final = ("spot", "futures")


def unknown(answer: Answered) -> bool:
    told = (answer.status, answer.slug, answer.content["code"])
    return told == (504, "upstream_unknown", 504) and "PERHAPS SENT" in answer.content["msg"]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("kind", ["drop", "process-drop", "reset", "truncated", "garbage"])
def test_a_write_without_an_answer_is_unknown_and_not_sent_again(
    house: MexcHouse, write: str, kind: str
) -> None:
    house.exchange.fault(kind)
    answer = WRITES[write](house.bot)
    assert unknown(answer), pretty(answer)
    assert len(house.received) == 1
    assert_ours(house.received)
    happened = {"drop": 0}.get(kind, {"batch": 2}.get(write, 1))
    if "order" in path_of(house.last) and house.last["method"] == "POST" and "cancel" not in write:
        assert len(house.exchange.orders) == happened
    assert taken(WRITES[write](house.bot))


@pytest.mark.parametrize("write", SPOT_AND_FUTURES)
@pytest.mark.parametrize("process", [False, True])
def test_an_exchange_that_hangs_is_given_up(house: MexcHouse, write: str, process: bool) -> None:
    house.exchange.fault("hang", process=process)
    answer = WRITES[write](house.bot)
    assert unknown(answer), pretty(answer)
    assert len(house.received) == 1
    assert len(house.exchange.orders) == process


@pytest.mark.parametrize("read", READS)
def test_a_read_is_asked_once_more(house: MexcHouse, read: str) -> None:
    house.exchange.fault("process-drop")
    answer = READS[read](house.bot)
    assert taken(answer), pretty(answer)
    assert len(house.received) == 2
    assert_ours(house.received)
    house.exchange.fault("drop", times=2)
    answer = READS[read](house.bot)
    assert unknown(answer), pretty(answer)
    assert len(house.received) == 4


@pytest.mark.parametrize("write", SPOT_AND_FUTURES)
@pytest.mark.parametrize("status", [500, 502, 503, 504, 520])
def test_a_gateways_page_is_unknown_to_no_one_but_the_bot_sees_it(
    house: MexcHouse, write: str, status: int
) -> None:
    """The status and body are the exchange's own, and nothing is sent again."""
    house.exchange.fault("html", status=status, process=True)
    answer = WRITES[write](house.bot)
    assert (answer.status, answer.slug) == (status, ""), pretty(answer)
    assert answer.body.startswith(b"<html>")
    assert len(house.received) == 1
    assert len(house.exchange.orders) == 1
    assert house.line(answer)["outcome"] == "exchange_error"


@pytest.mark.parametrize("write", SPOT_AND_FUTURES)
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("500", 500),
        ("503", 503),
        ("504", 504),
        ("501", 200),
        ("30005", 400),
        ("700003", 400),
        ("2005", 200),
        ("603", 200),
    ],
)
def test_an_error_of_the_exchange_comes_back_as_it_is(
    house: MexcHouse, write: str, code: str, status: int
) -> None:
    house.exchange.fault("code", code=code, status=status)
    answer = WRITES[write](house.bot)
    assert (answer.status, answer.slug) == (status, ""), pretty(answer)
    assert answer.content["code"] == int(code)
    assert len(house.received) == 1
    line = house.line(answer)
    assert (line["outcome"], line["exchange_code"]) == ("exchange_error", code)


@pytest.mark.parametrize(
    ("write", "code", "status"),
    [
        ("spot", "429", 429),
        ("futures", "510", 200),
        ("futures", "429", 429),
        ("futures", "2037", 200),
        ("cancel", "429", 429),
        ("futures cancel", "510", 200),
    ],
)
def test_too_many_waits_and_is_sent_again_for_nothing_was_done(
    house: MexcHouse, write: str, code: str, status: int
) -> None:
    refused_before = house.proxy.metric("tagproxy_exchange_rate_limited_total")
    house.exchange.fault("code", code=code, status=status)
    answer = WRITES[write](house.bot)
    assert house.proxy.metric("tagproxy_exchange_rate_limited_total") == refused_before + 1
    assert answer.slug == "", pretty(answer)
    made = len(house.exchange.orders)
    if taken(answer):
        assert len(house.received) == 2
        assert made == ("cancel" not in write)
    else:  # the wait would have been too long
        assert (answer.status, answer.content["code"], made) == (status, int(code), 0)
    assert_ours(house.received)


def test_retry_after_shuts_the_budget_for_so_long(house: MexcHouse) -> None:
    """The exchange's own answer is the bot's at once; the next call is refused here."""
    bot = house.newcomer()

    def ask() -> Answered:
        return bot.call("GET", "/api/v3/tradeFee?symbol=BTCUSDT")

    house.exchange.fault("code", code="429", status=429, headers={"Retry-After": "5"})
    answer = ask()
    assert (answer.status, answer.content["code"]) == (429, 429), pretty(answer)
    assert answer.headers["retry-after"] == "5"
    again = ask()
    assert (again.status, again.slug) == (429, "rate_limited"), pretty(again)
    assert 3 <= int(again.headers["retry-after"]) <= 5
    assert len(house.received) == 1
    assert taken(bot.order())


def test_a_batch_of_which_some_failed_is_answered_as_it_is(house: MexcHouse) -> None:
    """Each order of a batch has its own answer; those that were placed stay so."""
    answer = house.bot.batch(ORDER, ORDER | {"price": "0.00001", "quantity": "0.001"})
    assert (answer.status, answer.slug) == (200, ""), pretty(answer)
    assert "code" in answer.content[1]
    assert len(house.received) == 1
    assert len(house.exchange.orders) == 1
    line = house.line(answer)
    assert line["outcome"] == "exchange_error"
    assert line["order_id"] == answer.content[0]["orderId"]


def test_an_address_that_is_banned_rests(tmp_path: Path) -> None:
    """Every budget and user leaves from it: nothing is sent until it is over."""
    with mexc_house_in(tmp_path) as banned:
        banned.exchange.fault("ban-403", for_ms=2_000, retry_after="60")
        first = banned.bot.order()
        assert first.status in (403, 503), pretty(first)
        seen = len(banned.received)
        assert seen >= 1
        for answer, code in ((banned.bot.order(), 503), (banned.bot.futures_order(), 501)):
            assert (answer.status, answer.slug) == (503, "exchange_ban"), pretty(answer)
            assert answer.content["code"] == code
            assert "NOT SENT" in answer.content["msg"]
        assert len(banned.received) == seen
        assert banned.exchange.orders == []


def test_a_slow_answer_is_an_answer(house: MexcHouse) -> None:
    house.exchange.fault("slow", delay_ms=500)
    answer = house.bot.order()
    assert taken(answer), pretty(answer)


def test_an_order_may_go_after_the_exchange_closed_its_connections(house: MexcHouse) -> None:
    assert taken(house.bot.order())
    house.exchange.control("POST", "close-idle")
    answers = [house.bot.order(), house.bot.futures_order()]
    eventually("all is answered", lambda: all(each["status"] for each in house.received))
    for answer in answers:
        assert taken(answer) or unknown(answer), pretty(answer)
    assert len(house.exchange.orders) == len(house.received)
