"""Where connections to the simulated exchange come from, and how many."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aiohttp import web

if TYPE_CHECKING:
    import asyncio

    from aiohttp.web_protocol import RequestHandler


@final
@dataclass(slots=True)
class Source:
    """One address that connected."""

    opened: int = 0  # connections; of TLS those whose handshake was done
    open: int = 0
    resumed: int = 0  # of the opened, those that resumed a TLS session
    requests: int = 0
    refused: int = 0  # by a limit
    banned: int = 0  # by the edge


@final
class Door(web.Server):
    """aiohttp's server, which counts by address.

    A connection that was used for the back door is none of the exchange's and is taken out.
    """

    def __init__(self, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._counted: dict[RequestHandler, tuple[Source, bool]] = {}
        self._sources: dict[str, Source] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count one in."""
        super().connection_made(handler, transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        tls = transport.get_extra_info("ssl_object")
        resumed = bool(tls is not None and tls.session_reused)
        source = self.source(peer[0])
        self._counted[handler] = (source, resumed)
        source.opened += 1
        source.open += 1
        source.resumed += resumed

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Count one out."""
        super().connection_lost(handler, exc)
        counted = self._counted.pop(handler, None)
        if counted is not None:
            counted[0].open -= 1

    def at_the_back(self, handler: RequestHandler) -> None:
        """Take a connection out of the counts, as if it had never come."""
        counted = self._counted.pop(handler, None)
        if counted is not None:
            source, resumed = counted
            source.open -= 1
            # It may have come before the counts were cleared.
            source.opened = max(source.opened - 1, 0)
            source.resumed = max(source.resumed - resumed, 0)

    def source(self, address: str) -> Source:
        """Return the counts of one address."""
        return self._sources.setdefault(address, Source())

    def shown(self) -> dict[str, dict[str, int]]:
        """Return every address that anything but the back door was asked from."""
        counts = {address: dataclasses.asdict(each) for address, each in self._sources.items()}
        return {address: each for address, each in counts.items() if any(each.values())}

    def clear(self) -> None:
        """Start counting anew; what is open stays counted as open."""
        for source in self._sources.values():
            source.opened = source.resumed = source.requests = source.refused = source.banned = 0
