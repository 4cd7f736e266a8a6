"""OKX orders: JSON with a tag of another's, of which ours takes the place.

The signature is written here a second time on purpose:
https://www.okx.com/docs-v5/en/#overview-rest-authentication
"""

from __future__ import annotations

import base64
import hmac
import time
from typing import Final

from proxy.exchanges.okx import EXCHANGE
from tests.bench.orders import WIDE, Answer, Bot, Kind, Order

BODY_BYTES: Final = 180
_PATH: Final = "/api/v5/trade/order"
_INSTRUMENTS: Final = ("BTC-USDT-SWAP", "ETH-USDT-SWAP", "SOL-USDT-SWAP", "XRP-USDT-SWAP")
_ANSWER: Final = (
    b'{"code":"0","msg":"","data":[{"ordId":"251078976870912001",'
    b'"clOrdId":"b00000000000000000000000000000001","tag":"6b9ad766b55dBCDE","ts":"1793000000000",'
    b'"sCode":"0","sMsg":""}],"inTime":"1793000000000123","outTime":"1793000000001999"}'
)


def _write(bot: Bot, unix_ms: int, number: int, run: str) -> Order:
    """An order of exactly BODY_BYTES; the client order id is filled up with zeros."""
    instrument = _INSTRUMENTS[number % len(_INSTRUMENTS)]
    start = (
        f'{{"instId":"{instrument}","tdMode":"cross","side":"buy","ordType":"limit",'
        f'"px":"43251.7","sz":"0.01","posSide":"net","tag":"6b9ad766b55dBCDE","clOrdId":"'
    )
    body = f'{start}{run.rjust(BODY_BYTES - len(start) - 2, "0")}"}}'
    seconds, milliseconds = divmod(unix_ms, 1000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03d}Z"
    signed = hmac.digest(bot.secret.encode(), f"{stamp}POST{_PATH}{body}".encode(), "sha256")
    return Order(
        _PATH,
        (
            f"OK-ACCESS-KEY: {bot.api_key}",
            f"OK-ACCESS-SIGN: {base64.b64encode(signed).decode()}",
            f"OK-ACCESS-TIMESTAMP: {stamp}",
            f"OK-ACCESS-PASSPHRASE: {bot.passphrase}",
        ),
        body,
    )


OKX: Final = Kind(
    name="okx",
    exchange=EXCHANGE,
    path=_PATH,
    bots=tuple(
        Bot(
            name=f"user{number}",
            api_key=f"00000000-0000-4000-8000-00000000000{number}",
            secret=f"{number:032X}",
            passphrase=f"Bench-pass-{number}",
        )
        for number in (1, 2, 3)
    ),
    write=_write,
    accepted=b'"code":"0"',
    answers=(
        Answer(_PATH, _ANSWER),
        Answer(
            "/api/v5/account/config",
            b'{"code":"0","msg":"","data":[{"uid":"$uid","mainUid":"$uid","perm":"trade","ip":""}]}',
        ),
    ),
    limits={f"POST {_PATH}": WIDE, "subaccount-orders": WIDE},
)
