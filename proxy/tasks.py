"""How work is started and waited for: named background tasks, and coroutines driven by hand.

A task per request costs 3 µs, so a request's coroutine is driven by `Drive`: whoever settles the
`Signal` it waits on runs it on, in the same call. Slow waits may be ordinary asyncio futures.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from proxy.errors import BotGone

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")

_running: set[asyncio.Task[Any]] = set()


def spawn(
    name: str,
    coroutine: Coroutine[Any, Any, None],
    on_death: Callable[[str, BaseException], None] | None = None,
) -> asyncio.Task[None]:
    """Start a background task under `name`, keep a reference, and report it if it dies."""
    task = asyncio.create_task(coroutine, name=name)  # noqa: TID251 - the one place for it
    _running.add(task)

    def ended(task: asyncio.Task[None]) -> None:
        _running.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and on_death is not None:
            on_death(name, error)

    task.add_done_callback(ended)
    return task


@final
class Signal(Generic[T]):
    """One value that one driven coroutine waits for. Settling it resumes the coroutine at once."""

    __slots__ = ("_drive", "_error", "_settled", "_value")

    def __init__(self) -> None:
        self._drive: Drive[Any] | None = None  # of the coroutine that waits
        self._settled = False
        self._value: Any = None
        self._error: BaseException | None = None

    def settle(self, value: T) -> None:
        """Hand the value over. A signal that is settled already stays as it is."""
        if not self._settled:
            self._settled = True
            self._value = value
            if self._drive is not None:
                self._drive._run(None)

    def fail(self, error: BaseException) -> None:
        """Make the waiter raise `error`. A signal that is settled already stays as it is."""
        if not self._settled:
            self._settled = True
            self._error = error
            if self._drive is not None:
                self._drive._run(None)

    def conclude(self, value: T | None, error: BaseException | None) -> None:
        """Settle with `value`, or fail with `error` where there is one; a two-sided callback."""
        if not self._settled:
            self._settled = True
            self._value = value
            self._error = error
            if self._drive is not None:
                self._drive._run(None)

    def __await__(self) -> Generator[Signal[T], None, T]:
        if not self._settled:
            yield self
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value


@final
class Drive(Generic[T]):
    """Runs one coroutine to its end without a task and hands its result to `done`.

    `done` is called once, with the result or with the error that ended the coroutine, unless the
    drive was dropped. The coroutine may await `Signal`s and asyncio futures, nothing that needs
    a current task.
    """

    __slots__ = ("_coroutine", "_done", "_waiting")

    def __init__(
        self,
        coroutine: Coroutine[Any, None, T],
        done: Callable[[T | None, BaseException | None], None],
    ) -> None:
        self._coroutine = coroutine
        self._done = done
        self._waiting: object = None

    def start(self) -> None:
        """Run until the coroutine waits or ends."""
        self._run(None)

    def again(self, coroutine: Coroutine[Any, None, T]) -> None:
        """Run another coroutine, as the first; the one before has ended."""
        self._coroutine = coroutine
        self._run(None)

    def drop(self) -> None:
        """Throw `BotGone` into the coroutine where it waits; it may clean up, or go on."""
        waiting = self._waiting
        if waiting is not None:
            if type(waiting) is Signal:
                waiting._drive = None  # what settles it now comes too late
            self._run(BotGone())

    def _run(self, error: BaseException | None) -> None:
        self._waiting = None
        try:
            waited = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration as stop:
            self._done(stop.value, None)
            return
        except Exception as failure:  # noqa: BLE001 - the coroutine ends here; done decides
            self._done(None, failure)
            return
        self._waiting = waited
        if type(waited) is Signal:
            waited._drive = self
        else:
            self._await_future(waited)

    def _await_future(self, future: asyncio.Future[Any]) -> None:
        future._asyncio_future_blocking = False

        def settled(future: asyncio.Future[Any]) -> None:
            if self._waiting is future:
                self._run(None)

        future.add_done_callback(settled)
