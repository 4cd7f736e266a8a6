"""Signatures that were used: a signed write passes once.

Keyed by the HMAC that we computed, so that no re-spelling of the signature or of an unsigned
header makes a copy look new. Two generations, each as long as a timestamp can stay acceptable,
hold every signature at least that long and at most twice; a ring keeps them over a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from proxy.errors import Refusal
from proxy.security.replay_ring import KEY_BYTES

if TYPE_CHECKING:
    from proxy.security.replay_ring import ReplayRing

DIGESTS_MAX: Final = 2_000_000  # both generations together; about 200 MB
_MS: Final = 1_000_000


@final
class Replays:
    """The signatures of the last minutes. `window_ms` is how far a timestamp may be off."""

    __slots__ = (
        "_calls",
        "_generation_ns",
        "_new",
        "_new_since_ns",
        "_old",
        "_old_calls",
        "_ring",
        "_signed_before_ms",
        "_size",
    )

    def __init__(
        self,
        window_ms: int,
        now_ns: int,
        ring: ReplayRing | None = None,
        digests_max: int = DIGESTS_MAX,
    ) -> None:
        self._generation_ns = 2 * window_ms * _MS
        self._size = digests_max // 2
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()
        # by digest, where a signature covers neither method nor path: the call it was used for
        self._calls: dict[bytes, bytes] = {}
        self._old_calls: dict[bytes, bytes] = {}
        self._new_since_ns = now_ns  # monotonic: a stepped wall clock forgets nothing
        self._signed_before_ms = 0
        self._ring = ring
        if ring is not None:
            self._new.update(ring.kept)

    def forget_nothing_before(self, instant_ms: int) -> None:
        """Refuse every write signed before `instant_ms`: what would have been remembered of them
        is lost."""
        self._signed_before_ms = instant_ms

    def reserve(self, digest: bytes, signed_ms: int, now_ns: int) -> None:
        """Mark a signature as used; `now_ns` is monotonic, `signed_ms` Unix.

        Raises `Refusal`: `replayed`, or `overloaded` when full.
        """
        if now_ns - self._new_since_ns >= self._generation_ns:
            self._turn(now_ns)
        key = digest[:KEY_BYTES]
        if key in self._new or key in self._old:
            raise Refusal("replayed", "this signature was used before; sign again")
        if signed_ms < self._signed_before_ms:
            raise Refusal("replayed", "signed before this proxy could remember; sign again")
        if len(self._new) >= self._size:
            raise Refusal("overloaded", "too many signatures to remember")
        self._new.add(key)
        if self._ring is not None:
            self._ring.note(signed_ms, key)

    def bind(self, digest: bytes, call: bytes, now_ns: int) -> None:
        """Let a signature that covers neither method nor path pass for one call only, the first
        that it is used for; for that as often as it may.

        Raises `Refusal`: `replayed`, or `overloaded` when full.
        """
        if now_ns - self._new_since_ns >= self._generation_ns:
            self._turn(now_ns)
        key = digest[:KEY_BYTES]
        known = self._calls.get(key) or self._old_calls.get(key)
        if known is None:
            if len(self._calls) >= self._size:
                raise Refusal("overloaded", "too many signatures to remember")
            self._calls[key] = call
        elif known != call:
            raise Refusal("replayed", "this signature was used for another call; sign again")

    def release(self, digest: bytes) -> None:
        """Forget a signature whose request was never sent. The ring does not: better one order
        refused after a crash than one sent twice."""
        key = digest[:KEY_BYTES]
        self._new.discard(key)
        self._old.discard(key)

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def _turn(self, now_ns: int) -> None:
        passed_ns = now_ns - self._new_since_ns
        recent = passed_ns < 2 * self._generation_ns
        self._old = self._new if recent else set()
        self._new = set()
        self._old_calls = self._calls if recent else {}
        self._calls = {}
        self._new_since_ns = now_ns
