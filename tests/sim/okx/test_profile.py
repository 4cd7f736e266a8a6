"""What is known of an account: shown to its keys, and enforced."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.sim.okx import SimulatedOkx, User
from proxy.sim.okx.profile import Profile
from tests.sim.client import DEMO, LIVE, ORDER, Client, HandClock

SWAP = ORDER | {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "sz": "1"}
OTHER_SWAP = SWAP | {"instId": "ETH-USDT-SWAP", "px": "100"}
TWIN = User("22222222-2222-3333-4444-555555555555", "twin", "twin", "100")
ALGO = {
    "instId": "BTC-USDT-SWAP",
    "tdMode": "cross",
    "side": "buy",
    "ordType": "conditional",
    "sz": "1",
    "tpTriggerPx": "60000",
    "tpOrdPx": "-1",
}


@pytest.fixture
def leader(okx: SimulatedOkx) -> User:
    okx.world.profiles[LIVE.desk_key] = Profile(role="1", lead_instruments=("BTC-USDT-SWAP",))
    okx.world.users[TWIN.api_key] = TWIN
    return LIVE


async def codes(
    client: Client, times: int, name: str, content: Any, user: User = LIVE
) -> list[str]:
    return [
        (await client.call("POST", f"trade/{name}", content, user=user)).code for _ in range(times)
    ]


async def test_an_account_is_told_with_its_key(client: Client, okx: SimulatedOkx) -> None:
    key = {"api_key": "k", "secret": "s", "passphrase": "p", "uid": "900", "main_uid": "90"}
    facts = {
        "ips": "127.0.0.1",
        "label": "mine",
        "perm": "read_only,trade,withdraw",
        "acct_level": "3",
        "role": "1",
        "spot_role": "1",
        "lead_instruments": ["BTC-USDT-SWAP", "BTC-USDT"],
        "acc_rate_limit": 1250,
        "next_acc_rate_limit": "1000",
        "fill_ratio": "1.5",
        "main_fill_ratio": "0.5",
    }
    await client.sim("POST", "users", key | facts)
    user = okx.world.users["k"]
    (row,) = (await client.call("GET", "account/config", user=user)).content["data"]
    shown = {
        "uid": "900",
        "mainUid": "90",
        "acctLv": "3",
        "perm": "read_only,trade,withdraw",
        "ip": "127.0.0.1",
        "label": "mine",
        "roleType": "1",
        "spotRoleType": "1",
        "traderInsts": ["BTC-USDT-SWAP"],
        "spotTraderInsts": ["BTC-USDT"],
        "type": "1",
    }
    assert {key: row[key] for key in shown} == shown
    (row,) = (await client.call("GET", "trade/account-rate-limit", user=user)).content["data"]
    assert row.pop("ts").isdecimal()
    assert row == {
        "accRateLimit": "1250",
        "nextAccRateLimit": "1000",
        "fillRatio": "1.5",
        "mainFillRatio": "0.5",
    }


async def test_below_vip5_there_is_no_ratio_to_show(client: Client) -> None:
    (row,) = (await client.call("GET", "trade/account-rate-limit")).content["data"]
    assert (row["accRateLimit"], row["nextAccRateLimit"], row["fillRatio"]) == ("1000", "", "")


async def test_keys_of_one_uid_are_one_account_and_demo_is_another(
    client: Client, okx: SimulatedOkx
) -> None:
    twin = {"api_key": TWIN.api_key, "secret": "twin", "passphrase": "twin", "uid": "100"}
    await client.sim("POST", "users", twin | {"acct_level": "4"})
    changed = await client.sim("POST", "accounts", {"uid": "100", "acc_rate_limit": 2000})
    assert (changed["acct_level"], changed["acc_rate_limit"]) == ("4", 2000)
    demo = {"x-simulated-trading": "1"}
    rows = [
        (await client.call("GET", "account/config", user=user, change=change)).content["data"][0]
        for user, change in ((LIVE, {}), (TWIN, {}), (DEMO, demo))
    ]
    assert [row["acctLv"] for row in rows] == ["4", "4", "2"]
    await client.sim("POST", "accounts", {"uid": "100", "demo": True, "acct_level": "1"})
    shown = {(row["uid"], row["demo"]): row for row in await client.sim("GET", "accounts")}
    assert shown["100", True]["acct_level"] == "1"
    assert shown["100", False]["acct_level"] == "4"
    await client.sim("POST", "reset")
    assert okx.world.profile(LIVE).acct_level == "4"


@pytest.mark.parametrize(
    "facts",
    [
        {"role": "7"},
        {"spot_role": ""},
        {"lead_instruments": ["BTC-USDT-SWAP"]},
        {"role": "1", "lead_instruments": ["BTC-USDT"]},
        {"acc_rate_limit": "many"},
        {"no_such_fact": 1},
    ],
)
async def test_an_account_that_cannot_be_is_refused(
    client: Client, okx: SimulatedOkx, facts: dict[str, Any]
) -> None:
    key = {"api_key": "k", "secret": "s", "passphrase": "p", "uid": "900"}
    for name, fields in (("users", key | facts), ("accounts", {"uid": "900"} | facts)):
        async with client.session.post(f"{client.base}/sim/{name}", json=fields) as answer:
            assert answer.status == 400
    assert "k" not in okx.world.users


async def test_lead_traders_place_four_orders_in_two_seconds(
    client: Client, okx: SimulatedOkx, clock: HandClock, leader: User
) -> None:
    assert await codes(client, 3, "order", SWAP) == ["0"] * 3
    assert await codes(client, 2, "order", SWAP, TWIN) == ["0", "50011"]
    assert await codes(client, 5, "order", OTHER_SWAP) == ["0"] * 5
    assert dict(okx.breaches) == {"POST /api/v5/trade/order#0 100 BTC-USDT-SWAP": 1}
    clock.advance(2)
    assert await codes(client, 1, "order", SWAP) == ["0"]


async def test_lead_traders_batches_count_each_order(client: Client, leader: User) -> None:
    assert await codes(client, 2, "batch-orders", [SWAP, OTHER_SWAP] * 2) == ["0", "0"]
    assert await codes(client, 1, "batch-orders", [SWAP, OTHER_SWAP]) == ["50011"]
    assert await codes(client, 1, "batch-orders", [OTHER_SWAP] * 5) == ["0"]
    assert await codes(client, 5, "batch-orders", [SWAP]) == ["0"] * 4 + ["50011"]


async def test_lead_traders_amends_are_few_and_cancels_are_not(
    client: Client, leader: User
) -> None:
    amend = {"instId": "BTC-USDT-SWAP", "ordId": "1", "newSz": "2"}
    assert await codes(client, 5, "amend-order", amend) == ["1"] * 4 + ["50011"]
    cancel = {"instId": "BTC-USDT-SWAP", "ordId": "1"}
    assert await codes(client, 5, "cancel-order", cancel) == ["1"] * 5


async def test_lead_traders_place_one_algo_order_in_two_seconds(
    client: Client, leader: User
) -> None:
    assert await codes(client, 2, "order-algo", ALGO) == ["0", "50011"]
    assert await codes(client, 2, "order-algo", ALGO | {"instId": "ETH-USDT-SWAP"}) == ["0", "0"]


async def test_who_leads_no_more_has_the_limits_of_all(client: Client, leader: User) -> None:
    await codes(client, 5, "order", SWAP)
    await client.sim("POST", "accounts", {"uid": "100", "role": "0", "lead_instruments": []})
    assert await codes(client, 2, "order", SWAP) == ["0", "0"]


@pytest.mark.parametrize(("cap", "placed"), [(40, 2), (100, 5)])
async def test_the_cap_on_orders_is_the_accounts_own(
    client: Client, okx: SimulatedOkx, cap: int, placed: int
) -> None:
    okx.world.users[TWIN.api_key] = TWIN
    await client.sim("POST", "accounts", {"uid": "100", "acc_rate_limit": cap})
    seen = await codes(client, placed, "batch-orders", [SWAP] * 20)
    refused = await client.call("POST", "trade/order", SWAP, user=TWIN)
    assert seen == ["0"] * placed
    assert (refused.status, refused.code) == (200, "50061")
    assert await codes(client, 1, "order", ORDER) == ["0"]
