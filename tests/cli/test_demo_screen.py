from __future__ import annotations

import io
from ipaddress import ip_address
from typing import final

import pytest

from proxy.cli.demo_screen import Screen, changes, tags
from proxy.model import Reply, Request
from proxy.sim import Recorded


@final
class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def request(body: bytes, method: bytes = b"POST") -> Request:
    headers = {b"ok-access-key": b"issued-key-of-the-bot"}
    made = Request(method, b"/okx/api/v5/trade/order", headers, ip_address("127.0.0.1"), 0)
    made.body = body
    return made


def recorded(body: bytes, answer: bytes, code: str = "0") -> Recorded:
    headers = [(b"OK-ACCESS-KEY", b"real-key-of-the-user")]
    record = Recorded(1, "POST", "/api/v5/trade/order", headers, body, "127.0.0.1", 1, 0)
    record.answer, record.code, record.order_ids = answer, code, ("42",)
    return record


@pytest.mark.parametrize(
    ("before", "after", "gone", "new"),
    [
        ('{"tag":"a"}', '{"tag":"b"}', ['"a"'], ['"b"']),
        ('{"sz":"1"}', '{"tag":"b","sz":"1"}', [], ['"tag":"b",']),
        ('[{"tag":"x"},{"tag":"x"}]', '[{"tag":"y"},{"tag":"y"}]', ['"x"'] * 2, ['"y"'] * 2),
        ("", "", [], []),
        ("{}", "{}", [], []),
    ],
)
def test_changes_are_whole_words(before: str, after: str, gone: list[str], new: list[str]) -> None:
    spans = changes(before, after)
    assert [before[start:end] for start, end in spans[0]] == gone
    assert [after[start:end] for start, end in spans[1]] == new


def test_an_order_is_shown_before_and_after() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.received(recorded(b'{"tag":"b"}', b"answer"))
    screen.answered(request(b'{"tag":"a"}'), Reply(200, b"", b"answer"))
    assert out.getvalue().splitlines() == [
        "order 1: POST /api/v5/trade/order -> accepted, 42",
        '  bot sent      {"tag":"a"}',
        "                       ^^^",
        '  exchange got  {"tag":"b"}',
        "                       ^^^",
        "  signed by     issued-k… at the bot, real-key… at the exchange",
        "",
    ]


def test_a_terminal_gets_colour_instead() -> None:
    out = Terminal()
    screen = Screen(out)
    screen.received(recorded(b'{"tag":"b"}', b"answer", "1"))
    screen.answered(request(b'{"tag":"a"}'), Reply(200, b"", b"answer"))
    assert '{"tag":\x1b[1;7m"b"\x1b[0m}' in out.getvalue()
    assert "^" not in out.getvalue()
    assert "-> code 1" in out.getvalue()


@pytest.mark.parametrize(
    ("method", "head", "shown"),
    [
        (b"POST", b"X-Tagproxy-Error: bad_request\r\n", True),
        (b"GET", b"X-Tagproxy-Error: bad_request\r\n", False),
        (b"POST", b"", False),
    ],
)
def test_a_refused_write_is_shown_and_a_read_is_not(
    method: bytes, head: bytes, shown: bool
) -> None:
    out = io.StringIO()
    Screen(out).answered(request(b"{}", method), Reply(400, head, b"why"))
    assert ("refused: POST /okx/api/v5/trade/order -> 400" in out.getvalue()) is shown


def test_every_order_of_a_body_has_its_tag_told() -> None:
    assert tags(b'{"tag":"a"}') == ["a"]
    assert tags(b'[{"tag":"a"},{}]') == ["a", None]
