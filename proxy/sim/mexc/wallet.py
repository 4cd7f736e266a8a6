"""Deposits, withdrawals and transfers of the simulated MEXC, and its sub-accounts.

https://www.mexc.com/api-docs/spot-v3/wallet-endpoints
https://www.mexc.com/api-docs/spot-v3/subaccount-endpoints
https://www.mexc.com/api-docs/broker/mexc-broker-introduction
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from proxy.sim.mexc import symbols
from proxy.sim.mexc.answers import Denied, missing, plain
from proxy.sim.mexc.desk import User
from proxy.sim.mexc.fields import amount

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.mexc.desk import Call, Json

KEPT_MAX: Final = 1000
_ACCOUNTS: Final = ("SPOT", "FUTURES")
_NETWORKS: Final = ("ERC20", "TRC20")


def said(call: Call) -> Json:
    """Return what was asked for, whether it stands in the query or in a JSON body."""
    return call.parameters | (call.content if isinstance(call.content, dict) else {})


def _needed(fields: Json, *names: str) -> list[str]:
    values = [str(fields.get(name) or "") for name in names]
    for name, value in zip(names, values, strict=True):
        if not value:
            raise missing(name)
    return values


def _id(call: Call) -> str:
    return hashlib.sha256(call.world.new_id().encode()).hexdigest()[:32]


def currencies(call: Call) -> Answer:
    """GET capital/config/getall."""
    return plain([_currency(coin) for coin in ("USDT", *symbols.COINS)])


def _currency(coin: str) -> Json:
    network: Json = {
        "coin": coin,
        "depositDesc": None,
        "depositEnable": True,
        "minConfirm": 12,
        "name": coin,
        "sameAddress": False,
        "withdrawEnable": True,
        "withdrawFee": "1",
        "withdrawIntegerMultiple": None,
        "withdrawMax": "1000000",
        "withdrawMin": "10",
        "contract": "",
        "withdrawTips": None,
        "depositTips": None,
    }
    networks = [network | {"network": name, "netWork": name} for name in _NETWORKS]
    return {"coin": coin, "Name": coin, "name": coin, "networkList": networks}


def transfer(call: Call) -> Answer:
    """POST capital/transfer and both universalTransfers."""
    fields = said(call)
    source, target, asset, size = _needed(
        fields, "fromAccountType", "toAccountType", "asset", "amount"
    )
    if source not in _ACCOUNTS or target not in _ACCOUNTS:
        raise Denied(33333, "Not support transfer")
    if asset != "USDT" and asset not in symbols.COINS:
        raise Denied(10232, "The currency not exist")
    if amount(size) is None:
        raise Denied(10097, "amount is error")
    made = {
        "tranId": _id(call),
        "clientTranId": fields.get("clientTranId"),
        "asset": asset,
        "amount": size,
        "fromAccountType": source,
        "toAccountType": target,
        "fromAccount": fields.get("fromAccount"),
        "toAccount": fields.get("toAccount"),
        "symbol": None,
        "status": "SUCCESS",
        "timestamp": call.now_ms,
    }
    call.desk.transfers.append(made)
    del call.desk.transfers[:-KEPT_MAX]
    return plain({"tranId": made["tranId"]})


def transfers(call: Call) -> Answer:
    """GET capital/transfer and both universalTransfers."""
    return plain({"rows": call.desk.transfers[::-1], "total": len(call.desk.transfers)})


def transfer_by_id(call: Call) -> Answer:
    """GET capital/transfer/tranId."""
    (wanted,) = _needed(said(call), "tranId")
    for made in call.desk.transfers:
        if made["tranId"] == wanted:
            return plain(made)
    raise Denied(10001, "The transfer does not exist")


def transfer_to_user(call: Call) -> Answer:
    """POST capital/transfer/internal: to another user."""
    kind, _, asset, size = _needed(said(call), "toAccountType", "toAccount", "asset", "amount")
    if kind not in ("EMAIL", "UID", "MOBILE"):
        raise Denied(33333, "Not support transfer")
    _checked(asset, size)
    return plain({"tranId": _id(call)})


def withdraw(call: Call) -> Answer:
    """POST capital/withdraw, withdraw/apply and the broker's."""
    fields = said(call)
    coin, address, size = _needed(fields, "coin", "address", "amount")
    _checked(coin, size)
    made = {
        "id": _id(call),
        "txId": None,
        "coin": coin,
        "network": str(fields.get("netWork") or fields.get("network") or _NETWORKS[0]),
        "address": address,
        "amount": size,
        "transferType": 0,
        "status": 1,
        "transactionFee": "1",
        "confirmNo": None,
        "applyTime": call.now_ms,
        "remark": fields.get("remark", ""),
        "memo": fields.get("memo"),
    }
    call.desk.withdrawals.append(made)
    del call.desk.withdrawals[:-KEPT_MAX]
    return plain({"id": made["id"]})


def cancel_withdrawal(call: Call) -> Answer:
    """DELETE capital/withdraw."""
    (wanted,) = _needed(said(call), "id")
    for made in call.desk.withdrawals:
        if made["id"] == wanted:
            made["status"] = 9
            return plain({"id": wanted})
    raise Denied(10001, "The withdrawal does not exist")


def withdrawals(call: Call) -> Answer:
    """GET capital/withdraw/history."""
    return plain(call.desk.withdrawals[::-1])


def _checked(coin: str, size: str) -> None:
    if coin != "USDT" and coin not in symbols.COINS:
        raise Denied(10232, "The currency not exist")
    if amount(size) is None:
        raise Denied(10097, "amount is error")


def deposit_address(call: Call) -> Answer:
    """GET and POST capital/deposit/address, and the broker's subAddress."""
    assert call.user is not None
    (coin,) = _needed(said(call), "coin")
    rows = []
    for network in _NETWORKS:
        address = hashlib.sha256(f"{call.user.uid} {coin} {network}".encode()).hexdigest()[:40]
        shown: Json = {"coin": coin, "network": network, "netWork": network}
        rows.append(shown | {"address": f"0x{address}", "memo": None})
    return plain(rows)


def create_subaccount(call: Call) -> Answer:
    """POST sub-account/virtualSubAccount and the broker's."""
    fields = said(call)
    name, note = _needed(fields, "subAccount", "note")
    if name in call.desk.subaccounts or len(call.desk.subaccounts) >= KEPT_MAX:
        raise Denied(730101, "The user name has been registered")
    row = {"subAccount": name, "note": note, "uid": call.world.new_id()[-9:]}
    call.desk.subaccounts[name] = row | {"isFreeze": False, "createTime": call.now_ms}
    return plain({"subAccount": name, "note": note})


def subaccounts(call: Call) -> Answer:
    """GET sub-account/list and the broker's."""
    return plain({"subAccounts": list(call.desk.subaccounts.values())})


def create_key(call: Call) -> Answer:
    """POST sub-account/apiKey and the broker's: a key that works."""
    fields = said(call)
    name, note, permissions = _needed(fields, "subAccount", "note", "permissions")
    if name not in call.desk.subaccounts:
        raise Denied(730002, "Sub-account does not exist")
    perm = "read,trade" if "WRITE" in permissions else "read"
    made = User(
        f"mx0v{_id(call)[:14]}",
        _id(call),
        call.desk.subaccounts[name]["uid"],
        perm=perm,
        ips=str(fields.get("ip") or ""),
    )
    if len(call.world.users) >= KEPT_MAX:
        raise Denied(30029, "The number of API keys has reached the maximum limit.")
    call.world.users[made.api_key] = made
    call.desk.subaccount_keys[made.api_key] = {
        "subAccount": name,
        "note": note,
        "apiKey": made.api_key,
        "permissions": permissions,
        "ip": made.ips,
        "creatTime": call.now_ms,
    }
    return plain(call.desk.subaccount_keys[made.api_key] | {"secretKey": made.secret})


def keys(call: Call) -> Answer:
    """GET sub-account/apiKey and the broker's."""
    (name,) = _needed(said(call), "subAccount")
    rows = [row for row in call.desk.subaccount_keys.values() if row["subAccount"] == name]
    return plain({"subAccount": rows})


def delete_key(call: Call) -> Answer:
    """DELETE sub-account/apiKey and the broker's."""
    name, key = _needed(said(call), "subAccount", "apiKey")
    if call.desk.subaccount_keys.pop(key, {}).get("subAccount") != name:
        raise Denied(10072, "Api key info invalid")
    call.world.users.pop(key, None)
    return plain({"subAccount": name})


def rebates(call: Call) -> Answer:
    """GET broker/rebate/taxQuery and the referral programme's pages: nothing yet."""
    number_ = int(call.parameters.get("page") or 1) if _is_page(call) else 1
    data = {"page": number_, "totalRecords": 0, "totalPageNum": 0, "data": []}
    return plain(data)


def _is_page(call: Call) -> bool:
    value = call.parameters.get("page", "")
    return value.isascii() and value.isdecimal() and len(value) < 9
