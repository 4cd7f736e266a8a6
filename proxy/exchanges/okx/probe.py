"""What is asked of OKX, or made up for it, to find out whether an account would work.
https://www.okx.com/docs-v5/en/#public-data-rest-api-get-system-time
"""

from __future__ import annotations

from typing import Final

import orjson

from proxy.exchanges.spec import Sample

CLOCK_PATH: Final = b"/api/v5/public/time"

_ORDER: Final = {
    "instId": "BTC-USDT",
    "tdMode": "cash",
    "side": "buy",
    "ordType": "limit",
    "px": "1",
    "sz": "0.00001",
}


def read_clock(body: bytes) -> int | None:
    """OKX's time, Unix ms, in `{"code":"0","data":[{"ts":"1597026383085"}]}`."""
    try:
        match orjson.loads(body):
            case {"code": "0", "data": [{"ts": str(ts)}]} if ts.isascii() and ts.isdecimal():
                return int(ts[:15])
    except orjson.JSONDecodeError:
        pass
    return None


def sample_orders() -> tuple[Sample, ...]:
    """A small limit order."""
    return (Sample("main", b"POST", b"/api/v5/trade/order", b"", orjson.dumps(_ORDER)),)
