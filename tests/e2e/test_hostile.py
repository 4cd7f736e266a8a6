"""Bots that are slow, rude or out to smuggle: bounded, answered, and nothing gets through.

RFC 9112 sections 2, 3, 6, 7 and 9; https://portswigger.net/web-security/request-smuggling
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.bot import ORDER
from tests.e2e.house import House, compact, house_in, order, placed, pretty
from tests.e2e.processes import eventually
from tests.e2e.wire import chunked, head_of, request_of, wire_to

pytestmark = pytest.mark.e2e

ORDER_PATH: Final = "/api/v5/trade/order"
BALANCE_PATH: Final = "/api/v5/account/balance"
BODY: Final = compact(ORDER)
PATIENCE_S: Final = 1.0  # each of the listener's time limits


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    names = ("head_timeout", "body_timeout", "idle_timeout", "write_timeout")
    server = dict.fromkeys(names, f"{PATIENCE_S * 1000:.0f}ms") | {"max_body": "64KiB"}
    with house_in(tmp_path_factory.mktemp("hostile"), {"server": server}) as house:
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


# ---- connections in order -------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(house: House) -> None:
    bodies = [compact(order(clOrdId=f"pipe{number}")) for number in range(8)]
    data = b"".join(request_of(house.bot, "POST", ORDER_PATH, body) for body in bodies)
    house.simulator.fault("slow", delay_ms=200)
    with wire_to(house.bot) as wire:
        wire.send(data)
        answers = [wire.answer() for _ in bodies]
    names = [answer.content["data"][0]["clOrdId"] for answer in answers]
    assert names == [f"pipe{number}" for number in range(8)]
    assert [each["clOrdId"] for each in house.simulator.orders] == names


def test_a_request_in_single_bytes_is_a_request(house: House) -> None:
    with wire_to(house.bot) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request_of(house.bot, "POST", ORDER_PATH, BODY):
            wire.send(bytes([byte]))
        assert placed(wire.answer())


def test_a_connection_is_kept_through_refusals(house: House) -> None:
    with wire_to(house.bot) as wire:
        for _ in range(3):
            wire.send(request_of(house.bot, "POST", "/api/v5/asset/withdrawal", b"{}"))
            assert wire.answer().slug == "forbidden_endpoint"
            wire.send(request_of(house.bot, "POST", ORDER_PATH, BODY, {"OK-ACCESS-KEY": "x"}))
            assert wire.answer().slug == "unknown_key"
            wire.send(request_of(house.bot, "POST", ORDER_PATH, compact(order(note=time.time()))))
            assert placed(wire.answer())


def test_connection_close_closes(house: House) -> None:
    with wire_to(house.bot) as wire:
        wire.send(request_of(house.bot, "GET", BALANCE_PATH, b"", {"Connection": "close"}))
        assert placed(wire.answer())
        assert wire.closed()


def test_http_1_0_is_served(house: House) -> None:
    with wire_to(house.bot) as wire:
        request = request_of(house.bot, "POST", ORDER_PATH, BODY)
        wire.send(request.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        assert placed(wire.answer())
        assert wire.closed()


def test_expect_continue_is_answered(house: House) -> None:
    with wire_to(house.bot) as wire:
        head = head_of(house.bot, "POST", ORDER_PATH, BODY, {"Expect": "100-continue"})
        wire.send(head + b"Content-Length: %d\r\n\r\n" % len(BODY))
        assert wire.answer().status == 100
        wire.send(BODY)
        answer = wire.answer()
    assert placed(answer), pretty(answer)


def test_expect_continue_is_not_answered_for_what_will_be_refused(house: House) -> None:
    with wire_to(house.bot) as wire:
        extra = {"Expect": "100-continue", "OK-ACCESS-KEY": "x"}
        head = head_of(house.bot, "POST", ORDER_PATH, BODY, extra)
        wire.send(head + b"Content-Length: %d\r\n\r\n" % len(BODY))
        assert wire.answer().slug == "unknown_key"


def test_a_half_closed_bot_gets_its_answer(house: House) -> None:
    house.simulator.fault("slow", delay_ms=300)
    with wire_to(house.bot) as wire:
        wire.send(request_of(house.bot, "POST", ORDER_PATH, BODY))
        house.arrives()
        wire.half_close()
        assert placed(wire.answer())
        assert wire.closed()


# ---- slow bots ------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["nothing", "a request line", "half a head"])
def test_a_slow_head_ends_the_connection(house: House, part: str) -> None:
    head = head_of(house.bot, "POST", ORDER_PATH, BODY)
    size = {"nothing": 0, "a request line": head.index(b"\r\n") + 2, "half a head": len(head) // 2}
    began = time.monotonic()
    with wire_to(house.bot) as wire:
        wire.send(head[: size[part]])
        if size[part]:
            answer = wire.answer()
            assert (answer.status, answer.slug) == (408, "bad_request")
            wire.half_close()
        assert wire.closed()
    assert PATIENCE_S - 0.3 < time.monotonic() - began < PATIENCE_S + 2
    assert house.received == []


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_slow_body_ends_the_connection(house: House, in_chunks: bool) -> None:
    head = head_of(house.bot, "POST", ORDER_PATH, BODY)
    framing = b"Transfer-Encoding: chunked" if in_chunks else b"Content-Length: %d" % len(BODY)
    sent = chunked(BODY)[:-9] if in_chunks else BODY[:-1]
    began = time.monotonic()
    with wire_to(house.bot) as wire:
        wire.send(head + framing + b"\r\n\r\n" + sent)
        answer = wire.answer()
        assert (answer.status, answer.slug) == (408, "bad_request")
        assert answer.headers["connection"] == "close"
        wire.half_close()
        assert wire.closed()
    assert time.monotonic() - began < PATIENCE_S + 2
    assert house.received == []


def test_trickling_does_not_stretch_the_time(house: House) -> None:
    """A byte now and then is as slow as none."""
    head = head_of(house.bot, "POST", ORDER_PATH, BODY) + b"X-Pad: " + b"x" * 1000
    began = time.monotonic()
    with wire_to(house.bot) as wire:
        wire.socket.settimeout(0.1)
        ended = b""
        for byte in head:
            wire.send(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                ended = wire.socket.recv(1000)
                break
    assert b" 408 " in ended
    assert time.monotonic() - began < PATIENCE_S + 2


def test_a_bot_that_does_not_read_is_let_go(house: House) -> None:
    flood = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 2000
    with socket.socket() as rude:
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        rude.connect(("127.0.0.1", house.proxy.port))
        rude.setblocking(False)
        began = time.monotonic()

        def ended() -> bool:
            try:
                for _ in range(100):
                    rude.send(flood)
            except BlockingIOError:
                return False
            except OSError:
                return True
            return False

        eventually("the connection is reset", ended, timeout_s=PATIENCE_S + 6)
        assert time.monotonic() - began > PATIENCE_S - 0.3
    assert placed(house.bot.order())


def test_slow_bots_hold_up_nobody(house: House) -> None:
    head = head_of(house.bot, "POST", ORDER_PATH, BODY)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(wire_to(house.bot)) for _ in range(60)]
        for number, wire in enumerate(wires):
            wire.send(head[: 10 + number])
        began = time.monotonic()
        assert placed(house.bot.order())
        assert time.monotonic() - began < 0.5
    eventually(
        "all are let go",
        lambda: house.proxy.metric("tagproxy_connections", side="bot", protocol="http") == 0,
    )


# ---- what two parsers could read differently ------------------------------------------------

UPGRADE: Final = (
    b"GET /okx/ws/v5/private HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
LENGTH: Final = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
# field lines added to a signed order's head, and the body
FRAMINGS: Final = {
    "length and chunked": (LENGTH + CHUNKED, chunked(BODY)),
    "chunked and length": (CHUNKED + LENGTH, chunked(BODY)),
    "two lengths": (LENGTH + b"Content-Length: 1\r\n", BODY),
    "the same length twice": (LENGTH * 2, BODY),
    "a list of lengths": (b"Content-Length: %d, %d\r\n" % (len(BODY), len(BODY)), BODY),
    "a signed length": (b"Content-Length: +%d\r\n" % len(BODY), BODY),
    "a negative length": (b"Content-Length: -1\r\n", BODY),
    "a hexadecimal length": (b"Content-Length: 0x%x\r\n" % len(BODY), BODY),
    "an empty length": (b"Content-Length: \r\n", BODY),
    "a huge length": (b"Content-Length: 99999999999999999999\r\n", BODY),
    "chunked twice": (CHUNKED * 2, chunked(BODY)),
    "identity, chunked": (b"Transfer-Encoding: identity, chunked\r\n", chunked(BODY)),
    "chunked, identity": (b"Transfer-Encoding: chunked, identity\r\n", chunked(BODY)),
    "gzip, chunked": (b"Transfer-Encoding: gzip, chunked\r\n", chunked(BODY)),
    "xchunked": (b"Transfer-Encoding: xchunked\r\n" + LENGTH, BODY),
    "identity": (b"Transfer-Encoding: identity\r\n" + LENGTH, BODY),
    "quoted": (b'Transfer-Encoding: "chunked"\r\n', chunked(BODY)),
    "a vertical tab": (b"Transfer-Encoding: \x0bchunked\r\n", chunked(BODY)),
    "space before the colon": (b"Transfer-Encoding : chunked\r\n" + LENGTH, BODY),
    "a folded line": (b"Transfer-Encoding:\r\n chunked\r\n" + LENGTH, BODY),
    "a folded other line": (LENGTH + b"X-A: b\r\n c\r\n", BODY),
    "a bare line feed": (LENGTH + b"X-A: b\nX-C: d\r\n", BODY),
    "a bare carriage return": (LENGTH + b"X-A: b\rX-C: d\r\n", BODY),
    "a zero byte": (LENGTH + b"X-A: b\x00c\r\n", BODY),
    "no name": (LENGTH + b": b\r\n", BODY),
    "no colon": (LENGTH + b"X-A\r\n", BODY),
    "two hosts": (b"Host: other\r\n" + LENGTH, BODY),
    "an odd name": (LENGTH + b"X(A): b\r\n", BODY),
    "a chunk size with a sign": (CHUNKED, b"+%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a chunk size with 0x": (CHUNKED, b"0x%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a chunk size with a space": (CHUNKED, b" %x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a chunk ended by a line feed": (CHUNKED, b"%x\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a chunk that is too long": (CHUNKED, b"%x\r\n%b0\r\n\r\n" % (len(BODY), BODY)),
    "a huge chunk size": (CHUNKED, b"f" * 17 + b"\r\n" + BODY),
    "an encoded body": (LENGTH + b"Content-Encoding: gzip\r\n", BODY),
    "trailers with garbage": (CHUNKED, chunked(BODY)[:-2] + b"X A\r\n\r\n"),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_a_framing_that_could_smuggle_reaches_nobody(house: House, name: str) -> None:
    fields, body = FRAMINGS[name]
    smuggled = request_of(house.bot, "POST", ORDER_PATH, compact(order(clOrdId="smuggled")))
    with wire_to(house.bot) as wire:
        head = head_of(house.bot, "POST", ORDER_PATH, BODY)
        wire.send(head + fields + b"\r\n" + body + smuggled)
        answer = wire.answer()
        assert answer.status in (400, 413), pretty(answer)
        assert answer.slug in ("bad_request", "body_too_large")
        assert answer.headers["connection"] == "close"
        wire.half_close()
        assert wire.closed(), "what followed is not a request"
    assert house.received == []


def _line(house: House, old: bytes, new: bytes) -> bytes:
    request = request_of(house.bot, "POST", ORDER_PATH, BODY)
    assert old in request
    return request.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Host: ", b"X-Host: "),
        (b"POST /okx", b"POST http://elsewhere/okx"),
        (b"POST /okx", b"POST okx"),
        (b"POST /okx", b"POST  /okx"),
        (b"POST /okx", b"POST\t/okx"),
        (b"POST /okx", b" POST /okx"),
        (b"POST /okx", b"P\xd6ST /okx"),
        (b"POST /okx", b"POST /okx#"),
        (b"/trade/order HTTP", b"/trade/order x HTTP"),
        (b"/trade/order HTTP", b"/trade/\x7forder HTTP"),
        (b"/trade/order HTTP", b"/trade/\xc3\xb6rder HTTP"),
        (b"HTTP/1.1\r\n", b"HTTP/1.1 \r\n"),
        (b"HTTP/1.1\r\n", b"HTTP/2.0\r\n"),
        (b"HTTP/1.1\r\n", b"HTTP/0.9\r\n"),
        (b"HTTP/1.1\r\n", b"http/1.1\r\n"),
        (b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
        (b" HTTP/1.1\r\n", b"\r\n"),
        (b"Host: 127", b"Host: a b 127"),
        (b"Host: 127", b"Host: user@127"),
        (b"Host: 127", b"Host:\r\n 127"),
    ],
)
def test_an_odd_head_reaches_nobody(house: House, old: bytes, new: bytes) -> None:
    with wire_to(house.bot) as wire:
        wire.send(_line(house, old, new))
        answer = wire.answer()
        assert (answer.status, answer.slug) == (400, "bad_request"), pretty(answer)
    assert house.received == []


def test_chunked_in_http_1_0_reaches_nobody(house: House) -> None:
    with wire_to(house.bot) as wire:
        head = head_of(house.bot, "POST", ORDER_PATH, BODY).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        wire.send(head + CHUNKED + b"\r\n" + chunked(BODY))
        assert wire.answer().status == 400
    assert house.received == []


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /okx/" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: a\r\n" * 200 + b"\r\n", 431),
        (b"CONNECT www.okx.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40, 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (UPGRADE, 501),
    ],
)
def test_what_is_no_request_of_ours_is_told_so(house: House, head: bytes, status: int) -> None:
    with wire_to(house.bot) as wire:
        wire.send(head)
        answer = wire.answer()
        assert answer.status == status, pretty(answer)
        assert answer.slug == "bad_request"
        assert answer.headers["connection"] == "close"
        wire.half_close()
        assert wire.closed()
    assert house.received == []


def test_a_signature_in_two_header_lines_is_refused(house: House) -> None:
    for name in ("OK-ACCESS-KEY", "OK-ACCESS-SIGN", "OK-ACCESS-TIMESTAMP", "OK-ACCESS-PASSPHRASE"):
        signed = house.bot.headers("POST", ORDER_PATH, BODY)
        twice = f"{name.lower()}: {signed[name]}\r\n".encode()
        with wire_to(house.bot) as wire:
            head = head_of(house.bot, "POST", ORDER_PATH, BODY, signed)
            wire.send(head + twice + LENGTH + b"\r\n" + BODY)
            assert 400 <= wire.answer().status < 500
    assert house.received == []
