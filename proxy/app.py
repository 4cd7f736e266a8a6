"""The composition root: configuration -> objects -> serve -> drain. The only file that knows
every class; nothing is decided here that a request could notice."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import TYPE_CHECKING, Any, Final, final

import uvloop

from proxy import config as configuration
from proxy.accounts.chronicle import Chronicle
from proxy.accounts.database import Database
from proxy.accounts.directory import Directory
from proxy.accounts.enrolment import Enrolment
from proxy.accounts.history import History
from proxy.accounts.instance import claim
from proxy.accounts.store import Store
from proxy.accounts.vault import Vault
from proxy.accounts.watch import Watch
from proxy.admin.server import AdminServer
from proxy.answers import Answers
from proxy.clock import SystemClock
from proxy.errors import CommandError, TagproxyError
from proxy.exchanges import registry
from proxy.limits.limiter import Limiter
from proxy.logs import RequestLog
from proxy.metrics import Metrics
from proxy.notify import ServiceManager
from proxy.ports import Ports
from proxy.serving import Serving, needs_restart
from proxy.sites import Sites
from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from pathlib import Path

    from proxy.config import Config
    from proxy.ports import Around

SHORT_WINDOW_NS: Final = 11_000_000_000  # the longest window not stored as spent, and a margin
GC_THRESHOLDS: Final = (50_000, 20, 100)  # requests leave no cycles behind


@final
class Service:
    """One running proxy. `around` wraps what the bots' listeners talk to, `environ` overrides the
    configuration when it is read again."""

    def __init__(
        self,
        config: Config,
        around: Around | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._config = self._started_with = config
        self._keys = config.storage.master_keys
        self._environ = environ or {}
        self._clock = SystemClock()
        self._metrics = Metrics()
        self._log = RequestLog(self._metrics)
        self._manager = ServiceManager(self._environ)
        self._accounts = Directory()
        self._around = around
        self._reloading = asyncio.Lock()
        self._unknown_before_ns = -SHORT_WINDOW_NS  # until when a dead process may have sent
        self._stopping = False

    @property
    def bot_address(self) -> tuple[str, int]:
        """Where bots reach every exchange: host and port actually bound."""
        return self._ports.bound[0]

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

    # ---- start ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open everything, listeners first: until accounts are loaded bots hear `not_ready`.

        Raises `VaultError`, `StoreError`, or `CommandError` for a port that cannot be had.
        """
        config = self._config
        self._log.start()
        vault = _vault(config)
        self._database = await Database.open(config.storage.url)
        self._instance = await claim(self._database, self._clock)
        self._history = History(self._database, vault)
        counts = await self._history.take_counts()
        previous = self._instance.previous
        died = previous == "died" or (previous == "clean" and counts is None)
        self._build(died=died)
        now_ms = self._clock.wall_ms()
        self._limiter.restore([*await self._history.load(now_ms), *(counts or ())], now_ms)
        self._store = store = Store(self._database)
        self._chronicle = Chronicle(self._database, self._accounts.standings, self._report)
        try:
            await self._listen()
            await self._accounts.load(store, vault, await self._chronicle.memories())
        except BaseException:
            # nothing was sent: leave things as the last process left them
            await self._history.save_counts(counts or ())
            await self._instance.release(clean=not died)
            raise
        for line in self._accounts.faults:
            self._report(line)
        self._watch = Watch(self._accounts, store, vault, self._clock, self._report)
        self._watch.start()
        self._chronicle.start()
        self._spawn("service-manager", self._manager.attend())
        self._settle_down()

    def _settle_down(self) -> None:
        """All is loaded: it will hardly change, so the collector need not look at it again."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self._has_read(worked=True)
        host, port = self.bot_address
        self._log.event(
            "info", "serving", listen=f"{host}:{port}", accounts=self._accounts.accounts
        )
        self._manager.status(f"serving {self._accounts.accounts} accounts")
        self._manager.ready()

    def _build(self, *, died: bool) -> None:
        """Make the objects. What a process that `died` may have sent counts as sent."""
        config, clock = self._config, self._clock
        if died:
            self._unknown_before_ns = clock.monotonic_ns()
        limiter = Limiter(
            clock,
            jitter_ns=config.limits.jitter_ns,
            unknown_before_ns=max(self._unknown_before_ns, 0),
            store=self._history,
            spawn=self._spawn,
        )
        self._limiter = limiter
        self._sites = self._made_sites(config, None)
        answers = Answers(clock, self._metrics, self._log)
        self._serving = Serving(config, self._accounts, limiter, answers, clock, self._report)
        self._serving.take_on(config, self._sites.sites)
        self._ports = Ports(self._serving.pipeline, self._around, clock)
        metrics = self._metrics
        metrics.connections("bot", "http", lambda: self._ports.connections)
        metrics.connections("exchange", "http", lambda: self._sites.connections)
        metrics.egress_resting(lambda: self._sites.resting)
        metrics.accounts(lambda: self._accounts.accounts)
        metrics.missing(self.missing)

    def _made_sites(self, config: Config, last: Sites | None) -> Sites:
        return Sites(
            config,
            registry.exchanges(),
            self._accounts,
            self._metrics,
            self._clock,
            self._rests,
            last,
        )

    async def _listen(self) -> None:
        self._sites.start()
        await self._ports.open(self._sites.fronts, self._config.server)
        self._admin = await self._open_admin(self._config)

    async def _open_admin(self, config: Config) -> AdminServer:
        admin = AdminServer(self._metrics, self.missing)
        try:
            await admin.start(config.admin.listen)
        except OSError as error:
            raise CommandError(
                f"cannot listen on {config.admin.listen}: {error.strerror}"
            ) from error
        return admin

    # ---- while it runs ----------------------------------------------------------------------

    def reload(self) -> None:
        """Read the configuration again, in the background; a bad one changes nothing."""
        self._spawn("reload", self._reload())

    async def _reload(self) -> None:
        async with self._reloading:
            if self._stopping:
                return
            self._manager.reloading(self._clock.monotonic_ns() // 1000)
            worked = False
            try:
                await self._take_on(
                    configuration.load(self._config.path, self._environ, registry.exchanges())
                )
                worked = True
            except (TagproxyError, OSError) as error:
                for line in str(error).splitlines():  # each a kind of its own: none is suppressed
                    self._log.event("error", f"the configuration stays as it was: {line}")
            finally:
                self._has_read(worked=worked)
                self._manager.ready()
            if worked:
                self._log.event("info", "configuration reloaded")

    async def _take_on(self, config: Config) -> None:
        """Serve by another configuration. Raises `TagproxyError`, and then nothing changed."""
        vault = await self._other_vault(config)
        sites = self._made_sites(config, self._sites)
        admin = self._admin
        if config.admin.listen != self._config.admin.listen:
            admin = await self._open_admin(config)
        try:
            await self._ports.open(sites.fronts, config.server)
        except CommandError:
            if admin is not self._admin:
                await admin.stop()
            drain_s = self._config.server.drain_timeout_ns / 1e9
            self._spawn("retire", self._ports.retire(drain_s))
            raise
        # from here on nothing can fail
        before, self._config = self._config, config
        self._sites = sites
        sites.start()
        self._serving.take_on(config, sites.sites)
        if vault is not None:
            self._watch.vault = vault
        for key in needs_restart(self._started_with, config):
            self._log.event("warning", "a changed setting needs a restart", key=key)
        self._admin, old_admin = admin, self._admin
        self._spawn("retire", self._retire(before, None if old_admin is admin else old_admin))
        await self._watch.look()
        if self._watch.vault is vault:  # what a stop leaves behind must open with it
            self._history.vault = vault
            self._keys = config.storage.master_keys

    async def _other_vault(self, config: Config) -> Vault | None:
        """None for the master keys in force, and for those of another database. Raises
        `VaultError` for such that open nothing of what is stored."""
        other_database = config.storage.url != self._started_with.storage.url
        if other_database or config.storage.master_keys == self._keys:
            return None
        vault = _vault(config)
        await Enrolment(self._store, vault, self._clock).expect_own_database()
        return vault

    async def _retire(self, before: Config, admin: AdminServer | None) -> None:
        """End what only the configuration `before` wanted."""
        sites, timeout_s = self._sites, self._config.server.drain_timeout_ns / 1e9
        if admin is not None:
            await admin.stop()
        await self._ports.retire(timeout_s)
        # so long what found the old way may still want to be sent
        await asyncio.sleep(max(each.deadline_ns for each in before.exchanges.values()) / 1e9)
        await sites.retire(timeout_s)
        gc.collect()  # pools refer to themselves, and it seldom looks by itself

    def _has_read(self, *, worked: bool) -> None:
        self._metrics.reload_worked = worked
        if worked:
            self._metrics.reloaded_s = self._clock.wall_ms() / 1000

    def _rests(self, exchange: str, address: str, for_s: int) -> None:
        self._log.event(
            "warning",
            "the exchange refuses an address, which rests",
            exchange=exchange,
            egress=address,
            seconds=for_s,
        )

    def _spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> object:
        return spawn(name, coroutine, self._died)

    def _died(self, name: str, error: BaseException) -> None:
        self._log.fault("background work failed", error, task=name)

    def _report(self, line: str) -> None:
        self._log.event("warning", "accounts need a look", what=line)

    # ---- stop -------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop accepting, finish what is in flight, hand the counts over, close."""
        self._stopping = True
        self._manager.stopping()
        self._serving.stop()
        self._ports.stop_accepting()
        async with self._reloading:  # one at hand ends first
            await self._ports.drain(self._config.server.drain_timeout_ns / 1e9)
        await self._watch.stop()
        await self._sites.close()
        await self._admin.stop()
        await self._chronicle.stop()
        await self._hand_over()
        self._manager.close()
        self._log.event("info", "stopped")
        self._log.close()

    async def _hand_over(self) -> None:
        now_ms = self._clock.wall_ms()
        await self._history.save_counts(self._limiter.snapshot(now_ms))
        # Short windows that were shut for a dead process may be so for one more.
        settled = self._clock.monotonic_ns() - self._unknown_before_ns > SHORT_WINDOW_NS
        await self._instance.release(clean=settled)
        await self._database.close()


def _vault(config: Config) -> Vault:
    return Vault([key.reveal() for key in config.storage.master_keys])


def serve(path: Path, environ: Mapping[str, str]) -> int:
    """Run the proxy until SIGTERM or SIGINT; returns the exit code.

    Raises `ConfigError`, `VaultError`, `StoreError`, `CommandError`.
    """
    config = configuration.load(path, environ, registry.exchanges())
    return uvloop.run(_serve(config, environ))


async def _serve(config: Config, environ: Mapping[str, str]) -> int:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    service = Service(config, environ=environ)
    reloaded = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, reloaded.set)
    await service.start()
    loop.add_signal_handler(signal.SIGHUP, service.reload)
    if reloaded.is_set():  # asked for while it was starting
        service.reload()
    await ended.wait()
    await service.stop()
    return 0
