"""A bot of MEXC, spot and futures, as a customer would write one."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any, ClassVar, Final, final
from urllib.parse import parse_qsl, quote, urlencode

from tests.e2e.bot import Answered, Caller, Signed, Triple, next_ms

ORDER_PATH: Final = "/api/v3/order"
ORDER: Final = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "quantity": "0.001",
    "price": "40000",
}
FUTURES_ORDER_PATH: Final = "/api/v1/private/order/create"
FUTURES_ORDER: Final = {
    "symbol": "BTC_USDT",
    "side": 1,
    "type": 1,
    "openType": 2,
    "vol": 10,
    "price": 40000,
    "leverage": 20,
}
FOREIGN_SOURCE: Final = "CCXT"
_FUTURES: Final = "/api/v1/"


@final
@dataclass(frozen=True)
class MexcBot(Caller):
    """Knows by the path whether a call is futures'.

    Spot parameters travel in the query, or in a `k=v` body when there is one (bytes); a JSON body
    (anything else) is signed with the query before it. `source` "" sends none.
    """

    source: str = FOREIGN_SOURCE
    recv_window: str = ""
    ASKS: ClassVar = "/api/v3/account"

    def signed(
        self, method: str, target: str, body: bytes = b"", *, now_ms: int | None = None
    ) -> Signed:
        now = str(now_ms or next_ms())
        headers = {"Content-Type": "application/json"}
        if self.source:
            headers["source"] = self.source
        if target.startswith(_FUTURES):
            return self._futures(method, target, body, now, headers)
        headers["X-MEXC-APIKEY"] = self.triple.api_key
        path, _, query = target.partition("?")
        times = f"timestamp={now}"
        if self.recv_window:
            times = f"recvWindow={self.recv_window}&{times}"
        if body and not body.startswith((b"{", b"[")):
            body += f"&{times}".encode()
            mac = self._mac(query.encode() + body)
            target = f"{path}?{query}" if query else path
            return Signed(target, headers, body + b"&signature=" + mac.encode())
        query = f"{query}&{times}" if query else times
        mac = self._mac(query.encode() + body)
        return Signed(f"{path}?{query}&signature={mac}", headers, body)

    def _futures(
        self, method: str, target: str, body: bytes, now: str, headers: dict[str, str]
    ) -> Signed:
        said = body
        if method != "POST":
            pairs = sorted(parse_qsl(target.partition("?")[2], keep_blank_values=True))
            said = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs).encode()
        headers |= {
            "ApiKey": self.triple.api_key,
            "Request-Time": now,
            "Signature": self._mac(f"{self.triple.api_key}{now}".encode() + said),
        }
        return Signed(target, headers, body)

    def _mac(self, message: bytes) -> str:
        return hmac.new(self.triple.secret.encode(), message, hashlib.sha256).hexdigest()

    def order(self, **changes: Any) -> Answered:
        return self.call("POST", f"{ORDER_PATH}?{spot_query(**changes)}")

    def order_in_body(self, **changes: Any) -> Answered:
        """Place the same order with everything in a `k=v` body, which is labelled JSON."""
        return self.call("POST", ORDER_PATH, spot_query(**changes).encode())

    def futures_order(self, **changes: Any) -> Answered:
        """Place a limit order for contracts that will be accepted."""
        return self.call("POST", FUTURES_ORDER_PATH, FUTURES_ORDER | changes)

    def batch(self, *orders: dict[str, Any]) -> Answered:
        """Place several orders at once."""
        text = quote(json.dumps(orders, separators=(",", ":")), safe="")
        return self.call("POST", f"/api/v3/batchOrders?batchOrders={text}")

    @staticmethod
    def fresh() -> Triple:
        return Triple(f"mx0v{secrets.token_hex(7)}", secrets.token_hex(16))


def spot_query(**changes: Any) -> str:
    """Return a spot order as parameters."""
    return urlencode(ORDER | changes, quote_via=quote)
