"""Answers of any bytes, and our refusals in OKX's words: the contract's table."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Slug
from proxy.exchanges.okx import EXCHANGE
from proxy.model import Action, Response

ROWS = {endpoint.label: endpoint for endpoint in EXCHANGE.endpoints}


@pytest.mark.parametrize(
    ("slugs", "status", "code"),
    [
        (["missing_credentials"], 401, "50103"),
        (["unknown_key", "user_disabled"], 401, "50111"),
        (["bad_passphrase"], 401, "50105"),
        (["bad_signature"], 401, "50113"),
        (["stale_timestamp", "replayed"], 401, "50102"),
        (["ip_not_allowed"], 401, "50110"),
        (["forbidden_endpoint"], 403, "50120"),
        (["bad_request", "tag_conflict"], 400, "51000"),
        (["body_too_large"], 413, "51000"),
        (["rate_limited"], 429, "50011"),
        (["expired"], 200, "50037"),
        (
            [
                "upstream_unreachable",
                "shutting_down",
                "not_ready",
                "overloaded",
                "exchange_ban",
                "internal",
            ],
            503,
            "50001",
        ),
        (["upstream_unknown"], 504, "50004"),
    ],
)
def test_a_refusal_has_okxs_status_and_code(slugs: list[Slug], status: int, code: str) -> None:
    for slug in slugs:
        got, body = EXCHANGE.refusal(slug, b"/api/v5/trade/order", f"[tagproxy {slug}: x, req 1]")
        answer = json.loads(body)
        assert (got, answer["code"], answer["data"]) == (status, code, [])


def test_a_refusal_begins_with_okxs_words_and_ends_with_ours() -> None:
    _, body = EXCHANGE.refusal("rate_limited", b"/", "[tagproxy rate_limited: x, NOT SENT, req 1]")
    assert json.loads(body)["msg"] == (
        "Too Many Requests [tagproxy rate_limited: x, NOT SENT, req 1]"
    )


def test_a_refusal_survives_text_that_is_no_text() -> None:
    _, body = EXCHANGE.refusal("bad_request", b"/", "[\ud800]")
    assert json.loads(body)["msg"] == "Parameter error [?]"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("code", "data", "sCode", "ordId", "x")), inner, max_size=4
        )
    ),
    max_leaves=8,
)
answers = st.one_of(
    st.binary(max_size=60), json_values.map(lambda value: json.dumps(value).encode())
)


@given(st.sampled_from(("POST trade/order", "GET trade/order")), st.integers(100, 599), answers)
def test_any_answer_has_a_meaning(label: str, status: int, body: bytes) -> None:
    verdict = EXCHANGE.classify(ROWS[label], Response(status, [], body, keep_alive=True))
    assert verdict.outcome in ("ok", "exchange_error", "unknown")
    assert verdict.processed or verdict.rate_refused
    if ROWS[label].action is Action.READ:
        assert verdict.outcome != "unknown"
    elif verdict.outcome == "ok":
        assert json.loads(body)["code"] in ("0", 0)
        assert status < 300


def test_the_list_of_order_ids_is_bounded() -> None:
    data = [{"ordId": str(number) * 3, "algoId": "x" * 41} for number in range(100)]
    body = json.dumps({"code": "0", "data": data}).encode()
    verdict = EXCHANGE.classify(
        ROWS["POST trade/batch-orders"], Response(200, [], body, keep_alive=True)
    )
    assert verdict.order_ids.split(",") == [str(number) * 3 for number in range(20)]
