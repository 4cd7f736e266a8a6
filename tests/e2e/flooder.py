"""A flood from a process of its own: prepared requests over kept connections, the next on each
when the last one's answer is in. Costs little, so that what is flooded is busy and not the flood.

`python -m tests.e2e.flooder PORT CONNECTIONS RATE SECONDS FILE`: RATE is the most per second, all
connections together; FILE holds the requests, a line of JSON each, as Latin-1 text. Ends with a
line of JSON: answers by status.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Final, final

import uvloop

_LENGTH: Final = b"content-length:"


@final
class Channel(asyncio.Protocol):
    """One connection with one request on it at any time, one every `every_s` at the most."""

    def __init__(
        self, requests: list[bytes], first: int, every_s: float, answers: Counter[str]
    ) -> None:
        self._every_s = every_s
        self._due = 0.0
        self._requests = requests
        self._next = first
        self._answers = answers
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's has no such base
        self._loop = asyncio.get_running_loop()
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if _whole(self._buffer):
            self._answers[self._buffer[9:12].decode()] += 1
            self._buffer = b""
            self._loop.call_at(self._due, self._send)

    def connection_lost(self, exc: Exception | None) -> None:
        self._answers["lost"] += 1

    def _send(self) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._due = max(self._due, self._loop.time() - self._every_s) + self._every_s
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1


def _whole(data: bytes) -> bool:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = data[:end].lower()
    at = head.find(_LENGTH)
    size = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return len(data) >= end + 4 + size


async def _flood(
    port: int, connections: int, rate: float, seconds: float, requests: list[bytes]
) -> Counter[str]:
    answers: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    for first in range(connections):
        await loop.create_connection(
            lambda first=first: Channel(  # type: ignore[misc]
                requests, first, connections / rate, answers
            ),
            "127.0.0.1",
            port,
        )
    await asyncio.sleep(seconds)
    return Counter(answers)  # those that are lost at the end do not count


def main() -> None:
    """Flood, and tell what came back."""
    port, connections, rate, seconds, file = sys.argv[1:]
    lines = Path(file).read_text("utf-8").splitlines()
    requests = [str(json.loads(line)).encode("latin-1") for line in lines]
    flood = _flood(int(port), int(connections), float(rate), float(seconds), requests)
    answers = uvloop.run(flood)
    sys.stdout.write(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
