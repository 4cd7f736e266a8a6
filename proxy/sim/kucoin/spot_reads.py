"""Reading spot and margin orders and trades of the simulated KuCoin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.sim.kucoin.answers import Refused, accepted, bad_parameter, paged
from proxy.sim.kucoin.spot import book, is_margin, pair

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.sim.answers import Answer
    from proxy.sim.kucoin.desk import Call, Json


def order(call: Call) -> Answer:
    """GET of one order by its id or clientOid."""
    high = "/hf/" in call.row.path
    if high:
        pair(call.query)
    found = book(call).find(call.names.get("orderId", ""), call.names.get("clientOid", ""))
    if found is None or (high and found["symbol"] != call.query["symbol"]):
        raise bad_parameter("order not exist.")
    return accepted(found)


def active(call: Call) -> Answer:
    """GET …/orders/active: all of a pair, no pages."""
    pair(call.query)
    return accepted(_chosen(call, book(call).pending.values()))


def active_page(call: Call) -> Answer:
    """GET …/orders/active/page."""
    pair(call.query)
    return accepted(paged(_page_query(call), _chosen(call, book(call).pending.values())))


def active_symbols(call: Call) -> Answer:
    """GET …/active/symbols."""
    symbols = sorted({each["symbol"] for each in book(call).pending.values()})
    if is_margin(call):
        return accepted({"symbolSize": len(symbols), "symbols": symbols})
    return accepted({"symbols": symbols})


def done(call: Call) -> Answer:
    """GET …/orders/done: cursors by lastId."""
    pair(call.query)
    orders = book(call)
    rows = _chosen(call, [each for each in orders.orders.values() if not each["active"]])
    return accepted({"lastId": len(rows), "items": rows[: _limit(call)]})


def listed(call: Call) -> Answer:
    """GET /api/v1/orders: `status` active or done (the default)."""
    status = call.query.get("status") or "done"
    if status not in ("active", "done"):
        raise bad_parameter("status is invalid")
    wanted = status == "active"
    rows = [each for each in call.desk.spot.orders.values() if each["active"] == wanted]
    return accepted(paged(call.query, _chosen(call, rows)))


def recent(call: Call) -> Answer:
    """GET /api/v1/limit/orders: the newest thousand, no pages."""
    return accepted(_chosen(call, call.desk.spot.orders.values())[:1000])


def fills(call: Call) -> Answer:
    """GET /api/v1/fills."""
    return accepted(paged(call.query, _chosen(call, call.desk.fills)))


def recent_fills(call: Call) -> Answer:
    """GET /api/v1/limit/fills."""
    return accepted(_chosen(call, call.desk.fills)[:1000])


def high_fills(call: Call) -> Answer:
    """GET …/hf/…/fills: cursors by lastId."""
    pair(call.query)
    rows = _chosen(call, call.desk.fills)
    return accepted({"items": rows[: _limit(call)], "lastId": rows[0]["id"] if rows else 0})


def dead_cancel(call: Call) -> Answer:
    """GET /api/v1/hf/orders/dead-cancel-all/query: null when none runs."""
    timer = call.desk.dead_cancel
    return accepted(None if timer is None else timer)


def _chosen(call: Call, rows: Iterable[Json]) -> list[Json]:
    """Return rows newest first, by the filters of the query."""
    wanted = {
        key: call.query[key]
        for key in ("symbol", "side", "type", "tradeType", "orderId")
        if call.query.get(key)
    }
    chosen = [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
    return chosen[::-1]


def _limit(call: Call) -> int:
    value = call.query.get("limit") or "20"
    if not value.isdecimal() or not 1 <= int(value) <= 200:
        raise bad_parameter("limit is invalid")
    return int(value)


def _page_query(call: Call) -> dict[str, str]:
    size = call.query.get("pageSize") or "20"
    if not size.isdecimal() or int(size) > 100:
        raise Refused("400100", "pageSize is invalid")
    return call.query | {"pageSize": size}
