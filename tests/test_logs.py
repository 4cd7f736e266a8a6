"""The log: what a line holds, what it never holds, and that it never holds anything up."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from proxy.errors import CommandError
from proxy.logs import RequestLog, redact
from proxy.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.log_lines import Line

NOW_MS = 1_790_000_000_123
SECRET = "0123456789ABCDEFabcdef0123456789"


class _Clock:
    def __init__(self) -> None:
        self.ms = NOW_MS

    def monotonic_ns(self) -> int:
        return self.ms * 1_000_000

    def wall_ms(self) -> int:
        return self.ms


class _Account:
    user = "alice"
    label = "main"


class _Pipe:
    """A stderr that somebody reads, or not."""

    def __init__(self) -> None:
        self.read_fd, self.fd = os.pipe()

    def lines(self) -> list[dict[str, Any]]:
        """Everything written, once nobody writes any more."""
        os.close(self.fd)
        with os.fdopen(self.read_fd, "rb") as reader:
            return [json.loads(line) for line in reader]


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def pipe() -> _Pipe:
    return _Pipe()


@pytest.fixture
def log(clock: _Clock, pipe: _Pipe) -> Iterator[RequestLog]:
    log = RequestLog(Metrics(), clock, fd=pipe.fd)
    yield log
    log.close()


def _line(client_order_id: str = "my-1", request_id: bytes = b"c0ffee-1") -> Line:
    return (
        request_id,
        _Account(),
        "okx",
        "POST trade/order",
        "ok",
        client_order_id,
        "42",
        "0",
        "203.0.113.7",
        123_456,
        0,
        31_000_000,
    )


def test_a_request_is_one_line_of_the_contracts_fields(log: RequestLog, pipe: _Pipe) -> None:
    log.write(*_line())
    log.close()
    assert pipe.lines() == [
        {
            "time": "2026-09-21T14:13:20.123Z",
            "request_id": "c0ffee-1",
            "user": "alice",
            "account": "main",
            "exchange": "okx",
            "endpoint": "POST trade/order",
            "outcome": "ok",
            "client_order_id": "my-1",
            "order_id": "42",
            "exchange_code": "0",
            "egress": "203.0.113.7",
            "proxy_ms": 0.123,
            "limit_ms": 0.0,
            "exchange_ms": 31.0,
        }
    ]


def test_a_request_of_nobody_has_an_empty_user(log: RequestLog, pipe: _Pipe) -> None:
    request_id, _, *rest = _line()
    log.write(request_id, None, *rest)  # type: ignore[arg-type]  # a star loses the types
    log.close()
    (line,) = pipe.lines()
    assert (line["user"], line["account"]) == ("", "")


def test_lines_keep_their_order_and_their_own_time(
    log: RequestLog, pipe: _Pipe, clock: _Clock
) -> None:
    for number in range(100):
        clock.ms = NOW_MS + number * 10
        log.write(*_line(str(number)))
    log.close()
    lines = pipe.lines()
    assert [line["client_order_id"] for line in lines] == [str(n) for n in range(100)]
    assert lines[0]["time"] == "2026-09-21T14:13:20.123Z"
    assert lines[99]["time"] == "2026-09-21T14:13:21.113Z"


def test_lines_are_written_without_a_close(clock: _Clock, pipe: _Pipe) -> None:
    log = RequestLog(Metrics(), clock, fd=pipe.fd)
    log.write(*_line())
    with os.fdopen(pipe.read_fd, "rb", closefd=False) as reader:
        assert json.loads(reader.readline())["request_id"] == "c0ffee-1"
    log.write(*_line(request_id=b"c0ffee-2"))
    with os.fdopen(pipe.read_fd, "rb", closefd=False) as reader:
        assert json.loads(reader.readline())["request_id"] == "c0ffee-2"
    log.close()


def test_enough_lines_are_written_at_once(clock: _Clock, pipe: _Pipe) -> None:
    log = RequestLog(Metrics(), clock, fd=pipe.fd, batch=10)
    log._full.wait = _never_lingers(log)  # type: ignore[method-assign]
    for number in range(11):
        log.write(*_line(str(number)))
    with os.fdopen(pipe.read_fd, "rb", closefd=False) as reader:
        assert [json.loads(reader.readline())["client_order_id"] for _ in range(11)]
    log.close()


def _never_lingers(log: RequestLog) -> Any:
    wait = threading.Event.wait
    return lambda _timeout: wait(log._full)


@pytest.mark.parametrize("text", ['a"b\\c', "é\n\x00", "\ud800", "x" * 100_000])
def test_whatever_a_bot_calls_its_order_the_line_is_json(
    log: RequestLog, pipe: _Pipe, text: str
) -> None:
    log.write(*_line(text))
    log.close()
    (line,) = pipe.lines()
    assert line["client_order_id"] == text.replace("\ud800", "?")[:1024]


def test_a_stderr_that_nobody_reads_holds_nothing_up_and_drops_are_counted(
    clock: _Clock, pipe: _Pipe
) -> None:
    fcntl.fcntl(pipe.fd, fcntl.F_SETPIPE_SZ, 4096)
    metrics = Metrics()
    log = RequestLog(metrics, clock, fd=pipe.fd, lines_max=500)
    begun = time.monotonic()
    for _ in range(20_000):
        log.write(*_line())
    for _ in range(5):
        log.event("warning", "something rare")
    assert time.monotonic() - begun < 5
    assert 20_000 - 500 - 200 < log.dropped <= 20_000 - 500
    assert metrics.registry.get_sample_value("tagproxy_log_lines_dropped_total") == log.dropped
    log.close(timeout_s=0.01)
    read: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: read.extend(_read_all(pipe.read_fd)))
    reader.start()
    assert log._thread is not None
    log._thread.join()
    os.close(pipe.fd)
    reader.join()
    assert 500 <= len(read) <= 700


def test_a_log_without_a_line_closes_at_once(log: RequestLog) -> None:
    log.close()
    assert log.dropped == 0


def test_after_the_close_lines_are_dropped(log: RequestLog, pipe: _Pipe) -> None:
    log.write(*_line())
    log.close()
    log.write(*_line())
    log.event("info", "late")
    assert log.dropped == 2
    assert len(pipe.lines()) == 1


def test_a_stderr_that_is_gone_costs_lines_and_nothing_else(clock: _Clock, pipe: _Pipe) -> None:
    os.close(pipe.read_fd)
    log = RequestLog(Metrics(), clock, fd=pipe.fd)
    for _ in range(100):
        log.write(*_line())
    log.close()
    os.close(pipe.fd)
    assert log.dropped == 100


def test_a_stderr_that_does_not_block_gets_every_line(clock: _Clock, pipe: _Pipe) -> None:
    os.set_blocking(pipe.fd, False)
    fcntl.fcntl(pipe.fd, fcntl.F_SETPIPE_SZ, 4096)
    log = RequestLog(Metrics(), clock, fd=pipe.fd)
    read: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: read.extend(_read_all(pipe.read_fd)))
    for _ in range(500):
        log.write(*_line())
    reader.start()
    log.close()
    os.close(pipe.fd)
    reader.join()
    assert len(read) == 500
    assert log.dropped == 0


def _read_all(fd: int) -> list[dict[str, Any]]:
    with os.fdopen(fd, "rb") as reader:
        return [json.loads(line) for line in reader]


def test_an_event_has_a_level_a_message_and_its_fields(log: RequestLog, pipe: _Pipe) -> None:
    log.event("info", "serving", listen="127.0.0.1:8080", accounts=3, path=os)
    log.close()
    (line,) = pipe.lines()
    assert line.pop("path").startswith("<module")
    assert line == {
        "time": "2026-09-21T14:13:20.123Z",
        "level": "info",
        "message": "serving",
        "listen": "127.0.0.1:8080",
        "accounts": 3,
    }


def test_of_one_kind_of_event_only_a_few_are_written_and_the_rest_counted(
    log: RequestLog, pipe: _Pipe, clock: _Clock
) -> None:
    for _ in range(20):
        log.event("warning", "cannot connect", exchange="okx")
    log.event("warning", "cannot connect", exchange="okx-us")
    clock.ms += 10_000
    log.event("warning", "cannot connect", exchange="okx")
    log.event("warning", "cannot connect", exchange="okx")
    log.close()
    lines = pipe.lines()
    assert [line["exchange"] for line in lines] == ["okx"] * 5 + ["okx-us", "okx", "okx"]
    assert [line.get("suppressed", 0) for line in lines] == [0] * 6 + [15, 0]


def test_kinds_of_events_are_bounded(log: RequestLog, pipe: _Pipe) -> None:
    os.close(pipe.read_fd)
    for number in range(3000):
        log.event("warning", "cannot connect", exchange=str(number))
    assert len(log._kinds) <= 1000


def _failing(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as raised:
        return raised


def test_of_a_strange_error_only_kind_and_place_are_written(log: RequestLog, pipe: _Pipe) -> None:
    log.fault("a request failed", _failing(ValueError(SECRET)), request_id="c0ffee-1")
    log.close()
    (line,) = pipe.lines()
    assert (line["level"], line["error"], line["request_id"]) == ("error", "ValueError", "c0ffee-1")
    assert line["at"][-1].startswith("test_logs.py:")
    assert SECRET not in json.dumps(line)


def test_of_an_error_of_ours_the_text_is_written_too(log: RequestLog, pipe: _Pipe) -> None:
    log.fault("it failed", _failing(CommandError("no such user")))
    log.close()
    assert pipe.lines()[0]["text"] == "no such user"


def test_what_libraries_log_becomes_json_without_secrets(log: RequestLog, pipe: _Pipe) -> None:
    before = logging.root.handlers[:]
    log.start()
    try:
        logging.getLogger("asyncio").error(
            "Task exception was never retrieved\nfuture: <Task exception=ValueError('%s')>", SECRET
        )
        logging.getLogger("aiohttp.server").error(
            "Error handling request", exc_info=_failing(KeyError(SECRET))
        )
        logging.getLogger("sqlalchemy.pool").warning("cannot %d", "fit")
        logging.getLogger("aiohttp.access").info("GET /?signature=%s", SECRET)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    finally:
        log.close()
    assert logging.root.handlers == before
    asyncio_line, server_line, pool_line, warning_line = pipe.lines()
    assert asyncio_line["message"] == "Task exception was never retrieved"
    assert (server_line["logger"], server_line["error"]) == ("aiohttp.server", "KeyError")
    assert (pool_line["level"], pool_line["message"]) == ("warning", "cannot %d")
    assert warning_line["logger"] == "py.warnings"
    assert SECRET not in json.dumps([asyncio_line, server_line, pool_line, warning_line])


def test_a_low_level_record_that_gets_through_is_info(log: RequestLog, pipe: _Pipe) -> None:
    log.start()
    chatty = logging.getLogger("chatty")
    chatty.setLevel(logging.INFO)
    chatty.info("hello")
    log.close()
    assert pipe.lines()[0]["level"] == "info"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("GET /api?sign=abc&x=1 failed", "GET /api?… failed"),
        ("OK-ACCESS-PASSPHRASE: hunter2, x", "OK-ACCESS-PASSPHRASE: …, x"),
        ("{'secret': 'a b c', 'x': 1}", "{'secret': …, 'x': 1}"),
        ("passphrase=hunter2", "passphrase=…"),
        ("Callback feed(b'POST / body')", "Callback feed(b'…')"),
        ('feed(b"it\'s")', "feed(b'…')"),
        ("to postgresql://tag:hunter2@db/x", "to postgresql://…@db/x"),
        ("bad value Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA==", "bad value …"),
        ("key 0123456789abcdef0123456789abcdef", "key …"),
        ("key 11111111-2222-3333-4444-555555555555", "key …"),
        ("(sqlite3.Error) x [parameters: ('hunter2',)]", "(sqlite3.Error) x "),
        ("first\nsecond hunter2", "first"),
        ("cannot open /var/lib/tagproxy/tagproxy.db", "cannot open /var/lib/tagproxy/tagproxy.db"),
        ("POST /api/v5/trade/order okx-us 127.0.0.1:8080", None),
    ],
)
def test_what_could_be_a_secret_is_taken_out(text: str, left: str | None) -> None:
    assert redact(text) == (text if left is None else left)
