"""A bot of KuCoin, as a customer would write one; spot and futures have a base URL each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar, Final, final
from urllib.parse import unquote

from tests.e2e.bot import Answered, Caller, Signed, Triple, next_ms

ORDER_PATH: Final = "/api/v1/hf/orders"
ORDER: Final = {
    "symbol": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "40000",
    "size": "0.001",
}
FUTURES_ORDER_PATH: Final = "/api/v1/orders"
FUTURES_ORDER: Final = {
    "symbol": "XBTUSDTM",
    "side": "buy",
    "type": "limit",
    "leverage": 1,
    "price": "40000",
    "size": 1,
}
FOREIGN_PARTNER: Final = "ccxt"


@final
@dataclass(frozen=True)
class KucoinBot(Caller):
    """`version` "" sends no KC-API-KEY-VERSION; not `sealed` sends the passphrase in clear. The
    query is signed as the documentation has it, before it was percent-encoded. `partner` "" sends
    no header of a partner's."""

    version: str = "3"
    sealed: bool = True
    partner: str = FOREIGN_PARTNER
    ASKS: ClassVar = "/api/v1/user/api-key"

    def signed(
        self, method: str, target: str, body: bytes = b"", *, now_ms: int | None = None
    ) -> Signed:
        now = str(now_ms or next_ms())
        passphrase = self.triple.passphrase
        path, mark, query = target.partition("?")
        said = f"{now}{method}{path}{mark}{unquote(query)}".encode() + body
        headers = {
            "KC-API-KEY": self.triple.api_key,
            "KC-API-SIGN": self._mac(said),
            "KC-API-TIMESTAMP": now,
            "KC-API-PASSPHRASE": self._mac(passphrase.encode()) if self.sealed else passphrase,
            "Content-Type": "application/json",
        }
        if self.version:
            headers["KC-API-KEY-VERSION"] = self.version
        if self.partner:
            headers["KC-API-PARTNER"] = self.partner
            headers["KC-API-PARTNER-SIGN"] = base64.b64encode(secrets.token_bytes(32)).decode()
            headers["KC-API-PARTNER-VERIFY"] = "true"
        return Signed(target, headers, body)

    def _mac(self, message: bytes) -> str:
        mac = hmac.new(self.triple.secret.encode(), message, hashlib.sha256).digest()
        return base64.b64encode(mac).decode()

    def order(self, **changes: Any) -> Answered:
        return self.call("POST", ORDER_PATH, spot_order(**changes))

    def futures_order(self, **changes: Any) -> Answered:
        """Place a limit order for contracts that will be accepted; for a base URL of futures."""
        return self.call("POST", FUTURES_ORDER_PATH, named(FUTURES_ORDER) | changes)

    @staticmethod
    def fresh() -> Triple:
        return Triple(secrets.token_hex(12), str(uuid.uuid4()), f"Real-{secrets.token_hex(8)}")


def spot_order(**changes: Any) -> dict[str, Any]:
    """Return a spot order under a name of its own."""
    return named(ORDER) | changes


def named(order: dict[str, Any]) -> dict[str, Any]:
    """Return an order under a clientOid of its own; KuCoin takes each once."""
    return order | {"clientOid": str(uuid.uuid4())}
