"""Reading futures orders, trades, positions and accounts of the simulated KuCoin; leverage too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.sim.kucoin import instruments
from proxy.sim.kucoin.answers import accepted, bad_parameter, paged
from proxy.sim.kucoin.checks import amount, choice, needed, text, whole
from proxy.sim.kucoin.futures import contract, found

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.sim.answers import Answer
    from proxy.sim.kucoin.desk import Call, Json


def order(call: Call) -> Answer:
    """GET of one order by its id, or by `clientOid` in the query."""
    name = call.query.get("clientOid", "")
    if "orderId" not in call.names and not name:
        raise bad_parameter("clientOid can not be empty")
    return accepted(found(call, call.names.get("orderId", ""), name))


def listed(call: Call) -> Answer:
    """GET /api/v1/orders: `status` active or done."""
    status = call.query.get("status") or "done"
    if status not in ("active", "done"):
        raise bad_parameter("status is invalid")
    wanted = status == "active"
    rows = [each for each in call.desk.futures.orders.values() if each["isActive"] == wanted]
    return accepted(paged(call.query, _chosen(call, rows)))


def stops(call: Call) -> Answer:
    """GET /api/v1/stopOrders: those still untriggered."""
    return accepted(paged(call.query, _chosen(call, call.desk.futures_stops.pending.values())))


def recent(call: Call) -> Answer:
    """GET /api/v1/recentDoneOrders."""
    rows = [each for each in call.desk.futures.orders.values() if not each["isActive"]]
    return accepted(_chosen(call, rows)[:1000])


def fills(call: Call) -> Answer:
    """GET /api/v1/fills."""
    return accepted(paged(call.query, _chosen(call, call.desk.futures_fills)))


def recent_fills(call: Call) -> Answer:
    """GET /api/v1/recentFills."""
    return accepted(_chosen(call, call.desk.futures_fills)[:1000])


def open_statistics(call: Call) -> Answer:
    """GET /api/v1/openOrderStatistics."""
    contract(call.query)
    rows = _chosen(call, call.desk.futures.pending.values())
    sizes = {side: sum(each["size"] for each in rows if each["side"] == side) for side in _SIDES}
    return accepted(
        {
            "openOrderBuySize": sizes["buy"],
            "openOrderSellSize": sizes["sell"],
            "openOrderBuyCost": "0",
            "openOrderSellCost": "0",
            "settleCurrency": "USDT",
        }
    )


_SIDES = ("buy", "sell")


def _chosen(call: Call, rows: Iterable[Json]) -> list[Json]:
    wanted = {key: call.query[key] for key in ("symbol", "side", "orderId") if call.query.get(key)}
    chosen = [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]
    return chosen[::-1]


def positions(call: Call) -> Answer:
    """GET /api/v1/positions."""
    held = call.desk.positions
    return accepted([_position(call, symbol, size) for symbol, size in held.items() if size])


def position(call: Call) -> Answer:
    """GET /api/v1/position, and v2, which answers a list."""
    symbol = contract(call.query)["symbol"]
    shown = _position(call, symbol, call.desk.positions.get(symbol, 0))
    return accepted([shown] if call.row.path.startswith("/api/v2/") else shown)


def _position(call: Call, symbol: str, size: int) -> Json:
    listed = instruments.CONTRACTS[symbol]
    price = float(instruments.last_price(symbol))
    value = size * abs(listed["multiplier"]) * price
    leverage = float(call.desk.leverage.get(symbol, "1"))
    costs = dict.fromkeys(("currentCost", "unrealisedCost", "posCost", "markValue"), value)
    margins = dict.fromkeys(("posInit", "posMargin"), abs(value) / leverage)
    prices = dict.fromkeys(("markPrice", "avgEntryPrice"), price)
    nothing = dict.fromkeys(
        (
            *("currentComm", "realisedGrossCost", "realisedCost", "realisedGrossPnl"),
            *("realisedPnl", "unrealisedPnl", "unrealisedPnlPcnt", "unrealisedRoePcnt"),
            *("liquidationPrice", "bankruptPrice", "delevPercentage"),
        ),
        0.0,
    )
    return {
        "id": f"5000000000{symbol}",
        "symbol": symbol,
        "crossMode": call.desk.margin_mode.get(symbol) == "CROSS",
        "openingTimestamp": call.now_ms,
        "currentTimestamp": call.now_ms,
        "currentQty": size,
        "isOpen": bool(size),
        **costs,
        **margins,
        **prices,
        **nothing,
        "settleCurrency": listed["settleCurrency"],
        "isInverse": listed["isInverse"],
        "marginMode": call.desk.margin_mode.get(symbol, "ISOLATED"),
        "positionSide": "BOTH",
        "leverage": leverage,
        "realLeverage": leverage,
        "autoDeposit": False,
        "maintMarginReq": 0.004,
        "maintainMargin": 0.004,
        "riskLimit": 100_000.0,
    }


def overview(call: Call) -> Answer:
    """GET /api/v1/account-overview."""
    funds = float(call.owner.funds)
    nothing = ("unrealisedPNL", "positionMargin", "orderMargin", "frozenFunds", "riskRatio")
    everything = ("accountEquity", "marginBalance", "availableBalance", "availableMargin")
    return accepted(
        dict.fromkeys(everything, funds)
        | dict.fromkeys(nothing, 0.0)
        | {"maxWithdrawAmount": funds, "currency": call.query.get("currency") or "XBT"}
    )


def leverage(call: Call) -> Answer:
    """GET /api/v2/getCrossUserLeverage."""
    symbol = contract(call.query)["symbol"]
    return accepted({"symbol": symbol, "leverage": call.desk.leverage.get(symbol, "3")})


def set_leverage(call: Call) -> Answer:
    """POST /api/v2/changeCrossUserLeverage."""
    item = whole(call)
    listed = contract(item)
    if not 1 <= amount(item, "leverage") <= listed["maxLeverage"]:
        raise bad_parameter("leverage is invalid")
    call.desk.leverage[listed["symbol"]] = text(item, "leverage")
    shown = {"symbol": listed["symbol"], "leverage": text(item, "leverage")}
    return accepted(shown)


def margin_mode(call: Call) -> Answer:
    """GET /api/v2/position/getMarginMode."""
    symbol = contract(call.query)["symbol"]
    mode = call.desk.margin_mode.get(symbol, "ISOLATED")
    return accepted({"symbol": symbol, "marginMode": mode})


def set_margin_mode(call: Call) -> Answer:
    """POST /api/v2/position/changeMarginMode."""
    item = whole(call)
    symbol = contract(item)["symbol"]
    mode = choice(item, "marginMode", ("ISOLATED", "CROSS"))
    call.desk.margin_mode[symbol] = mode
    return accepted({"symbol": symbol, "marginMode": mode})


def position_mode(call: Call) -> Answer:
    """GET /api/v2/position/getPositionMode."""
    return accepted({"positionMode": call.desk.position_mode})


def set_position_mode(call: Call) -> Answer:
    """POST /api/v2/position/switchPositionMode."""
    mode = needed(whole(call), "positionMode")
    if mode not in ("0", "1"):
        raise bad_parameter("positionMode is invalid")
    call.desk.position_mode = int(mode)
    return accepted({"positionMode": call.desk.position_mode})
