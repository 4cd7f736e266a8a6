"""What a bot does at MEXC: orders on spot and futures, their signatures, and texts to paste."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from proxy.sim.exchange import MAIN, Paste, Sample, Signed
from proxy.sim.mexc.signature import futures_signature, sorted_parameters, spot_signature
from proxy.sim.mexc.table import PREFIXES

if TYPE_CHECKING:
    from proxy.sim.exchange import Holder

_THEIRS: Final = {"source": "CCXT"}  # what ccxt puts on every signed call
_SPOT: Final = "/api/v3/order?symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.01&price=40000"
_FUTURES: Final = "/api/v1/private/order/create"
_CONTRACTS: Final = {
    "symbol": "BTC_USDT",
    "side": 1,
    "type": 1,
    "openType": 2,
    "vol": 10,
    "price": 40000,
    "leverage": 20,
}
SAMPLES: Final = (
    Sample(MAIN, "POST", _SPOT, b"", _THEIRS),
    Sample(MAIN, "POST", _FUTURES, json.dumps(_CONTRACTS).encode(), _THEIRS),
)

# Ready to paste: needs Python and nothing else.
_PLAIN_SPOT: Final = """\
python3 - <<'EOF'
import hashlib, hmac, http.client, time
query = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=0.01&price=40000"
query += f"&recvWindow=5000&timestamp={{time.time_ns() // 1_000_000}}"
sign = hmac.new(b{secret!r}, query.encode(), hashlib.sha256).hexdigest()
bot = http.client.HTTPConnection({host!r}, {port})
bot.request("POST", {prefix!r} + "/api/v3/order?" + query + "&signature=" + sign, headers={{
    "X-MEXC-APIKEY": {api_key!r},
    "source": "someoneElse",
    "Content-Type": "application/json"}})
print(bot.getresponse().read().decode())
EOF
"""
_PLAIN_FUTURES: Final = """\
python3 - <<'EOF'
import hashlib, hmac, http.client, json, time
body = json.dumps({{"symbol": "BTC_USDT", "side": 1, "type": 1, "openType": 2, "vol": 10,
                   "price": 40000, "leverage": 20}})
now = str(time.time_ns() // 1_000_000)
sign = hmac.new(b{secret!r}, ({api_key!r} + now + body).encode(), hashlib.sha256)
bot = http.client.HTTPConnection({host!r}, {port})
bot.request("POST", {prefix!r} + "/api/v1/private/order/create", body, {{
    "ApiKey": {api_key!r},
    "Request-Time": now,
    "Signature": sign.hexdigest(),
    "source": "someoneElse",
    "Content-Type": "application/json"}})
print(bot.getresponse().read().decode())
EOF
"""
_CCXT: Final = """\
import ccxt
mexc = ccxt.mexc({{"apiKey": {api_key!r}, "secret": {secret!r}}})
base = {base!r}
mexc.urls["api"]["spot"] = dict.fromkeys(("public", "private"), base)
mexc.urls["api"]["contract"] = {{
    "public": base + "/api/v1/contract", "private": base + "/api/v1/private"}}
"""
_CCXT_SPOT: Final = """\
print(mexc.create_order("BTC/USDT", "limit", "buy", 0.01, 40000))
"""
_CCXT_FUTURES: Final = """\
print(mexc.create_order("BTC/USDT:USDT", "limit", "buy", 10, 40000, {{"openType": 2}}))
"""


def signed(holder: Holder, sample: Sample, wall_ms: int) -> Signed:
    """Sign a request with the keys of `holder`."""
    path, _, query = sample.target.partition("?")
    headers = {**sample.headers, "Content-Type": "application/json"}
    if path.startswith(PREFIXES["futures"]):
        stamp = str(wall_ms)
        said = sample.body
        if sample.method != "POST":
            said = sorted_parameters(parse_qsl(query, keep_blank_values=True))
        headers |= {
            "ApiKey": holder.api_key,
            "Request-Time": stamp,
            "Signature": futures_signature(holder.secret, holder.api_key, stamp, said),
        }
        return Signed(sample.target, headers, sample.body)
    query += f"{'&' if query else ''}recvWindow=5000&timestamp={wall_ms}"
    mac = spot_signature(holder.secret, query.encode(), sample.body)
    headers["X-MEXC-APIKEY"] = holder.api_key
    return Signed(f"{path}?{query}&signature={mac}", headers, sample.body)


def pastes(base_url: str, holder: Holder) -> tuple[Paste, ...]:
    """Return texts to paste that place the samples at `base_url`."""
    url = urlsplit(base_url)
    words = {
        "base": base_url,
        "host": url.hostname,
        "port": url.port,
        "prefix": url.path,
        "api_key": holder.api_key,
        "secret": holder.secret,
    }
    return (
        Paste("spot, Python and nothing else", _PLAIN_SPOT.format(**words)),
        Paste("spot, ccxt", (_CCXT + _CCXT_SPOT).format(**words)),
        Paste("futures, Python and nothing else", _PLAIN_FUTURES.format(**words)),
        Paste("futures, ccxt", (_CCXT + _CCXT_FUTURES).format(**words)),
    )
