"""Whose order it is: the outcomes that the documentation names."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.sim.kucoin import SimulatedKucoin
from proxy.sim.kucoin.desk import DEMO_PARTNERS
from tests.sim.kucoin.client import CONTRACT_ORDER, LIVE, ORDER, Client

PLACE = {"main": "/api/v1/hf/orders", "futures": "/api/v1/orders"}
ORDERS: dict[str, Any] = {"main": ORDER, "futures": CONTRACT_ORDER}


@pytest.mark.parametrize("venue", ["main", "futures"])
@pytest.mark.parametrize("verify", [True, False])
async def test_a_right_partner_signature_tags_the_order(
    client: Client, kucoin: SimulatedKucoin, venue: str, verify: bool
) -> None:
    change = client.partner(venue, verify=verify)
    answer = await client.call("POST", PLACE[venue], ORDERS[venue], venue=venue, change=change)
    partner = DEMO_PARTNERS[venue]
    (order,) = kucoin.orders
    assert order["id"] == answer.data["orderId"]
    assert order["tags"] == f"partner:{partner.id}"
    assert order["brokerName"] == partner.name
    assert order["venue"] == venue
    assert kucoin.exchange.codes(kucoin.requests[-1]) == [partner.id]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"KC-API-PARTNER-SIGN": "wrong"}, "400201"),
        ({"KC-API-PARTNER-SIGN": None}, "400201"),
        ({"KC-API-PARTNER": "ccxt"}, "400200"),
        ({"KC-API-PARTNER": None}, "400200"),
    ],
)
async def test_a_wrong_one_is_refused_only_if_it_asks_to_be_verified(
    client: Client, kucoin: SimulatedKucoin, change: dict[str, str | None], code: str
) -> None:
    answer = await client.call("POST", PLACE["main"], ORDER, change={**client.partner(), **change})
    assert (answer.status, answer.code) == (400, code)
    assert kucoin.orders == []
    assert kucoin.exchange.codes(kucoin.requests[-1]) != [DEMO_PARTNERS["main"].id]
    unverified = {**client.partner(verify=False), **change}
    answer = await client.call("POST", PLACE["main"], ORDER, change=unverified)
    assert answer.code == "200000"
    assert [order["tags"] for order in kucoin.orders] == [None]


async def test_the_partner_signs_the_instant_of_the_request(client: Client) -> None:
    change = client.partner(age_ms=1)
    answer = await client.call("POST", PLACE["main"], ORDER, change=change)
    assert answer.code == "400201"
    answer = await client.call("POST", PLACE["main"], ORDER, change=change, age_ms=1)
    assert answer.code == "200000"


async def test_spot_and_futures_partners_are_apart(client: Client) -> None:
    change = client.partner("main")
    answer = await client.call(
        "POST", PLACE["futures"], CONTRACT_ORDER, venue="futures", change=change
    )
    assert answer.code == "400200"


async def test_without_headers_the_users_own_tags_stay(
    client: Client, kucoin: SimulatedKucoin
) -> None:
    await client.call("POST", PLACE["main"], ORDER | {"tags": "mine"})
    assert kucoin.orders[0]["tags"] == "mine"
    assert kucoin.exchange.codes(kucoin.requests[-1]) == [""]
    answer = await client.call("POST", PLACE["main"], ORDER | {"tags": "x" * 21})
    assert answer.code == "400100"


async def test_a_wrong_partner_is_refused_on_reads_too(client: Client) -> None:
    change = {**client.partner(), "KC-API-PARTNER-SIGN": "wrong"}
    assert (await client.call("GET", "/api/v1/accounts", change=change)).code == "400201"


async def test_partners_can_be_added_while_it_runs(client: Client, kucoin: SimulatedKucoin) -> None:
    await client.sim("POST", "accounts", {"partner": "ccxt", "key": "k", "venue": "futures"})
    change = {"KC-API-PARTNER": "ccxt", "KC-API-PARTNER-VERIFY": "true"}
    answer = await client.call("GET", "/api/v1/positions", venue="futures", change=change)
    assert answer.code == "400201"
    answer = await client.call("GET", "/api/v1/accounts", change=change)
    assert answer.code == "400200"


async def test_the_broker_venue_is_for_brokers_with_all_headers(client: Client) -> None:
    target = "/api/v1/broker/nd/info"
    change = client.partner("broker")
    answer = await client.call("GET", target, venue="broker", change=change)
    assert answer.code == "600100"
    await client.sim("POST", "accounts", {"uid": LIVE.uid, "broker": True})
    assert (await client.call("GET", target, venue="broker", change=change)).code == "200000"
    assert (await client.call("GET", target, venue="broker")).code == "400200"
    nameless = {**change, "KC-BROKER-NAME": None}
    answer = await client.call("GET", target, venue="broker", change=nameless)
    assert answer.code == "600100"
