"""The simulators and the proxy as processes, for end-to-end tests; each ends with its block.

OKX is what there is unless a test asks for other kinds of exchange.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import tables
from tests.e2e.bot import Bot, Caller, Triple
from tests.e2e.kucoin_bot import KucoinBot
from tests.e2e.mexc_bot import MexcBot
from tests.e2e.processes import START_S, Child, environment, eventually, fetch, free_port

BROKER_CODE: Final = tables.BROKER_CODE
BOTS: Final[Mapping[str, type[Caller]]] = {"okx": Bot, "mexc": MexcBot, "kucoin": KucoinBot}
OKX_ALONE: Final = ("okx",)

Sections = Mapping[str, Mapping[str, Any]]


class BackDoor:
    """The back door of one simulated exchange."""

    def __init__(self, kind: str, ca_file: Path | None) -> None:
        self.kind = kind
        self.ca_file = ca_file  # None: no TLS
        self.base_urls: dict[str, str] = {}  # by venue, once it listens
        self._uids = itertools.count(1)

    @property
    def base_url(self) -> str:
        """Where the main venue listens."""
        return self.base_urls["main"]

    def control(self, method: str, name: str, content: Any = None) -> Any:
        """Call /sim/<name>; see proxy.sim.control."""
        url = f"{self.base_url}/sim/{name}"
        status, body = fetch(url, method, content, ca_file=self.ca_file)
        assert status == 200, body
        return json.loads(body)

    def add_user(self, uid: str = "", **fields: Any) -> Triple:
        """Open an account at the exchange; return its key. A uid of its own unless given."""
        triple = BOTS[self.kind].fresh()
        named = {"uid": uid or f"5{next(self._uids):05d}", **fields}
        self.control("POST", "users", json.loads(triple.as_json()) | named)
        return triple

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What reached the exchange; see proxy.sim.recorded."""
        shown: list[dict[str, Any]] = self.control("GET", "requests")
        return shown

    @property
    def orders(self) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = self.control("GET", "orders")
        return shown

    @property
    def breaches(self) -> dict[str, int]:
        shown: dict[str, int] = self.control("GET", "breaches")["breaches"]
        return shown

    @property
    def sources(self) -> dict[str, dict[str, int]]:
        """Where connections and requests came from; see proxy.sim.door."""
        shown: dict[str, dict[str, int]] = self.control("GET", "sources")
        return shown

    def arrivals(self, *fields: str) -> list[tuple[Any, ...]]:
        """These fields of every request that reached the exchange, and nothing else of them."""
        shown = self.control("GET", f"requests?fields={','.join(fields)}")
        return [tuple(each[field] for field in fields) for each in shown]

    def fault(self, kind: str, **fields: Any) -> None:
        """Spoil the next request; see proxy.sim.faults."""
        self.control("POST", "faults", {"kind": kind, **fields})


@final
class Simulator(BackDoor):
    """`tagproxy sim` as a process, over TLS; the back door of the first of its exchanges."""

    def __init__(
        self, directory: Path, *, tls: bool = True, kinds: Sequence[str] = OKX_ALONE
    ) -> None:
        super().__init__(kinds[0], directory / "ca" / "ca.pem" if tls else None)
        options = ["--tls", str(directory / "ca")] if tls else []
        self.child = Child(["sim", "--only", ",".join(kinds), *options], directory, "sim", {})
        self._exchanges: dict[str, BackDoor] = {self.kind: self}
        for kind in kinds[1:]:
            self._exchanges[kind] = BackDoor(kind, self.ca_file)

    def exchange(self, kind: str) -> BackDoor:
        """Return the back door of one of its exchanges."""
        return self._exchanges[kind]

    def wait(self) -> None:
        """Wait until it has said where it listens."""
        # the keys come after the last of the addresses, all in one go
        eventually("the simulator listens", lambda: any("api_key" in line for line in self._said()))
        for line in self._said():
            if "base_url" in line:
                self._exchanges[line["exchange"]].base_urls[line["venue"]] = line["base_url"]

    def _said(self) -> list[dict[str, str]]:
        self.child.must_run()
        lines = self.child.stdout.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


@final
class Proxy:
    """`tagproxy serve` as a process, its configuration and its commands."""

    def __init__(
        self,
        directory: Path,
        simulator: Simulator,
        sections: Sections,
        kinds: Sequence[str] = OKX_ALONE,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.config_file = directory / "proxy.toml"
        self.database = directory / "tagproxy.db"
        self.port, self.admin_port = free_port(), free_port()
        self.base_url = self.url(kinds[0])
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        key_file = directory / "master.key"
        key_file.write_bytes(base64.b64encode(secrets.token_bytes(32)))
        key_file.chmod(0o600)
        self.sections: dict[str, dict[str, Any]] = {
            "server": {"listen": f"127.0.0.1:{self.port}"},
            "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
            "storage": {
                "url": f"sqlite:///{self.database}",
                "master_key": {"file": str(key_file)},
            },
        }
        for kind in kinds:
            # that of OKX may be anything that listens, which is all its table asks for
            self.configure(
                {"exchanges.okx": tables.okx(simulator.base_url, simulator.ca_file)}
                if kind == "okx"
                else tables.others(kind, simulator.exchange(kind).base_urls, simulator.ca_file)
            )
        self.configure(sections)
        self.alice: Triple | None = None  # what the fixture of that name was issued
        self._children: list[Child] = []

    @property
    def child(self) -> Child:
        """The latest process."""
        return self._children[-1]

    def configure(self, sections: Sections) -> None:
        """Write the configuration, `sections` merged over what it was."""
        for name, values in sections.items():
            self.sections.setdefault(name, {}).update(values)
        text = [f"[{name}]\n{tables.lines(values)}" for name, values in self.sections.items()]
        self.config_file.write_text("\n".join(text))

    def start(self, environ: Mapping[str, str] | None = None, *, wait: bool = True) -> None:
        """Start the process; wait until /readyz says so."""
        name = f"serve{len(self._children)}"
        arguments = ["--config", str(self.config_file), "serve"]
        self._children.append(Child(arguments, self.directory, name, environ or {}))
        if wait:
            eventually("the proxy is ready", self.ready)

    def ready(self) -> bool:
        """Tell whether /readyz is 200; fails the test if the process has ended."""
        self.child.must_run()
        with contextlib.suppress(OSError):
            return fetch(f"{self.admin_url}/readyz")[0] == 200
        return False

    def stop(self) -> int:
        """End it with SIGTERM; return the exit code."""
        return self.child.end()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.child.end(signal.SIGKILL)

    def end_all(self) -> None:
        """Leave no process behind."""
        for child in self._children:
            child.end(signal.SIGKILL)

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "proxy", *arguments, "--config", str(self.config_file)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=START_S,
            cwd=self.directory,
            env=environment(),
            check=False,
        )

    def url(self, exchange: str, venue: str = "main") -> str:
        """Return the base URL of a table, and below it of a venue."""
        below = "" if venue == "main" else f"/{venue}"
        return f"http://127.0.0.1:{self.port}/{exchange}{below}"

    def add_user(self, name: str, real: Triple, *options: str, exchange: str = "okx") -> Triple:
        """Add an account with issued credentials and return those, once the proxy takes them.

        A running proxy is asked with stale requests: they end at its door and count as refused.
        """
        done = self.run(
            *("users", "add", name, "--exchange", exchange, "--issue", *options),
            stdin=real.as_json(),
        )
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)
        issued = Triple(shown["api_key"], shown["secret"], shown.get("passphrase", ""))
        if self._children and self.child.running:
            eventually("the proxy knows the new user", lambda: self.knows(issued, exchange))
        return issued

    def knows(self, triple: Triple, exchange: str = "okx") -> bool:
        """Tell whether a running proxy has an account with this key, and has not disabled it."""
        kind = self.sections[f"exchanges.{exchange}"]["kind"]
        bot = BOTS[kind](self.url(exchange), triple)
        slug = bot.call("GET", bot.ASKS, now_ms=1).slug
        return slug not in ("unknown_key", "user_disabled")

    def bot(self, triple: Triple) -> Bot:
        """Return a bot of OKX with this key."""
        return Bot(self.url("okx"), triple)

    def mexc_bot(self, triple: Triple) -> MexcBot:
        """Return a bot of MEXC with this key."""
        return MexcBot(self.url("mexc"), triple)

    def kucoin_bot(self, triple: Triple, venue: str = "main") -> KucoinBot:
        """Return a bot of KuCoin with this key."""
        return KucoinBot(self.url("kucoin", venue), triple)

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels."""
        text = fetch(f"{self.admin_url}/metrics")[1].decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def log(self) -> list[dict[str, Any]]:
        """Every whole line that every process of this proxy wrote to stderr, parsed."""
        lines = [
            line
            for child in self._children
            for line in child.stderr.read_text().splitlines(keepends=True)
        ]
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def written(self) -> dict[str, bytes]:
        """Return everything the proxy wrote, by file: logs, output, database."""
        names = [*self.directory.glob("serve*"), *self.directory.glob("tagproxy.db*")]
        return {path.name: path.read_bytes() for path in names}


@contextlib.contextmanager
def simulator_in(
    directory: Path, *, tls: bool = True, kinds: Sequence[str] = OKX_ALONE
) -> Iterator[Simulator]:
    """Run simulated exchanges for the length of the block."""
    simulator = Simulator(directory, tls=tls, kinds=kinds)
    try:
        simulator.wait()
        yield simulator
    finally:
        simulator.child.end(signal.SIGKILL)


@contextlib.contextmanager
def proxy_in(
    directory: Path,
    simulator: Simulator,
    sections: Sections | None = None,
    *,
    start: bool = True,
    kinds: Sequence[str] = OKX_ALONE,
) -> Iterator[Proxy]:
    """Run a proxy in front of the simulator's exchanges for the length of the block."""
    proxy = Proxy(directory, simulator, sections or {}, kinds)
    try:
        if start:
            proxy.start()
        yield proxy
    finally:
        proxy.end_all()
