"""MEXC spot orders as ccxt sends them: all in the query, and nothing in the body.

The signature is written here a second time on purpose:
https://www.mexc.com/api-docs/spot-v3/general-info#signed
"""

from __future__ import annotations

import hmac
from typing import Final

from proxy.exchanges.mexc import EXCHANGE
from tests.bench.orders import WIDE, Answer, Bot, Kind, Order

_PATH: Final = "/api/v3/order"
_SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
_ANSWER: Final = (
    b'{"symbol":"BTCUSDT","orderId":"C02__443776347957968896015","orderListId":-1,'
    b'"price":"43251.7","origQty":"0.01","type":"LIMIT","side":"BUY","stpMode":"",'
    b'"transactTime":1793000000000,"clientOrderId":"b00000000000000000000000000000001"}'
)


def _write(bot: Bot, unix_ms: int, number: int, run: str) -> Order:
    query = (
        f"symbol={_SYMBOLS[number % len(_SYMBOLS)]}&side=BUY&type=LIMIT&quantity=0.01&price=43251.7"
        f"&newClientOrderId={run.rjust(32, '0')}&timestamp={unix_ms}&recvWindow=5000"
    )
    signature = hmac.digest(bot.secret.encode(), query.encode(), "sha256").hex()
    return Order(
        f"{_PATH}?{query}&signature={signature}",
        (f"X-MEXC-APIKEY: {bot.api_key}", "source: CCXT"),
        "",
    )


MEXC: Final = Kind(
    name="mexc",
    exchange=EXCHANGE,
    path=_PATH,
    bots=tuple(
        Bot(
            name=f"user{number}",
            api_key=f"mx0bench{number:010d}",
            secret=f"{number:032x}",
            passphrase="",
        )
        for number in (1, 2, 3)
    ),
    write=_write,
    accepted=b'"orderId":"C02__',
    answers=(Answer(_PATH, _ANSWER), Answer("/api/v3/uid", b'{"uid":"$uid"}')),
    limits={"spot-orders": WIDE, "spot-orders per ip": WIDE},
)
