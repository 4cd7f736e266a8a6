"""Hand-written stand-ins for what lies round the pipeline: clock, connections, accounts."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from proxy.errors import UpstreamError, UpstreamTimeout
from proxy.exchanges.mac import Mac
from proxy.model import Credentials, Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable

NOW_MS = 1_790_000_000_000
KEY = b"11111111-2222-3333-4444-555555555555"
SECRET = b"0123456789ABCDEF0123456789ABCDEF"
PASSPHRASE = b"Passw0rd!"
REAL_KEY = b"99999999-2222-3333-4444-555555555555"
REAL_SECRET = b"FEDCBA9876543210FEDCBA9876543210"
REAL_PASSPHRASE = b"RealPassw0rd!"
ACCEPTED = b'{"code":"0","msg":"","data":[{"ordId":"42","clOrdId":"","sCode":"0","sMsg":""}]}'


class FakeClock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000_000

    def monotonic_ns(self) -> int:
        return self.ns

    def wall_ms(self) -> int:
        return NOW_MS + (self.ns - 1_000_000_000_000) // 1_000_000

    def advance_ms(self, ms: int) -> None:
        self.ns += ms * 1_000_000


class FakeConnection:
    """Answers what the script says next, at once; without a script it accepts every order."""

    def __init__(self, pool: FakeConnections) -> None:
        self._pool = pool

    def give_back(self) -> None:
        self._pool.free += 1

    def send(
        self,
        data: bytes,
        method: bytes,
        deadline_ns: int,
        done: Callable[[Response | None, UpstreamError | None], None],
    ) -> None:
        step = self._pool.script.pop(0) if self._pool.script else respond()
        if not (isinstance(step, UpstreamError) and not step.sent):
            self._pool.sent.append(data)
        if callable(step):
            self._pool.held.append(done)
            step()
            return
        self._pool.free += 1
        if isinstance(step, Response):
            done(step, None)
        else:
            done(None, step)


class FakeConnections:
    """A pool whose connections play a script of answers and errors."""

    def __init__(self, *script: Any) -> None:
        self.script: list[Any] = list(script)
        self.sent: list[bytes] = []
        self.held: list[Any] = []
        self.free = 4
        self.refused: UpstreamError | None = None
        self.fresh_ones = 0
        self.least_rtt_ns = 0

    def take(self) -> FakeConnection | None:
        if self.free == 0:
            return None
        self.free -= 1
        return FakeConnection(self)

    async def ready(self, until_ns: int) -> None:
        raise self.refused or UpstreamTimeout("no connection in time", sent=False)

    async def fresh(self, until_ns: int) -> None:
        self.fresh_ones += 1


def respond(status: int = 200, body: bytes = ACCEPTED, *headers: tuple[bytes, bytes]) -> Response:
    """An answer of the exchange."""
    return Response(
        status, [(b"content-type", b"application/json"), *headers], body, keep_alive=True
    )


def credentials(key: bytes, secret: bytes, passphrase: bytes) -> Credentials:
    return Credentials(key, Mac(secret), passphrase)


def kucoin_request(
    method: bytes,
    target: bytes,
    body: bytes = b"",
    *,
    prefix: bytes = b"/kucoin",
    clock: FakeClock,
    at_ms: int | None = None,
    secret: bytes = SECRET,
    headers: dict[bytes, bytes] | None = None,
) -> Request:
    """A request as a KuCoin client would sign it: what partners add, no signature covers."""
    stamp = b"%d" % (clock.wall_ms() if at_ms is None else at_ms)
    named = {
        b"content-type": b"application/json",
        b"kc-api-key": KEY,
        b"kc-api-sign": _sealed(secret, stamp + method + target + body),
        b"kc-api-timestamp": stamp,
        b"kc-api-passphrase": _sealed(secret, PASSPHRASE),
        b"kc-api-key-version": b"2",
        **(headers or {}),
    }
    request = Request(
        method, prefix + target, named, ip_address("127.0.0.1"), clock.monotonic_ns(), "127.0.0.1"
    )
    request.body = body
    return request


def _sealed(secret: bytes, message: bytes) -> bytes:
    return base64.b64encode(hmac.new(secret, message, hashlib.sha256).digest())


def mexc_request(
    method: bytes,
    path: bytes,
    parameters: bytes,
    *,
    in_body: bool = False,
    clock: FakeClock,
    at_ms: int | None = None,
    secret: bytes = SECRET,
    headers: dict[bytes, bytes] | None = None,
) -> Request:
    """A request as a client of MEXC spot would sign it, with everything in the query or in the
    body, time and signature too."""
    stamp = clock.wall_ms() if at_ms is None else at_ms
    whole = parameters + (b"&" if parameters else b"") + b"timestamp=%d" % stamp
    whole += b"&signature=" + hmac.new(secret, whole, hashlib.sha256).hexdigest().encode()
    target = b"/mexc" + path + (b"" if in_body else b"?" + whole)
    named = {b"x-mexc-apikey": KEY, b"content-type": b"application/json", **(headers or {})}
    request = Request(
        method, target, named, ip_address("127.0.0.1"), clock.monotonic_ns(), "127.0.0.1"
    )
    request.body = whole if in_body else b""
    return request


def iso(ms: int) -> bytes:
    """OKX's timestamp."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S").encode() + b".%03dZ" % (ms % 1000)


def signed_request(
    method: bytes,
    target: bytes,
    body: bytes = b"",
    *,
    prefix: bytes = b"/okx",
    clock: FakeClock,
    at_ms: int | None = None,
    key: bytes = KEY,
    secret: bytes = SECRET,
    passphrase: bytes = PASSPHRASE,
    headers: dict[bytes, bytes] | None = None,
    source: str = "127.0.0.1",
) -> Request:
    """A request as an OKX client would sign it. OKX API v5, "Signature"."""
    stamp = iso(clock.wall_ms() if at_ms is None else at_ms)
    mac = hmac.new(secret, stamp + method + target + body, hashlib.sha256).digest()
    named = {
        b"host": b"proxy",
        b"content-type": b"application/json",
        b"user-agent": b"a bot",
        b"ok-access-key": key,
        b"ok-access-sign": base64.b64encode(mac),
        b"ok-access-timestamp": stamp,
        b"ok-access-passphrase": passphrase,
        **(headers or {}),
    }
    request = Request(
        method, prefix + target, named, ip_address(source), clock.monotonic_ns(), source
    )
    request.body = body
    return request
