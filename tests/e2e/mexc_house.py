"""A simulated MEXC, a proxy in front of it and one user, for all tests of a module to share.

What `house` is for OKX. Limits that would make tests wait are wide at both, unless a test says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import parse_qsl, urlsplit

from proxy.sim import registry
from tests.e2e.bot import Answered, Triple, next_ms
from tests.e2e.harness import BackDoor, Proxy, Sections, Simulator, proxy_in, simulator_in
from tests.e2e.mexc_bot import MexcBot
from tests.e2e.processes import eventually, fetch
from tests.e2e.wire import Wire, wire_to

KINDS: Final = ("mexc",)
CODE: Final = registry.make("mexc").operator["main"]["broker_code"]
ORDER_PATH: Final = "/api/v3/order"
BATCH_PATH: Final = "/api/v3/batchOrders"
ACCOUNT_PATH: Final = "/api/v3/openOrders?symbol=BTCUSDT"  # a signed read with a wide limit
STREAM_PATH: Final = "/api/v3/userDataStream"
CREATE_PATH: Final = "/api/v1/private/order/create"
FUTURES_READ: Final = "/api/v1/private/position/open_positions"
UID_PATH: Final = "/api/v3/uid"
QUESTIONS: Final = (UID_PATH, "/api/v3/time")
ALL_CLASSES: Final = "withdraw,transfer,deposit,keys,subaccount,broker"
ALL_PERMISSIONS: Final = "read,trade,withdraw,transfer,admin"
_FUTURES_ROWS: Final = (
    "POST /api/v1/private/order/create",
    "POST /api/v1/private/order/submit",
    "POST /api/v1/private/order/submit_batch",
    "POST /api/v1/private/order/change_limit_order",
    "POST /api/v1/private/order/chase_limit_order",
    "GET /api/v1/private/position/open_positions",
    "GET /api/v1/private/order/batch_query",
    "GET /api/v1/private/order/list/open_orders",
)
_WIDE: Final = 1000
_WIDE_LIMITS: Final = {
    f"{name}{subject}": f"{_WIDE}/1s"
    for name in (
        "spot-orders",
        "POST /api/v3/batchOrders",
        *(f"futures {row}" for row in _FUTURES_ROWS),
    )
    for subject in ("", " per ip")
}
WIDE: Final[Mapping[str, Mapping[str, Any]]] = {"exchanges.mexc.limits": _WIDE_LIMITS}
_WIDE_AT_EXCHANGE: Final = dict.fromkeys(
    ("spot-orders", "POST /api/v3/batchOrders+0", *_FUTURES_ROWS), f"{_WIDE}/1"
)
_addresses = itertools.cycle(f"127.0.1.{number}" for number in range(1, 251))


@final
class MexcHouse:
    """`bot` has issued credentials of alice's, `own_bot` her real key; `futures_bot` goes below
    the prefix of futures."""

    def __init__(self, simulator: Simulator, proxy: Proxy, real: Triple, issued: Triple) -> None:
        self.simulator = simulator
        self.exchange: BackDoor = simulator.exchange("mexc")
        self.proxy = proxy
        self.real = real
        self.issued = issued
        self.bot = proxy.mexc_bot(issued)
        self.own_bot = proxy.mexc_bot(real)
        self.futures_bot = replace(self.bot, base_url=proxy.url("mexc", "futures"))
        self.newest = "alice"  # the name of the user added last
        self._names = (f"user{number}" for number in itertools.count())

    def introduce(self, bot: MexcBot) -> None:
        """Let the proxy ask whose an account is, so that no test meets that."""
        answer = bot.call("GET", ACCOUNT_PATH)
        assert taken(answer), pretty(answer)
        eventually(
            "all is answered", lambda: all(each["status"] for each in self.exchange.requests)
        )
        self.forget()

    def newcomer(self, *options: str, **fields: Any) -> MexcBot:
        """Add another user with issued credentials while the proxy runs, and introduce it."""
        self.newest = next(self._names)
        real = self.exchange.add_user(**fields)
        issued = self.proxy.add_user(self.newest, real, *options, exchange="mexc")
        bot = self.proxy.mexc_bot(issued)
        self.introduce(bot)
        return bot

    def imported(self, *users: Mapping[str, Any], **fields: Any) -> list[MexcBot]:
        """Add users by their names and options at once; their bots have the exchange's own keys,
        of which the proxy has the API key alone where the mode does not need more."""
        reals = [self.exchange.add_user(**fields) for _ in users]
        lines = [
            {"exchange": "mexc", "api_key": real.api_key}
            | ({"secret": real.secret} if user.get("mode", "sign") == "sign" else {})
            | dict(user)
            for user, real in zip(users, reals, strict=True)
        ]
        done = self.proxy.run("users", "import", "-", stdin="\n".join(map(json.dumps, lines)))
        assert done.returncode == 0, done.stderr
        eventually("they are known", lambda: all(self.proxy.knows(real, "mexc") for real in reals))
        self.forget()
        return [self.proxy.mexc_bot(real) for real in reals]

    def forwarded(self, mode: str, *options: str, secret: bool = False, **fields: Any) -> MexcBot:
        """A bot with its exchange's own key, of which the proxy has the API key alone."""
        real = self.exchange.add_user(**fields)
        told = {"api_key": real.api_key} | ({"secret": real.secret} if secret else {})
        self.newest = next(self._names)
        command = ("users", "add", self.newest, "--exchange", "mexc", "--mode", mode, *options)
        done = self.proxy.run(*command, stdin=json.dumps(told))
        assert done.returncode == 0, done.stderr
        eventually("the proxy knows the key", lambda: self.proxy.knows(real, "mexc"))
        self.forget()
        return self.proxy.mexc_bot(real)

    @property
    def received(self) -> list[dict[str, Any]]:
        """What reached the exchange in this test, but for what the proxy asks of its own."""
        return [each for each in self.exchange.requests if path_of(each) not in QUESTIONS]

    @property
    def last(self) -> dict[str, Any]:
        """The last request that reached the exchange."""
        return self.received[-1]

    def arrives(self, count: int = 1) -> None:
        """Wait until so many requests of this test are at the exchange."""
        eventually(f"{count} requests arrive", lambda: len(self.received) >= count)

    def forget(self) -> None:
        """Start the next test with nothing at the exchange, and nothing wrong there."""
        self.exchange.control("POST", "reset")
        self.exchange.control("POST", "limits", _WIDE_AT_EXCHANGE)

    def line(self, answer: Answered) -> dict[str, Any]:
        """Return the log line of an answer."""
        wanted = answer.headers["x-request-id"]

        def found() -> list[dict[str, Any]]:
            return [each for each in self.proxy.log if each.get("request_id") == wanted]

        eventually("the line is written", lambda: bool(found()))
        (line,) = found()
        return line


@contextlib.contextmanager
def mexc_house_in(
    directory: Path, sections: Sections | None = None, *, tls: bool = False
) -> Iterator[MexcHouse]:
    """Run the house for the length of the block; without TLS to the exchange, unless told."""
    with (
        simulator_in(directory / "exchange", tls=tls, kinds=KINDS) as simulator,
        proxy_in(directory / "proxy", simulator, WIDE, start=False, kinds=KINDS) as proxy,
    ):
        proxy.configure(sections or {})
        real = simulator.exchange("mexc").add_user()
        issued = proxy.add_user("alice", real, exchange="mexc")
        proxy.start()
        house = MexcHouse(simulator, proxy, real, issued)
        house.forget()
        house.introduce(house.own_bot)
        yield house


def counted(proxy: Proxy) -> dict[str, float]:
    """Whose codes the proxy says it saw, and how many orders carried ours."""
    found = dict.fromkeys(("none", "ours", "other", "tagged"), 0.0)
    for line in fetch(f"{proxy.admin_url}/metrics")[1].decode().splitlines():
        if line.startswith("tagproxy_foreign_codes_total{"):
            found[line.partition('found="')[2].partition('"')[0]] += float(line.split()[-1])
        elif line.startswith("tagproxy_orders_tagged_total{"):
            found["tagged"] += float(line.split()[-1])
    return found


def more(proxy: Proxy, before: dict[str, float]) -> dict[str, float]:
    """What was counted since."""
    after = counted(proxy)
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}


# ---- requests ----------------------------------------------------------------------------------


def mac(bot: MexcBot, text: str | bytes) -> str:
    """Return the signature that a bot's secret makes of a text."""
    said = text.encode() if isinstance(text, str) else text
    return hmac.new(bot.triple.secret.encode(), said, hashlib.sha256).hexdigest()


def stamp() -> str:
    """Return a timestamp that no request had yet."""
    return f"timestamp={next_ms()}"


def bare(
    bot: MexcBot,
    method: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    source: str = "",
) -> Answered:
    """Send a request as it is, with nothing but the headers given, from an address of its own:
    whoever fails too often is not heard any more."""
    url = urlsplit(bot.base_url)
    came_from = (source or next(_addresses), 0)
    connection = http.client.HTTPConnection(
        url.hostname or "", url.port or 80, timeout=12, source_address=came_from
    )
    with contextlib.closing(connection):
        connection.request(method, url.path + target, body or None, dict(headers or {}))
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answered(answer.status, names, answer.read())


def keyed(
    bot: MexcBot,
    target: str,
    body: bytes = b"",
    *,
    kind: str = "application/json",
    method: str = "POST",
) -> Answered:
    """Send a spot request that is signed already."""
    headers = {"X-MEXC-APIKEY": bot.triple.api_key} | ({"Content-Type": kind} if kind else {})
    return bare(bot, method, target, body, headers)


def stamped(
    bot: MexcBot, method: str, target: str, said: str | bytes, body: bytes = b"", **more: str
) -> Answered:
    """Send a futures request whose signature is over `said`."""
    now = str(next_ms())
    text = said.encode() if isinstance(said, str) else said
    headers = {
        "ApiKey": bot.triple.api_key,
        "Request-Time": now,
        "Signature": mac(bot, f"{bot.triple.api_key}{now}".encode() + text),
        "Content-Type": "application/json",
    }
    return bare(bot, method, target, body, headers | more)


def bytes_of(
    bot: MexcBot, method: str, target: str, body: bytes = b"", lines: bytes = b""
) -> bytes:
    """Return a whole signed request, with more header lines than a library would send."""
    signed = replace(bot, source="").signed(method, target, body)
    url = urlsplit(bot.base_url)
    head = "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
    length = f"Content-Length: {len(signed.body)}\r\n" if signed.body or method != "GET" else ""
    first = f"{method} {url.path}{signed.target} HTTP/1.1\r\nHost: {url.netloc}\r\n"
    return (first + head + length).encode("latin-1") + lines + b"\r\n" + signed.body


def wired(
    bot: MexcBot, method: str, target: str, body: bytes = b"", lines: bytes = b""
) -> Answered:
    """Send such a request and return its answer."""
    with wire_to(bot) as wire:
        wire.send(bytes_of(bot, method, target, body, lines))
        return wire.answer()


def answered_on(wire: Wire, request: bytes) -> Answered:
    """Send a request on an open connection and return its answer."""
    wire.send(request)
    return wire.answer()


# ---- what came of them -------------------------------------------------------------------------


def path_of(request: Mapping[str, Any]) -> str:
    """Return a recorded request's path."""
    path: str = request["target"].partition("?")[0]
    return path


def said_in(request: Mapping[str, Any]) -> dict[str, str]:
    """Return a recorded request's parameters, the signature too; none was sent twice."""
    pairs = parse_qsl(request["target"].partition("?")[2], keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), request["target"]
    return dict(pairs)


def headers_of(request: Mapping[str, Any]) -> dict[str, str]:
    """Return a recorded request's headers by lower-case name; none was sent twice."""
    headers = {name.lower(): value for name, value in request["headers"]}
    assert len(headers) == len(request["headers"]), request["headers"]
    return headers


def sources(request: Mapping[str, Any]) -> list[str]:
    """Return every `source` of a recorded request."""
    return [value for name, value in request["headers"] if name.lower() == "source"]


def assert_ours(requests: Sequence[Mapping[str, Any]], code: str = CODE) -> None:
    """Insist that requests arrived, each with our code, once, and nothing of the bot's own."""
    assert requests
    for request in requests:
        assert sources(request) == [code], (request["target"], sources(request))
        headers_of(request)


def taken(answer: Answered) -> bool:
    """Tell whether the exchange took all of a call."""
    if (answer.status, answer.slug) != (200, ""):
        return False
    content = answer.content
    if isinstance(content, list):
        return all("code" not in each for each in content if isinstance(each, dict))
    if content.get("success") is False:
        return False
    items = content.get("data")
    if isinstance(items, list) and any(each.get("errorCode") for each in items):
        return False
    return content.get("code", 0) in (0, 200)


def pretty(answer: Answered) -> str:
    """Return an answer for the message of a failed assertion."""
    return f"{answer.status} {dict(answer.headers)} {answer.body[:500]!r}"
