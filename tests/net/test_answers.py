from __future__ import annotations

from proxy.model import Reply
from proxy.net.answers import Answers
from proxy.net.framing import CLOSE, KEEP_ALIVE, NONE

DATE = b"Date: Mon, 21 Sep 2026 14:13:20 GMT\r\n"


class FakeClock:
    def __init__(self) -> None:
        self.ms = 1_790_000_000_000

    def monotonic_ns(self) -> int:
        return 0

    def wall_ms(self) -> int:
        return self.ms


def test_an_answer_has_status_date_and_length() -> None:
    rendered = Answers(FakeClock()).render(Reply(200, b"A: b\r\n", b"xyz"), NONE, b"GET", 1)
    assert rendered == b"HTTP/1.1 200 OK\r\n" + DATE + b"A: b\r\nContent-Length: 3\r\n\r\nxyz"


def test_the_date_moves_on_with_the_second() -> None:
    clock = FakeClock()
    answers = Answers(clock)
    first = answers.render(Reply(200, b"", b""), NONE, b"GET", 1)
    clock.ms += 1000
    second = answers.render(Reply(200, b"", b""), NONE, b"GET", 1_000_000_001)
    assert first == second.replace(b"14:13:21", b"14:13:20")


def test_the_connection_line_is_added() -> None:
    answers = Answers(FakeClock())
    for line in (CLOSE, KEEP_ALIVE):
        assert line in answers.render(Reply(400, b"", b""), line, b"GET", 1)


def test_a_status_nobody_knows_has_no_reason() -> None:
    rendered = Answers(FakeClock()).render(Reply(599, b"", b""), NONE, b"GET", 1)
    assert rendered.startswith(b"HTTP/1.1 599 \r\n")


def test_answers_without_a_body_have_none() -> None:
    answers = Answers(FakeClock())
    for status in (204, 304):
        rendered = answers.render(Reply(status, b"", b""), NONE, b"GET", 1)
        assert b"Content-Length" not in rendered
        assert rendered.endswith(b"\r\n\r\n")
    rendered = answers.render(Reply(200, b"", b"xyz"), NONE, b"HEAD", 1)
    assert rendered.endswith(b"Content-Length: 3\r\n\r\n")
