"""HAProxy's PROXY protocol, versions 1 and 2: who speaks, said before TLS or HTTP begin.

Sans-io. https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt, sections 2.1 and 2.2. What
follows the addresses in version 2 (TLVs, the checksum among them) is skipped unread.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, final

from proxy.errors import TagproxyError

LINE_BYTES_MAX: Final = 107  # version 1, CRLF included
BLOCK_BYTES_MAX: Final = 4096  # version 2, behind the first 16 bytes

_LINE_START: Final = b"PROXY "
_PORT: Final = rb"(?:0|[1-9][0-9]{0,4})"
_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: .*)?|TCP(?:(4)|6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (%b) (%b))\r\n"
    % (_PORT, _PORT)
)
_PORT_MAX: Final = 65535

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_START_BYTES: Final = 16  # signature, version and command, family and protocol, length
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_FAMILY_MAX: Final = 3
_PROTOCOL_MAX: Final = 2
_TCP4: Final = 0x11
_TCP4_BYTES: Final = 12
_TCP6: Final = 0x21
_TCP6_BYTES: Final = 36


@final
class BadPreface(TagproxyError):
    """What a connection begins with is no PROXY protocol header."""


@final
class Preface:
    """A whole header: its size, and the address it names. None: the socket's own counts."""

    __slots__ = ("size", "source")

    def __init__(self, size: int, source: IPv4Address | IPv6Address | None) -> None:
        self.size = size
        self.source = source


def read(data: bytes) -> Preface | None:
    """Read the header that `data` begins with; None if more is needed. Raises BadPreface."""
    if data[:1] == _LINE_START[:1]:
        return _read_line(data)
    return _read_block(data)


def unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for; any other as it is. RFC 4291 section 2.5.5.2"""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def _read_line(data: bytes) -> Preface | None:
    if data[: len(_LINE_START)] != _LINE_START[: len(data)]:
        raise BadPreface("neither version of the PROXY protocol")
    size = data.find(b"\n", 0, LINE_BYTES_MAX) + 1
    if not size:
        if len(data) >= LINE_BYTES_MAX:
            raise BadPreface("a PROXY line without its end")
        return None
    match = _LINE.fullmatch(data[:size])
    if match is None:
        raise BadPreface("malformed PROXY line")
    version_4, source, target, *ports = match.groups()
    if source is None:  # UNKNOWN
        return Preface(size, None)
    if max(map(int, ports)) > _PORT_MAX:
        raise BadPreface("malformed port in a PROXY line")
    kind: type[IPv4Address | IPv6Address] = IPv4Address if version_4 else IPv6Address
    try:
        kind(target.decode())
        return Preface(size, unmapped(kind(source.decode())))
    except AddressValueError as error:
        raise BadPreface("malformed address in a PROXY line") from error


def _read_block(data: bytes) -> Preface | None:
    if data[: len(_SIGNATURE)] != _SIGNATURE[: len(data)]:
        raise BadPreface("neither version of the PROXY protocol")
    if len(data) < _START_BYTES:
        return None
    command, kind = data[12], data[13]
    block_bytes = int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise BadPreface("unknown version or command of the PROXY protocol")
    if block_bytes > BLOCK_BYTES_MAX:
        raise BadPreface("the PROXY protocol header is too large")
    relayed = command == _PROXY
    if relayed:
        _check_kind(kind, block_bytes)
    size = _START_BYTES + block_bytes
    if len(data) < size:
        return None
    if relayed and kind == _TCP4:
        return Preface(size, IPv4Address(data[16:20]))
    if relayed and kind == _TCP6:
        return Preface(size, unmapped(IPv6Address(data[16:32])))
    return Preface(size, None)  # LOCAL, or a family that has no IP address for us


def _check_kind(kind: int, block_bytes: int) -> None:
    if kind >> 4 > _FAMILY_MAX or kind & 15 > _PROTOCOL_MAX:
        raise BadPreface("unknown family or transport in a PROXY protocol header")
    needed = {_TCP4: _TCP4_BYTES, _TCP6: _TCP6_BYTES}.get(kind, 0)
    if block_bytes < needed:
        raise BadPreface("a PROXY protocol header without its addresses")
