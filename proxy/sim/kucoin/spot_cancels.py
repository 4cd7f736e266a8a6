"""Ending and changing spot and margin orders of the simulated KuCoin; the dead man's switch.

https://www.kucoin.com/docs-new/rest/spot-trading/orders/cancel-order-by-orderid and its neighbours
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from proxy.sim.kucoin.answers import accepted, bad_parameter
from proxy.sim.kucoin.checks import amount, needed, stepped, tags, text, whole
from proxy.sim.kucoin.spot import book, end, ended, pair

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.kucoin.desk import Call, Json


def amend(call: Call) -> Answer:
    """POST /api/v1/hf/orders/alter: cancels and places anew, under the same clientOid."""
    item = whole(call)
    symbol = pair(item)
    old = call.desk.spot.find(text(item, "orderId"), text(item, "clientOid"))
    if old is None or old["id"] not in call.desk.spot.pending:
        raise bad_parameter("order_not_exist_or_not_allow_to_cancel")
    if not text(item, "newPrice") and not text(item, "newSize"):
        raise bad_parameter("newPrice and newSize can not both be empty")
    changed: Json = {}
    for key, given, step in (
        ("price", "newPrice", symbol["priceIncrement"]),
        ("size", "newSize", symbol["baseIncrement"]),
    ):
        if text(item, given):
            changed[key] = str(stepped(item, given, step, f"{given} increment invalid."))
    order = old | changed | {"id": call.world.new_id(call.row.venue), "tags": tags(call, item)}
    order["remainSize"] = order["size"]
    end(call, old, cancelled=True)
    call.desk.spot.add(order)
    content = {"newOrderId": order["id"], "clientOid": order["clientOid"] or None}
    return accepted(content, [order["id"]])


def _pending(call: Call) -> Json:
    """Return the pending order of one's own that the path names; raises Refused."""
    if "/hf/" in call.row.path:
        pair(call.query)
    orders = book(call)
    order = orders.find(call.names.get("orderId", ""), call.names.get("clientOid", ""))
    symbol = call.query.get("symbol")
    if order is None or order["id"] not in orders.pending or symbol not in (None, order["symbol"]):
        raise bad_parameter("order_not_exist_or_not_allow_to_cancel")
    return order


def _cancelled(call: Call) -> Json:
    order = _pending(call)
    end(call, order, cancelled=True)
    return order


def cancel(call: Call) -> Answer:
    """DELETE of one order by its id or clientOid on the high-frequency and margin paths."""
    order = _cancelled(call)
    key, value = ("clientOid", order["clientOid"])
    if "orderId" in call.names:
        key, value = ("orderId", order["id"])
    return accepted({key: value}, [order["id"]])


def cancel_sync(call: Call) -> Answer:
    """DELETE …/sync/…: the answer tells how it ended."""
    order = _cancelled(call)
    content = ended(call, order)
    for key in ("orderTime", "matchTime"):
        del content[key]
    return accepted(content, [order["id"]])


def cancel_part(call: Call) -> Answer:
    """DELETE /api/v1/hf/orders/cancel/{orderId}: takes some of its size away."""
    order = _pending(call)
    size = amount(call.query, "cancelSize")
    left = Decimal(order["remainSize"]) - size
    if left <= 0:
        end(call, order, cancelled=True)
    else:
        order |= {"remainSize": str(left), "cancelledSize": str(size)}
    return accepted({"orderId": order["id"], "cancelSize": str(size)}, [order["id"]])


def cancel_old(call: Call) -> Answer:
    """DELETE /api/v1/orders/{orderId} and order/client-order/{clientOid}."""
    order = _cancelled(call)
    if "orderId" in call.names:
        return accepted({"cancelledOrderIds": [order["id"]]}, [order["id"]])
    content = {"cancelledOrderId": order["id"], "clientOid": order["clientOid"]}
    return accepted(content, [order["id"]])


def cancel_all(call: Call) -> Answer:
    """DELETE of everything: of a symbol, or of all of them."""
    symbol = call.query.get("symbol", "")
    high = "/hf/" in call.row.path
    if symbol or (high and not call.row.path.endswith("/cancelAll")):
        pair(call.query)
    gone = [order for order in book(call).pending.values() if symbol in ("", order["symbol"])]
    for order in gone:
        end(call, order, cancelled=True)
    ids = [order["id"] for order in gone]
    if call.row.path.endswith("/cancelAll"):
        symbols = sorted({order["symbol"] for order in gone})
        return accepted({"succeedSymbols": symbols, "failedSymbols": []}, ids)
    return accepted("success" if high else {"cancelledOrderIds": ids}, ids)


def dead_cancel(call: Call) -> Answer:
    """POST /api/v1/hf/orders/dead-cancel-all: the dead man's switch, in seconds."""
    item = whole(call)
    seconds = needed(item, "timeout")
    if seconds != "-1" and not (
        seconds.isascii() and seconds.isdecimal() and 5 <= int(seconds) <= 86_400
    ):
        raise bad_parameter("timeout is invalid")
    now_s = call.now_ms // 1000
    if seconds == "-1":
        call.desk.dead_cancel = None
        return accepted({"currentTime": now_s, "triggerTime": 0})
    times = {"currentTime": now_s, "triggerTime": now_s + int(seconds)}
    call.desk.dead_cancel = {"timeout": int(seconds), "symbols": text(item, "symbols")} | times
    return accepted(times)


def run_dead_cancel(call: Call) -> None:
    """Cancel what a dead man's switch that has run out selects."""
    timer = call.desk.dead_cancel
    if timer is None or timer["triggerTime"] * 1000 > call.now_ms:
        return
    call.desk.dead_cancel = None
    symbols = [each for each in timer["symbols"].split(",") if each]
    for order in list(call.desk.spot.pending.values()):
        if not symbols or order["symbol"] in symbols:
            end(call, order, cancelled=True)
