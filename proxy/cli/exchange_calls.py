"""Questions of a command to an exchange: what time is it there, and whose key is this?

Control plane: each local address has a few connections of its own for as long as the command
runs. Nothing is placed or changed, and the questions about a key leave its user's bots at least
half of the limit that they share.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

import aiohttp
from aiolimiter import AsyncLimiter
from yarl import URL

from proxy import __version__
from proxy.accounts.credentials import masked
from proxy.errors import TagproxyError
from proxy.model import Broker, Outbound, Response
from proxy.net.tls import exchange_tls

if TYPE_CHECKING:
    from proxy.clock import Clock
    from proxy.config import ExchangeTable
    from proxy.exchanges.spec import Exchange
    from proxy.model import Credentials, Endpoint, Learned

_ANSWER_BYTES_MAX: Final = 65_536
_SHOWN_CHARS_MAX: Final = 200
_NO_BROKER: Final = Broker(b"")
_MS_NS: Final = 1_000_000
_S_NS: Final = 1_000_000_000


@final
class CallError(TagproxyError):
    """No usable answer from the exchange, for the reason in its text."""


@final
class Reading(NamedTuple):
    """The exchange's clock minus ours, and the round trip it was read over, which is halved."""

    offset_ms: int
    round_trip_ms: int


@final
class Told(NamedTuple):
    """What the exchange told of a key. `words`: what it said instead, where it told nothing;
    `key_refused`: it does not take the key. `demo`: of which market."""

    learned: Learned | None
    words: str
    key_refused: bool
    demo: bool


@final
class Pace:
    """How often the question whose a key is may be asked: half as often as the limit has it."""

    __slots__ = ("_limiter",)

    def __init__(self, endpoint: Endpoint) -> None:
        apart_ns = [draw.pool.window_ns * 2 / draw.pool.count for draw in endpoint.draws]
        self._limiter = AsyncLimiter(1, max([*apart_ns, _MS_NS]) / _S_NS)

    async def turn(self) -> None:
        """Wait until it may be asked again."""
        await self._limiter.acquire()


@final
class Caller:
    """The way to one exchange table from one local address, None where the system chooses it."""

    __slots__ = ("_clock", "_endpoint", "_exchange", "_pace", "_session", "_table", "address")

    def __init__(
        self,
        table: ExchangeTable,
        exchange: Exchange,
        clock: Clock,
        pace: Pace,
        address: str | None,
    ) -> None:
        self.address = address
        self._table = table
        self._exchange = exchange
        self._endpoint = lesson_endpoint(exchange)
        self._clock = clock
        self._pace = pace

    async def __aenter__(self) -> Caller:
        table = self._table
        connector = aiohttp.TCPConnector(
            local_addr=None if self.address is None else (self.address, 0),
            ssl=exchange_tls(table.ca_file) if table.rest_url.tls else True,
            limit=1,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                total=table.deadline_ns / _S_NS, sock_connect=table.connect_timeout_ns / _S_NS
            ),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def clock(self) -> Reading:
        """Read the exchange's clock. Raises `CallError`."""
        target = self._exchange.clock_path
        await self._send(b"GET", target, {})  # connects; what it takes tells nothing of the way
        began_ns, began_ms = self._clock.monotonic_ns(), self._clock.wall_ms()
        answer = await self._send(b"GET", target, {})
        took_ms = (self._clock.monotonic_ns() - began_ns) // _MS_NS
        there_ms = self._exchange.read_clock(answer.body)
        if there_ms is None:
            raise CallError(f"no time in its answer: {_words(answer)}")
        return Reading(there_ms - began_ms - took_ms // 2, took_ms)

    async def whose(self, credentials: Credentials, *, demo: bool | None = None) -> Told:
        """Ask whose the key is: on the live market, and on the demo one if its keys are others.

        `demo` is given where it is known which. Raises `CallError`.
        """
        if demo is not None:
            return await self._ask(credentials, demo=demo)
        live = await self._ask(credentials, demo=False)
        if live.learned is not None or not live.key_refused:
            return live
        other = await self._ask(credentials, demo=True)
        return live if other.learned is None else other

    async def _ask(self, credentials: Credentials, *, demo: bool) -> Told:
        lesson = self._exchange.lessons[0]
        await self._pace.turn()
        outbound = Outbound(lesson.method, lesson.path, lesson.suffix, b"", demo=demo)
        signed = self._exchange.sign(outbound, credentials, _NO_BROKER, self._clock.wall_ms())
        answer = await self._send(lesson.method, signed.target, _headers(signed.head))
        learned = lesson.read(answer)
        if learned is not None and learned.uid:
            return Told(learned, "", key_refused=False, demo=demo)
        verdict = self._exchange.classify(self._endpoint, answer)
        api_key = credentials.api_key.decode("ascii", "replace")
        words = _words(answer).replace(api_key, masked(api_key)) if api_key else _words(answer)
        return Told(None, words, verdict.key_refused, demo)

    async def _send(self, method: bytes, target: bytes, headers: dict[str, str]) -> Response:
        url = URL(f"{self._table.rest_url}{target.decode()}", encoded=True)
        general = {"Accept-Encoding": "identity", "User-Agent": f"tagproxy/{__version__}"}
        try:
            async with self._session.request(
                method.decode(), url, headers=general | headers, allow_redirects=False
            ) as answer:
                body = await _bounded(answer.content)
                names = [(name.lower(), value) for name, value in answer.raw_headers]
                return Response(answer.status, names, body, keep_alive=True)
        except TimeoutError as error:
            raise CallError("no answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise CallError(_reason(error)) from error


async def whose(
    table: ExchangeTable, exchange: Exchange, credentials: Credentials, clock: Clock
) -> Told:
    """Ask from each local address in turn, until one is told. Raises `CallError` without any
    answer."""
    pace = Pace(lesson_endpoint(exchange))
    refused: Told | None = None
    failure = CallError("there is nowhere to ask from")
    for address in addresses(table):
        async with Caller(table, exchange, clock, pace, address) as caller:
            try:
                told = await caller.whose(credentials)
            except CallError as error:
                failure = error
                continue
        if told.learned is not None:
            return told
        refused = told
    if refused is None:
        raise failure
    return refused


def addresses(table: ExchangeTable) -> tuple[str | None, ...]:
    """Return the local addresses that requests of a table leave from."""
    return table.egress or (None,)


def lesson_endpoint(exchange: Exchange) -> Endpoint:
    """Return the row of the question whose a key is."""
    lesson = exchange.lessons[0]
    wanted = lesson.method.decode(), lesson.path.decode()
    return next(row for row in exchange.endpoints if (row.method, row.path) == wanted)


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")
    return {name: value for name, _, value in (line.partition(": ") for line in lines if line)}


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for part in content.iter_any():
        body += part
        if len(body) > _ANSWER_BYTES_MAX:
            raise CallError(f"an answer of more than {_ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _words(answer: Response) -> str:
    """What can be shown of an answer: one line, and not much of it."""
    text = " ".join(answer.body[: 4 * _SHOWN_CHARS_MAX].decode("utf-8", "replace").split())
    shown = "".join(each if each.isprintable() else "?" for each in text)[:_SHOWN_CHARS_MAX]
    return f"HTTP {answer.status} {shown}".strip()


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"certificate: {getattr(error.certificate_error, 'verify_message', 'not trusted')}"
    cause: Any = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
        return os.strerror(cause.errno)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    return f"the connection failed ({type(error).__name__})"
