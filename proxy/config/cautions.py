"""What is legal but unwise, for `tagproxy check` to warn of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from proxy.config.shape import Address, Origin
from proxy.model import Action, Tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.config.shape import Config, ExchangeTable, VenueTable
    from proxy.config.source import Source
    from proxy.config.toml_lines import KeyPath
    from proxy.exchanges.spec import Exchange

EXAMPLE_CODE: Final = "YOURCODE"  # stands in the proxy.toml that we ship
_BOT_TIMEOUT_NS: Final = 10_000_000_000  # what client libraries wait, most of them
_OTHERS_READ: Final = 0o004


def note_cautions(source: Source, config: Config, exchanges: Mapping[str, Exchange]) -> None:
    """Note on `source` everything unwise in a configuration without faults."""
    _ports(source, config)
    _storage(source, config)
    _proxies(source, config)
    for name, table in config.exchanges.items():
        at = ("exchanges", name)
        _address(source, at, table)
        for venue in table.venues.values():
            _address(source, (*at, venue.name), venue)
        if table.deadline_ns >= _BOT_TIMEOUT_NS:
            what = "most client libraries give up after 10s and never see a later answer"
            source.caution((*at, "deadline"), what)
        if config.limits.max_wait_ns >= table.deadline_ns:
            source.caution((*at, "deadline"), "is not longer than limits.max_wait")
        _broker(source, config, name, exchanges[table.kind])
        window_ns = order_window_ns(exchanges[table.kind])
        # a window that no request can wait out is not the wait's fault
        if config.limits.max_wait_ns < window_ns < table.deadline_ns:
            what = f"is shorter than an order window of {name}, {window_ns // 1_000_000} ms"
            source.caution(("limits", "max_wait"), f"{what}: bursts are refused, not queued")


def _address(source: Source, at: KeyPath, told: ExchangeTable | VenueTable) -> None:
    """Where requests go, and under whose code; what a venue leaves out is the exchange's own."""
    code, url = (*at, "broker_code"), (*at, "rest_url")
    if told.broker_code == EXAMPLE_CODE and source.says(code):
        source.caution(code, "is the example's; put your own")
    if not told.rest_url.tls and not _local(told.rest_url) and source.says(url):
        source.caution(url, "real credentials leave without TLS")


def _broker(source: Source, config: Config, name: str, exchange: Exchange) -> None:
    """Where orders may go out under a code that earns nothing."""
    table = config.exchanges[name]
    if not exchange.broker_keys:
        return
    if not table.broker_name:
        source.caution(("exchanges", name, "broker_code"), "has no broker_name beside it")
    for venue in table.venues.values():
        if venue.broker_code == table.broker_code:
            what = f"is that of {name} itself; {venue.name} has one of its own, with its own key"
            source.caution(("exchanges", name, venue.name, "broker_code"), what)


def order_window_ns(exchange: Exchange) -> int:
    """The window that most limits on placing tagged orders have; 0 where there is none."""
    windows = Counter(
        draw.pool.window_ns
        for row in exchange.endpoints
        if row.action is Action.PLACE and row.tag is not Tag.NONE
        for draw in row.draws
        if draw.pool.published
    )
    return windows.most_common(1)[0][0] if windows else 0


def _ports(source: Source, config: Config) -> None:
    if config.server.tls_cert is None:
        for path, address in bot_ports(config):
            if not address.loopback:
                what = f"bots' port {address} is open to the network without TLS"
                source.caution(path, what)
    if not config.admin.listen.loopback:
        what = f"admin port {config.admin.listen} is open to the network; it asks for no password"
        source.caution(("admin", "listen"), what)


def bot_ports(config: Config) -> Iterator[tuple[KeyPath, Address]]:
    """Every address that bots may connect to, with the key it stands under."""
    yield ("server", "listen"), config.server.listen
    for name, table in config.exchanges.items():
        if table.listen is not None:
            yield ("exchanges", name, "listen"), table.listen
        for venue in table.venues.values():
            if venue.listen is not None:
                yield ("exchanges", name, venue.name, "listen"), venue.listen


def _storage(source: Source, config: Config) -> None:
    folder = config.storage.database.parent
    if not folder.is_dir():
        source.caution(("storage", "url"), f"there is no directory {folder}")
    written = source.tree["storage"]["master_key"]
    for key in written if isinstance(written, list) else [written]:
        if isinstance(key, dict) and "file" in key:
            file = source.file(key["file"])
            if file.stat().st_mode & _OTHERS_READ:
                source.caution(("storage", "master_key"), f"everyone can read {file}")


def _proxies(source: Source, config: Config) -> None:
    server = config.server
    if server.proxy_protocol and not server.trusted_proxies and not server.listen.loopback:
        what = "whoever connects may name any address as its own; list the load balancers"
        source.caution(("server", "proxy_protocol"), f"{what} in trusted_proxies")
    for network in server.trusted_proxies:
        if network.prefixlen == 0:
            what = "holds everybody: any bot may name any address as its own"
            source.caution(("server", "trusted_proxies"), what)


def _local(origin: Origin) -> bool:
    return Address(origin.host, origin.port).loopback
