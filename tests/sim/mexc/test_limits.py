"""Whose budgets there are, and what is said when one is overrun."""

from __future__ import annotations

import pytest

from proxy.sim.mexc import Mexc
from proxy.sim.server import SimulatedExchange
from tests.sim.client import Answered, HandClock
from tests.sim.mexc.client import BOT, CONTRACTS, ORDER, OTHER, Client

Server = SimulatedExchange[Mexc]
CREATE = "order/create"


async def place(client: Client, times: int, **options: object) -> list[Answered]:
    return [
        await client.spot("POST", "order", ORDER, **options)  # type: ignore[arg-type]
        for _ in range(times)
    ]


async def test_weights_are_out_of_500_in_ten_seconds(client: Client, clock: HandClock) -> None:
    for _ in range(20):
        assert (await client.public("/api/v3/exchangeInfo")).status == 200
    refused = await client.public("/api/v3/exchangeInfo")
    assert refused.status == 429
    assert refused.content == {"code": 429, "msg": "Too Many Requests"}
    assert (await client.public("/api/v3/ticker/24hr")).status == 200  # has a budget of its own
    clock.advance(9.999)
    assert (await client.public("/api/v3/exchangeInfo")).status == 429
    clock.advance(0.001)
    assert (await client.public("/api/v3/exchangeInfo")).status == 200


async def test_when_to_come_back_is_told(client: Client) -> None:
    await client.sim("POST", "limits", {"GET /api/v3/ping": "1/10"})
    await client.public("/api/v3/ping")
    async with client.session.get(f"{client.base}/api/v3/ping") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


async def test_a_signed_call_counts_for_the_address_and_the_account(client: Client) -> None:
    for user in (BOT, OTHER):
        await client.spot("GET", "openOrders", {"symbol": "BTCUSDT"}, user=user)
    buckets = (await client.sim("GET", "breaches"))["buckets"]
    used = {(each["rule"], each["subject"]): each["accepted"] for each in buckets.values()}
    rule = "GET /api/v3/openOrders"
    assert used == {
        (f"{rule}#ip", "127.0.0.1"): 6,
        (f"{rule}#uid", "100"): 3,
        (f"{rule}#uid", "200"): 3,
    }


async def test_order_calls_share_twelve_in_a_second(
    client: Client, clock: HandClock, mexc: Server
) -> None:
    placed = await place(client, 6)
    order_id = placed[0].content["orderId"]
    said = {"symbol": "BTCUSDT"}
    assert (await client.spot("DELETE", "order", said | {"orderId": order_id})).status == 200
    assert (await client.spot("DELETE", "openOrders", said)).status == 200
    assert (await client.spot("DELETE", "order/all")).status == 200
    assert [each.status for each in await place(client, 4)] == [200, 200, 200, 429]
    assert (await client.spot("DELETE", "order/all")).status == 429
    assert (await client.spot("POST", "order/test", ORDER)).status == 200
    assert mexc.breaches == {"spot-orders#ip 127.0.0.1": 2, "spot-orders#uid 100": 2}
    clock.advance(1)
    assert (await place(client, 1))[0].status == 200


@pytest.mark.parametrize(
    ("subject", "other", "buckets"),
    [
        ("both", 429, {"spot-orders#ip", "spot-orders#uid"}),
        ("address", 429, {"spot-orders#ip"}),
        ("account", 200, {"spot-orders#uid"}),
    ],
)
async def test_whose_the_shared_budget_is_can_be_chosen(
    client: Client, subject: str, other: int, buckets: set[str]
) -> None:
    await client.sim("POST", "accounts", {"uid": "*", "orders_subject": subject})
    assert {each.status for each in await place(client, 12)} == {200}
    assert (await place(client, 1))[0].status == 429
    assert (await place(client, 1, user=OTHER))[0].status == other
    seen = (await client.sim("GET", "breaches"))["buckets"].values()
    assert {each["rule"] for each in seen} == buckets


async def test_batches_and_account_have_limits_of_their_own(client: Client, mexc: Server) -> None:
    batch = {"batchOrders": f"[{str(ORDER).replace(chr(39), chr(34))}]"}
    for method, path, said in (("POST", "batchOrders", batch), ("GET", "account", {})):
        statuses = [(await client.spot(method, path, said)).status for _ in range(3)]
        assert statuses == [200, 200, 429]
    assert dict(mexc.breaches) == {
        "POST /api/v3/batchOrders+0#ip 127.0.0.1": 1,
        "POST /api/v3/batchOrders+0#uid 100": 1,
        "GET /api/v3/account+0#uid 100": 1,
    }
    assert (await client.spot("GET", "account", user=OTHER)).status == 200


async def test_announcements_are_counted_by_requests(client: Client) -> None:
    statuses = [(await client.public("/api/v3/announcements")).status for _ in range(6)]
    assert statuses == [200] * 5 + [429]


async def test_futures_say_510_with_http_200(
    client: Client, clock: HandClock, mexc: Server
) -> None:
    for _ in range(4):
        assert (await client.futures("POST", CREATE, CONTRACTS)).code == "0"
    refused = await client.futures("POST", CREATE, CONTRACTS)
    assert refused.status == 200
    words = "Requests are too frequent, please try again later"
    assert refused.content == {"success": False, "code": 510, "message": words}
    assert len(mexc.orders) == 4
    assert dict(mexc.breaches) == {
        "POST /api/v1/private/order/create#ip 127.0.0.1": 1,
        "POST /api/v1/private/order/create#uid 100": 1,
    }
    assert (await client.futures("POST", "order/submit", CONTRACTS)).code == "0"
    clock.advance(2)
    assert (await client.futures("POST", CREATE, CONTRACTS)).code == "0"


@pytest.mark.parametrize(
    ("subject", "code"), [("both", "510"), ("address", "510"), ("account", "0")]
)
async def test_whose_futures_budgets_are_can_be_chosen(
    client: Client, subject: str, code: str
) -> None:
    await client.sim("POST", "accounts", {"uid": "*", "futures_subject": subject})
    for _ in range(4):
        await client.futures("POST", CREATE, CONTRACTS)
    assert (await client.futures("POST", CREATE, CONTRACTS, user=OTHER)).code == code


async def test_all_symbols_of_a_path_share_its_budget(client: Client) -> None:
    for number in range(10):
        symbol = ("BTC_USDT", "ETH_USDT")[number % 2]
        assert (await client.public(f"/api/v1/contract/depth/{symbol}")).code == "0"
    assert (await client.public("/api/v1/contract/depth/SOL_USDT")).code == "510"


async def test_limits_can_be_put_in_place(client: Client, clock: HandClock) -> None:
    await client.sim("POST", "limits", {"spot-orders": "1/5", "GET /api/v3/ping": "2/1"})
    assert [each.status for each in await place(client, 2)] == [200, 429]
    assert (await client.spot("DELETE", "order/all")).status == 429
    assert [(await client.public("/api/v3/ping")).status for _ in range(3)] == [200, 200, 429]
    await client.sim("POST", "reset")
    assert {each.status for each in await place(client, 12)} == {200}


async def test_a_choice_that_is_none_is_refused(client: Client) -> None:
    choice = {"uid": "*", "orders_subject": "nobody"}
    async with client.session.post(f"{client.base}/sim/accounts", json=choice) as answer:
        assert answer.status == 400
