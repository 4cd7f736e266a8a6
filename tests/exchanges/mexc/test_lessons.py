"""What MEXC's answers tell of an account and of its clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchanges.mexc import EXCHANGE
from proxy.model import Learned, Response

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("lessons.json").read_text())
LESSON = EXCHANGE.lessons[0]


def answer(body: bytes, status: int = 200) -> Response:
    return Response(status, [(b"content-type", b"application/json")], body, keep_alive=True)


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in VECTORS])
def test_an_answer_tells_what_it_says_and_nothing_else(row: dict[str, Any]) -> None:
    told = LESSON.read(answer(row["body"].encode(), row["status"]))
    expected = row["expected"]
    assert told == (None if expected is None else Learned(expected["uid"]))


def test_the_lesson_is_a_read_that_the_table_has_for_every_account() -> None:
    assert len(EXCHANGE.lessons) == 1
    row = next(row for row in EXCHANGE.endpoints if row.path == LESSON.path.decode())
    assert (row.method, row.permission, row.venue, row.sensitive) == ("GET", "read", "main", "")
    assert LESSON.every_ns >= 600_000_000_000
    assert LESSON.wanted(Learned())


@given(st.integers(100, 599) | st.just(200), st.binary(max_size=40))
def test_no_answer_whatever_is_more_than_it_could_be(status: int, body: bytes) -> None:
    told = LESSON.read(answer(body, status))
    assert told is None or (status == 200 and told.uid.isalnum())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"serverTime":1645539742000}', 1645539742000),
        (b'{"serverTime":"1645539742000"}', None),
        (b'{"serverTime":-1}', None),
        (b'{"serverTime":true}', None),
        (b'{"serverTime":1e99}', None),
        (b'{"serverTime":99999999999999999}', None),
        (b"{}", None),
        (b"[]", None),
        (b"<html>", None),
    ],
)
def test_the_exchanges_time_is_read(body: bytes, expected: int | None) -> None:
    assert EXCHANGE.read_clock(body) == expected


def test_the_clock_is_a_public_read() -> None:
    row = next(row for row in EXCHANGE.endpoints if row.path == EXCHANGE.clock_path.decode())
    assert (row.method, row.permission) == ("GET", "public")
