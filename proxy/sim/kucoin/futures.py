"""Futures orders of the simulated KuCoin: place and cancel, one or many, stops too.

https://www.kucoin.com/docs-new/rest/futures-trading/orders/add-order and its neighbours
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from proxy.sim.kucoin import instruments
from proxy.sim.kucoin.answers import Refused, accepted, bad_parameter
from proxy.sim.kucoin.checks import (
    amount,
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
    from proxy.sim.kucoin.desk import Call, Json

BATCH_MAX: Final = 20
CANCELS_MAX: Final = 10
FEE_RATE: Final = Decimal("0.0006")
_STP: Final = ("", "CN", "CO", "CB")
_NOT_THERE: Final = "error.getOrder.orderNotExist"


def contract(item: Mapping[str, str]) -> Json:
    """Return the contract an item names; raises Refused."""
    listed: Json | None = instruments.CONTRACTS.get(needed(item, "symbol"))
    if listed is None:
        raise Refused("300000", "Contract not exist")
    return listed


def place(call: Call) -> Answer:
    """POST of one order; take profit and stop loss orders too."""
    order = make(call, whole(call))
    _keep(call, order)
    return accepted({"orderId": order["id"], "clientOid": order["clientOid"]}, [order["id"]])


def test(call: Call) -> Answer:
    """POST …/test: checked as an order is, and gone."""
    order = make(call, whole(call))
    return accepted({"orderId": order["id"], "clientOid": order["clientOid"]})


def place_many(call: Call) -> Answer:
    """POST /api/v1/orders/multi: the body is an array."""
    outcomes: list[Json] = []
    for item in items(call.content, BATCH_MAX):
        names = {"clientOid": item.get("clientOid"), "symbol": item.get("symbol")}
        try:
            order = make(call, item)
        except Refused as refused:
            outcomes.append(names | {"orderId": None, "code": refused.code, "msg": refused.msg})
            continue
        _keep(call, order)
        outcomes.append(names | {"orderId": order["id"], "code": "200000", "msg": "success"})
    ids = [each["orderId"] for each in outcomes if each["orderId"]]
    return accepted(outcomes, ids, whole=len(ids) == len(outcomes))


def make(call: Call, item: Json) -> Json:
    """Return the order that an item describes, not yet kept; raises Refused."""
    listed = contract(item)
    name = client_name(item, must=True)
    if name in call.desk.futures.names or name in call.desk.futures_stops.names:
        raise Refused("300018", "clientOid parameter repeated")
    closing = flag(item, "closeOrder")
    side = choice(item, "side", ("buy", "sell")) if not closing or text(item, "side") else ""
    kind = choice(item, "type", ("limit", "market"), "limit")
    price = None
    if kind == "limit" and not closing:
        price = stepped(item, "price", str(listed["tickSize"]), "Price parameter invalid.")
    size = 0 if closing else _size(item, listed)
    leverage = text(item, "leverage") or call.desk.leverage.get(listed["symbol"], "1")
    if not 1 <= amount({"leverage": leverage}, "leverage") <= listed["maxLeverage"]:
        raise bad_parameter("leverage is invalid")
    worth = size * abs(Decimal(str(listed["multiplier"]))) * (price or Decimal(_price(listed)))
    if worth > Decimal(call.owner.funds):
        raise Refused("300003", "Balance insufficient.")
    return {
        "id": call.world.new_id(call.row.venue),
        "symbol": listed["symbol"],
        "type": kind,
        "side": side,
        "price": "0" if price is None else str(price),
        "size": size,
        "value": str(worth),
        "dealValue": "0",
        "dealSize": 0,
        "stp": choice(item, "stp", _STP),
        "stop": choice(item, "stop", ("", "up", "down")),
        "stopPriceType": choice(item, "stopPriceType", ("", "TP", "MP", "IP")),
        "stopTriggered": None,
        "stopPrice": text(item, "stopPrice") or None,
        "timeInForce": choice(item, "timeInForce", ("GTC", "IOC", "FOK", "RPI"), "GTC"),
        "postOnly": flag(item, "postOnly"),
        "hidden": flag(item, "hidden"),
        "iceberg": flag(item, "iceberg"),
        "leverage": leverage,
        "forceHold": flag(item, "forceHold"),
        "closeOrder": closing,
        "visibleSize": _visible(item),
        "clientOid": name,
        "remark": text(item, "remark") or None,
        "tags": tags(call, item),
        "brokerName": call.broker_name,
        "isActive": True,
        "cancelExist": False,
        "createdAt": call.now_ms,
        "updatedAt": call.now_ms,
        "endAt": None,
        "orderTime": call.now_ms * 1_000_000,
        "settleCurrency": listed["settleCurrency"],
        "marginMode": choice(item, "marginMode", ("ISOLATED", "CROSS"), "ISOLATED"),
        "positionSide": "BOTH",
        "avgDealPrice": "0",
        "filledSize": 0,
        "filledValue": "0",
        "status": "open",
        "reduceOnly": flag(item, "reduceOnly"),
    }


def _visible(item: Json) -> int | None:
    return int(amount(item, "visibleSize")) if text(item, "visibleSize") else None


def _price(listed: Json) -> str:
    return instruments.last_price(listed["symbol"])


def _size(item: Json, listed: Json) -> int:
    """Return whole contracts, given as such, in coins (qty) or in quote money (valueQty)."""
    value = abs(Decimal(str(listed["multiplier"])))
    if text(item, "qty"):
        size = amount(item, "qty") / value
    elif text(item, "valueQty"):
        size = (amount(item, "valueQty") / value / Decimal(_price(listed))).to_integral_value()
    else:
        size = amount(item, "size")
    if size < 1 or size % 1:
        raise Refused("300000", "Quantity parameter invalid.")
    return int(size)


def _keep(call: Call, order: Json) -> None:
    if any((order["stop"], order["stopPrice"], call.row.path.endswith("/st-orders"))):
        call.desk.futures_stops.add(order)
        return
    call.desk.futures.add(order)
    if order["type"] == "market" or order["closeOrder"] or order["timeInForce"] in ("IOC", "FOK"):
        _fill(call, order)


def _fill(call: Call, order: Json) -> None:
    positions = call.desk.positions
    held = positions.get(order["symbol"], 0)
    if order["closeOrder"]:
        order |= {"side": "sell" if held > 0 else "buy", "size": abs(held)}
    price = instruments.last_price(order["symbol"])
    multiplier = instruments.CONTRACTS[order["symbol"]]["multiplier"]
    value = str(order["size"] * abs(Decimal(str(multiplier))) * Decimal(price))
    order |= {"dealSize": order["size"], "filledSize": order["size"], "avgDealPrice": price}
    order |= {"dealValue": value, "filledValue": value}
    end(call, order)
    positions[order["symbol"]] = held + order["size"] * (1 if order["side"] == "buy" else -1)
    call.desk.futures_fills.append(
        {
            "symbol": order["symbol"],
            "tradeId": str(call.world.new_number()),
            "orderId": order["id"],
            "side": order["side"],
            "liquidity": "taker",
            "forceTaker": True,
            "price": price,
            "size": order["size"],
            "value": value,
            "openFeePay": str(Decimal(value) * FEE_RATE),
            "closeFeePay": "0",
            "stop": "",
            "feeRate": str(FEE_RATE),
            "fixFee": "0",
            "feeCurrency": "USDT",
            "tradeTime": call.now_ms * 1_000_000,
            "subTradeType": None,
            "marginMode": order["marginMode"],
            "displayType": order["type"],
            "fee": str(Decimal(value) * FEE_RATE),
            "settleCurrency": order["settleCurrency"],
            "orderType": order["type"],
            "tradeType": "trade",
            "createdAt": call.now_ms,
        }
    )


def end(call: Call, order: Json, *, cancelled: bool = False) -> None:
    """Take an order off the pending ones, filled or cancelled."""
    order |= {"isActive": False, "status": "done", "cancelExist": cancelled}
    order |= {"updatedAt": call.now_ms, "endAt": call.now_ms}
    call.desk.futures.pending.pop(order["id"], None)
    call.desk.futures_stops.pending.pop(order["id"], None)


def found(call: Call, order_id: str, name: str) -> Json:
    """Return an order of one's own, a stop order too; raises Refused."""
    desk = call.desk
    order = desk.futures.find(order_id, name) or desk.futures_stops.find(order_id, name)
    if order is None:
        raise Refused("100001", _NOT_THERE)
    return order


def _cancelled(call: Call, order_id: str, name: str) -> Json:
    order = found(call, order_id, name)
    if not order["isActive"]:
        raise Refused("100004", "Order is in not cancelable state")
    end(call, order, cancelled=True)
    return order


def cancel(call: Call) -> Answer:
    """DELETE /api/v1/orders/{orderId}."""
    order = _cancelled(call, call.names["orderId"], "")
    return accepted({"cancelledOrderIds": [order["id"]]}, [order["id"]])


def cancel_named(call: Call) -> Answer:
    """DELETE /api/v1/orders/client-order/{clientOid}: needs the symbol."""
    contract(call.query)
    order = _cancelled(call, "", call.names["clientOid"])
    return accepted({"clientOid": order["clientOid"]}, [order["id"]])


def cancel_many(call: Call) -> Answer:
    """DELETE /api/v1/orders/multi-cancel: a body, in a DELETE."""
    content = whole(call)
    ids, named = content.get("orderIdsList") or [], content.get("clientOidsList") or []
    if not isinstance(ids, list) or not isinstance(named, list) or not ids + named:
        raise bad_parameter("orderIdsList is invalid")
    if len(ids) + len(named) > CANCELS_MAX:
        raise bad_parameter(f"The number of orders must be 1 to {CANCELS_MAX}")
    wanted = [(str(each), "") for each in ids]
    wanted += [("", text(each, "clientOid")) for each in items(named, CANCELS_MAX)] if named else []
    outcomes: list[Json] = []
    for order_id, name in wanted:
        try:
            order = _cancelled(call, order_id, name)
        except Refused as refused:
            names = {"orderId": order_id or None, "clientOid": name or None}
            outcomes.append(names | {"code": refused.code, "msg": refused.msg})
            continue
        names = {"orderId": order["id"], "clientOid": order["clientOid"]}
        outcomes.append(names | {"code": "200", "msg": "success"})
    done = [each["orderId"] for each in outcomes if each["code"] == "200"]
    return accepted(outcomes, done, whole=len(done) == len(outcomes))


def cancel_all(call: Call) -> Answer:
    """DELETE /api/v1/orders, /api/v3/orders and /api/v1/stopOrders: of a symbol, or all."""
    symbol = call.query.get("symbol", "")
    if symbol:
        contract(call.query)
    stops = call.row.path.endswith("stopOrders")
    book = call.desk.futures_stops if stops else call.desk.futures
    gone = [order for order in book.pending.values() if symbol in ("", order["symbol"])]
    for order in gone:
        end(call, order, cancelled=True)
    ids = [order["id"] for order in gone]
    return accepted({"cancelledOrderIds": ids}, ids)
