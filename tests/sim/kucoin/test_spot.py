"""Plain spot and margin orders: what is taken, what is refused, what a cancel does."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.sim.kucoin import SimulatedKucoin
from tests.sim.client import HandClock
from tests.sim.kucoin.client import ORDER, READER, RICH, Client

HF = "/api/v1/hf/orders"
MARGIN = "/api/v3/hf/margin/order"


def named(name: str, **fields: Any) -> dict[str, Any]:
    return ORDER | {"clientOid": name} | fields


@pytest.mark.parametrize("path", [HF, "/api/v1/orders", "/api/v1/margin/order", MARGIN])
async def test_an_order_rests_until_it_is_cancelled(client: Client, path: str) -> None:
    placed = (await client.call("POST", path, ORDER)).data
    reads = {MARGIN: "/api/v3/hf/margin/orders", "/api/v1/margin/order": "/api/v3/hf/margin/orders"}
    base = f"{reads.get(path, path)}/{placed['orderId']}?symbol=BTC-USDT"
    order = (await client.call("GET", base)).data
    assert (order["clientOid"], order["active"], order["isActive"]) == ("one", True, True)
    assert (order["price"], order["size"], order["dealSize"]) == ("40000", "0.01", "0")
    await client.call("DELETE", base)
    order = (await client.call("GET", base)).data
    assert (order["active"], order["cancelExist"], order["cancelledSize"]) == (False, True, "0.01")
    again = await client.call("DELETE", base)
    assert again.content["msg"] == "order_not_exist_or_not_allow_to_cancel"


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"symbol": "NO-SUCH"}, "900001", "symbol not exists"),
        ({"symbol": ""}, "400100", "symbol"),
        ({"side": "hold"}, "400100", "side"),
        ({"type": "stop"}, "400100", "type"),
        ({"price": None}, "400100", "price"),
        ({"price": "0"}, "400100", "price"),
        ({"price": "1e999"}, "400100", "price"),
        ({"price": "NaN"}, "400100", "price"),
        ({"price": "40000.00001"}, "400100", "Price increment invalid."),
        ({"size": "0.000000001"}, "400100", "Order size increment invalid."),
        ({"size": "0.000001"}, "400100", "Order size below the minimum requirement."),
        ({"price": "0.1"}, "600100", "Funds below the minimum requirement."),
        ({"size": "9000000"}, "200004", "Balance insufficient!"),
        ({"clientOid": "a b"}, "400100", "clientOid"),
        ({"clientOid": "x" * 41}, "400100", "clientOid"),
        ({"timeInForce": "GTX"}, "400100", "timeInForce"),
        ({"stp": "XX"}, "400100", "stp"),
        ({"cancelAfter": "soon"}, "400100", "cancelAfter"),
        ({"postOnly": "perhaps"}, "400100", "postOnly"),
        ({"tags": "é"}, "400100", "tags"),
        ({"size": ["1"]}, "400100", "size"),
        ({"type": "market", "price": None, "funds": "10"}, "400100", "size and funds"),
        ({"type": "market", "price": None, "size": None}, "400100", "funds"),
    ],
)
async def test_what_is_no_order(
    client: Client, kucoin: SimulatedKucoin, fields: dict[str, Any], code: str, words: str
) -> None:
    answer = await client.call("POST", HF, ORDER | fields)
    assert answer.code == code
    assert words in answer.content["msg"]
    assert answer.status == (400 if code == "400100" else 200)
    assert kucoin.orders == []


async def test_a_client_oid_is_taken_once(client: Client) -> None:
    await client.call("POST", HF, ORDER)
    answer = await client.call("POST", HF, ORDER)
    assert (answer.status, answer.code) == (400, "400100")
    assert answer.content["msg"] == "validation.createOrder.clientOidDuplicated"
    assert (await client.call("POST", MARGIN, ORDER)).code == "200000"
    assert (await client.call("POST", MARGIN, ORDER)).code == "126044"
    assert (await client.call("POST", HF, ORDER, user=RICH)).code == "200000"


async def test_only_the_old_paths_need_a_client_oid(client: Client) -> None:
    order = {key: value for key, value in ORDER.items() if key != "clientOid"}
    assert (await client.call("POST", HF, order)).data["clientOid"] is None
    answer = await client.call("POST", "/api/v1/orders", order)
    assert answer.content["msg"] == "validation.createOrder.clientOidIsRequired"


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"type": "market", "price": None}, "0.01"),
        ({"type": "market", "price": None, "size": None, "funds": "100"}, "0.002"),
        ({"timeInForce": "IOC"}, "0.01"),
        ({"timeInForce": "FOK"}, "0.01"),
    ],
)
async def test_what_cannot_rest_is_filled_at_the_last_price(
    client: Client, fields: dict[str, Any], size: str
) -> None:
    done = (await client.call("POST", f"{HF}/sync", ORDER | fields)).data
    assert (done["status"], done["dealSize"]) == ("done", size)
    (fill,) = (await client.call("GET", "/api/v1/hf/fills?symbol=BTC-USDT")).data["items"]
    assert (fill["orderId"], fill["price"], fill["size"]) == (done["orderId"], "50000", size)
    page = (await client.call("GET", "/api/v1/fills")).data
    assert page["totalNum"] == 1


async def test_a_test_order_leaves_nothing(client: Client, kucoin: SimulatedKucoin) -> None:
    for path in (f"{HF}/test", "/api/v1/orders/test", f"{MARGIN}/test"):
        assert (await client.call("POST", path, ORDER)).data["clientOid"] == "one"
    assert (await client.call("POST", f"{HF}/test", ORDER | {"side": "x"})).code == "400100"
    assert kucoin.orders == []


@pytest.mark.parametrize("path", [f"{HF}/multi", f"{HF}/multi/sync"])
async def test_a_batch_says_of_each_order_what_became_of_it(
    client: Client, kucoin: SimulatedKucoin, path: str
) -> None:
    orders = [named("a"), named("b", price="no"), named("c")]
    answer = await client.call("POST", path, {"orderList": orders}, change=client.partner())
    assert [each["success"] for each in answer.data] == [True, False, True]
    assert answer.data[1]["failMsg"] == "price is invalid"
    record = kucoin.requests[-1]
    assert not record.accepted
    assert list(record.order_ids) == [order["id"] for order in kucoin.orders]
    assert {order["tags"] for order in kucoin.orders} == {"partner:tagproxyDEMO"}


@pytest.mark.parametrize(
    "orders",
    [
        [],
        [named(str(number)) for number in range(6)],
        [named("a"), named("b", symbol="ETH-USDT")],
        [named("a", type="market")],
        ["order"],
        None,
    ],
)
async def test_a_batch_is_five_limit_orders_of_one_pair(
    client: Client, kucoin: SimulatedKucoin, orders: Any
) -> None:
    assert (await client.call("POST", f"{HF}/multi", {"orderList": orders})).code == "400100"
    assert kucoin.orders == []


async def test_the_old_batch_names_the_pair_once(client: Client, kucoin: SimulatedKucoin) -> None:
    orders = [{**named(name), "symbol": None} for name in "ab"]
    content = {"symbol": "BTC-USDT", "orderList": [*orders, named("a")]}
    rows = (await client.call("POST", "/api/v1/orders/multi", content)).data["data"]
    assert [row["status"] for row in rows] == ["success", "success", "fail"]
    assert [order["id"] for order in kucoin.orders] == [row["id"] for row in rows[:2]]


async def test_an_amended_order_is_another_under_the_same_name(client: Client) -> None:
    old = (await client.call("POST", HF, ORDER)).data["orderId"]
    item = {"symbol": "BTC-USDT", "clientOid": "one", "newPrice": "41000", "newSize": "0.02"}
    new = (await client.call("POST", f"{HF}/alter", item)).data["newOrderId"]
    orders = (await client.call("GET", f"{HF}/active?symbol=BTC-USDT")).data
    assert [(each["id"], each["price"], each["size"]) for each in orders] == [
        (new, "41000", "0.02")
    ]
    assert (await client.call("GET", f"{HF}/{old}?symbol=BTC-USDT")).data["cancelExist"]
    item = {"symbol": "BTC-USDT", "orderId": old, "newPrice": "1"}
    assert (await client.call("POST", f"{HF}/alter", item)).code == "400100"


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (f"{HF}/client-order/one?symbol=BTC-USDT", "clientOid"),
        (f"{HF}/sync/client-order/one?symbol=BTC-USDT", "clientOid"),
        ("/api/v1/order/client-order/one", "clientOid"),
    ],
)
async def test_an_order_can_be_cancelled_by_its_name(client: Client, path: str, key: str) -> None:
    await client.call("POST", HF, ORDER)
    assert (await client.call("DELETE", path)).data[key] == "one"
    assert (await client.call("GET", f"{HF}/active/symbols")).data == {"symbols": []}


async def test_a_part_of_an_order_can_be_cancelled(client: Client) -> None:
    number = (await client.call("POST", HF, ORDER)).data["orderId"]
    target = f"{HF}/cancel/{number}?symbol=BTC-USDT&cancelSize=0.004"
    assert (await client.call("DELETE", target)).data["cancelSize"] == "0.004"
    order = (await client.call("GET", f"{HF}/{number}?symbol=BTC-USDT")).data
    assert (order["remainSize"], order["active"]) == ("0.006", True)


async def test_everything_can_be_cancelled(client: Client) -> None:
    async def place(name: str, symbol: str = "BTC-USDT") -> None:
        await client.call("POST", HF, named(name, symbol=symbol))

    await place("a")
    await place("b", "ETH-USDT")
    assert (await client.call("DELETE", f"{HF}?symbol=BTC-USDT")).data == "success"
    await place("c")
    done = (await client.call("DELETE", f"{HF}/cancelAll")).data
    assert done == {"succeedSymbols": ["BTC-USDT", "ETH-USDT"], "failedSymbols": []}
    await place("d")
    ids = (await client.call("DELETE", "/api/v1/orders")).data["cancelledOrderIds"]
    assert len(ids) == 1
    assert (await client.call("DELETE", HF)).code == "400100"


async def test_another_users_order_is_nobodys(client: Client) -> None:
    number = (await client.call("POST", HF, ORDER)).data["orderId"]
    target = f"{HF}/{number}?symbol=BTC-USDT"
    assert (await client.call("DELETE", target, user=RICH)).code == "400100"
    assert (await client.call("GET", target, user=READER)).code == "400100"


async def test_lists_are_newest_first_and_in_pages(client: Client) -> None:
    for name in "abc":
        await client.call("POST", HF, named(name))
    page = (await client.call("GET", "/api/v1/orders?status=active&pageSize=2")).data
    assert (page["totalNum"], page["totalPage"]) == (3, 2)
    assert [each["clientOid"] for each in page["items"]] == ["c", "b"]
    assert (await client.call("GET", "/api/v1/orders?pageSize=501")).code == "400100"
    assert (await client.call("GET", "/api/v1/orders?status=odd")).code == "400100"
    page = (await client.call("GET", f"{HF}/active/page?symbol=BTC-USDT&pageSize=1")).data
    assert len(page["items"]) == 1
    await client.call("DELETE", f"{HF}/cancelAll")
    done = (await client.call("GET", f"{HF}/done?symbol=BTC-USDT&limit=2")).data
    assert len(done["items"]) == 2
    assert len((await client.call("GET", "/api/v1/limit/orders")).data) == 3


async def test_the_dead_mans_switch_cancels_what_it_was_told(
    client: Client, clock: HandClock
) -> None:
    await client.call("POST", HF, ORDER)
    await client.call("POST", HF, named("two", symbol="ETH-USDT"))
    timer = {"timeout": 5, "symbols": "BTC-USDT"}
    await client.call("POST", f"{HF}/dead-cancel-all", timer)
    assert (await client.call("GET", f"{HF}/dead-cancel-all/query")).data["timeout"] == 5
    clock.advance(5)
    assert (await client.call("GET", f"{HF}/active/symbols")).data == {"symbols": ["ETH-USDT"]}
    assert (await client.call("GET", f"{HF}/dead-cancel-all/query")).data is None
    assert (await client.call("POST", f"{HF}/dead-cancel-all", {"timeout": 4})).code == "400100"
    await client.call("POST", f"{HF}/dead-cancel-all", {"timeout": 10})
    off = await client.call("POST", f"{HF}/dead-cancel-all", {"timeout": -1})
    assert off.data["triggerTime"] == 0


async def test_cancelling_all_that_is_left_ends_an_order(client: Client) -> None:
    number = (await client.call("POST", HF, ORDER)).data["orderId"]
    target = f"{HF}/cancel/{number}?symbol=BTC-USDT&cancelSize=0.01"
    await client.call("DELETE", target)
    assert (await client.call("DELETE", target)).code == "400100"
    item = {"symbol": "BTC-USDT", "orderId": number}
    assert (await client.call("POST", f"{HF}/alter", item)).code == "400100"


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x"])
async def test_odd_lengths_of_lists_are_refused(client: Client, query: str) -> None:
    assert (await client.call("GET", f"{HF}/done?symbol=BTC-USDT&{query}")).code == "400100"


async def test_isolated_margin_is_told_from_cross(client: Client, kucoin: SimulatedKucoin) -> None:
    await client.call("POST", MARGIN, ORDER)
    await client.call("POST", MARGIN, named("two", isIsolated=True))
    kinds = [order["tradeType"] for order in kucoin.orders]
    assert kinds == ["MARGIN_TRADE", "MARGIN_ISOLATED_TRADE"]
    target = "/api/v3/hf/margin/order/active/symbols?tradeType=MARGIN_TRADE"
    assert (await client.call("GET", target)).data == {"symbolSize": 1, "symbols": ["BTC-USDT"]}
