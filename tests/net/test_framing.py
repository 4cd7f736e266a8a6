from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.net.framing import CHUNKED, CLOSE, KEEP_ALIVE, NONE, HeadReader, Malformed

POST = b"POST /a HTTP/1.1\r\nHost: h\r\n"


def read(head: bytes) -> HeadReader:
    reader = HeadReader()
    reader.read(head, 100)
    return reader


def test_a_plain_head_is_read_with_lower_case_names() -> None:
    reader = read(b"GET /a?b=%2F HTTP/1.1\r\nHost: h:80\r\nX-One:  two \t\r\nx-EMPTY:\r\n\r\n")
    assert (reader.method, reader.target) == (b"GET", b"/a?b=%2F")
    assert reader.headers == {b"host": b"h:80", b"x-one": b"two", b"x-empty": b""}
    assert (reader.body_bytes, reader.connection, reader.upgrade) == (0, NONE, b"")


def test_repeated_fields_are_joined() -> None:
    reader = read(b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\nx: b\r\nX: c\r\n\r\n")
    assert reader.headers[b"x"] == b"a, b, c"


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        (b"Content-Length: 12\r\n", 12),
        (b"Content-Length: 007\r\n", 7),
        (b"Transfer-Encoding: chunked\r\n", CHUNKED),
        (b"Transfer-Encoding: Chunked \r\n", CHUNKED),
        (b"Content-Encoding: identity\r\n", 0),
    ],
)
def test_the_length_of_the_body_is_told(lines: bytes, size: int) -> None:
    assert read(POST + lines + b"\r\n").body_bytes == size


@pytest.mark.parametrize(
    ("version", "lines", "connection"),
    [
        (b"1.1", b"", NONE),
        (b"1.1", b"Connection: keep-alive\r\n", NONE),
        (b"1.1", b"Connection: close\r\n", CLOSE),
        (b"1.1", b"Connection: keep-alive, Close\r\n", CLOSE),
        (b"1.1", b"Connection: x\r\nConnection: close\r\n", CLOSE),
        (b"1.0", b"", CLOSE),
        (b"1.0", b"Connection: Keep-Alive\r\n", KEEP_ALIVE),
        (b"1.0", b"Connection: keep-alive, close\r\n", CLOSE),
    ],
)
def test_persistence_follows_version_and_connection(
    version: bytes, lines: bytes, connection: bytes
) -> None:
    head = b"GET / HTTP/" + version + b"\r\nHost: h\r\n" + lines + b"\r\n"
    assert read(head).connection is connection


SMUGGLING = {
    "two transfer encodings": POST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "encoding hidden by case": POST + b"Transfer-Encoding: chunked\r\ntransfer-encoding: x\r\n",
    "identity, chunked": POST + b"Transfer-Encoding: identity, chunked\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n",
    "empty transfer encoding": POST + b"Transfer-Encoding:\r\n",
    "vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n",
    "encoding on 1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n",
    "length, encoding": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    "encoding, length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n",
    "length with sign": POST + b"Content-Length: +3\r\n",
    "negative length": POST + b"Content-Length: -3\r\n",
    "length with space": POST + b"Content-Length: 1 3\r\n",
    "length with underscore": POST + b"Content-Length: 1_3\r\n",
    "length as list": POST + b"Content-Length: 3, 3\r\n",
    "hexadecimal length": POST + b"Content-Length: 0x3\r\n",
    "empty length": POST + b"Content-Length:\r\n",
    "huge length": POST + b"Content-Length: 99999999999999999\r\n",
    "length beyond 64 bits": POST + b"Content-Length: 99999999999999999999999\r\n",
    "no host": b"GET / HTTP/1.1\r\nA: b\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n",
    "host with a path": b"GET / HTTP/1.1\r\nHost: h/x\r\n",
    "host with a user": b"GET / HTTP/1.1\r\nHost: u@h\r\n",
    "two hosts in one": b"GET / HTTP/1.1\r\nHost: a, b\r\n",
    "absolute form": b"GET http://h/ HTTP/1.1\r\nHost: h\r\n",
    "authority form": b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n",
    "asterisk form": b"OPTIONS * HTTP/1.1\r\nHost: h\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\nHost: h\r\n",
    "non-ASCII target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n",
    "control byte in target": b"GET /a\x01 HTTP/1.1\r\nHost: h\r\n",
    "DEL in target": b"GET /a\x7f HTTP/1.1\r\nHost: h\r\n",
    "tab in target": b"GET /a\tb HTTP/1.1\r\nHost: h\r\n",
    "space in target": b"GET /a b HTTP/1.1\r\nHost: h\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: h\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: h\r\n",
    "two spaces before the version": b"GET /  HTTP/1.1\r\nHost: h\r\n",
    "folded line": b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n",
    "folded line with tab": b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\tc\r\n",
    "folded first line": b"GET / HTTP/1.1\r\n Host: h\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : h\r\n",
    "tab before colon": b"GET / HTTP/1.1\r\nHost\t: h\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost\r\n",
    "empty name": b"GET / HTTP/1.1\r\n: h\r\n",
    "bad name": b"GET / HTTP/1.1\r\nHost: h\r\nA(b): c\r\n",
    "bare LF": b"GET / HTTP/1.1\r\nHost: h\nA: b\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: h\rA: b\r\n",
    "CR before the end": b"GET / HTTP/1.1\r\nHost: h\r\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: h\r\nA: b\x00c\r\n",
    "control byte in a value": b"GET / HTTP/1.1\r\nHost: h\r\nA: b\x01c\r\n",
    "method in lower case": b"get / HTTP/1.1\r\nHost: h\r\n",
    "method with a dash": b"M-SEARCH / HTTP/1.1\r\nHost: h\r\n",
    "unknown method": b"BREW / HTTP/1.1\r\nHost: h\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/0.9, told": b"GET / HTTP/0.9\r\nHost: h\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: h\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: h\r\n",
    "HTTP/1.10": b"GET / HTTP/1.10\r\nHost: h\r\n",
    "RTSP": b"OPTIONS / RTSP/1.0\r\nHost: h\r\n",
    "ICE": b"SOURCE / ICE/1.0\r\nHost: h\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n",
    "line feed before": b"\nGET / HTTP/1.1\r\nHost: h\r\n",
    "space before": b" GET / HTTP/1.1\r\nHost: h\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "two types": POST + b"Content-Type: a/b\r\nContent-Type: c/d\r\n",
    "two authorizations": POST + b"Authorization: a\r\nAuthorization: b\r\n",
    "two expectations": POST + b"Expect: 100-continue\r\nExpect: 100-continue\r\n",
    "encoded body": POST + b"Content-Encoding: gzip\r\n",
    "two content encodings": POST + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n",
}


@pytest.mark.parametrize("head", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_shapes_that_parsers_read_differently_are_400(head: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        read(head + b"\r\n")
    assert caught.value.status == 400


def test_too_many_fields_are_431() -> None:
    for line in (b"A%d: b\r\n", b"A: %d\r\n"):
        lines = b"".join(line % number for number in range(100))
        with pytest.raises(Malformed) as caught:
            read(b"GET / HTTP/1.1\r\nHost: h\r\n" + lines + b"\r\n")
        assert caught.value.status == 431


def test_an_unknown_expectation_is_417_and_1_0_expects_nothing() -> None:
    assert read(POST + b"Expect: 100-Continue\r\n\r\n").expects_continue
    assert not read(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue
    with pytest.raises(Malformed) as caught:
        read(POST + b"Expect: tea\r\n\r\n")
    assert caught.value.status == 417


def test_an_upgrade_is_told_only_where_it_is_asked_for() -> None:
    head = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\n"
    assert read(head + b"Connection: Upgrade\r\n\r\n").upgrade == b"websocket"
    assert read(head + b"\r\n").upgrade == b""


def test_nothing_of_one_head_stays_for_the_next() -> None:
    reader = HeadReader()
    reader.read(
        POST + b"Content-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n", 100
    )
    reader.read(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n", 100)
    assert (reader.body_bytes, reader.expects_continue, reader.connection) == (0, False, NONE)
    assert reader.headers == {b"host": b"h"}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for head in (data + b"\r\n\r\n", POST + data + b"\r\n\r\n"):
        try:
            reader = read(head)
        except Malformed:
            continue
        assert reader.target.startswith(b"/")
        assert b"\r" not in b"".join(reader.headers.values())


@pytest.mark.parametrize(
    "value",
    [
        b"abc",
        b"a b  c",
        b"",
        b" abc",
        b"abc ",
        b"\tabc",
        b"abc\t",
        b"a\tc",
        b"a\nc",
        b"a\rc",
        b"a\0c",
        b"a\x7fc",
        b"a\xffc",
        b"a: c",
        b"abc\r\nHost: i",
        b"abc\r\n d",
        b"abc\r\nContent-Length: 3",
    ],
)
def test_a_field_that_never_repeats_is_read_as_the_first_time(value: bytes) -> None:
    reader = HeadReader()
    for number in range(100):
        reader.read(b"GET / HTTP/1.1\r\nX-sign: %d\r\nHost: h\r\n\r\n" % number, 100)
    head = b"GET / HTTP/1.1\r\nX-sign: %b\r\nHost: h\r\n\r\n" % value
    try:
        expected = read(head)
    except Malformed:
        with pytest.raises(Malformed):
            reader.read(head, 100)
    else:
        reader.read(head, 100)
        assert (reader.headers, reader.body_bytes) == (expected.headers, expected.body_bytes)
