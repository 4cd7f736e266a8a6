"""Public reads of the simulated KuCoin, spot and futures.

https://www.kucoin.com/docs-new/rest/spot-trading/market-data/introduction
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from proxy.sim.kucoin import instruments
from proxy.sim.kucoin.answers import accepted, bad_parameter, paged
from proxy.sim.kucoin.checks import moment
from proxy.sim.kucoin.futures import contract
from proxy.sim.kucoin.spot import pair
from proxy.sim.kucoin.table import FUTURES

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.kucoin.desk import Call, Json

_SPANS_S: Final = {
    "1min": 60,
    "3min": 180,
    "5min": 300,
    "15min": 900,
    "30min": 1800,
    "1hour": 3600,
    "2hour": 7200,
    "4hour": 14_400,
    "6hour": 21_600,
    "8hour": 28_800,
    "12hour": 43_200,
    "1day": 86_400,
    "1week": 604_800,
    "1month": 2_592_000,
}
_CANDLES_MAX: Final = 1500
_DEPTH: Final = 20


def time(call: Call) -> Answer:
    """GET /api/v1/timestamp."""
    return accepted(call.now_ms)


def status(call: Call) -> Answer:
    """GET /api/v1/status."""
    return accepted({"status": "open", "msg": ""})


def address(call: Call) -> Answer:
    """GET /api/v1/my-ip."""
    return accepted(call.source)


def currencies(call: Call) -> Answer:
    """GET /api/v3/currencies."""
    return accepted([instruments.currency(coin) for coin in ("USDT", *instruments.COINS)])


def currency(call: Call) -> Answer:
    """GET /api/v3/currencies/{currency}."""
    if call.names["currency"] not in ("USDT", *instruments.COINS):
        raise bad_parameter("currency is invalid")
    return accepted(instruments.currency(call.names["currency"]))


def symbols(call: Call) -> Answer:
    """GET /api/v2/symbols."""
    market = call.query.get("market", "")
    return accepted([row for row in instruments.PAIRS.values() if market in ("", row["market"])])


def symbol(call: Call) -> Answer:
    """GET /api/v2/symbols/{symbol}."""
    return accepted(pair(call.names))


def margin_symbols(call: Call) -> Answer:
    """GET /api/v3/margin/symbols."""
    keys = ("symbol", "name", "enableTrading", "market", "baseCurrency", "quoteCurrency")
    steps = ("baseIncrement", "baseMinSize", "baseMaxSize", "quoteIncrement", "quoteMinSize")
    more = ("quoteMaxSize", "priceIncrement", "feeCurrency", "priceLimitRate", "minFunds")
    rows = [{key: row[key] for key in (*keys, *steps, *more)} for row in _pairs(call)]
    return accepted({"timestamp": call.now_ms, "items": rows})


def isolated_symbols(call: Call) -> Answer:
    """GET /api/v1/isolated/symbols."""
    return accepted(
        [
            {
                "symbol": row["symbol"],
                "symbolName": row["name"],
                "baseCurrency": row["baseCurrency"],
                "quoteCurrency": row["quoteCurrency"],
                "maxLeverage": 10,
                "flDebtRatio": "0.97",
                "tradeEnable": True,
                "autoRenewMaxDebtRatio": "0.96",
                "baseBorrowEnable": True,
                "quoteBorrowEnable": True,
                "baseTransferInEnable": True,
                "quoteTransferInEnable": True,
            }
            for row in _pairs(call)
        ]
    )


def _pairs(call: Call) -> list[Json]:
    wanted = call.query.get("symbol", "")
    return [row for row in instruments.PAIRS.values() if wanted in ("", row["symbol"])]


def ticker(call: Call) -> Answer:
    """GET /api/v1/market/orderbook/level1."""
    price = instruments.last_price(pair(call.query)["symbol"])
    prices = dict.fromkeys(("price", "bestBid", "bestAsk"), price)
    sizes = dict.fromkeys(("size", "bestBidSize", "bestAskSize"), "1")
    return accepted({"time": call.now_ms, "sequence": str(call.now_ms), **prices, **sizes})


def tickers(call: Call) -> Answer:
    """GET /api/v1/market/allTickers."""
    return accepted({"time": call.now_ms, "ticker": [_stats(name) for name in instruments.PAIRS]})


def stats(call: Call) -> Answer:
    """GET /api/v1/market/stats."""
    return accepted(_stats(pair(call.query)["symbol"]) | {"time": call.now_ms})


def _stats(name: str) -> Json:
    price = instruments.last_price(name)
    return {
        "symbol": name,
        "symbolName": name,
        **dict.fromkeys(("buy", "sell", "last", "high", "low", "averagePrice"), price),
        **dict.fromkeys(("bestBidSize", "bestAskSize", "vol"), "1"),
        "volValue": price,
        **dict.fromkeys(("changeRate", "changePrice"), "0"),
        **dict.fromkeys(("takerFeeRate", "makerFeeRate"), "0.001"),
        **dict.fromkeys(("takerCoefficient", "makerCoefficient"), "1"),
    }


def books(call: Call) -> Answer:
    """GET of an order book, parts of it or the whole."""
    price = Decimal(instruments.last_price(pair(call.query)["symbol"]))
    sides = {
        side: [[str(price * (1 + sign * level / Decimal(10_000))), "1"] for level in _LEVELS]
        for side, sign in (("bids", -1), ("asks", 1))
    }
    return accepted({"time": call.now_ms, "sequence": str(call.now_ms), **sides})


_LEVELS: Final = range(1, _DEPTH + 1)


def candles(call: Call) -> Answer:
    """GET /api/v1/market/candles: newest first; seconds."""
    price = instruments.last_price(pair(call.query)["symbol"])
    span_s = _SPANS_S.get(call.query.get("type", ""))
    if span_s is None:
        raise bad_parameter("type is invalid")
    last_s = moment(call.query, "endAt", call.now_ms // 1000) // span_s * span_s
    first_s = max(moment(call.query, "startAt", 0), last_s - 100 * span_s)
    times = range(last_s, first_s - 1, -span_s)[:_CANDLES_MAX]
    return accepted([[str(each), price, price, price, price, "1", price] for each in times])


def trades(call: Call) -> Answer:
    """GET /api/v1/market/histories."""
    price = instruments.last_price(pair(call.query)["symbol"])
    row = {"sequence": "1", "price": price, "size": "1", "side": "buy"}
    return accepted([row | {"time": call.now_ms * 1_000_000}])


def prices(call: Call) -> Answer:
    """GET /api/v1/prices."""
    return accepted({"USDT": "1", **instruments.COINS})


def mark_price(call: Call) -> Answer:
    """GET /api/v1/mark-price/{symbol}/current, of a pair or a contract."""
    if call.row.venue == FUTURES:
        price = float(instruments.last_price(contract(call.names)["symbol"]))
        shown: Json = {"granularity": 1000, "value": price, "indexPrice": price}
    else:
        price = float(instruments.last_price(pair(call.names)["symbol"]))
        shown = {"granularity": 5000, "value": price}
    return accepted(shown | {"symbol": call.names["symbol"], "timePoint": call.now_ms})


def contracts(call: Call) -> Answer:
    """GET /api/v1/contracts/active."""
    return accepted(list(instruments.CONTRACTS.values()))


def one_contract(call: Call) -> Answer:
    """GET /api/v1/contracts/{symbol}."""
    return accepted(contract(call.names))


def contract_ticker(call: Call) -> Answer:
    """GET /api/v1/ticker and allTickers of futures."""
    if call.row.path.endswith("allTickers"):
        return accepted([_contract_ticker(call, name) for name in instruments.CONTRACTS])
    return accepted(_contract_ticker(call, contract(call.query)["symbol"]))


def _contract_ticker(call: Call, name: str) -> Json:
    price = instruments.last_price(name)
    return {
        "sequence": call.now_ms,
        "symbol": name,
        "side": "buy",
        "size": 1,
        "tradeId": "1",
        "price": price,
        "bestBidPrice": price,
        "bestBidSize": 1,
        "bestAskPrice": price,
        "bestAskSize": 1,
        "ts": call.now_ms * 1_000_000,
    }


def contract_books(call: Call) -> Answer:
    """GET of a contract's order book."""
    name = contract(call.query)["symbol"]
    price = float(instruments.last_price(name))
    return accepted(
        {
            "sequence": call.now_ms,
            "symbol": name,
            "bids": [[price * (1 - level / 10_000), 10] for level in _LEVELS],
            "asks": [[price * (1 + level / 10_000), 10] for level in _LEVELS],
            "ts": call.now_ms * 1_000_000,
        }
    )


def contract_candles(call: Call) -> Answer:
    """GET /api/v1/kline/query: oldest first; milliseconds, granularity in minutes."""
    price = float(instruments.last_price(contract(call.query)["symbol"]))
    minutes = call.query.get("granularity", "")
    if not minutes.isdecimal() or not int(minutes):
        raise bad_parameter("granularity is invalid")
    span_ms = int(minutes) * 60_000
    last_ms = moment(call.query, "to", call.now_ms) // span_ms * span_ms
    first_ms = max(moment(call.query, "from", 0), last_ms - 100 * span_ms)
    times = range(-(-first_ms // span_ms) * span_ms, last_ms + 1, span_ms)
    return accepted([[each, price, price, price, price, 1.0, price] for each in times])


def funding_rate(call: Call) -> Answer:
    """GET /api/v1/funding-rate/{symbol}/current."""
    listed = contract(call.names)
    return accepted(
        {
            "symbol": listed["fundingRateSymbol"],
            "granularity": listed["fundingRateGranularity"],
            "timePoint": call.now_ms,
            "value": 0.0001,
            "predictedValue": 0.0001,
            "fundingRateCap": 0.003,
            "fundingRateFloor": -0.003,
            "period": 1,
            "fundingTime": call.now_ms,
        }
    )


def announcements(call: Call) -> Answer:
    """GET /api/v3/announcements."""
    return accepted(paged(call.query, []))
