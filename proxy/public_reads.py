"""Public reads: one request to the exchange for all who ask the same at a time.

The answer is the same for everybody, so it is asked for without a key and belongs to nobody: a bot
that hangs up takes nothing from the others, and whoever comes while it is on its way joins. Where
the endpoint's row allows, a copy is served while it is young enough, counted from the send.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from proxy.errors import BotGone, Refusal
from proxy.model import Outbound
from proxy.passage import UNSIGNED, Passage
from proxy.tasks import Drive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.clock import Clock
    from proxy.delivery import Delivery
    from proxy.model import Broker, Charge, Response, Verdict
    from proxy.routes import Site

COPIES_MAX: Final = 2_000
COPIES_BYTES_MAX: Final = 64 * 1024 * 1024
_LEADS_MAX: Final = 3  # flights that one request may see fail before it gives up
_LEAST_NS: Final = 500_000_000  # with less time than this left nothing is asked again

Key = tuple[str, str, str, bool, bool, bytes]  # table, host, venue, demo, strangers', target


@final
class _Flight:
    """One request to the exchange, and who waits for its answer."""

    __slots__ = ("drive", "passage", "started", "waiting")

    def __init__(self, passage: Passage) -> None:
        self.passage = passage
        self.started = False
        self.waiting: list[asyncio.Future[tuple[Response, Verdict]]] = []
        self.drive: Drive[tuple[Response, Verdict]] | None = None


@final
class PublicReads:
    """The public reads on their way, and the copies kept."""

    __slots__ = ("_clock", "_copies", "_delivery", "_flights", "kept_bytes")

    def __init__(self, delivery: Delivery, clock: Clock) -> None:
        self._delivery = delivery
        self._clock = clock
        self._flights: dict[Key, _Flight] = {}
        # the target's answer, when it was asked for, until when it may be served
        self._copies: OrderedDict[Key, tuple[Response, Verdict, int]] = OrderedDict()
        self.kept_bytes = 0  # of the copies' bodies

    async def read(
        self, passage: Passage, charges: Sequence[Charge], suffix: bytes, broker: Broker
    ) -> tuple[Response, Verdict]:
        """Return the exchange's answer; `passage.shared` says whose. Raises `Refusal`."""
        request, site = passage.request, passage.route.site
        # budgets "per IP" are one for both markets: the exchange sees no key
        outbound = Outbound(request.method, request.path, suffix, b"", demo=False)
        target = request.path + suffix
        key = (site.name, site.host, site.venue, self._demo(passage), passage.stranger, target)
        joined_ns = passage.queued_ns = self._clock.monotonic_ns()
        copy = self._copies.get(key) if passage.route.endpoint.copy_ns else None
        if copy is not None and joined_ns < copy[2]:
            return self._share(passage, site, copy[0], copy[1], "hit")
        for leads_left in reversed(range(_LEADS_MAX)):
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._start(key, passage, outbound, charges, broker)
            try:
                response, verdict = await self._join(key, flight)
            except Refusal:
                # whoever joined later may wait longer: it asks again for itself
                if leads or not leads_left or self._is_late(passage):
                    self._time(passage, flight, joined_ns, leads=leads)
                    raise
                continue
            self._time(passage, flight, joined_ns, leads=leads)
            return self._share(passage, site, response, verdict, "" if leads else "merged")
        raise AssertionError("the last lead raises or returns")

    def _is_late(self, passage: Passage) -> bool:
        """Whether no answer can be expected in time: what is asked now would fail for all."""
        deadline_ns = passage.request.started_ns + passage.route.site.deadline_ns
        return deadline_ns - self._clock.monotonic_ns() < _LEAST_NS

    @staticmethod
    def _demo(passage: Passage) -> bool:
        """Whether the demo market is asked; without a key a header of its own says so."""
        if passage.claim is not None:
            return passage.claim.demo
        return passage.route.site.exchange.unsigned_head(passage.request) != b""

    @staticmethod
    def _share(
        passage: Passage, site: Site, response: Response, verdict: Verdict, how: str
    ) -> tuple[Response, Verdict]:
        passage.shared = how
        site.public_reads[how or "sent"] += 1
        return response, verdict

    def _time(self, passage: Passage, flight: _Flight, joined_ns: int, *, leads: bool) -> None:
        passage.egress = flight.passage.egress
        if leads:
            passage.limit_ns = flight.passage.limit_ns
            passage.exchange_ns = flight.passage.exchange_ns
        else:
            passage.exchange_ns = self._clock.monotonic_ns() - joined_ns

    # ---- flights ----------------------------------------------------------------------------

    def _start(
        self,
        key: Key,
        passage: Passage,
        outbound: Outbound,
        charges: Sequence[Charge],
        broker: Broker,
    ) -> _Flight:
        """Send a request that outlives the bot which asked first."""
        own = Passage(passage.request, passage.route, passage.wall_ms)
        own.access = passage.access  # whose turn it takes
        own.stranger = passage.stranger
        own.manner = UNSIGNED
        own.queued_ns = passage.queued_ns
        flight = self._flights[key] = _Flight(own)

        def landed(answer: tuple[Response, Verdict] | None, error: BaseException | None) -> None:
            flight.drive = None
            if self._flights.get(key) is flight:
                del self._flights[key]
            if answer is not None:
                self._keep(key, own, answer)
            for waiter in flight.waiting:
                if waiter.done():
                    continue
                if answer is not None:
                    waiter.set_result(answer)
                else:
                    waiter.set_exception(error or BotGone())

        carried = self._delivery.deliver(own, outbound, broker, charges)
        flight.drive = Drive(carried, landed)
        return flight

    async def _join(self, key: Key, flight: _Flight) -> tuple[Response, Verdict]:
        waiter: asyncio.Future[tuple[Response, Verdict]] = (
            asyncio.get_running_loop().create_future()
        )
        flight.waiting.append(waiter)
        if not flight.started and flight.drive is not None:
            flight.started = True
            flight.drive.start()
        try:
            return await waiter
        except BotGone:
            flight.waiting.remove(waiter)
            drive = flight.drive
            if not flight.waiting and drive is not None and not flight.passage.sent:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                drive.drop()  # nobody asks any more, and nothing was sent
            raise

    # ---- copies -----------------------------------------------------------------------------

    def _keep(self, key: Key, passage: Passage, answer: tuple[Response, Verdict]) -> None:
        copy_ns = passage.route.endpoint.copy_ns
        response, verdict = answer
        if not copy_ns or response.status != 200 or verdict.outcome != "ok":
            return
        self._drop(key)
        self._copies[key] = (response, verdict, passage.sent_ns + copy_ns)
        self.kept_bytes += len(response.body)
        now_ns = self._clock.monotonic_ns()
        while self._copies:
            oldest, (_, _, until_ns) = next(iter(self._copies.items()))
            full = len(self._copies) > COPIES_MAX or self.kept_bytes > COPIES_BYTES_MAX
            if not full and now_ns < until_ns:
                break
            self._drop(oldest)

    def _drop(self, key: Key) -> None:
        copy = self._copies.pop(key, None)
        if copy is not None:
            self.kept_bytes -= len(copy[0].body)
