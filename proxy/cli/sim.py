"""`tagproxy sim`: the simulated exchanges alone, until SIGTERM.

Prints JSON lines: one per venue of each exchange with its base URL, then one per key that they
know. Each venue has a port of its own: the first `--listen`'s, the others those after it in the
order of the lines. Tests change an exchange while it runs, see `proxy.sim.control`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from proxy.errors import CommandError
from proxy.sim import Authority, SimulatedExchange, registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.sim.exchange import Simulated

_PORT_MAX: Final = 65_535


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "sim",
        help="run the simulated exchanges alone",
        description="Serves strict simulated exchanges until SIGTERM; prints where, and their "
        "keys.",
    )
    parser.add_argument(
        "--listen",
        type=address,
        default=("127.0.0.1", 0),
        metavar="HOST:PORT",
        help="where the first one listens, the others on the ports after it (0: any free ones)",
    )
    parser.add_argument(
        "--only",
        type=_kinds,
        default=(),
        metavar="KIND,…",
        help=f"not all of them: {', '.join(registry.kinds())}",
    )
    parser.add_argument(
        "--tls",
        type=Path,
        metavar="DIR",
        help="serve TLS; the certificate authority to trust is written to DIR/ca.pem",
    )
    parser.set_defaults(run=_run)


def address(text: str) -> tuple[str, int]:
    """Read HOST:PORT; raises ArgumentTypeError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > _PORT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def _kinds(text: str) -> tuple[str, ...]:
    known = registry.kinds()
    for kind in text.split(","):
        if kind not in known:
            raise argparse.ArgumentTypeError(f"{kind!r} is not one of {', '.join(known)}")
    return tuple(dict.fromkeys(text.split(",")))


async def _run(args: argparse.Namespace) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    host, port = args.listen
    authority = Authority(args.tls, _names(host)) if args.tls else None
    context = authority.server_context() if authority is not None else None
    running = [SimulatedExchange(each) for each in registry.exchanges(args.only)]
    ports = sum(len(each.exchange.venues) for each in running)
    if port + ports - 1 > _PORT_MAX:
        raise CommandError(f"{ports} ports are needed from {port} on")
    async with AsyncExitStack() as stack:
        for each in running:
            _open_accounts(each.exchange)
            stack.push_async_callback(each.stop)
            await each.start(host, port, ssl=context)
            port = port and port + len(each.exchange.venues)
        for each in running:
            for line in _where(each, authority):
                print(json.dumps(line))
        for each in running:
            for line in _keys(each.exchange):
                print(json.dumps(line))
        print(end="", flush=True)
        await ended.wait()
    return 0


def _open_accounts(exchange: Simulated) -> None:
    exchange.new_user("1001")
    if exchange.has_demo:
        exchange.new_user("1001", demo=True)


def _where(
    running: SimulatedExchange[Simulated], authority: Authority | None
) -> Iterator[dict[str, Any]]:
    scheme = "http" if authority is None else "https"
    for venue, (host, port) in running.addresses.items():
        shown = f"[{host}]" if ":" in host else host
        base_url = f"{scheme}://{shown}:{port}"
        line = {"exchange": running.exchange.kind, "venue": venue, "base_url": base_url}
        if authority is not None:
            line["ca_file"] = str(authority.ca_file.absolute())
        yield line


def _keys(exchange: Simulated) -> Iterator[dict[str, Any]]:
    for user in exchange.users.values():
        triple = {"api_key": user.api_key, "secret": user.secret}
        if user.passphrase:
            triple["passphrase"] = user.passphrase
        yield {"exchange": exchange.kind, "uid": user.uid, "demo": user.demo, **triple}


def _names(host: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((host, "127.0.0.1", "::1", "localhost")))
