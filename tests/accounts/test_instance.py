"""One process per database, and how the one before ended."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from proxy.accounts.instance import claim
from proxy.errors import StoreError

if TYPE_CHECKING:
    from tests.accounts.conftest import Bench

HOLD = """
import asyncio, sys
from proxy.accounts.database import Database
from proxy.accounts.instance import claim
from proxy.clock import SystemClock

async def hold():
    database = await Database.open(sys.argv[1])
    await claim(database, SystemClock())
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


async def hold(url: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    return process


async def test_a_second_process_is_refused_and_told_who_holds_it(bench: Bench) -> None:
    process = await hold(bench.url)
    try:
        with pytest.raises(StoreError, match=f"process {process.pid} serves from this database"):
            await claim(bench.database, bench.clock)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    instance = await claim(bench.database, bench.clock)
    assert instance.previous == "died"
    await instance.release(clean=True)


async def test_a_clean_stop_is_known_to_the_next_process(bench: Bench) -> None:
    first = await claim(bench.database, bench.clock)
    assert first.previous == "none"
    await first.release(clean=True)
    second = await claim(bench.database, bench.clock)
    assert second.previous == "clean"
    await second.release(clean=False)
    third = await claim(bench.database, bench.clock)
    assert third.previous == "died"
    await third.release(clean=True)


async def test_two_claims_in_one_process_are_two_claims(bench: Bench) -> None:
    first = await claim(bench.database, bench.clock)
    with pytest.raises(StoreError, match=f"process {os.getpid()} "):
        await claim(bench.database, bench.clock)
    await first.release(clean=True)


async def test_a_claim_that_fails_later_gives_the_lock_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_time() -> int:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(bench.clock, "wall_ms", no_time)
        with pytest.raises(RuntimeError):
            await claim(bench.database, bench.clock)
    await (await claim(bench.database, bench.clock)).release(clean=True)


async def test_the_lock_file_is_its_owners_alone(bench: Bench) -> None:
    instance = await claim(bench.database, bench.clock)
    lock = bench.path.with_name("tagproxy.db.lock")
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    await instance.release(clean=True)


async def test_a_lock_that_cannot_be_made_is_a_store_error(bench: Bench) -> None:
    bench.path.with_name("tagproxy.db.lock").mkdir()
    with pytest.raises(StoreError, match="lock"):
        await claim(bench.database, bench.clock)
