"""Orders of the simulated OKX: place, amend, cancel.

https://www.okx.com/docs-v5/en/#order-book-trading-trade
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from proxy.sim.answers import Answer
from proxy.sim.okx import instruments
from proxy.sim.okx.answers import itemised
from proxy.sim.okx.desk import (
    Call,
    ItemFault,
    Json,
    alphanumerics,
    amount,
    choice,
    flag,
    needed,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TAG_LONGEST: Final = 16
NAME_LONGEST: Final = 32
AT_ONCE: Final = ("market", "ioc", "fok", "optimal_limit_ioc", "op_fok")
PRICED: Final = ("limit", "post_only", "fok", "ioc", "mmp", "mmp_and_post_only", "op_fok", "elp")
ORDER_TYPES: Final = (*PRICED, "market", "optimal_limit_ioc")
_EMPTY_ORDER: Final = {
    "accFillSz": "0",
    "algoClOrdId": "",
    "algoId": "",
    "attachAlgoOrds": [],
    "avgPx": "",
    "cancelSource": "",
    "category": "normal",
    "ccy": "",
    "fee": "0",
    "feeCcy": "",
    "fillPx": "",
    "fillSz": "0",
    "fillTime": "",
    "lever": "",
    "pnl": "0",
    "rebate": "0",
    "rebateCcy": "",
    "reqId": "",
    "slOrdPx": "",
    "slTriggerPx": "",
    "source": "",
    "tpOrdPx": "",
    "tpTriggerPx": "",
    "tradeId": "",
}


def place(call: Call) -> Answer:
    """POST trade/order."""
    return _each(call, [call.object()], _place)


def place_batch(call: Call) -> Answer:
    """POST trade/batch-orders."""
    return _each(call, call.items(), _place)


def amend(call: Call) -> Answer:
    """POST trade/amend-order."""
    return _each(call, [call.object()], _amend)


def amend_batch(call: Call) -> Answer:
    """POST trade/amend-batch-orders."""
    return _each(call, call.items(), _amend)


def cancel(call: Call) -> Answer:
    """POST trade/cancel-order."""
    return _each(call, [call.object()], _cancel)


def cancel_batch(call: Call) -> Answer:
    """POST trade/cancel-batch-orders."""
    return _each(call, call.items(), _cancel)


def _each(call: Call, items: list[Json], act: Callable[[Call, Json], Json]) -> Answer:
    return itemised([_outcome(call, item, act) for item in items], call.now_ms * 1000)


def _outcome(call: Call, item: Json, act: Callable[[Call, Json], Json]) -> Json:
    try:
        return act(call, item) | {"sCode": "0", "subCode": "", "ts": str(call.now_ms)}
    except ItemFault as fault:
        refused = {
            "clOrdId": _echo(item, "clOrdId"),
            "ordId": "",
            "sCode": fault.code,
            "sMsg": fault.msg,
            "subCode": "",
            "ts": str(call.now_ms),
        }
        return refused | ({"tag": _echo(item, "tag")} if call.row.tag else {})


def _echo(item: Json, key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""


def known_instrument(call: Call, item: Json) -> Json:
    """Return the instrument an item names; raises ItemFault."""
    instrument: Json | None = call.world.instruments.get(needed(item, "instId"))
    if instrument is None:
        raise ItemFault("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
    return instrument


def check_mode(item: Json, instrument: Json) -> str:
    """Return the trade mode, which must fit the instrument; raises ItemFault."""
    spot = instrument["instType"] == "SPOT"
    allowed = ("cash", "cross", "isolated", "spot_isolated") if spot else ("cross", "isolated")
    return choice(item, "tdMode", allowed)


def check_size(item: Json, instrument: Json, key: str = "sz") -> Decimal:
    """Return the size, which must fit the instrument's steps; raises ItemFault."""
    size = amount(item, key)
    in_quote = (
        instrument["instType"] == "SPOT"
        and item.get("ordType") == "market"
        and item.get("side") == "buy"
        and item.get("tgtCcy") != "base_ccy"
    )
    if in_quote:
        return size
    if size < Decimal(instrument["minSz"]):
        raise ItemFault("51020", "Your order should meet or exceed the minimum order amount.")
    if size % Decimal(instrument["lotSz"]):
        raise ItemFault("51121", "Order quantity must be a multiple of the lot size.")
    return size


def _place(call: Call, item: Json) -> Json:
    instrument = known_instrument(call, item)
    side = choice(item, "side", ("buy", "sell"))
    kind = choice(item, "ordType", ORDER_TYPES)
    mode = check_mode(item, instrument)
    size = check_size(item, instrument)
    price = amount(item, "px") if kind in PRICED and not _priced_otherwise(item) else None
    _check_rest(call, item)
    name = alphanumerics(item, "clOrdId", NAME_LONGEST)
    tag = alphanumerics(item, "tag", TAG_LONGEST)
    if name and name in call.desk.pending_names:
        raise ItemFault("51016", "Client order ID already exists.")
    _check_funds(call, instrument, size, price)
    order: Json = {
        **_EMPTY_ORDER,
        "instType": instrument["instType"],
        "instId": instrument["instId"],
        "tgtCcy": text(item, "tgtCcy"),
        "ordId": call.world.new_id(),
        "clOrdId": name,
        "tag": tag,
        "px": "" if price is None else text(item, "px"),
        "sz": text(item, "sz"),
        "ordType": kind,
        "side": side,
        "posSide": text(item, "posSide") or "net",
        "tdMode": mode,
        "state": "live",
        "reduceOnly": "true" if flag(item, "reduceOnly") else "false",
        "cTime": str(call.now_ms),
        "uTime": str(call.now_ms),
    }
    call.desk.add(order)
    if kind in AT_ONCE:
        _fill(call, order)
    return {"clOrdId": name, "ordId": order["ordId"], "tag": tag, "sMsg": "Order placed"}


def _priced_otherwise(item: Json) -> bool:
    """Options may be priced in USD or volatility instead."""
    return instruments.is_option(str(item.get("instId"))) and bool(
        item.get("pxUsd") or item.get("pxVol")
    )


def _check_rest(call: Call, item: Json) -> None:
    choice(item, "tgtCcy", ("base_ccy", "quote_ccy"), must=False)
    choice(item, "stpMode", ("cancel_maker", "cancel_taker", "cancel_both"), must=False)
    flag(item, "reduceOnly")
    flag(item, "banAmend")
    if flag(item, "isElpTakerAccess") and item["ordType"] != "ioc":
        raise ItemFault("51000", "Parameter isElpTakerAccess error")
    hedged = call.desk.position_mode == "long_short_mode"
    sides = ("long", "short") if hedged else ("net",)
    derivative = call.world.instruments[item["instId"]]["instType"] in ("SWAP", "FUTURES")
    choice(item, "posSide", sides, must=hedged and derivative)
    attached = item.get("attachAlgoOrds")
    if attached not in (None, "") and not (
        isinstance(attached, list) and all(isinstance(each, dict) for each in attached)
    ):
        raise ItemFault("51000", "Parameter attachAlgoOrds error")


def _check_funds(call: Call, instrument: Json, size: Decimal, price: Decimal | None) -> None:
    assert call.user is not None
    at = price or Decimal(instruments.last_price(instrument["instId"]))
    worth = size * at * Decimal(instrument["ctVal"] or 1)
    if worth > Decimal(call.user.funds):
        raise ItemFault("51008", "Order failed. Insufficient USDT balance in account.")


def _fill(call: Call, order: Json) -> None:
    price = instruments.last_price(order["instId"])
    trade_id = call.world.new_id()
    order |= {
        "accFillSz": order["sz"],
        "fillSz": order["sz"],
        "fillPx": price,
        "avgPx": price,
        "fillTime": str(call.now_ms),
        "tradeId": trade_id,
        "fee": "-0.01",
        "feeCcy": "USDT",
    }
    call.desk.end(order, "filled", call.now_ms)
    if order["instType"] != "SPOT":
        signed = Decimal(order["sz"]) * (1 if order["side"] == "buy" else -1)
        held = call.desk.positions.get(order["instId"], Decimal(0))
        call.desk.positions[order["instId"]] = held + signed
    shown = ("instType", "instId", "ordId", "clOrdId", "tag", "side", "posSide", "fillPx", "fillSz")
    call.desk.fills.append(
        {key: order[key] for key in shown}
        | {
            "tradeId": trade_id,
            "billId": trade_id,
            "execType": "T",
            "fee": "-0.01",
            "feeCcy": "USDT",
            "fillTime": str(call.now_ms),
            "ts": str(call.now_ms),
        }
    )


def _pending(call: Call, item: Json, code: str, msg: str) -> Json:
    known_instrument(call, item)
    order_id, name = text(item, "ordId"), text(item, "clOrdId")
    if not order_id and not name:
        raise ItemFault("50014", "Parameter ordId can not be empty.")
    order = call.desk.pending.get(order_id) if order_id else call.desk.pending_names.get(name)
    if order is None or order["instId"] != item["instId"]:
        raise ItemFault(code, msg)
    return order


def _amend(call: Call, item: Json) -> Json:
    msg = "Your order has already been filled or canceled."
    order = _pending(call, item, "51503", msg)
    request_id = alphanumerics(item, "reqId", NAME_LONGEST)
    instrument = call.world.instruments[order["instId"]]
    if not text(item, "newSz") and not text(item, "newPx"):
        raise ItemFault("50014", "Parameter newSz or newPx can not be empty.")
    changes: Json = {"uTime": str(call.now_ms), "reqId": request_id}
    if text(item, "newSz"):
        check_size(item, instrument, "newSz")
        changes["sz"] = text(item, "newSz")
    if text(item, "newPx"):
        amount(item, "newPx")
        changes["px"] = text(item, "newPx")
    order |= changes
    return {"clOrdId": order["clOrdId"], "ordId": order["ordId"], "reqId": request_id, "sMsg": ""}


def _cancel(call: Call, item: Json) -> Json:
    msg = "Order cancellation failed as the order has been filled, canceled or does not exist."
    order = _pending(call, item, "51400", msg)
    order["cancelSource"] = "1"
    call.desk.end(order, "canceled", call.now_ms)
    return {"clOrdId": order["clOrdId"], "ordId": order["ordId"], "sMsg": ""}
