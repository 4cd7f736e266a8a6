"""Futures orders that wait: plan, stop and track orders of the simulated MEXC. None ever fires.

https://www.mexc.com/api-docs/futures/account-and-trading-endpoints#place-plan-order
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from proxy.sim.mexc.answers import Denied, enveloped, wrong
from proxy.sim.mexc.fields import futures_amount, number, one, several, whole
from proxy.sim.mexc.futures import BATCH_MAX, OPENS, contract
from proxy.sim.mexc.futures_reads import page

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.mexc.desk import Book, Call, Json

WAITING, CANCELED = 1, 2
_CYCLES: Final = {1: 24, 2: 168}  # executeCycle -> hours


def place(call: Call) -> Answer:
    """POST private/planorder/place and its v2."""
    said = one(call.content)
    kind = whole(said, "orderType", 1, 5)
    side = whole(said, "side", 1, 4)
    made: Json = {
        "leverage": whole(said, "leverage", 1, 200, None if side in OPENS else 20),
        "side": side,
        "triggerPrice": number(futures_amount(said, "triggerPrice")),
        "vol": number(futures_amount(said, "vol")),
        "openType": whole(said, "openType", 1, 2),
        "triggerType": whole(said, "triggerType", 1, 2),
        "executeCycle": _CYCLES[whole(said, "executeCycle", 1, 2)],
        "trend": whole(said, "trend", 1, 3),
        "orderType": kind,
        "positionMode": whole(said, "positionMode", 1, 2, call.desk.position_mode),
        "reduceOnly": bool(said.get("reduceOnly")),
    }
    if kind < 5:
        made["price"] = number(futures_amount(said, "price"))
    order = _made(call, call.desk.plans, contract(call, said), made)
    data: Any = order["id"] if call.row.path.endswith("/v2") else int(order["id"])
    return enveloped(data, (order["id"],))


def place_stop(call: Call) -> Answer:
    """POST private/stoporder/place: for a position that is held."""
    said = one(call.content)
    symbol = _of_position(call, whole(said, "positionId", 1, 1 << 62))
    prices = [name for name in ("stopLossPrice", "takeProfitPrice") if said.get(name)]
    if not prices:
        raise wrong("stopLossPrice")
    made: Json = {name: number(futures_amount(said, name)) for name in prices}
    made |= {
        "vol": number(futures_amount(said, "vol")),
        "lossTrend": whole(said, "lossTrend", 1, 3),
        "profitTrend": whole(said, "profitTrend", 1, 3),
        "positionId": said["positionId"],
    }
    order = _made(call, call.desk.stops, symbol, made)
    return enveloped(int(order["id"]), (order["id"],))


def place_track(call: Call) -> Answer:
    """POST private/trackorder/place."""
    said = one(call.content)
    made: Json = {
        "leverage": whole(said, "leverage", 1, 200),
        "side": whole(said, "side", 1, 4),
        "vol": number(futures_amount(said, "vol")),
        "openType": whole(said, "openType", 1, 2),
        "trend": whole(said, "trend", 1, 3),
        "backType": whole(said, "backType", 1, 2),
        "backValue": number(futures_amount(said, "backValue")),
    }
    order = _made(call, call.desk.tracks, contract(call, said), made)
    return enveloped(order["id"], (order["id"],))


def _made(call: Call, book: Book, symbol: str, made: Json) -> Json:
    order: Json = {
        "id": call.world.new_id(),
        "symbol": symbol,
        "state": WAITING,
        "errorCode": 0,
        "priceProtect": 0,
        "createTime": call.now_ms,
        "updateTime": call.now_ms,
        "source": call.source,
        **made,
    }
    book.add(order)
    return order


def _of_position(call: Call, position_id: int) -> str:
    for (symbol, way), held in call.desk.positions.items():
        if held > 0 and position(call, symbol, way) == position_id:
            return symbol
    raise Denied(2009, "Position is not exists or closed.")


def position(call: Call, symbol: str, way: int) -> int:
    """Return the id of a position, which is the same for as long as it is listed."""
    number_: int = call.world.contracts[symbol]["id"]
    return 1_100_000_000 + number_ * 10 + way


def cancel(call: Call) -> Answer:
    """POST private/planorder/cancel, stoporder/cancel: an array; trackorder/cancel: an object."""
    book, key = _book(call)
    track = book is call.desk.tracks
    items = [call.content] if track else several(call.content, BATCH_MAX)
    wanted = [book.pending.get(str(one(item).get(key))) for item in items]
    if None in wanted:
        raise Denied(2040, "order not exist")
    return _ended(call, book, [order for order in wanted if order is not None])


def cancel_all(call: Call) -> Answer:
    """POST private/planorder/cancel_all and stoporder/cancel_all."""
    said = one(call.content)
    book, _ = _book(call)
    return _ended(call, book, book.live(contract(call, said) if said.get("symbol") else ""))


def _ended(call: Call, book: Book, orders: list[Json]) -> Answer:
    for order in orders:
        book.end(order, call.now_ms, state=CANCELED)
    return enveloped(order_ids=tuple(order["id"] for order in orders))


def listed(call: Call) -> Answer:
    """GET private/planorder/list/orders, stoporder/list/orders, stoporder/open_orders …"""
    book, _ = _book(call)
    symbol = call.parameters.get("symbol", "")
    live = call.row.path.endswith("open_orders")
    orders = list((book.pending if live else book.orders).values())[::-1]
    return enveloped(page(call, [each for each in orders if symbol in ("", each["symbol"])]))


def _book(call: Call) -> tuple[Book, str]:
    if "/stoporder/" in call.row.path:
        return call.desk.stops, "stopPlanOrderId"
    if "/trackorder/" in call.row.path:
        return call.desk.tracks, "trackOrderId"
    return call.desk.plans, "orderId"
