"""What KuCoin's answers tell of an account. The bodies of the documentation are in lessons.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.exchanges.kucoin import EXCHANGE
from proxy.exchanges.kucoin.lessons import LESSONS, QUOTAS
from proxy.exchanges.spec import Lesson
from proxy.model import Learned, LearnedLimit, Response

VECTORS: Final[list[dict[str, Any]]] = json.loads(
    Path(__file__).with_name("lessons.json").read_text("utf-8")
)
BY_TARGET: Final = {(lesson.path + lesson.suffix).decode(): lesson for lesson in LESSONS}


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


def test_every_lesson_is_a_read_of_main_that_every_account_may_ask() -> None:
    rows = {
        (row.method.encode(), row.path.encode()): row
        for row in EXCHANGE.endpoints
        if row.venue == "main"
    }
    for lesson in EXCHANGE.lessons:
        row = rows[lesson.method, lesson.path]
        assert (row.permission, row.sensitive) == ("read", "")
        assert lesson.every_ns >= 600_000_000_000
        assert lesson.wanted(Learned("1"))
    assert set(BY_TARGET) == {row["lesson"] for row in VECTORS}


def test_each_level_has_its_quota_and_the_lowest_is_the_tables() -> None:
    pools = {pool.name: pool for pool in EXCHANGE.pools}
    for name, quotas in QUOTAS.items():
        assert len(quotas) == 13
        assert list(quotas) == sorted(quotas)
        assert pools[name].count == quotas[0]
        assert pools[name].scope == ("user",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
NAMED = st.dictionaries(
    st.sampled_from(("uid", "isMaster", "permission", "ipWhitelist", "level")),
    JSON | st.sampled_from((1001, True, "General,Spot", "1.2.3.4,::1", 5, 10**30)),
)


@given(
    st.sampled_from(LESSONS),
    st.integers(100, 599) | st.just(200),
    st.binary(max_size=40)
    | JSON.map(json.dumps).map(str.encode)
    | (NAMED | JSON).map(lambda data: json.dumps({"code": "200000", "data": data}).encode()),
)
def test_no_answer_whatever_is_more_than_it_could_be(
    lesson: Lesson, status: int, body: bytes
) -> None:
    told = lesson.read(answer(body, status))
    if told is None:
        return
    assert status == 200
    assert bool(told.uid) == (lesson is LESSONS[0])
    assert bool(told.limits) == (lesson is LESSONS[1])
    for text in (told.uid, told.main_uid, *told.permissions, *told.addresses):
        assert len(text) <= 64
        assert "," not in text
