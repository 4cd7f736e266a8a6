"""What the simulated MEXC tells a user of the futures account: assets, positions, leverage.

https://www.mexc.com/api-docs/futures/account-and-trading-endpoints
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from proxy.sim.mexc import futures, plans, symbols
from proxy.sim.mexc.answers import Denied, enveloped
from proxy.sim.mexc.fields import number, one, whole

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.mexc.desk import Call, Json


def assets(call: Call) -> Answer:
    """GET private/account/assets."""
    return enveloped([_asset(call, "USDT"), _asset(call, "MX")])


def asset(call: Call) -> Answer:
    """GET private/account/asset/{currency}."""
    return enveloped(_asset(call, call.variables["currency"]))


def _asset(call: Call, currency: str) -> Json:
    held = number(Decimal(call.account.funds)) if currency == "USDT" else 0
    full = ("availableBalance", "cashBalance", "equity", "availableCash", "availableOpen")
    nothing = ("positionMargin", "frozenBalance", "unrealized", "bonus", "debtAmount")
    return {"currency": currency} | dict.fromkeys(full, held) | dict.fromkeys(nothing, 0)


def positions(call: Call) -> Answer:
    """GET private/position/open_positions."""
    wanted = call.parameters.get("symbol", "")
    return enveloped(
        [
            _position(call, symbol, way, held)
            for (symbol, way), held in call.desk.positions.items()
            if held > 0 and wanted in ("", symbol)
        ]
    )


def _position(call: Call, symbol: str, way: int, held: Decimal) -> Json:
    price = number(symbols.last_price(symbol, call.now_ms))
    nothing = ("frozenVol", "closeVol", "closeAvgPrice", "liquidatePrice", "holdFee", "realised")
    return {
        "positionId": plans.position(call, symbol, way),
        "symbol": symbol,
        "positionType": way,
        "openType": 2,
        "state": 1,
        "holdVol": number(held),
        "holdAvgPrice": price,
        "openAvgPrice": price,
        "oim": 1,
        "im": 1,
        "leverage": call.desk.leverage.get(symbol, 20),
        "createTime": call.now_ms,
        "updateTime": call.now_ms,
        "autoAddIm": False,
        **dict.fromkeys(nothing, 0),
    }


def leverage(call: Call) -> Answer:
    """GET private/position/leverage."""
    symbol = futures.contract(call, dict(call.parameters))
    row: Json = {
        "level": 1,
        "maxVol": call.world.contracts[symbol]["maxVol"],
        "mmr": 0.004,
        "imr": 0.005,
        "openType": 2,
        "leverage": call.desk.leverage.get(symbol, 20),
        "limitBySys": False,
        "currentMmr": 0.004,
        "maxLeverageView": 200,
    }
    return enveloped([row | {"positionType": way} for way in (1, 2)])


def change_leverage(call: Call) -> Answer:
    """POST private/position/change_leverage: of a position, else of a contract and side."""
    said = one(call.content)
    multiple = whole(said, "leverage", 1, 200)
    if "positionId" not in said:
        whole(said, "openType", 1, 2)
        whole(said, "positionType", 1, 2)
        call.desk.leverage[futures.contract(call, said)] = multiple
    return enveloped()


def position_mode(call: Call) -> Answer:
    """GET private/position/position_mode."""
    return enveloped(call.desk.position_mode)


def change_position_mode(call: Call) -> Answer:
    """POST private/position/change_position_mode."""
    mode = whole(one(call.content), "positionMode", 1, 2)
    if call.desk.futures.pending or any(call.desk.positions.values()):
        raise Denied(2019, "There are orders or positions, the mode can not be changed")
    call.desk.position_mode = mode
    return enveloped()


def close_all(call: Call) -> Answer:
    """POST private/position/close_all, at the last price."""
    closed: list[Any] = []
    for (symbol, way), held in call.desk.positions.items():
        if held > 0:
            closed.append({"symbol": symbol, "positionType": way, "vol": number(held)})
            call.desk.positions[symbol, way] = Decimal(0)
    return enveloped(closed)


def reverse(call: Call) -> Answer:
    """POST private/position/reverse."""
    said = one(call.content)
    symbol = futures.contract(call, said)
    wanted = whole(said, "positionId", 1, 1 << 62)
    for way, other in ((1, 2), (2, 1)):
        held = call.desk.positions.get((symbol, way), Decimal(0))
        if held > 0 and plans.position(call, symbol, way) == wanted:
            call.desk.positions[symbol, way] = Decimal(0)
            against = call.desk.positions.get((symbol, other), Decimal(0))
            call.desk.positions[symbol, other] = against + held
            return enveloped()
    raise Denied(2009, "Position is not exists or closed.")


def change_risk_level(call: Call) -> Answer:
    """POST private/account/change_risk_level: switched off."""
    words = "The risk limit feature has been upgraded. Please check the web page for details."
    raise Denied(8817, words)
