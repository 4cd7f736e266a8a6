"""The spot symbols and contracts that the simulated MEXC lists, with every field clients read.

https://www.mexc.com/api-docs/spot-v3/market-data-endpoints#exchange-information
https://www.mexc.com/api-docs/futures/market-endpoints#get-contract-info
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

COINS: Final = {
    "BTC": ("50000", "0.0001"),  # price in USDT, contract size
    "ETH": ("2500", "0.01"),
    "SOL": ("150", "0.1"),
    "XRP": ("0.5", "1"),
    "DOGE": ("0.1", "100"),
    "LTC": ("80", "0.1"),
    "ADA": ("0.4", "1"),
    "LINK": ("14", "0.1"),
    "AVAX": ("28", "0.1"),
    "MX": ("2.4", "1"),
    "TRX": ("0.12", "10"),
    "BNB": ("560", "0.01"),
}
MIN_WORTH: Final = Decimal(1)  # of a spot order, in USDT
_SWAY: Final = 13  # prices are a little off their base, by the second


def spot() -> dict[str, dict[str, Any]]:
    """Return every spot symbol as exchangeInfo shows it."""
    return {f"{coin}USDT": _spot(coin) for coin in COINS}


def contracts() -> dict[str, dict[str, Any]]:
    """Return every contract as contract/detail shows it."""
    return {f"{coin}_USDT": _contract(coin, number) for number, coin in enumerate(COINS, 10)}


def base(symbol: str) -> str:
    """Return the coin of a spot symbol or a contract."""
    return symbol.removesuffix("USDT").removesuffix("_")


def last_price(symbol: str, now_ms: int = 0) -> Decimal:
    """Return a listed symbol's price at this moment; at 0 its base."""
    price = Decimal(COINS[base(symbol)][0])
    return price + price * (now_ms // 1000 % _SWAY) / 10_000


def _spot(coin: str) -> dict[str, Any]:
    return {
        "symbol": f"{coin}USDT",
        "status": "1",
        "baseAsset": coin,
        "baseAssetPrecision": 6,
        "quoteAsset": "USDT",
        "quotePrecision": 6,
        "quoteAssetPrecision": 6,
        "baseCommissionPrecision": 6,
        "quoteCommissionPrecision": 6,
        "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER", "IMMEDIATE_OR_CANCEL", "FILL_OR_KILL"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "quoteAmountPrecision": str(MIN_WORTH),
        "baseSizePrecision": "0.000001",
        "permissions": ["SPOT"],
        "filters": [],
        "maxQuoteAmount": "2000000",
        "makerCommission": "0",
        "takerCommission": "0.0005",
        "quoteAmountPrecisionMarket": str(MIN_WORTH),
        "maxQuoteAmountMarket": "1000000",
        "fullName": coin,
        "tradeSideType": 1,
        "contractAddress": "",
        "st": False,
    }


def _contract(coin: str, number: int) -> dict[str, Any]:
    _, size = COINS[coin]
    return {
        "id": number,
        "symbol": f"{coin}_USDT",
        "displayName": f"{coin}_USDT永续",
        "displayNameEn": f"{coin}_USDT PERPETUAL",
        "positionOpenType": 3,
        "baseCoin": coin,
        "quoteCoin": "USDT",
        "baseCoinName": coin,
        "quoteCoinName": "USDT",
        "settleCoin": "USDT",
        "futureType": 1,
        "contractSize": float(size),
        "minLeverage": 1,
        "maxLeverage": 200,
        "priceScale": 4,
        "volScale": 0,
        "amountScale": 4,
        "priceUnit": 0.0001,
        "volUnit": 1,
        "minVol": 1,
        "maxVol": 1_000_000,
        "bidLimitPriceRate": 0.5,
        "askLimitPriceRate": 0.5,
        "takerFeeRate": 0.0002,
        "makerFeeRate": 0,
        "maintenanceMarginRate": 0.004,
        "initialMarginRate": 0.005,
        "riskBaseVol": 1_000_000,
        "riskIncrVol": 1_000_000,
        "riskIncrMmr": 0.004,
        "riskIncrImr": 0.004,
        "riskLevelLimit": 5,
        "priceCoefficientVariation": 0.004,
        "indexOrigin": ["BINANCE", "KUCOIN", "MEXC"],
        "state": 0,
        "isNew": False,
        "isHot": False,
        "isHidden": False,
        "conceptPlate": [],
        "riskLimitType": "BY_VOLUME",
        "maxNumOrders": [200, 50],
        "marketOrderMaxLevel": 20,
        "apiAllowed": True,
    }
