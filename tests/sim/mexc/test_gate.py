"""Who is refused, with which code and status."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from proxy.sim.mexc import Mexc, User
from proxy.sim.mexc.signature import spot_signature
from proxy.sim.server import SimulatedExchange
from tests.sim.client import HandClock
from tests.sim.mexc.client import (
    BOT,
    BOUND,
    BROKER,
    CONTRACTS,
    JSON,
    ORDER,
    OTHER,
    READER,
    Client,
)

Server = SimulatedExchange[Mexc]


def signed(clock: HandClock, query: str = "", *, body: bytes = b"", **said: Any) -> str:
    query += f"{'&' if query else ''}timestamp={said.pop('stamp', clock.wall_ms())}"
    query += "".join(f"&{name}={value}" for name, value in said.items())
    return f"{query}&signature={spot_signature(BOT.secret, query.encode(), body)}"


KEY = {"X-MEXC-APIKEY": BOT.api_key}


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [(None, 400, "400"), ("", 400, "400"), ("mx0vNOBODY", 400, "10072"), ("no-key", 400, "700001")],
)
async def test_spot_keys_that_are_none(
    client: Client, clock: HandClock, key: str | None, status: int, code: str
) -> None:
    headers = {} if key is None else {"X-MEXC-APIKEY": key}
    answer = await client.send("GET", f"/api/v3/account?{signed(clock)}", b"", headers)
    assert (answer.status, answer.code) == (status, code)


async def test_spot_signatures_that_are_wrong(client: Client, clock: HandClock) -> None:
    right = signed(clock)
    plain, _, mac = right.partition("&signature=")
    for query, code in [
        (right, None),
        (plain, "700004"),
        (f"{plain}&signature=", "700004"),
        (f"{plain}&signature={mac.upper()}", "700002"),
        (f"{plain}&signature=00", "700002"),
        (f"{plain}&x=1&signature={mac}", "700002"),
        (right.replace("timestamp", "recvWindow=9&timestamp"), "700002"),
    ]:
        answer = await client.send("GET", f"/api/v3/uid?{query}", b"", KEY)
        if code is None:
            assert answer.content == {"uid": "100"}
        else:
            assert (answer.status, answer.code) == (400, code), query


@pytest.mark.parametrize(
    ("age_ms", "window", "code"),
    [
        (-999, None, ""),
        (-1000, None, "700003"),
        (5000, None, ""),
        (5001, None, "700003"),
        (5001, "60000", ""),
        (60_001, "60000", "700003"),
        (0, "60001", "700005"),
        (0, "x", "700004"),
        (11, "10", "700003"),
    ],
)
async def test_spot_timestamps_are_good_for_the_window_they_name(
    client: Client, clock: HandClock, age_ms: int, window: str | None, code: str
) -> None:
    more: dict[str, Any] = {} if window is None else {"recvWindow": window}
    query = signed(clock, stamp=clock.wall_ms() - age_ms, **more)
    answer = await client.send("GET", f"/api/v3/uid?{query}", b"", KEY)
    assert answer.status == (400 if code else 200)
    assert str(answer.content.get("code", "")) == code


@pytest.mark.parametrize("stamp", ["", "1700000000", "17000000000000", "now"])
async def test_a_spot_timestamp_is_thirteen_digits(
    client: Client, clock: HandClock, stamp: str
) -> None:
    query = signed(clock, stamp=stamp)
    answer = await client.send("GET", f"/api/v3/uid?{query}", b"", KEY)
    assert answer.code == "700004"


async def test_an_order_may_stand_in_the_body_and_its_signature_too(
    client: Client, clock: HandClock, mexc: Server
) -> None:
    body = b"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.01&price=40000"
    target = f"/api/v3/order?{signed(clock, body=body)}"
    assert (await client.send("POST", target, body, KEY | JSON)).status == 200
    query = "symbol=BTCUSDT&side=BUY&type=LIMIT"
    rest = f"quantity=0.01&price=40000&timestamp={clock.wall_ms()}".encode()
    mac = spot_signature(BOT.secret, query.encode(), rest)
    rest += b"&signature=" + mac.encode()
    assert (await client.send("POST", f"/api/v3/order?{query}", rest, KEY | JSON)).status == 200
    assert len(mexc.orders) == 2
    answer = await client.send("POST", f"/api/v3/order?{query}&price=1", rest, KEY | JSON)
    assert answer.code == "700004"  # price stands twice
    changed = rest.replace(b"0.01", b"0.02")
    answer = await client.send("POST", f"/api/v3/order?{query}", changed, KEY | JSON)
    assert answer.code == "700002"


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_spot_writes_are_labelled_json(
    client: Client, clock: HandClock, kind: str | None
) -> None:
    headers = KEY | ({} if kind is None else {"Content-Type": kind})
    for method in ("POST", "PUT", "DELETE"):
        target = f"/api/v3/userDataStream?{signed(clock)}"
        answer = await client.send(method, target, b"", headers)
        assert (answer.status, answer.code) == (400, "700013")


async def test_json_bodies_are_for_brokers(client: Client, clock: HandClock, mexc: Server) -> None:
    body = json.dumps({"subAccount": "one", "note": "n"}).encode()

    async def ask(path: str, covered: bytes) -> str:
        query = f"timestamp={clock.wall_ms()}"
        mac = spot_signature(BROKER.secret, query.encode(), covered)
        headers = {"X-MEXC-APIKEY": BROKER.api_key} | JSON
        target = f"/api/v3/{path}?{query}&signature={mac}"
        answer = await client.send("POST", target, body, headers)
        return str(answer.content.get("code", ""))

    path = "broker/sub-account/virtualSubAccount"
    assert await ask("order", body) == "700013"
    assert await ask(path, b"") == "700002"
    assert await ask(path, body) == ""
    await client.sim("POST", "accounts", {"uid": "*", "json_body": "query-only"})
    assert await ask(path, body) == "700002"
    body = body.replace(b"one", b"two")
    assert await ask(path, b"") == ""


@pytest.mark.parametrize(
    ("user", "method", "path", "status", "code"),
    [
        (READER, "POST", "order", 403, "700007"),
        (BOUND, "GET", "uid", 400, "700006"),
        (OTHER, "POST", "capital/withdraw", 403, "700007"),
        (OTHER, "POST", "apiKeyInfo", 403, "700007"),
        (BOT, "GET", "broker/sub-account/list", 403, "700007"),
        (BROKER, "GET", "broker/sub-account/list", 200, ""),
        (READER, "GET", "account", 200, ""),
    ],
)
async def test_spot_permissions(
    client: Client, mexc: Server, user: User, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.spot(method, path, user=user)
    assert (answer.status, str(answer.content.get("code", ""))) == (status, code)
    assert mexc.requests[-1].uid == user.uid
    if code == "700006":
        assert answer.content["msg"] == "IP [127.0.0.1] not in the ip white list"


async def test_public_reads_need_no_key_but_a_wrong_one_is_refused(client: Client) -> None:
    assert (await client.public("/api/v3/time")).status == 200
    answer = await client.send("GET", "/api/v3/time", b"", {"X-MEXC-APIKEY": "mx0vNOBODY"})
    assert answer.code == "10072"
    assert (await client.send("GET", "/api/v3/time", b"", KEY)).status == 200
    assert (await client.spot("GET", "time")).status == 200
    wrong = User(BOT.api_key, "another", "100")
    assert (await client.spot("GET", "time", user=wrong)).code == "700002"
    assert (await client.public("/api/v1/contract/ping")).status == 200
    answer = await client.send("GET", "/api/v1/contract/ping", b"", {"ApiKey": "mx0vNOBODY"})
    assert answer.code == "402"


async def test_the_credentials_of_one_api_are_no_business_of_the_other(client: Client) -> None:
    answer = await client.spot("GET", "uid", headers={"ApiKey": BOT.api_key})
    assert answer.status == 400
    assert "credentials of another API" in answer.content
    answer = await client.futures("GET", "account/assets", headers={"X-MEXC-APIKEY": "x"})
    assert "credentials of another API" in answer.content


@pytest.mark.parametrize("source", ["", "CCXT"])
async def test_the_source_can_be_insisted_on(client: Client, mexc: Server, source: str) -> None:
    await client.sim("POST", "accounts", {"uid": "100", "require_source": "OURS"})
    ours, theirs = {"source": "OURS"}, {"source": source} if source else {}
    assert (await client.spot("POST", "order", ORDER, headers=theirs)).code == "700007"
    assert (await client.futures("POST", "order/create", CONTRACTS, headers=theirs)).status == 403
    assert (await client.spot("GET", "uid", headers=theirs)).status == 403
    assert (await client.spot("POST", "order", ORDER, headers=ours)).status == 200
    assert (await client.futures("POST", "order/create", CONTRACTS, headers=ours)).status == 200
    assert (await client.spot("GET", "uid", user=OTHER, headers=theirs)).status == 200
    assert [order["source"] for order in mexc.orders] == ["OURS", "OURS"]


async def test_a_source_that_is_sent_twice_is_refused(mexc: Server, clock: HandClock) -> None:
    host, port = mexc.address
    reader, writer = await asyncio.open_connection(host, port)
    head = f"GET /api/v3/uid?{signed(clock)} HTTP/1.1\r\nHost: {host}:{port}\r\n"
    head += f"X-MEXC-APIKEY: {BOT.api_key}\r\nsource: A\r\nSource: A\r\n\r\n"
    writer.write(head.encode())
    assert b" 400 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert mexc.exchange.codes(mexc.requests[-1]) == ["A", "A"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v3/nothing", 404, "404"),
        ("GET", "/api/v3/order/", 404, "404"),
        ("POST", "/api/v3/ping", 405, "405"),
        ("GET", "/api/v1/private/nothing", 404, "404"),
        ("GET", "/api/v1/private/order/create", 405, "405"),
        ("GET", "/api/v1/contract/depth/BTC_USDT/x", 404, "404"),
        ("GET", "/open/api/v2/market/ticker", 404, "404"),
    ],
)
async def test_unknown_routes_and_methods(
    client: Client, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.send(method, path, b"", JSON)
    assert (answer.status, answer.code) == (status, code)
