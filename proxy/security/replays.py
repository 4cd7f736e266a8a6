"""Signatures that were used: a signed write passes once.

Keyed by the HMAC that we computed, so that no re-spelling of the signature or of an unsigned
header makes a copy look new. Two generations, each as long as a timestamp can stay acceptable,
hold every signature at least that long and at most twice.
"""

from __future__ import annotations

from typing import Final, final

from proxy.errors import Refusal

DIGESTS_MAX: Final = 2_000_000  # both generations together; about 200 MB


@final
class Replays:
    """The signatures of the last minutes. `window_ms` is how far a timestamp may be off."""

    __slots__ = ("_generation_ms", "_new", "_new_since_ms", "_old", "_signed_before_ms", "_size")

    def __init__(self, window_ms: int, now_ms: int, digests_max: int = DIGESTS_MAX) -> None:
        self._generation_ms = 2 * window_ms
        self._size = digests_max // 2
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()
        self._new_since_ms = now_ms
        self._signed_before_ms = 0

    def forget_nothing_before(self, instant_ms: int) -> None:
        """Refuse every write signed before `instant_ms`: the process that would have remembered
        it is dead."""
        self._signed_before_ms = instant_ms

    def reserve(self, digest: bytes, signed_ms: int, now_ms: int) -> None:
        """Mark a signature as used. Raises `Refusal`: `replayed`, or `overloaded` when full."""
        if now_ms - self._new_since_ms >= self._generation_ms:
            self._turn(now_ms)
        if digest in self._new or digest in self._old:
            raise Refusal("replayed", "this signature was used before; sign again")
        if signed_ms < self._signed_before_ms:
            raise Refusal("replayed", "signed before this proxy started; sign again")
        if len(self._new) >= self._size:
            raise Refusal("overloaded", "too many signatures to remember")
        self._new.add(digest)

    def release(self, digest: bytes) -> None:
        """Forget a signature whose request was never sent."""
        self._new.discard(digest)
        self._old.discard(digest)

    def remembered(self) -> list[bytes]:
        """Every signature that may still be replayed, for a clean stop's hand-over."""
        return [*self._old, *self._new]

    def restore(self, digests: list[bytes]) -> None:
        """Take over what the last process remembered."""
        self._new.update(digests)

    def _turn(self, now_ms: int) -> None:
        passed = now_ms - self._new_since_ms
        self._old = self._new if passed < 2 * self._generation_ms else set()
        self._new = set()
        self._new_since_ms = now_ms
