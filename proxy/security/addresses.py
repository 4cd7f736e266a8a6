"""Source addresses that sent a verified request within the hour: they may read without a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

HOUR_NS: Final = 3_600_000_000_000
ADDRESSES_MAX: Final = 100_000


@final
class KnownAddresses:
    """Remembers when each address last sent a request that verified."""

    __slots__ = ("_addresses_max", "_seen")

    def __init__(self, addresses_max: int = ADDRESSES_MAX) -> None:
        self._addresses_max = addresses_max
        self._seen: dict[str, int] = {}

    def verified(self, peer: str, now_ns: int) -> None:
        """Note a verified request from the address `peer`.

        The address noted first makes room when there are too many.
        """
        self._seen[peer] = now_ns
        if len(self._seen) > self._addresses_max:
            del self._seen[next(iter(self._seen))]

    def known(self, source: IPv4Address | IPv6Address, now_ns: int) -> bool:
        """Whether the address sent a verified request within the hour, or is loopback."""
        return source.is_loopback or self.verified_from(str(source), now_ns)

    def verified_from(self, peer: str, now_ns: int) -> bool:
        """Whether the address sent a verified request within the hour."""
        seen_ns = self._seen.get(peer)
        return seen_ns is not None and now_ns - seen_ns < HOUR_NS
