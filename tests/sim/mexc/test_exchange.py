"""The back door's view of MEXC, and the bot's side."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from proxy.sim.exchange import Sample
from proxy.sim.mexc import Mexc
from proxy.sim.mexc.desk import ORDERS_KEPT, Book
from proxy.sim.server import SimulatedExchange
from tests.sim.client import HandClock
from tests.sim.mexc.client import BOT, ORDER, OTHER, Client

Server = SimulatedExchange[Mexc]


async def test_what_is_told_of_an_account_holds_for_all_its_keys(
    client: Client, mexc: Server
) -> None:
    fields = {"api_key": "mx0vSECOND", "secret": "s", "uid": "100", "require_source": "OURS"}
    assert await client.sim("POST", "users", fields) == "100"
    assert (await client.spot("GET", "uid")).code == "700007"
    accounts = {each["uid"]: each for each in await client.sim("GET", "accounts")}
    assert accounts["100"]["require_source"] == "OURS"
    assert accounts["*"]["orders_subject"] == "both"
    assert list(accounts) == ["*", "100", "200", "300", "400", "500"]
    await client.sim("POST", "reset")
    assert (await client.spot("GET", "uid")).code == "700007"
    await client.sim("DELETE", "users?api_key=mx0vSECOND")
    assert "mx0vSECOND" not in mexc.exchange.users


async def test_rows_can_be_added(client: Client) -> None:
    rows = ["GET /api/v3/new/{thing} 10 read", "POST /api/v1/private/new 1/2 trade"]
    await client.sim("POST", "endpoints", {"rows": rows})
    assert (await client.spot("GET", "new/x")).status == 200
    assert (await client.futures("POST", "new", {})).code == "0"
    assert (await client.futures("POST", "new", {})).code == "510"


async def test_an_order_that_waits_inside_grows_old(
    client: Client, mexc: Server, clock: HandClock
) -> None:
    await client.sim("POST", "faults", {"kind": "late", "delay_ms": 11})
    answer = await client.spot("POST", "order", ORDER | {"recvWindow": 10})
    assert answer.code == "700003"
    assert mexc.orders == []


async def test_the_clock_offset_moves_the_exchange_only(client: Client) -> None:
    await client.sim("POST", "clock", {"offset_ms": 6000})
    assert (await client.spot("GET", "uid")).code == "700003"
    await client.sim("POST", "clock", {"offset_ms": -1000})
    assert (await client.spot("GET", "uid")).code == "700003"


async def test_orders_of_all_users_are_shown(client: Client) -> None:
    for user in (BOT, OTHER):
        await client.spot("POST", "order", ORDER, user=user, headers={"source": user.uid})
    shown = await client.sim("GET", "orders")
    assert [(each["uid"], each["source"], each["venue"]) for each in shown] == [
        ("100", "100", "main"),
        ("200", "200", "main"),
    ]


def test_samples_carry_somebody_elses_code_in_one_header() -> None:
    mexc = Mexc()
    user = mexc.new_user("7")
    for sample in mexc.samples:
        signed = mexc.signed(user, sample, 1_700_000_000_000)
        assert signed.headers["source"] == "CCXT"
        assert signed.body == sample.body
    assert [sample.target.partition("?")[0] for sample in mexc.samples] == [
        "/api/v3/order",
        "/api/v1/private/order/create",
    ]


async def test_a_read_is_signed_too(client: Client, mexc: Server) -> None:
    sample = Sample("main", "GET", "/api/v1/private/position/leverage?symbol=BTC_USDT", b"", {})
    signed = mexc.exchange.signed(BOT, sample, mexc.clock.wall_ms())
    assert (await client.send("GET", signed.target, signed.body, signed.headers)).code == "0"


def test_old_orders_are_forgotten_but_none_that_is_live() -> None:
    book = Book("orderId", "clientOrderId")
    for number in range(ORDERS_KEPT + 1):
        order = {"orderId": str(number), "symbol": "S", "clientOrderId": f"n{number}"}
        book.add(order)
        if number == 1:
            book.end(order, 0)
    assert book.find("S", "1") is None
    assert book.find("S", "", "n1") is None
    assert book.find("S", "", "n0") is not None
    assert book.find("T", "0") is None
    assert len(book.orders) == ORDERS_KEPT


@pytest.mark.parametrize(
    ("code", "told", "status"),
    [("510", 0, 200), ("429", 0, 429), ("602", 0, 400), ("510", 503, 503)],
)
def test_an_error_that_no_call_made_is_readable_as_both(code: str, told: int, status: int) -> None:
    answer = Mexc().refusal(code, "words", told)
    content = json.loads(answer.body)
    assert (answer.status, answer.accepted, answer.code) == (status, False, code)
    assert content == {"success": False, "code": int(code), "msg": "words", "message": "words"}


def test_there_is_no_demo_trading() -> None:
    with pytest.raises(ValueError, match="no demo"):
        Mexc().new_user("7", demo=True)


async def test_what_is_to_paste_places_an_order() -> None:
    server = SimulatedExchange(Mexc())
    host, port = await server.start()
    try:
        user = server.exchange.new_user("7")
        plain = [
            each.text
            for each in server.exchange.pastes(f"http://{host}:{port}", user)
            if each.text.startswith("python3 - <<'EOF'\n")
        ]
        for text in plain:
            program = "\n".join(text.splitlines()[1:-1])
            bot = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
            )
            said, _ = await bot.communicate()
            assert b"orderId" in said, said
        assert [order["api"] for order in server.orders] == ["spot", "futures"]
        assert {order["source"] for order in server.orders} == {"someoneElse"}
    finally:
        await server.stop()
