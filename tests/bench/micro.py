"""What each step costs on its own, by exchange: `python -m tests.bench.micro`. No socket is opened.

Only differences on one machine mean anything; the whole way is measured by `make bench`.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import sys
import time
import timeit
from typing import TYPE_CHECKING, Final

from proxy.clock import SystemClock
from proxy.exchanges.mac import Mac
from proxy.limits.limiter import Limiter
from proxy.model import Broker, Credentials, Outbound, Request, Response
from tests.bench.cpu import pin_to_one_core
from tests.bench.kinds import KINDS
from tests.bench.orders import signed_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.model import Charge, Endpoint
    from tests.bench.orders import Kind

_CODE: Final = b"a1b2c3d4e5f6BCDE"
_BROKER: Final = Broker(_CODE, b"", Mac(b"bench-broker-key"))  # KuCoin alone signs with the key
_QUOTA: Final = (
    (b"gw-ratelimit-limit", b"4000"),
    (b"gw-ratelimit-remaining", b"3990"),
    (b"gw-ratelimit-reset", b"12345"),
)
_REPEATS: Final = 5
_WIDE: Final = 100_000_000


def request_of(raw: bytes) -> Request:
    """What the listener makes of one of the bench's orders."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    method, target, _ = lines[0].split(b" ")
    headers = {
        name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])
    }
    request = Request(method, target, headers, ipaddress.ip_address("127.0.0.1"), 0)
    request.body = body
    return request


def order_endpoint(kind: Kind) -> Endpoint:
    """The row of a single order."""
    for endpoint in kind.exchange.endpoints:
        if (endpoint.method, endpoint.path, endpoint.venue) == ("POST", kind.path, "main"):
            return endpoint
    raise LookupError(kind.path)


def steps(kind: Kind) -> dict[str, Callable[[], object]]:
    """Each step of the data path that belongs to the exchange, ready to be called."""
    exchange, bot = kind.exchange, kind.bots[0]
    request = request_of(signed_orders(kind, 1, "127.0.0.1", "", "m")[0])
    endpoint = order_endpoint(kind)
    credentials = Credentials(
        bot.api_key.encode(), Mac(bot.secret.encode()), bot.passphrase.encode()
    )
    claim = exchange.identify(request)
    assert claim is not None
    content = exchange.read(endpoint, request)
    tagged = exchange.tag(endpoint, request, content, _CODE, "replace")
    outbound = Outbound(request.method, request.path, tagged.suffix, tagged.body, demo=False)
    headers = [(b"content-type", b"application/json"), *(_QUOTA if kind.name == "kucoin" else ())]
    response = Response(200, headers, kind.answers[0].body, keep_alive=True)
    now_ms = time.time_ns() // 1_000_000
    return {
        "nothing": lambda: None,
        "identify": lambda: exchange.identify(request),
        "verify": lambda: exchange.verify(endpoint, request, claim, credentials),
        "read": lambda: exchange.read(endpoint, request),
        "ids": lambda: exchange.client_order_ids(content),
        "tag": lambda: exchange.tag(endpoint, request, content, _CODE, "replace"),
        "charges": lambda: exchange.charges(endpoint, request, content),
        "admit": admit(exchange.charges(endpoint, request, content)),
        "sign": lambda: exchange.sign(outbound, credentials, _BROKER, now_ms),
        "classify": lambda: exchange.classify(endpoint, response),
    }


def admit(charges: Sequence[Charge]) -> Callable[[], object]:
    """One request's slots in limits too wide to matter: found, taken, sent, answered."""
    clock = SystemClock()
    limiter = Limiter(clock, jitter_ns=10_000_000)
    subject = ("www.okx.com", "1", False)
    wide = [
        (dataclasses.replace(charge.pool, count=_WIDE), charge.value, charge.units)
        for charge in charges
    ]

    def step() -> None:
        draws = [(limiter.bucket(pool, subject, value), units) for pool, value, units in wide]
        ticket = limiter.ticket(subject, 1, draws)
        assert ticket.take()
        now_ns = clock.monotonic_ns()
        ticket.sent(now_ns)
        ticket.answered(now_ns, 0)

    return step


def cost_us(step: Callable[[], object], calls: int) -> float:
    """The least of a few rounds of `calls` calls, per call."""
    return min(timeit.repeat(step, number=calls, repeat=_REPEATS)) / calls * 1e6


def main() -> int:
    """Print one line per step, a column per exchange."""
    pin_to_one_core()
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    costs = {
        name: {step: cost_us(call, calls) for step, call in steps(kind).items()}
        for name, kind in KINDS.items()
    }
    sys.stdout.write(f"{'µs':10}" + "".join(f"{name:>9}" for name in costs) + "\n")
    for step in next(iter(costs.values())):
        figures = "".join(f"{cost[step]:9.3f}" for cost in costs.values())
        sys.stdout.write(f"{step:10}{figures}\n")
    totals = "".join(f"{sum(cost.values()) - cost['nothing']:9.3f}" for cost in costs.values())
    sys.stdout.write(f"{'together':10}{totals}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
