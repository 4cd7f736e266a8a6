"""The server round the exchange: what is recorded, delays, faults, the back door, TLS."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.sim import Authority, Recorded
from proxy.sim.okx import SimulatedOkx
from tests.sim.client import LIVE, ORDER, Client, HandClock


async def test_what_arrives_is_recorded_byte_for_byte(client: Client, okx: SimulatedOkx) -> None:
    body = b'{ "instId" : "BTC-USDT", "x": 0.10000000000000001 }'
    await client.call("POST", "trade/order?a=%41+b", body, change={"X-Odd": "One, Two"})
    record = okx.requests[-1]
    assert (record.body, record.target) == (body, "/api/v5/trade/order?a=%41+b")
    assert (b"X-Odd", b"One, Two") in record.headers
    assert (record.status, record.uid) == (200, "100")
    shown = await client.sim("GET", f"requests?since={record.number - 1}")
    assert [(each["body"], each["source"]) for each in shown] == [(body.decode(), "127.0.0.1")]
    shown = await client.sim("GET", "requests?fields=number,status")
    assert shown == [{"number": record.number, "status": 200}]


async def test_a_request_counts_when_it_has_arrived(client: Client, okx: SimulatedOkx) -> None:
    await client.sim("POST", "delay", {"fixed_ms": 1})
    await client.call("POST", "trade/order", ORDER)
    okx.clock.advance(0.5)  # type: ignore[attr-defined]  # the fixture's clock
    assert okx.requests[-1].arrived_ns == okx.clock.monotonic_ns() - 500_000_000


@pytest.mark.parametrize("kind", ["drop", "process-drop", "truncated", "reset", "garbage"])
async def test_a_broken_answer_is_an_error_to_the_client(
    client: Client, okx: SimulatedOkx, kind: str
) -> None:
    await client.sim("POST", "faults", {"kind": kind, "path": "/api/v5/trade/"})
    assert (await client.call("GET", "account/config")).code == "0"
    with pytest.raises(aiohttp.ClientError):
        await client.call("POST", "trade/order", ORDER)
    assert len(okx.orders) == (kind != "drop")
    assert okx.requests[-1].fault == kind
    assert (await client.call("POST", "trade/order", ORDER)).code == "0"


@pytest.mark.parametrize(
    ("fault", "status", "code", "orders"),
    [
        ({"kind": "code", "code": "50011"}, 200, "50011", 0),
        ({"kind": "code", "code": "50001", "status": 503}, 503, "50001", 0),
        ({"kind": "code", "code": "50004", "status": 400, "process": True}, 400, "50004", 1),
        ({"kind": "slow", "delay_ms": 1}, 200, "0", 1),
    ],
)
async def test_made_up_answers(
    client: Client,
    okx: SimulatedOkx,
    fault: dict[str, Any],
    status: int,
    code: str,
    orders: int,
) -> None:
    await client.sim("POST", "faults", fault)
    answer = await client.call("POST", "trade/order", ORDER)
    assert (answer.status, answer.code, len(okx.orders)) == (status, code, orders)


async def test_a_gateway_page_is_html(client: Client) -> None:
    await client.sim("POST", "faults", {"kind": "html"})
    answer = await client.call("GET", "account/config")
    assert answer.status == 502
    assert "<html>" in answer.content


async def test_an_order_may_expire_inside_the_exchange(
    client: Client, okx: SimulatedOkx, clock: HandClock
) -> None:
    await client.sim("POST", "faults", {"kind": "late", "delay_ms": 5})
    expiry = {"expTime": str(clock.wall_ms() + 1)}
    assert (await client.call("POST", "trade/order", ORDER, change=expiry)).code == "50037"
    assert okx.orders == []


async def test_a_fault_can_wait_for_later_requests(client: Client) -> None:
    fault = {"kind": "code", "code": "50013", "skip": 1, "times": 2, "method": "GET"}
    await client.sim("POST", "faults", fault)
    codes = [(await client.call("GET", "account/balance")).code for _ in range(4)]
    assert codes == ["0", "50013", "50013", "0"]


async def test_a_hanging_request_is_never_answered(client: Client, okx: SimulatedOkx) -> None:
    await client.sim("POST", "faults", {"kind": "hang", "process": True})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.call("POST", "trade/order", ORDER)
    assert len(okx.orders) == 1


async def test_idle_connections_can_be_closed(okx: SimulatedOkx) -> None:
    host, port = okx.address
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET /api/v5/public/time HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert b'"code":"0"' in await reader.readuntil(b"}")
    assert okx.close_idle() == 1
    assert await reader.read() == b'],"msg":""}'
    writer.close()
    await writer.wait_closed()


async def test_rows_and_users_can_be_added(client: Client, okx: SimulatedOkx) -> None:
    await client.sim("POST", "endpoints", {"rows": ["GET new/thing 10/2 user read"]})
    assert (await client.call("GET", "new/thing")).code == "0"
    fields = {"api_key": "k", "secret": "s", "passphrase": "p", "uid": "900"}
    assert await client.sim("POST", "users", fields) == "900"
    state = await client.sim("GET", "state")
    assert "k" in [user["api_key"] for user in state["users"]]
    assert "secret" not in str(state)
    await client.sim("DELETE", "users?api_key=k")
    assert "k" not in okx.world.users


async def test_the_back_door_counts_buckets(client: Client) -> None:
    await client.sim("POST", "limits", {"POST /api/v5/trade/order": "1/2"})
    for _ in range(2):
        await client.call("POST", "trade/order", ORDER)
    bucket = "POST /api/v5/trade/order#0 100 BTC-USDT"
    seen = await client.sim("GET", "breaches")
    assert seen["breaches"] == {bucket: 1}
    assert seen["buckets"][bucket] == {
        "rule": "POST /api/v5/trade/order#0",
        "subject": "100",
        "limit": 1,
        "span_ns": 2_000_000_000,
        "anchored": False,
        "arrivals": 2,
        "accepted": 1,
        "most_in_sliding": 2,
        "most_in_anchored": 2,
    }
    await client.sim("POST", "reset")
    assert await client.sim("GET", "breaches") == {"breaches": {}, "buckets": {}}
    assert await client.sim("GET", "orders") == []


async def test_a_back_door_call_that_makes_no_sense_is_refused(client: Client) -> None:
    async with client.session.post(f"{client.base}/sim/faults", json={"kind": "x"}) as answer:
        assert answer.status == 400
    async with client.session.post(f"{client.base}/sim/nothing") as answer:
        assert answer.status == 404


async def test_orders_are_told_as_they_come(client: Client, okx: SimulatedOkx) -> None:
    told: list[Recorded] = []
    okx.on_order = told.append
    await client.call("POST", "trade/order", ORDER)
    await client.call("GET", "account/balance")
    assert [(each.status, each.path) for each in told] == [(200, "/api/v5/trade/order")]


async def test_tls_with_an_authority_of_its_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    exchange = SimulatedOkx([LIVE], clock=HandClock())
    host, port = await exchange.start(ssl=authority.server_context())
    try:
        trusting = aiohttp.TCPConnector(ssl=authority.client_context())
        async with aiohttp.ClientSession(connector=trusting) as session:
            client = Client(session, HandClock(), f"https://{host}:{port}")
            assert (await client.call("POST", "trade/order", ORDER)).code == "0"
        async with aiohttp.ClientSession() as session:
            client = Client(session, HandClock(), f"https://{host}:{port}")
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await client.call("GET", "account/config")
    finally:
        await exchange.stop()
    assert (tmp_path / "ca" / "server.key").stat().st_mode & 0o777 == 0o600
