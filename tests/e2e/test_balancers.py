"""A load balancer that speaks the PROXY protocol before TLS and HTTP, as bare bytes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.certificates import write_pair
from tests.e2e.bot import Answered, Bot
from tests.e2e.house import House, house_in
from tests.e2e.processes import eventually
from tests.e2e.reloading import reload
from tests.e2e.wire import WAIT_S, Wire, request_of

pytestmark = pytest.mark.e2e

ME: Final = "/tagproxy/me"
CLIENT: Final = "203.0.113.9"
CLIENT_6: Final = "2001:db8::9"
OTHER: Final = "198.51.100.1"
LOOPBACK: Final = "127.0.0.1"
SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
LINE: Final = f"PROXY TCP4 {CLIENT} {LOOPBACK} 51234 443\r\n".encode()


def block(source: str, command: int = 0x21, extra: bytes = b"") -> bytes:
    """Return a version 2 header; what `extra` adds are TLVs."""
    address = ip_address(source)
    kind = 0x11 if address.version == 4 else 0x21
    body = address.packed * 2 + struct.pack("!HH", 51234, 443) + extra
    return SIGNATURE + struct.pack("!BBH", command, kind, len(body)) + body


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    sections: dict[str, dict[str, Any]] = {
        "server": {"proxy_protocol": True, "trusted_proxies": ["127.0.0.0/8"]}
    }
    with house_in(tmp_path_factory.mktemp("balancers"), sections, wait=False) as house:
        eventually("the proxy is ready", house.proxy.ready)
        yield house


@pytest.fixture
def house(running: House) -> House:
    running.forget()
    return running


@contextlib.contextmanager
def connected(bot: Bot, preface: bytes, ca_file: Path | None = None) -> Iterator[Wire]:
    """Connect as a load balancer would, and speak TLS behind the header if there is a CA."""
    url = urlsplit(bot.base_url)
    with socket.create_connection((url.hostname or "", url.port or 80), timeout=WAIT_S) as opened:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        half = len(preface) // 2
        for part in (preface[:half], preface[half:]):
            Wire(opened).send(part)
        if ca_file is None:
            yield Wire(opened)
            return
        context = ssl.create_default_context(cafile=ca_file)
        with context.wrap_socket(opened, server_hostname="localhost") as wrapped:
            yield Wire(wrapped)


def told(
    house: House, preface: bytes, headers: dict[str, str] | None = None, ca_file: Path | None = None
) -> str:
    """Where the proxy thinks that a bot is."""
    with connected(house.bot, preface, ca_file) as wire:
        answer = ask(house, wire, headers)
        assert ask(house, wire, headers).content == answer.content | {
            "clock_offset_ms": pytest.approx(answer.content["clock_offset_ms"], abs=1_000)
        }
    return str(answer.content["your_address"])


def ask(house: House, wire: Wire, headers: dict[str, str] | None = None) -> Answered:
    wire.send(request_of(house.bot, "GET", ME, headers=headers))
    answer = wire.answer()
    assert answer.status == 200, answer
    return answer


@pytest.mark.parametrize(
    ("preface", "seen"),
    [
        (LINE, CLIENT),
        (LINE.replace(b"TCP4", b"TCP6").replace(CLIENT.encode(), CLIENT_6.encode()), None),
        (f"PROXY TCP6 {CLIENT_6} ::1 51234 443\r\n".encode(), CLIENT_6),
        (f"PROXY TCP6 ::ffff:{CLIENT} ::1 51234 443\r\n".encode(), CLIENT),
        (b"PROXY UNKNOWN\r\n", LOOPBACK),
        (block(CLIENT), CLIENT),
        (block(CLIENT_6), CLIENT_6),
        (block(CLIENT, extra=b"\x03\x00\x04abcd" + b"\x04\x00\x64" + bytes(100)), CLIENT),
        (block(CLIENT, command=0x20), LOOPBACK),  # LOCAL: the balancer's own look at us
    ],
)
def test_the_header_tells_where_a_bot_is(house: House, preface: bytes, seen: str | None) -> None:
    if seen is None:  # an address of another family than it says
        assert is_refused(house, preface)
    else:
        assert told(house, preface) == seen


def is_refused(house: House, preface: bytes) -> bool:
    with connected(house.bot, preface + request_of(house.bot, "GET", ME)) as wire:
        return wire.closed()


@pytest.mark.parametrize(
    "preface",
    [
        b"",
        b"PROXY TCP4 203.0.113.9\r\n",
        b"PROXY TCP4 999.0.113.9 127.0.0.1 1 2\r\n",
        b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
        SIGNATURE[:-1] + b"X" + b"\x21\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(65535),
    ],
)
def test_without_a_header_that_can_be_read_nobody_is_served(house: House, preface: bytes) -> None:
    assert is_refused(house, preface)
    assert told(house, LINE) == CLIENT, "others are served on"


def test_the_headers_word_goes_before_the_bots(house: House) -> None:
    """A bot at the end of the balancer's line may write what it likes."""
    assert told(house, LINE, {"X-Forwarded-For": OTHER}) == CLIENT


def test_a_balancer_behind_a_balancer_is_believed_too(house: House) -> None:
    line = f"PROXY TCP4 127.0.0.9 {LOOPBACK} 51234 443\r\n".encode()
    assert told(house, line, {"X-Forwarded-For": f"{OTHER}, {CLIENT}"}) == CLIENT


def test_limits_by_source_see_the_bot(house: House) -> None:
    done = house.proxy.run("users", "set", "alice", "--exchange", "okx", "--ip", f"{CLIENT}/32")
    assert done.returncode == 0, done.stderr

    def slug(preface: bytes) -> str:
        with connected(house.bot, preface) as wire:
            wire.send(request_of(house.bot, "GET", ME))
            return wire.answer().slug

    try:
        eventually("the change is seen", lambda: slug(block(OTHER)) == "ip_not_allowed")
        assert slug(block(CLIENT)) == ""
    finally:
        house.proxy.run("users", "set", "alice", "--exchange", "okx", "--ip", "")
    eventually("the change is seen", lambda: slug(block(OTHER)) == "")


def test_tls_comes_behind_the_header(house: House) -> None:
    pair = write_pair(house.proxy.directory, "localhost")
    tls = {"tls_cert": str(pair.certificate), "tls_key": str(pair.key)}
    reload(house.proxy, {"server": tls})
    assert told(house, LINE, ca_file=pair.certificate) == CLIENT
    assert told(house, block(CLIENT_6), ca_file=pair.certificate) == CLIENT_6
    url = urlsplit(house.bot.base_url)
    with socket.create_connection((url.hostname or "", url.port or 80), timeout=WAIT_S) as opened:
        context = ssl.create_default_context(cafile=pair.certificate)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(opened, server_hostname="localhost")


def test_nobody_else_may_send_the_header(tmp_path: Path) -> None:
    sections: dict[str, dict[str, Any]] = {
        "server": {"proxy_protocol": True, "trusted_proxies": ["10.0.0.0/8"]}
    }
    with house_in(tmp_path, sections, wait=False) as house:
        eventually("the proxy is ready", house.proxy.ready)
        for preface in (LINE, block(CLIENT), b""):
            assert is_refused(house, preface)
        assert house.received == []
