"""Bots as customers would write them: they sign, and know only their base URL and their key.

`Bot` is one of OKX; `mexc_bot` and `kucoin_bot` have those of the others. They share no code with
the proxy; `hmac` and `http.client` are all they need.
"""

from __future__ import annotations

import abc
import base64
import hashlib
import hmac
import http.client
import json
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple, final
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


def next_ms() -> int:
    """Return the time, never the same twice: equal orders must not have equal signatures."""
    _signed_ms[0] = max(_signed_ms[0] + 1, time.time_ns() // 1_000_000)
    return _signed_ms[0]


@final
@dataclass(frozen=True)
class Triple:
    api_key: str
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)  # "" where the exchange has none

    def as_json(self) -> str:
        triple = {"api_key": self.api_key, "secret": self.secret}
        return json.dumps(triple | ({"passphrase": self.passphrase} if self.passphrase else {}))


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


class Signed(NamedTuple):
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Caller(abc.ABC):
    """What every bot can do. `base_url` is what a user would configure, a venue's if need be,
    e.g. http://127.0.0.1:8080/okx"""

    base_url: str
    triple: Triple
    ASKS: ClassVar[str]  # the target of a read that only a known key may do

    @abc.abstractmethod
    def signed(
        self, method: str, target: str, body: bytes = b"", *, now_ms: int | None = None
    ) -> Signed:
        """Sign a request as the exchange wants it."""

    @abc.abstractmethod
    def order(self, **changes: Any) -> Answered:
        """Place a limit order that will be accepted, carrying somebody else's code."""

    @staticmethod
    @abc.abstractmethod
    def fresh() -> Triple:
        """Return a key in the exchange's own form that nobody knows yet."""

    def headers(
        self, method: str, target: str, body: bytes = b"", *, now_ms: int | None = None
    ) -> dict[str, str]:
        """Return the headers of a signed request."""
        return self.signed(method, target, body, now_ms=now_ms).headers

    def call(
        self,
        method: str,
        target: str,
        content: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        now_ms: int | None = None,
        timeout_s: float = 12,
    ) -> Answered:
        """Send one request on a connection of its own and wait for the answer (blocking).

        `content` is bytes, or what is to be JSON; `headers` replace those of the signature.
        """
        signed = self.signed(method, target, encoded(content), now_ms=now_ms)
        url = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(
            url.hostname or "", url.port or 80, timeout=timeout_s
        )
        try:
            connection.request(
                method,
                url.path + signed.target,
                signed.body or None,
                signed.headers | dict(headers or {}),
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
        signed = self.signed(method, target, encoded(content))
        async with session.request(
            method,
            URL(self.base_url + signed.target, encoded=True),
            data=signed.body or None,
            headers=signed.headers | dict(headers or {}),
        ) as answer:
            names = {name.lower(): value for name, value in answer.headers.items()}
            return Answered(answer.status, names, await answer.read())


@final
@dataclass(frozen=True)
class Bot(Caller):
    """A bot of OKX."""

    ASKS: ClassVar = "/api/v5/account/config"

    def signed(
        self, method: str, target: str, body: bytes = b"", *, now_ms: int | None = None
    ) -> Signed:
        moment = datetime.fromtimestamp((now_ms or next_ms()) / 1000, UTC)
        stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = f"{stamp}{method}{target}".encode() + body
        mac = hmac.new(self.triple.secret.encode(), message, hashlib.sha256).digest()
        headers = {
            "OK-ACCESS-KEY": self.triple.api_key,
            "OK-ACCESS-SIGN": base64.b64encode(mac).decode(),
            "OK-ACCESS-TIMESTAMP": stamp,
            "OK-ACCESS-PASSPHRASE": self.triple.passphrase,
            "Content-Type": "application/json",
        }
        return Signed(target, headers, body)

    def order(self, **changes: Any) -> Answered:
        return self.call("POST", "/api/v5/trade/order", ORDER | {"tag": FOREIGN_TAG} | changes)

    @staticmethod
    def fresh() -> Triple:
        secret, passphrase = secrets.token_hex(16).upper(), f"Real-{secrets.token_hex(8)}"
        return Triple(str(uuid.uuid4()), secret, passphrase)


def encoded(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    return b"" if content is None else json.dumps(content).encode()
