"""What a bot does at OKX: an order, its signature, and texts to paste."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from proxy.sim.exchange import MAIN, Paste, Sample, Signed
from proxy.sim.okx.signature import signature

if TYPE_CHECKING:
    from proxy.sim.exchange import Holder

_ORDER: Final = {
    "instId": "BTC-USDT",
    "tdMode": "cash",
    "side": "buy",
    "ordType": "limit",
    "px": "40000",
    "sz": "0.01",
    "tag": "6b9ad766b55dBCDE",  # what ccxt puts on orders
}
_SWAP: Final = _ORDER | {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "sz": "1"}
SAMPLES: Final = tuple(
    Sample(MAIN, "POST", "/api/v5/trade/order", json.dumps(order).encode(), {})
    for order in (_ORDER, _SWAP)
)

# Ready to paste: needs Python and nothing else.
_PLAIN: Final = """\
python3 - <<'EOF'
import base64, hashlib, hmac, http.client, json
from datetime import datetime, timezone
path = "/api/v5/trade/order"
body = json.dumps({{"instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "limit",
                   "px": "40000", "sz": "0.01", "tag": "someoneElse"}})
now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
sign = hmac.new(b{secret!r}, (now + "POST" + path + body).encode(), hashlib.sha256)
bot = http.client.HTTPConnection({host!r}, {port})
bot.request("POST", {prefix!r} + path, body, {{
    "OK-ACCESS-KEY": {api_key!r},
    "OK-ACCESS-PASSPHRASE": {passphrase!r},
    "OK-ACCESS-TIMESTAMP": now,
    "OK-ACCESS-SIGN": base64.b64encode(sign.digest()).decode(),
    "Content-Type": "application/json"}})
print(bot.getresponse().read().decode())
EOF
"""
_CCXT: Final = """\
import ccxt
okx = ccxt.okx({{"apiKey": {api_key!r}, "secret": {secret!r}, "password": {passphrase!r}}})
okx.urls["api"]["rest"] = {base!r}
print(okx.create_order("BTC/USDT", "limit", "buy", 0.01, 40000))
"""


def signed(holder: Holder, sample: Sample, wall_ms: int) -> Signed:
    """Sign a request with the keys of `holder`."""
    moment = datetime.fromtimestamp(wall_ms / 1000, UTC)
    stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    headers = {
        **sample.headers,
        "OK-ACCESS-KEY": holder.api_key,
        "OK-ACCESS-SIGN": signature(
            holder.secret, stamp, sample.method, sample.target, sample.body
        ),
        "OK-ACCESS-TIMESTAMP": stamp,
        "OK-ACCESS-PASSPHRASE": holder.passphrase,
        "Content-Type": "application/json",
    }
    if holder.demo:
        headers["x-simulated-trading"] = "1"
    return Signed(sample.target, headers, sample.body)


def pastes(base_url: str, holder: Holder) -> tuple[Paste, ...]:
    """Return texts to paste that place an order at `base_url`."""
    url = urlsplit(base_url)
    words = {
        "base": base_url,
        "host": url.hostname,
        "port": url.port,
        "prefix": url.path,
        "api_key": holder.api_key,
        "secret": holder.secret,
        "passphrase": holder.passphrase,
    }
    return (
        Paste("spot, Python and nothing else", _PLAIN.format(**words)),
        Paste("spot, ccxt", _CCXT.format(**words)),
    )
