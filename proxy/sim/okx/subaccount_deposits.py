"""Deposit addresses of DMA brokers' sub-accounts at the simulated OKX.

The broker page's older editions: https://www.okx.com/docs-v5/broker_en/
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from proxy.sim.answers import Answer
from proxy.sim.okx.answers import accepted, parameter_error
from proxy.sim.okx.desk import Call, Json, choice, needed, text
from proxy.sim.okx.subaccounts import broker_of, currency_of, subaccount

if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESSES_MAX: Final = 20  # of a sub-account and currency


def create_address(call: Call) -> Answer:
    """POST asset/broker/dma/subaccount-deposit-address."""
    item, made, row = call.object(), broker_of(call), subaccount(call)
    currency = currency_of(item)
    own = [each for each in made.deposit_addresses if each["subAcct"] == row["subAcct"]]
    if sum(each["ccy"] == currency for each in own) >= ADDRESSES_MAX:
        raise parameter_error("ccy")
    number = str(len(made.deposit_addresses))
    digest = hashlib.sha256(f"{row['uid']} {currency} {number}".encode()).hexdigest()
    address: Json = {
        "addr": f"0x{digest[:40]}",
        "ccy": currency,
        "chain": text(item, "chain") or f"{currency}-Mainnet",
        "ctAddr": digest[-6:],
        "subAcct": row["subAcct"],
        "to": choice(item, "to", ("6", "18"), must=False) or "6",
        "ts": str(call.now_ms),
    }
    made.deposit_addresses.append(address)
    return accepted([address])


def addresses(call: Call) -> Answer:
    """GET asset/broker/dma/subaccount-deposit-address."""
    row = subaccount(call)
    currency = currency_of(dict(call.query))
    return accepted([each for each in _addresses(call, row) if each["ccy"] == currency])


def modify_address(call: Call) -> Answer:
    """POST asset/broker/dma/modify-subaccount-deposit-address: which account it fills."""
    item, row = call.object(), subaccount(call)
    currency, address = currency_of(item), needed(item, "addr")
    to = choice(item, "to", ("6", "18"))
    for each in _addresses(call, row):
        if (each["ccy"], each["addr"]) == (currency, address):
            each["to"] = to
            return accepted([each])
    raise parameter_error("addr")


def deposits(call: Call) -> Answer:
    """GET asset/broker/dma/subaccount-deposit-history: one on every address."""
    rows = [
        {
            "actualDepBlkConfirm": "2",
            "amt": "100",
            "ccy": each["ccy"],
            "chain": each["chain"],
            "depId": str(number),
            "from": "",
            "state": "2",
            "subAcct": each["subAcct"],
            "to": each["addr"],
            "ts": each["ts"],
            "txId": hashlib.sha256(each["addr"].encode()).hexdigest(),
        }
        for number, each in enumerate(broker_of(call).deposit_addresses, start=1)
    ]
    wanted = {key: call.query[key] for key in ("subAcct", "ccy", "txId") if call.query.get(key)}
    return accepted([row for row in rows if all(row[key] == wanted[key] for key in wanted)])


def withdrawals(call: Call) -> Answer:
    """GET asset/broker/dma/subaccount-withdrawal-history: nothing was ever withdrawn."""
    return accepted([])


def _addresses(call: Call, row: Json) -> list[Json]:
    return [each for each in broker_of(call).deposit_addresses if each["subAcct"] == row["subAcct"]]


GETS: Final[dict[str, Callable[[Call], Answer]]] = {
    "asset/broker/dma/subaccount-deposit-address": addresses,
    "asset/broker/dma/subaccount-deposit-history": deposits,
    "asset/broker/dma/subaccount-withdrawal-history": withdrawals,
}
POSTS: Final[dict[str, Callable[[Call], Answer]]] = {
    "asset/broker/dma/modify-subaccount-deposit-address": modify_address,
    "asset/broker/dma/subaccount-deposit-address": create_address,
}
