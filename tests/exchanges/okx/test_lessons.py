"""What OKX's answers tell of an account. The bodies of the documentation are in lessons.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchanges.okx import EXCHANGE
from proxy.exchanges.okx.lessons import LESSONS
from proxy.exchanges.okx.rows import TABLE
from proxy.exchanges.spec import Lesson
from proxy.model import Learned, LearnedLimit, Response

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("lessons.json").read_text())
BY_TARGET = {(lesson.path + lesson.suffix).decode(): lesson for lesson in LESSONS}


def answer(body: bytes, status: int = 200) -> Response:
    return Response(status, [(b"content-type", b"application/json")], body, keep_alive=True)


def learned(told: dict[str, Any] | None) -> Learned | None:
    if told is None:
        return None
    limits = tuple(LearnedLimit(*limit) for limit in told["limits"])
    return Learned(
        told["uid"],
        told["main_uid"],
        tuple(told["permissions"]),
        tuple(told["addresses"]),
        tuple(told["roles"]),
        limits,
    )


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in VECTORS])
def test_an_answer_tells_what_it_says_and_nothing_else(row: dict[str, Any]) -> None:
    told = BY_TARGET[row["lesson"]].read(answer(row["body"].encode(), row["status"]))
    assert told == learned(row["expected"])


def test_every_lesson_is_a_read_that_the_table_has_for_every_account() -> None:
    rows = {(row.method.encode(), row.path.encode()): row for row in EXCHANGE.endpoints}
    for lesson in EXCHANGE.lessons:
        row = rows[lesson.method, lesson.path]
        assert row.permission == "read"
        assert row.sensitive == ""
        assert lesson.every_ns >= 600_000_000_000
    assert set(BY_TARGET) == {row["lesson"] for row in VECTORS}


@pytest.mark.parametrize(
    ("roles", "asked"),
    [((), [0, 1]), (("lead-swap",), [0, 1, 2]), (("lead-spot", "lead-swap"), [0, 1, 2, 3])],
)
def test_only_lead_traders_are_asked_for_what_they_lead_with(
    roles: tuple[str, ...], asked: list[int]
) -> None:
    facts = Learned("1001", roles=roles)
    assert [number for number, lesson in enumerate(LESSONS) if lesson.wanted(facts)] == asked


def test_each_row_that_is_stricter_for_lead_traders_is_so_for_their_instruments() -> None:
    told = LESSONS[2].read(
        answer(b'{"code":"0","data":[{"enabled":true,"instId":"BTC-USDT-SWAP"}]}')
    )
    assert told is not None
    limits = {limit.pool: (limit.count, limit.window_ns) for limit in told.limits}
    rows = [row for row in TABLE.endpoints if row.label in TABLE.lead_traders]
    assert len(rows) == len(TABLE.lead_traders) > 5
    for row in rows:
        for draws in (row.draws, row.single_item_draws):
            for draw in draws[:1]:
                assert limits.pop(draw.pool.name, None) in (TABLE.lead_traders[row.label], None)
    assert limits == {}
    assert {limit.value for limit in told.limits} == {"BTC-USDT-SWAP"}


def test_a_list_without_end_is_cut() -> None:
    listed = [{"enabled": True, "instId": f"X{number}-USDT-SWAP"} for number in range(5000)]
    told = LESSONS[2].read(answer(orjson.dumps({"code": "0", "data": listed})))
    assert told is not None
    assert len({limit.value for limit in told.limits}) == 1000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
NAMED = st.dictionaries(
    st.sampled_from(
        (
            *("uid", "mainUid", "perm", "ip", "roleType", "spotRoleType", "traderInsts"),
            *("spotTraderInsts", "accRateLimit", "nextAccRateLimit", "enabled", "instId"),
        )
    ),
    JSON | st.sampled_from(("1", "0", True, "1001", "-1", ["BTC-USDT"], [["BTC"]])),
)


@given(
    st.sampled_from(LESSONS),
    st.integers(100, 599) | st.just(200),
    st.binary(max_size=40)
    | JSON.map(json.dumps).map(str.encode)
    | st.lists(NAMED | JSON, max_size=3).map(
        lambda rows: json.dumps({"code": "0", "data": rows}).encode()
    ),
)
def test_no_answer_whatever_is_more_than_it_could_be(
    lesson: Lesson, status: int, body: bytes
) -> None:
    told = lesson.read(answer(body, status))
    if told is None:
        return
    assert status == 200
    assert bool(told.uid) == (lesson is LESSONS[0])
    for text in (told.uid, told.main_uid, *told.permissions, *told.addresses):
        assert type(text) is str
        assert len(text) <= 64
        assert "," not in text
    for limit in told.limits:
        assert (type(limit.value), type(limit.count)) == (str, int)
