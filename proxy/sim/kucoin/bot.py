"""What a bot does at KuCoin: orders, their signature, and texts to paste."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from proxy.sim.exchange import Paste, Sample, Signed
from proxy.sim.kucoin.signature import sealed_passphrase, signature
from proxy.sim.kucoin.table import FUTURES, MAIN

if TYPE_CHECKING:
    from proxy.sim.exchange import Holder

_SPOT: Final = {
    "symbol": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "40000",
    "size": "0.01",
}
_FUTURES: Final = {
    "symbol": "XBTUSDTM",
    "side": "buy",
    "type": "limit",
    "leverage": 1,
    "price": "40000",
    "size": 1,
}
# What ccxt puts on every signed call; a signature of somebody else's key says nothing here.
_FOREIGN: Final = {
    MAIN: {"KC-API-PARTNER": "ccxt", "KC-API-PARTNER-SIGN": "c29tZWJvZHkgZWxzZSdz"},
    FUTURES: {"KC-API-PARTNER": "ccxtfutures", "KC-API-PARTNER-SIGN": "c29tZWJvZHkgZWxzZSdz"},
}

# Ready to paste: needs Python and nothing else.
_PLAIN: Final = """\
python3 - <<'EOF'
import base64, hashlib, hmac, http.client, json, time, uuid
def mac(text):
    return base64.b64encode(hmac.new(b{secret!r}, text.encode(), hashlib.sha256).digest()).decode()
path = {path!r}
body = json.dumps({{**{order!r}, "clientOid": str(uuid.uuid4())}})
now = str(int(time.time() * 1000))
bot = http.client.{connection}({host!r}, {port})
bot.request("POST", {prefix!r} + path, body, {{
    "KC-API-KEY": {api_key!r},
    "KC-API-PASSPHRASE": mac({passphrase!r}),
    "KC-API-TIMESTAMP": now,
    "KC-API-SIGN": mac(now + "POST" + path + body),
    "KC-API-KEY-VERSION": "3",
    "KC-API-PARTNER": "someoneElse",
    "Content-Type": "application/json"}})
print(bot.getresponse().read().decode())
EOF
"""
_CCXT: Final = """\
import ccxt
kucoin = ccxt.kucoin({{"apiKey": {api_key!r}, "secret": {secret!r}, "password": {passphrase!r}}})
for name in ("public", "private", "broker", "earn", "uta", "utaPrivate"):
    kucoin.urls["api"][name] = {base!r}
for name in ("futuresPublic", "futuresPrivate"):
    kucoin.urls["api"][name] = {futures_base!r}
print(kucoin.create_order({symbol!r}, "limit", "buy", {size}, 40000))
"""


def samples() -> tuple[Sample, ...]:
    """Return a spot and a futures order, each under a clientOid that was never used."""
    orders = ((MAIN, "/api/v1/hf/orders", _SPOT), (FUTURES, "/api/v1/orders", _FUTURES))
    return tuple(
        Sample(
            venue,
            "POST",
            path,
            json.dumps(order | {"clientOid": str(uuid.uuid4())}).encode(),
            {**_FOREIGN[venue], "KC-API-PARTNER-VERIFY": "true"},
        )
        for venue, path, order in orders
    )


def signed(
    holder: Holder, sample: Sample, wall_ms: int, *, version: str = "3", sealed: bool = True
) -> Signed:
    """Sign a request with the keys of `holder`.

    `version` "" sends no KC-API-KEY-VERSION; not `sealed` sends the passphrase in clear text, as
    some clients still do.
    """
    stamp = str(wall_ms)
    secret, passphrase = holder.secret, holder.passphrase
    headers = {
        **sample.headers,
        "KC-API-KEY": holder.api_key,
        "KC-API-SIGN": signature(secret, stamp, sample.method, sample.target, sample.body),
        "KC-API-TIMESTAMP": stamp,
        "KC-API-PASSPHRASE": sealed_passphrase(secret, passphrase) if sealed else passphrase,
    }
    if version:
        headers["KC-API-KEY-VERSION"] = version
    if sample.body:
        headers["Content-Type"] = "application/json"
    return Signed(sample.target, headers, sample.body)


def pastes(base_url: str, holder: Holder) -> tuple[Paste, ...]:
    """Return texts to paste that place orders at `base_url`, the venues below it."""
    texts: list[Paste] = []
    for title, path, order, base in (
        ("spot", "/api/v1/hf/orders", _SPOT, base_url),
        ("futures", "/api/v1/orders", _FUTURES, f"{base_url}/{FUTURES}"),
    ):
        url = urlsplit(base)
        words = {
            "connection": "HTTPSConnection" if url.scheme == "https" else "HTTPConnection",
            "host": url.hostname,
            "port": url.port,
            "prefix": url.path,
            "path": path,
            "order": order,
            "base": base_url,
            "futures_base": f"{base_url}/{FUTURES}",
            "symbol": "BTC/USDT" if title == "spot" else "BTC/USDT:USDT",
            "size": order["size"],
            "api_key": holder.api_key,
            "secret": holder.secret,
            "passphrase": holder.passphrase,
        }
        texts.append(Paste(f"{title}, Python and nothing else", _PLAIN.format(**words)))
        texts.append(Paste(f"{title}, ccxt", _CCXT.format(**words)))
    return tuple(texts)
