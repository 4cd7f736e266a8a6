"""Sub-accounts of DMA brokers at the simulated OKX; their keys work like any other.

https://www.okx.com/docs-v5/broker_en/ and, for what it no longer tells, the page's older editions.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final

from proxy.sim.answers import Answer
from proxy.sim.okx import instruments
from proxy.sim.okx.answers import Refused, accepted, parameter_empty, parameter_error
from proxy.sim.okx.desk import Broker, Call, Json, User, alphanumerics, choice, needed, text

if TYPE_CHECKING:
    from collections.abc import Callable

SUBACCOUNTS_MAX: Final = 1000
KEYS_MAX: Final = 50  # of a sub-account
KEY_IPS_MAX: Final = 20
LABEL_LONGEST: Final = 50
_PAGE_MAX: Final = 100
_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]{6,20}", re.ASCII)
_PASSPHRASE: Final = re.compile(
    r"(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z])(?=.*[^A-Za-z0-9])\S{8,32}", re.ASCII
)
_PERMISSIONS: Final = {"read_only", "trade", "withdraw"}
_LEVELS: Final = ("1", "2", "3", "4")
_FEES: Final = [
    {"maker": "-0.0002" if kind > 2 else "-0.0008", "taker": "-0.0005", "type": str(kind)}
    for kind in range(1, 10)
]


def create(call: Call) -> Answer:
    """POST broker/dma/create-subaccount."""
    item, made = call.object(), broker_of(call)
    name = needed(item, "subAcct")
    if not _NAME.fullmatch(name):
        raise parameter_error("subAcct")
    if name in made.subaccounts:
        raise Refused("59601", "Subaccount name already exists.")
    if len(made.subaccounts) >= SUBACCOUNTS_MAX:
        raise Refused("59603", "Maximum number of subaccounts reached.")
    row: Json = {
        "acctLv": "1",
        "canTransOut": False,
        "enable": True,
        "firstLvSubAcct": name,
        "frozenFunc": [],
        "label": alphanumerics(item, "label", LABEL_LONGEST),
        "subAcct": name,
        "subAcctLv": "1",
        "ts": str(call.now_ms),
        "uid": call.world.new_id(),
    }
    made.subaccounts[name] = row
    return accepted([{key: row[key] for key in ("acctLv", "label", "subAcct", "ts", "uid")}])


def delete(call: Call) -> Answer:
    """POST broker/dma/delete-subaccount, its keys with it."""
    row, made = subaccount(call), broker_of(call)
    del made.subaccounts[row["subAcct"]]
    for key in [key for key, of in made.keys.items() if of["subAcct"] == row["subAcct"]]:
        _drop_key(call, key)
    return accepted([{"subAcct": row["subAcct"]}])


def set_level(call: Call) -> Answer:
    """POST broker/dma/set-subaccount-level."""
    row = subaccount(call)
    row["acctLv"] = choice(call.object(), "acctLv", _LEVELS)
    return accepted([{"acctLv": row["acctLv"], "subAcct": row["subAcct"]}])


def report_ip(call: Call) -> Answer:
    """POST broker/dma/report-subaccount-ip: where the sub-account's owner is."""
    row = subaccount(call)
    return accepted([{"clientIP": needed(call.object(), "clientIP"), "subAcct": row["subAcct"]}])


def set_assets(call: Call) -> Answer:
    """POST broker/dma/set-subaccount-assets: gives play money."""
    if call.user is not None and not call.user.demo:
        raise Refused("50053", "This feature is only available in demo trading.")
    currency_of(call.object())
    return accepted([{"result": True, "subAcct": subaccount(call)["subAcct"]}])


def listed(call: Call) -> Answer:
    """GET broker/dma/subaccount-info."""
    return _paged(call, list(broker_of(call).subaccounts.values()))


def fees(call: Call) -> Answer:
    """GET broker/dma/subaccount-trade-fee."""
    shown = ("firstLvSubAcct", "subAcct", "subAcctLv", "ts", "uid")
    rows = broker_of(call).subaccounts.values()
    return _paged(call, [{"feeRates": _FEES} | {key: row[key] for key in shown} for row in rows])


def create_key(call: Call) -> Answer:
    """POST broker/dma/subaccount/apikey."""
    item, made, row = call.object(), broker_of(call), subaccount(call)
    own = [key for key in made.keys.values() if key["subAcct"] == row["subAcct"]]
    if len(own) >= KEYS_MAX:
        raise Refused("59501", "Each account can create up to 50 API keys")
    key: Json = {
        "apiKey": str(uuid.uuid4()),
        "ip": "",
        "label": "",
        "perm": "read_only",
        "subAcct": row["subAcct"],
        "ts": str(call.now_ms),
    }
    _describe(item, key, own, must=True)
    if not _PASSPHRASE.fullmatch(needed(item, "passphrase")):
        raise Refused("59505", "The passphrase format is incorrect.")
    secrets = {"secretKey": uuid.uuid4().hex.upper(), "passphrase": str(item["passphrase"])}
    made.keys[key["apiKey"]] = key
    _open_door(call, row, key, secrets["secretKey"], secrets["passphrase"])
    return accepted([key | secrets])


def keys(call: Call) -> Answer:
    """GET broker/dma/subaccount/apikey."""
    row = subaccount(call)
    shown = ("apiKey", "ip", "label", "perm", "ts")
    return accepted(
        [
            {name: key[name] for name in shown}
            for key in broker_of(call).keys.values()
            if key["subAcct"] == row["subAcct"]
            and call.query.get("apiKey") in (None, "", key["apiKey"])
        ]
    )


def modify_key(call: Call) -> Answer:
    """POST broker/dma/subaccount/modify-apikey."""
    item, made, row = call.object(), broker_of(call), subaccount(call)
    key = _own_key(call, row)
    others = [each for each in made.keys.values() if each is not key]
    _describe(item, key, [each for each in others if each["subAcct"] == row["subAcct"]])
    user = call.world.users[key["apiKey"]]
    _open_door(call, row, key, user.secret, user.passphrase)
    return accepted([key])


def delete_key(call: Call) -> Answer:
    """POST broker/dma/subaccount/delete-apikey."""
    row = subaccount(call)
    key = _own_key(call, row)
    _drop_key(call, key["apiKey"])
    return accepted([{"subAcct": row["subAcct"]}])


def broker_of(call: Call) -> Broker:
    """Return what the calling broker has made."""
    assert call.user is not None
    return call.world.broker(call.user)


def subaccount(call: Call) -> Json:
    """Return the caller's sub-account that the request names; raises Refused."""
    item: Json = dict(call.query) if call.row.method == "GET" else call.object()
    row: Json | None = broker_of(call).subaccounts.get(needed(item, "subAcct"))
    if row is None:
        raise Refused("59510", "Sub-account does not exist")
    return row


def currency_of(item: Json) -> str:
    """Return the currency that a request names; raises ItemFault."""
    return choice(item, "ccy", ("USDT", *instruments.COINS))


def _describe(item: Json, key: Json, others: list[Json], *, must: bool = False) -> None:
    """Take over what is told of a key; raises Refused."""
    label = alphanumerics(item, "label", LABEL_LONGEST)
    if must and not label:
        raise parameter_empty("label")
    if label and any(each["label"] == label for each in others):
        raise Refused("59502", "This note name already exists. Enter a unique API key note name")
    granted = [word for word in text(item, "perm").split(",") if word]
    if not set(granted) <= _PERMISSIONS:
        raise parameter_error("perm")
    bound = [word.strip() for word in text(item, "ip").split(",") if word.strip()]
    if len(bound) > KEY_IPS_MAX:
        raise Refused("59503", "Each API key can bind up to 20 IP addresses")
    key["label"] = label or key["label"]
    if granted:
        key["perm"] = ",".join(dict.fromkeys(["read_only", *granted]))
    key["ip"] = ",".join(bound) if "ip" in item else key["ip"]


def _own_key(call: Call, row: Json) -> Json:
    key = broker_of(call).keys.get(needed(call.object(), "apiKey"))
    if key is None or key["subAcct"] != row["subAcct"]:
        raise Refused("59506", "API key doesn't exist.")
    return key


def _open_door(call: Call, row: Json, key: Json, secret: str, passphrase: str) -> None:
    assert call.user is not None
    call.world.users[key["apiKey"]] = User(
        api_key=key["apiKey"],
        secret=secret,
        passphrase=passphrase,
        uid=row["uid"],
        main_uid=call.user.uid,
        demo=call.user.demo,
        perm=key["perm"],
        ips=key["ip"],
        label=key["label"],
    )


def _drop_key(call: Call, api_key: str) -> None:
    del broker_of(call).keys[api_key]
    call.world.users.pop(api_key, None)


def _paged(call: Call, rows: list[Json]) -> Answer:
    page, limit = (call.query.get(key) or default for key, default in _PAGING)
    if not page.isdecimal() or int(page) < 1:
        raise parameter_error("page")
    if not limit.isdecimal() or not 1 <= int(limit) <= _PAGE_MAX:
        raise parameter_error("limit")
    wanted = {key: call.query[key] for key in ("subAcct", "uid") if call.query.get(key)}
    rows = [row for row in rows if all(row[key] == wanted[key] for key in wanted)]
    start = (int(page) - 1) * int(limit)
    pages = max(-(-len(rows) // int(limit)), 1)
    return accepted(
        [{"details": rows[start : start + int(limit)], "page": page, "totalPage": str(pages)}]
    )


_PAGING: Final = (("page", "1"), ("limit", "100"))
GETS: Final[dict[str, Callable[[Call], Answer]]] = {
    "broker/dma/subaccount-info": listed,
    "broker/dma/subaccount-trade-fee": fees,
    "broker/dma/subaccount/apikey": keys,
}
POSTS: Final[dict[str, Callable[[Call], Answer]]] = {
    "broker/dma/create-subaccount": create,
    "broker/dma/delete-subaccount": delete,
    "broker/dma/report-subaccount-ip": report_ip,
    "broker/dma/set-subaccount-assets": set_assets,
    "broker/dma/set-subaccount-level": set_level,
    "broker/dma/subaccount/apikey": create_key,
    "broker/dma/subaccount/delete-apikey": delete_key,
    "broker/dma/subaccount/modify-apikey": modify_key,
}
