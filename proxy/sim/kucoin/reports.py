"""What brokers are told: Broker Pro's reports, and the exchange broker's own calls.

https://www.kucoin.com/docs-new/rest/broker/api-broker/get-user-list and its neighbours. Reports are
made of the orders that carry the partner's tag, of users who have any.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from proxy.sim.kucoin.answers import Refused, accepted, bad_parameter, paged

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.kucoin.desk import Call, Json

_DAY_MS: Final = 86_400_000
_TRADE_TYPES: Final = ("", "all", "SPOT", "FUTURE", "FUTURES")


def rebate(call: Call) -> Answer:
    """GET …/api/rebate/download (or rebase): where the file can be fetched."""
    for key in ("begin", "end"):
        day = call.query.get(key, "")
        if not (day.isdecimal() and len(day) == 8):
            raise bad_parameter(f"{key} is invalid")
    if not call.query.get("tradeType"):
        raise bad_parameter("tradeType can not be empty")
    profile = call.world.profile(call.owner.uid)
    if profile.report_pending > 0:
        profile.report_pending -= 1
        raise Refused("100001", "The file is being prepared, please try again later")
    name = f"{call.query['tradeType']}-{call.query['begin']}-{call.query['end']}.csv"
    return accepted({"url": f"https://www.kucoin.com/files/{name}"})


def commission(call: Call) -> Answer:
    """GET /api/v2/broker/queryMyCommission."""
    _check_type(call)
    today_ms = call.now_ms // _DAY_MS * _DAY_MS
    users = _by_user(call)
    volume = sum((each["tagged"] for each in users.values()), Decimal(0))
    other = sum((each["untagged"] for each in users.values()), Decimal(0))
    row = {
        "siteType": call.query.get("siteType") or "global",
        "rebateType": 1,
        "payoutTime": today_ms,
        "periodStartTime": today_ms - _DAY_MS,
        "periodEndTime": today_ms - 1,
        "status": 2,
        "totalTradeUser": len(users),
        "tagUser": sum(bool(each["tagged"]) for each in users.values()),
        "tagTradeVolume": str(volume),
        "tagCommission": str(volume / 10_000),
        "invitedUser": 0,
        "noTagTradeVolume": str(other),
        "noTagCommission": "0",
        "totalCommission": str(volume / 10_000),
        "currency": "USDT",
    }
    return accepted(paged(call.query, [row]))


def users(call: Call) -> Answer:
    """GET /api/v2/broker/queryUser."""
    _check_type(call)
    wanted = call.query.get("uid", "")
    rows = [
        {
            "uid": uid,
            "nickName": "",
            "registrationTime": call.now_ms - 30 * _DAY_MS,
            "rateUp": "0",
            "totalCommission": str(each["tagged"] / 10_000),
            "totalTradingVolume": str(each["tagged"] + each["untagged"]),
            "totalFee": "0",
            "invitedByMe": False,
            "rcode": "",
            "tags": each["tags"],
            "spotTradingVolumeWithTag": str(each["tagged"]),
            "spotTradingVolumeWithoutTag": str(each["untagged"]),
            "currency": "USDT",
        }
        for uid, each in _by_user(call).items()
        if wanted in ("", uid)
    ]
    return accepted(paged(call.query, rows))


def transactions(call: Call) -> Answer:
    """GET /api/v2/broker/queryDetailByUid: a bare array."""
    _check_type(call)
    uid = call.query.get("uid", "")
    if not uid:
        raise bad_parameter("uid can not be empty")
    each = _by_user(call).get(uid)
    if each is None:
        return accepted([])
    row = {
        "id": 1,
        "uid": uid,
        "tradeTime": call.now_ms // _DAY_MS * _DAY_MS,
        "totalVolume": str(each["tagged"] + each["untagged"]),
        "spotTradingVolumeWithTag": str(each["tagged"]),
        "spotTradingVolumeWithNoTag": str(each["untagged"]),
        "currency": "USDT",
    }
    return accepted([row])


def _check_type(call: Call) -> None:
    if call.query.get("tradeType", "") not in _TRADE_TYPES:
        raise bad_parameter("tradeType is invalid")


def _by_user(call: Call) -> dict[str, dict[str, Any]]:
    """Return by user, if one ever tagged an order, what was filled with a tag and without."""
    found: dict[str, dict[str, Any]] = {}
    for uid, desk in call.world.desks.items():
        orders = [*desk.spot.orders.values(), *desk.margin.orders.values()]
        tagged = [order for order in orders if _tagged(order)]
        if not tagged:
            continue
        found[uid] = {
            "tags": tagged[-1]["tags"],
            "tagged": sum((_worth(order) for order in tagged), Decimal(0)),
            "untagged": sum((_worth(each) for each in orders if not _tagged(each)), Decimal(0)),
        }
    return found


def _tagged(order: Json) -> bool:
    return bool(str(order["tags"] or "").startswith("partner:"))


def _worth(order: Json) -> Decimal:
    return Decimal(order["dealFunds"])


def info(call: Call) -> Answer:
    """GET /api/v1/broker/nd/info."""
    return accepted({"accountSize": 0, "maxAccountSize": None, "level": 0})
