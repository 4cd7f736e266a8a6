"""Keeps the directory up to date: looks at the revision counter four times a second.

A change made by a command in another process is seen within a second. A database that cannot be
read for a while is reported once, and what is known stays in force.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, final

from proxy.errors import StoreError, VaultError
from proxy.tasks import spawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.accounts.directory import Directory
    from proxy.accounts.store import Store
    from proxy.accounts.vault import Vault
    from proxy.clock import Clock

POLL_S: Final = 0.25


@final
class Watch:
    """Refreshes `directory` until stopped; `report` gets one line for each new fault."""

    __slots__ = (
        "_clock",
        "_directory",
        "_looking",
        "_new_vault",
        "_report",
        "_reported",
        "_stopping",
        "_store",
        "_task",
        "_vault",
    )

    def __init__(
        self,
        directory: Directory,
        store: Store,
        vault: Vault,
        clock: Clock,
        report: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._store = store
        self._vault = vault
        self._new_vault: Vault | None = None
        self._clock = clock
        self._report = report
        self._reported: set[str] = set()
        self._looking = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def vault(self) -> Vault:
        """What accounts are opened with. A new one is tried at the next look, on every account;
        one that opens nothing is reported and dropped."""
        return self._vault

    @vault.setter
    def vault(self, vault: Vault) -> None:
        self._new_vault = vault

    def start(self) -> None:
        """Begin to look."""
        self._task = spawn("accounts.watch", self._run(), self._died)

    async def stop(self) -> None:
        """Stop looking, after the look at hand."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait([self._task])
            self._task = None

    async def look(self) -> None:
        """Look once: take in what changed, end what expired, report what is new."""
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        faults: set[str] = set()
        self._directory.expire(self._clock.wall_ms())
        try:
            await self._take_in()
        except (StoreError, VaultError) as error:
            faults.add(str(error))
        except Exception as error:  # noqa: BLE001 - whatever one look meets, the next must come
            faults.add(f"accounts cannot be read: {type(error).__name__}")
        self._directory.expire(self._clock.wall_ms())
        faults.update(self._directory.faults)
        for line in sorted(faults - self._reported):
            self._report(line)
        self._reported = faults

    async def _take_in(self) -> None:
        new = self._new_vault
        if new is None:
            await self._directory.refresh(self._store, self._vault)
            return
        try:
            await self._directory.load(self._store, new)
            self._vault = new
        except StoreError:
            new = None  # to be tried again
            raise
        finally:
            if self._new_vault is new:  # and not yet another
                self._new_vault = None

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._stopping.wait()

    def _died(self, name: str, error: BaseException) -> None:
        self._report(f"{name} ended, changes are not seen any more: {type(error).__name__}")
