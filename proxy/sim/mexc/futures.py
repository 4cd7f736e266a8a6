"""Futures orders of the simulated MEXC: place, place in batches, change, cancel.

https://www.mexc.com/api-docs/futures/account-and-trading-endpoints
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from proxy.sim.mexc import symbols
from proxy.sim.mexc.answers import Denied, enveloped, wrong
from proxy.sim.mexc.fields import futures_amount, number, one, several, whole

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.mexc.desk import Call, Json

BATCH_MAX: Final = 50
NAME_LONGEST: Final = 32
LIVE, FILLED, CANCELED = 2, 3, 4
OPENS: Final = (1, 3)  # sides: 1 open long, 2 close short, 3 open short, 4 close long
_MARKET: Final = 5
_AT_ONCE: Final = (3, 4, _MARKET)  # IOC, FOK, market
NO_SUCH: Final = (2040, "order not exist")
_TOO_LATE: Final = (2041, "order state cannot be cancelled")
_NOTHING: Final = dict.fromkeys(
    (
        "dealVol",
        "takerFee",
        "makerFee",
        "profit",
        "errorCode",
        "usedMargin",
        "showCancelReason",
        "showProfitRateShare",
        "bboTypeNum",
        "totalFee",
    ),
    0,
)


def place(call: Call) -> Answer:
    """POST private/order/create and, its older name, private/order/submit."""
    order = _place(call, one(call.content))
    if call.row.path.endswith("/submit"):
        return enveloped(order["orderId"], (order["orderId"],))
    return enveloped({"orderId": order["orderId"], "ts": call.now_ms}, (order["orderId"],))


def place_batch(call: Call) -> Answer:
    """POST private/order/submit_batch, for market makers."""
    items = several(call.content, BATCH_MAX)
    if not call.account.market_maker:
        raise Denied(511, "You do not have access to the interface", 403)
    outcomes = [_batched(call, item) for item in items]
    placed = tuple(str(each["orderId"]) for each in outcomes if each["orderId"])
    return enveloped(outcomes, placed, accepted=len(placed) == len(outcomes))


def _batched(call: Call, item: Any) -> Json:
    try:
        order = _place(call, one(item))
    except Denied as denied:
        name = item.get("externalOid") if isinstance(item, dict) else None
        failed = {"orderId": 0, "errorCode": denied.code, "errorMsg": denied.msg}
        return failed | {"externalOid": name}
    return {"orderId": int(order["orderId"]), "errorCode": 0}


def contract(call: Call, said: Json) -> str:
    """Return the contract that is named, which must be listed; raises Denied."""
    symbol = said.get("symbol")
    if not isinstance(symbol, str) or symbol not in call.world.contracts:
        raise Denied(1001, "The contract does not exist!")
    return symbol


def _place(call: Call, said: Json) -> Json:
    order = _checked(call, said)
    call.desk.futures.add(order)
    if order["orderType"] in _AT_ONCE:
        fill(call, order)
    return order


def _checked(call: Call, said: Json) -> Json:
    symbol = contract(call, said)
    side = whole(said, "side", 1, 4)
    kind = whole(said, "type", 1, 6)
    margin = whole(said, "openType", 1, 2)
    size = futures_amount(said, "vol")
    if size % 1 or size > call.world.contracts[symbol]["maxVol"]:
        raise Denied(2008, "The order quantity is wrong")
    last = symbols.last_price(symbol, call.now_ms)
    price = last if kind >= _MARKET else futures_amount(said, "price")
    leverage = whole(said, "leverage", 1, 200, call.desk.leverage.get(symbol, 20))
    if side in OPENS and margin == 1 and "leverage" not in said:
        raise wrong("leverage")
    if said.get("reduceOnly", False) not in (True, False):
        raise wrong("reduceOnly")
    worth = size * price * Decimal(str(call.world.contracts[symbol]["contractSize"]))
    _check_means(call, symbol, side, size, worth)
    order_id = call.world.new_id()
    return {
        "orderId": order_id,
        "symbol": symbol,
        "positionId": 0,
        "price": number(price),
        "priceStr": str(price),
        "vol": number(size),
        "leverage": leverage,
        "side": side,
        "category": 1,
        "orderType": min(kind, _MARKET),
        "dealAvgPrice": 0,
        "dealAvgPriceStr": "0",
        **_NOTHING,
        "orderMargin": number(worth / leverage),
        "feeCurrency": "USDT",
        "openType": margin,
        "state": LIVE,
        "externalOid": external_name(said) or f"_m_{int(order_id):032x}",
        "createTime": call.now_ms,
        "updateTime": call.now_ms,
        "positionMode": whole(said, "positionMode", 1, 2, call.desk.position_mode),
        "reduceOnly": bool(said.get("reduceOnly")),
        "version": 1,
        "source": call.source,
    }


def external_name(said: Json) -> str:
    """Return the user's own name for an order, "" when there is none; raises Denied."""
    name = said.get("externalOid", "")
    if not isinstance(name, str) or not name.isascii() or len(name) > NAME_LONGEST:
        raise Denied(2030, "The length of externalOid must be no more than 32")
    return name


def _check_means(call: Call, symbol: str, side: int, size: Decimal, worth: Decimal) -> None:
    if worth > Decimal(call.account.funds):
        raise Denied(2005, "Balance insufficient")
    if side not in OPENS:
        held = call.desk.positions.get((symbol, 2 if side == 2 else 1), Decimal(0))
        if held < size:
            raise Denied(2009, "Position is not exists or closed.")


def fill(call: Call, order: Json) -> None:
    """Fill an order at once at the last price."""
    price = symbols.last_price(order["symbol"], call.now_ms)
    done = {"dealVol": order["vol"], "dealAvgPrice": number(price), "dealAvgPriceStr": str(price)}
    call.desk.futures.end(order, call.now_ms, state=FILLED, version=2, **done)
    size = Decimal(order["vol"])
    where = (order["symbol"], 1 if order["side"] in (1, 4) else 2)
    held = call.desk.positions.get(where, Decimal(0))
    call.desk.positions[where] = held + (size if order["side"] in OPENS else -size)
    call.desk.deals.append(
        {
            "id": call.world.new_id(),
            "symbol": order["symbol"],
            "side": order["side"],
            "vol": order["vol"],
            "price": number(price),
            "fee": 0.01,
            "feeCurrency": "USDT",
            "profit": 0,
            "category": 1,
            "orderId": order["orderId"],
            "timestamp": call.now_ms,
            "positionMode": order["positionMode"],
            "taker": True,
        }
    )


def change(call: Call) -> Answer:
    """POST private/order/change_limit_order: a new order takes the old one's place."""
    said = one(call.content)
    old = _live(call, said)
    price, size = futures_amount(said, "price"), futures_amount(said, "vol")
    call.desk.futures.end(old, call.now_ms, state=CANCELED)
    order = old | {
        "orderId": call.world.new_id(),
        "price": number(price),
        "priceStr": str(price),
        "vol": number(size),
        "state": LIVE,
        "source": call.source,
        "createTime": call.now_ms,
    }
    call.desk.futures.add(order)
    return enveloped(order["orderId"], (order["orderId"],))


def chase(call: Call) -> Answer:
    """POST private/order/chase_limit_order: to the best price."""
    order = _live(call, one(call.content))
    price = symbols.last_price(order["symbol"], call.now_ms)
    order |= {"price": number(price), "priceStr": str(price), "updateTime": call.now_ms}
    order["source"] = call.source
    return enveloped(order_ids=(order["orderId"],))


def _live(call: Call, said: Json) -> Json:
    order = call.desk.futures.pending.get(str(said.get("orderId")))
    if order is None:
        raise Denied(*NO_SUCH)
    return order


def cancel(call: Call) -> Answer:
    """POST private/order/cancel: an array of ids."""
    ids = several(call.content, BATCH_MAX)
    if not all(isinstance(each, str | int) and str(each).isdecimal() for each in ids):
        raise wrong("orderId")
    found = [(str(each), call.desk.futures.orders.get(str(each))) for each in ids]
    return _canceled(call, [(int(order_id), order) for order_id, order in found])


def cancel_named(call: Call) -> Answer:
    """POST private/order/cancel_with_external and batch_cancel_with_external."""
    wanted: list[tuple[int, Json | None]] = []
    for item in several(call.content, BATCH_MAX):
        said = one(item)
        order = call.desk.futures.find(contract(call, said), "", external_name(said))
        wanted.append((0 if order is None else int(order["orderId"]), order))
    return _canceled(call, wanted)


def _canceled(call: Call, wanted: list[tuple[int, Json | None]]) -> Answer:
    outcomes: list[Json] = []
    for order_id, order in wanted:
        code, msg = (0, "success") if order is not None else NO_SUCH
        if order is not None and order["state"] != LIVE:
            code, msg = _TOO_LATE
        elif order is not None:
            call.desk.futures.end(order, call.now_ms, state=CANCELED)
        outcomes.append({"orderId": order_id, "errorCode": code, "errorMsg": msg})
    touched = tuple(str(each["orderId"]) for each in outcomes if not each["errorCode"])
    return enveloped(outcomes, touched, accepted=len(touched) == len(outcomes))


def cancel_all(call: Call) -> Answer:
    """POST private/order/cancel_all: of a contract; of all when it is ""."""
    said = one(call.content)
    symbol = contract(call, said) if said.get("symbol") else ""
    orders = call.desk.futures.live(symbol)
    for order in orders:
        call.desk.futures.end(order, call.now_ms, state=CANCELED)
    return enveloped(order_ids=tuple(order["orderId"] for order in orders))
