"""What each step costs on its own: `python -m tests.bench.micro`. Nothing here opens a socket.

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
from proxy.exchanges.okx import EXCHANGE
from proxy.limits.limiter import Limiter
from proxy.model import Action, Broker, Credentials, Outbound, Request, Response
from tests.bench.cpu import pin_to_one_core
from tests.bench.orders import ANSWER, BOTS, PATH, signed_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.model import Charge, Endpoint

_CODE: Final = b"a1b2c3d4e5f6BCDE"
_BOT: Final = BOTS[0]
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


def order_endpoint() -> Endpoint:
    """The row of a single order."""
    for endpoint in EXCHANGE.endpoints:
        if (endpoint.method, endpoint.path, endpoint.action) == ("POST", PATH, Action.PLACE):
            return endpoint
    raise LookupError(PATH)


def steps() -> dict[str, Callable[[], object]]:
    """Each step of the data path that belongs to the exchange, ready to be called."""
    request = request_of(signed_orders(1, "127.0.0.1", "", "m")[0])
    endpoint = order_endpoint()
    credentials = Credentials(
        _BOT.api_key.encode(), Mac(_BOT.secret.encode()), _BOT.passphrase.encode()
    )
    broker = Broker(_CODE)
    claim = EXCHANGE.identify(request)
    assert claim is not None
    content = EXCHANGE.read(endpoint, request)
    tagged = EXCHANGE.tag(endpoint, request, content, _CODE, "replace")
    outbound = Outbound(request.method, request.path, tagged.suffix, tagged.body, demo=False)
    response = Response(200, [(b"content-type", b"application/json")], ANSWER, keep_alive=True)
    now_ms = time.time_ns() // 1_000_000
    return {
        "nothing": lambda: None,
        "identify": lambda: EXCHANGE.identify(request),
        "verify": lambda: EXCHANGE.verify(endpoint, request, claim, credentials),
        "read": lambda: EXCHANGE.read(endpoint, request),
        "tag": lambda: EXCHANGE.tag(endpoint, request, content, _CODE, "replace"),
        "charges": lambda: EXCHANGE.charges(endpoint, request, content),
        "admit": admit(EXCHANGE.charges(endpoint, request, content)),
        "sign": lambda: EXCHANGE.sign(outbound, credentials, broker, now_ms),
        "classify": lambda: EXCHANGE.classify(endpoint, response),
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
    """Print one line per step."""
    pin_to_one_core()
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    for name, step in steps().items():
        sys.stdout.write(f"{name:10} {cost_us(step, calls):7.3f} µs\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
