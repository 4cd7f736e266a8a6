"""Who a request really comes from, where load balancers we trust stand before us: X-Forwarded-For.

Each hop adds, on the right, whom it got the request from. So the value is read from the right for
as long as a hop we trust wrote it; what anybody else wrote is never believed, nor is anything to
the left of what cannot be read. RFC 7239 section 7.4 warns of the same.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias, final

Address: TypeAlias = IPv4Address | IPv6Address
Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]

_VALUE_BYTES_MAX: Final = 2048  # the rightmost are read
_HOPS_MAX: Final = 32
KEPT_MAX: Final = 10_000
_KEPT_BYTES_MAX: Final = 128
# "1.2.3.4", "1.2.3.4:567", "[::1]", "[::1]:443" or "::1"; a zone ("%eth0") is another's own
_HOP: Final = re.compile(
    rb"[ \t]*(?:([0-9.]+)(?::[0-9]{1,5})?|\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?"
    rb"|([0-9A-Fa-f:.]+))[ \t]*"
)


def real_source(peer: Address, value: bytes, trusted: Networks) -> Address:
    """Return whom a request comes from that reached us from `peer` with this X-Forwarded-For
    (several lines joined by commas, b"" without one).

    That is the first hop from the right that is not in `trusted`, `peer` being the rightmost; the
    leftmost if all are; and the last one that could be read if one cannot.
    """
    source = peer
    cut = len(value) > _VALUE_BYTES_MAX
    rest = value[-_VALUE_BYTES_MAX:]
    for _ in range(_HOPS_MAX):
        if not rest or not _is_in(source, trusted):
            return source
        rest, comma, hop = rest.rpartition(b",")
        if cut and not comma:
            return source  # half a hop
        address = _address(hop)
        if address is None:
            return source
        source = address
    return source


@final
class RealSources:
    """`real_source` for one set of trusted networks; what was read is kept, and bounded."""

    __slots__ = ("_kept", "_kept_max", "_trusted")

    def __init__(self, trusted: Networks, kept_max: int = KEPT_MAX) -> None:
        self._trusted = trusted
        self._kept_max = kept_max
        self._kept: dict[tuple[str, bytes], tuple[Address, str]] = {}

    def of(self, source: Address, peer: str, value: bytes) -> tuple[Address, str]:
        """Return whom a request comes from, and the same as text; `peer` is `source` as text."""
        kept = self._kept.get((peer, value))
        if kept is not None:
            return kept
        real = real_source(source, value, self._trusted)
        found = (real, str(real))
        if len(value) <= _KEPT_BYTES_MAX:
            if len(self._kept) >= self._kept_max:
                self._kept.clear()
            self._kept[peer, value] = found
        return found


def _is_in(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _address(hop: bytes) -> Address | None:
    match = _HOP.fullmatch(hop)
    if match is None:
        return None
    text = match[match.lastindex or 0]
    try:
        address = ip_address(text.decode())
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address
