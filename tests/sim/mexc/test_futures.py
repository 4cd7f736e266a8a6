"""Futures orders from placed to seen again, and those that wait."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.sim.mexc import Mexc
from proxy.sim.server import SimulatedExchange
from tests.sim.client import HandClock
from tests.sim.mexc.client import BOT, CONTRACTS, OTHER, Client

Server = SimulatedExchange[Mexc]
PLAN = {
    "symbol": "BTC_USDT",
    "price": 40000,
    "vol": 1,
    "leverage": 20,
    "side": 1,
    "openType": 1,
    "triggerPrice": 45000,
    "triggerType": 2,
    "executeCycle": 1,
    "orderType": 1,
    "trend": 1,
}
SOURCE = {"source": "OURS"}


async def done(client: Client, path: str, content: Any = None, method: str = "POST") -> Any:
    answer = await client.futures(method, path, content, headers=SOURCE)
    assert answer.content["success"] is True, answer
    return answer.content.get("data")


async def test_an_order_keeps_its_source_and_its_name(client: Client, mexc: Server) -> None:
    made = await done(client, "order/create", CONTRACTS | {"externalOid": "ext-1"})
    assert set(made) == {"orderId", "ts"}
    record = mexc.requests[-1]
    assert (record.accepted, record.order_ids) == (True, (made["orderId"],))
    assert mexc.exchange.codes(record) == ["OURS"]
    assert mexc.exchange.is_order(record)
    (order,) = mexc.orders
    assert (order["source"], order["uid"], order["api"]) == ("OURS", "100", "futures")
    for path in (f"order/get/{made['orderId']}", "order/external/BTC_USDT/ext-1"):
        shown = await done(client, path, method="GET")
        assert (shown["orderId"], shown["state"]) == (made["orderId"], 2)
        assert "source" not in shown


async def test_the_older_name_answers_with_the_bare_id(client: Client, mexc: Server) -> None:
    made = await done(client, "order/submit", CONTRACTS)
    assert made == mexc.orders[0]["orderId"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"symbol": "BTCUSDT"}, 200, 1001),
        ({"symbol": None}, 200, 1001),
        ({"side": 5}, 400, 600),
        ({"side": True}, 400, 600),
        ({"type": 0}, 400, 600),
        ({"openType": None}, 400, 600),
        ({"vol": 0}, 400, 600),
        ({"vol": "x"}, 400, 600),
        ({"vol": 1.5}, 200, 2008),
        ({"price": None}, 400, 600),
        ({"leverage": 201}, 400, 600),
        ({"reduceOnly": "no"}, 400, 600),
        ({"externalOid": "x" * 33}, 200, 2030),
        ({"vol": 1_000_000, "price": 9_999_999}, 200, 0),
        ({"vol": 1_000_000, "price": 99_999_999}, 200, 2005),
        ({"side": 4}, 200, 2009),
    ],
)
async def test_orders_that_make_no_sense(
    client: Client, mexc: Server, changes: dict[str, Any], status: int, code: int
) -> None:
    answer = await client.futures("POST", "order/create", CONTRACTS | changes)
    assert (answer.status, answer.content["code"]) == (status, code)
    assert answer.content["success"] == (code == 0)
    assert len(mexc.orders) == (code == 0)


async def test_an_isolated_order_names_its_leverage(client: Client) -> None:
    said = {key: value for key, value in CONTRACTS.items() if key != "leverage"}
    assert (await client.futures("POST", "order/create", said | {"openType": 1})).code == "600"
    assert (await client.futures("POST", "order/create", said)).code == "0"


async def test_a_body_must_be_one_object(client: Client) -> None:
    assert (await client.futures("POST", "order/create", [CONTRACTS])).code == "601"
    assert (await client.futures("POST", "order/cancel", {"orderId": 1})).code == "601"


async def test_batches_are_for_market_makers(client: Client, mexc: Server) -> None:
    items = [CONTRACTS, CONTRACTS | {"vol": 0}, 7]
    answer = await client.futures("POST", "order/submit_batch", items)
    assert (answer.status, answer.code) == (403, "511")
    await client.sim("POST", "accounts", {"uid": "100", "market_maker": True})
    outcomes = await done(client, "order/submit_batch", items)
    assert [each["errorCode"] for each in outcomes] == [0, 600, 601]
    assert [order["orderId"] for order in mexc.orders] == [str(outcomes[0]["orderId"])]
    assert not mexc.requests[-1].accepted


async def test_orders_are_cancelled_by_id_and_by_name(client: Client, mexc: Server) -> None:
    first = (await done(client, "order/create", CONTRACTS))["orderId"]
    await done(client, "order/create", CONTRACTS | {"externalOid": "two"})
    outcomes = await done(client, "order/cancel", [first, int(first), 1])
    assert [each["errorCode"] for each in outcomes] == [0, 2041, 2040]
    assert not mexc.requests[-1].accepted
    stranger = await client.futures("POST", "order/cancel", [first], user=OTHER)
    assert stranger.content["data"][0]["errorCode"] == 2040
    for path in ("order/cancel_with_external", "order/batch_cancel_with_external"):
        named = [{"symbol": "BTC_USDT", "externalOid": "two"}]
        outcomes = await done(client, path, named)
        expected = 0 if path == "order/cancel_with_external" else 2041
        assert [each["errorCode"] for each in outcomes] == [expected]
    assert {order["state"] for order in mexc.orders} == {4}
    assert (await client.futures("POST", "order/cancel", ["x"])).code == "600"
    assert (await client.futures("POST", "order/cancel", list(range(51)))).code == "601"


async def test_all_orders_of_a_contract_are_cancelled(client: Client) -> None:
    for symbol in ("BTC_USDT", "ETH_USDT"):
        await done(client, "order/create", CONTRACTS | {"symbol": symbol, "price": 2000})
    assert await done(client, "order/cancel_all", {"symbol": "BTC_USDT"}) is None
    (left,) = await done(client, "order/list/open_orders", method="GET")
    assert left["symbol"] == "ETH_USDT"
    assert await done(client, "order/list/open_orders/BTC_USDT", method="GET") == []
    await done(client, "order/cancel_all", {"symbol": ""})
    assert await done(client, "order/list/open_orders", method="GET") == []


async def test_a_changed_order_is_a_new_one(client: Client, mexc: Server) -> None:
    old = (await done(client, "order/create", CONTRACTS))["orderId"]
    change = {"orderId": old, "price": 41000, "vol": 5}
    new = await done(client, "order/change_limit_order", change)
    assert new != old
    shown = await done(client, f"order/get/{new}", method="GET")
    assert (shown["price"], shown["vol"], shown["state"]) == (41000, 5, 2)
    assert (await done(client, f"order/get/{old}", method="GET"))["state"] == 4
    await done(client, "order/chase_limit_order", {"orderId": new})
    assert mexc.orders[-1]["price"] > 41000
    gone = await client.futures("POST", "order/chase_limit_order", {"orderId": old})
    assert gone.content["code"] == 2040


async def test_orders_are_found_again(client: Client, clock: HandClock) -> None:
    ids = []
    for number in range(3):
        said = CONTRACTS | {"externalOid": f"e{number}"}
        ids.append((await done(client, "order/create", said))["orderId"])
    await done(client, "order/cancel", [ids[0]])
    found = await done(client, "order/batch_query", {"order_ids": f"{ids[2]},{ids[0]},7"}, "GET")
    assert [each["orderId"] for each in found] == [ids[2], ids[0]]
    named = [{"symbol": "BTC_USDT", "externalOid": name} for name in ("e1", "nobody")]
    found = await done(client, "order/batch_query_with_external", named)
    assert [each["orderId"] for each in found] == [ids[1]]
    for path in ("order/list/history_orders", "order/list/close_orders"):
        found = await done(client, path, {"states": "4"}, "GET")
        assert [each["orderId"] for each in found] == [ids[0]]
    assert await done(client, "order/list/history_orders", {"states": "3"}, "GET") == []
    page = await done(client, "order/list/open_orders", {"page_num": 2, "page_size": 1}, "GET")
    assert [each["orderId"] for each in page] == [ids[2]]
    counts = await done(client, "order/open_order_total_count", {})
    assert (counts["sumCount"], counts["limitOrderCount"]) == (2, 2)
    assert (await client.futures("GET", "order/get/7")).content["code"] == 2040
    assert (await client.futures("GET", "order/external/BTC_USDT/x")).content["code"] == 2040
    assert (await client.futures("GET", "order/batch_query")).code == "600"


async def test_what_does_not_rest_makes_a_position(client: Client) -> None:
    market = {key: value for key, value in CONTRACTS.items() if key != "price"} | {"type": 5}
    order_id = (await done(client, "order/create", market))["orderId"]
    (position,) = await done(client, "position/open_positions", method="GET")
    assert (position["holdVol"], position["positionType"]) == (10, 1)
    (deal,) = await done(client, f"order/deal_details/{order_id}", method="GET")
    assert (deal["orderId"], deal["vol"]) == (order_id, 10)
    assert await done(client, "order/list/order_deals/v3", {"symbol": "ETH_USDT"}, "GET") == []
    await done(client, "order/create", market | {"side": 4, "vol": 4})
    (position,) = await done(client, "position/open_positions", method="GET")
    assert position["holdVol"] == 6
    turn = {"symbol": "BTC_USDT", "positionId": position["positionId"], "vol": 6}
    await done(client, "position/reverse", turn)
    (position,) = await done(client, "position/open_positions", method="GET")
    assert (position["holdVol"], position["positionType"]) == (6, 2)
    assert (await client.futures("POST", "position/reverse", turn)).content["code"] == 2009
    mode = await client.futures("POST", "position/change_position_mode", {"positionMode": 2})
    assert mode.content["code"] == 2019
    await done(client, "position/close_all")
    assert await done(client, "position/open_positions", method="GET") == []
    await done(client, "position/change_position_mode", {"positionMode": 2})
    assert await done(client, "position/position_mode", method="GET") == 2


async def test_leverage_is_kept(client: Client) -> None:
    said = {"symbol": "BTC_USDT", "leverage": 7, "openType": 1, "positionType": 1}
    await done(client, "position/change_leverage", said)
    rows = await done(client, "position/leverage", {"symbol": "BTC_USDT"}, "GET")
    assert [row["leverage"] for row in rows] == [7, 7]
    del said["openType"]
    assert (await client.futures("POST", "position/change_leverage", said)).code == "600"
    risk = await client.futures("POST", "account/change_risk_level", {})
    assert risk.content["code"] == 8817


async def test_assets(client: Client) -> None:
    assert (await done(client, "account/assets", method="GET"))[0]["currency"] == "USDT"
    one = await done(client, "account/asset/MX", method="GET")
    assert (one["currency"], one["equity"]) == ("MX", 0)


async def test_plan_orders_wait(client: Client, mexc: Server) -> None:
    first = await done(client, "planorder/place", PLAN)
    second = await done(client, "planorder/place/v2", PLAN | {"orderType": 5})
    assert (isinstance(first, int), isinstance(second, str)) == (True, True)
    assert [order["source"] for order in mexc.orders] == ["OURS", "OURS"]
    rows = await done(client, "planorder/list/orders", method="GET")
    assert [row["id"] for row in rows] == [second, str(first)]
    assert "price" not in rows[0]
    wanted = [{"symbol": "BTC_USDT", "orderId": first}]
    await done(client, "planorder/cancel", wanted)
    gone = await client.futures("POST", "planorder/cancel", wanted)
    assert gone.content["code"] == 2040
    await done(client, "planorder/cancel_all", {"symbol": "BTC_USDT"})
    assert {order["state"] for order in mexc.orders} == {2}
    for name in ("symbol", "triggerPrice", "triggerType", "executeCycle", "orderType", "trend"):
        said = {key: value for key, value in PLAN.items() if key != name}
        answer = await client.futures("POST", "planorder/place", said)
        assert answer.content["success"] is False, name


async def test_stop_orders_need_a_position(client: Client, mexc: Server) -> None:
    await done(client, "order/create", CONTRACTS | {"type": 5})
    (position,) = await done(client, "position/open_positions", method="GET")
    said = {"lossTrend": 1, "profitTrend": 1, "positionId": position["positionId"], "vol": 1}
    assert (await client.futures("POST", "stoporder/place", said)).code == "600"
    made = await done(client, "stoporder/place", said | {"stopLossPrice": 30000})
    (row,) = await done(client, "stoporder/open_orders", method="GET")
    assert (row["id"], row["symbol"]) == (str(made), "BTC_USDT")
    await done(client, "stoporder/cancel", [{"stopPlanOrderId": made}])
    assert await done(client, "stoporder/open_orders", method="GET") == []
    assert len(await done(client, "stoporder/list/orders", method="GET")) == 1
    nobody = said | {"positionId": 7, "stopLossPrice": 30000}
    answer = await client.futures("POST", "stoporder/place", nobody)
    assert answer.content["code"] == 2009
    await done(client, "stoporder/cancel_all", {})


async def test_track_orders_wait(client: Client, mexc: Server) -> None:
    said = {"symbol": "BTC_USDT", "leverage": 20, "side": 1, "vol": 1, "openType": 1}
    said |= {"trend": 1, "backType": 1, "backValue": 5}
    made = await done(client, "trackorder/place", said)
    (row,) = await done(client, "trackorder/list/orders", method="GET")
    assert row["id"] == made
    await done(client, "trackorder/cancel", {"trackOrderId": made})
    assert mexc.exchange.world.desk(BOT).tracks.pending == {}
