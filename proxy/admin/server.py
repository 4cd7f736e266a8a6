"""`/metrics`, `/healthz` and `/readyz` on a port of their own, and 404 for everything else.

The control plane: aiohttp is quick enough here. Nothing of the data path imports this.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Final, final

import orjson
from aiohttp import web
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.metrics import Metrics

_BODY_BYTES_MAX: Final = 1_024  # nobody has anything to send here
_ANSWER_S: Final = 10.0
_IDLE_S: Final = 60.0
_STOP_S: Final = 1.0
_BACKLOG: Final = 64


@final
class AdminServer:
    """The admin port. `ready` lists what is missing before the process can serve."""

    __slots__ = ("_address", "_ready", "_registry", "_runner", "_site")

    def __init__(self, metrics: Metrics, ready: Callable[[], list[str]]) -> None:
        self._registry = metrics.registry
        self._ready = ready
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._address = ("", 0)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port really bound; valid between `start` and `stop`."""
        return self._address

    async def start(self, listen: tuple[str, int]) -> tuple[str, int]:
        """Listen on a host and port; port 0 lets the system choose. Raises `OSError`."""
        app = web.Application(client_max_size=_BODY_BYTES_MAX, middlewares=[_in_time])
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", _healthz),
                web.get("/readyz", self._readyz),
                web.route("*", "/{rest:.*}", _nothing_here),
            ]
        )
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=_IDLE_S,
            shutdown_timeout=_STOP_S,
        )
        await runner.setup()
        try:
            await self._open(runner, listen)
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        return self._address

    async def move(self, listen: tuple[str, int]) -> tuple[str, int]:
        """Listen there instead; what is open stays open. Raises `OSError`, and then listens where
        it did."""
        runner, before = self._runner, self._site
        assert runner is not None
        assert before is not None
        was = self._address
        try:
            await self._open(runner, listen)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or listen[1] != was[1]:
                raise
        else:
            await before.stop()
            return self._address
        # another address of the same port: it may be in use by ourselves
        await before.stop()
        try:
            return await self._open(runner, listen)
        except OSError:
            await self._open(runner, was)
            raise

    async def stop(self) -> None:
        """Stop listening and end what is open."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = self._site = None

    async def _open(self, runner: web.AppRunner, listen: tuple[str, int]) -> tuple[str, int]:
        known = list(runner.addresses)
        site = web.TCPSite(runner, *listen, backlog=_BACKLOG)
        try:
            await site.start()
        except OSError:
            await site.stop()
            raise
        self._site = site
        bound = next(each for each in runner.addresses if each not in known)
        self._address = (str(bound[0]), int(bound[1]))
        return self._address

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _readyz(self, _: web.Request) -> web.Response:
        missing = self._ready()
        return web.Response(
            status=503 if missing else 200,
            body=orjson.dumps(missing),
            content_type="application/json",
        )


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _nothing_here(_: web.Request) -> web.Response:
    return web.Response(status=404, text="not found\n")


@web.middleware
async def _in_time(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    async with asyncio.timeout(_ANSWER_S):
        return await handler(request)
