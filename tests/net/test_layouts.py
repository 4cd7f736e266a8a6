"""Heads read at known offsets must be what the careful way would make of them."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from httptools import HttpResponseParser
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.model import Request
from proxy.net.framing import NONE, HeadReader, Malformed
from proxy.net.layouts import AnswerLayouts, RequestLayouts

SOURCE = IPv4Address(1)
NAMES = [b"X-Sign", b"x-Time", b"Content-Length", b"Content-Type", b"User-Agent", b"Connection"]
PLAIN = st.integers(0x20, 0x7E)
VISIBLE = PLAIN.filter(lambda byte: byte not in b" #")
FIELDS = st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=5)


def careful(head: bytes) -> HeadReader | None:
    """What a reader says that has seen nothing before, and asks the parser."""
    reader = HeadReader()
    try:
        reader.read(head, 100)
    except Malformed:
        return None
    return reader


def taught(layouts: RequestLayouts, *heads: bytes) -> RequestLayouts:
    for head in heads:
        reader = careful(head)
        assert reader is not None, head
        layouts.learn(head, reader.method, reader.target, reader.headers)
    return layouts


def read(layouts: RequestLayouts, data: bytes) -> Request | None:
    layout = layouts.last
    return None if layout is None else layout.read(data, SOURCE, 7, "peer")


def post(sign: bytes, length: bytes = b"10", host: bytes = b"h") -> bytes:
    return (
        b"POST /a HTTP/1.1\r\nHost: %b\r\nX-Sign: %b\r\nContent-Length: %b\r\nX-End: 1\r\n\r\n"
    ) % (host, sign, length)


def test_a_head_that_differs_in_known_places_is_read() -> None:
    layouts = taught(RequestLayouts(), post(b"abcd"), post(b"efgh"))
    request = read(layouts, post(b"i jk") + b"body")
    assert request is not None
    assert (request.method, request.target, request.path) == (b"POST", b"/a", b"/a")
    assert request.headers == {
        b"host": b"h",
        b"x-sign": b"i jk",
        b"content-length": b"10",
        b"x-end": b"1",
    }
    assert (request.source, request.started_ns, request.peer) == (SOURCE, 7, "peer")


def test_the_length_of_the_body_may_vary() -> None:
    layouts = taught(RequestLayouts(), post(b"abcd"), post(b"efgh", b"11"))
    assert read(layouts, post(b"abcd", b"97")) is not None
    assert layouts.last is not None
    assert layouts.last.body_bytes == 97


def test_requests_do_not_share_their_fields() -> None:
    layouts = taught(RequestLayouts(), post(b"abcd"), post(b"efgh"))
    first, second = read(layouts, post(b"1111")), read(layouts, post(b"2222"))
    assert first is not None
    assert second is not None
    first.headers.clear()
    assert second.headers[b"x-sign"] == b"2222"


def queried(query: bytes, sign: bytes = b"abcd", path: bytes = b"/a") -> bytes:
    return post(sign).replace(b"/a HTTP", b"%b?%b HTTP" % (path, query))


def test_the_query_may_vary_beside_the_fields() -> None:
    layouts = taught(RequestLayouts(), queried(b"a=1&b=2"), queried(b"a=3&b=4", b"efgh"))
    request = read(layouts, queried(b"x=%20?/", b"ijkl"))
    assert request is not None
    assert request.target == b"/a?x=%20?/"
    assert (request.path, request.suffix) == (b"/a", b"?x=%20?/")
    assert request.headers[b"x-sign"] == b"ijkl"


def test_the_query_may_be_all_that_varies() -> None:
    layouts = taught(RequestLayouts(), queried(b"a=1"), queried(b"a=2"))
    request = read(layouts, queried(b"b=3"))
    assert request is not None
    assert request.target == b"/a?b=3"
    assert request.headers[b"x-sign"] == b"abcd"


@pytest.mark.parametrize(
    "head",
    [
        queried(b"a 1"),
        queried(b" =1"),
        queried(b"a= "),
        queried(b"a#1"),
        queried(b"a\t1"),
        queried(b"a\r1"),
        queried(b"a\n1"),
        queried(b"a\x7f1"),
        queried(b"a\xff1"),
        queried(b"a=1", path=b"/b"),
        queried(b"1", path=b"/a?a"),
        queried(b"a=1").replace(b"?", b"/"),
        queried(b"a=1").replace(b"POST", b"PUT "),
        queried(b"a=1").replace(b"1.1", b"1.0"),
        queried(b"a=12"),
    ],
)
def test_an_unusual_query_or_another_path_is_left_to_the_careful_way(head: bytes) -> None:
    layouts = taught(RequestLayouts(), queried(b"a=1"), queried(b"a=2"))
    assert read(layouts, queried(b"b=3")) is not None
    request = read(layouts, head)
    slow = careful(head)
    assert request is None or (slow is not None and request.target == slow.target)


@pytest.mark.parametrize(
    "head",
    [
        post(b"a\r\nb"),
        post(b"a\nbc"),
        post(b"a\rbc"),
        post(b"a\0bc"),
        post(b"a\x7fbc"),
        post(b"a\xffbc"),
        post(b"\tabc"),
        post(b" abc"),
        post(b"abc "),
        post(b"abcde"),
        post(b"abc"),
        post(b"abcd", b"+1"),
        post(b"abcd", b"1 "),
        post(b"abcd", b"0x"),
        post(b"abcd", b"1_"),
        post(b"abcd", b"-1"),
        post(b"abcd", host=b"i"),
        post(b"abcd").replace(b"POST", b"PUT "),
        post(b"abcd").replace(b"/a", b"/b"),
        post(b"abcd").replace(b"1.1", b"1.0"),
        post(b"abcd").replace(b"X-Sign:", b"X-Sign :"),
        post(b"abcd").replace(b"X-End: 1", b"X-End:\r1"),
        post(b"abcd")[:-1],
        post(b"abcd")[:-2] + b"x\n",
        b"",
    ],
)
def test_whatever_is_unusual_is_left_to_the_careful_way(head: bytes) -> None:
    layouts = taught(RequestLayouts(), post(b"abcd"), post(b"efgh", b"11"))
    assert read(layouts, post(b"ijkl")) is not None
    assert read(layouts, head) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (post(b"abcd", host=b"h"), post(b"abcd", host=b"i")),
        (post(b"abcd"), post(b"abcd").replace(b"/a", b"/b")),
        (post(b"abcd"), post(b"abcd").replace(b"X-End", b"Y-End")),
        (post(b"abcd"), post(b"abcd").replace(b"X-End: 1", b"X-End:\t1")),
        (post(b"abcde", b"1"), post(b"abcd", b"12")),
    ],
)
def test_what_frames_a_message_and_what_is_a_name_never_varies(first: bytes, second: bytes) -> None:
    assert len(first) == len(second)
    layouts = taught(RequestLayouts(), first, second)
    assert read(layouts, second) is not None
    assert read(layouts, first) is None


def test_repeated_fields_and_long_heads_are_not_learnt() -> None:
    twice = b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\nA: c\r\n\r\n"
    assert taught(RequestLayouts(), twice).last is None
    assert taught(RequestLayouts(), post(b"x" * 3000)).last is None


def test_few_layouts_are_remembered_and_few_misses_learnt_from() -> None:
    layouts = RequestLayouts()
    for size in range(1, 9):
        taught(layouts, post(b"x" * size))
    assert [size for size in range(1, 9) if layouts.of_size(len(post(b"x" * size)))] == [5, 6, 7, 8]
    for size in range(10, 17):
        taught(layouts, post(b"x" * size))
        assert layouts.of_size(len(post(b"x" * size))) is None
    taught(layouts, post(b"x" * 17))
    assert read(layouts, post(b"x" * 17)) is not None


@st.composite
def lessons(draw: st.DrawFn) -> list[list[bytes]]:
    """Field values of three heads with the same names and, mostly, lengths; the names first."""
    names = draw(FIELDS)
    sizes = [draw(st.integers(1, 6)) for _ in names]
    heads = [names]
    for strange in (False, False, True):
        values = []
        for name, size in zip(names, sizes, strict=True):
            if name == b"Connection":
                value = b"keep-alive"
            elif name == b"Content-Length":
                value = b"%d" % draw(st.integers(1, 9))
            else:
                value = bytes(draw(st.lists(PLAIN, min_size=size, max_size=size)))
            if strange and draw(st.booleans()):
                value = draw(st.binary(min_size=len(value), max_size=len(value)))
            values.append(value)
        heads.append(values)
    return heads


@st.composite
def targets(draw: st.DrawFn) -> list[bytes]:
    """The targets of three requests: one path, and mostly a query each, as long as the others."""
    if draw(st.booleans()):
        return [b"/a"] * 3
    size = draw(st.integers(0, 6))
    visible = st.lists(VISIBLE, min_size=size, max_size=size)
    queries = [bytes(draw(visible)) for _ in range(2)]
    queries.append(draw(st.binary(min_size=size, max_size=size)))
    return [b"/a?" + query for query in queries]


def request_of(names: list[bytes], values: list[bytes], target: bytes) -> bytes:
    lines = b"".join(b"%b: %b\r\n" % pair for pair in zip(names, values, strict=True))
    return b"POST %b HTTP/1.1\r\nHost: h\r\n%b\r\n" % (target, lines)


def damaged(data: bytes, at: int, junk: bytes) -> bytes:
    at = at % (len(data) + 1)
    return data[:at] + junk + data[at + len(junk) :]


@given(lessons(), targets(), st.integers(0, 300), st.binary(max_size=3))
def test_what_is_read_quickly_is_what_the_careful_way_reads(
    heads: list[list[bytes]], asked: list[bytes], at: int, junk: bytes
) -> None:
    names, *values = heads
    first, second, third = (
        request_of(names, each, target) for each, target in zip(values, asked, strict=True)
    )
    layouts = RequestLayouts()
    known = HeadReader()
    for head in (first, second):
        reader = careful(head)
        assume(reader is not None and reader.plain)
        taught(layouts, head)
        known.read(head, 100)
    for head in (third, damaged(third, at, junk), damaged(first, at, junk)):
        slow = careful(head)
        quick = read(layouts, head)
        if quick is not None:
            assert layouts.last is not None
            end = head.find(b"\r\n\r\n") + 4
            assert layouts.last.size == end
            slow = careful(head[:end])
            assert slow is not None
            assert slow.plain
            assert slow.connection is NONE
            assert (quick.method, quick.target) == (slow.method, slow.target)
            assert list(quick.headers.items()) == list(slow.headers.items())
            assert layouts.last.body_bytes == slow.body_bytes
        if head.find(b"\r\n\r\n") != len(head) - 4:
            continue
        try:
            known.read(head, 100)
        except Malformed:
            assert careful(head) is None
        else:
            slow = careful(head)
            assert slow is not None
            assert (known.method, known.target) == (slow.method, slow.target)
            assert known.headers == slow.headers
            assert (known.body_bytes, known.connection) == (slow.body_bytes, slow.connection)
            assert (known.plain, known.upgrade) == (slow.plain, slow.upgrade)


# ---- answers ----------------------------------------------------------------------------------


class Parsed:
    """An answer as the parser has it."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.complete = 0
        self.keep_alive = False
        self.parser = HttpResponseParser(self)
        self.parser.feed_data(data)
        self.status = self.parser.get_status_code()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1
        self.keep_alive = self.parser.should_keep_alive()


def answer(date: bytes, body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    fields = b"".join(line + b"\r\n" for line in (b"Date: " + date, *lines))
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


def learnt(*answers: bytes) -> AnswerLayouts:
    layouts = AnswerLayouts()
    for data in answers:
        parsed = Parsed(data)
        layouts.learn(data, parsed.status, parsed.headers)
    return layouts


def test_an_answer_that_differs_in_known_places_is_read() -> None:
    layouts = learnt(answer(b"Mon, 1", b"ab"), answer(b"Tue, 2", b"abc"))
    for _ in range(2):
        assert layouts.read(answer(b"Wed, 3", b"body")) == [
            (b"date", b"Wed, 3"),
            (b"content-length", b"4"),
        ]
    layout = layouts.last
    assert layout is not None
    assert (layout.status, layout.body_bytes, layout.size) == (200, 4, 52)


@pytest.mark.parametrize(
    "data",
    [
        answer(b"Wed, 3", b"abc") + b"x",
        answer(b"Wed, 3", b"abc")[:-1],
        answer(b"Wed, 3", b"abc")[:-3],
        answer(b"Wed, 3", b"abc")[:20],
        answer(b"Wed,\r3", b"abc"),
        answer(b" Wed,3", b"abc"),
        answer(b"Wed, 3", b"abc", status=b"404 No"),
        answer(b"Wed, 3", b"abc").replace(b"3\r\n\r\n", b"a\r\n\r\n"),
        answer(b"Wed, 3", b"abc").replace(b"HTTP/1.1", b"HTTP/1.0"),
        answer(b"Wed, 3", b"abc" * 10),
    ],
)
def test_an_unusual_answer_is_left_to_the_parser(data: bytes) -> None:
    layouts = learnt(answer(b"Mon, 1", b"ab"), answer(b"Tue, 2", b"abc"))
    assert layouts.read(answer(b"Wed, 3", b"abc")) is not None
    assert layouts.read(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 304 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No\r\n\r\n",
        b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_answers_without_a_length_of_their_own_are_not_learnt(data: bytes) -> None:
    assert learnt(data, data).last is None


def test_an_answer_of_another_size_is_found_again() -> None:
    layouts = learnt(answer(b"Mon, 1", b"ab"), answer(b"Mon, 1", b"ab" * 50))
    for body in (b"xy", b"xy" * 50, b"zz"):
        assert layouts.read(answer(b"Mon, 1", body)) is not None


@given(lessons(), st.integers(0, 300), st.binary(max_size=3), st.binary(max_size=12))
def test_an_answer_read_quickly_is_what_the_parser_reads(
    heads: list[list[bytes]], at: int, junk: bytes, rest: bytes
) -> None:
    names, *values = heads
    names = [b"Content-Length" if name == b"Content-Length" else name for name in names]
    assume(b"Content-Length" in names)
    wires = []
    for each in values:
        lines = b"".join(b"%b: %b\r\n" % pair for pair in zip(names, each, strict=True))
        length = each[names.index(b"Content-Length")]
        body = b"b" * int(length) if length.isdigit() else rest
        wires.append(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n" + body)
    first, second, third = wires
    for data in (first, second):
        assert Parsed(data).keep_alive
    layouts = learnt(first, second)
    for data in (third, damaged(third, at, junk), damaged(first, at, junk), third + rest):
        headers = layouts.read(data)
        if headers is None:
            continue
        layout = layouts.last
        assert layout is not None
        parsed = Parsed(data)
        assert (parsed.complete, parsed.keep_alive) == (1, True)
        assert (layout.status, headers) == (parsed.status, parsed.headers)
        assert data[layout.size :] == parsed.body
