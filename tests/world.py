"""A pipeline over scripted connections, with one exchange's own rules, OKX's unless told
otherwise, and nothing else that is real outside of it: what the tests of the request's way
share."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from proxy.accounts.activity import Activity
from proxy.accounts.standing import Identity, Standing
from proxy.admission import Admission, Policy
from proxy.answers import Answers
from proxy.config import Address
from proxy.delivery import Delivery
from proxy.egress import Egress
from proxy.exchanges import registry, table
from proxy.exchanges.mac import Mac
from proxy.limits.limiter import Limiter
from proxy.metrics import Metrics
from proxy.model import Broker, Reply
from proxy.passage import Passage
from proxy.pipeline import Pipeline
from proxy.public_reads import PublicReads
from proxy.routes import Front, Site
from proxy.security.addresses import KnownAddresses
from proxy.security.failures import Failures
from proxy.security.replays import Replays
from proxy.tasks import Drive
from tests.fakes import (
    KEY,
    PASSPHRASE,
    REAL_KEY,
    REAL_PASSPHRASE,
    REAL_SECRET,
    SECRET,
    FakeClock,
    FakeConnections,
    credentials,
    signed_request,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from proxy.model import Request

ORDER = (
    b'{"instId":"BTC-USDT-SWAP","tdMode":"cross","side":"buy","ordType":"limit","px":"1","sz":"1"}'
)
ORDER_PATH = b"/api/v5/trade/order"
TOO_MANY = b'{"msg":"Too Many Requests","code":"50011"}'


def sized(size: int) -> bytes:
    """An order like no other of another size: its signature is its own."""
    return ORDER.replace(b'"sz":"1"', b'"sz":"%d"' % size)


class Account:
    """What the pipeline reads of an account."""

    def __init__(self) -> None:
        self.id = "1"
        self.user = "alice"
        self.label = "main"
        self.exchange = "okx"
        self.mode = "sign"
        self.standing = Standing("1", ("c1", b"f"), Identity("okx", "alice's key"), Activity())
        self.standing.ask_ms = 1 << 62  # nothing is asked of the exchange unless a test wants it
        self.code = b""
        self.grants: frozenset[str] = frozenset()
        self.disabled = ""
        self.reason = ""
        self.credentials = credentials(REAL_KEY, REAL_SECRET, REAL_PASSPHRASE)


class Access:
    """One issued key of that account."""

    def __init__(self) -> None:
        self.account = Account()
        self.api_key = KEY
        self.credentials = credentials(KEY, SECRET, PASSPHRASE)
        self.networks: tuple[Any, ...] = ()
        self.issued_id = "i1"
        self.expires_ms: int | None = None


class Accounts:
    """Loaded unless told otherwise; `allowed` answers for every address."""

    def __init__(self) -> None:
        self.ready = True
        self.allowed = True

    def allows(self, access: object, address: IPv4Address | IPv6Address) -> bool:
        return self.allowed


class Log:
    """Keeps what would be written."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self.faults: list[BaseException] = []

    def write(self, *fields: Any) -> None:
        self.lines.append(fields)

    def fault(self, what: str, error: BaseException, **fields: str) -> None:
        self.faults.append(error)


class Asked:
    """Notes for whom something would be asked of the exchange."""

    def __init__(self) -> None:
        self.passages: list[Passage] = []

    async def learn(self, passage: Passage) -> None:
        self.passages.append(passage)


class World:
    """A pipeline with everything it needs; `egresses` are the addresses it sends from, `venue`
    what is served below the exchange's name beside main, from the same addresses."""

    def __init__(
        self, *script: Any, egresses: tuple[str, ...] = ("default",), **settings: Any
    ) -> None:
        self.clock = FakeClock()
        self.pools = {address: FakeConnections() for address in egresses}
        self.connections = self.pools[egresses[0]]
        self.connections.script.extend(script)
        self.access = Access()
        self.accounts = Accounts()
        self.log = Log()
        self.metrics = Metrics()
        self.rested: list[tuple[str, int]] = []
        self.asked = Asked()
        self.failures = Failures()
        self.addresses = KnownAddresses()
        self.replays = Replays(60_000, self.clock.monotonic_ns())
        kind = settings.pop("kind", "okx")
        venue = settings.pop("venue", "")
        exchange = registry.exchanges()[kind].configured({})
        overrides = settings.pop("overrides", {})
        account = self.access.account
        account.exchange = kind
        account.standing.identity = Identity(kind, "alice's key")
        self.keys: dict[bytes, Any] = {KEY: self.access}
        self.egresses = tuple(
            Egress(
                address,
                "exchange.test",
                pool,
                self.metrics.exchange_bans(kind, address),
                lambda egress, seconds: self.rested.append((egress, seconds)),
            )
            for address, pool in self.pools.items()
        )
        site = partial(
            Site,
            name=kind,
            exchange=exchange,
            endpoints=table.resolve(exchange.endpoints, overrides, (10, 2_000_000_000)),
            accounts=self.keys,
            egresses=self.egresses,
            counted_at="exchange.test",
            deadline_ns=8_000_000_000,
            on_conflict=settings.pop("on_conflict", "replace"),
            unclassified_limit=(10, 2_000_000_000),
            metrics=self.metrics,
        )
        mac = Mac(b"broker's key")
        self.site = site(
            venue="main",
            broker=Broker(b"OURCODE", b"us", mac),
            authority="exchange.test",
            main=None,
        )
        front = Front(Address("127.0.0.1", 0))
        front.add(self.site, b"/" + kind.encode())
        if venue:
            other = site(
                venue=venue,
                broker=Broker(b"ITSCODE", b"us", mac),
                authority="venue.test",
                main=self.site,
            )
            front.add(other, f"/{kind}/{venue}".encode())
        self.answers = Answers(self.clock, self.metrics, self.log)  # type: ignore[arg-type]
        self.limiter = Limiter(self.clock, jitter_ns=10_000_000)
        self.delivery = Delivery(self.limiter, self.answers, self.clock, 3_000_000_000)
        self.admission = Admission(
            Policy(
                settings.pop("anonymous", "known"),
                settings.pop("unknown_writes", "refuse"),
                tuple(ip_network(each) for each in settings.pop("trusted", ())),
            ),
            accounts=self.accounts,  # type: ignore[arg-type]
            replays=self.replays,
            failures=self.failures,
            addresses=self.addresses,
        )
        self.public_reads = PublicReads(self.delivery, self.clock)
        self.pipeline = Pipeline(
            front,
            admission=self.admission,
            delivery=self.delivery,
            public_reads=self.public_reads,
            identities=self.asked,  # type: ignore[arg-type]
            answers=self.answers,
            describe=lambda passage: {
                "name": passage.access.account.user if passage.access else ""
            },
            clock=self.clock,
        )

    async def send(self, request: Request) -> Reply:
        screened = self.pipeline.screen(request)
        if isinstance(screened, Reply):
            return screened
        reply, error = await self.drive(screened)
        if error is not None:
            raise error
        assert reply is not None
        return reply

    async def drive(self, passage: Passage) -> tuple[Reply | None, BaseException | None]:
        ended: asyncio.Future[tuple[Reply | None, BaseException | None]] = (
            asyncio.get_running_loop().create_future()
        )
        Drive(
            self.pipeline.carry(passage), lambda reply, error: ended.set_result((reply, error))
        ).start()
        return await ended

    async def order(self, body: bytes = ORDER, **kwargs: Any) -> Reply:
        return await self.send(
            signed_request(b"POST", ORDER_PATH, body, clock=self.clock, **kwargs)
        )

    async def get(self, target: bytes, **kwargs: Any) -> Reply:
        return await self.send(signed_request(b"GET", target, clock=self.clock, **kwargs))


def slug(reply: Reply) -> str:
    for line in reply.head.split(b"\r\n"):
        if line.startswith(b"X-Tagproxy-Error: "):
            return line.partition(b": ")[2].decode()
    return ""


def message(reply: Reply) -> str:
    text = json.loads(reply.body)["msg"]
    assert isinstance(text, str)
    return text
