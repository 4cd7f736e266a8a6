"""What MEXC does not publish is a choice: whose the budgets are."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from proxy.exchanges.mexc import EXCHANGE, configured
from proxy.exchanges.spec import Exchange
from proxy.model import Request


def drawn(exchange: Exchange, label: str) -> list[tuple[str, str]]:
    """The names and subjects of the pools that a call draws on."""
    endpoint = next(row for row in exchange.endpoints if row.label == label)
    request = Request(
        endpoint.method.encode(), endpoint.path.encode(), {}, IPv4Address("127.0.0.1"), 0
    )
    charged = exchange.charges(endpoint, request, None)
    return [(charge.pool.name, charge.pool.scope[0]) for charge in charged]


SHARED = [("spot-orders", "user"), ("spot-orders per ip", "ip")]
BATCH = [
    *SHARED,
    ("POST /api/v3/batchOrders", "user"),
    ("POST /api/v3/batchOrders per ip", "ip"),
]
CREATE = [
    ("futures POST /api/v1/private/order/create", "user"),
    ("futures POST /api/v1/private/order/create per ip", "ip"),
]


@pytest.mark.parametrize(
    ("options", "label", "expected"),
    [
        ({}, "DELETE v3/order", SHARED),
        ({"order_subject": "both"}, "POST v3/order", SHARED),
        ({"order_subject": "account"}, "POST v3/order", SHARED[:1]),
        ({"order_subject": "address"}, "POST v3/order", SHARED[1:]),
        ({"order_subject": "account"}, "POST v3/batchOrders", BATCH[::2]),
        ({"order_subject": "address"}, "POST v3/batchOrders", BATCH[1::2]),
        ({"order_subject": "account"}, "POST v1/private/order/create", CREATE),
        ({"futures_subject": "account"}, "POST v1/private/order/create", CREATE[:1]),
        ({"futures_subject": "address"}, "POST v1/private/order/create", CREATE[1:]),
        ({"futures_subject": "address"}, "POST v3/order", SHARED),
        (
            {"futures_subject": "account"},
            "GET v1/contract/ticker",
            [("futures GET /api/v1/contract/ticker", "ip")],
        ),
        (
            {"order_subject": "account", "futures_subject": "account"},
            "GET v3/order",
            [("GET /api/v3/order", "ip"), ("GET /api/v3/order per user", "user")],
        ),
    ],
)
def test_the_subject_of_orders_follows_the_options(
    options: dict[str, str], label: str, expected: list[tuple[str, str]]
) -> None:
    assert drawn(configured(options), label) == expected


def test_whatever_the_options_every_call_draws_and_every_pool_is_drawn_on() -> None:
    for orders in ("both", "account", "address"):
        for futures in ("both", "account", "address"):
            exchange = configured({"order_subject": orders, "futures_subject": futures})
            assert len(exchange.endpoints) == 199
            assert all(row.draws for row in exchange.endpoints)
            names = {draw.pool.name for row in exchange.endpoints for draw in row.draws}
            assert names == {pool.name for pool in exchange.pools}


def test_left_out_options_have_their_defaults() -> None:
    defaults = {option.name: option.default for option in EXCHANGE.options}
    exchange, other = configured({}), configured(defaults)
    assert exchange.endpoints == other.endpoints == EXCHANGE.endpoints
    assert set(exchange.pools) == set(EXCHANGE.pools)
    assert exchange.sign is other.sign is EXCHANGE.sign
    assert all(option.default in option.words for option in EXCHANGE.options)


def test_what_costs_the_same_is_the_very_same_tuple() -> None:
    endpoint = EXCHANGE.endpoints[0]
    request = Request(b"GET", b"/", {}, IPv4Address("127.0.0.1"), 0)
    assert EXCHANGE.charges(endpoint, request, None) is EXCHANGE.charges(endpoint, request, None)
