"""Every exchange table of a configuration as sites, connections and fronts, ready to serve."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final, final

from proxy.errors import CommandError, Fault
from proxy.exchanges import table
from proxy.exchanges.mac import Mac
from proxy.model import Broker
from proxy.net.upstream import Pool
from proxy.routes import Front, Site

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.accounts.directory import Directory
    from proxy.clock import Clock
    from proxy.config import Config, ExchangeTable
    from proxy.exchanges.spec import Exchange
    from proxy.metrics import Metrics
    from proxy.model import Endpoint

IDLE_NS: Final = 25_000_000_000  # exchanges close idle connections after 30 s and more
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024  # the largest listings are a few MiB
ANY_ADDRESS: Final = "default"  # the system chooses the address to send from


@final
class Sites:
    """What a configuration serves. `fronts` has the shared port first, then each own port."""

    def __init__(
        self,
        config: Config,
        exchanges: Mapping[str, Exchange],
        accounts: Directory,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._accounts = accounts
        self._pools: dict[str, Pool] = {}
        shared = Front(config.server.listen)
        self.fronts = [shared]
        for entry in config.exchanges.values():
            site = self._site(config, entry, exchanges[entry.kind])
            shared.add(site, b"/" + entry.name.encode())
            if entry.listen is not None:
                own = Front(entry.listen)
                own.add(site, b"")
                self.fronts.append(own)

    def start(self) -> None:
        """Open the first connections ahead of need."""
        for pool in self._pools.values():
            pool.start()

    async def close(self) -> None:
        """End every connection to the exchanges."""
        for pool in self._pools.values():
            await pool.close()

    def connections(self) -> int:
        """How many connections to exchanges are open."""
        return sum(pool.open for pool in self._pools.values())

    def unreachable(self) -> list[str]:
        """The exchanges that cannot be connected to, a line each."""
        return [
            f"exchange {name} cannot be reached"
            for name, pool in self._pools.items()
            if not pool.reachable
        ]

    def _site(self, config: Config, entry: ExchangeTable, exchange: Exchange) -> Site:
        origin = entry.rest_url
        pool = Pool(
            origin.host,
            origin.port,
            ssl_context=_exchange_tls(entry.ca_file) if origin.tls else None,
            clock=self._clock,
            local_address=entry.egress[0] if entry.egress else None,
            idle_ns=IDLE_NS,
            connect_timeout_ns=entry.connect_timeout_ns,
            answer_bytes_max=ANSWER_BYTES_MAX,
        )
        self._pools[entry.name] = pool
        key = entry.broker_key
        return Site(
            name=entry.name,
            venue="main",
            exchange=exchange,
            endpoints=_endpoints(config, entry, exchange),
            accounts=self._accounts.table(entry.name),
            broker=Broker(
                entry.broker_code.encode(),
                entry.broker_name.encode(),
                Mac(key.reveal()) if key is not None else None,
            ),
            connections=pool,
            authority=origin.authority,
            egress=entry.egress[0] if entry.egress else ANY_ADDRESS,
            deadline_ns=entry.deadline_ns,
            on_conflict=config.tagging.on_conflict,
            unclassified_limit=config.limits.unpublished,
            metrics=self._metrics,
        )


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


def _exchange_tls(ca_file: Path | None) -> ssl.SSLContext:
    """TLS towards an exchange: 1.3 where it offers it, 1.2 at the least."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def bots_tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """TLS towards bots, where a certificate is configured."""
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context
