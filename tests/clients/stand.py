"""What the client libraries meet: a simulated OKX and the proxy, each a process of its own, and
how a user gets on board of both."""

from __future__ import annotations

import contextlib
import json
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.e2e.bot import Triple
from tests.e2e.harness import proxy_in, simulator_in
from tests.e2e.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.harness import Proxy, Sections, Simulator

Keys = dict[str, Any]  # a key triple as the drivers read it


@dataclass(frozen=True, slots=True)
class Stand:
    """Both processes."""

    exchange: Simulator
    proxy: Proxy

    def enrol(self, name: str, *flags: str) -> Keys:
        """Add a user whose uid at the exchange is its name; return, once the proxy takes it, what
        its bots sign with: the exchange's own key, or with `--issue` the issued credentials."""
        real = self.exchange.add_user(name)
        command = ("users", "add", name, "--exchange", "okx", *flags)
        done = self.proxy.run(*command, stdin=real.as_json())
        assert done.returncode == 0, done.stderr
        used = real
        if "--issue" in flags:
            shown = json.loads(done.stdout)
            used = Triple(shown["api_key"], shown["secret"], shown["passphrase"])
        eventually("the proxy knows the new user", lambda: self.proxy.knows(used))
        return _keys(used)

    def disable(self, name: str) -> None:
        """Block a user."""
        done = self.proxy.run("users", "disable", name)
        assert done.returncode == 0, done.stderr

    def sent_by(self, name: str) -> list[dict[str, Any]]:
        """The writes that reached the exchange with a user's key."""
        return [
            request
            for request in self.exchange.requests
            if request["uid"] == name and request["method"] == "POST"
        ]


def unknown_keys() -> Keys:
    """A key triple in OKX's form that nobody knows."""
    return _keys(Triple(str(uuid.uuid4()), secrets.token_hex(16).upper(), "Pass-nobody"))


@contextlib.contextmanager
def stand_in(folder: Path, sections: Sections | None = None) -> Iterator[Stand]:
    """Run both for the length of the block."""
    with (
        simulator_in(folder / "exchange") as exchange,
        proxy_in(folder / "proxy", exchange, sections) as proxy,
    ):
        yield Stand(exchange, proxy)


def _keys(triple: Triple) -> Keys:
    keys: Keys = json.loads(triple.as_json())
    return keys
