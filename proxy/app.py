"""The composition root: configuration -> objects -> serve -> drain. The only file that knows
every class; nothing is decided here that a request could notice."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import uvloop

from proxy import config as configuration
from proxy.accounts.database import Database
from proxy.accounts.directory import Directory
from proxy.accounts.history import History
from proxy.accounts.instance import claim
from proxy.accounts.store import Store
from proxy.accounts.vault import Vault
from proxy.accounts.watch import Watch
from proxy.admin.server import AdminServer
from proxy.answers import Answers
from proxy.clock import SystemClock
from proxy.delivery import Delivery
from proxy.errors import CommandError
from proxy.exchanges import registry
from proxy.limits.limiter import Limiter
from proxy.logs import RequestLog
from proxy.metrics import Metrics
from proxy.net.server import Listener, ServerLimits
from proxy.pipeline import Pipeline
from proxy.security.addresses import KnownAddresses
from proxy.security.failures import Failures
from proxy.security.replay_ring import ReplayRing
from proxy.security.replays import Replays
from proxy.sites import Sites, bots_tls
from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

    from proxy.config import Config
    from proxy.net.server import Handler
    from proxy.passage import Passage

REPLAY_WINDOW_MS: Final = 60_000  # the widest timestamp window any exchange has
SHORT_WINDOW_NS: Final = 11_000_000_000  # the longest window not stored as spent, and a margin
GC_THRESHOLDS: Final = (50_000, 20, 100)  # requests leave no cycles behind

Around: TypeAlias = "Callable[[Handler[Passage]], Handler[Passage]]"


@final
class Service:
    """One running proxy. `around` wraps what the bots' listeners talk to."""

    def __init__(self, config: Config, around: Around | None = None) -> None:
        self._config = config
        self._around = around
        self._clock = SystemClock()
        self._metrics = Metrics()
        self._log = RequestLog(self._metrics)
        self._accounts = Directory()
        self._pipelines: list[Pipeline] = []
        self._listeners: list[Listener[Passage]] = []
        self._addresses: list[tuple[str, int]] = []
        self._unknown_before_ns = -SHORT_WINDOW_NS  # until when a dead process may have sent
        self._stopping = False

    @property
    def bot_address(self) -> tuple[str, int]:
        """Where bots reach every exchange: host and port actually bound."""
        return self._addresses[0]

    @property
    def admin_address(self) -> tuple[str, int]:
        """Where metrics and health are served."""
        return self._admin.address

    def missing(self) -> list[str]:
        """What keeps the proxy from serving; empty when it can."""
        missing = []
        if self._stopping:
            missing.append("stopping")
        if not self._accounts.ready:
            missing.append("accounts are not loaded")
        missing += self._sites.unreachable()
        return missing

    async def start(self) -> None:
        """Open everything, listeners first: until accounts are loaded bots hear `not_ready`.

        Raises `VaultError`, `StoreError`, or `CommandError` for a port that cannot be had.
        """
        config = self._config
        self._log.start()
        vault = Vault([key.reveal() for key in config.storage.master_keys])
        self._database = await Database.open(config.storage.url)
        self._instance = await claim(self._database, self._clock)
        self._history = History(self._database, vault)
        counts = await self._history.take_counts()
        previous = self._instance.previous
        died = previous == "died" or (previous == "clean" and counts is None)
        self._build(died=died)
        now_ms = self._clock.wall_ms()
        self._limiter.restore([*await self._history.load(now_ms), *(counts or ())], now_ms)
        store = Store(self._database)
        try:
            await self._listen()
            await self._accounts.load(store, vault)
        except BaseException:
            # nothing was sent: leave things as the last process left them
            await self._history.save_counts(counts or ())
            await self._instance.release(clean=not died)
            raise
        for line in self._accounts.faults:
            self._report(line)
        self._watch = Watch(self._accounts, store, vault, self._clock, self._report)
        self._watch.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        host, port = self.bot_address
        self._log.event(
            "info", "serving", listen=f"{host}:{port}", accounts=self._accounts.accounts
        )

    def _build(self, *, died: bool) -> None:
        """Make the objects. What a process that `died` may have sent counts as sent."""
        config, clock = self._config, self._clock
        if died:
            self._unknown_before_ns = clock.monotonic_ns()
        self._limiter = Limiter(
            clock,
            jitter_ns=config.limits.jitter_ns,
            unknown_before_ns=max(self._unknown_before_ns, 0),
            store=self._history,
            spawn=self._spawn,
        )
        now_ms = clock.wall_ms()
        ring = ReplayRing(
            config.storage.database.with_name(config.storage.database.name + ".replays"),
            now_ms - REPLAY_WINDOW_MS,
        )
        self._replays = Replays(REPLAY_WINDOW_MS, clock.monotonic_ns(), ring)
        if ring.overrun:
            self._replays.forget_nothing_before(now_ms + REPLAY_WINDOW_MS)
        self._sites = Sites(config, registry.exchanges(), self._accounts, self._metrics, clock)
        answers = Answers(clock, self._metrics, self._log)
        delivery = Delivery(self._limiter, answers, clock, config.limits.max_wait_ns)
        failures, addresses = Failures(), KnownAddresses()
        for front in self._sites.fronts:
            self._pipelines.append(
                Pipeline(
                    front,
                    accounts=self._accounts,
                    delivery=delivery,
                    replays=self._replays,
                    failures=failures,
                    addresses=addresses,
                    answers=answers,
                    clock=clock,
                    anonymous=config.security.anonymous_public,
                    unknown_writes=config.security.unknown_writes,
                )
            )

    async def _listen(self) -> None:
        server = self._config.server
        limits = ServerLimits(
            body_bytes_max=server.max_body_bytes,
            connections_max=server.max_connections,
            buffered_bytes_max=server.max_buffered_bytes,
            head_timeout_ns=server.head_timeout_ns,
            body_timeout_ns=server.body_timeout_ns,
            idle_timeout_ns=server.idle_timeout_ns,
            write_timeout_ns=server.write_timeout_ns,
        )
        tls = bots_tls(server.tls_cert, server.tls_key)
        self._sites.start()
        for pipeline in self._pipelines:
            handler: Handler[Passage] = pipeline
            if self._around is not None:
                handler = self._around(pipeline)
            listener = Listener(handler, limits, self._clock)
            address = pipeline.front.address
            try:
                self._addresses.append(await listener.start(address.host, address.port, tls))
            except OSError as error:
                raise CommandError(f"cannot listen on {address}: {error.strerror}") from error
            self._listeners.append(listener)
        self._metrics.connections(
            "bot", "http", lambda: sum(listener.connections for listener in self._listeners)
        )
        self._metrics.connections("exchange", "http", self._sites.connections)
        self._admin = AdminServer(self._metrics, self.missing)
        address = self._config.admin.listen
        try:
            await self._admin.start(address)
        except OSError as error:
            raise CommandError(f"cannot listen on {address}: {error.strerror}") from error

    async def stop(self) -> None:
        """Stop accepting, finish what is in flight, hand the counts over, close."""
        self._stopping = True
        for pipeline in self._pipelines:
            pipeline.stopping = True
        for listener in self._listeners:
            listener.stop_accepting()
        timeout_s = self._config.server.drain_timeout_ns / 1e9
        await asyncio.gather(*(listener.drain(timeout_s) for listener in self._listeners))
        await self._watch.stop()
        await self._sites.close()
        await self._admin.stop()
        await self._hand_over()
        self._log.event("info", "stopped")
        self._log.close()

    async def _hand_over(self) -> None:
        now_ms = self._clock.wall_ms()
        await self._history.save_counts(self._limiter.snapshot(now_ms))
        # Short windows that were shut for a dead process may be so for one more.
        settled = self._clock.monotonic_ns() - self._unknown_before_ns > SHORT_WINDOW_NS
        await self._instance.release(clean=settled)
        await self._database.close()

    def _spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> object:
        return spawn(name, coroutine, self._died)

    def _died(self, name: str, error: BaseException) -> None:
        self._log.fault("background work failed", error, task=name)

    def reload(self) -> None:
        """Say what a reload cannot do yet. Users need none: every change is seen at once."""
        self._log.event("warning", "a changed configuration needs a restart")

    def _report(self, line: str) -> None:
        self._log.event("warning", "accounts need a look", what=line)


def serve(path: Path, environ: Mapping[str, str]) -> int:
    """Run the proxy until SIGTERM or SIGINT; returns the exit code.

    Raises `ConfigError`, `VaultError`, `StoreError`, `CommandError`.
    """
    config = configuration.load(path, environ, registry.exchanges())
    return uvloop.run(_serve(config))


async def _serve(config: Config) -> int:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    service = Service(config)
    loop.add_signal_handler(signal.SIGHUP, service.reload)
    await service.start()
    await ended.wait()
    await service.stop()
    return 0
