"""The built-in table against what was learnt of OKX: counts, tags, pools, sensitive paths."""

from __future__ import annotations

from collections import Counter

import pytest

from proxy.exchanges.okx import EXCHANGE
from proxy.exchanges.okx.rows import TABLE, sensitive_class
from proxy.model import Action, Endpoint, Tag

ROWS = {endpoint.label: endpoint for endpoint in EXCHANGE.endpoints}
POOLS = {pool.name: pool for pool in EXCHANGE.pools}

BODY_TAGS = (
    "trade/order",
    "trade/order-algo",
    "trade/close-position",
    "sprd/order",
    "rfq/create-rfq",
    "rfq/create-quote",
    "asset/convert/estimate-quote",
    "asset/convert/trade",
    "copytrading/algo-order",
    "copytrading/close-subposition",
    "copytrading/first-copy-settings",
    "copytrading/amend-copy-settings",
    "tradingBot/grid/order-algo",
    "tradingBot/grid/copy-order-algo",
    "tradingBot/dca/create",
    "tradingBot/recurring/order-algo",
    "finance/staking-defi/purchase",
)


def names(endpoint: Endpoint) -> list[str]:
    return [draw.pool.name for draw in endpoint.draws]


def test_the_table_is_whole() -> None:
    assert Counter(endpoint.method for endpoint in EXCHANGE.endpoints) == {
        "GET": 280,
        "POST": 168,
        "WS": 14,
    }
    unpublished = [
        endpoint for endpoint in EXCHANGE.endpoints if not endpoint.draws[0].pool.published
    ]
    assert len(unpublished) == 44
    assert {endpoint.checked for endpoint in EXCHANGE.endpoints} == {"2026-11-20"}


def test_exactly_the_documented_calls_carry_the_tag() -> None:
    tagged = {label: row.tag for label, row in ROWS.items() if row.tag is not Tag.NONE}
    assert tagged == {
        **{f"POST {path}": Tag.BODY for path in BODY_TAGS},
        "POST trade/batch-orders": Tag.EACH_ITEM,
        "WS order": Tag.WS_ARGS,
        "WS batch-orders": Tag.WS_ARGS,
        "WS sprd-order": Tag.WS_ARGS,
        "POST trade/cancel-all-after": Tag.SCOPE,
        "GET asset/convert/history": Tag.QUERY_FILTER,
    }


@pytest.mark.parametrize(
    ("rest", "ws"),
    [
        ("POST trade/order", "WS order"),
        ("POST trade/batch-orders", "WS batch-orders"),
        ("POST trade/amend-order", "WS amend-order"),
        ("POST trade/amend-batch-orders", "WS batch-amend-orders"),
        ("POST trade/cancel-order", "WS cancel-order"),
        ("POST trade/cancel-batch-orders", "WS batch-cancel-orders"),
        ("POST trade/mass-cancel", "WS mass-cancel"),
        ("POST sprd/order", "WS sprd-order"),
        ("POST sprd/amend-order", "WS sprd-amend-order"),
        ("POST sprd/cancel-order", "WS sprd-cancel-order"),
    ],
)
def test_rest_and_websocket_draw_on_one_budget(rest: str, ws: str) -> None:
    assert ROWS[rest].draws == ROWS[ws].draws
    assert ROWS[rest].single_item_draws == ROWS[ws].single_item_draws
    assert names(ROWS[rest])[0] == f"POST {ROWS[rest].path}"


def test_a_batch_of_one_draws_on_the_single_budget() -> None:
    pairs = {
        label: row.single_item_draws[0].pool.name
        for label, row in ROWS.items()
        if row.single_item_draws and row.method == "POST"
    }
    assert pairs == {
        "POST trade/batch-orders": "POST /api/v5/trade/order",
        "POST trade/amend-batch-orders": "POST /api/v5/trade/amend-order",
        "POST trade/cancel-batch-orders": "POST /api/v5/trade/cancel-order",
    }


def test_the_sub_accounts_cap_counts_new_and_amended_orders_only() -> None:
    counted = {label for label, row in ROWS.items() if "subaccount-orders" in names(row)}
    assert counted == {
        "POST trade/order",
        "POST trade/batch-orders",
        "POST trade/amend-order",
        "POST trade/amend-batch-orders",
        "WS order",
        "WS batch-orders",
        "WS amend-order",
        "WS batch-amend-orders",
    }
    pool = POOLS["subaccount-orders"]
    assert (pool.count, pool.window_ns, pool.scope) == (1000, 2_000_000_000, ("user",))


def test_limits_stand_as_published() -> None:
    order = POOLS["POST /api/v5/trade/order"]
    assert (order.count, order.window_ns) == (60, 2_000_000_000)
    assert (order.scope, order.option_scope) == (("user", "instrument"), ("user", "instFamily"))
    batch = POOLS["POST /api/v5/trade/batch-orders"]
    assert (batch.count, ROWS["POST trade/batch-orders"].items_max) == (300, 20)
    assert POOLS["rfq-half-day"].window_ns == 12 * 3_600_000_000_000
    assert POOLS["ws-session-ops"].scope == ("connection",)
    assert TABLE.lead_traders["POST trade/order"] == (4, 2_000_000_000)
    assert TABLE.lead_traders["POST trade/order-algo"] == (1, 2_000_000_000)
    assert len(TABLE.lead_traders) == 9


@pytest.mark.parametrize(
    ("label", "action"),
    [
        ("POST trade/order", Action.PLACE),
        ("POST trade/order-precheck", Action.READ),
        ("POST trade/close-position", Action.PLACE),
        ("POST copytrading/close-subposition", Action.PLACE),
        ("POST tradingBot/grid/stop-order-algo", Action.CANCEL),
        ("POST trade/cancel-all-after", Action.CANCEL),
        ("POST trade/amend-order", Action.AMEND),
        ("POST account/set-leverage", Action.SET),
        ("POST asset/transfer", Action.MOVE),
        ("GET trade/order", Action.READ),
    ],
)
def test_actions(label: str, action: Action) -> None:
    assert ROWS[label].action is action


def test_what_carries_a_code_is_never_a_read() -> None:
    assert all(row.action is not Action.READ for row in ROWS.values() if row.tag is Tag.BODY)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/api/v5/asset/withdrawal", "withdraw"),
        ("POST", "/api/v5/asset/withdrawal-lightning", "withdraw"),
        ("POST", "/api/v5/asset/cancel-withdrawal", "withdraw"),
        ("GET", "/api/v5/asset/withdrawal-history", ""),
        ("POST", "/api/v5/asset/withdrawal-history", "withdraw"),
        ("POST", "/api/v6/asset/withdrawal", "withdraw"),
        ("POST", "/api/v5/asset/transfer", "transfer"),
        ("GET", "/api/v5/asset/transfer-state", ""),
        ("POST", "/api/v5/account/move-positions", "transfer"),
        ("GET", "/api/v5/asset/deposit-address", "deposit"),
        ("GET", "/api/v9/some/deposit-address", "deposit"),
        ("GET", "/api/v5/users/subaccount/apikey", "keys"),
        ("POST", "/api/v5/users/subaccount/modify-apikey", "keys"),
        ("PUT", "/api/v5/users/new-apikeys", "keys"),
        ("POST", "/api/v5/users/subaccount/create-subaccount", "subaccount"),
        ("GET", "/api/v5/users/subaccount/list", ""),
        ("DELETE", "/api/v5/users/subaccount/list", "subaccount"),
        ("GET", "/api/v5/broker/fd/if-rebate", "broker"),
        ("GET", "/api/v5/asset/broker/dma/subaccount-deposit-history", "broker"),
        ("POST", "/api/v5/broker/nd/withdrawal", "broker"),
        ("POST", "/v5/users/oauth/token", "keys"),
        ("GET", "/api/v5/affiliate/invitee/detail", ""),
        ("POST", "/api/v5/trade/order", ""),
        ("GET", "/", ""),
    ],
)
def test_sensitive_paths_are_known_by_row_and_by_look(
    method: str, path: str, expected: str
) -> None:
    assert sensitive_class(method, path) == expected


def test_sensitive_rows_and_paths_agree() -> None:
    for row in EXCHANGE.endpoints:
        if row.method != "WS":
            assert sensitive_class(row.method, row.path.lower()) == row.sensitive


def test_the_operators_own_calls_are_one_class() -> None:
    brokers = [row for row in EXCHANGE.endpoints if "/broker/" in row.path]
    assert len(brokers) == 21
    assert {row.sensitive for row in brokers} == {"broker"}
