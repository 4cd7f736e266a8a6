"""Spot orders of the simulated MEXC: place, place in batches, cancel, query.

https://www.mexc.com/api-docs/spot-v3/spot-account-trade
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from proxy.sim.mexc import symbols
from proxy.sim.mexc.answers import Denied, missing, plain
from proxy.sim.mexc.fields import choice, spot_amount, text

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.mexc.desk import Call, Json

BATCH_MAX: Final = 20
OPEN_MAX: Final = 500
NAME_LONGEST: Final = 32
LISTED_MAX: Final = 1000
_PRICED: Final = ("LIMIT", "LIMIT_MAKER", "IMMEDIATE_OR_CANCEL", "FILL_OR_KILL")
_AT_ONCE: Final = ("MARKET", "IMMEDIATE_OR_CANCEL", "FILL_OR_KILL")
_STP_MODES: Final = ("", "cancel_maker", "cancel_taker", "cancel_both")
_CANCELED: Final = (
    "symbol",
    "origClientOrderId",
    "orderId",
    "clientOrderId",
    "price",
    "origQty",
    "executedQty",
    "cummulativeQuoteQty",
    "status",
    "type",
    "side",
)
_HIDDEN: Final = ("source", "origClientOrderId")  # what a query does not show


def place(call: Call) -> Answer:
    """POST order."""
    order = _place(call, call.parameters)
    placed: Json = {"symbol": order["symbol"], "orderId": order["orderId"], "orderListId": -1}
    shown = ("price", "origQty", "type", "side", "stpMode")
    placed |= {key: order[key] for key in shown} | {"transactTime": call.now_ms}
    return plain(placed, (order["orderId"],))


def test(call: Call) -> Answer:
    """POST order/test: looked at and forgotten."""
    _checked(call, call.parameters)
    return plain({})


def place_batch(call: Call) -> Answer:
    """POST batchOrders: an array of orders for one symbol, as JSON in one parameter."""
    items = _batch(text(call.parameters, "batchOrders"))
    outcomes = [_batched(call, item) for item in items]
    placed = tuple(each["orderId"] for each in outcomes if "orderId" in each)
    return plain(outcomes, placed, accepted=len(placed) == len(outcomes))


def _batch(raw: str) -> list[Json]:
    try:
        items = json.loads(raw, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        raise missing("batchOrders") from None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise missing("batchOrders")
    if not 1 <= len(items) <= BATCH_MAX:
        raise Denied(33333, f"batchOrders: 1 to {BATCH_MAX} orders")
    if len({item.get("symbol") for item in items}) > 1:
        raise Denied(33333, "batchOrders: one symbol only")
    return items


def _batched(call: Call, item: Json) -> Json:
    name = item.get("newClientOrderId")
    try:
        if item.get("type") == "LIMIT_ORDER":  # as the documentation's example has it
            item = item | {"type": "LIMIT"}
        order = _place(call, item)
    except Denied as denied:
        return {"newClientOrderId": name, "msg": denied.msg, "code": denied.code}
    placed: Json = {"symbol": order["symbol"], "orderId": order["orderId"]}
    if name:
        placed["newClientOrderId"] = name
    return placed | {"orderListId": -1}


def _place(call: Call, said: Json) -> Json:
    order = _checked(call, said)
    if len(call.desk.spot.pending) >= OPEN_MAX:
        raise Denied(30029, "The number of open orders has reached the maximum limit.")
    order |= {"orderId": f"C02__{call.world.new_id()}", "source": call.source}
    call.desk.spot.add(order)
    if order["type"] in _AT_ONCE:
        _fill(call, order)
    return order


def _checked(call: Call, said: Json) -> Json:
    symbol = listed(call, said)
    side = choice(said, "side", ("BUY", "SELL"))
    kind = choice(said, "type", (*_PRICED, "MARKET"))
    price = spot_amount(said, "price") if kind in _PRICED else None
    last = symbols.last_price(symbol, call.now_ms)
    quote = said.get("quoteOrderQty") or ""
    if kind == "MARKET" and quote:
        worth = spot_amount(said, "quoteOrderQty")
        size = (worth / last).quantize(Decimal("0.000001"))
    else:
        size = spot_amount(said, "quantity")
        worth = size * (price or last)
    _check_worth(call, worth)
    if said.get("stpMode", "") not in _STP_MODES:
        raise missing("stpMode")
    return {
        "symbol": symbol,
        "orderId": "",
        "orderListId": -1,
        "clientOrderId": _name(said),
        "price": said["price"] if price is not None else str(last),
        "origQty": said["quantity"] if not quote else str(size),
        "executedQty": "0",
        "cummulativeQuoteQty": "0",
        "status": "NEW",
        "timeInForce": None,
        "type": kind,
        "side": side,
        "stpMode": said.get("stpMode", ""),
        "stopPrice": None,
        "icebergQty": None,
        "time": call.now_ms,
        "updateTime": None,
        "isWorking": True,
        "origQuoteOrderQty": str(worth),
    }


def listed(call: Call, said: Json) -> str:
    """Return the symbol that is named, which must be listed; raises Denied."""
    symbol = text(said, "symbol")
    if symbol not in call.world.symbols:
        raise Denied(10007, "bad symbol")
    return symbol


def _name(said: Json) -> str | None:
    name = said.get("newClientOrderId") or None
    if name is None:
        return None
    known = isinstance(name, str) and name.isascii() and len(name) <= NAME_LONGEST
    if not known or not name.replace("-", "").replace("_", "").isalnum():
        raise missing("newClientOrderId")
    return str(name)


def _check_worth(call: Call, worth: Decimal) -> None:
    if worth < symbols.MIN_WORTH:
        least = f"{symbols.MIN_WORTH}USDT"
        raise Denied(30002, f"The minimum transaction volume cannot be less than:{least}")
    if worth > Decimal(call.account.funds):
        raise Denied(30004, "Insufficient position")


def _fill(call: Call, order: Json) -> None:
    price = symbols.last_price(order["symbol"], call.now_ms)
    worth = str(price * Decimal(order["origQty"]))
    done: Json = {"executedQty": order["origQty"], "cummulativeQuoteQty": worth}
    call.desk.spot.end(order, call.now_ms, status="FILLED", isWorking=False, **done)
    call.desk.trades.append(
        {
            "symbol": order["symbol"],
            "id": call.world.new_id(),
            "orderId": order["orderId"],
            "orderListId": -1,
            "price": str(price),
            "qty": order["origQty"],
            "quoteQty": worth,
            "commission": "0.01",
            "commissionAsset": "USDT",
            "time": call.now_ms,
            "isBuyer": order["side"] == "BUY",
            "isMaker": False,
            "isBestMatch": True,
            "isSelfTrade": False,
            "clientOrderId": order["clientOrderId"],
        }
    )


def cancel(call: Call) -> Answer:
    """DELETE order."""
    order = _found(call, Denied(-2011, "Unknown order sent."))
    if order["status"] != "NEW":
        raise Denied(-2011, "Unknown order sent.")
    return plain(_canceled(call, order), (order["orderId"],))


def cancel_open(call: Call) -> Answer:
    """DELETE openOrders: of up to five symbols, comma-joined."""
    names = text(call.parameters, "symbol").split(",")
    if len(names) > 5 or not set(names) <= set(call.world.symbols):
        raise Denied(10007, "bad symbol")
    orders = [order for name in names for order in call.desk.spot.live(name)]
    ended = [_canceled(call, order) for order in orders]
    return plain(ended, tuple(order["orderId"] for order in orders))


def cancel_all(call: Call) -> Answer:
    """DELETE order/all: of every symbol."""
    for order in call.desk.spot.live():
        _canceled(call, order)
    return plain({"code": 200, "msg": "success", "timestamp": call.now_ms})


def _canceled(call: Call, order: Json) -> Json:
    call.desk.spot.end(order, call.now_ms, status="CANCELED", isWorking=False)
    return {key: order.get(key) for key in _CANCELED} | {
        "origClientOrderId": order["clientOrderId"]
    }


def query(call: Call) -> Answer:
    """GET order."""
    return plain(_shown(_found(call, Denied(-2013, "Order does not exist."))))


def open_orders(call: Call) -> Answer:
    """GET openOrders."""
    return plain([_shown(order) for order in call.desk.spot.live(listed(call, call.parameters))])


def all_orders(call: Call) -> Answer:
    """GET allOrders, newest first."""
    symbol = listed(call, call.parameters)
    orders = [_shown(each) for each in call.desk.spot.orders.values() if each["symbol"] == symbol]
    return plain(_within(call, orders[::-1]))


def my_trades(call: Call) -> Answer:
    """GET myTrades, newest first."""
    symbol = listed(call, call.parameters)
    wanted = call.parameters.get("orderId")
    trades = [
        each
        for each in reversed(call.desk.trades)
        if each["symbol"] == symbol and wanted in (None, each["orderId"])
    ]
    return plain(_within(call, trades))


def _within(call: Call, rows: list[Json]) -> list[Json]:
    said = call.parameters
    bounds: dict[str, int] = {}
    for name, default in (("startTime", 0), ("endTime", 1 << 62), ("limit", LISTED_MAX)):
        value = said.get(name) or str(default)
        if not (value.isascii() and value.isdecimal()):
            raise missing(name)
        bounds[name] = int(value)
    fitting = [row for row in rows if bounds["startTime"] <= row["time"] <= bounds["endTime"]]
    return fitting[: min(bounds["limit"], LISTED_MAX)]


def _found(call: Call, otherwise: Denied) -> Json:
    symbol = listed(call, call.parameters)
    order_id = call.parameters.get("orderId", "")
    name = call.parameters.get("origClientOrderId", "")
    if not order_id and not name:
        raise missing("orderId")
    order = call.desk.spot.find(symbol, order_id, name)
    if order is None:
        raise otherwise
    return order


def _shown(order: Json) -> dict[str, Any]:
    return {key: value for key, value in order.items() if key not in _HIDDEN}
