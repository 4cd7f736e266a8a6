"""A simulator, a proxy in front of it and one user, for all tests of a module to share.

Starting the processes costs two seconds; what a test leaves behind at the exchange is forgotten
before the next one. What it used up of a limit is not: tests keep to instruments of their own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, final

from tests.e2e.bot import ORDER, Answered, Bot, Triple
from tests.e2e.harness import Proxy, Sections, Simulator, proxy_in, simulator_in
from tests.e2e.processes import eventually

QUESTIONS: Final = (
    "/api/v5/account/config",
    "/api/v5/trade/account-rate-limit",
    "/api/v5/copytrading/instruments",
)


@final
class House:
    """`bot` has issued credentials of alice's, `own_bot` her real key."""

    def __init__(self, simulator: Simulator, proxy: Proxy, real: Triple, issued: Triple) -> None:
        self.simulator = simulator
        self.proxy = proxy
        self.real = real
        self.issued = issued
        self.bot = proxy.bot(issued)
        self.own_bot = proxy.bot(real)
        self.newest = "alice"  # the name of the user added last
        self._names = (f"user{number}" for number in itertools.count())

    def introduce(self) -> None:
        """Let the proxy ask who alice is, so that no test of hers meets that."""
        assert placed(self.own_bot.call("GET", "/api/v5/account/balance"))
        eventually("all is asked", lambda: sum(map(is_question, self.simulator.requests)) == 2)
        self.forget()

    def newcomer(self, *options: str, **fields: Any) -> Bot:
        """Add another user with issued credentials while the proxy runs."""
        real = self.simulator.add_user(**fields)
        self.newest = next(self._names)
        return self.proxy.bot(self.proxy.add_user(self.newest, real, *options))

    def newcomers(self, *uids: str) -> dict[str, Bot]:
        """Add a user for each uid at once, while the proxy runs; their bots sign with the
        exchange's own keys."""
        reals = {uid: self.simulator.add_user(uid) for uid in uids}
        lines = [
            json.dumps({"name": f"uid{uid}", "exchange": "okx"} | json.loads(real.as_json()))
            for uid, real in reals.items()
        ]
        done = self.proxy.run("users", "import", "-", stdin="\n".join(lines))
        assert done.returncode == 0, done
        eventually("the new users are known", lambda: all(map(self.proxy.knows, reals.values())))
        return {uid: self.proxy.bot(real) for uid, real in reals.items()}

    @property
    def received(self) -> list[dict[str, Any]]:
        """What reached the exchange in this test, but for what the proxy asked of its own."""
        return [each for each in self.simulator.requests if not is_question(each)]

    @property
    def last_body(self) -> bytes:
        """The body of the last request that reached the exchange."""
        body: str = self.received[-1]["body"]
        return body.encode("latin-1")

    def arrives(self, count: int = 1) -> None:
        """Wait until so many requests of this test are at the exchange."""
        eventually(f"{count} requests arrive", lambda: len(self.received) >= count)

    def forget(self) -> None:
        """Start the next test with nothing at the exchange."""
        self.simulator.control("POST", "reset")


@contextlib.contextmanager
def house_in(
    directory: Path, sections: Sections | None = None, *, wait: bool = True
) -> Iterator[House]:
    """Run the house for the length of the block; its proxy is ready unless not waited for."""
    with (
        simulator_in(directory / "exchange") as simulator,
        proxy_in(directory / "proxy", simulator, sections, start=False) as proxy,
    ):
        real = simulator.add_user()
        issued = proxy.add_user("alice", real)
        proxy.start(wait=wait)
        house = House(simulator, proxy, real, issued)
        if wait:
            house.introduce()
        yield house


def is_question(request: Mapping[str, Any]) -> bool:
    """Tell whether the proxy itself asked this, to know an account; bots name a content type."""
    names = {name.lower() for name, _ in request["headers"]}
    return request["target"].partition("?")[0] in QUESTIONS and "content-type" not in names


def order(**changes: Any) -> dict[str, Any]:
    """Return a limit order that will be accepted, without a tag."""
    return ORDER | changes


def placed(answer: Answered) -> bool:
    """Tell whether the exchange took every order of a call."""
    return (answer.status, answer.slug) == (200, "") and answer.code == "0"


def milliseconds(answer: Answered, part: str) -> float:
    """Return one part of an answer's Server-Timing: proxy, limit or exchange."""
    found = re.search(rf"\b{part};dur=([\d.]+)", answer.headers["server-timing"])
    assert found is not None, answer.headers
    return float(found[1])


def pretty(answer: Answered) -> str:
    """Return an answer for the message of a failed assertion."""
    return f"{answer.status} {dict(answer.headers)} {answer.body[:500]!r}"


def compact(content: Any) -> bytes:
    """Return JSON without white space, as most clients send it."""
    return json.dumps(content, separators=(",", ":")).encode()
