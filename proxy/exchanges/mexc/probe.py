"""What is asked of MEXC, or made up for it, to find out whether an account would work.
https://www.mexc.com/api-docs/spot-v3/market-data-endpoints#check-server-time
"""

from __future__ import annotations

from typing import Final

import orjson

from proxy.exchanges.spec import Sample

CLOCK_PATH: Final = b"/api/v3/time"

_FUTURES_ORDER: Final = {
    "symbol": "BTC_USDT",
    "price": 1,
    "vol": 1,
    "leverage": 1,
    "side": 1,
    "type": 1,
    "openType": 1,
}
_MS_MAX: Final = 1 << 50


def read_clock(body: bytes) -> int | None:
    """MEXC's time, Unix ms, in `{"serverTime":1645539742000}`."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    ms: object = answer.get("serverTime") if type(answer) is dict else None
    if type(ms) is not int or not 0 <= ms < _MS_MAX:
        return None
    return ms


def sample_orders() -> tuple[Sample, ...]:
    """A small limit order on spot and one on futures, as a bot would send them."""
    spot = b"?symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.00001&price=1"
    return (
        Sample("main", b"POST", b"/api/v3/order", spot, b""),
        Sample(
            "futures", b"POST", b"/api/v1/private/order/create", b"", orjson.dumps(_FUTURES_ORDER)
        ),
    )
