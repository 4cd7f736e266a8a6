"""What every request of one process goes through, put together once; a reload changes its terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from proxy import me
from proxy.admission import Admission, Policy
from proxy.asking import Asking
from proxy.delivery import Delivery
from proxy.identities import Identities
from proxy.pipeline import Pipeline
from proxy.public_reads import PublicReads
from proxy.security.addresses import KnownAddresses
from proxy.security.failures import Failures
from proxy.security.replay_ring import ReplayRing
from proxy.security.replays import Replays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.accounts.directory import Directory
    from proxy.answers import Answers
    from proxy.clock import Clock
    from proxy.config import Config
    from proxy.limits.limiter import Limiter
    from proxy.passage import Passage
    from proxy.routes import Front, Site

REPLAY_WINDOW_MS: Final = 60_000  # the widest timestamp window any exchange has


@final
class Serving:
    """Makes the pipelines, and tells them what a configuration says."""

    def __init__(
        self,
        config: Config,
        accounts: Directory,
        limiter: Limiter,
        answers: Answers,
        clock: Clock,
        report: Callable[[str], None],
    ) -> None:
        """`report` is told what is odd about an account. Raises `StoreError`."""
        self._config = config
        self._accounts = accounts
        self._sites: Sequence[Site] = ()
        self._limiter = limiter
        self._answers = answers
        self._clock = clock
        self._delivery = Delivery(limiter, answers, clock, config.limits.max_wait_ns)
        self._public_reads = PublicReads(self._delivery, clock)
        ask = Asking(self._delivery, clock).ask
        self._identities = Identities(ask, accounts, limiter, clock, report)
        self._delivery.learn_limit = self._identities.told
        self._admission = Admission(
            _policy(config),
            accounts=accounts,
            replays=_replays(config, clock),
            failures=Failures(),
            addresses=KnownAddresses(),
        )

    def pipeline(self, front: Front) -> Pipeline:
        """Return the way of the requests that come in at one port."""
        return Pipeline(
            front,
            admission=self._admission,
            delivery=self._delivery,
            public_reads=self._public_reads,
            identities=self._identities,
            answers=self._answers,
            describe=self._describe,
            clock=self._clock,
        )

    def take_on(self, config: Config, sites: Sequence[Site]) -> None:
        """Go by a configuration, and serve its sites, from the next request on."""
        self._config = config
        for site in self._sites:
            site.stale = True
        self._sites = sites
        self._identities.serve(sites)
        for standing in self._accounts.standings:  # or the last sites would live on in there
            standing.homes = ()
            for draws in standing.identity.draws:
                draws.clear()
        self._admission.policy = _policy(config)
        self._delivery.max_wait_ns = config.limits.max_wait_ns
        self._limiter.jitter_ns = config.limits.jitter_ns

    def stop(self) -> None:
        """Refuse whatever comes now."""
        self._admission.stopping = True

    def _describe(self, passage: Passage) -> dict[str, Any]:
        server = self._config.server
        base_url = server.public_url
        if not base_url:
            scheme = "http" if server.tls_cert is None else "https"
            base_url = f"{scheme}://{server.listen}"
        url = f"{base_url}/{passage.route.site.name}"
        return me.describe(passage, self._limiter, url, self._clock.wall_ms())


def needs_restart(running: Config, config: Config) -> list[str]:
    """Return the settings that differ from what runs, and cannot change while it does."""
    settings = {
        "storage.url": (running.storage.url, config.storage.url),
        "limits.backend": (running.limits.backend, config.limits.backend),
        "server.workers": (running.server.workers, config.server.workers),
    }
    return [name for name, (old, new) in settings.items() if old != new]


def _policy(config: Config) -> Policy:
    return Policy(
        config.security.anonymous_public,
        config.security.unknown_writes,
        config.server.trusted_proxies,
    )


def _replays(config: Config, clock: Clock) -> Replays:
    now_ms = clock.wall_ms()
    database = config.storage.database
    ring = ReplayRing(database.with_name(database.name + ".replays"), now_ms - REPLAY_WINDOW_MS)
    replays = Replays(REPLAY_WINDOW_MS, clock.monotonic_ns(), ring)
    if ring.overrun:
        replays.forget_nothing_before(now_ms + REPLAY_WINDOW_MS)
    return replays
