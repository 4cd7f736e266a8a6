"""Orders as bots send them, signed ahead of time so that the load costs next to nothing.

Each order has a timestamp of its own, close to the moment when it will leave: MEXC and KuCoin take
none that is 5 s old. How an exchange's are written stands in a module of its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from proxy.exchanges.spec import Exchange

# No machine sends faster, so that no timestamp is ahead of its moment by more than MEXC's second.
CLOSED_PER_SECOND: Final = 10_000.0
WIDE: Final = "1000000/2s"  # a limit that is never reached


@dataclass(frozen=True, slots=True)
class Bot:
    """A bot's key triple, all of it made up. `passphrase` is empty where there is none."""

    name: str
    api_key: str
    secret: str
    passphrase: str

    def triple(self) -> dict[str, str]:
        """What `users add` reads."""
        triple = {"api_key": self.api_key, "secret": self.secret, "passphrase": self.passphrase}
        return {name: text for name, text in triple.items() if text}


@dataclass(frozen=True, slots=True)
class Order:
    """One request: the target without a prefix, and the header lines that are the exchange's."""

    target: str
    lines: tuple[str, ...]
    body: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the exchange says to a path; `lines` are nginx directives for headers."""

    path: str
    body: bytes
    lines: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """Everything the bench knows of one exchange."""

    name: str
    exchange: Exchange
    path: str  # of the order
    bots: tuple[Bot, ...]
    write: Callable[[Bot, int, int, str], Order]  # bot, Unix ms, number, the call's own word
    accepted: bytes  # stands in the answer to every order
    answers: tuple[Answer, ...]  # the order's first, then what a new account is asked about
    limits: Mapping[str, str]


def signed_orders(
    kind: Kind, count: int, host: str, prefix: str, run: str, per_second: float = CLOSED_PER_SECOND
) -> list[bytes]:
    """Return `count` whole HTTP requests, no two alike; `run` tells one call's ids from another's.

    Bots and instruments take turns. `prefix` comes before the signed path.
    """
    orders = _orders(kind, host, prefix, run, per_second)
    return [order for order, _ in zip(orders, range(count), strict=False)]


def _orders(kind: Kind, host: str, prefix: str, run: str, per_second: float) -> Iterator[bytes]:
    began_ms = time.time_ns() // 1_000_000
    number = 0
    while True:
        bot = kind.bots[number % len(kind.bots)]
        unix_ms = began_ms + int(number * 1000 / per_second)
        order = kind.write(bot, unix_ms, number, f"{run}x{number:08d}")
        lines = "".join(f"{line}\r\n" for line in order.lines)
        yield (
            f"POST {prefix}{order.target} HTTP/1.1\r\n"
            f"Host: {host}\r\n"
            "User-Agent: python-requests/2.34.2\r\n"
            "Accept-Encoding: gzip, deflate\r\n"
            "Accept: */*\r\n"
            "Content-Type: application/json\r\n"
            f"{lines}"
            f"Content-Length: {len(order.body)}\r\n"
            f"\r\n{order.body}"
        ).encode()
        number += 1
