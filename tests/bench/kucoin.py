"""KuCoin spot orders as ccxt sends them: JSON, the passphrase as its HMAC, a partner's headers.

The signature is written here a second time on purpose:
https://www.kucoin.com/docs-new/authentication
"""

from __future__ import annotations

import base64
import hmac
from typing import Final

from proxy.exchanges.kucoin import EXCHANGE
from tests.bench.orders import WIDE, Answer, Bot, Kind, Order

_PATH: Final = "/api/v1/orders"
_SYMBOLS: Final = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT")
_ANSWER: Final = (
    b'{"code":"200000","data":{"orderId":"670fd33bf9406e0007ab3945",'
    b'"clientOid":"b00000000000000000000000000000001"}}'
)
# KuCoin's three figures, two of them different in every millisecond; as wide as the limit is set.
_QUOTA_LINES: Final = """
            add_header gw-ratelimit-limit 1000000;
            add_header gw-ratelimit-remaining 999$millisecond;
            add_header gw-ratelimit-reset 1$millisecond;"""


def _sealed(bot: Bot, text: str) -> str:
    return base64.b64encode(hmac.digest(bot.secret.encode(), text.encode(), "sha256")).decode()


def _write(bot: Bot, unix_ms: int, number: int, run: str) -> Order:
    body = (
        f'{{"clientOid":"{run.rjust(36, "0")}","side":"buy",'
        f'"symbol":"{_SYMBOLS[number % len(_SYMBOLS)]}","type":"limit","size":"0.01",'
        f'"price":"43251.7"}}'
    )
    partner = Bot("ccxt", "ccxt", "bench-partner", "")
    return Order(
        _PATH,
        (
            "KC-API-KEY-VERSION: 2",
            f"KC-API-KEY: {bot.api_key}",
            f"KC-API-TIMESTAMP: {unix_ms}",
            f"KC-API-PASSPHRASE: {_sealed(bot, bot.passphrase)}",
            f"KC-API-SIGN: {_sealed(bot, f'{unix_ms}POST{_PATH}{body}')}",
            f"KC-API-PARTNER-SIGN: {_sealed(partner, f'{unix_ms}ccxt{bot.api_key}')}",
            "KC-API-PARTNER: ccxt",
            "KC-API-PARTNER-VERIFY: true",
        ),
        body,
    )


KUCOIN: Final = Kind(
    name="kucoin",
    exchange=EXCHANGE,
    path=_PATH,
    bots=tuple(
        Bot(
            name=f"user{number}",
            api_key=f"{number:024x}",
            secret=f"00000000-0000-4000-8000-00000000000{number}",
            passphrase=f"Bench-pass-{number}",
        )
        for number in (1, 2, 3)
    ),
    write=_write,
    accepted=b'"code":"200000"',
    answers=(
        Answer(_PATH, _ANSWER, _QUOTA_LINES),
        Answer(
            "/api/v1/user/api-key",
            b'{"code":"200000","data":{"uid":$uid,"permission":"General,Spot","isMaster":true}}',
        ),
    ),
    limits={"spot": WIDE, "edge": WIDE},
)
