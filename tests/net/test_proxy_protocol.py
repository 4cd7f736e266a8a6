"""PROXY protocol headers, written by hand from the specification's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.net.proxy_protocol import BadPreface, read

# 2.2: the twelve bytes, the version and command, family and transport, the length
SIGNATURE = bytes.fromhex("0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A")
V4_BLOCK = bytes([192, 168, 0, 1, 192, 168, 0, 11, 0xDC, 0x04, 0x01, 0xBB])
V6_SOURCE = bytes.fromhex("20010db8000000000000000000000001")
V6_BLOCK = V6_SOURCE + bytes(15) + b"\x02" + b"\xdc\x04\x01\xbb"
MAPPED = bytes(10) + b"\xff\xff" + bytes([198, 51, 100, 7])
LONGEST = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
NOOP_TLV = b"\x04\x00\x05hello"


def v2(command: int, kind: int, block: bytes = b"") -> bytes:
    return SIGNATURE + bytes([command, kind]) + len(block).to_bytes(2, "big") + block


NAMED = {
    # 2.1: "An example of such a line before an HTTP request"
    "line 4": (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1"),
    "line 4 longest": (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        "255.255.255.255",
    ),
    "line 4 port 0": (b"PROXY TCP4 192.0.2.1 192.0.2.2 0 0\r\n", "192.0.2.1"),
    "line 6": (b"PROXY TCP6 2001:DB8::1 ::1 56324 443\r\n", "2001:db8::1"),
    "line 6 longest": (
        b"PROXY TCP6 %b %b 65535 65535\r\n" % (LONGEST.encode(), LONGEST.encode()),
        LONGEST,
    ),
    "line 6 mapped": (b"PROXY TCP6 ::ffff:c633:6407 ::1 1 2\r\n", "198.51.100.7"),
    "line 6 mapped dotted": (b"PROXY TCP6 ::ffff:198.51.100.7 ::1 1 2\r\n", "198.51.100.7"),
    "block 4": (v2(0x21, 0x11, V4_BLOCK), "192.168.0.1"),
    "block 4 with more": (v2(0x21, 0x11, V4_BLOCK + NOOP_TLV), "192.168.0.1"),
    "block 4 largest": (v2(0x21, 0x11, V4_BLOCK + bytes(4084)), "192.168.0.1"),
    "block 6": (v2(0x21, 0x21, V6_BLOCK), "2001:db8::1"),
    "block 6 with more": (v2(0x21, 0x21, V6_BLOCK + NOOP_TLV), "2001:db8::1"),
    "block 6 mapped": (v2(0x21, 0x21, MAPPED + V6_BLOCK[16:]), "198.51.100.7"),
}
NOT_NAMED = {
    "line unknown": b"PROXY UNKNOWN\r\n",
    "line unknown with more": b"PROXY UNKNOWN ffff::1 any\r thing\x00\r\n",
    "line unknown longest": b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n",
    "local": v2(0x20, 0x00),
    "local with a block": v2(0x20, 0x11, V4_BLOCK),
    "local of any family": v2(0x20, 0xFF, b"abc"),
    "unspecified": v2(0x21, 0x00),
    "unspecified with a block": v2(0x21, 0x00, NOOP_TLV),
    "udp 4": v2(0x21, 0x12, V4_BLOCK),
    "udp 6": v2(0x21, 0x22, V6_BLOCK),
    "unix stream": v2(0x21, 0x31, bytes(216)),
    "unix datagram": v2(0x21, 0x32, bytes(216)),
    "no transport": v2(0x21, 0x10, V4_BLOCK),
}
BAD = {
    "http": b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "tls": bytes.fromhex("16030100a5010000a10303"),
    "lower case": b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "two spaces": b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "tab": b"PROXY TCP4\t192.0.2.1 192.0.2.2 1 2\r\n",
    "space at the end": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
    "no addresses": b"PROXY TCP4\r\n",
    "no ports": b"PROXY TCP4 192.0.2.1 192.0.2.2\r\n",
    "one port": b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    "another transport": b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "unknown with a tail": b"PROXY UNKNOWNS\r\n",
    "6 as 4": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "4 as 6": b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    "bad target": b"PROXY TCP4 192.0.2.1 192.0.2 1 2\r\n",
    "heading zero": b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
    "number too large": b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
    "zone": b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    "port too large": b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
    "port with a zero": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 02\r\n",
    "port with a sign": b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
    "line feed alone": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\nGET",
    "return alone": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rGET / HTTP/1.1\r\n",
    "line feed within": b"PROXY UNKNOWN a\nb\r\n",
    "line too long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "line without an end": b"PROXY UNKNOWN " + b"f" * 93,
    "signature cut": SIGNATURE[:5] + b"\x01",
    "version 1 in binary": v2(0x11, 0x11, V4_BLOCK),
    "version 3": v2(0x31, 0x11, V4_BLOCK),
    "unknown command": v2(0x22, 0x11, V4_BLOCK),
    "unknown family": v2(0x21, 0x41, V4_BLOCK),
    "unknown transport": v2(0x21, 0x13, V4_BLOCK),
    "short 4": v2(0x21, 0x11, V4_BLOCK[:-1]),
    "short 6": v2(0x21, 0x21, V6_BLOCK[:-1]),
    "too large": SIGNATURE + b"\x21\x11\x10\x01",
    "too large local": SIGNATURE + b"\x20\x00\xff\xff",
}
GOOD = [wire for wire, _ in NAMED.values()] + list(NOT_NAMED.values())


@pytest.mark.parametrize(("wire", "source"), NAMED.values(), ids=NAMED)
def test_a_header_names_the_source(wire: bytes, source: str) -> None:
    preface = read(wire + b"GET / HTTP/1.1\r\n")
    assert preface is not None
    assert (str(preface.source), preface.size) == (source, len(wire))


@pytest.mark.parametrize("wire", NOT_NAMED.values(), ids=NOT_NAMED)
def test_a_header_without_an_address_leaves_the_sockets_own(wire: bytes) -> None:
    preface = read(wire + b"\x16\x03\x01")
    assert preface is not None
    assert (preface.source, preface.size) == (None, len(wire))


@pytest.mark.parametrize("wire", BAD.values(), ids=BAD)
def test_what_is_no_header_is_refused(wire: bytes) -> None:
    with pytest.raises(BadPreface):
        read(wire)


@pytest.mark.parametrize("wire", GOOD)
def test_every_part_of_a_header_asks_for_more(wire: bytes) -> None:
    for size in range(len(wire)):
        assert read(wire[:size]) is None


@pytest.mark.parametrize("garbage", [b"G", b"PX", b"PROXY\t", b"\n", b"\r\r", b"\x16"])
def test_garbage_is_refused_with_its_first_wrong_byte(garbage: bytes) -> None:
    assert read(garbage[:-1]) is None
    with pytest.raises(BadPreface):
        read(garbage)


PIECES = st.sampled_from(
    [*GOOD, *BAD.values(), SIGNATURE, b"PROXY ", b"TCP4 ", b"::1 ", b"1 ", b"\r\n"]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=40)), max_size=5).map(b"".join))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        preface = read(data)
    except BadPreface:
        return
    assert preface is None or 0 < preface.size <= len(data)


@given(
    st.one_of(PIECES, st.binary(max_size=40)).flatmap(
        lambda data: st.tuples(st.just(data), st.integers(0, len(data)))
    )
)
def test_a_split_changes_nothing(given_: tuple[bytes, int]) -> None:
    """What is refused in part is refused whole, and what is read in part is read the same."""
    data, at = given_

    def outcome(part: bytes) -> object:
        try:
            preface = read(part)
        except BadPreface:
            return "bad"
        return preface and (preface.size, preface.source)

    early = outcome(data[:at])
    assert early is None or early == outcome(data)
