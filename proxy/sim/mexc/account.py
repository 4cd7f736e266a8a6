"""What the simulated MEXC tells a user of the spot account, and the keys of its streams.

https://www.mexc.com/api-docs/spot-v3/spot-account-trade
https://www.mexc.com/api-docs/spot-v3/websocket-user-data-streams
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from proxy.sim.mexc import symbols
from proxy.sim.mexc.answers import Denied, missing, plain
from proxy.sim.mexc.fields import text

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.mexc.desk import Call

KEYS_MAX: Final = 60  # per user id
KEY_LIFE_MS: Final = 3_600_000


def uid(call: Call) -> Answer:
    """GET uid."""
    assert call.user is not None
    return plain({"uid": call.user.uid})


def kyc(call: Call) -> Answer:
    """GET kyc/status."""
    return plain({"status": "3"})


def overview(call: Call) -> Answer:
    """GET account."""
    assert call.user is not None
    granted = call.user.perm.split(",")
    held = {"USDT": call.account.funds} | dict.fromkeys(symbols.COINS, "1000")
    return plain(
        {
            "makerCommission": None,
            "takerCommission": None,
            "buyerCommission": None,
            "sellerCommission": None,
            "canTrade": "trade" in granted,
            "canWithdraw": "withdraw" in granted,
            "canDeposit": True,
            "updateTime": None,
            "accountType": "SPOT",
            "balances": [
                {"asset": coin, "free": free, "locked": "0", "available": free}
                for coin, free in held.items()
            ],
            "permissions": ["SPOT"],
        }
    )


def key_info(call: Call) -> Answer:
    """GET apiKeyInfo."""
    assert call.user is not None
    fields = {"apiKey": call.user.api_key, "note": "bot", "ip": call.user.ips}
    return plain(fields | {"permissions": call.user.perm, "createTime": call.now_ms})


def fees(call: Call) -> Answer:
    """GET tradeFee."""
    if text(call.parameters, "symbol") not in call.world.symbols:
        raise Denied(10007, "bad symbol")
    rates = {"makerCommission": 0, "takerCommission": 0.0005}
    return plain({"data": rates, "code": 0, "msg": "success", "timestamp": call.now_ms})


def deduction(call: Call) -> Answer:
    """GET and POST mxDeduct/enable."""
    enabled = call.parameters.get("mxDeductEnable", "true").lower() == "true"
    data = {"mxDeductEnable": enabled}
    return plain({"data": data, "code": 0, "msg": "success", "timestamp": call.now_ms})


def open_stream(call: Call) -> Answer:
    """POST userDataStream: a key for the private streams."""
    keys = call.desk.listen_keys
    _forget(call)
    if len(keys) >= KEYS_MAX:
        raise Denied(730707, "The number of listenKeys has reached the maximum limit.")
    key = hashlib.sha256(f"{call.world.new_id()}".encode()).hexdigest()
    keys[key] = call.now_ms + KEY_LIFE_MS
    return plain({"listenKey": key})


def streams(call: Call) -> Answer:
    """GET userDataStream."""
    _forget(call)
    return plain({"listenKey": list(call.desk.listen_keys)})


def extend_stream(call: Call) -> Answer:
    """PUT userDataStream."""
    key = _known(call)
    call.desk.listen_keys[key] = call.now_ms + KEY_LIFE_MS
    return plain({"listenKey": key})


def close_stream(call: Call) -> Answer:
    """DELETE userDataStream."""
    key = _known(call)
    del call.desk.listen_keys[key]
    return plain({"listenKey": key})


def _known(call: Call) -> str:
    _forget(call)
    key = call.parameters.get("listenKey", "")
    if not key:
        raise missing("listenKey")
    if key not in call.desk.listen_keys:
        raise Denied(730708, "The listenKey does not exist.")
    return key


def _forget(call: Call) -> None:
    keys = call.desk.listen_keys
    for key in [key for key, until_ms in keys.items() if until_ms <= call.now_ms]:
        del keys[key]
