"""SIGTERM and SIGHUP while there is work, and an exchange that is not there."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.bot import Bot, Triple
from tests.e2e.harness import Proxy, proxy_in, simulator_in
from tests.e2e.house import House, compact, house_in, order, placed, pretty
from tests.e2e.processes import eventually, fetch
from tests.e2e.wire import request_of, wire_to

pytestmark = pytest.mark.e2e

ORDER_PATH: Final = "/api/v5/trade/order"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with house_in(tmp_path) as house:
        yield house


def accepts(proxy: Proxy) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", proxy.port)):
        return True
    return False


def test_sigterm_finishes_what_is_in_flight(house: House) -> None:
    house.simulator.fault("slow", delay_ms=800, path=ORDER_PATH)
    body = compact(order())
    with wire_to(house.bot) as wire, wire_to(house.bot) as idle:
        idle.send(request_of(house.bot, "GET", "/api/v5/account/balance"))
        idle.answer()
        wire.send(request_of(house.bot, "POST", ORDER_PATH, body))
        house.arrives(2)
        house.proxy.child.process.send_signal(signal.SIGTERM)
        eventually("nobody is let in", lambda: not accepts(house.proxy))
        status, missing = fetch(f"{house.proxy.admin_url}/readyz")
        assert (status, missing) == (503, b'["stopping"]')
        assert idle.closed()
        answer = wire.answer()
        assert placed(answer), pretty(answer)
        assert answer.headers["connection"] == "close"
        assert wire.closed()
    assert house.proxy.child.process.wait(5) == 0
    assert len(house.simulator.orders) == 1
    logged = [line for line in house.proxy.log if line.get("endpoint") == "POST trade/order"]
    assert [line["outcome"] for line in logged] == ["ok"]


def test_sigterm_serves_what_waits_for_a_slot(house: House) -> None:
    instrument = {"instId": "SOL-USDT", "sz": "0.1"}
    timers = "/api/v5/trade/cancel-all-after"
    assert placed(house.bot.call("POST", timers, {"timeOut": "0"}))
    body = compact({"timeOut": "0"})
    with wire_to(house.bot) as wire:
        wire.send(request_of(house.bot, "POST", timers, body))
        eventually("it is in", lambda: house.proxy.metric("tagproxy_connections", side="bot") == 1)
        house.proxy.child.process.send_signal(signal.SIGTERM)
        answer = wire.answer()
    assert placed(answer), (instrument, pretty(answer))
    assert house.proxy.child.process.wait(5) == 0


def test_sigint_stops_as_well(house: House) -> None:
    assert house.proxy.child.end(signal.SIGINT) == 0


def test_sighup_does_not_kill(house: House) -> None:
    with wire_to(house.bot) as wire:
        wire.send(request_of(house.bot, "GET", "/api/v5/account/balance"))
        assert placed(wire.answer())
        house.proxy.child.process.send_signal(signal.SIGHUP)
        wire.send(request_of(house.bot, "GET", "/api/v5/account/balance"))
        assert placed(wire.answer())
        assert placed(house.bot.order())
        assert house.proxy.child.running


def test_the_exchange_goes_away_while_serving(house: House) -> None:
    assert placed(house.bot.order())
    house.simulator.child.end(signal.SIGKILL)
    began = time.monotonic()
    answer = house.bot.order()
    assert (answer.status, answer.slug) == (503, "upstream_unreachable"), pretty(answer)
    assert "NOT SENT" in answer.content["msg"]
    assert time.monotonic() - began < 4
    eventually("it is not ready", lambda: fetch(f"{house.proxy.admin_url}/readyz")[0] == 503)
    assert fetch(f"{house.proxy.admin_url}/readyz")[1] == b'["exchange okx cannot be reached"]'
    assert fetch(f"{house.proxy.admin_url}/healthz")[0] == 200
    assert house.proxy.stop() == 0


def test_a_certificate_nobody_vouches_for_is_not_talked_to(tmp_path: Path) -> None:
    """No byte of an order goes to whoever answers on the exchange's address."""
    with (
        simulator_in(tmp_path / "real") as simulator,
        simulator_in(tmp_path / "other") as other,
        proxy_in(
            tmp_path / "proxy",
            simulator,
            {"exchanges.okx": {"ca_file": str(other.ca_file)}},
            start=False,
        ) as proxy,
    ):
        issued: Triple = proxy.add_user("alice", simulator.add_user())
        proxy.start(wait=False)
        bot = Bot(proxy.base_url, issued)

        def refused() -> bool:
            with contextlib.suppress(OSError):
                return bot.order().slug == "upstream_unreachable"
            return False

        eventually("the order is refused", refused)
        assert "certificate" in bot.order().content["msg"]
        assert simulator.requests == []
        status, missing = fetch(f"{proxy.admin_url}/readyz")
        assert (status, missing) == (503, b'["exchange okx cannot be reached"]')
