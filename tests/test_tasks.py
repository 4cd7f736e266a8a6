"""Coroutines driven by hand."""

from __future__ import annotations

import asyncio

import pytest

from proxy.errors import BotGone
from proxy.tasks import Drive, Signal, spawn


class Ended:
    """Collects what a drive hands over."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, BaseException | None]] = []

    def __call__(self, value: object, error: BaseException | None) -> None:
        self.calls.append((value, error))


async def test_a_coroutine_that_never_waits_ends_at_once() -> None:
    async def work() -> int:
        return 7

    ended = Ended()
    Drive(work(), ended).start()
    assert ended.calls == [(7, None)]


async def test_settling_a_signal_resumes_the_coroutine_in_the_same_call() -> None:
    signal: Signal[int] = Signal()

    async def work() -> int:
        return await signal + 1

    ended = Ended()
    Drive(work(), ended).start()
    assert ended.calls == []
    signal.settle(1)
    assert ended.calls == [(2, None)]


async def test_a_settled_signal_is_not_waited_for_and_not_overwritten() -> None:
    signal: Signal[int] = Signal()
    signal.conclude(1, None)
    signal.settle(2)
    signal.fail(RuntimeError())
    ended = Ended()

    async def work() -> int:
        return await signal

    Drive(work(), ended).start()
    assert ended.calls == [(1, None)]


async def test_a_failed_signal_raises_where_it_is_awaited() -> None:
    signal: Signal[int] = Signal()

    async def work() -> str:
        try:
            await signal
        except KeyError:
            return "caught"
        return "not raised"

    ended = Ended()
    Drive(work(), ended).start()
    signal.conclude(None, KeyError())
    assert ended.calls == [("caught", None)]


async def test_an_asyncio_future_may_be_awaited_too() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work() -> int:
        return await future + 1

    ended = Ended()
    Drive(work(), ended).start()
    future.set_result(1)
    await asyncio.sleep(0)
    assert ended.calls == [(2, None)]


async def test_an_error_of_the_coroutine_is_handed_over() -> None:
    async def work() -> int:
        raise ValueError

    ended = Ended()
    Drive(work(), ended).start()
    (value, error) = ended.calls[0]
    assert value is None
    assert isinstance(error, ValueError)


async def test_dropping_throws_where_the_coroutine_waits_and_a_late_future_is_ignored() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    cleaned = []

    async def work() -> int:
        try:
            return await future
        finally:
            cleaned.append(True)

    ended = Ended()
    drive = Drive(work(), ended)
    drive.start()
    drive.drop()
    assert cleaned == [True]
    assert isinstance(ended.calls[0][1], BotGone)
    future.set_result(1)
    await asyncio.sleep(0)
    assert len(ended.calls) == 1


async def test_dropping_what_has_ended_changes_nothing() -> None:
    async def work() -> int:
        return 1

    ended = Ended()
    drive = Drive(work(), ended)
    drive.start()
    drive.drop()
    assert ended.calls == [(1, None)]


async def test_a_drive_runs_one_coroutine_after_another() -> None:
    signals: list[Signal[int]] = [Signal(), Signal()]

    async def work(signal: Signal[int]) -> int:
        return await signal

    ended = Ended()
    drive = Drive(work(signals[0]), ended)
    drive.start()
    drive.drop()
    assert isinstance(ended.calls[0][1], BotGone)
    drive.again(work(signals[1]))
    signals[0].settle(1)
    assert len(ended.calls) == 1
    signals[1].settle(2)
    assert ended.calls[1:] == [(2, None)]


async def test_the_death_of_a_background_task_is_reported_under_its_name() -> None:
    deaths: list[tuple[str, BaseException]] = []

    async def dies() -> None:
        raise LookupError

    task = spawn("mortal", dies(), lambda name, error: deaths.append((name, error)))
    with pytest.raises(LookupError):
        await task
    await asyncio.sleep(0)
    assert deaths[0][0] == "mortal"
    assert isinstance(deaths[0][1], LookupError)
