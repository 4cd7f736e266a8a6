"""Questions of our own to an exchange, about an account and with its key: the way of a bot's
request, so that limits, addresses and signatures are the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, final

from proxy.errors import Refusal
from proxy.message import OWN_HEADERS
from proxy.model import Claim, Outbound, Request
from proxy.passage import Passage
from proxy.routes import Route
from proxy.tasks import Drive

if TYPE_CHECKING:
    from proxy.clock import Clock
    from proxy.delivery import Delivery
    from proxy.exchanges.spec import Lesson
    from proxy.model import Response, Verdict


_NEVER_MS: Final = 1 << 62


@final
class Asking:
    """Asks lessons of the exchange."""

    __slots__ = ("_clock", "_delivery")

    def __init__(self, delivery: Delivery, clock: Clock) -> None:
        self._delivery = delivery
        self._clock = clock

    async def ask(self, passage: Passage, lesson: Lesson) -> Response:
        """Return the exchange's answer to `lesson`, asked for the account of `passage` and of the
        market, live or demo, that it is for. To be awaited in a task. Raises `Refusal`."""
        own = self._passage(passage, lesson)
        route, request = own.route, own.request
        exchange, endpoint = route.site.exchange, route.endpoint
        charges = exchange.charges(endpoint, request, exchange.read(endpoint, request))
        demo = own.claim is not None and own.claim.demo
        outbound = Outbound(request.method, request.path, request.suffix, b"", demo=demo)
        answered: asyncio.Future[tuple[Response, Verdict]] = (
            asyncio.get_running_loop().create_future()
        )

        def done(answer: tuple[Response, Verdict] | None, error: BaseException | None) -> None:
            if answered.done():
                return
            if answer is not None:
                answered.set_result(answer)
            else:
                answered.set_exception(error or Refusal("internal"))

        drive = Drive(self._delivery.deliver(own, outbound, route.site.broker, charges), done)
        drive.start()
        try:
            response, _ = await answered
        except asyncio.CancelledError:
            if not own.sent:
                drive.drop()
            raise
        return response

    def _passage(self, passage: Passage, lesson: Lesson) -> Passage:
        site, claim = passage.route.site.main, passage.claim
        method, path = lesson.method.decode(), lesson.path.decode()
        endpoint = next(row for row in site.endpoints if (row.method, row.path) == (method, path))
        request = Request(
            lesson.method,
            lesson.path + lesson.suffix,
            OWN_HEADERS,
            passage.request.source,
            self._clock.monotonic_ns(),
        )
        route = Route(site, endpoint, b"", lesson.path, unclassified=False)
        own = Passage(request, route, self._clock.wall_ms())
        own.access = passage.access
        if claim is not None:
            own.claim = Claim(claim.api_key, b"", -1, b"", b"", claim.demo, 0, 0, _NEVER_MS)
        return own
