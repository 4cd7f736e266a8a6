"""What reached the simulated exchange, byte for byte, and what it answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from proxy.sim.answers import Answer


@final
@dataclass(slots=True)
class Recorded:
    """One request. Times: `received_ns` off the socket, `arrived_ns` after the injected delay,
    which is when it was counted; both of the simulator's monotonic clock."""

    number: int
    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    source: str
    source_port: int
    received_ns: int
    venue: str = "main"
    port: int = 0  # that it came to
    arrived_ns: int = 0
    wall_ms: int = 0
    uid: str = ""
    status: int = 0  # 0: not answered
    code: str = ""
    accepted: bool = False
    answer: bytes = b""
    order_ids: tuple[str, ...] = ()  # what was created or touched, in the answer's order
    fault: str = ""

    def answered(self, answer: Answer) -> None:
        """Note what the exchange said."""
        self.status, self.code, self.answer = answer.status, answer.code, answer.body
        self.accepted, self.order_ids = answer.accepted, answer.order_ids

    @property
    def path(self) -> str:
        """Return the target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """Return a header's value; None when it was not sent."""
        wanted = name.lower().encode()
        for key, value in self.headers:
            if key.lower() == wanted:
                return value.decode("latin-1")
        return None

    def shown(self) -> dict[str, Any]:
        """Return it as JSON can hold it; bytes as Latin-1 text."""
        return {
            "number": self.number,
            "method": self.method,
            "target": self.target,
            "headers": [[k.decode("latin-1"), v.decode("latin-1")] for k, v in self.headers],
            "body": self.body.decode("latin-1"),
            "source": self.source,
            "source_port": self.source_port,
            "venue": self.venue,
            "received_ns": self.received_ns,
            "arrived_ns": self.arrived_ns,
            "wall_ms": self.wall_ms,
            "uid": self.uid,
            "status": self.status,
            "code": self.code,
            "accepted": self.accepted,
            "answer": self.answer.decode("latin-1"),
            "order_ids": list(self.order_ids),
            "fault": self.fault,
        }
