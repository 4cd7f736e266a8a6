"""What the simulated KuCoin says where nothing of ours looks closer: plausible and bland."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.sim.kucoin.answers import accepted, paged

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.kucoin.desk import Call

_IDS_KEPT = 1000


def read(call: Call) -> Answer:
    """Answer any GET: an empty page where one may be asked for, else an empty object."""
    if "{" in call.row.path:
        return accepted(dict(call.names))
    return accepted(paged(call.query, []))


def write(call: Call) -> Answer:
    """Answer any POST or DELETE: whatever it made has an id."""
    number = call.world.new_id(call.row.venue)
    made = call.desk.other_ids
    made.append(number)
    del made[:-_IDS_KEPT]
    return accepted({"orderId": number, "id": number}, [number])
