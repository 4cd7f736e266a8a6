"""Stop and OCO orders of the simulated KuCoin, spot and margin. Nothing here ever triggers.

https://www.kucoin.com/docs-new/rest/spot-trading/orders/add-stop-order and add-oco-order
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.sim.kucoin import spot
from proxy.sim.kucoin.answers import accepted, bad_parameter, paged
from proxy.sim.kucoin.checks import amount, choice, needed, text, whole

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.kucoin.desk import Book, Call, Json

_OCO_SHOWN = ("symbol", "clientOid", "orderId", "orderTime", "status")


def _book(call: Call) -> Book:
    oco = "/oco" in call.row.path
    if spot.is_margin(call):
        return call.desk.margin_ocos if oco else call.desk.margin_stops
    return call.desk.ocos if oco else call.desk.stops


def place(call: Call) -> Answer:
    """POST of a stop order."""
    item = whole(call)
    order = _made(call, item) | {
        "stop": choice(item, "stop", ("loss", "entry"), "loss"),
        "stopPrice": str(amount(item, "stopPrice")),
    }
    _book(call).add(order)
    return accepted({"orderId": order["id"], "clientOid": order["clientOid"]}, [order["id"]])


def place_oco(call: Call) -> Answer:
    """POST of an OCO order: a limit order and a stop order of which one goes through."""
    item = whole(call)
    for key in ("price", "stopPrice", "limitPrice", "size"):
        amount(item, key)
    order = _made(call, item) | {
        "stopPrice": text(item, "stopPrice"),
        "limitPrice": text(item, "limitPrice"),
    }
    order["orderId"] = order["id"]
    _book(call).add(order)
    return accepted({"orderId": order["id"], "clientOid": order["clientOid"]}, [order["id"]])


def _made(call: Call, item: Json) -> Json:
    name = needed(item, "clientOid")
    if name in _book(call).names:
        raise bad_parameter("validation.createOrder.clientOidDuplicated")
    order = spot.make(call, item)
    return order | {
        "userId": call.owner.uid,
        "status": "NEW",
        "domainId": "kucoin",
        "tradeSource": "USER",
        "takerFeeRate": str(spot.FEE_RATE),
        "makerFeeRate": str(spot.FEE_RATE),
        "stopTriggerTime": None,
        "relatedNo": None,
        "orderTime": call.now_ms,
    }


def _named(call: Call) -> Json:
    """Return the order that path or query name; raises Refused."""
    order_id = call.names.get("orderId") or call.query.get("orderId", "")
    name = call.names.get("clientOid") or call.query.get("clientOid", "")
    if not order_id and not name:
        raise bad_parameter("orderId can not be empty")
    order = _book(call).find(order_id, name)
    if order is None:
        raise bad_parameter("order_not_exist_or_not_allow_to_cancel")
    return order


def _end(call: Call, order: Json) -> None:
    spot.end(call, order, cancelled=True)
    order["status"] = "CANCELLED"


def cancel(call: Call) -> Answer:
    """DELETE of one, by id or clientOid."""
    order = _named(call)
    if order["id"] not in _book(call).pending:
        raise bad_parameter("order_not_exist_or_not_allow_to_cancel")
    _end(call, order)
    if "ClientOid" in call.row.path:
        content: Json = {"cancelledOrderId": order["id"], "clientOid": order["clientOid"]}
    else:
        content = {"cancelledOrderIds": [order["id"]]}
    return accepted(content, [order["id"]])


def cancel_many(call: Call) -> Answer:
    """DELETE of those of a symbol, or of the ids given."""
    symbol = call.query.get("symbol", "")
    ids = [each for each in call.query.get("orderIds", "").split(",") if each]
    gone = [
        order
        for order in _book(call).pending.values()
        if symbol in ("", order["symbol"]) and (not ids or order["id"] in ids)
    ]
    for order in gone:
        _end(call, order)
    done = [order["id"] for order in gone]
    return accepted({"cancelledOrderIds": done}, done)


def one(call: Call) -> Answer:
    """GET of one, by id or clientOid."""
    order = _named(call)
    if call.row.path.endswith("queryOrderByClientOid"):
        return accepted([order])
    return accepted(order)


def listed(call: Call) -> Answer:
    """GET of those still pending."""
    symbol = call.query.get("symbol", "")
    rows = [each for each in _book(call).pending.values() if symbol in ("", each["symbol"])]
    return accepted(paged(call.query, rows[::-1]))


def oco(call: Call) -> Answer:
    """GET of an OCO order in short."""
    order = _named(call)
    return accepted({key: order[key] for key in _OCO_SHOWN})


def oco_details(call: Call) -> Answer:
    """GET of an OCO order with its two halves."""
    order = _named(call)
    half = ("symbol", "side", "size", "status")
    halves = [
        {"id": f"{order['id']}{number}", "price": order[price], "stopPrice": order[stop]}
        | {key: order[key] for key in half}
        for number, price, stop in ((1, "price", "price"), (2, "limitPrice", "stopPrice"))
    ]
    return accepted({key: order[key] for key in _OCO_SHOWN} | {"orders": halves})


def oco_listed(call: Call) -> Answer:
    """GET of the OCO orders."""
    symbol = call.query.get("symbol", "")
    rows = [
        {key: each[key] for key in _OCO_SHOWN}
        for each in _book(call).orders.values()
        if symbol in ("", each["symbol"])
    ]
    return accepted(paged(call.query, rows[::-1]))
