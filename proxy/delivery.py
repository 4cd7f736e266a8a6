"""The second half of a request's way: admit = sign = send.

Between the slot and the last byte written nothing is awaited, so that a slot never ages and the
count is true. A write whose outcome is unknown is never sent again; what was certainly not sent,
or certainly not done, may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from proxy.errors import Refusal, UpstreamError, UpstreamTimeout
from proxy.limits.limiter import BucketsFull, NoSlot, Ticket, merged
from proxy.model import Outbound, Signed
from proxy.tasks import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.answers import Answers
    from proxy.clock import Clock
    from proxy.errors import Slug
    from proxy.limits.limiter import Bucket, Limiter
    from proxy.model import Broker, Charge, Request, Response, Tagged, Verdict
    from proxy.passage import Passage
    from proxy.routes import Connection, Site

TRIES_MAX: Final = 4  # connections tried for one request, and waits after the exchange's own no
DRAWS_MAX: Final = 1_000  # remembered of one account: which buckets a charge draws on
PASSED_MAX: Final = 1_000  # blocks of passed headers remembered of one exchange
PASSED_BYTES_MAX: Final = 1_000
RETRY_AFTER_S_MAX: Final = 3_600


@final
class Delivery:
    """Brings tagged requests to their exchange, within its limits."""

    __slots__ = ("_answers", "_clock", "_limiter", "_max_wait_ns")

    def __init__(self, limiter: Limiter, answers: Answers, clock: Clock, max_wait_ns: int) -> None:
        self._limiter = limiter
        self._answers = answers
        self._clock = clock
        self._max_wait_ns = max_wait_ns

    async def deliver(
        self, passage: Passage, tagged: Tagged, broker: Broker, charges: Sequence[Charge]
    ) -> tuple[Response, Verdict]:
        """Send until there is an answer or the outcome is unknown; never a write twice."""
        route, request, claim = passage.route, passage.request, passage.claim
        site = route.site
        connections = site.connections
        outbound = Outbound(
            request.method,
            request.path,
            tagged.suffix,
            tagged.body,
            demo=claim is not None and claim.demo,
        )
        passage.queued_ns = self._clock.monotonic_ns()
        passage.deadline_ns = request.started_ns + site.deadline_ns
        slots = self._slots(passage, outbound, charges)
        repeated = False
        for tries_left in reversed(range(TRIES_MAX)):
            connection = None if repeated else connections.take()
            if connection is None:
                connection = await self._admit(passage, slots, fresh=repeated)
            elif not slots.take():
                connection.give_back()
                connection = await self._admit(passage, slots, fresh=False)
            answered = self._send(passage, outbound, broker, slots, connection)
            try:
                response = await answered
            except UpstreamError as error:
                self._lost(passage, slots, error)
                if not error.sent:
                    continue
                if repeated or not route.read or isinstance(error, UpstreamTimeout):
                    raise Refusal("upstream_unknown", str(error)) from error
                repeated = True
                slots = self._slots(passage, outbound, charges)
                continue
            self._settle(passage, slots)
            verdict = site.exchange.classify(route.endpoint, response)
            if not verdict.rate_refused:
                return response, verdict
            self._correct(passage, slots, response, verdict)
            if verdict.processed or not tries_left or not await self._wait_again(passage, slots):
                return response, verdict
        raise Refusal("upstream_unreachable", "every connection closed before the request")

    def _slots(self, passage: Passage, outbound: Outbound, charges: Sequence[Charge]) -> Ticket:
        """The slots that the request needs, none taken yet."""
        access = passage.access
        if access is None:
            draws = self._draws(passage.route.site, "", outbound, charges)
            return Ticket(self._limiter, passage.request.peer, passage.route.priority, draws)
        account = access.account
        if type(charges) is tuple:
            known = account.draws[outbound.demo]
            found = known.get(id(charges))
            if found is not None and found[0] is charges:
                draws = found[1]
            else:
                draws = self._draws(passage.route.site, account.identity, outbound, charges)
                if len(known) >= DRAWS_MAX:
                    known.clear()
                known[id(charges)] = (charges, draws)
        else:
            draws = self._draws(passage.route.site, account.identity, outbound, charges)
        return Ticket(self._limiter, account.id, passage.route.priority, draws)

    def _draws(
        self, site: Site, identity: str, outbound: Outbound, charges: Sequence[Charge]
    ) -> list[tuple[Bucket, int]]:
        limiter = self._limiter
        by_address = (site.host, site.egress, outbound.demo)
        by_user = (site.host, identity, outbound.demo) if identity else by_address
        try:
            return merged(
                [
                    (
                        limiter.bucket(
                            charge.pool, by_address if charge.pool.shared else by_user, charge.value
                        ),
                        charge.units,
                    )
                    for charge in charges
                ]
            )
        except BucketsFull as full:
            raise Refusal("overloaded", "too many different instruments at once") from full

    def _queue_until(self, passage: Passage) -> int:
        """The instant, monotonic, up to which the request may wait for a slot."""
        until_ns = min(passage.queued_ns + self._max_wait_ns, passage.deadline_ns)
        claim = passage.claim
        if claim is not None and claim.expires_ms:
            left_ns = (claim.expires_ms - self._clock.wall_ms()) * 1_000_000
            expiry_ns = self._clock.monotonic_ns() + left_ns
            if expiry_ns < until_ns:
                passage.expiry_bounds = True
                return expiry_ns
        return until_ns

    async def _admit(self, passage: Passage, slots: Ticket, *, fresh: bool) -> Connection:
        """Wait for a connection and for every slot; return with both, got at one instant."""
        connections = passage.route.site.connections
        try:
            if fresh:
                await connections.fresh(passage.deadline_ns)
            while True:
                connection = connections.take()
                if connection is None:
                    await connections.ready(passage.deadline_ns)
                    continue
                if slots.take():
                    return connection
                connection.give_back()
                await self._wait(passage, slots)
                connection = connections.take()
                if connection is not None:
                    return connection
                slots.refund()
        except UpstreamError as error:
            # a repeated read was sent once
            slug: Slug = "upstream_unknown" if fresh else "upstream_unreachable"
            raise Refusal(slug, str(error)) from error

    async def _wait(self, passage: Passage, slots: Ticket) -> None:
        queued_ns = self._clock.monotonic_ns()
        try:
            await slots.wait(self._queue_until(passage))
        except NoSlot as full:
            raise self._no_slot(passage, full) from full
        waited_ns = self._clock.monotonic_ns() - queued_ns
        passage.limit_ns += waited_ns
        self._answers.waited(passage, slots, waited_ns)

    def _no_slot(self, passage: Passage, full: NoSlot) -> Refusal:
        passage.limit_ns += full.waited_ns
        self._answers.no_slot(passage, full)
        whose = "this proxy's address" if full.bucket.pool.shared else "your account"
        waited_ms = (self._clock.monotonic_ns() - passage.queued_ns) // 1_000_000
        facts = f"{whose}, {full.bucket.describe()}, waited {waited_ms} ms"
        if passage.expiry_bounds:
            return Refusal("expired", f"{facts}, no slot before the deadline of the request")
        if full.next_ns < 0:
            return Refusal("rate_limited", f"{facts}, more than the limit at once")
        next_ms = full.next_ns // 1_000_000 + 1
        return Refusal(
            "rate_limited", f"{facts}, next slot in {next_ms} ms", retry_after_ms=next_ms
        )

    def _send(
        self,
        passage: Passage,
        outbound: Outbound,
        broker: Broker,
        slots: Ticket,
        connection: Connection,
    ) -> Signal[Response]:
        """Sign at this instant and write; the signal brings the answer or an `UpstreamError`."""
        clock, request, site = self._clock, passage.request, passage.route.site
        wall_ms = clock.wall_ms()
        claim, access = passage.claim, passage.access
        if claim is not None and claim.expires_ms and claim.expires_ms <= wall_ms:
            slots.refund()
            connection.give_back()
            raise Refusal("expired", "the deadline of the request passed while it waited")
        if claim is not None and site.accounts.get(claim.api_key) is not access:
            slots.refund()
            connection.give_back()
            raise Refusal("not_ready", "the account changed while the request waited")
        try:
            if access is None:
                head = site.exchange.unsigned_head(request)
                signed = Signed(outbound.path + outbound.suffix, head, outbound.body)
            else:
                signed = site.exchange.sign(outbound, access.account.credentials, broker, wall_ms)
            data = _message(outbound.method, signed, site, request)
        except BaseException:
            slots.refund()
            connection.give_back()
            raise
        answered: Signal[Response] = Signal()
        passage.least_ns = site.connections.least_rtt_ns  # 0 while nothing is known of the way
        passage.sent = True
        passage.sent_ns = sent_ns = clock.monotonic_ns()
        slots.sent(sent_ns)
        connection.send(data, outbound.method, passage.deadline_ns, answered.conclude)
        return answered

    def _settle(self, passage: Passage, slots: Ticket) -> None:
        """The answer is in: its slots run out from now on."""
        now_ns = self._clock.monotonic_ns()
        round_trip_ns = now_ns - passage.sent_ns
        passage.exchange_ns += round_trip_ns
        slots.answered(now_ns, round_trip_ns - passage.least_ns)

    def _lost(self, passage: Passage, slots: Ticket, error: UpstreamError) -> None:
        """No answer will come."""
        now_ns = self._clock.monotonic_ns()
        passage.exchange_ns += now_ns - passage.sent_ns
        passage.sent = error.sent
        if error.sent:
            slots.lost(now_ns)
        else:
            slots.refund()

    def _correct(
        self, passage: Passage, slots: Ticket, response: Response, verdict: Verdict
    ) -> None:
        """The exchange said "too many": our count was wrong."""
        passage.route.site.rate_limited.n += 1
        retry_after_ns = 0
        for name, value in response.headers:
            if name == b"retry-after" and value.isdigit():
                retry_after_ns = min(int(value[:9]), RETRY_AFTER_S_MAX) * 1_000_000_000
        slots.refused(verdict.rate_refused, self._clock.monotonic_ns(), retry_after_ns)

    async def _wait_again(self, passage: Passage, slots: Ticket) -> bool:
        """Queue for another try of what the exchange refused for rate, and so did not do.

        False when its answer has to go back to the bot as it is.
        """
        passage.sent = False
        try:
            await self._wait(passage, slots)
        except Refusal:
            return False
        slots.refund()
        return True


def _message(method: bytes, signed: Signed, site: Site, request: Request) -> bytes:
    """The bytes that leave: headers from an allow-list, nothing else of the bot's."""
    values = tuple(map(request.headers.get, site.passed_names))
    passed = site.passed_lines.get(values)
    if passed is None:
        passed = _passed_lines(site, values)
    body = signed.body
    if body or method != b"GET":
        return b"%b %b%b%b%bContent-Length: %d\r\n\r\n%b" % (
            method,
            signed.target,
            site.request_line_end,
            signed.head,
            passed,
            len(body),
            body,
        )
    return b"%b %b%b%b%b\r\n" % (
        method,
        signed.target,
        site.request_line_end,
        signed.head,
        passed,
    )


def _passed_lines(site: Site, values: tuple[bytes | None, ...]) -> bytes:
    """The bot's own headers that go on, as lines; clients send the same ones again and again."""
    passed = b"".join(
        line + value + b"\r\n"
        for (_, line), value in zip(site.passed_headers, values, strict=True)
        if value is not None
    )
    if len(passed) <= PASSED_BYTES_MAX:
        if len(site.passed_lines) >= PASSED_MAX:
            site.passed_lines.clear()
        site.passed_lines[values] = passed
    return passed
