"""What is served without being simulated: well-formed calls get a plausible answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.sim.mexc.answers import enveloped, plain

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.mexc.desk import Call


def read(call: Call) -> Answer:
    """Any other read: there is nothing to show."""
    return enveloped([]) if call.row.api == "futures" else plain([])


def write(call: Call) -> Answer:
    """Any other write: it is accepted and nothing is done."""
    if call.row.api == "futures":
        return enveloped()
    return plain({"data": True, "code": 200, "msg": "success", "timestamp": call.now_ms})
