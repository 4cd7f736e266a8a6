"""What the tests of accounts start from: a real SQLite file, a vault, a clock that stands still."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from proxy.accounts.database import Database
from proxy.accounts.enrolment import Enrolment, NewAccount
from proxy.accounts.store import Store
from proxy.accounts.vault import Vault
from proxy.model import KeyTriple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass
class StillClock:
    """A clock that only the test moves."""

    now_ms: int = 1_800_000_000_000

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ns(self) -> int:
        return self.now_ms * 1_000_000


@dataclass
class Bench:
    """One database with everything that works on it."""

    url: str
    path: Path
    database: Database
    store: Store
    vault: Vault
    clock: StillClock
    enrolment: Enrolment

    async def add(self, user: str, exchange: str = "okx", *, issue: bool = False) -> str:
        """Add an account whose keys are named after the user; return the issued id."""
        real = KeyTriple(f"own-{user}", f"secret-{user}", "Real-Passphrase-1")
        issued = KeyTriple(f"issued-{user}", f"issued-secret-{user}", "Issued-Passphrase-1")
        new = NewAccount(user, exchange)
        return await self.enrolment.add(new, real, issued if issue else None)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def bench(tmp_path: Path, clock: StillClock) -> AsyncIterator[Bench]:
    path = tmp_path / "tagproxy.db"
    url = f"sqlite:///{path}"
    database = await Database.open(url)
    store, vault = Store(database), Vault([os.urandom(32)])
    yield Bench(url, path, database, store, vault, clock, Enrolment(store, vault, clock))
    await database.close()
