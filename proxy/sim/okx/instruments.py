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
    "AAVE": "95",
    "ALGO": "0.15",
    "APE": "1.2",
    "APT": "8",
    "ARB": "0.8",
    "ATOM": "7",
    "AVAX": "28",
    "AXS": "6",
    "BCH": "380",
    "BLUR": "0.25",
    "BNB": "560",
    "CHZ": "0.08",
    "COMP": "52",
    "CRV": "0.4",
    "DOT": "6.2",
    "DYDX": "1.4",
    "EGLD": "32",
    "ENJ": "0.2",
    "ENS": "22",
    "EOS": "0.6",
    "ETC": "21",
    "FIL": "4.5",
    "FLOW": "0.7",
    "GALA": "0.03",
    "GMX": "28",
    "GRT": "0.2",
    "HBAR": "0.07",
    "ICP": "9",
    "IMX": "1.6",
    "INJ": "22",
    "KSM": "24",
    "LDO": "1.5",
    "MANA": "0.35",
    "MASK": "2.6",
    "MINA": "0.5",
    "NEAR": "5",
    "NEO": "11",
    "OKB": "42",
    "OP": "1.7",
    "QTUM": "2.5",
    "RUNE": "4",
    "SAND": "0.3",
    "SNX": "1.8",
    "STX": "1.9",
    "SUI": "1.1",
    "SUSHI": "0.8",
    "THETA": "1.5",
    "TON": "6.5",
    "TRX": "0.12",
    "UNI": "7.5",
    "XLM": "0.1",
    "XTZ": "0.8",
    "YFI": "6100",
    "ZRX": "0.4",
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
