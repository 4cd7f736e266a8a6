"""SIGHUP: everything the configuration says comes into force without a connection being dropped
or a limit's history being lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.certificates import any_certificate, common_name, write_pair
from tests.e2e.bot import ORDER, Bot
from tests.e2e.harness import BROKER_CODE, Proxy
from tests.e2e.house import House, compact, house_in, order, placed, pretty
from tests.e2e.processes import eventually, fetch, free_port
from tests.e2e.reloading import (
    LIMITS,
    NEW_CODE,
    OKX,
    PENDING_PATH,
    SECTIONS,
    accepts,
    anonymous,
    answers,
    put_back,
    reload,
    set_aside,
    tag_of,
    tls_of,
)
from tests.e2e.wire import Wire, request_of, wire_to

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(45)]

ORDER_PATH: Final = "/api/v5/trade/order"
ALGO_PATH: Final = "/api/v5/trade/order-algo"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    # old connections are kept for as long as a request may take
    sections = SECTIONS | {OKX: {"deadline": "4s"}}
    with house_in(tmp_path_factory.mktemp("reload"), sections) as house:
        yield house


@pytest.fixture
def house(running: House) -> Iterator[House]:
    yield from put_back(running)


def algo(bot: Bot, instrument: str) -> str:
    """Place an algo order, whose limit tests may set; return its slug."""
    content = {"instId": instrument, "tdMode": "cash", "side": "sell", "ordType": "trigger"}
    return bot.call("POST", ALGO_PATH, content | {"sz": "1"}).slug


# ---- what requests go by --------------------------------------------------------------------


def test_the_broker_code(house: House) -> None:
    assert tag_of(house) == BROKER_CODE
    with wire_to(house.bot) as wire:
        answers(wire, house.bot)
        reload(house.proxy, {OKX: {"broker_code": NEW_CODE}})
        wire.send(request_of(house.bot, "POST", ORDER_PATH, compact(order())))
        assert placed(wire.answer())
    assert house.simulator.orders[-1]["tag"] == NEW_CODE


def test_how_long_a_request_may_wait(house: House) -> None:
    reload(house.proxy, {LIMITS: {f"POST {ALGO_PATH}": "1/2s"}, "limits": {"max_wait": "0s"}})
    assert [algo(house.bot, "LTC-USDT") for _ in range(2)] == ["", "rate_limited"]
    reload(house.proxy, {"limits": {"max_wait": "3s"}})
    assert algo(house.bot, "LTC-USDT") == ""


def test_what_becomes_of_a_bots_own_code(house: House) -> None:
    reload(house.proxy, {"tagging": {"on_conflict": "reject"}})
    assert house.bot.order().slug == "tag_conflict"
    reload(house.proxy, {"tagging": {"on_conflict": "keep"}})
    assert tag_of(house) == "6b9ad766b55dBCDE"


def test_who_may_read_without_a_key(house: House) -> None:
    assert anonymous(house) == 200
    reload(house.proxy, {"security": {"anonymous_public": "none"}})
    assert anonymous(house) == 401
    reload(house.proxy, {"security": {"anonymous_public": "all"}})
    assert anonymous(house) == 200


def test_writes_that_no_table_knows(house: House) -> None:
    call = ("POST", "/api/v5/trade/not-known-yet", ORDER)
    assert house.bot.call(*call).slug == "forbidden_endpoint"
    reload(house.proxy, {"security": {"unknown_writes": "forward"}})
    assert house.bot.call(*call).slug == ""
    assert len(house.received) == 1


# ---- exchange tables ------------------------------------------------------------------------


def test_an_exchange_comes_and_goes(house: House) -> None:
    """Its accounts may be there before it is; those of one that went stay stored."""
    proxy = house.proxy
    table = proxy.sections[OKX] | {"broker_code": NEW_CODE}
    real = house.simulator.add_user()
    other = Bot(proxy.base_url + "-new", real)
    assert other.call("GET", PENDING_PATH).status == 404
    proxy.configure({"exchanges.okx-new": table})
    added = proxy.run("users", "add", "nora", "--exchange", "okx-new", stdin=real.as_json())
    assert added.returncode == 0, added.stderr
    with wire_to(house.bot) as wire:
        answers(wire, house.bot)
        reload(proxy)
        eventually("its account is known", lambda: other.call("GET", PENDING_PATH).slug == "")
        assert tag_of(house, other) == NEW_CODE
        set_aside(proxy, "exchanges.okx-new")
        reload(proxy)
        assert other.call("GET", PENDING_PATH).status == 404
        assert answers(wire, house.bot) != "close"


def test_rows_of_the_operators_are_read_again(house: House) -> None:
    proxy = house.proxy
    row = {"method": "POST", "path": "/api/v5/new/thing", "action": "set", "permission": "trade"}
    row |= {"scope": "user", "source": "a letter", "checked": "2026-01-01", "confidence": "docs"}
    rules = proxy.directory / "rows.toml"

    def write(limit: str) -> None:
        lines = [f"{key} = {json.dumps(value)}" for key, value in (row | {"limit": limit}).items()]
        rules.write_text("\n".join(["[[endpoint]]", *lines]))

    def slugs(count: int) -> list[str]:
        return [house.bot.call("POST", row["path"], {"n": n}).slug for n in range(count)]

    house.simulator.control("POST", "endpoints", {"rows": ["POST new/thing 9/2 user trade"]})
    write("1/30s")
    assert slugs(1) == ["forbidden_endpoint"]
    reload(proxy, {OKX: {"rules": "rows.toml"}})
    assert slugs(2) == ["", "rate_limited"]
    write("3/30s")
    reload(proxy)
    assert slugs(3) == ["", "", "rate_limited"], "what was spent counts"
    set_aside(proxy, OKX, "rules")
    reload(proxy)
    assert slugs(1) == ["forbidden_endpoint"]


def test_what_was_spent_under_the_old_limit_counts_under_the_new(house: House) -> None:
    bot = house.newcomer()

    def limit(text: str) -> None:
        reload(house.proxy, {LIMITS: {f"POST {ALGO_PATH}": text}, "limits": {"max_wait": "0s"}})

    limit("2/60s")
    assert [algo(bot, "BTC-USDT") for _ in range(3)] == ["", "", "rate_limited"]
    limit("3/60s")
    assert [algo(bot, "BTC-USDT") for _ in range(2)] == ["", "rate_limited"]
    limit("1/60s")
    assert [algo(bot, instrument) for instrument in ("BTC-USDT", "ETH-USDT")] == [
        "rate_limited",
        "",
    ]
    limit("4/8s")
    assert [algo(bot, "BTC-USDT") for _ in range(2)] == ["", "rate_limited"]
    limit("4/70s")
    assert algo(bot, "BTC-USDT") == "rate_limited"


# ---- ports ----------------------------------------------------------------------------------


def test_a_port_of_its_own_comes_and_goes(house: House) -> None:
    proxy = house.proxy
    port = free_port()
    own = Bot(f"http://127.0.0.1:{port}", house.issued)
    assert not accepts(port)
    reload(proxy, {OKX: {"listen": f"127.0.0.1:{port}"}})
    with wire_to(own) as wire:
        assert answers(wire, own) != "close"
        assert placed(house.bot.order())
        set_aside(proxy, OKX, "listen")
        reload(proxy)
        eventually("nobody else is let in", lambda: not accepts(port))
        assert answers(wire, own) == "close"
        assert wire.closed()


def test_the_shared_port_moves(house: House) -> None:
    proxy = house.proxy
    port = free_port()
    moved = Bot(f"http://127.0.0.1:{port}/okx", house.issued)
    body = compact(order(clOrdId="moving"))
    house.simulator.fault("slow", delay_ms=600, method="POST", path=ORDER_PATH)
    with wire_to(house.bot) as wire, wire_to(house.bot) as idle, wire_to(house.bot) as waiting:
        answers(idle, house.bot)
        answers(waiting, house.bot)
        wire.send(request_of(house.bot, "POST", ORDER_PATH, body))
        house.arrives(3)
        reload(proxy, {"server": {"listen": f"127.0.0.1:{port}"}})
        assert placed(moved.order())
        eventually("the old port is shut", lambda: not accepts(proxy.port))
        assert answers(waiting, house.bot) == "close"
        answer = wire.answer()
        assert placed(answer), pretty(answer)
        assert answer.headers["connection"] == "close"
        assert idle.closed(), "in the end, though it says nothing"


def test_the_admin_port_moves(house: House) -> None:
    old = house.proxy.admin_url
    reload(house.proxy, {"admin": {"listen": f"127.0.0.1:{free_port()}"}})
    assert fetch(f"{house.proxy.admin_url}/readyz")[0] == 200
    eventually("the old one is shut", lambda: not accepts(urlsplit(old).port or 0))


def test_the_maxima_of_a_connection(house: House) -> None:
    body = compact(order(clOrdId="x" * 32))
    with wire_to(house.bot) as wire:
        answers(wire, house.bot)
        reload(house.proxy, {"server": {"max_body": "100B"}})
        wire.send(request_of(house.bot, "POST", ORDER_PATH, body))
        assert wire.answer().status == 413


# ---- addresses to send from -----------------------------------------------------------------


async def test_the_addresses_to_send_from(house: House) -> None:
    """What is on its way comes back, what waits for a slot is sent, and nobody is refused."""
    simulator = house.simulator
    bot = house.newcomer()
    limits = {f"POST {ALGO_PATH}": "1/2s"}
    await asyncio.to_thread(
        reload, house.proxy, {OKX: {"egress": ["127.0.0.1", "127.0.0.2"]}, LIMITS: limits}
    )
    assert await asyncio.to_thread(algo, bot, "BTC-USDT") == ""
    home = house.received[-1]["source"]
    assert home in ("127.0.0.1", "127.0.0.2"), "each account keeps to one"
    simulator.fault("slow", delay_ms=800, method="POST", path=ORDER_PATH)
    slow = asyncio.ensure_future(asyncio.to_thread(bot.order))
    waits = asyncio.ensure_future(asyncio.to_thread(algo, bot, "BTC-USDT"))
    await asyncio.to_thread(house.arrives, 2)
    await asyncio.to_thread(reload, house.proxy, {OKX: {"egress": ["127.0.0.3"]}})
    assert await asyncio.to_thread(algo, bot, "ETH-USDT") == ""
    assert house.received[-1]["source"] == "127.0.0.3"
    answer = await slow
    assert placed(answer), pretty(answer)
    assert await waits == ""
    assert {each["source"] for each in house.received} == {home, "127.0.0.3"}
    gone = ("127.0.0.1", "127.0.0.2")

    def shut() -> bool:
        sources = simulator.control("GET", "sources")
        return not any(sources.get(source, {"open": 0})["open"] for source in gone)

    eventually("the old connections are closed", shut)


def test_an_address_that_stays_keeps_its_connections(house: House) -> None:
    reload(house.proxy, {OKX: {"egress": ["127.0.0.1"]}})
    assert placed(house.bot.order())
    before = house.simulator.control("GET", "sources")["127.0.0.1"]["opened"]
    reload(house.proxy, {OKX: {"egress": ["127.0.0.1", "127.0.0.2"], "deadline": "7s"}})
    assert placed(house.bot.order())
    assert house.simulator.control("GET", "sources")["127.0.0.1"]["opened"] == before


# ---- TLS ------------------------------------------------------------------------------------


def encrypted(proxy: Proxy) -> ssl.SSLSocket:
    """Open a connection over TLS to where bots connect."""
    opened = socket.create_connection(("127.0.0.1", proxy.port), timeout=8)
    return any_certificate().wrap_socket(opened, server_hostname="localhost")


def test_tls_is_switched_on_renewed_and_switched_off(house: House) -> None:
    """A certificate is renewed where it lies; the older connections live on with the old."""
    proxy, bot = house.proxy, house.bot
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(wire_to(bot))
        answers(plain, bot)
        reload(proxy, tls_of(write_pair(proxy.directory, "first")))
        wires: list[tuple[str, Wire]] = []
        for name, kind in (("first", "ec"), ("second", "ec"), ("third", "rsa")):
            if wires:
                write_pair(proxy.directory, name, kind=kind)
                reload(proxy)
            connection = stack.enter_context(encrypted(proxy))
            assert common_name(connection) == name
            wires.append((name, Wire(connection)))
            for _, wire in wires:
                assert answers(wire, bot) != "close"
        assert answers(plain, bot) == "close", "it was let go only now that it asked"
        set_aside(proxy, "server", "tls_cert", "tls_key")
        reload(proxy)
        assert placed(bot.order())
        assert answers(wires[0][1], bot) == "close"


# ---- master keys ----------------------------------------------------------------------------


def test_master_keys_are_taken_on(house: House) -> None:
    """A list seals under its first: accounts of either key are served."""
    proxy = house.proxy
    old = Path(proxy.sections["storage"]["master_key"]["file"]).read_text()
    new = base64.b64encode(secrets.token_bytes(32)).decode()
    reload(proxy, {"storage": {"master_key": [new, old]}})
    newcomer = house.newcomer()
    assert placed(newcomer.order())
    assert placed(house.bot.order())
    removed = proxy.run("users", "remove", house.newest)
    assert removed.returncode == 0, removed.stderr
