"""Who is refused on futures, with which code and status."""

from __future__ import annotations

import json

import pytest

from proxy.sim.mexc import Mexc, User
from proxy.sim.mexc.signature import futures_signature
from proxy.sim.server import SimulatedExchange
from tests.sim.client import HandClock
from tests.sim.mexc.client import (
    BOT,
    BOUND,
    CONTRACTS,
    JSON,
    READER,
    Client,
)

Server = SimulatedExchange[Mexc]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"ApiKey": ""}, 401, "401"),
        ({"ApiKey": "mx0vNOBODY"}, 401, "402"),
        ({"Signature": ""}, 401, "602"),
        ({"Signature": "00"}, 401, "602"),
        ({"Request-Time": ""}, 401, "513"),
        ({"Request-Time": "1700000000"}, 401, "513"),
        ({"Recv-Window": "5000"}, 400, "600"),
        ({"Recv-Window": "0"}, 400, "600"),
        ({"Content-Type": "text/plain"}, 400, "600"),
    ],
)
async def test_futures_headers_that_are_wrong(
    client: Client, mexc: Server, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await client.futures("POST", "order/create", CONTRACTS, headers=headers)
    assert (answer.status, answer.code) == (status, code)
    assert answer.content["success"] is False
    assert answer.content["message"]
    assert mexc.orders == []


@pytest.mark.parametrize(
    ("age_ms", "window", "status"),
    [
        (10_000, "", 200),
        (10_001, "", 401),
        (-10_000, "", 200),
        (-10_001, "", 401),
        (60_000, "60", 200),
        (2001, "2", 401),
    ],
)
async def test_futures_times_are_good_for_ten_seconds_either_way(
    client: Client, clock: HandClock, age_ms: int, window: str, status: int
) -> None:
    stamp = str(clock.wall_ms() - age_ms)
    mac = futures_signature(BOT.secret, BOT.api_key, stamp, b"")
    headers = {"ApiKey": BOT.api_key, "Request-Time": stamp, "Signature": mac}
    headers |= {"Recv-Window": window} if window else {}
    target = "/api/v1/private/account/assets"
    assert (await client.send("GET", target, b"", headers)).status == status


async def test_a_futures_signature_covers_the_body_and_the_sorted_query(
    client: Client, clock: HandClock
) -> None:
    stamp = str(clock.wall_ms())
    mac = futures_signature(BOT.secret, BOT.api_key, stamp, b"page_num=1&symbol=BTC_USDT")
    headers = {"ApiKey": BOT.api_key, "Request-Time": stamp, "Signature": mac}
    path = "/api/v1/private/order/list/open_orders"
    for query, status in [
        ("symbol=BTC_USDT&page_num=1", 200),
        ("symbol=ETH_USDT&page_num=1", 401),
        ("symbol=BTC_USDT&page_num=1&page_num=1", 400),
    ]:
        assert (await client.send("GET", f"{path}?{query}", b"", headers)).status == status
    body = json.dumps(CONTRACTS).encode()
    mac = futures_signature(BOT.secret, BOT.api_key, stamp, body)
    headers = {"ApiKey": BOT.api_key, "Request-Time": stamp, "Signature": mac} | JSON
    path = "/api/v1/private/order/create"
    assert (await client.send("POST", f"{path}?vol=1", body, headers)).code == "600"
    changed = body.replace(b"40000", b"50000")
    assert (await client.send("POST", path, changed, headers)).code == "602"
    assert (await client.send("POST", path, body, headers)).status == 200


@pytest.mark.parametrize(
    ("user", "method", "status", "code"),
    [
        (READER, "POST", 403, "702"),
        (BOUND, "POST", 401, "406"),
        (User("mx0vNONE", "s", "9", perm="trade"), "GET", 403, "701"),
    ],
)
async def test_futures_permissions(
    client: Client, mexc: Server, user: User, method: str, status: int, code: str
) -> None:
    mexc.exchange.world.users[user.api_key] = user
    path = "order/create" if method == "POST" else "account/assets"
    answer = await client.futures(method, path, CONTRACTS if method == "POST" else None, user=user)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize("body", [b"{", b'{"a":NaN}', b"\xff{}", b"[" * 100_000, b'{"a":1,"a":1}'])
async def test_futures_bodies_that_are_no_json(
    client: Client, clock: HandClock, body: bytes
) -> None:
    stamp = str(clock.wall_ms())
    mac = futures_signature(BOT.secret, BOT.api_key, stamp, body)
    headers = {"ApiKey": BOT.api_key, "Request-Time": stamp, "Signature": mac} | JSON
    answer = await client.send("POST", "/api/v1/private/order/create", body, headers)
    assert (answer.status, answer.code) == (400, "601")
