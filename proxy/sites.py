"""Every exchange table of a configuration as sites, connections and fronts, ready to serve."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, final

from proxy.egress import Egress
from proxy.errors import CommandError, Fault
from proxy.exchanges import table
from proxy.exchanges.mac import Mac
from proxy.model import Broker
from proxy.net.tls import exchange_tls
from proxy.net.upstream import Pool
from proxy.routes import Front, Site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proxy.accounts.directory import Directory
    from proxy.clock import Clock
    from proxy.config import Config, ExchangeTable, Origin, VenueTable
    from proxy.exchanges.spec import Exchange
    from proxy.metrics import Metrics
    from proxy.model import Endpoint

IDLE_NS: Final = 25_000_000_000  # exchanges close idle connections after 30 s and more
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024  # the largest listings are a few MiB
ANY_ADDRESS: Final = "default"  # the system chooses the address to send from
PATIENCE_NS: Final = 2_000_000_000  # with what a reload wants connected, before it is missed


# an exchange's name, the address of ours that it refuses, for how many seconds it rests
Report: TypeAlias = Callable[[str, str, int], None]


@final
class Sites:
    """What a configuration serves. `fronts` has the shared port first, then each own port.

    Made anew at a reload: connections to where the last one had some already are taken over.
    """

    def __init__(
        self,
        config: Config,
        exchanges: Mapping[str, Exchange],
        accounts: Directory,
        metrics: Metrics,
        clock: Clock,
        report: Report,
        last: Sites | None = None,
    ) -> None:
        """Raises `CommandError` for rows, overrides or certificates that cannot be used."""
        self._clock = clock
        self._metrics = metrics
        self._accounts = accounts
        self._report = report
        self._last = {} if last is None else last._ways
        self._ways: dict[tuple[object, ...], tuple[Egress, Pool]] = {}
        self._hosts: dict[tuple[str, Origin], tuple[Egress, ...]] = {}
        self._pools: dict[str, list[Pool]] = {}  # by exchange, and venue where that has its own
        self._trusts: dict[object, ssl.SSLContext] = {}
        self._fresh: set[Pool] = set()
        self._impatient_ns = 0  # from when on every exchange has to be connected
        self.sites: list[Site] = []
        shared = Front(config.server.listen)
        self.fronts = [shared]
        for entry in config.exchanges.values():
            self._serve(config, entry, exchanges[entry.kind].configured(entry.options), shared)
        every = [egress for egress, _ in self._ways.values()]
        for egress in every:
            egress.beside = tuple(
                other for other in every if other is not egress and other.subject == egress.subject
            )

    def start(self) -> None:
        """Open the first connections ahead of need, where there are none yet."""
        if self._last:
            self._impatient_ns = self._clock.monotonic_ns() + PATIENCE_NS
        for way, (_, pool) in self._ways.items():
            if way not in self._last:
                pool.start()

    async def retire(self, timeout_s: float) -> None:
        """End the connections that this one did not take over from the last; what is in flight
        on them has `timeout_s`."""
        gone = [pool for way, (_, pool) in self._last.items() if way not in self._ways]
        self._last = {}
        await asyncio.gather(*(pool.retire(timeout_s) for pool in gone))

    async def close(self) -> None:
        """End every connection to the exchanges."""
        for _, pool in self._ways.values():
            await pool.close()

    @property
    def connections(self) -> int:
        """How many connections to exchanges are open."""
        return sum(pool.open for _, pool in self._ways.values())

    def unreachable(self) -> list[str]:
        """The exchanges that cannot be connected to from any address, a line each."""
        patient = self._clock.monotonic_ns() < self._impatient_ns
        return [
            f"exchange {name} cannot be reached"
            for name, pools in self._pools.items()
            if not any(pool.reachable or (patient and pool in self._fresh) for pool in pools)
        ]

    @property
    def resting(self) -> Iterator[tuple[str, str, bool]]:
        """Every exchange and address, and whether the address rests."""
        now_ns = self._clock.monotonic_ns()
        rest: dict[tuple[str, str], bool] = {}
        for site in self.sites:
            for egress in site.egresses:
                key = (site.name, egress.address)
                rest[key] = rest.get(key, False) or now_ns < egress.rests_until_ns
        for (name, address), rests in rest.items():
            yield name, address, rests

    def _serve(
        self, config: Config, entry: ExchangeTable, exchange: Exchange, shared: Front
    ) -> None:
        """Make the sites of one exchange table, and put them on their ports."""
        endpoints = _endpoints(config, entry, exchange)
        make = partial(self._site, config, entry, exchange, endpoints)
        main = make("main", entry, None)
        self.sites.append(main)
        prefix = b"/" + entry.name.encode()
        fronts = [(shared, prefix)]
        shared.add(main, prefix)
        if entry.listen is not None:
            own = Front(entry.listen)
            own.add(main, b"")
            self.fronts.append(own)
            fronts.append((own, b""))
        for venue in exchange.venues[1:]:
            told = entry.venues.get(venue.name)
            if told is None:
                why = f"no {venue.name} here: [exchanges.{entry.name}.{venue.name}] has no rest_url"
                for front, before in fronts:
                    front.add_absent(main, before + b"/" + venue.name.encode(), why)
                continue
            site = make(venue.name, told, main)
            self.sites.append(site)
            # or main's reads would pass there uncounted
            holds_main = venue.beside_main and site.host == main.host
            for front, before in fronts:
                front.add(site, before + b"/" + venue.name.encode())
                if venue.beside_main:
                    front.add_beside(site, before)
                if holds_main:
                    front.add_beside(main, before + b"/" + venue.name.encode())
            if told.listen is not None:
                own = Front(told.listen)
                own.add(site, b"")
                if holds_main:
                    own.add_beside(main, b"")
                self.fronts.append(own)

    def _site(
        self,
        config: Config,
        entry: ExchangeTable,
        exchange: Exchange,
        endpoints: tuple[Endpoint, ...],
        venue: str,
        told: ExchangeTable | VenueTable,
        main: Site | None,
    ) -> Site:
        key = told.broker_key
        return Site(
            name=entry.name,
            venue=venue,
            exchange=exchange,
            endpoints=endpoints,
            accounts=self._accounts.table(entry.name),
            broker=Broker(
                told.broker_code.encode(),
                told.broker_name.encode(),
                Mac(key.reveal()) if key is not None else None,
            ),
            egresses=self._egresses(entry, told.rest_url, venue),
            authority=told.rest_url.authority,
            counted_at=entry.rest_url.authority,
            main=main,
            deadline_ns=entry.deadline_ns,
            on_conflict=config.tagging.on_conflict,
            unclassified_limit=config.limits.unpublished,
            metrics=self._metrics,
        )

    def _egresses(self, entry: ExchangeTable, origin: Origin, venue: str) -> tuple[Egress, ...]:
        """The ways to a host of an exchange, one from each local address."""
        known_ways = self._hosts.get((entry.name, origin))
        if known_ways is not None:
            return known_ways
        trusted = None if entry.ca_file is None else (entry.ca_file, _changed_ns(entry.ca_file))
        pools = self._pools[entry.name if venue == "main" else f"{entry.name} {venue}"] = []
        ways = []
        for address in entry.egress or (ANY_ADDRESS,):
            way = (entry.name, entry.rest_url, origin, trusted, entry.connect_timeout_ns, address)
            found = self._last.get(way)
            if found is None:
                pool = Pool(
                    origin.host,
                    origin.port,
                    ssl_context=self._tls(entry.ca_file, trusted) if origin.tls else None,
                    clock=self._clock,
                    local_address=None if address == ANY_ADDRESS else address,
                    idle_ns=IDLE_NS,
                    connect_timeout_ns=entry.connect_timeout_ns,
                    answer_bytes_max=ANSWER_BYTES_MAX,
                )
                egress = Egress(
                    address,
                    entry.rest_url.authority,
                    pool,
                    self._metrics.exchange_bans(entry.name, address),
                    partial(self._report, entry.name),
                )
                for known, _ in (*self._last.values(), *self._ways.values()):
                    egress.rest_as(known)
                found = egress, pool
                self._fresh.add(pool)
            self._ways[way] = found
            ways.append(found[0])
            pools.append(found[1])
        made = self._hosts[entry.name, origin] = tuple(ways)
        return made

    def _tls(self, ca_file: Path | None, trusted: object) -> ssl.SSLContext:
        """Made only where it is needed: all that is trusted takes 80 ms to read."""
        found = self._trusts.get(trusted)
        if found is None:
            found = self._trusts[trusted] = exchange_tls(ca_file)
        return found


def _endpoints(config: Config, entry: ExchangeTable, exchange: Exchange) -> tuple[Endpoint, ...]:
    """The exchange's table with this operator's rows, overrides and unpublished limits.

    Raises `CommandError` for rows or overrides that cannot be used.
    """
    rows = exchange.endpoints
    try:
        if entry.rules is not None:
            rows = table.parse_extra(entry.rules.read_text(), str(entry.rules), exchange).endpoints
        return table.resolve(rows, dict(entry.limit_overrides), config.limits.unpublished)
    except (OSError, Fault, table.UnknownPool) as error:
        raise CommandError(f"exchanges.{entry.name}: {error}") from error


def _changed_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error
