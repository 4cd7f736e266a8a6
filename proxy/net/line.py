"""The line for connections: first come, first served, and a turn given is nobody else's."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, final

from proxy.errors import UpstreamError, UpstreamTimeout
from proxy.net.deadlines import Deadline

if TYPE_CHECKING:
    from proxy.net.deadlines import Wheel


@final
class Waiter(Deadline):
    """One request that waits for a connection."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        super().__init__()
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def expired(self, now_ns: int) -> None:
        """Wait no longer."""
        del now_ns
        self.fail(UpstreamTimeout("no connection before the deadline", sent=False))

    def fail(self, error: UpstreamError) -> None:
        """Make the request hear of `error`, unless it was served."""
        if not self.future.done():
            self.future.set_exception(error)


@final
class Line:
    """Waiters for the things in `free`. `promised` of them belong to waiters that were woken
    and have not run yet."""

    __slots__ = ("_free", "_wheel", "promised", "waiters")

    def __init__(self, free: list[Any], wheel: Wheel) -> None:
        self._free = free
        self._wheel = wheel
        self.waiters: deque[Waiter] = deque()
        self.promised = 0

    def __len__(self) -> int:
        return len(self.waiters)

    def join(self, until_ns: int) -> Waiter:
        """Stand at the end of the line."""
        waiter = Waiter()
        self.waiters.append(waiter)
        self._wheel.limit(waiter, until_ns)
        return waiter

    async def turn(self, waiter: Waiter) -> None:
        """Wait until one of the free things is this waiter's, to be taken at once.

        Raises UpstreamTimeout or what `fail_first` was given.
        """
        future = waiter.future
        try:
            await future
        except BaseException:
            if waiter in self.waiters:
                self.waiters.remove(waiter)
            if future.done() and not future.cancelled() and future.exception() is None:
                # woken, and gone before it ran: the next in line may have it
                self.promised -= 1
                self.wake()
            raise
        finally:
            self._wheel.discard(waiter)
        self.promised -= 1

    def wake(self) -> None:
        """Give what is free to the first in line."""
        while self.waiters and len(self._free) > self.promised:
            waiter = self.waiters.popleft()
            if not waiter.future.done():
                self.promised += 1
                waiter.future.set_result(None)

    def fail_first(self, error: UpstreamError) -> None:
        """Turn the first in line away."""
        self.waiters.popleft().fail(error)
