"""Stop and OCO orders, spot and margin."""

from __future__ import annotations

import pytest

from proxy.sim.kucoin import SimulatedKucoin
from tests.sim.kucoin.client import ORDER, Client

STOP = ORDER | {"stopPrice": "41000"}
OCO = STOP | {"limitPrice": "41100"}
SPOT, MARGIN = "/api/v1/stop-order", "/api/v3/hf/margin/stop-order"


@pytest.mark.parametrize(
    ("place", "order", "read", "cancel", "listed"),
    [
        (SPOT, STOP, f"{SPOT}/ID", f"{SPOT}/ID", SPOT),
        (
            SPOT,
            STOP,
            f"{SPOT}/ID",
            f"{SPOT}/cancelOrderByClientOid?clientOid=one&symbol=BTC-USDT",
            SPOT,
        ),
        (SPOT, STOP, f"{SPOT}/ID", f"{SPOT}/cancel?symbol=BTC-USDT", SPOT),
        (
            MARGIN,
            STOP,
            f"{MARGIN}/orderId?orderId=ID",
            f"{MARGIN}/cancel-by-id?orderId=ID",
            "/api/v3/hf/margin/stop-orders",
        ),
        (
            "/api/v3/oco/order",
            OCO,
            "/api/v3/oco/order/ID",
            "/api/v3/oco/client-order/one",
            "/api/v3/oco/orders",
        ),
        (
            "/api/v3/hf/margin/oco-order",
            OCO,
            "/api/v3/hf/margin/oco-order/orderId?orderId=ID",
            "/api/v3/hf/margin/oco-order/cancel?orderIds=ID",
            "/api/v3/hf/margin/oco-orders",
        ),
    ],
)
async def test_a_stop_waits_until_it_is_cancelled(
    client: Client,
    kucoin: SimulatedKucoin,
    place: str,
    order: dict[str, str],
    read: str,
    cancel: str,
    listed: str,
) -> None:
    placed = await client.call("POST", place, order, change=client.partner())
    number = placed.data["orderId"]
    assert kucoin.orders[0]["tags"] == "partner:tagproxyDEMO"
    assert (await client.call("POST", place, order)).code == "400100"
    found = (await client.call("GET", read.replace("ID", number))).data
    assert (found["clientOid"], found["status"]) == ("one", "NEW")
    assert (await client.call("GET", listed)).data["totalNum"] == 1
    assert (await client.call("DELETE", cancel.replace("ID", number))).code == "200000"
    assert kucoin.orders[0]["status"] == "CANCELLED"
    found = (await client.call("GET", read.replace("ID", number))).data
    assert found["status"] == "CANCELLED"


async def test_a_stop_needs_its_price_and_a_name(client: Client) -> None:
    assert (await client.call("POST", SPOT, ORDER)).code == "400100"
    nameless = {key: value for key, value in STOP.items() if key != "clientOid"}
    assert (await client.call("POST", SPOT, nameless)).code == "400100"
    assert (await client.call("POST", "/api/v3/oco/order", STOP)).code == "400100"


async def test_by_name_a_list_is_answered(client: Client) -> None:
    await client.call("POST", SPOT, STOP)
    target = f"{SPOT}/queryOrderByClientOid?clientOid=one"
    assert [each["stop"] for each in (await client.call("GET", target)).data] == ["loss"]
    assert (await client.call("GET", f"{SPOT}/queryOrderByClientOid")).code == "400100"


async def test_an_oco_order_has_two_halves(client: Client) -> None:
    number = (await client.call("POST", "/api/v3/oco/order", OCO)).data["orderId"]
    found = (await client.call("GET", f"/api/v3/oco/order/details/{number}")).data
    assert [each["price"] for each in found["orders"]] == ["40000", "41100"]


async def test_what_is_cancelled_cannot_be_again(client: Client) -> None:
    number = (await client.call("POST", SPOT, STOP)).data["orderId"]
    await client.call("DELETE", f"{SPOT}/{number}")
    assert (await client.call("DELETE", f"{SPOT}/{number}")).code == "400100"
    assert (await client.call("DELETE", f"{SPOT}/none")).code == "400100"
