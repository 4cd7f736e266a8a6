"""Spot market reads of the simulated MEXC; who asks the same gets the same bytes.

https://www.mexc.com/api-docs/spot-v3/market-data-endpoints
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from proxy.sim.mexc import symbols
from proxy.sim.mexc.answers import Denied, missing, plain, wrong
from proxy.sim.mexc.fields import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.sim.answers import Answer
    from proxy.sim.mexc.desk import Call, Json

TICK_MS: Final = 200  # how often prices and books are looked at anew
LISTING_MS: Final = 60_000
DEPTH_MAX: Final = 1000
STEP: Final = Decimal("0.0001")
_BARS: Final = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "60m": 3600,
    "4h": 14_400,
    "1d": 86_400,
    "1W": 604_800,
}


def alike(act: Callable[[Call], Answer], every_ms: int = TICK_MS) -> Callable[[Call], Answer]:
    """Make the answer once for all who ask the same within a tick of the exchange's clock."""

    def answered(call: Call) -> Answer:
        asked = sorted(call.parameters.items())
        key = (call.row.name, *call.variables.values(), *asked)
        return call.world.prepared.get(key, call.now_ms // every_ms, lambda: act(call))

    return answered


def ping(call: Call) -> Answer:
    """GET ping."""
    return plain({})


def time(call: Call) -> Answer:
    """GET time."""
    return plain({"serverTime": call.now_ms})


def exchange_info(call: Call) -> Answer:
    """GET exchangeInfo: of all symbols, or those named."""
    said = call.parameters
    names = [name for name in (said.get("symbols") or said.get("symbol") or "").split(",") if name]
    if not set(names) <= set(call.world.symbols):
        raise _no_symbol()
    return plain(
        {
            "timezone": "CST",
            "serverTime": call.now_ms,
            "rateLimits": [],
            "exchangeFilters": [],
            "symbols": [call.world.symbols[name] for name in names or call.world.symbols],
        }
    )


def default_symbols(call: Call) -> Answer:
    """GET defaultSymbols, selfSymbols."""
    return plain({"code": 200, "data": list(call.world.symbols), "msg": None})


def depth(call: Call) -> Answer:
    """GET depth."""
    symbol = _symbol(call)
    last = symbols.last_price(symbol, call.now_ms)
    levels = range(1, number_of(call, "limit", 100, DEPTH_MAX) + 1)
    sides = {
        side: [[str(last * (1 + sign * level * STEP)), str(level)] for level in levels]
        for side, sign in (("bids", -1), ("asks", 1))
    }
    return plain({"lastUpdateId": call.now_ms // TICK_MS, **sides, "timestamp": call.now_ms})


def trades(call: Call) -> Answer:
    """GET trades and historicalTrades."""
    symbol = _symbol(call)
    return plain(
        [
            {
                "id": None,
                "price": str(symbols.last_price(symbol, at_ms)),
                "qty": "1",
                "quoteQty": str(symbols.last_price(symbol, at_ms)),
                "time": at_ms,
                "isBuyerMaker": bool(at_ms // 1000 % 2),
                "isBestMatch": True,
                "tradeType": "BID",
            }
            for at_ms in seconds(call)
        ]
    )


def aggregate_trades(call: Call) -> Answer:
    """GET aggTrades."""
    symbol = _symbol(call)
    nothing = dict.fromkeys(("a", "f", "l"))
    return plain(
        [
            {
                **nothing,
                "p": str(symbols.last_price(symbol, at_ms)),
                "q": "1",
                "T": at_ms,
                "m": bool(at_ms // 1000 % 2),
                "M": True,
            }
            for at_ms in seconds(call)
        ]
    )


def klines(call: Call) -> Answer:
    """GET klines."""
    symbol, span_ms = _symbol(call), _bar(call)
    last_ms = call.now_ms // span_ms * span_ms
    starts = range(
        last_ms - (number_of(call, "limit", 500, 1000) - 1) * span_ms, last_ms + 1, span_ms
    )
    rows = []
    for start_ms in starts:
        price = str(symbols.last_price(symbol, start_ms))
        rows.append([start_ms, price, price, price, price, "10", start_ms + span_ms, "100"])
    return plain(rows)


def average(call: Call) -> Answer:
    """GET avgPrice."""
    return plain({"mins": 5, "price": str(symbols.last_price(_symbol(call), call.now_ms))})


def day(call: Call) -> Answer:
    """GET ticker/24hr."""
    return _each(call, _day)


def price(call: Call) -> Answer:
    """GET ticker/price."""
    return _each(call, lambda _, name: {"price": str(symbols.last_price(name, call.now_ms))})


def best(call: Call) -> Answer:
    """GET ticker/bookTicker."""
    return _each(call, lambda _, name: _best(symbols.last_price(name, call.now_ms)))


def _each(call: Call, make: Callable[[Call, str], Json]) -> Answer:
    if call.parameters.get("symbol"):
        symbol = _symbol(call)
        return plain({"symbol": symbol} | make(call, symbol))
    return plain([{"symbol": name} | make(call, name) for name in call.world.symbols])


def _best(last: Decimal) -> Json:
    return {
        "bidPrice": str(last * (1 - STEP)),
        "bidQty": "5",
        "askPrice": str(last * (1 + STEP)),
        "askQty": "5",
    }


def _day(call: Call, name: str) -> Json:
    last, opened = symbols.last_price(name, call.now_ms), symbols.last_price(name)
    return _best(last) | {
        "priceChange": str(last - opened),
        "priceChangePercent": str((last - opened) / opened),
        "prevClosePrice": str(opened),
        "lastPrice": str(last),
        "openPrice": str(opened),
        "highPrice": str(max(last, opened)),
        "lowPrice": str(opened),
        "volume": "1000",
        "quoteVolume": str(last * 1000),
        "openTime": call.now_ms - 86_400_000,
        "closeTime": call.now_ms,
        "count": None,
    }


def _symbol(call: Call) -> str:
    symbol = text(call.parameters, "symbol")
    if symbol not in call.world.symbols:
        raise _no_symbol()
    return symbol


def _no_symbol() -> Denied:
    return Denied(-1121, "Invalid symbol.", 400)


def number_of(call: Call, name: str, default: int, most: int) -> int:
    """Return a parameter that is a whole number within bounds; raises Denied."""
    value = call.parameters.get(name) or str(default)
    if not (value.isascii() and value.isdecimal() and 1 <= int(value[:9]) <= most):
        raise wrong(name) if call.row.api == "futures" else missing(name)
    return int(value)


def _bar(call: Call) -> int:
    word = call.parameters.get("interval", "")
    if word not in _BARS:
        raise missing("interval")
    return _BARS[word] * 1000


def seconds(call: Call, most: int = 1000) -> range:
    """Return the latest seconds, in ms, newest first, as many as are asked for."""
    last_ms = call.now_ms // 1000 * 1000
    count = number_of(call, "limit", min(most, 500), most)
    return range(last_ms, last_ms - count * 1000, -1000)
