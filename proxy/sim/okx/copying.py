"""Lead traders' instruments at the simulated OKX.

https://www.okx.com/docs-v5/en/#order-book-trading-copy-trading-get-leading-instruments
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from proxy.sim.answers import Answer
from proxy.sim.okx.answers import Refused, accepted, no_instrument, parameter_error
from proxy.sim.okx.desk import needed
from proxy.sim.okx.profile import LEAD_TRADER

if TYPE_CHECKING:
    from proxy.sim.okx.desk import Call
    from proxy.sim.okx.profile import Profile


def lead_instruments(call: Call) -> Answer:
    """GET copytrading/instruments: all that can be led, and which the caller leads."""
    kind = _kind(call.query.get("instType"))
    return _shown(call, kind, _leader(call, kind))


def set_instruments(call: Call) -> Answer:
    """POST copytrading/set-instruments: those named and no others, from now on."""
    item = call.object()
    kind = _kind(item.get("instType"))
    profile = _leader(call, kind)
    names = needed(item, "instId").split(",")
    if any(call.world.instruments.get(name, {}).get("instType") != kind for name in names):
        raise no_instrument()
    others = profile.leads("SPOT" if kind == "SWAP" else "SWAP")
    assert call.user is not None
    profile = dataclasses.replace(profile, lead_instruments=(*names, *others))
    call.world.profiles[call.user.desk_key] = profile
    return _shown(call, kind, profile)


def _kind(value: object) -> str:
    if value not in (None, "", "SPOT", "SWAP"):
        raise parameter_error("instType")
    return str(value or "SWAP")


def _leader(call: Call, kind: str) -> Profile:
    assert call.user is not None
    profile = call.world.profile(call.user)
    if kind == "SPOT" and profile.spot_role != LEAD_TRADER:
        raise Refused(
            "59260",
            "You are not a spot lead trader yet. "
            "Complete the application on our website or app first.",
        )
    if kind == "SWAP" and profile.role != LEAD_TRADER:
        raise Refused(
            "59262", "You aren't a contract lead trader yet. Complete the application first."
        )
    return profile


def _shown(call: Call, kind: str, profile: Profile) -> Answer:
    led = profile.leads(kind)
    return accepted(
        [
            {"enabled": name in led, "instId": name}
            for name, row in call.world.instruments.items()
            if row["instType"] == kind
        ]
    )
