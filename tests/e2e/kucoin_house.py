"""A simulated KuCoin, a proxy in front of it and one user, for all tests of a module to share.

What `house` is for OKX. Partner signatures are computed here once more, by the documentation.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, final

from proxy.sim import registry
from tests.e2e.bot import Answered, Triple
from tests.e2e.harness import BackDoor, Proxy, Sections, Simulator, proxy_in, simulator_in
from tests.e2e.kucoin_bot import KucoinBot
from tests.e2e.processes import eventually

KINDS: Final = ("kucoin",)
ACCOUNTS_PATH: Final = "/api/v1/accounts"
FUTURES_READ: Final = "/api/v1/position?symbol=XBTUSDTM"
QUESTIONS: Final = ("/api/v1/user/api-key", "/api/v2/user-info", "/api/v1/timestamp")
# What makes the operator a broker, by venue. Those of the brokers' host are those of spot.
OPERATOR: Final = {
    venue: registry.make("kucoin").operator["main" if venue == "broker" else venue]
    for venue in ("main", "futures", "broker")
}
PARTNER_HEADERS: Final = (
    "kc-api-partner",
    "kc-api-partner-sign",
    "kc-api-partner-verify",
    "kc-broker-name",
)


@final
class KucoinHouse:
    """`bot` has issued credentials of alice's, `own_bot` her real key."""

    def __init__(self, simulator: Simulator, proxy: Proxy, real: Triple, issued: Triple) -> None:
        self.simulator = simulator
        self.exchange: BackDoor = simulator.exchange("kucoin")
        self.proxy = proxy
        self.real = real
        self.issued = issued
        self.bot = proxy.kucoin_bot(issued)
        self.own_bot = proxy.kucoin_bot(real)
        self.futures_bot = proxy.kucoin_bot(issued, "futures")
        self.newest = "alice"  # the name of the user added last
        self._names = (f"user{number}" for number in itertools.count())

    def introduce(self) -> None:
        """Let the proxy ask who alice is, so that no test of hers meets that."""
        self.ask(self.own_bot)

    def ask(self, bot: KucoinBot) -> None:
        """Let the proxy ask whose an account is, by its bot, and what level it has."""
        self.forget()
        answer = bot.call("GET", ACCOUNTS_PATH)
        assert placed(answer), pretty(answer)
        eventually("all is asked", lambda: sum(map(_is_lesson, self.exchange.requests)) >= 2)
        eventually(
            "all is answered", lambda: all(each["status"] for each in self.exchange.requests)
        )
        self.forget()

    def newcomer(self, *options: str, **fields: Any) -> KucoinBot:
        """Add another user with issued credentials while the proxy runs."""
        self.newest = next(self._names)
        real = self.exchange.add_user(**fields)
        issued = self.proxy.add_user(self.newest, real, *options, exchange="kucoin")
        return self.proxy.kucoin_bot(issued)

    def forwarded(self, mode: str, *options: str, secret: bool = False, **fields: Any) -> KucoinBot:
        """A bot with its exchange's own key, of which the proxy has the API key alone."""
        real = self.exchange.add_user(**fields)
        told = {"api_key": real.api_key} | ({"secret": real.secret} if secret else {})
        self.newest = next(self._names)
        command = ("users", "add", self.newest, "--exchange", "kucoin", "--mode", mode, *options)
        done = self.proxy.run(*command, stdin=json.dumps(told))
        assert done.returncode == 0, done.stderr
        eventually("the proxy knows the key", lambda: self.proxy.knows(real, "kucoin"))
        self.forget()
        return self.proxy.kucoin_bot(real)

    @property
    def received(self) -> list[dict[str, Any]]:
        """What reached the exchange in this test, but for what the proxy asked of its own."""
        return [each for each in self.exchange.requests if not is_question(each)]

    @property
    def last(self) -> dict[str, Any]:
        """The last request that reached the exchange."""
        return self.received[-1]

    def arrives(self, count: int = 1) -> None:
        """Wait until so many requests of this test are at the exchange."""
        eventually(f"{count} requests arrive", lambda: len(self.received) >= count)

    def forget(self) -> None:
        """Start the next test with nothing at the exchange, and nothing wrong there."""
        self.exchange.control("DELETE", "faults")
        self.exchange.control("POST", "reset")

    def line(self, answer: Answered) -> dict[str, Any]:
        """Return the log line of an answer."""
        wanted = answer.headers["x-request-id"]

        def found() -> list[dict[str, Any]]:
            return [each for each in self.proxy.log if each.get("request_id") == wanted]

        eventually("the line is written", lambda: bool(found()))
        (line,) = found()
        return line


@contextlib.contextmanager
def kucoin_house_in(directory: Path, sections: Sections | None = None) -> Iterator[KucoinHouse]:
    """Run the house for the length of the block."""
    with (
        simulator_in(directory / "exchange", kinds=KINDS) as simulator,
        proxy_in(directory / "proxy", simulator, sections, start=False, kinds=KINDS) as proxy,
    ):
        real = simulator.exchange("kucoin").add_user()
        issued = proxy.add_user("alice", real, exchange="kucoin")
        proxy.start()
        house = KucoinHouse(simulator, proxy, real, issued)
        house.introduce()
        yield house


def is_question(request: Mapping[str, Any]) -> bool:
    """Tell whether the proxy itself asked this; bots name a content type."""
    names = {name.lower() for name, _ in request["headers"]}
    return request["target"].partition("?")[0] in QUESTIONS and "content-type" not in names


def _is_lesson(request: Mapping[str, Any]) -> bool:
    return is_question(request) and not request["target"].endswith("timestamp")


def headers_of(request: Mapping[str, Any]) -> dict[str, str]:
    """Return a recorded request's headers by lower-case name; none was sent twice."""
    headers = {name.lower(): value for name, value in request["headers"]}
    assert len(headers) == len(request["headers"]), request["headers"]
    return headers


def mac(secret: str, text: str) -> str:
    """Return the base64 HMAC-SHA256 that every signature of KuCoin's is."""
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def partner_signature(venue: str, headers: Mapping[str, str], *, code: str = "") -> str:
    """Return what KC-API-PARTNER-SIGN must be beside these headers."""
    operator = OPERATOR[venue]
    said = headers["kc-api-timestamp"] + (code or operator["broker_code"]) + headers["kc-api-key"]
    return mac(operator["broker_key"], said)


def assert_ours(request: Mapping[str, Any], *, code: str = "") -> None:
    """Insist that a request carries our partner headers for its venue, each once, and no other."""
    headers = headers_of(request)
    venue = request["venue"]
    operator = OPERATOR[venue]
    assert [headers.get(name, "") for name in PARTNER_HEADERS] == [
        code or operator["broker_code"],
        partner_signature(venue, headers, code=code),
        "true",
        operator["broker_name"],
    ]
    known = {*PARTNER_HEADERS, *(f"kc-api-{word}" for word in _SIGNED)}
    odd = {name for name in headers if name.startswith(("kc-", "kc_"))} - known
    assert not odd


_SIGNED: Final = ("key", "sign", "timestamp", "passphrase", "key-version")


def assert_signed(request: Mapping[str, Any], real: Triple) -> None:
    """Insist that a request went out under the account's real key, the passphrase sealed."""
    headers = headers_of(request)
    assert headers["kc-api-key"] == real.api_key
    assert headers["kc-api-passphrase"] == mac(real.secret, real.passphrase)
    assert headers["kc-api-key-version"] == "3"


def placed(answer: Answered) -> bool:
    """Tell whether the exchange took all of a call."""
    return (answer.status, answer.slug) == (200, "") and answer.code == "200000"


def pretty(answer: Answered) -> str:
    """Return an answer for the message of a failed assertion."""
    return f"{answer.status} {dict(answer.headers)} {answer.body[:500]!r}"
