"""What `tagproxy demo` needs before it can begin: a configuration of every simulated exchange that
runs, and the demo's user on each, added as an operator would."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import proxy
from proxy.errors import CommandError
from proxy.sim.exchange import MAIN, Holder, Simulated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proxy.sim import SimulatedExchange

USER: Final = "demo"
_IMPORT_S: Final = 60


@final
@dataclass(frozen=True, slots=True)
class Key:
    """What the proxy issued to the bot of the demo's user."""

    api_key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)
    uid: str
    demo: bool = False


@final
@dataclass(frozen=True, slots=True)
class Stall:
    """One simulated exchange that runs, and the key that the demo's user has there; the bot's is
    `issued` once the user is added."""

    server: SimulatedExchange[Simulated]
    real: Holder
    issued: Holder | None = None

    @property
    def exchange(self) -> Simulated:
        """Return the exchange without its server."""
        return self.server.exchange

    @property
    def bot(self) -> Holder:
        """Return the key that the bot signs with."""
        return self.issued or self.real

    def base_url(self, url: str, venue: str = MAIN) -> str:
        """Return where bots find a venue of it, the proxy's own address being `url`."""
        return f"{url}/{self.exchange.kind}{'' if venue == MAIN else f'/{venue}'}"

    def code(self, venue: str) -> str:
        """Return the operator's broker code at a venue."""
        operator = self.exchange.operator
        return operator.get(venue, operator[MAIN])["broker_code"]


def write_config(
    directory: Path, listen: tuple[str, int], stalls: Sequence[Stall], ca_file: Path
) -> Path:
    """Write a master key and a configuration to `directory`; return the latter's path."""
    master_key = directory / "master.key"
    _write(master_key, base64.b64encode(secrets.token_bytes(32)).decode())
    text = [
        _table("server", {"listen": _host_port(listen)}),
        _table("admin", {"listen": "127.0.0.1:0"}),
        _table("storage", {"url": f"sqlite:///{directory / 'tagproxy.db'}"}),
        f"master_key = {{ file = {json.dumps(str(master_key))} }}\n",
        *(text for stall in stalls for text in _exchange_tables(stall, ca_file)),
    ]
    file = directory / "proxy.toml"
    _write(file, "".join(text))
    return file


def _exchange_tables(stall: Stall, ca_file: Path) -> Iterator[str]:
    exchange = stall.exchange
    for venue, (host, port) in stall.server.addresses.items():
        where = _host_port((host, port))
        values = {"rest_url": f"https://{where}", "ws_url": f"wss://{where}"}
        if venue == MAIN:
            values |= {"kind": exchange.kind, "ca_file": str(ca_file)}
        name = f"exchanges.{exchange.kind}{'' if venue == MAIN else f'.{venue}'}"
        yield _table(name, {**values, **exchange.operator.get(venue, {})})


def _table(name: str, values: Mapping[str, str]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(text)}\n" for key, text in values.items())


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)


def issue(config: Path, stalls: Sequence[Stall]) -> list[Stall]:
    """Add the demo's user to each exchange; return the stalls with what was issued to the bots.

    Raises `CommandError`.
    """
    done = subprocess.run(  # noqa: S603 - ourselves
        [*(sys.executable, "-m", "proxy", "--config", str(config)), "users", "import", "-"],
        input="\n".join(json.dumps(_line(stall)) for stall in stalls),
        capture_output=True,
        text=True,
        timeout=_IMPORT_S,
        cwd=config.parent,
        env=_environment(),
        check=False,
    )
    if done.returncode:
        raise CommandError(f"the demo's user could not be added: {done.stderr.strip()}")
    issued = [json.loads(line)["issued"] for line in done.stdout.splitlines()]
    return [
        replace(
            stall,
            issued=Key(made["api_key"], made["secret"], made.get("passphrase", ""), stall.real.uid),
        )
        for stall, made in zip(stalls, issued, strict=True)
    ]


def _line(stall: Stall) -> dict[str, Any]:
    real = stall.real
    line = {"name": USER, "exchange": stall.exchange.kind, "issue": True}
    line |= {"api_key": real.api_key, "secret": real.secret}
    return line | ({"passphrase": real.passphrase} if real.passphrase else {})


def _environment() -> dict[str, str]:
    """The same package must be found from elsewhere, and no setting of the operator's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TAGPROXY_")}
    root = str(Path(proxy.__file__).parents[1])
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH"))))}


def url(where: tuple[str, int]) -> str:
    """Return the URL of an address that is listened on, as it can be reached from here."""
    host, port = where
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not a bind
    return f"http://{_host_port((reachable, port))}"


def _host_port(where: tuple[str, int]) -> str:
    host, port = where
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
