"""Futures market reads of the simulated MEXC.

https://www.mexc.com/api-docs/futures/market-endpoints
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from proxy.sim.mexc import symbols
from proxy.sim.mexc.answers import Denied, enveloped, wrong
from proxy.sim.mexc.fields import number
from proxy.sim.mexc.market import DEPTH_MAX, STEP, TICK_MS, number_of, seconds

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.mexc.desk import Call, Json

_BARS: Final = {
    "Min1": 60,
    "Min5": 300,
    "Min15": 900,
    "Min30": 1800,
    "Min60": 3600,
    "Hour4": 14_400,
    "Day1": 86_400,
    "Week1": 604_800,
}
_BARS_SHOWN: Final = 100


def ping(call: Call) -> Answer:
    """GET contract/ping."""
    return enveloped(call.now_ms)


def detail(call: Call) -> Answer:
    """GET contract/detail and detail/country: all, or the one that is named."""
    if call.parameters.get("symbol"):
        return enveloped(call.world.contracts[_contract(call)])
    return enveloped(list(call.world.contracts.values()))


def currencies(call: Call) -> Answer:
    """GET contract/support_currencies."""
    return enveloped(["USDT", *symbols.COINS])


def ticker(call: Call) -> Answer:
    """GET contract/ticker: all, or the one that is named."""
    if call.parameters.get("symbol"):
        return enveloped(_day(call, _contract(call)))
    return enveloped([_day(call, name) for name in call.world.contracts])


def depth(call: Call) -> Answer:
    """GET contract/depth/{symbol}."""
    last = symbols.last_price(_contract(call), call.now_ms)
    levels = range(1, number_of(call, "limit", 100, DEPTH_MAX) + 1)
    sides = {
        side: [[number(last * (1 + sign * level * STEP)), level, 1] for level in levels]
        for side, sign in (("asks", 1), ("bids", -1))
    }
    return enveloped(sides | {"version": call.now_ms // TICK_MS, "timestamp": call.now_ms})


def prices(call: Call) -> Answer:
    """GET contract/index_price/{symbol} and fair_price/{symbol}."""
    symbol = _contract(call)
    key = "indexPrice" if "index" in call.row.path else "fairPrice"
    now = number(symbols.last_price(symbol, call.now_ms))
    return enveloped({"symbol": symbol, key: now, "timestamp": call.now_ms})


def funding(call: Call) -> Answer:
    """GET contract/funding_rate of one symbol or all."""
    if call.variables.get("symbol"):
        return enveloped(_funding(call, _contract(call)))
    return enveloped([_funding(call, name) for name in call.world.contracts])


def deals(call: Call) -> Answer:
    """GET contract/deals/{symbol}."""
    symbol = _contract(call)
    rows = []
    for at_ms in seconds(call, most=100):
        now = number(symbols.last_price(symbol, at_ms))
        rows.append({"p": now, "v": 1, "T": 1 + at_ms // 1000 % 2, "O": 3, "M": 2, "t": at_ms})
    return enveloped(rows)


def klines(call: Call) -> Answer:
    """GET contract/kline/{symbol}, and those of the index and fair prices."""
    symbol, span_ms = _contract(call), _bar(call)
    last_ms = call.now_ms // span_ms * span_ms
    starts = range(last_ms - (_BARS_SHOWN - 1) * span_ms, last_ms + 1, span_ms)
    prices = [number(symbols.last_price(symbol, start_ms)) for start_ms in starts]
    data: Json = {"time": [start_ms // 1000 for start_ms in starts]}
    data |= dict.fromkeys(("open", "close", "high", "low"), prices)
    return enveloped(data | dict.fromkeys(("vol", "amount"), [10] * len(prices)))


def _day(call: Call, name: str) -> Json:
    last, opened = symbols.last_price(name, call.now_ms), symbols.last_price(name)
    now = number(last)
    return {
        "contractId": call.world.contracts[name]["id"],
        "symbol": name,
        "lastPrice": now,
        "bid1": number(last * (1 - STEP)),
        "ask1": number(last * (1 + STEP)),
        "volume24": 1000,
        "amount24": number(last * 1000),
        "holdVol": 1000,
        "lower24Price": number(opened),
        "high24Price": number(max(last, opened)),
        "riseFallRate": number((last - opened) / opened),
        "riseFallValue": number(last - opened),
        "indexPrice": now,
        "fairPrice": now,
        "fundingRate": 0.0001,
        "maxBidPrice": number(last * Decimal("1.5")),
        "minAskPrice": number(last / 2),
        "timestamp": call.now_ms,
    }


def _funding(call: Call, name: str) -> Json:
    return {
        "symbol": name,
        "fundingRate": 0.0001,
        "maxFundingRate": 0.003,
        "minFundingRate": -0.003,
        "collectCycle": 8,
        "nextSettleTime": (call.now_ms // 28_800_000 + 1) * 28_800_000,
        "timestamp": call.now_ms,
    }


def _contract(call: Call) -> str:
    symbol = call.variables.get("symbol") or call.parameters.get("symbol", "")
    if symbol not in call.world.contracts:
        raise Denied(1001, "The contract does not exist!")
    return symbol


def _bar(call: Call) -> int:
    word = call.parameters.get("interval", "Min1")
    if word not in _BARS:
        raise wrong("interval")
    return _BARS[word] * 1000
