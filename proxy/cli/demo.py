"""`tagproxy demo`: the proxy between a simulated exchange and one user, on one machine, at once.

Needs no configuration and no network; everything lives in a temporary directory that goes with
it. `--once` plays the bot as well and says by its exit code whether the order was tagged.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import aiohttp
import uvloop

import proxy
from proxy import app
from proxy.cli.demo_screen import Screen, tags
from proxy.cli.sim import address, new_user
from proxy.clock import SystemClock
from proxy.config.load import load
from proxy.errors import CommandError
from proxy.exchanges import registry
from proxy.model import KeyTriple, Reply, Request
from proxy.sim import Authority, SimulatedOkx, User
from proxy.sim.signature import signature

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from proxy.net.server import Handler
    from proxy.passage import Passage

BROKER_CODE: Final = "tagproxyDEMO01"
FOREIGN_CODE: Final = "6b9ad766b55dBCDE"  # what ccxt puts on orders
_ORDER_PATH: Final = "/api/v5/trade/order"
_TIMEOUT_S: Final = 10
_CONFIG: Final = """\
[server]
listen = {listen}
[admin]
listen = "127.0.0.1:0"
[storage]
url = {database}
master_key = {{ file = {master_key} }}
[exchanges.okx]
kind = "okx"
rest_url = {rest_url}
ws_url = {ws_url}
ca_file = {ca_file}
broker_code = {broker_code}
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "demo",
        help="show it all, with simulated exchanges",
        description="Runs the proxy before a simulated exchange, with one user, until Ctrl-C.",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="send one order per exchange, show it, and exit 0 only if all were tagged",
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
    real = new_user("1001")
    authority = Authority(directory / "ca")
    exchange = SimulatedOkx([real], on_order=screen.received)
    _, port = await exchange.start(ssl=authority.server_context())
    try:
        file = _write_config(directory, args.listen, port, authority)
        issued = await asyncio.to_thread(_issue, file, real)
        config = load(file, {}, registry.exchanges())
        with _log_to(directory / "log"):
            service = app.Service(config, around=lambda handler: Watched(handler, screen))
            await service.start()
            try:
                if args.once:
                    return await _once(screen, exchange, _url(service.bot_address), issued)
                base_url = f"{_url(service.bot_address)}/okx"
                screen.welcome(base_url, _url(service.admin_address), issued)
                await ended.wait()
            finally:
                await service.stop()
    finally:
        await exchange.stop()
    return 0


def _write_config(
    directory: Path, listen: tuple[str, int], port: int, authority: Authority
) -> Path:
    master_key = directory / "master.key"
    _write(master_key, base64.b64encode(secrets.token_bytes(32)).decode())
    words = {
        "listen": _host_port(listen),
        "database": f"sqlite:///{directory / 'tagproxy.db'}",
        "master_key": str(master_key),
        "rest_url": f"https://127.0.0.1:{port}",
        "ws_url": f"wss://127.0.0.1:{port}",
        "ca_file": str(authority.ca_file),
        "broker_code": BROKER_CODE,
    }
    file = directory / "proxy.toml"
    _write(file, _CONFIG.format(**{key: json.dumps(value) for key, value in words.items()}))
    return file


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)


def _issue(config: Path, real: User) -> KeyTriple:
    """Add the demo's user as an operator would; return the credentials issued to the bot."""
    triple = {"api_key": real.api_key, "secret": real.secret, "passphrase": real.passphrase}
    done = subprocess.run(  # noqa: S603 - ourselves
        [
            *(sys.executable, "-m", "proxy", "--config", str(config)),
            *("users", "add", "demo", "--exchange", "okx", "--issue"),
        ],
        input=json.dumps(triple),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=config.parent,
        env=_environment(),
        check=False,
    )
    if done.returncode:
        raise CommandError(f"the demo's user could not be added: {done.stderr.strip()}")
    issued = json.loads(done.stdout)
    return KeyTriple(issued["api_key"], issued["secret"], issued["passphrase"])


def _environment() -> dict[str, str]:
    """The same package must be found from elsewhere, and no setting of the operator's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TAGPROXY_")}
    root = str(Path(proxy.__file__).parents[1])
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH"))))}


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


async def _once(screen: Screen, exchange: SimulatedOkx, url: str, issued: KeyTriple) -> int:
    """Be the bot: send one order with a foreign code and look at what the exchange has."""
    order = {
        "instId": "BTC-USDT",
        "tdMode": "cash",
        "side": "buy",
        "ordType": "limit",
        "px": "40000",
        "sz": "0.01",
        "tag": FOREIGN_CODE,
    }
    body = json.dumps(order).encode()
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{url}/okx{_ORDER_PATH}", data=body, headers=_signed(issued, body)) as answer,
    ):
        text = await answer.text()
    sent = [each for each in exchange.requests if each.path == _ORDER_PATH]
    accepted = answer.status == 200 and _code(text) == "0"
    tagged = [tag for each in sent for tag in tags(each.body)] == [BROKER_CODE]
    verdict = "accepted and tagged" if accepted and tagged else f"NOT as it should be: {text}"
    screen.line(f"okx: {verdict}")
    return 0 if accepted and tagged else 1


def _signed(issued: KeyTriple, body: bytes) -> dict[str, str]:
    moment = datetime.fromtimestamp(SystemClock.wall_ms() / 1000, UTC)
    stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "OK-ACCESS-KEY": issued.api_key,
        "OK-ACCESS-SIGN": signature(issued.secret, stamp, "POST", _ORDER_PATH, body),
        "OK-ACCESS-TIMESTAMP": stamp,
        "OK-ACCESS-PASSPHRASE": issued.passphrase,
        "Content-Type": "application/json",
    }


def _code(text: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(text).get("code")
    return None


def _host_port(where: tuple[str, int]) -> str:
    host, port = where
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _url(where: tuple[str, int]) -> str:
    host, port = where
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not a bind
    return f"http://{_host_port((reachable, port))}"
