"""Trouble on request: delays on the way in, and answers that go wrong in every known way.

A fault hits the next `times` requests that match. With `for_ms` it hits every one of them, from
the first it meets until that time is over, and stays with the address which that one came from.
"""

from __future__ import annotations

import random
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.sim.answers import Answer

# What each kind does to the next request it meets. Only those marked so let the order happen.
KINDS: Final = {
    "drop": "close the connection, nothing processed",
    "process-drop": "process, then close without an answer",
    "reset": "process, send half of the answer, reset the connection",
    "truncated": "process, send half of the body, close in order",
    "html": "a gateway's HTML page, status 502 unless told, nothing processed",
    "code": "an error of the exchange with `code` and `status`; `process` lets the order happen",
    "hang": "never answer; `process` lets the order happen",
    "slow": "process, answer after `delay_ms`",
    "late": "process after `delay_ms` (a queue inside the exchange: an expTime may pass)",
    "garbage": "process, answer with bytes that are not HTTP",
    # The edge refuses the address, nothing processed; see `proxy.sim.edge`:
    "ban-1015": "Cloudflare's page: 429 and error code 1015; no Retry-After unless told",
    "ban-403": "the edge's page for those it blocks; no Retry-After unless told",
    "ban-418": "418 with Retry-After",
    "ban-429": "429 that is not JSON, with Retry-After",
}


@final
@dataclass(slots=True)
class Fault:
    """One kind of trouble for the requests that match."""

    kind: str
    times: int = 1
    method: str = ""  # "" is any
    path: str = ""  # a prefix of the path; "" is any
    source: str = ""  # the address that requests come from; "" is any
    status: int = 0
    code: str = ""
    delay_ms: int = 0
    process: bool = False
    skip: int = 0  # let so many matching requests pass first
    for_ms: int = 0  # > 0: lasts, `times` means nothing
    # Of bans: seconds or any text as it is; "left" the seconds left, "date" the moment it ends,
    # "-" no such header, "" what the kind has by itself.
    retry_after: str = ""
    headers: dict[str, str] = field(default_factory=dict)  # more, of answers that are made up
    until_ns: int = 0  # set by the first request that is met; of the simulator's monotonic clock

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind}")
        self.retry_after = str(self.retry_after)

    def meets(self, method: str, path: str, source: str) -> bool:
        """Return whether the fault is for this request."""
        return (
            self.method in ("", method)
            and path.startswith(self.path)
            and self.source in ("", source)
        )

    def left_ms(self, now_ns: int) -> int:
        """Return how long it lasts from now on; 0 for one that does not last."""
        return max(self.until_ns - now_ns, 0) // 1_000_000


@final
class Faults:
    """The faults still to come, first come first served."""

    def __init__(self) -> None:
        self.coming: list[Fault] = []

    def take(self, method: str, path: str, source: str, now_ns: int) -> Fault | None:
        """Return the fault that hits this request, if any, and use it up."""
        self.coming = [each for each in self.coming if not 0 < each.until_ns <= now_ns]
        for fault in self.coming:
            if not fault.meets(method, path, source):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            self._use(fault, source, now_ns)
            return fault
        return None

    def _use(self, fault: Fault, source: str, now_ns: int) -> None:
        if fault.for_ms > 0:
            fault.source = source
            fault.until_ns = fault.until_ns or now_ns + fault.for_ms * 1_000_000
            return
        fault.times -= 1
        if fault.times <= 0:
            self.coming.remove(fault)


@final
class Delay:
    """How long a request is on its way in: `fixed_ms`, and for a share of them `late_ms` more."""

    def __init__(
        self, fixed_ms: float = 0, late_ms: float = 0, late_share: float = 0, seed: int = 0
    ) -> None:
        self._fixed_s = fixed_ms / 1000
        self._late_s = late_ms / 1000
        self._late_share = late_share
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret

    def next_s(self) -> float:
        """Draw the next request's delay."""
        late = self._late_share and self._random.random() < self._late_share
        return self._fixed_s + (self._late_s if late else 0)


def cut(request: web.BaseRequest, kind: str, answer: Answer | None) -> None:
    """End the connection as the fault wants it, some of the answer sent or none."""
    transport = request.transport
    if transport is None:
        return
    if answer is not None and kind in ("reset", "truncated"):
        head = f"HTTP/1.1 {answer.status} OK\r\nContent-Length: {len(answer.body)}\r\n"
        half = answer.body[: len(answer.body) // 2]
        transport.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + half)
    if kind == "garbage":
        transport.write(b"\x00\x01 what is this\r\n\r\n")
    if kind == "reset":
        handle: socket.socket = transport.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    request.protocol.force_close()
