"""A client of the simulated OKX that signs as its documentation says, and a clock for both."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, final

import aiohttp
from yarl import URL

from proxy.sim.okx import SimulatedOkx, User
from proxy.sim.okx.signature import signature

LIVE = User("11111111-2222-3333-4444-555555555555", "live-secret", "live-pass", "100")
DEMO = User("66666666-2222-3333-4444-555555555555", "demo-secret", "demo-pass", "100", demo=True)
READER = User("77777777-2222-3333-4444-555555555555", "s", "p", "300", perm="read_only")
BOUND = User("88888888-2222-3333-4444-555555555555", "s", "p", "400", ips="203.0.113.7")
ORDER = {
    "instId": "BTC-USDT",
    "tdMode": "cash",
    "side": "buy",
    "ordType": "limit",
    "px": "40000",
    "sz": "0.01",
}
START_MS = 1_700_000_000_000


@final
@dataclass
class HandClock:
    """A clock that moves only when told."""

    now_ns: int = 5_000_000_000
    started_ns: int = field(default=5_000_000_000)

    def monotonic_ns(self) -> int:
        return self.now_ns

    def wall_ms(self) -> int:
        return START_MS + (self.now_ns - self.started_ns) // 1_000_000

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@final
@dataclass
class Answered:
    status: int
    content: Any

    @property
    def code(self) -> str:
        return str(self.content["code"])

    @property
    def item_codes(self) -> list[str]:
        return [item["sCode"] for item in self.content["data"]]


@final
@dataclass
class Client:
    """Talks to the simulator; every part of the signature can be spoilt."""

    session: aiohttp.ClientSession
    clock: HandClock
    base: str

    def headers(
        self, method: str, target: str, body: bytes, user: User = LIVE, age_ms: int = 0
    ) -> dict[str, str]:
        moment = datetime.fromtimestamp((self.clock.wall_ms() - age_ms) / 1000, UTC)
        stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
        return {
            "OK-ACCESS-KEY": user.api_key,
            "OK-ACCESS-SIGN": signature(user.secret, stamp, method, target, body),
            "OK-ACCESS-TIMESTAMP": stamp,
            "OK-ACCESS-PASSPHRASE": user.passphrase,
            "Content-Type": "application/json",
        }

    async def call(
        self,
        method: str,
        target: str,
        content: Any = None,
        *,
        user: User = LIVE,
        age_ms: int = 0,
        change: Mapping[str, str | None] | None = None,
    ) -> Answered:
        target = f"/api/v5/{target}"
        body = content if isinstance(content, bytes) else _json(content)
        headers = self.headers(method, target, body, user, age_ms)
        for name, value in (change or {}).items():
            headers.pop(name, None)
            if value is not None:
                headers[name] = value
        return await self.send(method, target, body, headers)

    async def send(
        self, method: str, target: str, body: bytes, headers: dict[str, str]
    ) -> Answered:
        skip = ["Content-Type"] if "Content-Type" not in headers else []
        async with self.session.request(
            method,
            URL(self.base + target, encoded=True),
            data=body or None,
            headers=headers,
            skip_auto_headers=skip,
        ) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            return Answered(answer.status, json.loads(text) if is_json else text)

    async def sim(self, method: str, name: str, content: Any = None) -> Any:
        async with self.session.request(method, f"{self.base}/sim/{name}", json=content) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@contextlib.asynccontextmanager
async def connected(exchange: SimulatedOkx, clock: HandClock, source: str) -> AsyncIterator[Client]:
    """A client whose connections come from this local address."""
    host, port = exchange.address
    connector = aiohttp.TCPConnector(local_addr=(source, 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Client(session, clock, f"http://{host}:{port}")


def _json(content: Any) -> bytes:
    return b"" if content is None else json.dumps(content).encode()
