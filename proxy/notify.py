"""What systemd is told about this process: datagrams of the notification protocol.

Without NOTIFY_SOCKET in the environment nothing is sent. Nothing here waits, and nothing raises:
the service never depends on whoever watches it.
https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATUS_CHARS_MAX: Final = 500
_WATCHDOG_US_MAX: Final = 86_400_000_000  # a day
_AGAIN_S: Final = 1.0  # until what it did not take is said again


@final
class ServiceManager:
    """Whoever started this process, if it wants to hear. For one thread, the event loop's."""

    __slots__ = ("_address", "_owed", "_socket", "watchdog_interval_s")

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._owed: dict[str, str] = {}  # what it did not take yet, by variable
        self._socket: socket.socket | None = None
        self.watchdog_interval_s = _interval_s(environ) if self._address else None
        if self._address:
            # opened once and for all: a process out of files must still be able to tell
            kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            try:
                self._socket = socket.socket(socket.AF_UNIX, kind)
            except OSError:  # a start without a single file left fails elsewhere, with words
                self.watchdog_interval_s = None

    def ready(self) -> None:
        """Tell that the service serves, at the start and after each reload."""
        self._tell({"READY": "1"})

    def reloading(self, monotonic_us: int) -> None:
        """Tell that a reload began at `monotonic_us` (CLOCK_MONOTONIC); `ready` ends it."""
        self._tell({"RELOADING": "1", "MONOTONIC_USEC": str(monotonic_us)})

    def stopping(self) -> None:
        """Tell that the service takes no new work."""
        self._tell({"STOPPING": "1"})

    def status(self, text: str) -> None:
        """Show a line to whoever asks `systemctl status`."""
        self._tell({"STATUS": " ".join(text.split())[:_STATUS_CHARS_MAX]})  # one line for certain

    def alive(self) -> None:
        """Tell that the event loop turns, in time for a watchdog."""
        self._tell({"WATCHDOG": "1"})

    async def attend(self) -> None:
        """Keep the watchdog quiet, and repeat what did not get through, until cancelled.

        Ends at once where nobody wants to hear. The event loop alone drives this, so that a loop
        that is stuck is found out.
        """
        while self._socket is not None:
            if self.watchdog_interval_s is not None:
                self.alive()
            elif self._owed:
                self._tell({})
            await asyncio.sleep(self.watchdog_interval_s or _AGAIN_S)

    def close(self) -> None:
        """Say nothing more."""
        self.watchdog_interval_s = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, news: dict[str, str]) -> None:
        if self._socket is None:
            return
        self._owed |= news
        lines = "\n".join(f"{name}={value}" for name, value in self._owed.items())
        try:
            self._socket.sendto(lines.encode("utf-8", "replace"), self._address)
        except OSError:  # gone, or its queue is full: said again with whatever comes next
            return
        self._owed.clear()


def _address(named: str) -> str:
    """A socket's path, or its abstract name with the NUL in place of "@"; "" for what is neither:
    systemd can also name vsock addresses."""
    if named.startswith("@") and len(named) > 1:
        return "\0" + named[1:]
    return named if named.startswith("/") else ""


def _interval_s(environ: Mapping[str, str]) -> float | None:
    """Half of the time after which systemd ends a silent process. sd_watchdog_enabled(3)."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for another process
    try:
        limit_us = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return min(limit_us, _WATCHDOG_US_MAX) / 2_000_000 if limit_us > 0 else None
