"""The simulator and the proxy as processes, for end-to-end tests; each ends with its block."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, final

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.bot import Bot, Triple
from tests.e2e.processes import START_S, Child, environment, eventually, fetch, free_port

BROKER_CODE: Final = "e2eBROKERcode01"

Sections = Mapping[str, Mapping[str, Any]]


@final
class Simulator:
    """`tagproxy sim` as a process, over TLS; its back door as methods."""

    def __init__(self, directory: Path, *, tls: bool = True) -> None:
        self._tls = tls
        options = ["--tls", str(directory / "ca")] if tls else []
        self.child = Child(["sim", *options], directory, "sim", {})
        self.ca_file = directory / "ca" / "ca.pem"
        self.base_url = ""
        self._uids = iter(range(1, 1_000_000))

    def wait(self) -> None:
        """Wait until it has said where it listens."""

        def said() -> bool:
            self.child.must_run()
            lines = self.child.stdout.read_text().splitlines(keepends=True)
            if lines and lines[0].endswith("\n"):
                self.base_url = json.loads(lines[0])["base_url"]
            return bool(self.base_url)

        eventually("the simulator listens", said)

    def control(self, method: str, name: str, content: Any = None) -> Any:
        """Call /sim/<name>; see proxy.sim.control."""
        ca_file = self.ca_file if self._tls else None
        url = f"{self.base_url}/sim/{name}"
        status, body = fetch(url, method, content, ca_file=ca_file)
        assert status == 200, body
        return json.loads(body)

    def add_user(self, uid: str = "", **fields: Any) -> Triple:
        """Open an account at the exchange; return its key. A uid of its own unless given."""
        triple = Triple(
            "-".join(secrets.token_hex(size) for size in (4, 2, 2, 2, 6)),
            secrets.token_hex(16).upper(),
            f"Real-{secrets.token_hex(8)}",
        )
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
class Proxy:
    """`tagproxy serve` as a process, its configuration and its commands."""

    def __init__(self, directory: Path, simulator: Simulator, sections: Sections) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.config_file = directory / "proxy.toml"
        self.database = directory / "tagproxy.db"
        self.port, self.admin_port = free_port(), free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/okx"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        key_file = directory / "master.key"
        key_file.write_bytes(base64.b64encode(secrets.token_bytes(32)))
        key_file.chmod(0o600)
        okx: dict[str, Any] = {
            "kind": "okx",
            "rest_url": simulator.base_url,
            "ws_url": simulator.base_url.replace("http", "ws", 1),
            "broker_code": BROKER_CODE,
        }
        if simulator.base_url.startswith("https:"):
            okx["ca_file"] = str(simulator.ca_file)
        self.sections: dict[str, dict[str, Any]] = {
            "server": {"listen": f"127.0.0.1:{self.port}"},
            "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
            "storage": {
                "url": f"sqlite:///{self.database}",
                "master_key": {"file": str(key_file)},
            },
            "exchanges.okx": okx,
        }
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
        text = [f"[{name}]\n{_lines(values)}" for name, values in self.sections.items()]
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

    def add_user(self, name: str, real: Triple, *options: str) -> Triple:
        """Add an account with issued credentials and return those, once the proxy takes them.

        A running proxy is asked with stale requests: they end at its door and count as refused.
        """
        done = self.run(
            *("users", "add", name, "--exchange", "okx", "--issue", *options),
            stdin=real.as_json(),
        )
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)
        issued = Triple(shown["api_key"], shown["secret"], shown["passphrase"])
        if self._children and self.child.running:
            eventually("the proxy knows the new user", lambda: self.knows(issued))
        return issued

    def knows(self, triple: Triple) -> bool:
        """Tell whether a running proxy has an account with this key."""
        target = "/api/v5/account/config"
        stale = self.bot(triple).headers("GET", target, now_ms=1)
        return self.bot(triple).call("GET", target, headers=stale).code != "50111"

    def bot(self, triple: Triple) -> Bot:
        """Return a bot with this key."""
        return Bot(self.base_url, triple)

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


def _lines(values: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items())


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)


def _value(value: Any) -> str:
    """JSON's scalars and arrays of them are TOML's too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


@contextlib.contextmanager
def simulator_in(directory: Path, *, tls: bool = True) -> Iterator[Simulator]:
    """Run a simulator for the length of the block."""
    simulator = Simulator(directory, tls=tls)
    try:
        simulator.wait()
        yield simulator
    finally:
        simulator.child.end(signal.SIGKILL)


@contextlib.contextmanager
def proxy_in(
    directory: Path, simulator: Simulator, sections: Sections | None = None, *, start: bool = True
) -> Iterator[Proxy]:
    """Run a proxy in front of the simulator for the length of the block."""
    proxy = Proxy(directory, simulator, sections or {})
    try:
        if start:
            proxy.start()
        yield proxy
    finally:
        proxy.end_all()
