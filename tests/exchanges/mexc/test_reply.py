"""Answers of any bytes, and our refusals in MEXC's words: the contract's table."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import SLUGS, Slug
from proxy.exchanges.mexc import EXCHANGE
from proxy.model import NO_BAN, Action, Response

ROWS = {endpoint.label: endpoint for endpoint in EXCHANGE.endpoints}
SPOT = b"/api/v3/order"
FUTURES = b"/api/v1/private/order/create"


@pytest.mark.parametrize(
    ("slugs", "spot", "futures"),
    [
        (["missing_credentials"], (400, 400), (401, 401)),
        (["unknown_key", "user_disabled"], (400, 10072), (401, 402)),
        (["bad_signature"], (400, 700002), (401, 602)),
        (["stale_timestamp", "replayed"], (400, 700003), (401, 513)),
        (["ip_not_allowed"], (400, 700006), (401, 406)),
        (["forbidden_endpoint"], (403, 700007), (403, 701)),
        (["bad_request", "tag_conflict"], (400, 700004), (400, 600)),
        (["body_too_large"], (413, 700013), (413, 600)),
        (["rate_limited"], (429, 429), (200, 510)),
        (["expired"], (400, 700003), (401, 513)),
        (
            [
                "upstream_unreachable",
                "shutting_down",
                "not_ready",
                "overloaded",
                "exchange_ban",
                "internal",
            ],
            (503, 503),
            (503, 501),
        ),
        (["upstream_unknown"], (504, 504), (504, 504)),
    ],
)
def test_a_refusal_has_mexcs_status_and_code(
    slugs: list[Slug], spot: tuple[int, int], futures: tuple[int, int]
) -> None:
    for slug in slugs:
        status, body = EXCHANGE.refusal(slug, SPOT, "[x]")
        assert (status, json.loads(body)["code"]) == spot
        status, body = EXCHANGE.refusal(slug, FUTURES, "[x]")
        assert (status, json.loads(body)["code"]) == futures


def test_a_refusal_has_the_shape_of_the_api_that_was_called() -> None:
    for slug in SLUGS:
        spot = json.loads(EXCHANGE.refusal(slug, SPOT, "[x]")[1])
        assert list(spot) == ["code", "msg"]
        futures = json.loads(EXCHANGE.refusal(slug, FUTURES, "[x]")[1])
        assert list(futures) == ["success", "code", "message", "msg"]
        assert futures["success"] is False
        assert futures["message"] == futures["msg"]
        assert futures["msg"].endswith(" [x]")
    prefixed = json.loads(EXCHANGE.refusal("bad_request", b"/mexc/futures" + FUTURES, "[x]")[1])
    assert prefixed["success"] is False


def test_a_refusal_begins_with_mexcs_words_and_ends_with_ours() -> None:
    detail = "[tagproxy rate_limited: x, NOT SENT, req 1]"
    _, body = EXCHANGE.refusal("rate_limited", SPOT, detail)
    assert json.loads(body)["msg"] == f"Too Many Requests {detail}"
    _, body = EXCHANGE.refusal("rate_limited", FUTURES, detail)
    assert json.loads(body)["msg"] == (
        f"Requests are too frequent, please try again later {detail}"
    )


def test_a_refusal_survives_text_that_is_no_text() -> None:
    for path in (SPOT, FUTURES):
        _, body = EXCHANGE.refusal("bad_request", path, "[\ud800]")
        assert json.loads(body)["msg"] == "Parameter error [?]"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("code", "data", "success", "errorCode", "orderId", "symbol")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
answers = st.one_of(
    st.binary(max_size=60),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=20).map(lambda rest: b'{"symbol":"X","orderId":"1"' + rest),
    st.binary(max_size=20).map(lambda rest: b'{"success":true,"code":0,"orderId":"1"' + rest),
    st.binary(max_size=20).map(lambda rest: b"[" + rest * 100),
)
LABELS = (
    "POST v3/order",
    "POST v3/batchOrders",
    "GET v3/order",
    "POST v1/private/order/create",
    "POST v1/private/order/cancel",
    "GET v1/private/account/assets",
)


@given(st.sampled_from(LABELS), st.integers(100, 599) | st.just(200), answers)
def test_any_answer_has_a_meaning(label: str, status: int, body: bytes) -> None:
    verdict = EXCHANGE.classify(ROWS[label], Response(status, [], body, keep_alive=True))
    assert verdict.outcome in ("ok", "exchange_error", "unknown")
    assert verdict.processed or verdict.rate_refused or verdict.ban_ms != NO_BAN
    assert len(verdict.code) <= 40
    assert len(verdict.order_ids) <= 50 * 41
    if ROWS[label].action is Action.READ:
        assert verdict.outcome != "unknown"
        assert verdict.order_ids == ""
    elif verdict.outcome == "ok":
        assert 200 <= status < 300
        assert body.rstrip().endswith((b"}", b"]"))


def test_the_list_of_order_ids_is_bounded() -> None:
    body = json.dumps([{"orderId": str(number)} for number in range(100)]).encode()
    verdict = EXCHANGE.classify(
        ROWS["POST v3/batchOrders"], Response(200, [], body, keep_alive=True)
    )
    assert verdict.order_ids.split(",") == [str(number) for number in range(50)]


@pytest.mark.parametrize("value", ['"' + "x" * 41 + '"', '"a b"', "1.5", "true", "{}", '""'])
def test_what_is_no_order_id_is_left_out(value: str) -> None:
    body = b'{"a":1,"orderId":' + value.encode() + b"}"
    verdict = EXCHANGE.classify(ROWS["POST v3/order"], Response(200, [], body, keep_alive=True))
    assert (verdict.outcome, verdict.order_ids) == ("ok", "")


_PAGE = b"<html><body>error code: 1015</body></html>"


@pytest.mark.parametrize("label", ["POST v3/order", "GET v3/order", "POST v1/private/order/create"])
@pytest.mark.parametrize(
    ("status", "headers", "body", "ban_ms"),
    [
        (403, [], b"<html>Forbidden</html>", 0),
        (403, [], b"", 0),
        (403, [(b"retry-after", b"60")], b'{"code":403,"msg":"x"}', 60_000),
        (418, [(b"retry-after", b"120")], b"", 120_000),
        (418, [(b"retry-after", b"120")], b'{"code":429,"msg":"banned"}', 120_000),
        (429, [], _PAGE, 0),
        (429, [(b"retry-after", b"30")], b"", 30_000),
        (429, [], b"", NO_BAN),
        (502, [(b"retry-after", b"30")], _PAGE, NO_BAN),
        (403, [], b'{"code":700007,"msg":"No permission to access the endpoint."}', NO_BAN),
        (429, [(b"retry-after", b"1")], b'{"code":429,"msg":"Too Many Requests"}', NO_BAN),
        (200, [], b'{"code":403,"msg":"x"}', NO_BAN),
    ],
)
def test_the_edges_refusal_is_of_our_address_and_did_nothing(
    label: str, status: int, headers: list[tuple[bytes, bytes]], body: bytes, ban_ms: int
) -> None:
    verdict = EXCHANGE.classify(ROWS[label], Response(status, headers, body, keep_alive=True))
    assert verdict.ban_ms == ban_ms
    if ban_ms != NO_BAN:
        assert (verdict.processed, verdict.key_refused) == (False, False)


@pytest.mark.parametrize(
    ("label", "code", "refused"),
    [
        ("POST v3/order", 10072, True),
        ("GET v3/order", 10072, True),
        ("POST v3/order", 700006, True),
        ("POST v3/order", 402, False),
        ("POST v3/order", 30004, False),
        ("POST v1/private/order/create", 402, True),
        ("GET v1/private/account/assets", 406, True),
        ("POST v1/private/order/create", 602, True),
        ("POST v1/private/order/create", 10072, False),
        ("POST v1/private/order/create", 2005, False),
    ],
)
def test_an_answer_tells_whether_the_key_is_taken(label: str, code: int, refused: bool) -> None:
    body = json.dumps({"code": code, "msg": "no"}).encode()
    verdict = EXCHANGE.classify(ROWS[label], Response(400, [], body, keep_alive=True))
    assert verdict.key_refused is refused
