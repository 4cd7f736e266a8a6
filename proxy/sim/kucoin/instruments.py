"""What the simulated KuCoin lists: currencies, pairs and contracts, with what clients read."""

from __future__ import annotations

from typing import Any, Final

COINS: Final = {
    "BTC": "50000",
    "ETH": "2500",
    "SOL": "150",
    "XRP": "0.5",
    "DOGE": "0.1",
    "LTC": "80",
    "ADA": "0.4",
    "LINK": "14",
    "AVAX": "28",
    "BNB": "560",
    "DOT": "6.2",
    "KCS": "10",
    "TRX": "0.12",
    "UNI": "7.5",
    "USDC": "1",
}
HELD: Final = ("USDT", "BTC", "ETH", "KCS")
_LISTED_MS: Final = 1_585_555_200_000
# Contract values by coin; bitcoin is called XBT in futures.
_MULTIPLIERS: Final = {"BTC": 0.001, "ETH": 0.01, "SOL": 0.1, "LTC": 0.1, "BNB": 0.01}
_TICKS: Final = {"BTC": 0.1, "ETH": 0.01, "SOL": 0.001}


def last_price(symbol: str) -> str:
    """Return the price that everything trades at here."""
    if symbol in CONTRACTS:
        coin = str(CONTRACTS[symbol]["baseCurrency"])
        return COINS["BTC" if coin == "XBT" else coin]
    return COINS.get(symbol.partition("-")[0], "1")


def _pair(coin: str) -> dict[str, Any]:
    return {
        "symbol": f"{coin}-USDT",
        "name": f"{coin}-USDT",
        "baseCurrency": coin,
        "quoteCurrency": "USDT",
        "feeCurrency": "USDT",
        "market": "USDS",
        "baseMinSize": "0.00001",
        "quoteMinSize": "0.1",
        "baseMaxSize": "10000000000",
        "quoteMaxSize": "99999999",
        "baseIncrement": "0.00000001",
        "quoteIncrement": "0.000001",
        "priceIncrement": "0.0001",
        "priceLimitRate": "0.1",
        "minFunds": "0.1",
        "isMarginEnabled": True,
        "enableTrading": True,
        "feeCategory": 1,
        "makerFeeCoefficient": "1.00",
        "takerFeeCoefficient": "1.00",
        "st": False,
        "callauctionIsEnabled": False,
        "callauctionPriceFloor": None,
        "callauctionPriceCeiling": None,
        "callauctionFirstStageStartTime": None,
        "callauctionSecondStageStartTime": None,
        "callauctionThirdStageStartTime": None,
        "tradingStartTime": None,
    }


def _contract(coin: str, *, inverse: bool = False) -> dict[str, Any]:
    base = "XBT" if coin == "BTC" else coin
    quote = "USD" if inverse else "USDT"
    symbol = f"{base}{quote}M"
    price = float(COINS[coin])
    prices = dict.fromkeys(
        ("markPrice", "indexPrice", "lastTradePrice", "lowPrice", "highPrice"), price
    )
    return {
        "symbol": symbol,
        "rootSymbol": quote,
        "type": "FFWCSX",
        "firstOpenDate": _LISTED_MS,
        "expireDate": None,
        "settleDate": None,
        "baseCurrency": base,
        "quoteCurrency": quote,
        "settleCurrency": base if inverse else quote,
        "maxOrderQty": 1_000_000,
        "maxPrice": 1_000_000.0,
        "lotSize": 1,
        "tickSize": _TICKS.get(coin, 0.00001),
        "indexPriceTickSize": 0.01,
        "multiplier": -1.0 if inverse else _MULTIPLIERS.get(coin, 1.0),
        "initialMargin": 0.008,
        "maintainMargin": 0.004,
        "maxRiskLimit": 100_000,
        "minRiskLimit": 100_000,
        "riskStep": 50_000,
        "makerFeeRate": 0.0002,
        "takerFeeRate": 0.0006,
        "takerFixFee": 0.0,
        "makerFixFee": 0.0,
        "settlementFee": None,
        "isDeleverage": True,
        "isQuanto": False,
        "isInverse": inverse,
        "markMethod": "FairPrice",
        "fairMethod": "FundingRate",
        "fundingBaseSymbol": f".{base}INT8H",
        "fundingQuoteSymbol": f".{quote}INT8H",
        "fundingRateSymbol": f".{symbol}FPI8H",
        "indexSymbol": f".K{base}{quote}",
        "settlementSymbol": "",
        "status": "Open",
        "fundingFeeRate": 0.0001,
        "predictedFundingFeeRate": 0.0001,
        "fundingRateGranularity": 28_800_000,
        "openInterest": "6000000",
        "turnoverOf24h": 1_000_000.0,
        "volumeOf24h": 20.0,
        **prices,
        "nextFundingRateTime": 17_031_463,
        "maxLeverage": 125,
        "sourceExchanges": ["kucoin"],
        "priceChgPct": 0.0,
        "priceChg": 0.0,
        "k": 490.0,
        "m": 300.0,
        "f": 1.3,
        "mmrLimit": 0.3,
        "mmrLevConstant": 125.0,
        "supportCross": not inverse,
        "buyLimit": price * 1.1,
        "sellLimit": price * 0.9,
    }


def _listed(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["symbol"]: row for row in rows}


PAIRS: Final = _listed([_pair(coin) for coin in COINS])
CONTRACTS: Final = _listed(
    [_contract(coin) for coin in COINS if coin != "USDC"] + [_contract("BTC", inverse=True)]
)


def currency(coin: str) -> dict[str, Any]:
    """Return a currency as /api/v3/currencies shows it."""
    name = {"BTC": "btc", "USDT": "trx"}.get(coin, coin.lower())
    chain = {
        "chainName": name.upper(),
        "withdrawalMinSize": "0.001",
        "depositMinSize": "0.0002",
        "withdrawFeeRate": "0",
        "withdrawalMinFee": "0.0005",
        "isWithdrawEnabled": True,
        "isDepositEnabled": True,
        "confirms": 3,
        "preConfirms": 1,
        "contractAddress": "",
        "withdrawPrecision": 8,
        "maxWithdraw": None,
        "maxDeposit": None,
        "needTag": False,
        "chainId": name,
    }
    return {
        "currency": coin,
        "name": coin,
        "fullName": coin,
        "precision": 8,
        "confirms": None,
        "contractAddress": None,
        "isMarginEnabled": True,
        "isDebitEnabled": True,
        "chains": [chain],
    }
