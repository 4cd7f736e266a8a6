"""What is asked of KuCoin, or made up for it, to find out whether an account would work.
https://www.kucoin.com/docs-new/rest/spot-trading/market-data/get-server-time
"""

from __future__ import annotations

from typing import Final

import orjson

from proxy.exchanges.spec import Sample

CLOCK_PATH: Final = b"/api/v1/timestamp"

_CLIENT_ID: Final = "5c52e11203aa677f33e493fb"
_SPOT: Final = {
    "clientOid": _CLIENT_ID,
    "symbol": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "1",
    "size": "1",
}
_FUTURES: Final = {
    "clientOid": _CLIENT_ID,
    "symbol": "XBTUSDTM",
    "side": "buy",
    "type": "limit",
    "price": "1",
    "size": 1,
    "leverage": 1,
}


def read_clock(body: bytes) -> int | None:
    """KuCoin's time, Unix ms, in `{"code":"200000","data":1546837113087}`."""
    try:
        match orjson.loads(body):
            case {"code": "200000", "data": int(unix_ms)} if 10**12 <= unix_ms < 10**15:
                return unix_ms
    except orjson.JSONDecodeError:
        pass
    return None


def sample_orders() -> tuple[Sample, ...]:
    """A small limit order on each venue that takes orders."""
    return (
        Sample("main", b"POST", b"/api/v1/hf/orders", b"", orjson.dumps(_SPOT)),
        Sample("futures", b"POST", b"/api/v1/orders", b"", orjson.dumps(_FUTURES)),
    )
