"""`tagproxy sim`: the simulated exchanges alone, until SIGTERM.

Prints JSON lines: one per exchange with its base URL, then one per key triple it knows. Tests
change it while it runs, see `proxy.sim.control`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
import uuid
from pathlib import Path
from typing import Any

from proxy.sim import Authority, SimulatedOkx, User


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "sim",
        help="run the simulated exchanges alone",
        description="Serves a strict simulated OKX until SIGTERM; prints where, and its keys.",
    )
    parser.add_argument(
        "--listen", type=address, default=("127.0.0.1", 0), metavar="HOST:PORT", help="where"
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
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def new_user(uid: str, *, demo: bool = False) -> User:
    """Make a user of the simulated exchange with a fresh key."""
    return User(
        api_key=str(uuid.uuid4()),
        secret=secrets.token_hex(16).upper(),
        passphrase=secrets.token_urlsafe(12),
        uid=uid,
        demo=demo,
    )


async def _run(args: argparse.Namespace) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    host, port = args.listen
    authority = Authority(args.tls, _names(host)) if args.tls else None
    exchange = SimulatedOkx([new_user("1001"), new_user("1001", demo=True)])
    context = authority.server_context() if authority is not None else None
    host, port = await exchange.start(host, port, ssl=context)
    shown = f"[{host}]" if ":" in host else host
    where: dict[str, Any] = {"exchange": "okx"}
    where["base_url"] = f"{'https' if authority else 'http'}://{shown}:{port}"
    if authority is not None:
        where["ca_file"] = str(authority.ca_file.absolute())
    print(json.dumps(where))
    for user in exchange.world.users.values():
        triple = {"api_key": user.api_key, "secret": user.secret, "passphrase": user.passphrase}
        print(json.dumps({"exchange": "okx", "uid": user.uid, "demo": user.demo, **triple}))
    print(end="", flush=True)
    await ended.wait()
    await exchange.stop()
    return 0


def _names(host: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((host, "127.0.0.1", "::1", "localhost")))
