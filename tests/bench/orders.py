"""Orders as a bot sends them, signed ahead of time so that the load costs next to nothing.

Signatures are good for 30 s: sign just before a run. The algorithm is OKX's published one, written
here a second time on purpose: https://www.okx.com/docs-v5/en/#overview-rest-authentication
"""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATH: Final = "/api/v5/trade/order"
INSTRUMENTS: Final = ("BTC-USDT-SWAP", "ETH-USDT-SWAP", "SOL-USDT-SWAP", "XRP-USDT-SWAP")
BODY_BYTES: Final = 180
ANSWER: Final = (
    b'{"code":"0","msg":"","data":[{"ordId":"251078976870912001",'
    b'"clOrdId":"b00000000000000000000000000000001","tag":"6b9ad766b55dBCDE","ts":"1793000000000",'
    b'"sCode":"0","sMsg":""}],"inTime":"1793000000000123","outTime":"1793000000001999"}'
)


@dataclass(frozen=True, slots=True)
class Bot:
    """A bot's key triple, all of it made up."""

    name: str
    api_key: str
    secret: str
    passphrase: str


BOTS: Final = tuple(
    Bot(
        name=f"user{number}",
        api_key=f"00000000-0000-4000-8000-00000000000{number}",
        secret=f"{number:032X}",
        passphrase=f"Bench-pass-{number}",
    )
    for number in (1, 2, 3)
)


def signed_orders(
    count: int, host: str, prefix: str, run: str, bots: Sequence[Bot] = BOTS
) -> list[bytes]:
    """Return `count` whole HTTP requests, no two alike; `run` tells one call's ids from another's.

    Bots and instruments take turns. `prefix` comes before the signed path.
    """
    orders = _orders(host, prefix, run, bots)
    return [order for order, _ in zip(orders, range(count), strict=False)]


def _orders(host: str, prefix: str, run: str, bots: Sequence[Bot]) -> Iterator[bytes]:
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03d}Z"
    number = 0
    while True:
        bot = bots[number % len(bots)]
        body = _body(INSTRUMENTS[number % len(INSTRUMENTS)], f"{run}x{number:08d}")
        yield _request(bot, stamp, body, host, prefix)
        number += 1


def _body(instrument: str, client_order_id: str) -> str:
    """An order of exactly BODY_BYTES; the client order id is filled up with zeros."""
    start = (
        f'{{"instId":"{instrument}","tdMode":"cross","side":"buy","ordType":"limit",'
        f'"px":"43251.7","sz":"0.01","posSide":"net","tag":"6b9ad766b55dBCDE","clOrdId":"'
    )
    room = BODY_BYTES - len(start) - len('"}')
    return f'{start}{client_order_id.rjust(room, "0")}"}}'


def _request(bot: Bot, stamp: str, body: str, host: str, prefix: str) -> bytes:
    signed = hmac.digest(bot.secret.encode(), f"{stamp}POST{PATH}{body}".encode(), "sha256")
    return (
        f"POST {prefix}{PATH} HTTP/1.1\r\n"
        f"Host: {host}\r\n"
        "User-Agent: python-requests/2.34.2\r\n"
        "Accept-Encoding: gzip, deflate\r\n"
        "Accept: */*\r\n"
        "Content-Type: application/json\r\n"
        f"OK-ACCESS-KEY: {bot.api_key}\r\n"
        f"OK-ACCESS-SIGN: {base64.b64encode(signed).decode()}\r\n"
        f"OK-ACCESS-TIMESTAMP: {stamp}\r\n"
        f"OK-ACCESS-PASSPHRASE: {bot.passphrase}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"\r\n{body}"
    ).encode()
