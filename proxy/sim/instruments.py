"""The instruments that the simulated OKX lists, with every field client libraries read."""

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
}
_FUTURE: Final = "281229"  # expiry of the dated instruments, YYMMDD
_OPTION_STRIKES: Final = ("40000", "60000")
SPREADS: Final = ("BTC-USDT_BTC-USDT-SWAP", "ETH-USDT_ETH-USDT-SWAP")

_BLANK: Final = {
    "alias": "",
    "auctionEndTime": "",
    "baseCcy": "",
    "category": "1",
    "contTdSwTime": "",
    "ctMult": "",
    "ctType": "",
    "ctVal": "",
    "ctValCcy": "",
    "expTime": "",
    "futureSettlement": False,
    "groupId": "1",
    "instFamily": "",
    "lever": "10",
    "listTime": "1600000000000",
    "lotSz": "1",
    "maxIcebergSz": "99999999999",
    "maxLmtAmt": "20000000",
    "maxLmtSz": "99999999999",
    "maxMktAmt": "1000000",
    "maxMktSz": "1000000",
    "maxStopSz": "1000000",
    "maxTriggerSz": "99999999999",
    "maxTwapSz": "99999999999",
    "minSz": "1",
    "openType": "",
    "optType": "",
    "preMktSwTime": "",
    "quoteCcy": "",
    "ruleType": "normal",
    "settleCcy": "",
    "state": "live",
    "stk": "",
    "tickSz": "0.00001",
    "tradeQuoteCcyList": [],
    "uly": "",
}


def listed() -> dict[str, dict[str, Any]]:
    """Return every instrument by its id."""
    rows: list[dict[str, Any]] = []
    for coin in COINS:
        rows += [_spot(coin), _swap(coin, "USDT")]
    rows += [_swap("BTC", "USD"), _future("BTC"), *_options()]
    return {
        row["instId"]: {**_BLANK, **row, "instIdCode": code}
        for code, row in enumerate(rows, start=10_001)
    }


def last_price(instrument_id: str) -> str:
    """Return the price that everything trades at here."""
    return COINS.get(instrument_id.partition("-")[0], "1")


def is_option(instrument_id: str) -> bool:
    """Tell options by their id, as the exchange names them: BTC-USD-281229-60000-C."""
    return instrument_id.count("-") == 4


def family(instrument_id: str) -> str:
    """Return the instrument family of a derivative's id."""
    return "-".join(instrument_id.split("-")[:2])


def _spot(coin: str) -> dict[str, Any]:
    return {
        "instType": "SPOT",
        "instId": f"{coin}-USDT",
        "baseCcy": coin,
        "quoteCcy": "USDT",
        "lotSz": "0.00000001",
        "minSz": "0.00001",
        "tradeQuoteCcyList": ["USDT"],
    }


def _contract(kind: str, coin: str, quote: str, suffix: str) -> dict[str, Any]:
    linear = quote != "USD"
    return {
        "instType": kind,
        "instId": f"{coin}-{quote}-{suffix}",
        "uly": f"{coin}-{quote}",
        "instFamily": f"{coin}-{quote}",
        "settleCcy": quote if linear else coin,
        "ctVal": "0.01" if linear else "100",
        "ctMult": "1",
        "ctValCcy": coin if linear else "USD",
        "ctType": "linear" if linear else "inverse",
        "lotSz": "0.01" if linear else "1",
        "minSz": "0.01" if linear else "1",
        "lever": "100",
    }


def _swap(coin: str, quote: str) -> dict[str, Any]:
    return _contract("SWAP", coin, quote, "SWAP")


def _future(coin: str) -> dict[str, Any]:
    row = _contract("FUTURES", coin, "USDT", _FUTURE)
    return {**row, "alias": "next_quarter", "expTime": "1861689600000"}


def _options() -> list[dict[str, Any]]:
    return [
        {
            **_contract("OPTION", "BTC", "USD", f"{_FUTURE}-{strike}-{kind}"),
            "ctVal": "1",
            "ctMult": "0.01",
            "ctValCcy": "BTC",
            "optType": kind,
            "stk": strike,
            "expTime": "1861689600000",
            "lever": "",
        }
        for strike in _OPTION_STRIKES
        for kind in ("C", "P")
    ]
