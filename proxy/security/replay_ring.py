"""What of the used signatures outlives the process: a ring of slots in a memory-mapped file.

A process that is killed leaves its mapped pages to the system, so the next one knows what was
used without a write per order. Half of each HMAC is kept: enough to know it again, and no
signature. The file belongs to the database's one process and is readable by its owner alone.
"""

from __future__ import annotations

import mmap
import os
from struct import Struct
from typing import TYPE_CHECKING, Final, final

from proxy.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES: Final = 16
SLOTS: Final = 262_144  # 6 MiB: more than four thousand orders a second for a minute
_SLOT: Final = Struct(f"<q{KEY_BYTES}s")


@final
class ReplayRing:
    """Used signatures by time, newest over oldest. `kept` is what was found at the start."""

    __slots__ = ("_at", "_bytes", "_map", "kept", "overrun")

    def __init__(self, path: Path, forgotten_before_ms: int, slots: int = SLOTS) -> None:
        """Open the ring, dropping what was signed before `forgotten_before_ms` (Unix).

        `overrun` tells that younger ones may be missing: the ring was full of such.
        Raises `StoreError`.
        """
        self._bytes = slots * _SLOT.size
        try:
            found = _read(path)
            fresh = [entry for entry in found if entry[0] >= forgotten_before_ms]
            self.kept = [key for _, key in fresh]
            self.overrun = len(fresh) >= slots
            self._map = self._make(path)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error
        self._at = 0
        for signed_ms, key in fresh[-slots:]:
            self.note(signed_ms, key)

    def _make(self, path: Path) -> mmap.mmap:
        """A new, empty file in place of the old one."""
        new = path.with_name(path.name + ".new")
        opened = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.ftruncate(opened, self._bytes)
            made = mmap.mmap(opened, self._bytes)
        finally:
            os.close(opened)
        new.replace(path)
        return made

    def note(self, signed_ms: int, key: bytes) -> None:
        """Keep one signature, signed at `signed_ms` (Unix), in place of the oldest."""
        at = self._at
        _SLOT.pack_into(self._map, at, signed_ms, key)
        at += _SLOT.size
        self._at = at if at < self._bytes else 0

    def close(self) -> None:
        """Let the file go; what is in it stays."""
        self._map.flush()
        self._map.close()


def _read(path: Path) -> list[tuple[int, bytes]]:
    """The slots that were written, oldest first as far as the times tell."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    whole = len(raw) - len(raw) % _SLOT.size
    return sorted(entry for entry in _SLOT.iter_unpack(raw[:whole]) if entry[0])
