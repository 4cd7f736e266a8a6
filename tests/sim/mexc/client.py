"""A client of the simulated MEXC that signs as its documentation says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, final
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from proxy.sim.mexc import User
from proxy.sim.mexc.signature import futures_signature, sorted_parameters, spot_signature
from tests.sim.client import Answered, HandClock

ALL = "read,trade,withdraw,transfer,admin"
BOT = User("mx0vBOT", "bot-secret", "100", perm=ALL)
OTHER = User("mx0vOTHER", "other-secret", "200")
READER = User("mx0vREADER", "s", "300", perm="read")
BOUND = User("mx0vBOUND", "s", "400", ips="203.0.113.7")
BROKER = User("mx0vBROKER", "s", "500", perm=ALL)
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": "40000"}
CONTRACTS = {
    "symbol": "BTC_USDT",
    "side": 1,
    "type": 1,
    "openType": 2,
    "vol": 10,
    "price": 40000,
    "leverage": 20,
}
JSON = {"Content-Type": "application/json"}


@final
@dataclass
class Client:
    """Talks to the simulator; every part of a request can be spoilt."""

    session: aiohttp.ClientSession
    clock: HandClock
    base: str

    async def spot(
        self,
        method: str,
        path: str,
        said: dict[str, Any] | None = None,
        *,
        user: User = BOT,
        headers: dict[str, str] | None = None,
    ) -> Answered:
        """A signed spot call with everything in its query."""
        asked = (said or {}) | {"timestamp": self.clock.wall_ms()}
        query = urlencode(asked, quote_via=quote)
        target = f"/api/v3/{path}?{query}&signature={spot_signature(user.secret, query.encode())}"
        named = {"X-MEXC-APIKEY": user.api_key} | ({} if method == "GET" else JSON)
        return await self.send(method, target, b"", named | (headers or {}))

    async def futures(
        self,
        method: str,
        path: str,
        content: Any = None,
        *,
        user: User = BOT,
        headers: dict[str, str] | None = None,
    ) -> Answered:
        """A signed futures call: `content` is a POST's JSON, else the query's parameters."""
        stamp = str(self.clock.wall_ms())
        target, body = f"/api/v1/private/{path}", b""
        if method == "POST":
            body = signed = b"" if content is None else json.dumps(content).encode()
        else:
            signed = sorted_parameters(
                [(key, str(value)) for key, value in (content or {}).items()]
            )
            target += f"?{signed.decode()}" if signed else ""
        named = {
            "ApiKey": user.api_key,
            "Request-Time": stamp,
            "Signature": futures_signature(user.secret, user.api_key, stamp, signed),
        }
        return await self.send(method, target, body, named | JSON | (headers or {}))

    async def public(self, target: str) -> Answered:
        """An unsigned read."""
        return await self.send("GET", target, b"", {})

    async def send(
        self, method: str, target: str, body: bytes, headers: dict[str, str]
    ) -> Answered:
        """Send exactly this."""
        async with self.session.request(
            method,
            URL(self.base + target, encoded=True),
            data=body or None,
            headers=headers,
            skip_auto_headers=[] if "Content-Type" in headers else ["Content-Type"],
        ) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            return Answered(answer.status, json.loads(text) if is_json else text)

    async def sim(self, method: str, name: str, content: Any = None) -> Any:
        """Use the back door."""
        async with self.session.request(method, f"{self.base}/sim/{name}", json=content) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()
