"""Who is refused, with which code and status: okx's error table."""

from __future__ import annotations

import asyncio

import pytest

from proxy.sim.okx import SimulatedOkx
from tests.sim.client import BOUND, DEMO, LIVE, ORDER, READER, Client, HandClock


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("OK-ACCESS-KEY", "50103"),
        ("OK-ACCESS-PASSPHRASE", "50104"),
        ("OK-ACCESS-SIGN", "50106"),
        ("OK-ACCESS-TIMESTAMP", "50107"),
    ],
)
@pytest.mark.parametrize("value", [None, ""])
async def test_each_missing_header_has_its_code(
    client: Client, header: str, code: str, value: str | None
) -> None:
    answer = await client.call("GET", "account/balance", change={header: value})
    assert (answer.status, answer.code) == (401, code)


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("OK-ACCESS-KEY", "nonsense", "50111"),
        ("OK-ACCESS-KEY", "99999999-2222-3333-4444-555555555555", "50119"),
        ("OK-ACCESS-PASSPHRASE", "wrong", "50105"),
        ("OK-ACCESS-SIGN", "wrong", "50113"),
        ("OK-ACCESS-TIMESTAMP", "1700000000000", "50112"),
        ("OK-ACCESS-TIMESTAMP", "2023-11-14T22:13:20Z", "50112"),
        ("OK-ACCESS-TIMESTAMP", "2023-13-14T22:13:20.000Z", "50112"),
        ("x-simulated-trading", "1", "50101"),
        ("Authorization", "Bearer token", "50114"),
    ],
)
async def test_each_wrong_header_has_its_code(
    client: Client, header: str, value: str, code: str
) -> None:
    answer = await client.call("GET", "account/balance", change={header: value})
    assert (answer.status, answer.code) == (401, code)


@pytest.mark.parametrize(
    ("age_ms", "status"), [(30_000, 200), (30_001, 401), (-30_000, 200), (-30_001, 401)]
)
async def test_a_timestamp_is_good_for_thirty_seconds_either_way(
    client: Client, age_ms: int, status: int
) -> None:
    answer = await client.call("GET", "account/balance", age_ms=age_ms)
    assert answer.status == status
    assert answer.code == ("0" if status == 200 else "50102")


async def test_the_signature_covers_query_and_body(client: Client) -> None:
    headers = client.headers("GET", "/api/v5/account/balance?ccy=BTC", b"")
    answer = await client.send("GET", "/api/v5/account/balance?ccy=ETH", b"", headers)
    assert answer.code == "50113"
    headers = client.headers("POST", "/api/v5/trade/order", b"{}")
    answer = await client.send("POST", "/api/v5/trade/order", b"{ }", headers)
    assert answer.code == "50113"


async def test_a_demo_key_needs_the_demo_header(client: Client) -> None:
    assert (await client.call("GET", "account/config", user=DEMO)).code == "50101"
    demo = {"x-simulated-trading": "1"}
    assert (await client.call("GET", "account/config", user=DEMO, change=demo)).code == "0"
    live = {"x-simulated-trading": "0"}
    assert (await client.call("GET", "account/config", change=live)).code == "0"


async def test_a_read_only_key_cannot_trade(client: Client) -> None:
    assert (await client.call("POST", "trade/order", ORDER, user=READER)).code == "50120"
    assert (await client.call("GET", "account/balance", user=READER)).code == "0"


async def test_a_bound_key_is_refused_from_elsewhere(client: Client) -> None:
    answer = await client.call("GET", "account/balance", user=BOUND)
    assert (answer.status, answer.code) == (401, "50110")
    assert "Your IP 127.0.0.1 is not" in answer.content["msg"]


async def test_public_reads_need_no_key_but_a_wrong_one_is_refused(client: Client) -> None:
    target = "/api/v5/public/time"
    assert (await client.send("GET", target, b"", {})).code == "0"
    wrong = client.headers("GET", target, b"") | {"OK-ACCESS-SIGN": "wrong"}
    assert (await client.send("GET", target, b"", wrong)).code == "50113"


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "no/such/thing", 404, "404"),
        ("GET", "trade/orders", 404, "404"),
        ("POST", "trade/order/", 404, "404"),
        ("POST", "account/balance", 405, "50115"),
        ("DELETE", "trade/order", 405, "50115"),
    ],
)
async def test_unknown_routes_and_methods(
    client: Client, method: str, target: str, status: int, code: str
) -> None:
    answer = await client.call(method, target, {} if method == "POST" else None)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "50000"),
        (b"{", "50002"),
        (b'{"px":NaN}', "50002"),
        (b"\xff{}", "50002"),
        (b"[]", "50002"),
        (b"[" * 100_000, "50002"),
        (b'{"tag":"a","tag":"b"}', "50002"),
    ],
)
async def test_bodies_that_are_not_an_order(client: Client, body: bytes, code: str) -> None:
    answer = await client.call("POST", "trade/order", body)
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_other_content_types_are_refused(client: Client, kind: str | None) -> None:
    answer = await client.call("POST", "trade/order", ORDER, change={"Content-Type": kind})
    assert (answer.status, answer.code) == (400, "50006")


@pytest.mark.parametrize(
    "lines",
    [
        "Host: HOST\r\nHost: y\r\n",
        "Host: HOST\r\nTransfer-Encoding: chunked\r\n",
        "Host: HOST\r\nContent-Encoding: gzip\r\n",
        "Host: HOST\r\nExpect: 100-continue\r\n",
        "Host: HOST\r\nContent-Length: 2\r\n",
    ],
)
async def test_smuggling_shapes_are_refused(okx: SimulatedOkx, lines: str) -> None:
    host, port = okx.address
    reader, writer = await asyncio.open_connection(host, port)
    lines = lines.replace("HOST", f"{host}:{port}")
    tail = "0\r\n\r\n" if "chunked" in lines else "{}" if "Length" in lines else ""
    writer.write(f"GET /api/v5/public/time HTTP/1.1\r\n{lines}\r\n{tail}".encode())
    status = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert b" 400 " in status


@pytest.mark.parametrize("host", ["proxy.example:8080", "127.0.0.1", "www.okx.com"])
async def test_a_request_for_somebody_else_is_misdirected(
    client: Client, okx: SimulatedOkx, host: str
) -> None:
    answer = await client.call("POST", "trade/order", ORDER, change={"Host": host})
    assert answer.status == 421
    assert okx.orders == []


@pytest.mark.parametrize(
    ("offset_ms", "code"), [("-1", "50036"), ("0", "0"), ("x", "51000"), ("60000", "0")]
)
async def test_an_order_past_its_expiry_is_not_processed(
    client: Client, okx: SimulatedOkx, clock: HandClock, offset_ms: str, code: str
) -> None:
    expiry = offset_ms if offset_ms == "x" else str(clock.wall_ms() + int(offset_ms))
    answer = await client.call("POST", "trade/order", ORDER, change={"expTime": expiry})
    assert answer.code == code
    assert len(okx.orders) == (code == "0")


async def test_an_expiry_means_nothing_to_a_cancel(client: Client) -> None:
    placed = await client.call("POST", "trade/order", ORDER)
    item = {"instId": "BTC-USDT", "ordId": placed.content["data"][0]["ordId"]}
    answer = await client.call("POST", "trade/cancel-order", item, change={"expTime": "1"})
    assert answer.code == "0"


async def test_the_clock_offset_moves_the_exchange_only(client: Client, okx: SimulatedOkx) -> None:
    await client.sim("POST", "clock", {"offset_ms": 31_000})
    assert (await client.call("GET", "account/balance")).code == "50102"
    assert (await client.call("GET", "account/balance", age_ms=-31_000)).code == "0"
    assert LIVE.api_key in okx.world.users
