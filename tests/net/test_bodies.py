from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.net.bodies import ChunkedBody, SizedBody
from proxy.net.framing import Malformed

NEXT = b"GET / HTTP/1.1\r\n"


def chunked(pieces: list[bytes], end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.lists(st.integers(min_value=1, max_value=50), min_size=1, max_size=20),
)
def test_a_chunked_body_is_the_same_however_it_is_cut(pieces: list[bytes], cuts: list[int]) -> None:
    wire = chunked(pieces)
    body = ChunkedBody(1000, keep=True)
    at = 0
    after, piece = -1, b""
    for cut in [*cuts, len(wire)]:
        piece = wire[at : at + cut]
        after = body.feed(piece, 0)
        at += len(piece)
        if after >= 0:
            break
    assert after == len(piece)
    assert at == len(wire)
    assert bytes(body.body) == b"".join(pieces)


def test_the_end_of_a_chunked_body_is_known_to_the_byte() -> None:
    data = b"head" + chunked([b"abc"]) + NEXT
    body = ChunkedBody(10, keep=True)
    assert data[body.feed(data, 4) :] == NEXT


def test_extensions_and_trailers_are_dropped() -> None:
    body = ChunkedBody(10, keep=True)
    data = b'2;a="b c"\r\nxy\r\n0\r\nX-Trailer: z\r\nY:\r\n\r\n' + NEXT
    assert data[body.feed(data, 0) :] == NEXT
    assert body.body == b"xy"


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"g\r\n",
        b"0x1\r\na\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b" 1\r\na\r\n",
        b"1 \r\na\r\n",
        b"1_0\r\n",
        b"1\na\r\n",
        b"1\r\na\n",
        b"1\r\nab\r\n",
        b"1\r\na0\r\n\r\n",
        b"1;\x00\r\na\r\n",
        b"1;a\rb\r\na\r\n",
        b"0000000001\r\na\r\n",
        b"1;" + b"e" * 300,
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nName : x\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\n" + b"A: " + b"b" * 300,
        b"0\r\n" + b"A: bbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n" * 300,
    ],
)
def test_malformed_chunks_are_400(data: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        ChunkedBody(1000, keep=True).feed(data, 0)
    assert caught.value.status == 400


def test_a_chunk_over_the_maximum_is_413_before_it_came() -> None:
    with pytest.raises(Malformed) as caught:
        ChunkedBody(10, keep=True).feed(b"6\r\nabcdef\r\n5\r\n", 0)
    assert caught.value.status == 413


def test_a_body_that_is_read_over_is_not_kept() -> None:
    for body in (ChunkedBody(10, keep=False), SizedBody(3, keep=False)):
        data = chunked([b"abc"]) if isinstance(body, ChunkedBody) else b"abc"
        assert body.feed(data, 0) == len(data)
        assert body.body == b""


def test_a_sized_body_takes_its_bytes_and_no_more() -> None:
    body = SizedBody(5, keep=True)
    assert body.feed(b"..ab", 2) == -1
    assert body.feed(b"cdeGET", 0) == 3
    assert body.body == b"abcde"


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_or_refused(data: bytes) -> None:
    body = ChunkedBody(100, keep=True)
    with contextlib.suppress(Malformed):
        assert body.feed(data, 0) <= len(data)
    assert len(body.body) <= 100
