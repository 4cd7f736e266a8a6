"""A `SpentStore` in memory that outlives the limiters of a test, and fails or stalls on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import StoreError
from proxy.limits.history import SpentRow

if TYPE_CHECKING:
    import asyncio


class MemoryStore:
    def __init__(self) -> None:
        self.rows: list[SpentRow] = []
        self.gate: asyncio.Event | None = None  # writes wait for it
        self.broken = False

    async def reserve(self, key: str, units: int, wall_ms: int, window_ms: int) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise StoreError("disk full")
        self.rows.append(SpentRow(key, units, wall_ms, window_ms))
