"""The second half of a request's way: admit = sign = send.

Between the slot and the last byte written nothing is awaited, so that a slot never ages and the
count is true. A write whose outcome is unknown is never sent again; what was certainly not sent,
or certainly not done, may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from proxy.egress import moves_on
from proxy.errors import Refusal, UpstreamError, UpstreamTimeout
from proxy.limits.limiter import NoSlot
from proxy.message import NOBODYS, message
from proxy.model import NO_BAN, LearnedLimit, Signed
from proxy.passage import FORWARDED, SIGNED, UNSIGNED
from proxy.slots import Slots
from proxy.tasks import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.answers import Answers
    from proxy.clock import Clock
    from proxy.egress import Egress
    from proxy.errors import Slug
    from proxy.limits.limiter import Limiter, Ticket
    from proxy.model import Broker, Charge, Outbound, Quota, Response, Verdict
    from proxy.passage import Passage
    from proxy.routes import Connection

TRIES_MAX: Final = 4  # connections tried for one request, and waits after the exchange's own no
RETRY_AFTER_S_MAX: Final = 3_600
ON_THE_WAY_MS: Final = 500  # what is left of a bot's own signature when it leaves, at the least
_MS: Final = 1_000_000


def _nobody_learns(passage: Passage, limit: LearnedLimit) -> None:
    """Until there is somebody who does."""


def _proves_itself(passage: Passage, verdict: Verdict) -> bool:
    """Whether an answer is of the account itself: with a key that is refused, or a signature that
    only the exchange can verify, anybody may have asked."""
    return verdict.outcome == "ok" or not (verdict.key_refused or passage.manner == FORWARDED)


@final
class Delivery:
    """Brings tagged requests to their exchange, within its limits."""

    __slots__ = ("_answers", "_clock", "_limiter", "_slots", "learn_limit", "max_wait_ns")

    def __init__(self, limiter: Limiter, answers: Answers, clock: Clock, max_wait_ns: int) -> None:
        self._limiter = limiter
        self._slots = Slots(limiter)
        self._answers = answers
        self._clock = clock
        self.max_wait_ns = max_wait_ns
        # told of every limit that an answer says an account has
        self.learn_limit: Callable[[Passage, LearnedLimit], None] = _nobody_learns

    async def deliver(
        self, passage: Passage, outbound: Outbound, broker: Broker, charges: Sequence[Charge]
    ) -> tuple[Response, Verdict]:
        """Send until there is an answer or the outcome is unknown; never a write twice.

        Raises `Refusal`.
        """
        clock = self._clock
        exchange, endpoint = passage.route.site.exchange, passage.route.endpoint
        slots = self._begin(passage, charges, outbound)
        repeated = False
        # every address may say no once
        tries = TRIES_MAX + len(passage.route.site.egresses) - 1
        for tries_left in range(tries - 1, -1, -1):
            egress = passage.egress
            assert egress is not None
            connection = None if repeated else self._at_once(egress, slots)
            if connection is None:
                connection = await self._admit(passage, slots, fresh=repeated)
                if connection is None:  # not from this address
                    slots = self._ticket(passage, charges, outbound)
                    continue
            answered = self._send(passage, outbound, broker, slots, connection)
            try:
                response = await answered
            except UpstreamError as error:
                if self._lost(passage, slots, error, repeated=repeated):
                    repeated = True
                    slots = self._ticket(passage, charges, outbound)
                continue
            self._settle(passage, slots)
            verdict = exchange.classify(endpoint, response)
            if verdict.quota is not None and _proves_itself(passage, verdict):
                self._told(passage, slots, verdict.quota)
            if verdict.rate_refused:
                self._correct(passage, slots, response, verdict)
                if (
                    verdict.processed
                    or not tries_left
                    or not await self._wait_again(passage, slots)
                ):
                    return response, verdict
                continue
            doubtful = verdict.ban_ms != NO_BAN or verdict.key_refused or egress.strikes
            if not doubtful or not moves_on(passage, response, verdict, clock.monotonic_ns()):
                return response, verdict
            repeated = False
            slots = self._ticket(passage, charges, outbound)
        raise Refusal("upstream_unreachable", "every connection closed before the request")

    def _begin(self, passage: Passage, charges: Sequence[Charge], outbound: Outbound) -> Ticket:
        if not passage.queued_ns:
            passage.queued_ns = self._clock.monotonic_ns()
        passage.deadline_ns = passage.request.started_ns + passage.route.site.deadline_ns
        return self._ticket(passage, charges, outbound)

    def _at_once(self, egress: Egress, slots: Ticket) -> Connection | None:
        """A connection with every slot taken, if nothing has to be waited for."""
        if egress.rests_until_ns and self._rests(egress):
            return None
        connection = egress.connections.take()
        if connection is None or slots.take():
            return connection
        connection.give_back()
        return None

    def _rests(self, egress: Egress) -> bool:
        return self._clock.monotonic_ns() < egress.rests_until_ns

    def _ticket(self, passage: Passage, charges: Sequence[Charge], outbound: Outbound) -> Ticket:
        """The slots that the request needs, none taken yet. Raises `Refusal`."""
        demo = 1 if outbound.demo else 0
        now_ns = self._clock.monotonic_ns()
        if passage.access is None or passage.manner == UNSIGNED:
            return self._slots.of_anybody(passage, charges, demo, now_ns)
        return self._slots.of_account(passage, charges, demo, now_ns)

    def _queue_until(self, passage: Passage) -> int:
        """The instant, monotonic, up to which the request may wait for a slot."""
        until_ns = min(passage.queued_ns + self.max_wait_ns, passage.deadline_ns)
        claim = passage.claim
        if claim is None:
            return until_ns
        clock = self._clock
        if passage.manner == FORWARDED:  # the signature has to be good when it gets there
            left_ms = claim.not_after_ms - ON_THE_WAY_MS - clock.wall_ms()
            until_ns = min(until_ns, clock.monotonic_ns() + left_ms * _MS)
        if claim.expires_ms:
            left_ms = claim.expires_ms - clock.wall_ms()
            expiry_ns = clock.monotonic_ns() + left_ms * _MS
            if expiry_ns < until_ns:
                passage.expiry_bounds = True
                return expiry_ns
        return until_ns

    async def _admit(self, passage: Passage, slots: Ticket, *, fresh: bool) -> Connection | None:
        """Wait for a connection and for every slot; return with both, got at one instant.

        None where the request had better leave from another address: this one rests by now, or
        cannot be connected from.
        """
        egress = passage.egress
        assert egress is not None
        connections = egress.connections
        try:
            if fresh:
                await connections.fresh(passage.deadline_ns)
            while True:
                connection = connections.take()
                if connection is None:
                    await self._connected(egress, passage.deadline_ns)
                    continue
                if slots.take():
                    break
                connection.give_back()
                await self._wait(passage, slots)
                connection = connections.take()
                if connection is not None:
                    break
                slots.refund()
        except UpstreamError as error:
            if not fresh and self._goes_round(passage, egress, error):
                return None
            # a repeated read was sent once
            slug: Slug = "upstream_unknown" if fresh else "upstream_unreachable"
            raise Refusal(slug, str(error)) from error
        if self._rests(egress):
            slots.refund()
            connection.give_back()
            return None
        return connection

    def _goes_round(self, passage: Passage, egress: Egress, error: UpstreamError) -> bool:
        """Whether another address may do where no connection can be had from this one."""
        if len(passage.route.site.egresses) == 1 or isinstance(error, UpstreamTimeout):
            return False
        return egress.unreachable(self._clock.monotonic_ns())

    @staticmethod
    async def _connected(egress: Egress, until_ns: int) -> None:
        egress.connecting += 1
        try:
            await egress.connections.ready(until_ns)
        finally:
            egress.connecting -= 1

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
        waited_ms = (self._clock.monotonic_ns() - passage.queued_ns) // _MS
        known = passage.manner != FORWARDED or passage.verified
        limit = f"{whose}, {full.bucket.describe()}" if known else "no slot"
        facts = f"{limit}, waited {waited_ms} ms"
        if passage.expiry_bounds:
            return Refusal("expired", f"{facts}, no slot before the deadline of the request")
        if full.next_ns < 0:
            return Refusal("rate_limited", f"{facts}, more than the limit at once")
        next_ms = full.next_ns // _MS + 1
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
        clock, site = self._clock, passage.route.site
        wall_ms = clock.wall_ms()
        claim, access, egress = passage.claim, passage.access, passage.egress
        if claim is not None and claim.expires_ms and claim.expires_ms <= wall_ms:
            slots.refund()
            connection.give_back()
            raise Refusal("expired", "the deadline of the request passed while it waited")
        if claim is not None and site.accounts.get(claim.api_key) is not access:
            slots.refund()
            connection.give_back()
            raise Refusal("not_ready", "the account changed while the request waited")
        try:
            data = self._message(passage, outbound, broker, wall_ms)
        except BaseException:
            slots.refund()
            connection.give_back()
            raise
        answered: Signal[Response] = Signal()
        if egress is not None:
            # 0 while nothing is known of the way
            passage.least_ns = egress.connections.least_rtt_ns
        passage.sent = True
        passage.sent_ns = sent_ns = clock.monotonic_ns()
        slots.sent(sent_ns)
        connection.send(data, outbound.method, passage.deadline_ns, answered.conclude)
        return answered

    @staticmethod
    def _message(passage: Passage, outbound: Outbound, broker: Broker, wall_ms: int) -> bytes:
        """The bytes that leave, signed at `wall_ms`. Raises `Refusal`."""
        request, site = passage.request, passage.route.site
        access, manner = passage.access, passage.manner
        if manner == SIGNED and access is not None:
            signed = site.exchange.sign(outbound, access.account.credentials, broker, wall_ms)
            return message(outbound.method, signed, site, request)
        target = outbound.path + outbound.suffix
        if manner == FORWARDED and access is not None:
            ours = None if access.account.mode == "observe" else broker
            head = site.exchange.forwarded_head(request, ours)
        else:
            head = site.exchange.unsigned_head(request)
        signed = Signed(target, head, outbound.body)
        return message(outbound.method, signed, site, NOBODYS if manner == UNSIGNED else request)

    def _settle(self, passage: Passage, slots: Ticket) -> None:
        """The answer is in: its slots run out from now on."""
        now_ns = self._clock.monotonic_ns()
        round_trip_ns = now_ns - passage.sent_ns
        passage.exchange_ns += round_trip_ns
        slots.answered(now_ns, round_trip_ns - passage.least_ns)

    def _lost(
        self, passage: Passage, slots: Ticket, error: UpstreamError, *, repeated: bool
    ) -> bool:
        """No answer will come. True for a read that was sent and may be sent once more; raises
        `Refusal` (`upstream_unknown`) for all else that was sent."""
        now_ns = self._clock.monotonic_ns()
        passage.exchange_ns += now_ns - passage.sent_ns
        passage.sent = error.sent
        if not error.sent:
            slots.refund()
            return False
        slots.lost(now_ns)
        if repeated or not passage.route.read or isinstance(error, UpstreamTimeout):
            raise Refusal("upstream_unknown", str(error)) from error
        return True

    def _correct(
        self, passage: Passage, slots: Ticket, response: Response, verdict: Verdict
    ) -> None:
        """The exchange said "too many": our count was wrong."""
        passage.route.site.rate_limited.n += 1
        retry_after_ns = min(verdict.retry_ms, RETRY_AFTER_S_MAX * 1000) * _MS
        for name, value in response.headers:
            if name == b"retry-after" and value.isdigit():
                told_ns = min(int(value[:9]), RETRY_AFTER_S_MAX) * 1_000_000_000
                retry_after_ns = max(retry_after_ns, told_ns)
        slots.refused(verdict.rate_refused, self._clock.monotonic_ns(), retry_after_ns)

    def _told(self, passage: Passage, slots: Ticket, quota: Quota) -> None:
        """The exchange told how a budget of the account's stands: what it counts and we do not is
        somebody else's, and a limit that is another than ours is the account's own."""
        now_ns = self._clock.monotonic_ns()
        # it was told a way back ago, and what leaves now is a way there from being counted
        least_ns = passage.least_ns
        reset_ns = quota.reset_ms * _MS - least_ns
        late_ns = now_ns - passage.sent_ns - least_ns if least_ns else 1 << 62
        used = quota.limit - quota.remaining
        bucket = slots.told(quota.pool, used, reset_ns, now_ns, late_ns)
        if bucket is not None and bucket.count != quota.limit and not bucket.shared:
            limit = LearnedLimit(quota.pool, "", quota.limit, bucket.window_ns)
            self.learn_limit(passage, limit)

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
