"""Algo orders and bots of the simulated OKX. Triggers never fire: nothing moves the price here.

https://www.okx.com/docs-v5/en/#order-book-trading-algo-trading
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.sim.answers import Answer
from proxy.sim.okx.answers import Refused, accepted, itemised, parameter_empty
from proxy.sim.okx.desk import Call, ItemFault, Json, alphanumerics, amount, choice, needed, text
from proxy.sim.okx.trade import (
    NAME_LONGEST,
    TAG_LONGEST,
    check_mode,
    check_size,
    known_instrument,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# What each kind needs: all of one of the groups.
_NEEDS: Final = {
    "conditional": (("tpTriggerPx", "tpOrdPx"), ("slTriggerPx", "slOrdPx")),
    "oco": (("tpTriggerPx", "tpOrdPx", "slTriggerPx", "slOrdPx"),),
    "trigger": (("triggerPx", "orderPx"),),
    "move_order_stop": (("callbackRatio",), ("callbackSpread",)),
    "chase": ((),),
    "iceberg": (("szLimit", "pxLimit"),),
    "twap": (("szLimit", "pxLimit", "timeInterval"),),
}


def place(call: Call) -> Answer:
    """POST trade/order-algo."""
    return _each(call, [call.object()], _place)


def cancel(call: Call) -> Answer:
    """POST trade/cancel-algos and cancel-advance-algos."""
    items = call.items() if call.row.items_max else _loose_items(call)
    return _each(call, items, _cancel)


def amend(call: Call) -> Answer:
    """POST trade/amend-algos."""
    return _each(call, [call.object()], _amend)


def _loose_items(call: Call) -> list[Json]:
    """cancel-advance-algos takes an array though its limit counts requests."""
    if not isinstance(call.content, list) or not 1 <= len(call.content) <= 10:
        raise Refused("50002", "JSON syntax error", 400)
    if not all(isinstance(item, dict) for item in call.content):
        raise Refused("50002", "JSON syntax error", 400)
    return call.content


def _each(call: Call, items: list[Json], act: Callable[[Call, Json], Json]) -> Answer:
    outcomes: list[Json] = []
    for item in items:
        try:
            outcomes.append({**act(call, item), "sCode": "0", "sMsg": ""})
        except ItemFault as fault:
            tag = item.get("tag")
            outcomes.append(
                {
                    "algoId": "",
                    "algoClOrdId": "",
                    "clOrdId": "",
                    "sCode": fault.code,
                    "sMsg": fault.msg,
                    "tag": tag if isinstance(tag, str) else "",
                }
            )
    return itemised(outcomes, call.now_ms * 1000)


def _place(call: Call, item: Json) -> Json:
    instrument = known_instrument(call, item)
    mode = check_mode(item, instrument)
    side = choice(item, "side", ("buy", "sell"))
    kind = choice(item, "ordType", tuple(_NEEDS))
    if text(item, "closeFraction"):
        amount(item, "closeFraction")
    else:
        check_size(item, instrument)
    if not any(all(text(item, key) for key in group) for group in _NEEDS[kind]):
        raise ItemFault("50014", f"Parameter {_NEEDS[kind][0][0]} can not be empty.")
    tag = alphanumerics(item, "tag", TAG_LONGEST)
    name = alphanumerics(item, "algoClOrdId", NAME_LONGEST)
    order_name = alphanumerics(item, "clOrdId", NAME_LONGEST)
    if name and any(
        algo["algoClOrdId"] == name and algo["state"] == "live" for algo in call.desk.algos.values()
    ):
        raise ItemFault("51065", "algoClOrdId already exists.")
    keys = {key for groups in _NEEDS.values() for group in groups for key in group}
    algo: Json = {key: text(item, key) for key in sorted(keys)} | {
        "instType": instrument["instType"],
        "instId": instrument["instId"],
        "algoId": call.world.new_id(),
        "algoClOrdId": name,
        "clOrdId": order_name,
        "ordId": "",
        "ordIdList": [],
        "tag": tag,
        "sz": text(item, "sz"),
        "closeFraction": text(item, "closeFraction"),
        "ordType": kind,
        "side": side,
        "posSide": text(item, "posSide") or "net",
        "tdMode": mode,
        "state": "live",
        "cTime": str(call.now_ms),
        "uTime": str(call.now_ms),
    }
    call.desk.algos[algo["algoId"]] = algo
    shown = ("algoId", "algoClOrdId", "clOrdId", "tag")
    return {key: algo[key] for key in shown}


def _live(call: Call, item: Json, code: str, msg: str) -> Json:
    algo_id, name = text(item, "algoId"), text(item, "algoClOrdId")
    if not algo_id and not name:
        raise ItemFault("50014", "Parameter algoId can not be empty.")
    for algo in call.desk.algos.values():
        same = algo["algoId"] == algo_id if algo_id else algo["algoClOrdId"] == name
        if same and algo["state"] == "live" and algo["instId"] == needed(item, "instId"):
            return algo
    raise ItemFault(code, msg)


def _cancel(call: Call, item: Json) -> Json:
    known_instrument(call, item)
    algo = _live(call, item, "51400", "Cancellation failed as the order does not exist.")
    algo["state"] = "canceled"
    return {"algoId": algo["algoId"], "algoClOrdId": algo["algoClOrdId"], "clOrdId": "", "tag": ""}


def _amend(call: Call, item: Json) -> Json:
    known_instrument(call, item)
    algo = _live(call, item, "51503", "Your order has already been filled or canceled.")
    for key in ("newSz", "newTpTriggerPx", "newSlTriggerPx", "newTriggerPx"):
        if text(item, key):
            amount(item, key)
            algo[key[3].lower() + key[4:]] = text(item, key)
    return {"algoId": algo["algoId"], "algoClOrdId": algo["algoClOrdId"], "reqId": ""}


def details(call: Call) -> Answer:
    """GET trade/order-algo."""
    query: Json = dict(call.query)
    algo_id, name = text(query, "algoId"), text(query, "algoClOrdId")
    if not algo_id and not name:
        raise parameter_empty("algoId")
    for algo in call.desk.algos.values():
        if algo["algoId"] == algo_id or (not algo_id and algo["algoClOrdId"] == name):
            return accepted([algo])
    raise Refused("51603", "Order does not exist")


def pending(call: Call) -> Answer:
    """GET trade/orders-algo-pending."""
    return _listed(call, ("live",))


def history(call: Call) -> Answer:
    """GET trade/orders-algo-history."""
    if not call.query.get("state") and not call.query.get("algoId"):
        raise parameter_empty("state")
    return _listed(call, (call.query.get("state") or "canceled",))


def _listed(call: Call, states: tuple[str, ...]) -> Answer:
    if not call.query.get("ordType"):
        raise parameter_empty("ordType")
    kinds = call.query["ordType"].split(",")
    return accepted(
        [
            algo
            for algo in call.desk.algos.values()
            if algo["state"] in states
            and algo["ordType"] in kinds
            and call.query.get("instId") in (None, "", algo["instId"])
        ]
    )
