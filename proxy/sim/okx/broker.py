"""What the simulated OKX tells brokers: who brings them rebate, and the reports of it.

https://www.okx.com/docs-v5/broker_en/
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Final

from proxy.sim.answers import Answer
from proxy.sim.okx.answers import Refused, accepted, parameter_empty, parameter_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.sim.okx.desk import Call, Json
    from proxy.sim.okx.profile import Profile

LINK_LIFE_MS: Final = 2 * 3_600_000
SPAN_DAYS_MAX: Final = 180
DMA: Final = "dma"  # kind of a report; of fully disclosed brokers it is the broker's type


def if_rebate(call: Call) -> Answer:
    """GET broker/fd/if-rebate: does the owner of this key bring rebate?"""
    _broker_type(call, call.query.get("brokerType"))
    key = call.query.get("apiKey")
    if not key:
        raise parameter_empty("apiKey")
    user = call.world.users.get(key)
    if user is None:
        raise Refused("59506", "API key doesn't exist.")
    asked_about = call.world.profile(user)
    return accepted(
        [
            {
                "affiliated": asked_about.affiliated,
                "brokerCode": _profile(call).broker_code,
                "clientRebateRatio": "0",
                "lastRebate": "",
                "type": asked_about.rebate_type,
            }
        ]
    )


def ask_report(call: Call) -> Answer:
    """POST broker/fd/rebate-per-orders: have a report made."""
    item = call.object()
    return _ask(call, _broker_type(call, item.get("brokerType")), item)


def reports(call: Call) -> Answer:
    """GET broker/fd/rebate-per-orders: links to the reports."""
    return _links(call, _broker_type(call, call.query.get("brokerType")))


def ask_trades(call: Call) -> Answer:
    """POST broker/dma/trades."""
    return _ask(call, DMA, call.object())


def trades(call: Call) -> Answer:
    """GET broker/dma/rebate-per-orders."""
    return _links(call, DMA)


def _profile(call: Call) -> Profile:
    assert call.user is not None
    return call.world.profile(call.user)


def _broker_type(call: Call, value: object) -> str:
    own = _profile(call).broker_types.split(",")
    if not value:
        if len(own) > 1:
            raise Refused("50044", "Must select one broker type")
        return own[0]
    if value not in own:
        raise parameter_error("brokerType")
    return str(value)


def _ask(call: Call, kind: str, item: Json) -> Answer:
    assert call.user is not None
    begin, end = _days(item)
    made = call.world.broker(call.user).reports
    known = (kind, begin, end) in made
    asked_ms = made.setdefault((kind, begin, end), call.now_ms)
    return accepted([{"result": "true" if known else "false", "ts": str(asked_ms)}])


def _links(call: Call, kind: str) -> Answer:
    assert call.user is not None
    wanted = call.query.get("type")
    if not wanted:
        raise parameter_empty("type")
    if wanted not in ("true", "false"):
        raise parameter_error("type")
    days = _days(dict(call.query)) if wanted == "false" else None
    made = call.world.broker(call.user).reports
    return accepted(
        [
            _link(call, begin, end, asked_ms)
            for (of, begin, end), asked_ms in made.items()
            if of == kind and days in (None, (begin, end))
        ]
    )


def _link(call: Call, begin: str, end: str, asked_ms: int) -> Json:
    ready_ms = asked_ms + _profile(call).report_ms
    finished = call.now_ms >= ready_ms
    expires = (call.now_ms + LINK_LIFE_MS) // 1000
    name = f"RebateDetails{begin[4:]}-{end[4:]}.csv"
    link = f"https://reports.invalid/okex/broker/pap/brokerRebateInfo/{name}?Expires={expires}"
    return {
        "beginTime": str(_midnight_ms(begin)),
        "cTime": str(asked_ms),
        "endTime": str(_midnight_ms(end)),
        "fileHref": link if finished else "",
        "state": "finished" if finished else "ongoing",
        "ts": str(ready_ms if finished else call.now_ms),
    }


def _days(item: Json) -> tuple[str, str]:
    """The first and the last day, YYYYMMDD in UTC."""
    for key in ("begin", "end"):
        if not item.get(key):
            raise parameter_empty(key)
    begin, end = str(item["begin"]), str(item["end"])
    days = (_midnight_ms(end) - _midnight_ms(begin)) // 86_400_000
    if days < 0:
        raise Refused("59616", "The Begin Date cannot be later than the End Date.")
    if days > SPAN_DAYS_MAX:
        raise Refused(
            "59615",
            "The time interval between the Begin Date and End Date "
            "cannot be greater than 180 days.",
        )
    return begin, end


def _midnight_ms(day: str) -> int:
    unreadable = Refused("59612", "Cannot convert time format")
    if len(day) != 8 or not (day.isascii() and day.isdecimal()):
        raise unreadable
    try:
        moment = datetime.datetime(int(day[:4]), int(day[4:6]), int(day[6:]), tzinfo=datetime.UTC)
    except ValueError:
        raise unreadable from None
    return round(moment.timestamp() * 1000)


GETS: Final[dict[str, Callable[[Call], Answer]]] = {
    "broker/fd/if-rebate": if_rebate,
    "broker/fd/rebate-per-orders": reports,
    "broker/dma/rebate-per-orders": trades,
}
POSTS: Final[dict[str, Callable[[Call], Answer]]] = {
    "broker/fd/rebate-per-orders": ask_report,
    "broker/dma/trades": ask_trades,
}
