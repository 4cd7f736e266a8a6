"""One request's way, top to bottom: route, identify | verify, tag, admit = sign = send, answer.

`screen` sees the head alone and `carry` the whole request. No parsing, no crypto, no SQL and no
exchange's name stands here: what an exchange wants is asked of `site.exchange`; admitting, signing
and sending is `delivery.py`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, final

from proxy.errors import Refusal
from proxy.model import Broker, Outbound, Reply
from proxy.passage import FORWARDED, SIGNED, Passage
from proxy.routes import ORDERS
from proxy.security.paths import decoded_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.accounts.directory import Access
    from proxy.admission import Admission
    from proxy.answers import Answers
    from proxy.clock import Clock
    from proxy.delivery import Delivery
    from proxy.identities import Identities
    from proxy.model import Request, Response, Verdict
    from proxy.public_reads import PublicReads
    from proxy.routes import Front, Route

_ODD: Final = re.compile(r"[^a-z0-9/_\-]")  # an exchange may read a path up to here only


@final
class Pipeline:
    """Takes requests from one listening port to their exchange and back.

    `front` may be replaced at any time: a request keeps the route it found.
    """

    __slots__ = (
        "_admission",
        "_answers",
        "_clock",
        "_delivery",
        "_describe",
        "_identities",
        "_public_reads",
        "front",
    )

    def __init__(
        self,
        front: Front,
        *,
        admission: Admission,
        delivery: Delivery,
        public_reads: PublicReads,
        identities: Identities,
        answers: Answers,
        describe: Callable[[Passage], dict[str, Any]],
        clock: Clock,
    ) -> None:
        self.front = front
        self._admission = admission
        self._delivery = delivery
        self._public_reads = public_reads
        self._identities = identities
        self._answers = answers
        self._describe = describe
        self._clock = clock

    # ---- the head alone -------------------------------------------------------------------

    def screen(self, request: Request) -> Passage | Reply:
        """Decide on the head whether the body is worth reading: route, key, address, time."""
        request.id = self._answers.next_id()
        admission = self._admission
        if admission.policy.behind:
            admission.look_behind(request)
        route = self.front.routes.get(request.method + b" " + request.path)
        try:
            if route is not None:
                request.path = route.path
            else:
                route = self.front.templated(request.method, request.path)
                if route is None:
                    route = self._route_unclassified(request)
                if route is None:
                    return self._answers.nowhere(request, self.front)
                request.path = request.path[len(route.prefix) :]
            request.prefix = route.prefix
            passage = Passage(request, route, self._clock.wall_ms())
        except Refusal as refusal:
            return self._answers.refused_path(request, self.front, refusal)
        try:
            admission.identify(passage)
        except Refusal as refusal:
            return self._answers.refused(passage, refusal)
        return passage

    def _route_unclassified(self, request: Request) -> Route | None:
        path = decoded_path(request.path)
        route = self.front.unclassified(request.method, request.path)
        if route is None:
            return None
        if route.absent:
            raise Refusal("bad_request", route.absent)
        own_path = path[len(route.prefix) :]
        knows = route.site.knows
        if not route.read and (knows(own_path.encode()) or knows(_ODD.split(own_path)[0].encode())):
            # another spelling or method of a known write would go out untagged
            raise Refusal("bad_request", "no such method and spelling of this path")
        return route

    # ---- what the listener asks beside ------------------------------------------------------

    def sent(self, passage: Passage) -> bool:
        """Whether a byte may have left: from then on a bot that hangs up changes nothing."""
        return passage.sent

    def gone(self, passage: Passage) -> None:
        """Take note of a request whose bot hung up before it was sent; it never will be."""
        self._answers.gone(passage)

    def malformed(self, request: Request | None, status: int, what: str) -> Reply:
        """Answer what cannot be read as a request; the connection ends."""
        return self._answers.malformed(request, self.front, status, what)

    def failed(self, passage: Passage, error: BaseException) -> Reply:
        """Answer a request that met a fault of our own: after the send nobody knows its fate."""
        self._answers.fault(passage.request.id, error)
        if passage.sent:
            return self._answers.refused(
                passage, Refusal("upstream_unknown", "the proxy failed after it sent the request")
            )
        return self._answers.refused(passage, Refusal("internal", "the proxy failed"))

    # ---- the whole request ----------------------------------------------------------------

    async def carry(self, passage: Passage) -> Reply:
        """Take a screened request with its body to the exchange and bring the answer back."""
        route = passage.route
        try:
            self._admission.verify(passage)
            if route.local:
                return self._answers.own(passage, self._describe(passage))
            access = passage.access
            if access is not None and not route.public and passage.manner == SIGNED:
                standing = access.account.standing
                if passage.wall_ms >= standing.ask_ms:
                    await self._identities.learn(passage)
            response, verdict = await self._forward(passage)
            if passage.manner == FORWARDED:
                self._admission.verified_there(passage, verdict)
            return self._answers.answered(passage, response, verdict)
        except Refusal as refusal:
            return self._answers.refused(passage, refusal)
        finally:
            if passage.digest and not passage.sent:
                self._admission.release(passage)

    def _forward(self, passage: Passage) -> Awaitable[tuple[Response, Verdict]]:
        """Read, tag and charge the request; what comes of that brings what the exchange says.

        No coroutine of its own: each one on the way costs every request.
        """
        route, request, access = passage.route, passage.request, passage.access
        site, endpoint = route.site, route.endpoint
        exchange = site.exchange
        content = exchange.read(endpoint, request)
        passage.client_order_ids = exchange.client_order_ids(content)
        broker = site.broker
        if access is not None:
            if access.account.disabled:
                self._let_close(passage, access, content)
            if access.account.code:
                broker = Broker(access.account.code, broker.name, broker.mac)
        suffix, body = request.suffix, request.body
        if access is not None and access.account.mode == "observe":
            self._observe(passage, content, broker)
        else:
            tagged = exchange.tag(endpoint, request, content, broker.code, site.on_conflict)
            if tagged.found:
                site.foreign[tagged.found] += 1
                passage.orders = tagged.orders
            if tagged.kept:
                broker = Broker(tagged.kept, broker.name, broker.mac)
            if passage.manner == SIGNED:
                suffix, body = tagged.suffix, tagged.body
        charges = exchange.charges(endpoint, request, content)
        if route.shared and passage.manner == SIGNED and not site.minds(request):
            return self._public_reads.read(passage, charges, suffix, broker)
        claim = passage.claim
        demo = claim is not None and claim.demo
        outbound = Outbound(request.method, request.path, suffix, body, demo=demo)
        return self._delivery.deliver(passage, outbound, broker, charges)

    @staticmethod
    def _observe(passage: Passage, content: Any, broker: Broker) -> None:
        """Count whose code a request carries that leaves as the bot signed it."""
        route = passage.route
        site = route.site
        try:
            tagged = site.exchange.tag(
                route.endpoint, passage.request, content, broker.code, "replace"
            )
        except Refusal:
            return  # the exchange will say what it makes of it
        if tagged.found:
            site.foreign[tagged.found] += 1
            passage.orders = tagged.orders if tagged.found == "ours" else 0

    @staticmethod
    def _let_close(passage: Passage, access: Access, content: Any) -> None:
        """`close-only` lets reads, cancels and reducing orders through."""
        route = passage.route
        if route.priority == ORDERS and not route.site.exchange.reduces(route.endpoint, content):
            reason = access.account.reason or "the operator lets positions be closed only"
            facts = f"account {access.account.label}: {reason}" if passage.verified else ""
            raise Refusal("forbidden_endpoint", facts)
