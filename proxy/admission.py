"""Who may pass: key, address and time by the head; signature, grants and replays by the whole.

Says no by raising `Refusal`. What it learns of sources and signatures it remembers in `security`;
what an exchange wants of a signature is asked of `site.exchange`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, final

from proxy.errors import Refusal
from proxy.passage import FORWARDED
from proxy.security.forwarded import RealSources
from proxy.security.paths import decoded_path

if TYPE_CHECKING:
    from proxy.accounts.directory import Access, Directory
    from proxy.config import Network
    from proxy.model import Claim, Request, Verdict
    from proxy.passage import Passage
    from proxy.security.addresses import KnownAddresses
    from proxy.security.failures import Failures
    from proxy.security.replays import Replays

Anonymous = Literal["known", "all", "none"]
UnknownWrites = Literal["refuse", "forward"]


_GUESSES: Final = ("bad_signature", "bad_passphrase", "missing_credentials")


@final
class Policy:
    """What the configuration says of who may pass; swapped whole at a reload."""

    __slots__ = ("anonymous", "behind", "sources", "unknown_writes")

    def __init__(
        self,
        anonymous: Anonymous,
        unknown_writes: UnknownWrites,
        trusted: tuple[Network, ...] = (),
    ) -> None:
        self.anonymous: Anonymous = anonymous
        self.unknown_writes: UnknownWrites = unknown_writes
        self.behind = bool(trusted)  # load balancers whose X-Forwarded-For is believed
        self.sources = RealSources(trusted)


@final
class Admission:
    """The door of one process. `policy` may be replaced at any time."""

    __slots__ = ("_accounts", "_addresses", "_failures", "_replays", "policy", "stopping")

    def __init__(
        self,
        policy: Policy,
        *,
        accounts: Directory,
        replays: Replays,
        failures: Failures,
        addresses: KnownAddresses,
    ) -> None:
        self.policy = policy
        self.stopping = False
        self._accounts = accounts
        self._replays = replays
        self._failures = failures
        self._addresses = addresses

    # ---- by the head alone ------------------------------------------------------------------

    def look_behind(self, request: Request) -> None:
        """Where a request came from that a load balancer of ours brought."""
        hops = request.headers.get(b"x-forwarded-for")
        if hops is not None:
            sources = self.policy.sources
            request.source, request.peer = sources.of(request.source, request.peer, hops)

    def identify(self, passage: Passage) -> None:
        """Find the account that a request claims to be of. Raises `Refusal`."""
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
        passage.claim = claim
        passage.access = access  # from here on a refusal is the account's
        if access.networks and not self._accounts.allows(access, request.source):
            raise Refusal("ip_not_allowed", f"requests from {request.source} are not allowed")
        if not claim.not_before_ms <= passage.wall_ms <= claim.not_after_ms:
            raise _stale(claim, passage.wall_ms)

    def _let_anonymous(self, passage: Passage) -> None:
        route, request = passage.route, passage.request
        if not route.public or route.guarded:
            raise Refusal("missing_credentials", "this call needs a key")
        anonymous = self.policy.anonymous
        if anonymous == "all":
            passage.stranger = not self._addresses.verified_from(request.peer, request.started_ns)
        elif anonymous == "none" or not self._addresses.known(request.source, request.started_ns):
            raise Refusal("missing_credentials", "public calls need a key from here")

    # ---- by the whole request ---------------------------------------------------------------

    def verify(self, passage: Passage) -> None:
        """Prove the claim, and see what its account may do. Raises `Refusal`."""
        claim, route = passage.claim, passage.route
        if claim is None:
            return
        request = passage.request
        access = route.site.accounts.get(claim.api_key)
        if access is None:
            raise Refusal("unknown_key", "this proxy does not know the key any more")
        if access is not passage.access:  # it changed while the body came in
            passage.access = access
            if access.networks and not self._accounts.allows(access, request.source):
                raise Refusal("ip_not_allowed", f"requests from {request.source} are not allowed")
        account = access.account
        if account.mode != "sign":
            passage.manner = FORWARDED
            self._admit_forwarded(passage, access)
            return
        digest = self._proved(passage, claim, access)
        passage.verified = True
        account.standing.activity.clock_off_ms = claim.timestamp_ms - passage.wall_ms
        self._addresses.verified(request.peer, request.started_ns)
        if route.guarded or account.disabled:
            self._permit(passage, access)
        now_ms = passage.wall_ms
        if claim.expires_ms and claim.expires_ms <= now_ms:
            raise Refusal("expired", "the deadline of the request has passed")
        if route.loose:
            self._replays.bind(digest, request.method + b" " + request.path, request.started_ns)
        if route.reserves:
            self._replays.reserve(digest, claim.timestamp_ms, request.started_ns)
            passage.digest = digest

    def _proved(self, passage: Passage, claim: Claim, access: Access) -> bytes:
        """Return the HMAC of a request whose signature is right, and its time if that is told in
        the body only."""
        route, request = passage.route, passage.request
        in_body = claim.timestamp_ms < 0
        try:
            digest = route.site.exchange.verify(route.endpoint, request, claim, access.credentials)
        except Refusal as refusal:
            if refusal.slug in _GUESSES:
                self._failures.failed(claim.api_key, request.peer, request.started_ns)
            raise
        if in_body and not claim.not_before_ms <= passage.wall_ms <= claim.not_after_ms:
            raise _stale(claim, passage.wall_ms)
        return digest

    def _admit_forwarded(self, passage: Passage, access: Access) -> None:
        """Only the exchange can verify here: nothing of the account is told before it did."""
        if passage.route.local:
            raise Refusal("forbidden_endpoint", "no secret is held to verify the signature with")
        claim = passage.claim
        if claim is not None and claim.timestamp_ms < 0:
            passage.route.site.exchange.complete(passage.request, claim)
            if not claim.not_before_ms <= passage.wall_ms <= claim.not_after_ms:
                raise _stale(claim, passage.wall_ms)
        if passage.route.unclassified:
            self._refuse_unserved(passage)
        if passage.route.guarded or access.account.disabled:
            try:
                self._permit(passage, access)
            except Refusal as refusal:
                raise Refusal(refusal.slug) from refusal

    def _permit(self, passage: Passage, access: Access) -> None:
        account, route, request = access.account, passage.route, passage.request
        if account.disabled == "block":
            reason = account.reason or "the operator disabled it"
            raise Refusal("user_disabled", f"account {account.label}: {reason}")
        sensitive = route.endpoint.sensitive
        if route.unclassified:
            self._refuse_unserved(passage)
            path = decoded_path(request.path)
            sensitive = route.site.exchange.sensitive_class(request.method.decode(), path)
        if sensitive and sensitive not in account.grants:
            raise Refusal("forbidden_endpoint", f"class {sensitive} is not granted")
        if route.unclassified and not route.read and self.policy.unknown_writes != "forward":
            raise Refusal("forbidden_endpoint", "a write that this proxy does not know")

    @staticmethod
    def _refuse_unserved(passage: Passage) -> None:
        request = passage.request
        path = decoded_path(request.path)
        why = passage.route.site.exchange.unserved(request.method.decode(), path)
        if why:
            raise Refusal("forbidden_endpoint", why)

    def release(self, passage: Passage) -> None:
        """The request was not sent: its signature may be used again."""
        self._replays.release(passage.digest)

    def verified_there(self, passage: Passage, verdict: Verdict) -> None:
        """The exchange verified in our place."""
        request = passage.request
        if verdict.key_refused and passage.claim is not None:
            self._failures.failed(passage.claim.api_key, request.peer, request.started_ns)
        elif verdict.outcome == "ok" and not (passage.route.public or passage.route.unclassified):
            passage.verified = True
            self._addresses.verified(request.peer, request.started_ns)


def _stale(claim: Claim, wall_ms: int) -> Refusal:
    off_ms = claim.timestamp_ms - wall_ms
    return Refusal("stale_timestamp", f"the timestamp is {off_ms} ms off this clock")
