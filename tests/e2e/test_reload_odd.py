"""SIGHUP for a configuration that is bad, which changes nothing; at odd moments; and under load."""

from __future__ import annotations

import asyncio
import base64
import secrets
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.certificates import write_pair
from tests.e2e.bot import ORDER
from tests.e2e.conftest import StartProxy
from tests.e2e.harness import BROKER_CODE, Simulator
from tests.e2e.house import House, compact, house_in, order, placed, pretty
from tests.e2e.load import Flood, lanes_at, order_of
from tests.e2e.processes import eventually, free_port
from tests.e2e.reloading import (
    LIMITS,
    NEW_CODE,
    OKX,
    SECTIONS,
    TIMESTAMP,
    accepts,
    anonymous,
    answers,
    events,
    hang_up,
    put_back,
    refused,
    reload,
    set_aside,
    tag_of,
    tls_of,
)
from tests.e2e.wire import request_of, wire_to

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(45)]

ORDER_PATH: Final = "/api/v5/trade/order"
ALGO_PATH: Final = "/api/v5/trade/order-algo"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_in(tmp_path_factory.mktemp("reload"), SECTIONS) as house:
        yield house


@pytest.fixture
def house(running: House) -> Iterator[House]:
    yield from put_back(running)


# ---- configurations that are bad ------------------------------------------------------------


def damage(house: House, kind: str) -> int:
    """Make the configuration to come bad in one way; return how many faults it has."""
    proxy = house.proxy
    proxy.configure({OKX: {"broker_code": NEW_CODE}, "security": {"anonymous_public": "none"}})
    if kind == "syntax":
        proxy.config_file.write_text(proxy.config_file.read_text() + "\n[server\n")
    elif kind == "not UTF-8":
        proxy.config_file.write_bytes(proxy.config_file.read_bytes() + b"# \xff\n")
    elif kind == "gone":
        proxy.config_file.unlink()
    elif kind == "unknown keys":
        proxy.configure({"limits": {"max_weight": "3s", "min_weight": "3s"}, "sever": {}})
        return 3
    elif kind == "many faults":
        proxy.configure({"server": {f"unknown{number}": number for number in range(12)}})
        return 12
    elif kind == "rules":
        (proxy.directory / "broken.toml").write_text('[[endpoint]]\nmethod = "FETCH"\n')
        proxy.configure({OKX: {"rules": "broken.toml"}})
    elif kind == "rules not UTF-8":
        (proxy.directory / "broken.toml").write_bytes(b"# \xff\n")
        proxy.configure({OKX: {"rules": "broken.toml"}})
    elif kind == "certificate":
        pair = write_pair(proxy.directory, "one")
        certificate = pair.certificate.read_bytes()
        write_pair(proxy.directory, "other")
        pair.certificate.write_bytes(certificate)
        proxy.configure(tls_of(pair))
    elif kind == "workers":
        proxy.configure({"server": {"workers": 2}})
    return 1


BAD: Final = (
    *("syntax", "not UTF-8", "gone", "unknown keys", "many faults"),
    *("rules", "rules not UTF-8", "certificate", "workers"),
)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_configuration_changes_nothing(house: House, kind: str) -> None:
    with wire_to(house.bot) as wire:
        answers(wire, house.bot)
        count = damage(house, kind)
        found = refused(house.proxy)
        assert len(found) == count, found
        assert tag_of(house) == BROKER_CODE
        assert anonymous(house) == 200
        assert answers(wire, house.bot) != "close"


def test_a_port_that_is_taken_changes_nothing(house: House) -> None:
    """Nothing that could be had of it comes into force: no port, no code, no TLS."""
    proxy = house.proxy
    own, admin = free_port(), free_port()
    with (
        wire_to(house.bot) as wire,
        socket.create_server(("127.0.0.1", 0)) as taker,
    ):
        answers(wire, house.bot)
        taken = taker.getsockname()[1]
        table = proxy.sections[OKX] | {"listen": f"127.0.0.1:{taken}"}
        url = proxy.admin_url
        proxy.configure(
            {
                OKX: {"broker_code": NEW_CODE, "listen": f"127.0.0.1:{own}"},
                "admin": {"listen": f"127.0.0.1:{admin}"},
                "exchanges.okx-new": table,
                **tls_of(write_pair(proxy.directory, "any")),
            }
        )
        (fault,) = refused(proxy)
        assert f"cannot listen on 127.0.0.1:{taken}" in fault
        assert not accepts(own)
        assert not accepts(admin)
        assert proxy.admin_url == url
        assert tag_of(house) == BROKER_CODE
        assert answers(wire, house.bot) != "close"
    with socket.create_server(("127.0.0.1", 0)) as taker:
        set_aside(proxy, "exchanges.okx-new")
        set_aside(proxy, "server", "tls_cert", "tls_key")
        taken = taker.getsockname()[1]
        proxy.configure({"admin": {"listen": f"127.0.0.1:{taken}"}})
        (fault,) = refused(proxy)
        assert f"cannot listen on 127.0.0.1:{taken}" in fault
        assert tag_of(house) == BROKER_CODE


def test_a_good_one_after_a_bad_one_is_taken_on(house: House) -> None:
    proxy = house.proxy
    proxy.configure({OKX: {"broker_code": NEW_CODE}, "limits": {"max_weight": "3s"}})
    (fault,) = refused(proxy)
    line = proxy.config_file.read_text().splitlines().index('max_weight = "3s"') + 1
    assert fault == f"{proxy.config_file}:{line}: limits.max_weight: unknown key"
    set_aside(proxy, "limits", "max_weight")
    reload(proxy)
    assert tag_of(house) == NEW_CODE


def test_what_cannot_change_is_told_and_the_rest_comes_into_force(house: House) -> None:
    """Compared with what runs: told each time, and no more once it is put back."""
    proxy = house.proxy
    url = proxy.sections["storage"]["url"]

    size = proxy.child.stderr.stat().st_size

    def told() -> list[str]:
        lines = events(proxy, size)
        return [line["key"] for line in lines if line["message"].endswith("needs a restart")]

    reload(proxy, {"storage": {"url": url + "x"}, OKX: {"broker_code": NEW_CODE}})
    assert tag_of(house) == NEW_CODE
    eventually("it is told", lambda: told() == ["storage.url"])
    reload(proxy)
    eventually("it is told again", lambda: told() == ["storage.url"] * 2)
    reload(proxy, {"storage": {"url": url}})
    proxy.configure({"limits": {"max_weight": "3s"}})
    refused(proxy)  # whatever was to be told before stands in the log by now
    set_aside(proxy, "limits", "max_weight")
    assert told() == ["storage.url"] * 2


def test_a_master_key_that_opens_nothing_is_refused(house: House, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.key"
    wrong.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    house.proxy.configure(
        {"storage": {"master_key": {"file": str(wrong)}}, OKX: {"broker_code": NEW_CODE}}
    )
    (fault,) = refused(house.proxy)
    assert "master key" in fault
    assert tag_of(house) == BROKER_CODE


# ---- when it comes --------------------------------------------------------------------------


def test_several_at_once(house: House) -> None:
    """The last configuration written is in force in the end."""
    proxy = house.proxy
    before = proxy.metric(TIMESTAMP)
    with wire_to(house.bot) as wire:
        for number in range(5):
            proxy.configure({OKX: {"broker_code": f"manyCODE{number}"}})
            hang_up(proxy)
            hang_up(proxy)
            answers(wire, house.bot)
        eventually("it is taken on", lambda: proxy.metric(TIMESTAMP) > before)
        eventually("the last one counts", lambda: tag_of(house) == "manyCODE4")
        assert answers(wire, house.bot) != "close"


def test_while_it_starts_and_as_it_ends(simulator: Simulator, start_proxy: StartProxy) -> None:
    """And what the environment says goes before the file, then as at the start."""
    proxy = start_proxy(SECTIONS, start=False)
    bot = proxy.bot(proxy.add_user("alice", simulator.add_user()))
    environ = {"TAGPROXY_EXCHANGES__OKX__BROKER_CODE": "environCODE"}
    proxy.start(environ, wait=False)
    eventually("it listens", lambda: accepts(proxy.port))
    hang_up(proxy)
    eventually("the proxy is ready", proxy.ready)
    assert placed(bot.order())
    reload(proxy, {OKX: {"broker_code": NEW_CODE}, "tagging": {"on_conflict": "reject"}})
    assert bot.order().slug == "tag_conflict"
    assert placed(bot.call("POST", ORDER_PATH, ORDER))
    assert [each["tag"] for each in simulator.orders] == ["environCODE"] * 2
    simulator.fault("slow", delay_ms=500, method="POST", path=ORDER_PATH)
    with wire_to(bot) as wire:
        wire.send(request_of(bot, "POST", ORDER_PATH, compact(order(px="39999"))))
        eventually("it is there", lambda: len(simulator.orders) == 3)
        proxy.configure({"server": {"listen": f"127.0.0.1:{free_port()}"}})
        hang_up(proxy)
        proxy.child.process.send_signal(signal.SIGTERM)
        answer = wire.answer()
        assert placed(answer), pretty(answer)
    assert proxy.child.process.wait(8) == 0
    assert not [line for line in events(proxy) if line["level"] == "error"], events(proxy)


# ---- under load -----------------------------------------------------------------------------

RELOADS: Final = 10
USE_MIN: Final = 0.9


@pytest.mark.timed
async def test_a_flood_notices_nothing(tmp_path: Path) -> None:
    """Ten changes of nearly everything while more orders come than the limit lets through."""
    with house_in(tmp_path, SECTIONS) as house:
        proxy, simulator = house.proxy, house.simulator
        simulator.control("POST", "delay", {"fixed_ms": 10})
        lanes = [(house.bot, order_of(name)) for name in ("BTC-USDT", "ETH-USDT")]
        flood = Flood()
        run = asyncio.ensure_future(flood.run(lanes, seconds=60, workers=20))
        for number in range(RELOADS):
            await asyncio.sleep(0.6)
            sections: dict[str, dict[str, Any]] = {
                OKX: {
                    "broker_code": f"floodCODE{number}",
                    "egress": [f"127.0.0.{1 + number // 2 % 3}"],
                    "deadline": f"{8 + number}s",
                },
                LIMITS: {
                    f"POST {ALGO_PATH}": f"{number + 1}/2s",
                    f"POST {ORDER_PATH}": "60/2s" if number % 2 else "59/2s",
                },
                "limits": {"max_wait": f"{3000 + number}ms", "jitter": f"{10 + number % 2}ms"},
                "exchanges.okx-new": proxy.sections[OKX] | {"broker_code": f"newCODE{number}"},
            }
            await asyncio.to_thread(reload, proxy, sections)
            assert await asyncio.to_thread(proxy.ready), "who checks its health may do so just now"
        flood.stop_at = 0
        await run
        assert set(flood.answers) <= {"ok", "rate_limited"}, flood.answers
        assert simulator.breaches == {}
        assert flood.answers["ok"] == len(simulator.orders)
        seen = lanes_at(simulator, f"POST {ORDER_PATH}")
        assert len(seen) == len(lanes)
        for name, lane in seen.items():
            assert lane.use() >= USE_MIN, (name, lane.use())
        assert len({each["tag"] for each in simulator.orders}) >= 3, "each burst has its own"
