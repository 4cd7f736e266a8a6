"""Beside the orders themselves: reading them, closing positions, the dead man's switch.

https://www.okx.com/docs-v5/en/#order-book-trading-trade
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from proxy.sim.answers import Answer
from proxy.sim.okx.answers import Refused, accepted, parameter_empty, parameter_error
from proxy.sim.okx.desk import Call, Json, alphanumerics, choice, needed, text
from proxy.sim.okx.trade import (
    NAME_LONGEST,
    ORDER_TYPES,
    TAG_LONGEST,
    check_mode,
    check_size,
    known_instrument,
)

TIMER_TAGS_MAX: Final = 20


def close_position(call: Call) -> Answer:
    """POST trade/close-position."""
    item = call.object()
    instrument = known_instrument(call, item)
    choice(item, "mgnMode", ("cross", "isolated"))
    tag = alphanumerics(item, "tag", TAG_LONGEST)
    name = alphanumerics(item, "clOrdId", NAME_LONGEST)
    if not call.desk.positions.pop(instrument["instId"], Decimal(0)):
        raise Refused("51023", "Position doesn't exist.")
    side = text(item, "posSide") or "net"
    return accepted(
        [{"instId": instrument["instId"], "posSide": side, "clOrdId": name, "tag": tag}]
    )


def cancel_all_after(call: Call) -> Answer:
    """POST trade/cancel-all-after: with a tag it selects orders of exactly that tag."""
    item = call.object()
    seconds = needed(item, "timeOut")
    tag = alphanumerics(item, "tag", TAG_LONGEST)
    if not seconds.isdecimal() or not (seconds == "0" or 10 <= int(seconds) <= 120):
        raise parameter_error("timeOut")
    timers = call.desk.timers
    if seconds == "0":
        timers.pop(tag, None)
        due = "0"
    else:
        if tag and tag not in timers and sum(bool(each) for each in timers) >= TIMER_TAGS_MAX:
            raise Refused("51071", "You've reached the maximum limit of tags for Cancel All After.")
        timers[tag] = call.now_ms + int(seconds) * 1000
        due = str(timers[tag])
    return accepted([{"triggerTime": due, "tag": tag, "ts": str(call.now_ms)}])


def mass_cancel(call: Call) -> Answer:
    """POST trade/mass-cancel: market maker protection orders of an option family."""
    item = call.object()
    choice(item, "instType", ("OPTION",))
    family = needed(item, "instFamily")
    for order in list(call.desk.pending.values()):
        if order["ordType"].startswith("mmp") and order["instId"].startswith(f"{family}-"):
            call.desk.end(order, "canceled", call.now_ms)
    return accepted([{"result": True}])


def precheck(call: Call) -> Answer:
    """POST trade/order-precheck: a dry run."""
    item = call.object()
    instrument = known_instrument(call, item)
    choice(item, "side", ("buy", "sell"))
    choice(item, "ordType", ORDER_TYPES)
    check_mode(item, instrument)
    check_size(item, instrument)
    return accepted([{"adjEq": "", "imrChg": "", "type": ""}])


def order(call: Call) -> Answer:
    """GET trade/order."""
    query: Json = dict(call.query)
    known_instrument(call, query)
    order_id, name = text(query, "ordId"), text(query, "clOrdId")
    if not order_id and not name:
        raise parameter_empty("ordId")
    found = call.desk.find(order_id, name)
    if found is None or found["instId"] != query["instId"]:
        raise Refused("51603", "Order does not exist")
    return accepted([found])


def _listed(call: Call, rows: list[Json]) -> Answer:
    limit = call.query.get("limit") or "100"
    if not limit.isdecimal() or not 1 <= int(limit) <= 100:
        raise parameter_error("limit")
    filters = {
        key: call.query[key]
        for key in ("instType", "instId", "ordType", "state", "ordId")
        if call.query.get(key)
    }
    chosen = [
        row
        for row in reversed(rows)
        if all(row.get(key) in value.split(",") for key, value in filters.items())
    ]
    return accepted(chosen[: int(limit)])


def pending(call: Call) -> Answer:
    """GET trade/orders-pending."""
    return _listed(call, list(call.desk.pending.values()))


def history(call: Call) -> Answer:
    """GET trade/orders-history and its archive."""
    if not call.query.get("instType"):
        raise parameter_empty("instType")
    desk = call.desk
    return _listed(call, [row for row in desk.orders.values() if row["ordId"] not in desk.pending])


def fills(call: Call) -> Answer:
    """GET trade/fills."""
    return _listed(call, list(call.desk.fills))


def fills_history(call: Call) -> Answer:
    """GET trade/fills-history."""
    if not call.query.get("instType"):
        raise parameter_empty("instType")
    return _listed(call, list(call.desk.fills))
