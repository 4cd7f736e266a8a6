"""Futures orders: what is taken, what is refused, what a cancel does."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.sim.kucoin import SimulatedKucoin
from tests.sim.kucoin.client import CONTRACT_ORDER, Answered, Client

ORDERS = "/api/v1/orders"


def named(name: str, **fields: Any) -> dict[str, Any]:
    return CONTRACT_ORDER | {"clientOid": name} | fields


async def call(client: Client, method: str, target: str, content: Any = None) -> Answered:
    return await client.call(
        method, target, content, venue="futures", change=client.partner("futures")
    )


async def place(client: Client, **fields: Any) -> str:
    answer = await call(client, "POST", ORDERS, CONTRACT_ORDER | fields)
    return str(answer.data["orderId"])


async def test_an_order_rests_until_it_is_cancelled(
    client: Client, kucoin: SimulatedKucoin
) -> None:
    number = await place(client)
    order = (await call(client, "GET", f"{ORDERS}/{number}")).data
    assert (order["status"], order["size"], order["leverage"]) == ("open", 2, "3")
    assert order["tags"] == "partner:tagproxyDEMOFUTURES"
    by_name = (await call(client, "GET", f"{ORDERS}/byClientOid?clientOid=one")).data
    assert by_name == order
    page = (await call(client, "GET", f"{ORDERS}?status=active")).data
    assert [each["id"] for each in page["items"]] == [number]
    done = (await call(client, "DELETE", f"{ORDERS}/{number}")).data
    assert done == {"cancelledOrderIds": [number]}
    assert kucoin.orders[0]["cancelExist"]
    assert (await call(client, "DELETE", f"{ORDERS}/{number}")).code == "100004"
    assert (await call(client, "DELETE", f"{ORDERS}/5")).code == "100001"
    assert (await call(client, "GET", f"{ORDERS}/5")).code == "100001"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"symbol": "BTC-USDT"}, "300000"),
        ({"side": ""}, "400100"),
        ({"type": "odd"}, "400100"),
        ({"price": None}, "400100"),
        ({"price": "40000.01"}, "400100"),
        ({"size": "0.5"}, "300000"),
        ({"size": 0}, "400100"),
        ({"leverage": "500"}, "400100"),
        ({"clientOid": None}, "400100"),
        ({"size": 999_999_999}, "300003"),
        ({"marginMode": "BOTH"}, "400100"),
        ({"stop": "left"}, "400100"),
    ],
)
async def test_what_is_no_order(
    client: Client, kucoin: SimulatedKucoin, fields: dict[str, Any], code: str
) -> None:
    assert (await call(client, "POST", ORDERS, CONTRACT_ORDER | fields)).code == code
    assert kucoin.orders == []


async def test_a_client_oid_is_taken_once(client: Client) -> None:
    await place(client)
    assert (await call(client, "POST", ORDERS, CONTRACT_ORDER)).code == "300018"


@pytest.mark.parametrize(
    ("fields", "size"), [({"qty": "0.003"}, 3), ({"valueQty": "100"}, 2), ({"size": "4"}, 4)]
)
async def test_a_size_is_contracts_coins_or_money(
    client: Client, kucoin: SimulatedKucoin, fields: dict[str, Any], size: int
) -> None:
    await place(client, **({"size": None} | fields))
    assert kucoin.orders[0]["size"] == size


async def test_a_market_order_makes_a_position_and_a_close_order_ends_it(client: Client) -> None:
    await place(client, type="market", price=None)
    (position,) = (await call(client, "GET", "/api/v1/positions")).data
    assert (position["symbol"], position["currentQty"]) == ("XBTUSDTM", 2)
    (fill,) = (await call(client, "GET", "/api/v1/fills")).data["items"]
    assert (fill["size"], fill["price"], fill["value"]) == (2, "50000", "100.000")
    await place(client, clientOid="two", type="market", side=None, size=None, closeOrder=True)
    assert (await call(client, "GET", "/api/v1/positions")).data == []
    single = (await call(client, "GET", "/api/v1/position?symbol=XBTUSDTM")).data
    assert single["currentQty"] == 0
    assert len((await call(client, "GET", "/api/v1/recentDoneOrders")).data) == 2


async def test_a_batch_is_an_array(client: Client, kucoin: SimulatedKucoin) -> None:
    orders = [named("a"), named("b", price="no"), named("c")]
    rows = (await call(client, "POST", f"{ORDERS}/multi", orders)).data
    assert [row["code"] for row in rows] == ["200000", "400100", "200000"]
    assert [order["tags"] for order in kucoin.orders] == ["partner:tagproxyDEMOFUTURES"] * 2
    odds: list[Any] = [[], {}, [named(str(number)) for number in range(21)]]
    for odd in odds:
        assert (await call(client, "POST", f"{ORDERS}/multi", odd)).code == "400100"


async def test_many_can_be_cancelled_by_a_delete_with_a_body(client: Client) -> None:
    first = await place(client)
    await place(client, clientOid="two")
    content = {
        "orderIdsList": [first, "5"],
        "clientOidsList": [{"symbol": "XBTUSDTM", "clientOid": "two"}],
    }
    rows = (await call(client, "DELETE", f"{ORDERS}/multi-cancel", content)).data
    assert [row["code"] for row in rows] == ["200", "100001", "200"]
    for odd in ({}, {"orderIdsList": ["1"] * 11}, {"orderIdsList": "1"}):
        assert (await call(client, "DELETE", f"{ORDERS}/multi-cancel", odd)).code == "400100"


async def test_an_order_can_be_cancelled_by_its_name_and_symbol(client: Client) -> None:
    await place(client)
    target = f"{ORDERS}/client-order/one"
    assert (await call(client, "DELETE", target)).code == "400100"
    done = await call(client, "DELETE", f"{target}?symbol=XBTUSDTM")
    assert done.data == {"clientOid": "one"}


async def test_stops_are_apart_from_orders(client: Client) -> None:
    stop = {"stop": "up", "stopPrice": "41000", "stopPriceType": "MP"}
    await place(client, **stop)
    await call(client, "POST", "/api/v1/st-orders", named("two", triggerStopUpPrice="1", size=1))
    plain = await place(client, clientOid="three")
    assert (await call(client, "GET", "/api/v1/stopOrders")).data["totalNum"] == 2
    gone = (await call(client, "DELETE", "/api/v1/stopOrders?symbol=XBTUSDTM")).data
    assert len(gone["cancelledOrderIds"]) == 2
    gone = (await call(client, "DELETE", "/api/v3/orders?symbol=XBTUSDTM")).data
    assert gone == {"cancelledOrderIds": [plain]}


async def test_a_test_order_leaves_nothing(client: Client, kucoin: SimulatedKucoin) -> None:
    await call(client, "POST", f"{ORDERS}/test", CONTRACT_ORDER)
    assert kucoin.orders == []


async def test_leverage_and_modes_are_remembered(client: Client) -> None:
    item = {"symbol": "XBTUSDTM", "leverage": "7"}
    await call(client, "POST", "/api/v2/changeCrossUserLeverage", item)
    target = "/api/v2/getCrossUserLeverage?symbol=XBTUSDTM"
    assert (await call(client, "GET", target)).data == item
    item["leverage"] = "126"
    odd = await call(client, "POST", "/api/v2/changeCrossUserLeverage", item)
    assert odd.code == "400100"
    mode = {"symbol": "XBTUSDTM", "marginMode": "CROSS"}
    await call(client, "POST", "/api/v2/position/changeMarginMode", mode)
    target = "/api/v2/position/getMarginMode?symbol=XBTUSDTM"
    assert (await call(client, "GET", target)).data == mode
    await call(client, "POST", "/api/v2/position/switchPositionMode", {"positionMode": "1"})
    shown = (await call(client, "GET", "/api/v2/position/getPositionMode")).data
    assert shown == {"positionMode": 1}
    odd = await call(client, "POST", "/api/v2/position/switchPositionMode", {"positionMode": "2"})
    assert odd.code == "400100"


async def test_open_orders_are_summed_up(client: Client) -> None:
    await place(client)
    target = "/api/v1/openOrderStatistics?symbol=XBTUSDTM"
    assert (await call(client, "GET", target)).data["openOrderBuySize"] == 2
