"""The built-in table against what was learnt of MEXC (rows.json), and sensitive paths."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from proxy.exchanges.mexc import EXCHANGE
from proxy.exchanges.mexc.rows import sensitive_class, unserved
from proxy.exchanges.row import window
from proxy.model import Action, Endpoint, Tag

FACTS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("rows.json").read_text())
ROWS = {endpoint.label: endpoint for endpoint in EXCHANGE.endpoints}
CALLS = {f"{row.method} {row.path}": row for row in EXCHANGE.endpoints}
SPOT_ORDERS = ("spot-orders", "spot-orders per ip")


def budgets(endpoint: Endpoint, subject: str) -> list[tuple[int, int, int]]:
    """Count, window and weight of what a call draws on as one subject."""
    return [
        (draw.pool.count, draw.pool.window_ns, draw.weight)
        for draw in endpoint.draws
        if draw.pool.scope[0] == subject
    ]


def expected(fact: dict[str, Any], kind: str) -> list[tuple[int, int, int]]:
    """What one kind of budget of a fact comes to; only weight is more than one."""
    found = []
    for budget in fact["budgets"]:
        name, _, limit = budget.partition(":")
        if name == kind:
            told = window(limit)
            assert told is not None
            found.append((*told, fact["weight"] if name == "spot-ip" else 1))
    return found


def test_the_table_has_every_row_and_no_other() -> None:
    assert sorted(CALLS) == sorted(fact["call"] for fact in FACTS)
    assert len(FACTS) == len(CALLS) == len(EXCHANGE.endpoints) == 199
    assert Counter(row.method for row in EXCHANGE.endpoints) == {
        "GET": 124,
        "POST": 65,
        "DELETE": 9,
        "PUT": 1,
    }
    assert {row.checked for row in EXCHANGE.endpoints} == {"2026-11-20"}
    assert all(draw.pool.published for row in EXCHANGE.endpoints for draw in row.draws)


@pytest.mark.parametrize("fact", [pytest.param(fact, id=fact["call"]) for fact in FACTS])
def test_limits_stand_as_published(fact: dict[str, Any]) -> None:
    row = CALLS[fact["call"]]
    assert row.venue == ("futures" if fact["api"] == "futures" else "main")
    public = fact["permission"] == "public"
    assert (row.permission == "public") is public
    weighed, own = expected(fact, "spot-ip"), expected(fact, "own")
    orders, futures = expected(fact, "spot-order"), expected(fact, "futures")
    assert len(weighed) + len(orders) + len(futures) + len(own) == len(fact["budgets"])
    by_ip, by_user = budgets(row, "ip"), budgets(row, "user")
    if public:
        assert (by_ip, by_user) == (weighed + own + futures, [])
    elif orders or futures:  # whose they are is not published: both
        assert by_ip == by_user == orders + futures + own
    else:
        assert (by_ip, by_user) == (weighed, weighed + own)


@pytest.mark.parametrize("fact", [pytest.param(fact, id=fact["call"]) for fact in FACTS])
def test_the_code_is_counted_where_orders_are_created(fact: dict[str, Any]) -> None:
    row = CALLS[fact["call"]]
    assert (row.tag is Tag.HEADERS) is (fact["source"] != "no")
    if row.tag is Tag.HEADERS:
        assert row.creates_or_moves


@pytest.mark.parametrize(
    "fact", [pytest.param(fact, id=fact["call"]) for fact in FACTS if fact["blocked"]]
)
def test_what_a_safe_proxy_blocks_needs_a_grant(fact: dict[str, Any]) -> None:
    row = CALLS[fact["call"]]
    assert row.sensitive or row.path == "/api/v3/capital/convert"
    assert row.action in (Action.MOVE, Action.CANCEL) or row.method == "GET"


def test_order_calls_share_one_budget() -> None:
    sharing = {
        label
        for label, row in ROWS.items()
        if [draw.pool.name for draw in row.draws][:2] == list(SPOT_ORDERS)
    }
    assert sharing == {
        "POST v3/order",
        "POST v3/batchOrders",
        "DELETE v3/order",
        "DELETE v3/openOrders",
        "DELETE v3/order/all",
    }
    first, second = ROWS["POST v3/order"], ROWS["DELETE v3/openOrders"]
    assert [draw.pool for draw in first.draws] == [draw.pool for draw in second.draws]
    assert {draw.pool.name for draw in ROWS["POST v3/order/test"].draws}.isdisjoint(SPOT_ORDERS)


def test_no_other_budget_is_shared() -> None:
    drawn = Counter(draw.pool.name for row in EXCHANGE.endpoints for draw in row.draws)
    assert {name for name, count in drawn.items() if count > 1} == set(SPOT_ORDERS)
    assert set(drawn) == {pool.name for pool in EXCHANGE.pools}


@pytest.mark.parametrize(
    ("label", "count", "window_s"),
    [
        ("POST v1/private/order/create", 4, 2),
        ("POST v1/private/order/submit", 4, 2),
        ("POST v1/private/stoporder/place", 5, 2),
        ("POST v1/private/order/cancel", 20, 2),
        ("POST v1/private/position/change_leverage", 10, 10),
        ("GET v1/private/order/batch_query", 5, 2),
        ("GET v1/contract/ticker", 10, 2),
        ("GET v3/announcements", 5, 2),
    ],
)
def test_some_limits_by_hand(label: str, count: int, window_s: int) -> None:
    assert {(draw.pool.count, draw.pool.window_ns) for draw in ROWS[label].draws} == {
        (count, window_s * 1_000_000_000)
    }


def test_arrays_have_a_longest_length() -> None:
    arrays = {label: row.items_max for label, row in ROWS.items() if row.items_max > 1}
    assert arrays == {"POST v3/batchOrders": 20, "POST v1/private/order/submit_batch": 50}


@pytest.mark.parametrize(
    ("label", "action"),
    [
        ("POST v3/order", Action.PLACE),
        ("POST v3/order/test", Action.READ),
        ("DELETE v3/order/all", Action.CANCEL),
        ("POST v3/userDataStream", Action.MOVE),
        ("PUT v3/userDataStream", Action.SET),
        ("POST v3/mxDeduct/enable", Action.SET),
        ("POST v3/capital/convert", Action.MOVE),
        ("POST v3/apiKeyInfo", Action.MOVE),
        ("DELETE v3/capital/withdraw", Action.CANCEL),
        ("DELETE v3/sub-account/apiKey", Action.MOVE),
        ("POST v1/private/order/create", Action.PLACE),
        ("POST v1/private/order/change_limit_order", Action.AMEND),
        ("POST v1/private/order/cancel", Action.CANCEL),
        ("POST v1/private/order/batch_cancel_with_external", Action.CANCEL),
        ("POST v1/private/order/batch_query_with_external", Action.READ),
        ("POST v1/private/order/open_order_total_count", Action.READ),
        ("POST v1/private/account/asset/analysis/v3", Action.READ),
        ("POST v1/private/position/close_all", Action.PLACE),
        ("POST v1/private/position/change_margin", Action.MOVE),
        ("POST v1/private/position/change_leverage", Action.SET),
        ("POST v1/private/planorder/change_price", Action.AMEND),
        ("POST v1/private/trackorder/cancel", Action.CANCEL),
    ],
)
def test_actions(label: str, action: Action) -> None:
    assert ROWS[label].action is action


def test_both_methods_of_a_call_that_clients_disagree_on_are_served() -> None:
    labels = [label for label in ROWS if label.endswith("/open_order_total_count")]
    assert sorted(label.partition(" ")[0] for label in labels) == ["GET", "POST"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/api/v3/capital/withdraw", "withdraw"),
        ("POST", "/api/v3/capital/withdraw/apply", "withdraw"),
        ("DELETE", "/api/v3/capital/withdraw", "withdraw"),
        ("GET", "/api/v3/capital/withdraw/history", ""),
        ("PUT", "/api/v3/capital/withdraw/history", "withdraw"),
        ("POST", "/api/v4/capital/withdraw", "withdraw"),
        ("POST", "/api/v3/capital/transfer", "transfer"),
        ("POST", "/api/v3/capital/transfer/internal", "transfer"),
        ("GET", "/api/v3/capital/transfer", ""),
        ("POST", "/api/v3/capital/sub-account/universaltransfer", "transfer"),
        ("POST", "/api/v3/capital/convert", ""),
        ("POST", "/api/v3/capital/deposit/address", "deposit"),
        ("GET", "/api/v3/capital/deposit/address", "deposit"),
        ("GET", "/api/v3/capital/deposit/hisrec", ""),
        ("POST", "/api/v3/apikeyinfo", "keys"),
        ("GET", "/api/v3/apikeyinfo", ""),
        ("DELETE", "/api/v3/apikeyinfo", "keys"),
        ("GET", "/api/v3/sub-account/apikey", "keys"),
        ("POST", "/api/v3/sub-account/virtualsubaccount", "subaccount"),
        ("GET", "/api/v3/sub-account/list", ""),
        ("DELETE", "/api/v3/sub-account/list", "subaccount"),
        ("GET", "/api/v3/broker/rebate/taxquery", "broker"),
        ("POST", "/api/v3/broker/capital/withdraw/apply", "broker"),
        ("POST", "/api/v9/broker/anything", "broker"),
        ("POST", "/oauth/token", "keys"),
        ("GET", "/api/v3/rebate/taxquery", ""),
        ("POST", "/api/v3/order", ""),
        ("GET", "/", ""),
    ],
)
def test_sensitive_paths_are_known_by_row_and_by_look(
    method: str, path: str, expected: str
) -> None:
    assert sensitive_class(method, path) == expected


def test_sensitive_rows_and_paths_agree() -> None:
    for row in EXCHANGE.endpoints:
        assert sensitive_class(row.method, row.path.lower()) == row.sensitive


def test_the_operators_own_calls_are_one_class() -> None:
    brokers = [row for row in EXCHANGE.endpoints if "/broker/" in row.path]
    assert len(brokers) == 16
    assert {row.sensitive for row in brokers} == {"broker"}


@pytest.mark.parametrize(
    ("path", "served"),
    [
        ("/open/api/v2/order/place", False),
        ("/api/v3/margin/order", False),
        ("/api/v3/new", True),
        ("/api/v1/private/order/new", True),
    ],
)
def test_what_is_out_of_service_says_why(path: str, served: bool) -> None:
    assert (unserved("POST", path) == "") is served
    assert (unserved("GET", path) == "") is served
