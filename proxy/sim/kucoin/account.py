"""Accounts of the simulated KuCoin: who one is, what one holds, and what moves it.

https://www.kucoin.com/docs-new/rest/account-info/introduction
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.sim.kucoin import instruments
from proxy.sim.kucoin.answers import accepted, bad_parameter, paged
from proxy.sim.kucoin.checks import amount, needed, text, whole
from proxy.sim.kucoin.table import FUTURES, MAIN

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.kucoin.desk import Call, Json

_TYPES: Final = ("main", "trade")
_SOCKETS: Final = {
    MAIN: "wss://ws-api-spot.kucoin.com/",
    FUTURES: "wss://ws-api-futures.kucoin.com/",
}
_CREATED_MS: Final = 1_700_000_000_000


def api_key(call: Call) -> Answer:
    """GET /api/v1/user/api-key: the key that asks."""
    user = call.owner
    content: Json = {
        "uid": int(user.uid) if user.uid.isdecimal() else user.uid,
        "remark": user.label,
        "apiKey": user.api_key,
        "apiVersion": user.key_version,
        "permission": user.perm,
        "ipWhitelist": user.ips,
        "isMaster": user.main_uid in ("", user.uid),
        "createdAt": _CREATED_MS,
    }
    if not content["isMaster"]:
        content["subName"] = user.label
    return accepted(content)


def summary(call: Call) -> Answer:
    """GET /api/v2/user-info: the VIP level, and how many sub-accounts there may be."""
    counts = ("subQuantity", "spotSubQuantity", "marginSubQuantity", "futuresSubQuantity")
    maxima = ("maxSpotSubQuantity", "maxMarginSubQuantity", "maxFuturesSubQuantity")
    return accepted(
        {"level": call.world.profile(call.owner.uid).vip}
        | dict.fromkeys((*counts, "optionSubQuantity", *maxima, "maxOptionSubQuantity"), 0)
        | {"maxSubQuantity": 5, "maxDefaultSubQuantity": 5}
    )


def high_frequency(call: Call) -> Answer:
    """GET /api/v1/hf/accounts/opened."""
    return accepted(call.world.profile(call.owner.uid).high_frequency)


def mode(call: Call) -> Answer:
    """GET /api/ua/v1/account/mode."""
    unified = call.world.profile(call.owner.uid).unified
    return accepted({"selfAccountMode": "UNIFIED" if unified else "CLASSIC"})


def balances(call: Call) -> Answer:
    """GET /api/v1/accounts."""
    coin, kind = call.query.get("currency", ""), call.query.get("type", "")
    high = {"trade_hf": "trade", "main": "main", "trade": "trade", "": ""}
    if kind not in high:
        return accepted([])
    return accepted(
        [
            _account(call, held, each, kind or each)
            for held in instruments.HELD
            for each in _TYPES
            if coin in ("", held) and high[kind] in ("", each)
        ]
    )


def balance(call: Call) -> Answer:
    """GET /api/v1/accounts/{accountId}."""
    for coin in instruments.HELD:
        for kind in _TYPES:
            if call.names["accountId"] == _account_id(call, coin, kind):
                return accepted(_account(call, coin, kind, kind))
    raise bad_parameter("accountId is invalid")


def _account_id(call: Call, coin: str, kind: str) -> str:
    return f"{call.owner.uid}{coin.lower()}{kind}"


def _account(call: Call, coin: str, kind: str, shown: str) -> Json:
    funds = call.owner.funds
    return {
        "id": _account_id(call, coin, kind),
        "currency": coin,
        "type": shown,
        "balance": funds,
        "available": funds,
        "holds": "0",
    }


def margin(call: Call) -> Answer:
    """GET /api/v3/margin/accounts and the old /api/v1/margin/account."""
    funds = call.owner.funds
    nothing = ("hold", "holdBalance", "liability", "liabilityPrincipal", "liabilityInterest")
    accounts = [
        {"currency": coin, "borrowEnabled": True, "transferInEnabled": True}
        | dict.fromkeys(("total", "totalBalance", "available", "availableBalance"), funds)
        | dict.fromkeys(nothing, "0")
        | {"maxBorrowSize": "100"}
        for coin in instruments.HELD
    ]
    return accepted(
        {
            "totalAssetOfQuoteCurrency": funds,
            "totalLiabilityOfQuoteCurrency": "0",
            "debtRatio": "0",
            "status": "EFFECTIVE",
            "accounts": accounts,
        }
    )


def isolated(call: Call) -> Answer:
    """GET /api/v3/isolated/accounts and the old /api/v1/isolated/accounts."""
    return accepted(
        {
            "totalAssetOfQuoteCurrency": "0",
            "totalLiabilityOfQuoteCurrency": "0",
            "totalConversionBalance": "0",
            "liabilityConversionBalance": "0",
            "timestamp": call.now_ms,
            "assets": [],
        }
    )


def base_fee(call: Call) -> Answer:
    """GET /api/v1/base-fee."""
    return accepted({"takerFeeRate": "0.001", "makerFeeRate": "0.001"})


def trade_fees(call: Call) -> Answer:
    """GET /api/v1/trade-fees: a list for pairs, one for a contract."""
    symbols = call.query.get("symbols") or call.query.get("symbol") or ""
    if not symbols:
        raise bad_parameter("symbols can not be empty")
    fees = [
        {"symbol": each, "takerFeeRate": "0.001", "makerFeeRate": "0.001"}
        for each in symbols.split(",")
    ]
    return accepted(fees[0] if call.row.venue == FUTURES else fees)


def move(call: Call) -> Answer:
    """POST of a transfer between accounts."""
    item = whole(call)
    amount(item, "amount")
    content = {"orderId": _moved(call, "transfer", item)}
    return accepted(content, [content["orderId"]])


def withdraw(call: Call) -> Answer:
    """POST /api/v1/withdrawals and /api/v3/withdrawals."""
    item = whole(call)
    needed(item, "currency")
    amount(item, "amount")
    needed(item, "toAddress" if call.row.path.startswith("/api/v3/") else "address")
    content = {"withdrawalId": _moved(call, "withdrawal", item)}
    return accepted(content, [content["withdrawalId"]])


def _moved(call: Call, kind: str, item: Json) -> str:
    number = call.world.new_id(call.row.venue)
    call.desk.movements.append(
        {
            "id": number,
            "kind": kind,
            "currency": text(item, "currency") or "USDT",
            "amount": text(item, "amount"),
            "createdAt": call.now_ms,
        }
    )
    return number


def withdrawals(call: Call) -> Answer:
    """GET /api/v1/withdrawals."""
    rows = [
        {key: each[key] for key in ("id", "currency", "amount", "createdAt")}
        | {"status": "PROCESSING", "fee": "0", "isInner": False, "chain": "trx", "memo": ""}
        for each in call.desk.movements
        if each["kind"] == "withdrawal"
    ]
    return accepted(paged(call.query, rows[::-1]))


def token(call: Call) -> Answer:
    """POST bullet-public and bullet-private: where the socket is, and the ticket to it."""
    server = {
        "endpoint": _SOCKETS[call.row.venue],
        "encrypt": True,
        "protocol": "websocket",
        "pingInterval": 18_000,
        "pingTimeout": 10_000,
    }
    ticket = f"2neAiuYvAU61ZDXANAGAsiL4-{call.world.new_id(MAIN)}"
    return accepted({"token": ticket, "instanceServers": [server]})
