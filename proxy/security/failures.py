"""Failed attempts, counted per key and source address.

Both together, so that a stranger who knows a key cannot lock its owner out from elsewhere. Past
the limit an attempt is refused before any HMAC is computed; nobody is ever made to wait.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

from proxy.errors import Refusal

ATTEMPTS_MAX: Final = 100
WINDOW_NS: Final = 60_000_000_000
PAIRS_MAX: Final = 20_000
_KEY_BYTES: Final = 80  # of a stranger's key; longer ones count together


@final
class Failures:
    """Counts failed attempts; `blocked` says when there were too many within a minute."""

    __slots__ = ("_attempts_max", "_pairs", "_pairs_max", "_window_ns")

    def __init__(
        self,
        attempts_max: int = ATTEMPTS_MAX,
        window_ns: int = WINDOW_NS,
        pairs_max: int = PAIRS_MAX,
    ) -> None:
        self._attempts_max = attempts_max
        self._window_ns = window_ns
        self._pairs_max = pairs_max
        self._pairs: OrderedDict[tuple[bytes, str], tuple[int, int]] = OrderedDict()

    def check(self, api_key: bytes, peer: str, now_ns: int) -> None:
        """Raise `Refusal` (`rate_limited`) when this pair failed too often of late."""
        if not self._pairs:
            return
        pair = (api_key[:_KEY_BYTES], peer)
        found = self._pairs.get(pair)
        if found is None or found[0] < self._attempts_max:
            return
        left_ns = found[1] + self._window_ns - now_ns
        if left_ns > 0:
            raise Refusal(
                "rate_limited",
                "too many failed attempts with this key from this address",
                retry_after_ms=left_ns // 1_000_000 + 1,
            )
        del self._pairs[pair]

    def failed(self, api_key: bytes, peer: str, now_ns: int) -> None:
        """Count one failed attempt; the least recent pair is forgotten when there are too many."""
        pair = (api_key[:_KEY_BYTES], peer)
        count, since_ns = self._pairs.pop(pair, (0, now_ns))
        if now_ns - since_ns >= self._window_ns:
            count, since_ns = 0, now_ns
        self._pairs[pair] = (count + 1, since_ns)
        if len(self._pairs) > self._pairs_max:
            self._pairs.popitem(last=False)
