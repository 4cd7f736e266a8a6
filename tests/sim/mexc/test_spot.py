"""Spot orders from placed to seen again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.sim.mexc import Mexc
from proxy.sim.server import SimulatedExchange
from tests.sim.client import HandClock
from tests.sim.mexc.client import BOT, ORDER, OTHER, Client

Server = SimulatedExchange[Mexc]
SYMBOL = {"symbol": "BTCUSDT"}


async def placed(client: Client, **changes: Any) -> dict[str, Any]:
    answer = await client.spot("POST", "order", ORDER | changes)
    assert answer.status == 200, answer
    content: dict[str, Any] = answer.content
    return content


async def test_an_order_keeps_its_source_and_its_name(
    client: Client, mexc: Server, clock: HandClock
) -> None:
    said = ORDER | {"newClientOrderId": "my-1"}
    answer = await client.spot("POST", "order", said, headers={"source": "OURS"})
    assert set(answer.content) == {
        "symbol",
        "orderId",
        "orderListId",
        "price",
        "origQty",
        "type",
        "side",
        "stpMode",
        "transactTime",
    }
    record = mexc.requests[-1]
    assert (record.accepted, record.order_ids) == (True, (answer.content["orderId"],))
    assert mexc.exchange.codes(record) == ["OURS"]
    assert mexc.exchange.is_order(record)
    (order,) = mexc.orders
    assert (order["source"], order["uid"], order["api"]) == ("OURS", "100", "spot")
    shown = await client.spot("GET", "order", SYMBOL | {"origClientOrderId": "my-1"})
    assert shown.content["orderId"] == answer.content["orderId"]
    assert shown.content["status"] == "NEW"
    assert shown.content["time"] == clock.wall_ms()
    assert "source" not in shown.content


async def test_an_order_without_a_source_has_none(client: Client, mexc: Server) -> None:
    await placed(client)
    assert mexc.exchange.codes(mexc.requests[-1]) == [""]
    assert mexc.orders[0]["source"] == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NOUSDT"}, 10007),
        ({"symbol": ""}, 700004),
        ({"side": "buy"}, 700004),
        ({"type": "STOP"}, 700004),
        ({"quantity": ""}, 700004),
        ({"quantity": "-1"}, 700004),
        ({"quantity": "1e3"}, 700004),
        ({"quantity": "."}, 700004),
        ({"quantity": "0"}, 700004),
        ({"price": ""}, 700004),
        ({"quantity": "0.000001", "price": "1"}, 30002),
        ({"quantity": "1000000"}, 30004),
        ({"newClientOrderId": "x" * 33}, 700004),
        ({"newClientOrderId": "a b"}, 700004),
        ({"stpMode": "x"}, 700004),
    ],
)
@pytest.mark.parametrize("path", ["order", "order/test"])
async def test_orders_that_make_no_sense(
    client: Client, mexc: Server, path: str, changes: dict[str, str], code: int
) -> None:
    answer = await client.spot("POST", path, ORDER | changes)
    assert (answer.status, answer.content["code"]) == (400, code)
    assert mexc.orders == []


async def test_a_test_order_is_forgotten(client: Client, mexc: Server) -> None:
    answer = await client.spot("POST", "order/test", ORDER)
    assert (answer.status, answer.content) == (200, {})
    assert mexc.orders == []


@pytest.mark.parametrize(
    "said",
    [
        {"type": "MARKET", "quantity": "0.01"},
        {"type": "MARKET", "quoteOrderQty": "500"},
        {"type": "IMMEDIATE_OR_CANCEL", "quantity": "0.01", "price": "60000"},
        {"type": "FILL_OR_KILL", "quantity": "0.01", "price": "60000"},
    ],
)
async def test_what_does_not_rest_is_filled(client: Client, said: dict[str, str]) -> None:
    order = {"symbol": "BTCUSDT", "side": "BUY"} | said
    answer = await client.spot("POST", "order", order)
    shown = await client.spot("GET", "order", SYMBOL | {"orderId": answer.content["orderId"]})
    assert shown.content["status"] == "FILLED"
    assert (await client.spot("GET", "openOrders", SYMBOL)).content == []
    (trade,) = (await client.spot("GET", "myTrades", SYMBOL)).content
    assert trade["orderId"] == answer.content["orderId"]
    again = await client.spot("DELETE", "order", SYMBOL | {"orderId": trade["orderId"]})
    assert again.content["code"] == -2011


async def test_an_order_is_cancelled_once_and_by_its_owner(client: Client) -> None:
    order_id = (await placed(client))["orderId"]
    said = SYMBOL | {"orderId": order_id}
    assert (await client.spot("DELETE", "order", said, user=OTHER)).content["code"] == -2011
    wrong = {"symbol": "ETHUSDT", "orderId": order_id}
    assert (await client.spot("DELETE", "order", wrong)).content["code"] == -2011
    assert (await client.spot("DELETE", "order", SYMBOL)).content["code"] == 700004
    cancelled = await client.spot("DELETE", "order", said)
    assert (cancelled.content["status"], cancelled.content["orderId"]) == ("CANCELED", order_id)
    assert (await client.spot("DELETE", "order", said)).content["code"] == -2011
    assert (await client.spot("GET", "order", said)).content["status"] == "CANCELED"
    unknown = SYMBOL | {"orderId": "C02__1"}
    assert (await client.spot("GET", "order", unknown)).content["code"] == -2013


async def test_open_orders_are_cancelled_together(client: Client, mexc: Server) -> None:
    for symbol in ("BTCUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT"):
        await placed(client, symbol=symbol)
    assert len((await client.spot("GET", "openOrders", SYMBOL)).content) == 2
    answer = await client.spot("DELETE", "openOrders", SYMBOL)
    assert [each["status"] for each in answer.content] == ["CANCELED", "CANCELED"]
    assert len(mexc.requests[-1].order_ids) == 2
    both = await client.spot("DELETE", "openOrders", {"symbol": "ETHUSDT,NOUSDT"})
    assert both.content["code"] == 10007
    done = await client.spot("DELETE", "order/all")
    assert done.content["msg"] == "success"
    assert {order["status"] for order in mexc.orders} == {"CANCELED"}


async def test_all_orders_can_be_narrowed(client: Client, clock: HandClock) -> None:
    first = await placed(client)
    clock.advance(1)
    second = await placed(client)
    shown = await client.spot("GET", "allOrders", SYMBOL)
    assert [each["orderId"] for each in shown.content] == [second["orderId"], first["orderId"]]
    shown = await client.spot("GET", "allOrders", SYMBOL | {"limit": 1})
    assert [each["orderId"] for each in shown.content] == [second["orderId"]]
    until = SYMBOL | {"endTime": clock.wall_ms() - 1}
    shown = await client.spot("GET", "allOrders", until)
    assert [each["orderId"] for each in shown.content] == [first["orderId"]]
    bad = await client.spot("GET", "allOrders", SYMBOL | {"limit": "x"})
    assert bad.content["code"] == 700004


async def test_a_batch_is_taken_item_by_item(client: Client, mexc: Server) -> None:
    items = [
        ORDER | {"newClientOrderId": "one"},
        ORDER | {"quantity": "0.000001", "price": "1", "newClientOrderId": "two"},
        ORDER | {"type": "LIMIT_ORDER", "quantity": 0.02},
    ]
    said = {"batchOrders": json.dumps(items)}
    answer = await client.spot("POST", "batchOrders", said, headers={"source": "OURS"})
    one, two, three = answer.content
    assert (one["newClientOrderId"], one["orderListId"]) == ("one", -1)
    assert (two["newClientOrderId"], two["code"]) == ("two", 30002)
    assert set(three) == {"symbol", "orderId", "orderListId"}
    record = mexc.requests[-1]
    assert (record.accepted, record.status) == (False, 200)
    assert record.order_ids == (one["orderId"], three["orderId"])
    assert [order["source"] for order in mexc.orders] == ["OURS", "OURS"]
    assert [order["origQty"] for order in mexc.orders] == ["0.01", "0.02"]


@pytest.mark.parametrize(
    ("batch", "code"),
    [
        ("", 700004),
        ("x", 700004),
        ("{}", 700004),
        ("[1]", 700004),
        ("[]", 33333),
        (json.dumps([ORDER] * 21), 33333),
        (json.dumps([ORDER, ORDER | {"symbol": "ETHUSDT"}]), 33333),
    ],
)
async def test_batches_that_make_no_sense(
    client: Client, mexc: Server, batch: str, code: int
) -> None:
    answer = await client.spot("POST", "batchOrders", {"batchOrders": batch})
    assert (answer.status, answer.content["code"]) == (400, code)
    assert mexc.orders == []


async def test_five_hundred_orders_may_be_open(client: Client, mexc: Server) -> None:
    book = mexc.exchange.world.desk(BOT).spot
    for number in range(500):
        book.add({"orderId": str(number), "symbol": "BTCUSDT", "clientOrderId": None})
    assert (await client.spot("POST", "order", ORDER)).content["code"] == 30029
