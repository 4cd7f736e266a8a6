"""A client of the simulated KuCoin; every part of what it signs can be spoilt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final
from urllib.parse import unquote

import aiohttp
from yarl import URL

from proxy.sim.kucoin import SimulatedKucoin, User
from proxy.sim.kucoin.desk import DEMO_PARTNERS
from proxy.sim.kucoin.signature import partner_signature, sealed_passphrase, signature
from tests.sim.client import HandClock

LIVE: Final = User("6422da9c97b45100018c6e62", "cde06451-dbed", "1111111", "100")
READER: Final = User("6422da9c97b45100018c6e63", "s", "p", "300", perm="General")
BOUND: Final = User("6422da9c97b45100018c6e64", "s", "p", "400", ips="203.0.113.7,203.0.113.8")
RICH: Final = User(
    "6422da9c97b45100018c6e65", "s", "p", "500", perm="General,Spot,Withdraw,Transfer,Earn"
)
ORDER: Final = {
    "symbol": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "40000",
    "size": "0.01",
    "clientOid": "one",
}
CONTRACT_ORDER: Final = {
    "symbol": "XBTUSDTM",
    "side": "buy",
    "type": "limit",
    "leverage": 3,
    "price": "40000",
    "size": 2,
    "clientOid": "one",
}
RATE: Final = ("gw-ratelimit-limit", "gw-ratelimit-remaining", "gw-ratelimit-reset")


@final
@dataclass
class Answered:
    status: int
    content: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        return str(self.content["code"])

    @property
    def data(self) -> Any:
        assert self.code == "200000", self.content
        return self.content["data"]

    @property
    def rate(self) -> tuple[int, ...]:
        """Limit, remaining, reset; empty when the answer does not tell."""
        return tuple(int(self.headers[name]) for name in RATE if name in self.headers)


@final
@dataclass
class Client:
    session: aiohttp.ClientSession
    clock: HandClock
    exchange: SimulatedKucoin

    def headers(
        self, method: str, target: str, body: bytes, user: User = LIVE, age_ms: int = 0
    ) -> dict[str, str]:
        stamp = str(self.clock.wall_ms() - age_ms)
        signed = signature(user.secret, stamp, method, unquote(target), body)
        return {
            "KC-API-KEY": user.api_key,
            "KC-API-SIGN": signed,
            "KC-API-TIMESTAMP": stamp,
            "KC-API-PASSPHRASE": sealed_passphrase(user.secret, user.passphrase),
            "KC-API-KEY-VERSION": "3",
            **({"Content-Type": "application/json"} if body else {}),
        }

    def partner(
        self, venue: str = "main", user: User = LIVE, *, verify: bool = True, age_ms: int = 0
    ) -> dict[str, str | None]:
        partner = DEMO_PARTNERS[venue]
        stamp = str(self.clock.wall_ms() - age_ms)
        return {
            "KC-API-PARTNER": partner.id,
            "KC-API-PARTNER-SIGN": partner_signature(partner.key, stamp, partner.id, user.api_key),
            "KC-BROKER-NAME": partner.name,
            **({"KC-API-PARTNER-VERIFY": "true"} if verify else {}),
        }

    async def call(
        self,
        method: str,
        target: str,
        content: Any = None,
        *,
        venue: str = "main",
        user: User = LIVE,
        age_ms: int = 0,
        change: Mapping[str, str | None] | None = None,
    ) -> Answered:
        body = content if isinstance(content, bytes) else _json(content)
        headers = self.headers(method, target, body, user, age_ms)
        for name, value in (change or {}).items():
            headers.pop(name, None)
            if value is not None:
                headers[name] = value
        return await self.send(method, target, body, headers, venue)

    async def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        venue: str = "main",
    ) -> Answered:
        headers = headers or {}
        skip = [] if "Content-Type" in headers else ["Content-Type"]
        async with self.session.request(
            method,
            URL(self.base(venue) + target, encoded=True),
            data=body or None,
            headers=headers,
            skip_auto_headers=skip,
        ) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            return Answered(answer.status, json.loads(text) if is_json else text, answer.headers)

    async def sim(self, method: str, name: str, content: Any = None) -> Any:
        url = f"{self.base('main')}/sim/{name}"
        async with self.session.request(method, url, json=content) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    def base(self, venue: str) -> str:
        host, port = self.exchange.addresses[venue]
        return f"http://{host}:{port}"


def _json(content: Any) -> bytes:
    return b"" if content is None else json.dumps(content).encode()
