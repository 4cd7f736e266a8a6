"""What the simulated MEXC shows of futures orders.

https://www.mexc.com/api-docs/futures/account-and-trading-endpoints
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.sim.mexc.answers import Denied, enveloped, wrong
from proxy.sim.mexc.fields import one, several, whole
from proxy.sim.mexc.futures import BATCH_MAX, LIVE, NO_SUCH, contract, external_name

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.mexc.desk import Call, Json


def get(call: Call) -> Answer:
    """GET private/order/get/{order_id}."""
    order = call.desk.futures.orders.get(call.variables["order_id"])
    if order is None:
        raise Denied(*NO_SUCH)
    return enveloped(shown(order))


def get_named(call: Call) -> Answer:
    """GET private/order/external/{symbol}/{external_oid}."""
    order = call.desk.futures.find(call.variables["symbol"], "", call.variables["external_oid"])
    if order is None:
        raise Denied(*NO_SUCH)
    return enveloped(shown(order))


def batch_query(call: Call) -> Answer:
    """GET private/order/batch_query: ids, comma-joined."""
    ids = call.parameters.get("order_ids", "").split(",")
    if len(ids) > BATCH_MAX or not ids[0]:
        raise wrong("order_ids")
    orders = call.desk.futures.orders
    return enveloped([shown(orders[each]) for each in ids if each in orders])


def batch_query_named(call: Call) -> Answer:
    """POST private/order/batch_query_with_external: a POST that only reads."""
    found: list[Json] = []
    for item in several(call.content, BATCH_MAX):
        said = one(item)
        order = call.desk.futures.find(contract(call, said), "", external_name(said))
        found += [] if order is None else [shown(order)]
    return enveloped(found)


def open_orders(call: Call) -> Answer:
    """GET private/order/list/open_orders, and its form of 2025 with a symbol."""
    symbol = call.variables.get("symbol") or call.parameters.get("symbol", "")
    return enveloped(page(call, call.desk.futures.live(symbol)))


def history(call: Call) -> Answer:
    """GET private/order/list/history_orders and close_orders, newest first."""
    symbol = call.parameters.get("symbol", "")
    states = call.parameters.get("states", "")
    orders = [
        order
        for order in reversed(call.desk.futures.orders.values())
        if symbol in ("", order["symbol"])
        and order["state"] != LIVE
        and (not states or str(order["state"]) in states.split(","))
    ]
    return enveloped(page(call, orders))


def deals(call: Call) -> Answer:
    """GET private/order/list/order_deals, its v3, and deal_details of one order."""
    symbol = call.parameters.get("symbol", "")
    wanted = call.variables.get("order_id", "")
    rows = [
        deal
        for deal in reversed(call.desk.deals)
        if symbol in ("", deal["symbol"]) and wanted in ("", deal["orderId"])
    ]
    return enveloped(page(call, rows))


def counts(call: Call) -> Answer:
    """POST or GET private/order/open_order_total_count."""
    desk = call.desk
    books = {
        "limitOrderCount": desk.futures,
        "stopOrderCount": desk.stops,
        "planOrderCount": desk.plans,
        "trackOrderCount": desk.tracks,
    }
    data = {key: len(book.pending) for key, book in books.items()}
    return enveloped({"sumCount": sum(data.values())} | data)


def page(call: Call, rows: list[Json]) -> list[Json]:
    """Return the page that is asked for, as it is shown; raises Denied."""
    size = whole(dict(call.parameters), "page_size", 1, 1000, 20)
    first = (whole(dict(call.parameters), "page_num", 1, 100_000, 1) - 1) * size
    return [shown(row) for row in rows[first : first + size]]


def shown(order: Json) -> Json:
    """Return what a user is shown of an order."""
    return {key: value for key, value in order.items() if key != "source"}
