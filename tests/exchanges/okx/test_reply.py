"""Answers of any bytes, and our refusals in OKX's words: the contract's table."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Slug
from proxy.exchanges.okx import EXCHANGE
from proxy.model import NO_BAN, Action, Response

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
    assert verdict.processed or verdict.rate_refused or verdict.ban_ms != NO_BAN
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


_PAGE = b"<html><body>error code: 1015</body></html>"


@pytest.mark.parametrize("label", ["POST trade/order", "GET trade/order"])
@pytest.mark.parametrize(
    ("status", "headers", "body", "ban_ms"),
    [
        (403, [], b"<html>Forbidden</html>", 0),
        (403, [], b"", 0),
        (418, [(b"retry-after", b"120")], b"", 120_000),
        (429, [], _PAGE, 0),
        (429, [], b"error code: 1015", 0),
        (429, [(b"retry-after", b"30")], b"", 30_000),
        (
            429,
            [
                (b"date", b"Sat, 21 Nov 2026 08:00:00 GMT"),
                (b"retry-after", b"Sat, 21 Nov 2026 08:01:30 GMT"),
            ],
            _PAGE,
            90_000,
        ),
        (429, [(b"retry-after", b"soon")], _PAGE, 0),
        (403, [(b"retry-after", b"Mon, 01 Jan 2024 00:00:00 +99999999999999")], b"", 0),
        (429, [(b"retry-after", b"9" * 30)], _PAGE, 604_800_000),
        (429, [], b"", NO_BAN),
        (502, [(b"retry-after", b"30")], _PAGE, NO_BAN),
        (403, [], b'{"code":"50035","msg":"bind an IP"}', NO_BAN),
        (429, [(b"retry-after", b"1")], b'{"code":"50011","msg":"Too Many Requests"}', NO_BAN),
    ],
)
def test_the_edges_refusal_is_of_our_address_and_did_nothing(
    label: str, status: int, headers: list[tuple[bytes, bytes]], body: bytes, ban_ms: int
) -> None:
    verdict = EXCHANGE.classify(ROWS[label], Response(status, headers, body, keep_alive=True))
    assert verdict.ban_ms == ban_ms
    if ban_ms != NO_BAN:
        assert (verdict.processed, verdict.key_refused) == (False, False)


@pytest.mark.parametrize("label", ["POST trade/order", "GET trade/order"])
@pytest.mark.parametrize(("code", "refused"), [("50111", True), ("50110", True), ("51000", False)])
def test_an_answer_tells_whether_the_key_is_taken(label: str, code: str, refused: bool) -> None:
    body = json.dumps({"code": code, "msg": "no"}).encode()
    verdict = EXCHANGE.classify(ROWS[label], Response(401, [], body, keep_alive=True))
    assert verdict.key_refused is refused
