"""The bots' ports: one listener for each address of the configuration, changed at a reload
without dropping a connection of those that stay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias, final

from proxy.errors import CommandError
from proxy.net.certificates import BadCertificate, RenewableTls, server_context
from proxy.net.server import Listener, ServerLimits
from proxy.passage import Passage

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from proxy.clock import Clock
    from proxy.config import Address, Network, ServerTable
    from proxy.net.server import Handler
    from proxy.pipeline import Pipeline
    from proxy.routes import Front

Around: TypeAlias = "Callable[[Handler[Passage]], Handler[Passage]]"
Networks: TypeAlias = "tuple[Network, ...]"


@final
class _Port:
    """One address that bots connect to."""

    def __init__(self, pipeline: Pipeline, listener: Listener[Passage]) -> None:
        self.pipeline = pipeline
        self.listener = listener
        self.bound = ("", 0)


@final
class Ports:
    """Every port of the bots. `make` makes the pipeline of a front, `around` wraps what the
    listeners talk to."""

    def __init__(
        self, make: Callable[[Front], Pipeline], around: Around | None, clock: Clock
    ) -> None:
        self._make = make
        self._around = around
        self._clock = clock
        self._ports: dict[Address, _Port] = {}
        self._retiring: set[Listener[Passage]] = set()
        self._tls: RenewableTls | None = None
        self._terms: tuple[bool, Networks | None] = (False, None)  # with TLS; PROXY headers of

    @property
    def bound(self) -> list[tuple[str, int]]:
        """The hosts and ports actually listened on, the shared one first."""
        return [port.bound for port in self._ports.values()]

    @property
    def connections(self) -> int:
        """How many bots are connected."""
        listeners = [port.listener for port in self._ports.values()]
        return sum(listener.connections for listener in (*listeners, *self._retiring))

    async def open(self, fronts: Iterable[Front], server: ServerTable) -> None:
        """Serve `fronts`, each on its address; what was served on others is left to `retire`.

        All or nothing: raises `CommandError` for an address that cannot be had, or a certificate
        that cannot be used, and everything is as it was.
        """
        fresh = _fresh_tls(server.tls_cert, server.tls_key)
        tls = None if fresh is None else self._tls or RenewableTls(fresh)
        terms = (tls is not None, server.trusted_proxies if server.proxy_protocol else None)
        wanted = {front.address: front for front in fronts}
        kept = set(self._ports) & set(wanted) if terms == self._terms else set()
        replaced = [self._ports[address] for address in set(self._ports) & set(wanted) - kept]
        for port in replaced:
            port.listener.stop_accepting()
        opened: dict[Address, _Port] = {}
        try:
            for address in wanted:
                if address not in kept:
                    opened[address] = await self._listen(wanted[address], server, tls, terms[1])
        except CommandError:
            for port in opened.values():
                port.listener.stop_accepting()
                self._retiring.add(port.listener)
            await self._listen_again(replaced)
            raise
        if tls is not None and fresh is not None:
            tls.newest = fresh
        self._tls = tls
        self._terms = terms
        self._commit(wanted, kept, opened, server)

    async def _listen_again(self, ports: list[_Port]) -> None:
        """Open addresses again that were given up for a configuration that cannot be had."""
        context = None if self._tls is None else self._tls.context
        for port in ports:
            await port.listener.start(*port.bound, context, self._terms[1])

    def _commit(
        self,
        wanted: dict[Address, Front],
        kept: set[Address],
        opened: dict[Address, _Port],
        server: ServerTable,
    ) -> None:
        before = self._ports
        self._ports = {
            address: before[address] if address in kept else opened[address] for address in wanted
        }
        self._retiring.update(
            port.listener for port in before.values() if port not in self._ports.values()
        )
        limits = _limits(server)
        for address in kept:
            port = self._ports[address]
            port.pipeline.front = wanted[address]
            port.listener.limits = limits

    async def _listen(
        self,
        front: Front,
        server: ServerTable,
        tls: RenewableTls | None,
        proxies: Networks | None,
    ) -> _Port:
        pipeline = self._make(front)
        handler: Handler[Passage] = pipeline
        if self._around is not None:
            handler = self._around(pipeline)
        port = _Port(pipeline, Listener(handler, _limits(server), self._clock))
        address = front.address
        context = None if tls is None else tls.context
        try:
            port.bound = await port.listener.start(address.host, address.port, context, proxies)
        except OSError as error:
            raise CommandError(f"cannot listen on {address}: {error.strerror}") from error
        return port

    async def retire(self, timeout_s: float) -> None:
        """Let what is in flight finish on ports that are not served any more, then close them."""
        retiring = list(self._retiring)
        await asyncio.gather(*(listener.retire(timeout_s) for listener in retiring))
        self._retiring.difference_update(retiring)

    def stop_accepting(self) -> None:
        """Close the ports; connections live on."""
        for port in self._ports.values():
            port.listener.stop_accepting()

    async def drain(self, timeout_s: float) -> None:
        """Let requests in flight finish, and end every connection."""
        listeners = [port.listener for port in self._ports.values()]
        await asyncio.gather(
            *(listener.drain(timeout_s) for listener in (*listeners, *self._retiring))
        )


def _limits(server: ServerTable) -> ServerLimits:
    return ServerLimits(
        body_bytes_max=server.max_body_bytes,
        connections_max=server.max_connections,
        buffered_bytes_max=server.max_buffered_bytes,
        head_timeout_ns=server.head_timeout_ns,
        body_timeout_ns=server.body_timeout_ns,
        idle_timeout_ns=server.idle_timeout_ns,
        write_timeout_ns=server.write_timeout_ns,
    )


def _fresh_tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """TLS towards bots, where a certificate is configured. Raises `CommandError`."""
    if certificate is None:
        return None
    try:
        return server_context(certificate, key)
    except BadCertificate as error:
        raise CommandError(str(error)) from error
