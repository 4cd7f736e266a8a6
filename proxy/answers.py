"""What goes back to the bot, and what is written down about it: replies, metrics, the log line.

Every answer leaves through here, so that none goes uncounted. Nothing is decided here, and
nothing of a request but its names and figures is recorded.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Final, final

import orjson

from proxy.errors import PERHAPS_SENT, Refusal, Slug
from proxy.model import Reply
from proxy.passage import FORWARDED

if TYPE_CHECKING:
    from proxy.clock import Clock
    from proxy.limits.limiter import NoSlot, Ticket
    from proxy.logs import RequestLog
    from proxy.metrics import Metrics
    from proxy.model import Request, Response, Verdict
    from proxy.passage import Passage
    from proxy.routes import Front

# RFC 9110 7.6.1, and what would bind a bot to the exchange's own address
_DROPPED: Final = frozenset(
    (
        b"alt-svc",
        b"connection",
        b"content-length",
        b"date",  # the listener's own
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"set-cookie",
        b"strict-transport-security",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"server-timing",
        b"x-request-id",
        b"x-tagproxy-cache",
        b"x-tagproxy-error",
    )
)
_MALFORMED: Final[dict[int, Slug]] = {413: "body_too_large", 503: "overloaded"}
_JSON: Final = b"Content-Type: application/json\r\n"
_LIMITED: Final = (
    b"X-Request-Id: %b\r\nServer-Timing: proxy;dur=%.3f, limit;dur=%.3f, exchange;dur=%.3f\r\n"
)
_UNLIMITED: Final = (
    b"X-Request-Id: %b\r\nServer-Timing: proxy;dur=%.3f, limit;dur=0, exchange;dur=%.3f\r\n"
)
_MS: Final = 1_000_000.0
_S: Final = 1_000_000_000.0


@final
class Answers:
    """Renders and records every answer of one process."""

    __slots__ = ("_clock", "_log", "_metrics", "_numbers", "_prefix")

    def __init__(self, clock: Clock, metrics: Metrics, log: RequestLog) -> None:
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._prefix = os.urandom(4).hex().encode()
        self._numbers = count(1)

    def next_id(self) -> bytes:
        """A request id: unique to this process, and unlikely to be another's."""
        return b"%b-%x" % (self._prefix, next(self._numbers))

    def answered(self, passage: Passage, response: Response, verdict: Verdict) -> Reply:
        """The exchange's answer: status and body as they came."""
        outcome = "ok" if verdict.outcome == "ok" else "exchange_error"
        timing = self._record(passage, outcome, verdict.code, verdict.order_ids)
        lines = [
            b"%b: %b\r\n" % (name, value)
            for name, value in response.headers
            if name not in _DROPPED
        ]
        lines.append(timing)
        if passage.shared:
            lines.append(b"X-Tagproxy-Cache: %b\r\n" % passage.shared.encode())
        self._note_key(passage, verdict)
        return Reply(response.status, b"".join(lines), response.body)

    def own(self, passage: Passage, content: object) -> Reply:
        """What the proxy itself has to tell."""
        timing = self._record(passage, "ok", "", "")
        return Reply(200, _JSON + timing, orjson.dumps(content))

    @staticmethod
    def _note_key(passage: Passage, verdict: Verdict) -> None:
        """Whether the exchange takes the account's key."""
        access = passage.access
        if access is None or passage.route.shared:
            return
        activity = access.account.standing.activity
        if verdict.key_refused:
            if passage.manner == FORWARDED and activity.key_health == "ok":
                return  # anybody may have signed this
            activity.health(passage.wall_ms, verdict.code)
        elif activity.key_health != "ok" and verdict.outcome == "ok":
            activity.health(passage.wall_ms, "ok")

    def refused(self, passage: Passage, refusal: Refusal) -> Reply:
        """Our own no, in the exchange's own shape and words."""
        timing = self._record(passage, refusal.slug, "", "")
        access = passage.access
        if access is not None:
            access.account.standing.activity.refused(
                passage.wall_ms, refusal.slug, passage.route.endpoint.label, refusal.facts
            )
        site = passage.route.site
        status, body = site.exchange.refusal(
            refusal.slug, passage.request.path, _detail(refusal, passage.request.id)
        )
        return Reply(status, _refusal_head(refusal, timing), body)

    def refused_path(self, request: Request, front: Front, refusal: Refusal) -> Reply:
        """A no to a path that cannot be read for certain, in its exchange's shape if it has one."""
        return self._unrouted(request, front, refusal, 0)

    def nowhere(self, request: Request, front: Front) -> Reply:
        """No exchange lives under this path."""
        refusal = Refusal("bad_request", "no exchange is served under this path")
        return self._unrouted(request, front, refusal, 404)

    def malformed(self, request: Request | None, front: Front, status: int, what: str) -> Reply:
        """What cannot be read as a request; `status` is HTTP's own and ends the connection."""
        refusal = Refusal(_MALFORMED.get(status, "bad_request"), what)
        reply = self._unrouted(request, front, refusal, status)
        reply.close = True
        return reply

    def _unrouted(
        self, request: Request | None, front: Front, refusal: Refusal, status: int
    ) -> Reply:
        """A refusal of what found no route. `status` 0 is the exchange's own, else 400."""
        request_id = request.id if request is not None and request.id else self.next_id()
        detail = _detail(refusal, request_id)
        path = request.target.partition(b"?")[0] if request is not None else b""
        route = front.unclassified(b"GET", path)
        own_ns = 0
        if request is not None:
            own_ns = self._clock.monotonic_ns() - request.started_ns
        if route is None:
            status = status or 400
            exchange, label, body = "", "", _plain_body(status, detail)
        else:
            exchange, label = route.site.name, route.endpoint.label
            route.outcomes[refusal.slug] += 1
            own_status, body = route.site.exchange.refusal(
                refusal.slug, path[len(route.prefix) :], detail
            )
            status = status or own_status
        self._log.write(
            request_id, None, exchange, label, refusal.slug, "", "", "", "", own_ns, 0, 0
        )
        timing = _UNLIMITED % (request_id, own_ns / _MS, 0.0)
        return Reply(status, _refusal_head(refusal, timing), body)

    def gone(self, passage: Passage) -> None:
        """A bot took its request back before it was sent: nothing to count, but a line."""
        total_ns = self._clock.monotonic_ns() - passage.request.started_ns
        own_ns = max(total_ns - passage.limit_ns - passage.exchange_ns, 0)
        self._line(passage, "bot_gone", "", "", own_ns)

    def fault(self, request_id: bytes, error: BaseException) -> None:
        """Write down a fault of our own, for whoever mends it."""
        self._log.fault("a request failed", error, request_id=request_id.decode())

    def waited(self, passage: Passage, slots: Ticket, waited_ns: int) -> None:
        """A request got its slots after a wait."""
        name = passage.route.site.name
        self._metrics.limit_wait(name, slots.rule).observe(waited_ns / _S)

    def no_slot(self, passage: Passage, full: NoSlot) -> None:
        """A request found no slot in time."""
        name, rule = passage.route.site.name, full.bucket.pool.name
        self._metrics.limit_rejected(name, rule).n += 1
        self._metrics.limit_wait(name, rule).observe(full.waited_ns / _S)

    def _record(self, passage: Passage, outcome: str, exchange_code: str, order_ids: str) -> bytes:
        """Count and log one answer; return its X-Request-Id and Server-Timing lines."""
        route, request = passage.route, passage.request
        site = route.site
        total_ns = self._clock.monotonic_ns() - request.started_ns
        limit_ns, exchange_ns = passage.limit_ns, passage.exchange_ns
        own_ns = total_ns - limit_ns - exchange_ns
        route.outcomes[outcome] += 1
        if passage.sent:
            route.tagged.n += passage.orders
        site.overhead.observe(own_ns / _S)
        if exchange_ns:
            site.exchange_seconds.observe(exchange_ns / _S)
        access = passage.access
        if access is not None and passage.verified:
            access.account.standing.activity.seen(
                passage.wall_ms, passage.orders if passage.sent else 0
            )
        self._line(passage, outcome, exchange_code, order_ids, own_ns)
        if not limit_ns:
            return _UNLIMITED % (request.id, own_ns / _MS, exchange_ns / _MS)
        return _LIMITED % (request.id, own_ns / _MS, limit_ns / _MS, exchange_ns / _MS)

    def _line(
        self, passage: Passage, outcome: str, exchange_code: str, order_ids: str, own_ns: int
    ) -> None:
        """Write one request's log line."""
        access, egress, route = passage.access, passage.egress, passage.route
        self._log.write(
            passage.request.id,
            access.account if access is not None else None,
            route.site.name,
            route.endpoint.label,
            outcome,
            passage.client_order_ids,
            order_ids,
            exchange_code,
            egress.address if egress is not None else "",
            own_ns,
            passage.limit_ns,
            passage.exchange_ns,
        )


def _detail(refusal: Refusal, request_id: bytes) -> str:
    sent = "PERHAPS SENT" if refusal.slug == PERHAPS_SENT else "NOT SENT"
    facts = f" {refusal.facts}," if refusal.facts else ""
    return f"[tagproxy {refusal.slug}:{facts} {sent}, req {request_id.decode()}]"


def _refusal_head(refusal: Refusal, timing: bytes) -> bytes:
    head = _JSON + b"X-Tagproxy-Error: %b\r\n" % refusal.slug.encode() + timing
    if refusal.retry_after_ms:
        head += b"Retry-After: %d\r\n" % -(-refusal.retry_after_ms // 1000)
    return head


def _plain_body(status: int, detail: str) -> bytes:
    """The body of an answer that belongs to no exchange."""
    words = HTTPStatus(status).phrase
    return orjson.dumps({"code": str(status), "msg": f"{words} {detail}"})
