"""`tagproxy demo`: the proxy between simulated exchanges and one user, on one machine, at once.

Needs no configuration and no network; everything lives in a temporary directory that goes with
it. `--once` plays the bots as well and says by its exit code whether every order was tagged. Which
exchanges there are, and how bots sign for them, the simulators know: see `proxy.sim.exchange`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import uvloop

from proxy import app
from proxy.cli import demo_setting
from proxy.cli.demo_bot import send_samples
from proxy.cli.demo_screen import Screen
from proxy.cli.sim import address
from proxy.config.load import load
from proxy.exchanges import registry
from proxy.model import Reply, Request
from proxy.sim import Authority, SimulatedExchange
from proxy.sim import registry as simulated

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from proxy.cli.demo_setting import Stall
    from proxy.net.server import Handler
    from proxy.passage import Passage

_UID: Final = "1001"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "demo",
        help="show it all, with simulated exchanges",
        description="Runs the proxy before simulated exchanges, with one user, until Ctrl-C.",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="send one order per exchange and venue, show them, and exit 0 only if all were "
        "accepted and tagged",
    )
    parser.add_argument(
        "--listen",
        type=address,
        default=("127.0.0.1", 0),
        metavar="HOST:PORT",
        help="where bots connect (default: 127.0.0.1 and any free port)",
    )
    parser.set_defaults(run=_demo)


def _demo(args: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="tagproxy-demo-") as directory:
        return uvloop.run(_run(args, Path(directory)))


@final
class Watched:
    """Passes every request through to the pipeline and tells the screen how it ended."""

    def __init__(self, inner: Handler[Passage], screen: Screen) -> None:
        self._inner = inner
        self._screen = screen
        self.malformed = inner.malformed
        self.sent = inner.sent
        self.gone = inner.gone

    def screen(self, request: Request) -> Passage | Reply:
        """Decide on the head alone."""
        ticket = self._inner.screen(request)
        if isinstance(ticket, Reply):
            self._screen.answered(request, ticket)
        return ticket

    async def carry(self, ticket: Passage) -> Reply:
        """Answer the request, and show it."""
        reply = await self._inner.carry(ticket)
        self._screen.answered(ticket.request, reply)
        return reply

    def failed(self, ticket: Passage, error: BaseException) -> Reply:
        """Word the answer to a request that failed, and show it."""
        reply = self._inner.failed(ticket, error)
        self._screen.answered(ticket.request, reply)
        return reply


async def _run(args: argparse.Namespace, directory: Path) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    screen = Screen(sys.stdout)
    authority = Authority(directory / "ca")
    async with contextlib.AsyncExitStack() as stack:
        stalls = []
        for exchange in simulated.exchanges():
            real = exchange.new_user(_UID)
            server = SimulatedExchange(exchange, on_order=screen.watch(exchange, real))
            stack.push_async_callback(server.stop)
            await server.start(ssl=authority.server_context())
            stalls.append(demo_setting.Stall(server, real))
        file = demo_setting.write_config(directory, args.listen, stalls, authority.ca_file)
        stalls = await asyncio.to_thread(demo_setting.issue, file, stalls)
        return await _serve(args, screen, stalls, file, ended)


async def _serve(
    args: argparse.Namespace,
    screen: Screen,
    stalls: list[Stall],
    file: Path,
    ended: asyncio.Event,
) -> int:
    config = load(file, {}, registry.exchanges())
    with _log_to(file.parent / "log"):
        service = app.Service(config, around=lambda handler: Watched(handler, screen))
        await service.start()
        try:
            url = demo_setting.url(service.bot_address)
            if args.once:
                return 0 if await send_samples(screen, stalls, url) else 1
            admin_url = demo_setting.url(service.admin_address)
            screen.welcome(stalls, url, admin_url, file.parent / "paste")
            await ended.wait()
        finally:
            await service.stop()
    return 0


@contextlib.contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Keep the proxy's log lines off the screen: stderr goes to a file meanwhile."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
