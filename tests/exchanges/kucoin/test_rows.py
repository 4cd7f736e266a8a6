"""The built-in table against what was learnt of KuCoin: every row, its weight, its pool, its class.

`known_rows.txt` has one published call a line: venue, method, path, weight, pool, who is counted,
permission, whether it enters orders, why a careful proxy blocks it; "-" is nothing.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from proxy.exchanges.kucoin import EXCHANGE
from proxy.exchanges.kucoin.quota import POOLS
from proxy.exchanges.kucoin.rows import sensitive_class, unserved
from proxy.model import Action, Endpoint, Tag

ROWS: Final = {(row.venue, row.method, row.path): row for row in EXCHANGE.endpoints}
BOUGHT: Final = {pool.name: pool for pool in EXCHANGE.pools}
# Where a client charges more than the specification, the higher weight is taken; 0 is no weight.
RAISED: Final = {
    ("DELETE", "/api/v1/order/client-order/{clientOid}"): 5,
    ("POST", "/api/v1/stop-order"): 2,
    ("POST", "/api/v2/accounts/inner-transfer"): 15,
    ("GET", "/api/v3/etf/info"): 25,
    ("GET", "/api/v1/my-ip"): 1,
}
CLASSES: Final = {
    "withdraw": "withdraw",
    "transfer": "transfer",
    "deposit_address": "deposit",
    "api_key": "keys",
    "subaccount": "subaccount",
    "operator_only": "broker",
}


class Known(NamedTuple):
    """A line of known_rows.txt."""

    venue: str
    method: str
    path: str
    weight: str
    pool: str
    rule: str
    permission: str
    order: str
    block: str

    def rows(self) -> list[Endpoint]:
        """The rows that stand for it: whole segments only, so two for a size within one."""
        path = self.path.replace("{order-id}", "{orderId}")
        paths = [path.replace("{size}", size) for size in ("20", "100")]
        return [ROWS[self.venue, self.method, each] for each in dict.fromkeys(paths)]


LINES: Final = Path(__file__).with_name("known_rows.txt").read_text("utf-8").splitlines()
KNOWN: Final = [Known(*line.split(" ")) for line in LINES]


def draws(row: Endpoint) -> list[tuple[str, int]]:
    return [(draw.pool.name, draw.weight) for draw in row.draws]


def own_name(row: Endpoint) -> str:
    name = f"{row.method} {row.path}"
    return name if row.venue == "main" else f"{row.venue} {name}"


def test_the_table_is_whole_and_has_nothing_else() -> None:
    assert len(KNOWN) == 300
    assert {id(row) for known in KNOWN for row in known.rows()} == set(map(id, ROWS.values()))
    assert Counter(row.venue for row in ROWS.values()) == {"main": 208, "futures": 76, "broker": 16}
    assert {row.checked for row in ROWS.values()} == {"2026-11-20"}


@pytest.mark.parametrize("known", [pytest.param(known, id=" ".join(known[:3])) for known in KNOWN])
def test_every_row_draws_its_weight_on_its_pool_and_on_the_edges(known: Known) -> None:
    for row in known.rows():
        first, *further = draws(row)
        assert further[-1] == ("edge", 1)
        pool = row.draws[0].pool
        assert pool.scope == (("ip",) if known.rule == "ip" else ("user",))
        if known.weight == "-" or known.pool in ("broker", "unknown"):
            assert first == (own_name(row), 1)
            assert not pool.published
            continue
        weight = RAISED.get((row.method, row.path), int(known.weight))
        if known.path.endswith("{size}") and "callauction" not in known.path:
            weight *= 2 if row.path.endswith("100") else 1
        if known.pool != "public" and known.rule == "ip":
            assert first == (own_name(row), weight)
            assert pool.count == BOUGHT[known.pool].count
        else:
            assert first == (known.pool, weight)
        assert further == [("edge", 1)]


def test_what_has_a_pool_but_no_weight_draws_on_both_limits() -> None:
    both = {own_name(row): draws(row)[1] for row in ROWS.values() if len(row.draws) == 3}
    assert both == {
        "GET /api/v1/earn/promotion/products": ("earn", 5),
        "futures GET /api/v1/recentFills": ("futures", 5),
        "futures GET /api/v2/position": ("futures", 2),
    }


def test_pools_hold_what_is_published_for_vip_0() -> None:
    assert {name: (BOUGHT[name].count, BOUGHT[name].window_ns) for name in POOLS} == {
        "spot": (4000, 30_000_000_000),
        "futures": (2000, 30_000_000_000),
        "management": (2000, 30_000_000_000),
        "earn": (2000, 30_000_000_000),
        "copytrading": (2000, 30_000_000_000),
        "public": (2000, 30_000_000_000),
    }
    edge = BOUGHT["edge"]
    assert (edge.count, edge.window_ns, edge.scope) == (500, 10_000_000_000, ("ip",))
    assert [name for name in POOLS if BOUGHT[name].scope == ("ip",)] == ["public"]


def test_no_request_costs_more_than_its_pool_holds() -> None:
    for row in ROWS.values():
        for draw in row.draws:
            assert draw.weight <= draw.pool.count or not draw.pool.published


@pytest.mark.parametrize("known", [pytest.param(known, id=" ".join(known[:3])) for known in KNOWN])
def test_a_row_is_what_its_call_does(known: Known) -> None:
    for row in known.rows():
        if row.method == "GET" or "bullet-" in row.path or row.path.endswith("/test"):
            assert row.action is Action.READ
        else:
            assert row.action is not Action.READ
        enters = known.order == "order" and row.action is not Action.READ
        assert (row.tag is Tag.HEADERS) is enters
        if known.permission == "public":
            assert row.permission == "public" or row.path.endswith("discount-rate-configs")
        expected = "broker" if "broker" in row.path.lower() else CLASSES.get(known.block, "")
        assert row.sensitive == expected


@pytest.mark.parametrize(
    ("venue", "method", "path", "action"),
    [
        ("main", "POST", "/api/v1/hf/orders", Action.PLACE),
        ("main", "POST", "/api/v1/hf/orders/alter", Action.AMEND),
        ("main", "POST", "/api/v1/hf/orders/dead-cancel-all", Action.CANCEL),
        ("main", "DELETE", "/api/v1/hf/orders/{orderId}", Action.CANCEL),
        ("main", "POST", "/api/v3/margin/borrow", Action.MOVE),
        ("main", "POST", "/api/v1/earn/orders", Action.MOVE),
        ("main", "DELETE", "/api/v1/earn/orders", Action.MOVE),
        ("main", "POST", "/api/v1/convert/order", Action.MOVE),
        ("main", "DELETE", "/api/v1/convert/limit/order/cancel", Action.CANCEL),
        ("main", "POST", "/api/v3/purchase", Action.MOVE),
        ("main", "DELETE", "/api/v1/sub/api-key", Action.MOVE),
        ("main", "POST", "/api/v3/position/update-user-leverage", Action.SET),
        ("main", "POST", "/api/v3/withdrawals", Action.MOVE),
        ("main", "POST", "/api/v2/bullet-private", Action.READ),
        ("futures", "POST", "/api/v1/st-orders", Action.PLACE),
        ("futures", "POST", "/api/v3/transfer-out", Action.MOVE),
        ("futures", "POST", "/api/v1/margin/withdrawMargin", Action.MOVE),
        ("futures", "POST", "/api/v1/position/margin/auto-deposit-status", Action.SET),
        ("futures", "POST", "/api/v2/position/switchPositionMode", Action.SET),
        ("futures", "DELETE", "/api/v1/orders/multi-cancel", Action.CANCEL),
        ("broker", "POST", "/api/v1/broker/nd/transfer", Action.MOVE),
    ],
)
def test_actions(venue: str, method: str, path: str, action: Action) -> None:
    assert ROWS[venue, method, path].action is action


def test_lists_of_orders_are_known() -> None:
    assert {own_name(row): row.items_max for row in ROWS.values() if row.items_max > 1} == {
        "POST /api/v1/hf/orders/multi": 5,
        "POST /api/v1/hf/orders/multi/sync": 5,
        "POST /api/v1/orders/multi": 5,
        "futures POST /api/v1/orders/multi": 20,
    }


def test_the_venue_alone_tells_equal_calls_apart() -> None:
    """Which is why the futures are served below a prefix of their own, and the broker's are not."""
    main, futures, broker = (
        {(row.method, row.path) for row in ROWS.values() if row.venue == venue}
        for venue in ("main", "futures", "broker")
    )
    assert ("POST", "/api/v1/orders") in main & futures
    assert not broker & (main | futures)
    assert [venue.beside_main for venue in EXCHANGE.venues] == [False, False, True]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/api/v3/withdrawals", "withdraw"),
        ("POST", "/api/v4/withdrawals", "withdraw"),
        ("POST", "/api/v1/withdrawals/", "withdraw"),
        ("DELETE", "/api/v1/withdrawals/5bffb63303aa675e8bbe18f9", "withdraw"),
        ("GET", "/api/v1/withdrawals", ""),
        ("GET", "/api/v1/withdrawals/quotas", ""),
        ("POST", "/api/v3/accounts/universal-transfer", "transfer"),
        ("POST", "/api/v4/accounts/universal-transfer", "transfer"),
        ("POST", "/api/v9/accounts/inner-transfer", "transfer"),
        ("POST", "/api/v3/transfer-out", "transfer"),
        ("DELETE", "/api/v1/cancel/transfer-out", "transfer"),
        ("POST", "/api/v2/transfer-in", "transfer"),
        ("GET", "/api/v1/sub/api-key", "keys"),
        ("POST", "/api/v2/sub/api-key/update", "keys"),
        ("DELETE", "/api/v7/sub/api-key", "keys"),
        ("GET", "/api/v1/user/api-key", ""),
        ("POST", "/api/v3/sub/user/created", "subaccount"),
        ("POST", "/api/v3/sub/user/option/enable", "subaccount"),
        ("POST", "/api/v3/deposit-address/create", "deposit"),
        ("POST", "/api/v2/deposit-addresses", "deposit"),
        ("GET", "/api/v3/deposit-addresses", ""),
        ("GET", "/api/v2/broker/queryuser", "broker"),
        ("POST", "/api/v2/broker/withdrawal", "broker"),
        ("POST", "/api/v1/broker/nd/transfer", "broker"),
        ("GET", "/api/v2/asset/ndbroker/deposit/list", "broker"),
        ("POST", "/api/kyc/ndbroker/proxyclient/submit", "broker"),
        ("GET", "/api/kyc/regions/v4", ""),
        ("POST", "/api/ua/v1/asset/withdraw", "withdraw"),
        ("POST", "/api/ua/v1/account/transfer", "transfer"),
        ("POST", "/api/ua/v2/user/sub/create", "subaccount"),
        ("POST", "/api/ua/v1/user/modify-sub-api-key", "keys"),
        ("POST", "/_oauth/access-token", "keys"),
        ("POST", "/api/v1/hf/orders", ""),
        ("GET", "/", ""),
    ],
)
def test_sensitive_paths_are_known_by_row_and_by_look(
    method: str, path: str, expected: str
) -> None:
    assert sensitive_class(method, path) == expected


def test_sensitive_rows_and_paths_agree() -> None:
    for row in ROWS.values():
        assert sensitive_class(row.method, row.path.lower()) == row.sensitive


@pytest.mark.parametrize(
    ("method", "path", "word"),
    [
        ("POST", "/api/ua/v1/unified/order/place", "unified account"),
        ("POST", "/api/ua/v1/classic/order/place", "unified account"),
        ("DELETE", "/api/ua/v2/account/mode", "unified account"),
        ("PUT", "/api/ua", "unified account"),
        ("POST", "//api//ua/v1/x", "unified account"),
        ("GET", "/api/ua/v2/account/fee/kcs-deduct", "unified account"),
        ("GET", "/api/ua/v1/account/mode", ""),
        ("GET", "/api/ua/v1/market/ticker", ""),
        ("POST", "/api/uat/v1/x", ""),
        ("POST", "/api/v1/orders", ""),
        ("GET", "/_api/currency/currency/chain-info", "web site"),
        ("POST", "/_oauth/resource/ucenter/outer/api-key/add", "web site"),
        ("GET", "/oauth", "web site"),
    ],
)
def test_what_is_never_served_is_told_why(method: str, path: str, word: str) -> None:
    why = unserved(method, path)
    assert word in why
    assert bool(why) is bool(word)
