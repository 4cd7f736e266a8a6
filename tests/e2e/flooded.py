"""A simulated exchange and a proxy in front of it, for floods by several users.

For MEXC and KuCoin. The first user has two keys; `second` is the bot of the other.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final, final

from tests.e2e.bot import Caller, Triple
from tests.e2e.harness import BOTS, Proxy, Sections, Simulator, proxy_in, simulator_in
from tests.e2e.load import Lane, lanes_at
from tests.e2e.processes import eventually

FIRST_UID: Final = 700001
_READS: Final = {"mexc": "/api/v3/mxDeduct/enable", "kucoin": "/api/v1/accounts"}


@final
class Flooded:
    """`bots` has one bot for each user, of uid 700001 and so on."""

    def __init__(self, simulator: Simulator, proxy: Proxy, users: int) -> None:
        self.kind = simulator.kind
        self.simulator = simulator
        self.proxy = proxy
        self.reals = [simulator.add_user(str(FIRST_UID + number)) for number in range(users)]
        triples = [self._added(f"user{number}", real) for number, real in enumerate(self.reals)]
        second = self._added("again", simulator.add_user(str(FIRST_UID)))
        proxy.start()
        self.bots = [self.bot(triple) for triple in triples]
        self.second = self.bot(second)

    def _added(self, name: str, real: Triple) -> Triple:
        return self.proxy.add_user(name, real, exchange=self.kind)

    def bot(self, triple: Triple, venue: str = "main") -> Caller:
        """Return a bot with this key."""
        return BOTS[self.kind](self.proxy.url(self.kind, venue), triple)

    def introduce(self) -> None:
        """Let the proxy ask who its users are, so that no flood meets that."""
        for bot in (*self.bots, self.second):
            answer = bot.call("GET", _READS[self.kind])
            assert answer.slug == "", answer.body
        users, keys = len(self.bots), len(self.bots) + 1
        asked = 2 * keys + (users if self.kind == "kucoin" else 0)  # and each user's level
        eventually("all is asked", lambda: len(self.simulator.requests) >= asked)
        eventually(
            "all is answered", lambda: all(each["status"] for each in self.simulator.requests)
        )

    def begin(self, limits: dict[str, str]) -> None:
        """Start a test with nothing at the exchange, and with these limits there."""
        self.simulator.control("DELETE", "faults")
        self.simulator.control("POST", "reset")
        self.simulator.control(
            "POST", "limits", {name: limit.removesuffix("s") for name, limit in limits.items()}
        )

    def only(self, rule: str, subject: str = "") -> Lane:
        """Return the one bucket of a rule whose subject begins like this."""
        lanes = lanes_at(self.simulator, rule)
        (lane,) = [
            lane for name, lane in lanes.items() if name[len(rule) + 1 :].startswith(subject)
        ]
        return lane


def flooded_in(
    stack: ExitStack,
    directory: Path,
    kind: str,
    sections: Sections | None = None,
    *,
    users: int = 2,
) -> Flooded:
    """Run both until the stack ends."""
    simulator = stack.enter_context(simulator_in(directory / "exchange", tls=False, kinds=(kind,)))
    proxy = stack.enter_context(
        proxy_in(directory / "proxy", simulator, sections, start=False, kinds=(kind,))
    )
    flooded = Flooded(simulator, proxy, users)
    flooded.introduce()
    flooded.begin({})
    return flooded
