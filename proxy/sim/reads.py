"""Account, asset, market and public reads of the simulated OKX, in the shapes clients parse."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from proxy.sim import instruments
from proxy.sim.answers import Answer, Refused, accepted, parameter_empty, parameter_error
from proxy.sim.desk import choice, needed, text

if TYPE_CHECKING:
    from proxy.sim.desk import Call, Json

_HELD: Final = ("USDT", "BTC", "ETH", "SOL")
_BAR_MS: Final = 60_000


def time(call: Call) -> Answer:
    """GET public/time."""
    return accepted([{"ts": str(call.now_ms)}])


def listing(call: Call) -> Answer:
    """GET public/instruments and account/instruments."""
    kind = call.query.get("instType")
    if not kind:
        raise parameter_empty("instType")
    if kind not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS"):
        raise parameter_error("instType")
    family = call.query.get("instFamily") or call.query.get("uly")
    if kind == "OPTION" and not family:
        raise parameter_empty("instFamily")
    chosen = [
        row
        for row in call.world.instruments.values()
        if row["instType"] == kind
        and family in (None, "", row["instFamily"])
        and call.query.get("instId") in (None, "", row["instId"])
    ]
    if not chosen and call.query.get("instId"):
        raise Refused("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
    return accepted(chosen)


def _instrument(call: Call) -> str:
    name = call.query.get("instId")
    if not name:
        raise parameter_empty("instId")
    if name not in call.world.instruments:
        raise Refused("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
    return name


def _ticker(call: Call, name: str) -> Json:
    price = instruments.last_price(name)
    prices = ("last", "askPx", "bidPx", "open24h", "high24h", "low24h", "sodUtc0", "sodUtc8")
    sizes = ("lastSz", "askSz", "bidSz", "vol24h", "volCcy24h")
    return (
        {"instType": call.world.instruments[name]["instType"], "instId": name}
        | dict.fromkeys(prices, price)
        | dict.fromkeys(sizes, "1")
        | {"ts": str(call.now_ms)}
    )


def ticker(call: Call) -> Answer:
    """GET market/ticker."""
    return accepted([_ticker(call, _instrument(call))])


def tickers(call: Call) -> Answer:
    """GET market/tickers."""
    kind = call.query.get("instType")
    if not kind:
        raise parameter_empty("instType")
    rows = call.world.instruments.values()
    return accepted([_ticker(call, row["instId"]) for row in rows if row["instType"] == kind])


def books(call: Call) -> Answer:
    """GET market/books."""
    price = instruments.last_price(_instrument(call))
    above = str(Decimal(price) * Decimal("1.001"))
    side = {"asks": [[above, "1", "0", "1"]], "bids": [[price, "1", "0", "1"]]}
    return accepted([side | {"ts": str(call.now_ms), "seqId": 1}])


def candles(call: Call) -> Answer:
    """GET market/candles and history-candles."""
    price = instruments.last_price(_instrument(call))
    start_ms = call.now_ms // _BAR_MS * _BAR_MS
    bar = [price] * 4 + ["1", "1", "1", "1"]
    return accepted([[str(start_ms - age * _BAR_MS), *bar] for age in range(3)])


def trades(call: Call) -> Answer:
    """GET market/trades."""
    name = _instrument(call)
    price = instruments.last_price(name)
    row = {"instId": name, "tradeId": "1", "px": price, "sz": "1", "side": "buy"}
    return accepted([row | {"ts": str(call.now_ms), "count": "1", "source": "0"}])


def mark_price(call: Call) -> Answer:
    """GET public/mark-price."""
    kind = call.query.get("instType")
    if not kind:
        raise parameter_empty("instType")
    return accepted(
        [
            {
                "instType": row["instType"],
                "instId": row["instId"],
                "markPx": instruments.last_price(row["instId"]),
                "ts": str(call.now_ms),
            }
            for row in call.world.instruments.values()
            if row["instType"] == kind and call.query.get("instId") in (None, "", row["instId"])
        ]
    )


def funding_rate(call: Call) -> Answer:
    """GET public/funding-rate."""
    name = _instrument(call)
    next_ms = str((call.now_ms // 28_800_000 + 1) * 28_800_000)
    row = {"instType": "SWAP", "instId": name, "method": "current_period", "fundingRate": "0.0001"}
    times = {"fundingTime": next_ms, "nextFundingTime": next_ms, "ts": str(call.now_ms)}
    return accepted([row | times | {"nextFundingRate": ""}])


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
    return accepted(
        [
            {
                "acctLv": "2",
                "acctStpMode": "cancel_maker",
                "autoLoan": False,
                "ctIsoMode": "automatic",
                "enableSpotBorrow": False,
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
                "roleType": "0",
                "spotOffsetType": "",
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
            raise Refused("51001", "Instrument ID does not exist.")
        call.desk.leverage[name] = lever
    side = text(item, "posSide")
    return accepted([{"lever": lever, "mgnMode": mode, "instId": name, "posSide": side}])


def leverage(call: Call) -> Answer:
    """GET account/leverage-info."""
    mode = call.query.get("mgnMode")
    if not mode:
        raise parameter_empty("mgnMode")
    name = _instrument(call)
    lever = call.desk.leverage.get(name, "3")
    return accepted([{"instId": name, "mgnMode": mode, "posSide": "net", "lever": lever}])


def set_position_mode(call: Call) -> Answer:
    """POST account/set-position-mode."""
    mode = choice(call.object(), "posMode", ("net_mode", "long_short_mode"))
    call.desk.position_mode = mode
    return accepted([{"posMode": mode}])


def account_rate(call: Call) -> Answer:
    """GET trade/account-rate-limit."""
    row = {"accRateLimit": "1000", "nextAccRateLimit": "1000", "fillRatio": "0"}
    return accepted([row | {"mainFillRatio": "0", "ts": str(call.now_ms)}])


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
