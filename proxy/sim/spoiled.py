"""Answers that go wrong: does to a request what its fault wants, see `proxy.sim.faults`."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, final

from proxy.sim import edge
from proxy.sim.answers import page
from proxy.sim.faults import cut

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from proxy.sim.answers import Answer
    from proxy.sim.exchange import Simulated
    from proxy.sim.faults import Fault
    from proxy.sim.recorded import Recorded


@final
class Spoiler:
    """Wraps `process`, which does a request and fills its record, in trouble."""

    def __init__(self, exchange: Simulated, process: Callable[[Recorded, int], Answer]) -> None:
        self._exchange = exchange
        self._process = process

    async def answer(
        self, request: web.BaseRequest, record: Recorded, fault: Fault
    ) -> Answer | None:
        """Return what is sent after all; None when the connection was cut."""
        record.fault = fault.kind
        if fault.kind == "late":
            await asyncio.sleep(fault.delay_ms / 1000)
            return self._process(record, record.wall_ms + fault.delay_ms)
        if fault.kind in ("code", "html", *edge.BANS):
            return self._made_up(record, fault)
        processed = fault.process or fault.kind not in ("drop", "hang")
        answer = self._process(record, record.wall_ms) if processed else None
        if fault.kind == "slow":
            await asyncio.sleep(fault.delay_ms / 1000)
            return answer
        record.status = 0
        if fault.kind == "hang":
            await asyncio.Event().wait()
        cut(request, fault.kind, answer)
        return None

    def _made_up(self, record: Recorded, fault: Fault) -> Answer:
        if fault.process and fault.kind not in edge.BANS:
            self._process(record, record.wall_ms)
        if fault.kind in edge.BANS:
            site = self._exchange.site
            answer = edge.page(fault, site, record.arrived_ns, record.wall_ms)
        elif fault.kind == "html":
            html = "<html><head><title>502 Bad Gateway</title></head><body></body></html>"
            answer = page(fault.status or 502, html, fault.headers)
        else:
            answer = self._exchange.refusal(fault.code, "simulated", fault.status)
            answer = dataclasses.replace(answer, headers={**answer.headers, **fault.headers})
        made = record.order_ids
        record.answered(answer)
        record.order_ids = made
        return answer
