"""Plain spot and margin orders of the simulated KuCoin: what one is, one or many at a time.

https://www.kucoin.com/docs-new/rest/spot-trading/orders/add-order and its neighbours. The old
/api/v1/orders, the high-frequency paths and the margin paths differ in their answers and in whether
a clientOid is required, not in what an order is.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from proxy.sim.kucoin import instruments
from proxy.sim.kucoin.answers import Refused, accepted, bad_parameter
from proxy.sim.kucoin.checks import (
    choice,
    client_name,
    flag,
    items,
    needed,
    stepped,
    tags,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.sim.answers import Answer
    from proxy.sim.kucoin.desk import Book, Call, Json

BATCH_MAX: Final = 5
_MARGIN: Final = "/api/v3/hf/margin/"
_STP: Final = ("", "DC", "CO", "CN", "CB")
_FORCES: Final = ("GTC", "GTT", "IOC", "FOK")
FEE_RATE: Final = Decimal("0.001")


def is_margin(call: Call) -> bool:
    """Return whether this is one of the calls for margin orders."""
    return call.row.path.startswith(_MARGIN) or call.row.path.startswith("/api/v1/margin/order")


def book(call: Call) -> Book:
    """Return the caller's orders that a call is about."""
    return call.desk.margin if is_margin(call) else call.desk.spot


def pair(item: Mapping[str, str]) -> Json:
    """Return the pair an item names; raises Refused."""
    listed: Json | None = instruments.PAIRS.get(needed(item, "symbol"))
    if listed is None:
        raise Refused("900001", "symbol not exists")
    return listed


def place(call: Call) -> Answer:
    """POST of one order, asynchronous: the answer names it."""
    order = make(call, whole(call))
    _keep(call, order)
    content = {"orderId": order["id"], "clientOid": order["clientOid"] or None}
    if is_margin(call):
        content |= {"borrowSize": "0", "loanApplyId": None}
    return accepted(content, [order["id"]])


def place_sync(call: Call) -> Answer:
    """POST /api/v1/hf/orders/sync: the answer tells how it ended."""
    order = make(call, whole(call))
    _keep(call, order)
    return accepted(ended(call, order), [order["id"]])


def test(call: Call) -> Answer:
    """POST …/test: checked as an order is, and gone."""
    order = make(call, whole(call))
    return accepted({"orderId": order["id"], "clientOid": order["clientOid"] or None})


def place_many(call: Call) -> Answer:
    """POST /api/v1/hf/orders/multi and multi/sync."""
    sync = call.row.path.endswith("/sync")
    outcomes: list[Json] = []
    for item in _batch(call, whole(call).get("orderList")):
        try:
            order = make(call, item)
        except Refused as refused:
            name = item.get("clientOid")
            outcomes.append({"clientOid": name, "success": False, "failMsg": refused.msg})
            continue
        _keep(call, order)
        names = {"orderId": order["id"], "clientOid": order["clientOid"] or None}
        outcomes.append((ended(call, order) if sync else names) | {"success": True})
    ids = [each["orderId"] for each in outcomes if each["success"]]
    return accepted(outcomes, ids, whole=len(ids) == len(outcomes))


def place_many_old(call: Call) -> Answer:
    """POST /api/v1/orders/multi: the pair stands beside the list."""
    content = whole(call)
    symbol = pair(content)["symbol"]
    shown: list[Json] = []
    for item in _batch(call, content.get("orderList"), symbol):
        kept = {key: item.get(key) for key in ("type", "side", "price", "size", "clientOid")}
        try:
            order = make(call, item | {"symbol": symbol})
        except Refused as refused:
            shown.append(kept | {"symbol": symbol, "status": "fail", "failMsg": refused.msg})
            continue
        _keep(call, order)
        shown.append(kept | {"symbol": symbol, "status": "success", "id": order["id"]})
    ids = [each["id"] for each in shown if each["status"] == "success"]
    return accepted({"data": shown}, ids, whole=len(ids) == len(shown))


def _batch(call: Call, content: object, symbol: str = "") -> list[Json]:
    orders = items(content, BATCH_MAX)
    symbols = {str(symbol or each.get("symbol")) for each in orders}
    if len(symbols) > 1:
        raise bad_parameter("The orders of a batch must be of one symbol")
    if any(text(each, "type") not in ("", "limit") for each in orders):
        raise bad_parameter("Only limit orders are supported")
    return orders


def make(call: Call, item: Json) -> Json:
    """Return the order that an item describes, not yet kept; raises Refused."""
    listed = pair(item)
    side = choice(item, "side", ("buy", "sell"))
    kind = choice(item, "type", ("limit", "market"), "limit")
    force = choice(item, "timeInForce", _FORCES, "GTC")
    name = client_name(item, must="/hf/" not in call.row.path)
    _refuse_duplicate(call, name)
    price = Decimal(0)
    if kind == "limit":
        price = stepped(item, "price", listed["priceIncrement"], "Price increment invalid.")
    size, funds = _size(item, listed, kind)
    worth = funds or size * (price or Decimal(instruments.last_price(listed["symbol"])))
    if worth < Decimal(listed["minFunds"]):
        raise Refused("600100", "Funds below the minimum requirement.")
    if worth > Decimal(call.owner.funds):
        raise Refused("200004", "Balance insufficient!")
    return {
        "id": call.world.new_id(call.row.venue),
        "clientOid": name,
        "symbol": listed["symbol"],
        "opType": "DEAL",
        "type": kind,
        "side": side,
        "price": str(price),
        "size": text(item, "size") or "0",
        "funds": text(item, "funds") or str(size * price),
        "dealSize": "0",
        "dealFunds": "0",
        "remainSize": str(size),
        "remainFunds": str(funds or size * price),
        "cancelledSize": "0",
        "cancelledFunds": "0",
        "fee": "0",
        "feeCurrency": listed["quoteCurrency"],
        "stp": choice(item, "stp", _STP) or None,
        "timeInForce": force,
        "postOnly": flag(item, "postOnly"),
        "hidden": flag(item, "hidden"),
        "iceberg": flag(item, "iceberg"),
        "visibleSize": text(item, "visibleSize") or "0",
        "cancelAfter": _seconds(item),
        "channel": "API",
        "remark": text(item, "remark") or None,
        "tags": tags(call, item),
        "brokerName": call.broker_name,
        "cancelExist": False,
        "tradeType": _trade_type(call, item),
        "inOrderBook": True,
        "active": True,
        "isActive": True,
        "tax": "0",
        "createdAt": call.now_ms,
        "lastUpdatedAt": call.now_ms,
    }


def _seconds(item: Json) -> int:
    value = text(item, "cancelAfter") or "0"
    if not re.fullmatch(r"-1|\d{1,9}", value, re.ASCII):
        raise bad_parameter("cancelAfter is invalid")
    return int(value)


def _trade_type(call: Call, item: Json) -> str:
    if not is_margin(call):
        return choice(item, "tradeType", ("TRADE", "MARGIN_TRADE"), "TRADE")
    return "MARGIN_ISOLATED_TRADE" if flag(item, "isIsolated") else "MARGIN_TRADE"


def _refuse_duplicate(call: Call, name: str) -> None:
    if not name or name not in book(call).names:
        return
    if is_margin(call):
        raise Refused("126044", "clientOid duplicate")
    raise bad_parameter("validation.createOrder.clientOidDuplicated")


def _size(item: Json, listed: Json, kind: str) -> tuple[Decimal, Decimal]:
    """Return size and funds, of which a market order has one and a limit order the first."""
    if kind == "market" and not text(item, "size"):
        funds = stepped(item, "funds", listed["quoteIncrement"], "Funds increment invalid.")
        return Decimal(0), funds
    size = stepped(item, "size", listed["baseIncrement"], "Order size increment invalid.")
    if size < Decimal(listed["baseMinSize"]):
        raise bad_parameter("Order size below the minimum requirement.")
    if text(item, "funds") and kind == "market":
        raise bad_parameter("size and funds can not both be given")
    return size, Decimal(0)


def _keep(call: Call, order: Json) -> None:
    orders = book(call)
    orders.add(order)
    if order["type"] == "market" or order["timeInForce"] in ("IOC", "FOK"):
        _fill(call, order)


def _fill(call: Call, order: Json) -> None:
    """Fill all of an order at the last price."""
    price = Decimal(instruments.last_price(order["symbol"]))
    size = Decimal(order["size"]) or Decimal(order["funds"]) / price
    funds = size * price
    fee = funds * FEE_RATE
    order |= {"dealSize": str(size), "dealFunds": str(funds), "fee": str(fee)}
    end(call, order)
    number = call.world.new_number()
    call.desk.fills.append(
        {
            "id": number,
            "symbol": order["symbol"],
            "tradeId": number,
            "orderId": order["id"],
            "counterOrderId": call.world.new_id(call.row.venue),
            "side": order["side"],
            "liquidity": "taker",
            "forceTaker": False,
            "price": str(price),
            "size": str(size),
            "funds": str(funds),
            "fee": str(fee),
            "feeRate": str(FEE_RATE),
            "feeCurrency": "USDT",
            "stop": "",
            "tradeType": order["tradeType"],
            "taxRate": "0",
            "tax": "0",
            "type": order["type"],
            "createdAt": call.now_ms,
        }
    )


def end(call: Call, order: Json, *, cancelled: bool = False) -> None:
    """Take an order off the pending ones, filled or cancelled."""
    left = Decimal(order["size"]) - Decimal(order["dealSize"])
    order |= {"active": False, "isActive": False, "inOrderBook": False, "remainSize": "0"}
    order |= {"remainFunds": "0", "cancelExist": cancelled, "lastUpdatedAt": call.now_ms}
    if cancelled:
        order["cancelledSize"] = str(max(left, Decimal(0)))
        order["cancelledFunds"] = str(max(left, Decimal(0)) * Decimal(order["price"]))
    for orders in call.desk.books:
        orders.pending.pop(order["id"], None)


def ended(call: Call, order: Json) -> Json:
    """Return how an order stands, as the synchronous calls answer it."""
    return {
        "orderId": order["id"],
        "clientOid": order["clientOid"] or None,
        "orderTime": order["createdAt"],
        "originSize": order["size"],
        "dealSize": order["dealSize"],
        "remainSize": order["remainSize"],
        "canceledSize": order["cancelledSize"],
        "status": "open" if order["active"] else "done",
        "matchTime": call.now_ms,
    }
