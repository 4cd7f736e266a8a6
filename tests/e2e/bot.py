"""A bot as a customer would write one: signs for OKX, knows only its base URL and its key.

Shares no code with the proxy; `hmac` and `http.client` are all it needs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

ORDER = {
    "instId": "BTC-USDT",
    "tdMode": "cash",
    "side": "buy",
    "ordType": "limit",
    "px": "40000",
    "sz": "0.001",
}
FOREIGN_TAG = "6b9ad766b55dBCDE"  # ccxt's


_signed_ms = [0]


def _next_ms() -> int:
    """Return the time, never the same twice: equal orders must not have equal signatures."""
    _signed_ms[0] = max(_signed_ms[0] + 1, time.time_ns() // 1_000_000)
    return _signed_ms[0]


@final
@dataclass(frozen=True)
class Triple:
    api_key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)

    def as_json(self) -> str:
        return json.dumps(
            {"api_key": self.api_key, "secret": self.secret, "passphrase": self.passphrase}
        )


@final
@dataclass(frozen=True)
class Answered:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.content["code"])

    @property
    def slug(self) -> str:
        """Why the proxy refused; "" when it did not."""
        return self.headers.get("x-tagproxy-error", "")


@final
@dataclass(frozen=True)
class Bot:
    """`base_url` is what a user would configure, e.g. http://127.0.0.1:8080/okx"""

    base_url: str
    triple: Triple

    def headers(
        self, method: str, target: str, body: bytes = b"", *, now_ms: int | None = None
    ) -> dict[str, str]:
        moment = datetime.fromtimestamp((now_ms or _next_ms()) / 1000, UTC)
        stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = f"{stamp}{method}{target}".encode() + body
        mac = hmac.new(self.triple.secret.encode(), message, hashlib.sha256).digest()
        return {
            "OK-ACCESS-KEY": self.triple.api_key,
            "OK-ACCESS-SIGN": base64.b64encode(mac).decode(),
            "OK-ACCESS-TIMESTAMP": stamp,
            "OK-ACCESS-PASSPHRASE": self.triple.passphrase,
            "Content-Type": "application/json",
        }

    def call(
        self,
        method: str,
        target: str,
        content: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 12,
    ) -> Answered:
        """Send one request on a connection of its own and wait for the answer (blocking)."""
        body = encoded(content)
        url = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(
            url.hostname or "", url.port or 80, timeout=timeout_s
        )
        try:
            connection.request(
                method,
                url.path + target,
                body or None,
                self.headers(method, target, body) | dict(headers or {}),
            )
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, names, answer.read())
        finally:
            connection.close()

    async def send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        target: str,
        content: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """Send one request in a session that keeps its connections."""
        body = encoded(content)
        async with session.request(
            method,
            URL(self.base_url + target, encoded=True),
            data=body or None,
            headers=self.headers(method, target, body) | dict(headers or {}),
        ) as answer:
            names = {name.lower(): value for name, value in answer.headers.items()}
            return Answered(answer.status, names, await answer.read())

    def order(self, **changes: Any) -> Answered:
        """Place a limit order that will be accepted, carrying somebody else's code."""
        return self.call("POST", "/api/v5/trade/order", ORDER | {"tag": FOREIGN_TAG} | changes)


def encoded(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    return b"" if content is None else json.dumps(content).encode()
