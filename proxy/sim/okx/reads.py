"""Account and asset reads of the simulated OKX, in the shapes clients parse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from proxy.sim.answers import Answer
from proxy.sim.okx import instruments
from proxy.sim.okx.answers import accepted, no_instrument, parameter_empty
from proxy.sim.okx.desk import choice, needed, text
from proxy.sim.okx.market import instrument

if TYPE_CHECKING:
    from proxy.sim.okx.desk import Call, Json

_HELD: Final = ("USDT", "BTC", "ETH", "SOL")


def balance(call: Call) -> Answer:
    """GET account/balance."""
    assert call.user is not None
    wanted = [ccy for ccy in call.query.get("ccy", "").split(",") if ccy] or list(_HELD)
    return accepted(
        [
            {
                "adjEq": call.user.funds,
                "details": [_holding(call, ccy) for ccy in wanted if ccy in _HELD],
                "imr": "0",
                "isoEq": "0",
                "mgnRatio": "",
                "mmr": "0",
                "notionalUsd": "0",
                "ordFroz": "0",
                "totalEq": call.user.funds,
                "uTime": str(call.now_ms),
            }
        ]
    )


def _holding(call: Call, ccy: str) -> Json:
    assert call.user is not None
    whole = ("availBal", "availEq", "cashBal", "eq", "eqUsd", "disEq")
    nothing = ("frozenBal", "ordFrozen", "liab", "interest", "isoEq", "upl", "uplLiab")
    return (
        {"ccy": ccy, "uTime": str(call.now_ms)}
        | dict.fromkeys(whole, call.user.funds)
        | dict.fromkeys(nothing, "0")
    )


def config(call: Call) -> Answer:
    """GET account/config."""
    user = call.user
    assert user is not None
    profile = call.world.profile(user)
    return accepted(
        [
            {
                "acctLv": profile.acct_level,
                "acctStpMode": "cancel_maker",
                "autoLoan": False,
                "ctIsoMode": "automatic",
                "enableSpotBorrow": False,
                "feeType": "0",
                "greeksType": "PA",
                "ip": user.ips,
                "kycLv": "2",
                "label": user.label,
                "level": "Lv1",
                "levelTmp": "",
                "liquidationGear": "-1",
                "mainUid": user.main_uid or user.uid,
                "mgnIsoMode": "automatic",
                "opAuth": "1",
                "perm": user.perm,
                "posMode": call.desk.position_mode,
                "roleType": profile.role,
                "settleCcy": "USDC",
                "settleCcyList": ["USD", "USDC", "USDG"],
                "spotBorrowAutoRepay": False,
                "spotOffsetType": "",
                "spotRoleType": profile.spot_role,
                "spotTraderInsts": profile.leads("SPOT"),
                "stgyType": "0",
                "traderInsts": profile.leads("SWAP"),
                "type": "0" if user.main_uid in ("", user.uid) else "1",
                "uid": user.uid,
            }
        ]
    )


def positions(call: Call) -> Answer:
    """GET account/positions."""
    rows: list[dict[str, Any]] = []
    for name, size in call.desk.positions.items():
        if not size or call.query.get("instId") not in (None, "", name):
            continue
        price = instruments.last_price(name)
        row = {
            "instType": call.world.instruments[name]["instType"],
            "instId": name,
            "mgnMode": "cross",
            "posId": name,
            "posSide": "net",
            "pos": str(size),
            "availPos": "",
            "avgPx": price,
            "markPx": price,
            "lever": call.desk.leverage.get(name, "3"),
            "ccy": "USDT",
        }
        nothing = ("upl", "uplRatio", "imr", "mmr", "margin", "notionalUsd", "liqPx", "mgnRatio")
        stamps = {"cTime": str(call.now_ms), "uTime": str(call.now_ms)}
        rows.append(row | dict.fromkeys(nothing, "0") | stamps)
    return accepted(rows)


def set_leverage(call: Call) -> Answer:
    """POST account/set-leverage."""
    item = call.object()
    lever = needed(item, "lever")
    mode = choice(item, "mgnMode", ("cross", "isolated"))
    name = text(item, "instId")
    if name:
        if name not in call.world.instruments:
            raise no_instrument()
        call.desk.leverage[name] = lever
    side = text(item, "posSide")
    return accepted([{"lever": lever, "mgnMode": mode, "instId": name, "posSide": side}])


def leverage(call: Call) -> Answer:
    """GET account/leverage-info."""
    mode = call.query.get("mgnMode")
    if not mode:
        raise parameter_empty("mgnMode")
    name = instrument(call)
    lever = call.desk.leverage.get(name, "3")
    return accepted([{"instId": name, "mgnMode": mode, "posSide": "net", "lever": lever}])


def set_position_mode(call: Call) -> Answer:
    """POST account/set-position-mode."""
    mode = choice(call.object(), "posMode", ("net_mode", "long_short_mode"))
    call.desk.position_mode = mode
    return accepted([{"posMode": mode}])


def account_rate(call: Call) -> Answer:
    """GET trade/account-rate-limit."""
    assert call.user is not None
    profile = call.world.profile(call.user)
    return accepted(
        [
            {
                "accRateLimit": str(profile.acc_rate_limit),
                "fillRatio": profile.fill_ratio,
                "mainFillRatio": profile.main_fill_ratio,
                "nextAccRateLimit": profile.next_acc_rate_limit,
                "ts": str(call.now_ms),
            }
        ]
    )


def currencies(call: Call) -> Answer:
    """GET asset/currencies."""
    wanted = [ccy for ccy in call.query.get("ccy", "").split(",") if ccy]
    amounts = {"minFee": "0.1", "maxFee": "0.2", "fee": "0.1", "minWd": "1", "maxWd": "1000000"}
    depth = {"minDep": "0.0001", "wdTickSz": "8", "wdQuota": "10000000", "usedWdQuota": "0"}
    yes = dict.fromkeys(("canDep", "canWd", "canInternal", "mainNet"), True)
    return accepted(
        [
            {"ccy": ccy, "name": ccy, "chain": f"{ccy}-Mainnet", "logoLink": "", "needTag": False}
            | amounts
            | depth
            | yes
            for ccy in ("USDT", *instruments.COINS)
            if not wanted or ccy in wanted
        ]
    )


def funding_balances(call: Call) -> Answer:
    """GET asset/balances."""
    row = {"availBal": "100", "bal": "100", "frozenBal": "0"}
    wanted = [ccy for ccy in call.query.get("ccy", "").split(",") if ccy] or _HELD
    return accepted([{"ccy": ccy} | row for ccy in wanted])
