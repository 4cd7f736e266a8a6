"""When the exchange fails: what the bot is told, and that no order is ever sent twice.

How often each request reached the exchange is counted there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.e2e.bot import Answered
from tests.e2e.harness import Simulator
from tests.e2e.house import House, compact, house_in, milliseconds, order, placed, pretty
from tests.e2e.processes import eventually
from tests.e2e.wire import request_of, wire_to

pytestmark = pytest.mark.e2e

ORDER_PATH: Final = "/api/v5/trade/order"
BATCH_PATH: Final = "/api/v5/trade/batch-orders"
CANCEL_PATH: Final = "/api/v5/trade/cancel-order"
BALANCE_PATH: Final = "/api/v5/account/balance"
DEADLINE_S: Final = 2.0
ONE_AT_A_TIME: Final = "XRP-USDT"  # of the instruments, for tests that make a bot wait


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    sections: dict[str, dict[str, Any]] = {
        "exchanges.okx": {"deadline": f"{DEADLINE_S * 1000:.0f}ms", "connect_timeout": "1s"},
        "exchanges.okx.limits": {"POST /api/v5/trade/order-algo": "1/1s"},
    }
    with house_in(tmp_path_factory.mktemp("failures"), sections) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.simulator.control("DELETE", "faults")
    running.forget()
    return running


def unknown(answer: Answered) -> bool:
    told = (answer.status, answer.code, answer.slug) == (504, "50004", "upstream_unknown")
    return told and "PERHAPS SENT" in answer.content["msg"]


def orders_at(simulator: Simulator) -> int:
    return len(simulator.orders)


@pytest.mark.parametrize(
    ("kind", "happened"),
    [
        ("drop", 0),
        ("process-drop", 1),
        ("reset", 1),
        ("truncated", 1),
        ("garbage", 1),
    ],
)
def test_an_order_without_an_answer_is_unknown_and_not_sent_again(
    house: House, kind: str, happened: int
) -> None:
    house.simulator.fault(kind)
    answer = house.bot.order()
    assert unknown(answer), pretty(answer)
    assert len(house.received) == 1
    assert orders_at(house.simulator) == happened
    assert placed(house.bot.order())


@pytest.mark.parametrize("path", [BATCH_PATH, CANCEL_PATH, "/api/v5/asset/convert/estimate-quote"])
def test_no_write_of_any_kind_is_sent_again(house: House, path: str) -> None:
    content: dict[str, Any] = {"instId": "BTC-USDT", "ordId": "1"}
    house.simulator.fault("process-drop")
    answer = house.bot.call("POST", path, [order()] if path == BATCH_PATH else content)
    assert unknown(answer), pretty(answer)
    assert len(house.received) == 1


@pytest.mark.parametrize("happens", [False, True])
def test_an_exchange_that_hangs_is_given_up_at_the_deadline(house: House, happens: bool) -> None:
    house.simulator.fault("hang", process=happens)
    began = time.monotonic()
    answer = house.bot.order()
    assert DEADLINE_S - 0.2 < time.monotonic() - began < DEADLINE_S + 0.5
    assert unknown(answer), pretty(answer)
    assert len(house.received) == 1
    assert orders_at(house.simulator) == happens
    assert placed(house.bot.order())


def test_a_slow_answer_within_the_deadline_is_an_answer(house: House) -> None:
    house.simulator.fault("slow", delay_ms=1000)
    answer = house.bot.order()
    assert placed(answer), pretty(answer)
    assert milliseconds(answer, "exchange") >= 1000


def test_the_deadline_covers_the_queue_as_well(house: House) -> None:
    """A bot with a time-out of its own hears of both together in time."""
    algo = {"instId": "ETH-USDT", "tdMode": "cash", "side": "sell", "ordType": "conditional"}
    algo |= {"sz": "1", "tpTriggerPx": "9999", "tpOrdPx": "-1"}
    assert placed(house.bot.call("POST", ORDER_PATH + "-algo", algo))
    house.simulator.fault("hang")
    began = time.monotonic()
    answer = house.bot.call("POST", ORDER_PATH + "-algo", algo)
    assert time.monotonic() - began < DEADLINE_S + 0.5
    assert unknown(answer), pretty(answer)
    assert milliseconds(answer, "limit") > 500


@pytest.mark.parametrize("status", [502, 503, 504, 520])
def test_a_gateways_page_comes_back_as_it_is(house: House, status: int) -> None:
    house.simulator.fault("html", status=status)
    answer = house.bot.order()
    assert (answer.status, answer.slug) == (status, "")
    assert answer.body.startswith(b"<html>")
    assert answer.headers["content-type"].startswith("text/html")
    assert len(house.received) == 1


@pytest.mark.parametrize(
    ("code", "status"), [("50001", 503), ("50004", 400), ("50013", 429), ("50026", 500)]
)
def test_trouble_at_the_exchange_is_passed_on_and_not_tried_again(
    house: House, code: str, status: int
) -> None:
    house.simulator.fault("code", code=code, status=status, process=True)
    answer = house.bot.order()
    assert (answer.status, answer.code, answer.slug) == (status, code, "")
    assert len(house.received) == 1
    assert orders_at(house.simulator) == 1


@pytest.mark.parametrize("kind", ["drop", "process-drop", "reset", "truncated", "garbage"])
def test_a_read_is_repeated_once(house: House, kind: str) -> None:
    house.simulator.fault(kind)
    assert placed(house.bot.call("GET", BALANCE_PATH))
    ports = [each["source_port"] for each in house.received]
    assert len(ports) == len(set(ports)) == 2


def test_a_read_is_not_repeated_twice(house: House) -> None:
    house.simulator.fault("drop", times=2)
    answer = house.bot.call("GET", BALANCE_PATH)
    assert unknown(answer), pretty(answer)
    assert len(house.received) == 2


def test_a_read_that_hangs_is_given_up_at_the_deadline(house: House) -> None:
    house.simulator.fault("hang", times=2)
    began = time.monotonic()
    answer = house.bot.call("GET", BALANCE_PATH)
    assert time.monotonic() - began < DEADLINE_S + 0.5
    assert (answer.status, answer.slug) == (504, "upstream_unknown")


def test_connections_that_the_exchange_closed_are_not_written_to(house: House) -> None:
    """Accepted, or told that it is unknown; never at the exchange twice."""
    answers = []
    for number in range(30):
        house.simulator.control("POST", "close-idle")
        answers.append(house.bot.order(clOrdId=f"idle{number}"))
    accepted = [answer for answer in answers if placed(answer)]
    assert all(placed(answer) or unknown(answer) for answer in answers)
    assert len(accepted) >= 25
    names = [each["clOrdId"] for each in house.simulator.orders]
    assert len(names) == len(set(names))
    assert {answer.content["data"][0]["clOrdId"] for answer in accepted} <= set(names)


def test_an_exchange_that_comes_back_is_used_again(house: House) -> None:
    house.simulator.fault("drop", times=4)
    for _ in range(4):
        assert unknown(house.bot.order())
    assert placed(house.bot.order())
    assert len(house.received) == 5


# ---- the bot goes away ----------------------------------------------------------------------


def algo_order() -> bytes:
    algo = {"instId": ONE_AT_A_TIME, "tdMode": "cash", "side": "sell", "ordType": "conditional"}
    return compact(algo | {"sz": "10", "tpTriggerPx": "1", "tpOrdPx": "-1"})


@pytest.mark.parametrize("gently", [False, True])
def test_a_bot_gone_before_the_send_takes_its_order_back(house: House, gently: bool) -> None:
    path, body = ORDER_PATH + "-algo", algo_order()
    eventually("a slot", lambda: placed(house.bot.call("POST", path, body)))
    before = len(house.received)
    with wire_to(house.bot) as wire:
        wire.send(request_of(house.bot, "POST", path, body))
        waiting = request_of(house.bot, "GET", BALANCE_PATH)
        with wire_to(house.bot) as other:  # by then the first one waits
            other.send(waiting)
            other.answer()
        if gently:
            wire.socket.close()
        else:
            wire.hang_up()
    later = house.bot.call("POST", path, body.replace(b"10", b"20"))
    assert placed(later), pretty(later)
    bodies = [each["body"] for each in house.received[before:] if each["method"] == "POST"]
    assert len(bodies) == 1
    assert '"sz":"20"' in bodies[0]


def test_a_bot_gone_after_the_send_loses_only_the_answer(house: House) -> None:
    labels = {"endpoint": "POST trade/order", "outcome": "ok"}
    before = house.proxy.metric("tagproxy_requests_total", **labels)
    house.simulator.fault("slow", delay_ms=400)
    body = compact(order(clOrdId="goneafter"))
    with wire_to(house.bot) as wire:
        wire.send(request_of(house.bot, "POST", ORDER_PATH, body))
        house.arrives()
        wire.hang_up()
    eventually(
        "the answer is counted",
        lambda: house.proxy.metric("tagproxy_requests_total", **labels) == before + 1,
    )
    assert orders_at(house.simulator) == 1
    eventually(
        "the answer is logged",
        lambda: any(line.get("client_order_id") == "goneafter" for line in house.proxy.log),
    )
