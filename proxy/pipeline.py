"""One request's way, top to bottom: route, identify | verify, tag, admit = sign = send, answer.

`screen` sees the head alone and `carry` the whole request. No parsing, no crypto, no SQL and no
exchange's name stands here: what an exchange wants is asked of `site.exchange`; admitting, signing
and sending is `delivery.py`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, final

from proxy.errors import Refusal
from proxy.model import Broker, Reply
from proxy.passage import Passage
from proxy.routes import ORDERS
from proxy.security.paths import decoded_path

if TYPE_CHECKING:
    from proxy.accounts.directory import Access, Directory
    from proxy.answers import Answers
    from proxy.clock import Clock
    from proxy.delivery import Delivery
    from proxy.model import Request
    from proxy.routes import Front, Route
    from proxy.security.addresses import KnownAddresses
    from proxy.security.failures import Failures
    from proxy.security.replays import Replays

_ODD: Final = re.compile(r"[^a-z0-9/_\-]")  # an exchange may read a path up to here only

Anonymous = Literal["known", "all", "none"]
UnknownWrites = Literal["refuse", "forward"]


@final
class Pipeline:
    """Takes requests from one listening port to their exchange and back."""

    __slots__ = (
        "_accounts",
        "_addresses",
        "_anonymous",
        "_answers",
        "_clock",
        "_delivery",
        "_failures",
        "_replays",
        "_unknown_writes",
        "front",
        "stopping",
    )

    def __init__(
        self,
        front: Front,
        *,
        accounts: Directory,
        delivery: Delivery,
        replays: Replays,
        failures: Failures,
        addresses: KnownAddresses,
        answers: Answers,
        clock: Clock,
        anonymous: Anonymous,
        unknown_writes: UnknownWrites,
    ) -> None:
        self.front = front
        self.stopping = False
        self._accounts = accounts
        self._delivery = delivery
        self._replays = replays
        self._failures = failures
        self._addresses = addresses
        self._answers = answers
        self._clock = clock
        self._anonymous: Anonymous = anonymous
        self._unknown_writes: UnknownWrites = unknown_writes

    # ---- the head alone -------------------------------------------------------------------

    def screen(self, request: Request) -> Passage | Reply:
        """Decide on the head whether the body is worth reading: route, key, address, time."""
        request.id = self._answers.next_id()
        route = self.front.routes.get(request.method + b" " + request.path)
        try:
            if route is None:
                route = self._route_unclassified(request)
                if route is None:
                    return self._answers.nowhere(request, self.front)
            else:
                request.path = route.path
            request.prefix = route.prefix
            passage = Passage(request, route, self._clock.wall_ms())
        except Refusal as refusal:
            return self._answers.refused_path(request, self.front, refusal)
        try:
            self._identify(passage)
        except Refusal as refusal:
            return self._answers.refused(passage, refusal)
        return passage

    def _route_unclassified(self, request: Request) -> Route | None:
        path = decoded_path(request.path)
        route = self.front.unclassified(request.method, request.path)
        if route is None:
            return None
        request.path = request.path[len(route.prefix) :]
        own_path = path[len(route.prefix) :]
        known = route.site.known_paths
        if not route.read and (own_path in known or _ODD.split(own_path)[0] in known):
            # another spelling or method of a known write would go out untagged
            raise Refusal("bad_request", "no such method and spelling of this path")
        return route

    def _identify(self, passage: Passage) -> None:
        request, site = passage.request, passage.route.site
        if self.stopping:
            raise Refusal("shutting_down", "the proxy is stopping")
        if not self._accounts.ready:
            raise Refusal("not_ready", "accounts are not loaded yet")
        claim = site.exchange.identify(request)
        if claim is None:
            self._let_anonymous(passage)
            return
        now_ns = request.started_ns
        self._failures.check(claim.api_key, request.peer, now_ns)
        access = site.accounts.get(claim.api_key)
        if access is None:
            self._failures.failed(claim.api_key, request.peer, now_ns)
            raise Refusal("unknown_key", "this proxy does not know the key")
        if access.networks and not self._accounts.allows(access, request.source):
            raise Refusal("ip_not_allowed", f"requests from {request.source} are not allowed")
        off_ms = claim.timestamp_ms - passage.wall_ms
        if claim.timestamp_ms >= 0 and abs(off_ms) > site.exchange.timestamp_window_ms:
            raise Refusal("stale_timestamp", f"the timestamp is {off_ms} ms off this clock")
        passage.claim = claim
        passage.access = access

    def _let_anonymous(self, passage: Passage) -> None:
        route, source = passage.route, passage.request.source
        if not route.public or route.unclassified:
            raise Refusal("missing_credentials", "this call needs a key")
        if self._anonymous == "all":
            return
        if self._anonymous == "none" or not self._addresses.known(
            source, passage.request.started_ns
        ):
            raise Refusal("missing_credentials", "public calls need a key from here")

    # ---- what the listener asks beside ------------------------------------------------------

    def sent(self, passage: Passage) -> bool:
        """Whether a byte may have left: from then on a bot that hangs up changes nothing."""
        return passage.sent

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
        route, request = passage.route, passage.request
        site, endpoint = route.site, route.endpoint
        exchange = site.exchange
        try:
            self._verify(passage)
            access = passage.access
            content = exchange.read(endpoint, request)
            passage.client_order_ids = exchange.client_order_ids(content)
            if access is not None and access.account.disabled:
                self._let_close(passage, access, content)
            broker = site.broker
            if access is not None and access.account.code:
                broker = Broker(access.account.code, broker.name, broker.mac)
            tagged = exchange.tag(endpoint, request, content, broker.code, site.on_conflict)
            if tagged.found:
                site.foreign[tagged.found] += 1
                passage.orders = tagged.orders
            charges = exchange.charges(endpoint, request, content)
            response, verdict = await self._delivery.deliver(passage, tagged, broker, charges)
            return self._answers.answered(passage, response, verdict)
        except Refusal as refusal:
            return self._answers.refused(passage, refusal)
        finally:
            if passage.digest and not passage.sent:
                self._replays.release(passage.digest)

    def _verify(self, passage: Passage) -> None:
        claim, route = passage.claim, passage.route
        if claim is None:
            return
        request = passage.request
        exchange = route.site.exchange
        access = route.site.accounts.get(claim.api_key)
        if access is None:
            raise Refusal("unknown_key", "this proxy does not know the key any more")
        if access is not passage.access:  # it changed while the body came in
            passage.access = access
            if access.networks and not self._accounts.allows(access, request.source):
                raise Refusal("ip_not_allowed", f"requests from {request.source} are not allowed")
        try:
            digest = exchange.verify(request, claim, access.credentials)
        except Refusal:
            self._failures.failed(claim.api_key, request.peer, request.started_ns)
            raise
        self._addresses.verified(request.peer, request.started_ns)
        if route.guarded or access.account.disabled:
            self._permit(passage, access)
        now_ms = passage.wall_ms
        if claim.expires_ms and claim.expires_ms <= now_ms:
            raise Refusal("expired", "the deadline of the request has passed")
        if route.reserves:
            self._replays.reserve(digest, claim.timestamp_ms, request.started_ns)
            passage.digest = digest

    @staticmethod
    def _let_close(passage: Passage, access: Access, content: Any) -> None:
        """`close-only` lets reads, cancels and reducing orders through."""
        route = passage.route
        if route.priority == ORDERS and not route.site.exchange.reduces(route.endpoint, content):
            reason = access.account.reason or "the operator lets positions be closed only"
            raise Refusal("forbidden_endpoint", f"account {access.account.label}: {reason}")

    def _permit(self, passage: Passage, access: Access) -> None:
        account, route, request = access.account, passage.route, passage.request
        if account.disabled == "block":
            reason = account.reason or "the operator disabled it"
            raise Refusal("user_disabled", f"account {account.label}: {reason}")
        sensitive = route.endpoint.sensitive
        if route.unclassified:
            path = decoded_path(request.path)
            sensitive = route.site.exchange.sensitive_class(request.method.decode(), path)
        if sensitive and sensitive not in account.grants:
            raise Refusal("forbidden_endpoint", f"class {sensitive} is not granted")
        if route.unclassified and not route.read and self._unknown_writes != "forward":
            raise Refusal("forbidden_endpoint", "a write that this proxy does not know")
