"""Trouble on request: delays on the way in, and answers that go wrong in every known way."""

from __future__ import annotations

import random
import socket
import struct
from dataclasses import dataclass
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
}


@final
@dataclass(slots=True)
class Fault:
    """One kind of trouble for the next `times` requests that match."""

    kind: str
    times: int = 1
    method: str = ""  # "" is any
    path: str = ""  # a prefix of the path; "" is any
    status: int = 0
    code: str = ""
    delay_ms: int = 0
    process: bool = False
    skip: int = 0  # let so many matching requests pass first

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind}")

    def meets(self, method: str, path: str) -> bool:
        """Return whether the fault is for this request."""
        return self.method in ("", method) and path.startswith(self.path)


@final
class Faults:
    """The faults still to come, first come first served."""

    def __init__(self) -> None:
        self.coming: list[Fault] = []

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that hits this request, if any, and use it up."""
        for fault in self.coming:
            if not fault.meets(method, path):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                self.coming.remove(fault)
            return fault
        return None


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
