"""What answers mean beyond classify.json's plain cases, budgets told, and refusals of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import SLUGS
from proxy.exchanges.kucoin import EXCHANGE
from proxy.exchanges.kucoin.quota import POOLS
from proxy.model import NO_BAN, Action, Draw, Endpoint, Pool, Quota, Response, Tag

ROWS: Final = {(row.venue, row.label): row for row in EXCHANGE.endpoints}
ORDER: Final = ROWS["main", "POST v1/hf/orders"]
VECTORS: Final[list[dict[str, Any]]] = json.loads(
    Path(__file__).with_name("classify.json").read_text("utf-8")
)
TOLD: Final = [
    (b"gw-ratelimit-limit", b"4000"),
    (b"gw-ratelimit-remaining", b"3990"),
    (b"gw-ratelimit-reset", b"29990"),
]
DONE: Final = b'{"code":"200000","data":{"orderId":"1"}}'


def answer(status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> Response:
    return Response(status, headers, body, keep_alive=True)


def figures(quota: Quota | None) -> list[object] | None:
    if quota is None:
        return None
    return [quota.pool, quota.limit, quota.remaining, quota.reset_ms]


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in VECTORS])
def test_answers_tell_what_is_left_and_who_is_refused(row: dict[str, Any]) -> None:
    headers = [(name.encode(), value.encode()) for name, value in row["headers"].items()]
    endpoint = ROWS[row["venue"], row["endpoint"]]
    verdict = EXCHANGE.classify(endpoint, answer(row["status"], row["body"].encode(), headers))
    assert (verdict.outcome, verdict.code, verdict.order_ids) == (
        row["outcome"],
        row["code"],
        row["order_ids"],
    )
    assert (verdict.rate_refused, verdict.processed) == (row["rate_refused"], row["processed"])
    assert verdict.ban_ms == row.get("ban_ms", NO_BAN)
    assert (verdict.retry_ms, verdict.key_refused) == (row["retry_ms"], row["key_refused"])
    assert figures(verdict.quota) == row["quota"]


@given(
    st.lists(st.sampled_from((b"date", b"cf-ray", b"vary", b"x-in-time")), max_size=8), st.data()
)
def test_a_budget_is_found_wherever_its_headers_stand(
    others: list[bytes], data: st.DataObject
) -> None:
    """The places of the answer before are looked at first; they need not be this one's."""
    headers = data.draw(st.permutations([*TOLD, *((name, b"x") for name in others)]))
    verdict = EXCHANGE.classify(ORDER, answer(200, DONE, headers))
    assert figures(verdict.quota) == ["spot", 4000, 3990, 29990]
    left_out = data.draw(st.sampled_from(TOLD))
    fewer = [header for header in headers if header != left_out]
    assert EXCHANGE.classify(ORDER, answer(200, DONE, fewer)).quota is None


def test_a_budget_is_told_of_the_pool_that_is_documented_for_the_row_and_of_no_other() -> None:
    for endpoint in EXCHANGE.endpoints:
        verdict = EXCHANGE.classify(endpoint, answer(200, DONE, TOLD))
        pools = [draw.pool.name for draw in endpoint.draws if draw.pool.name in POOLS]
        told = bool(pools) and endpoint.confidence == "docs"
        assert (verdict.quota.pool if verdict.quota else "") == (pools[0] if told else "")


def test_of_what_no_row_knows_no_budget_is_told() -> None:
    pool = Pool("unclassified", 10, 2_000_000_000, ("user",), published=False)
    stand_in = Endpoint("GET", "", Action.READ, "read", Tag.NONE, (Draw(pool),))
    assert EXCHANGE.classify(stand_in, answer(200, DONE, TOLD)).quota is None
    refused = EXCHANGE.classify(stand_in, answer(429, b'{"code":"429000"}', TOLD))
    assert (refused.rate_refused, refused.retry_ms) == ("unclassified", 29990)
    nothing = Endpoint("GET", "", Action.READ, "read", Tag.NONE, ())
    assert EXCHANGE.classify(nothing, answer(429, b'{"code":"429000"}', TOLD)).rate_refused == "*"


pieces = st.sampled_from(
    (
        *(b'"code"', b":", b'"200000"', b'"429000"', b'"1015"', b"200002", b"{", b"}", b"[", b"]"),
        *(b'"data"', b'"orderId"', b'"a1"', b",", b"<html>", b"null", b"\xff", b" "),
    )
)
names = st.sampled_from(
    (
        *(b"gw-ratelimit-limit", b"gw-ratelimit-remaining", b"gw-ratelimit-reset"),
        *(b"retry-after", b"date"),
    )
)


@given(
    st.sampled_from(EXCHANGE.endpoints),
    st.integers(100, 599) | st.sampled_from((200, 403, 429)),
    st.binary(max_size=30) | st.lists(pieces, max_size=12).map(b"".join),
    st.lists(st.tuples(names, st.binary(max_size=12) | st.just(b"4000")), max_size=5),
)
def test_no_answer_whatever_is_more_than_it_could_be(
    endpoint: Endpoint, status: int, body: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    verdict = EXCHANGE.classify(endpoint, answer(status, body, headers))
    assert verdict.outcome in ("ok", "exchange_error", "unknown")
    assert verdict.outcome != "ok" or 200 <= status < 300
    assert endpoint.action is not Action.READ or verdict.outcome != "unknown"
    assert len(verdict.code) <= 40
    assert len(verdict.order_ids) <= 20 * 41
    assert 0 <= verdict.retry_ms <= 60_000
    assert verdict.retry_ms == 0 or verdict.rate_refused
    if verdict.quota is not None:
        assert verdict.quota.pool in POOLS
        assert 0 <= verdict.quota.remaining <= verdict.quota.limit <= 1_000_000
        assert 0 <= verdict.quota.reset_ms <= 60_000


def test_many_order_ids_are_cut() -> None:
    body = json.dumps({"code": "200000", "data": {"cancelledOrderIds": ["a" * 24] * 50}}).encode()
    endpoint = ROWS["futures", "DELETE v3/orders"]
    assert EXCHANGE.classify(endpoint, answer(200, body, [])).order_ids.count(",") == 19


REFUSALS: Final = {
    "missing_credentials": (400, "400001", "Please check the header of your request for KC-API-"),
    "unknown_key": (401, "400003", "KC-API-KEY not exists"),
    "user_disabled": (401, "400003", "KC-API-KEY not exists"),
    "bad_passphrase": (401, "400004", "Invalid KC-API-PASSPHRASE"),
    "bad_signature": (401, "400005", "Invalid KC-API-SIGN"),
    "stale_timestamp": (400, "400002", "Invalid KC-API-TIMESTAMP"),
    "replayed": (400, "400002", "Invalid KC-API-TIMESTAMP"),
    "ip_not_allowed": (403, "400006", "Invalid request ip"),
    "forbidden_endpoint": (403, "400007", "Access denied, require more permission"),
    "bad_request": (400, "400100", ""),
    "tag_conflict": (400, "400100", ""),
    "body_too_large": (413, "400100", ""),
    "rate_limited": (429, "429000", "Too Many Requests"),
    "expired": (400, "400002", ""),
    "upstream_unreachable": (503, "503000", ""),
    "shutting_down": (503, "503000", ""),
    "not_ready": (503, "503000", ""),
    "overloaded": (503, "503000", ""),
    "exchange_ban": (503, "503000", ""),
    "internal": (503, "503000", ""),
    "upstream_unknown": (504, "504000", ""),
}


@pytest.mark.parametrize("slug", SLUGS)
def test_refusals_have_kucoins_status_code_and_words(slug: Any) -> None:
    status, code, words = REFUSALS[slug]
    given_status, body = EXCHANGE.refusal(slug, b"/api/v1/orders", "[tagproxy x: \udc80, req 1]")
    content = json.loads(body)
    assert (given_status, content["code"]) == (status, code)
    assert content["msg"].startswith(words)
    assert content["msg"].endswith(" [tagproxy x: ?, req 1]")
    assert set(content) == {"code", "msg"}
