"""Which bucket a request is counted in, seen from outside: how many pass before 50011."""

from __future__ import annotations

from typing import Any

from proxy.sim.okx import SimulatedOkx, User
from tests.sim.client import DEMO, LIVE, ORDER, Answered, Client, HandClock

CALL_1 = ORDER | {"instId": "BTC-USD-281229-40000-C", "tdMode": "cross", "sz": "1", "px": "0.01"}
CALL_2 = CALL_1 | {"instId": "BTC-USD-281229-60000-C"}
SWAP = ORDER | {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "sz": "1"}
TWIN = User("22222222-2222-3333-4444-555555555555", "twin", "twin", "100")
OTHER = User("33333333-2222-3333-4444-555555555555", "other", "other", "101")


async def order(client: Client, content: Any = ORDER, user: User = LIVE) -> Answered:
    name = "batch-orders" if isinstance(content, list) else "order"
    return await client.call("POST", f"trade/{name}", content, user=user)


async def fill(client: Client, times: int, content: Any = ORDER) -> None:
    for _ in range(times):
        answer = await order(client, content)
        assert answer.code == "0", answer.content


async def test_sixty_orders_in_two_seconds_per_instrument(
    client: Client, okx: SimulatedOkx, clock: HandClock
) -> None:
    await fill(client, 60)
    refused = await order(client)
    assert (refused.status, refused.code) == (429, "50011")
    assert (await order(client, SWAP)).code == "0"
    assert dict(okx.breaches) == {"POST /api/v5/trade/order#0 100 BTC-USDT": 1}
    assert len(okx.orders) == 61
    clock.advance(2)
    assert (await order(client)).code == "0"


async def test_keys_of_one_uid_share_and_other_users_do_not(
    client: Client, okx: SimulatedOkx
) -> None:
    okx.world.users |= {TWIN.api_key: TWIN, OTHER.api_key: OTHER}
    await fill(client, 60)
    assert (await order(client, user=TWIN)).code == "50011"
    assert (await order(client, user=OTHER)).code == "0"


async def test_options_are_counted_by_family(client: Client) -> None:
    await fill(client, 30, CALL_1)
    await fill(client, 30, CALL_2)
    assert (await order(client, CALL_1)).code == "50011"


async def test_a_batch_of_one_is_a_single_order(client: Client) -> None:
    await fill(client, 60, [ORDER])
    assert (await order(client)).code == "50011"
    assert (await order(client, [ORDER, ORDER])).code == "0"


async def test_elements_of_a_batch_count_on_their_own_instruments(client: Client) -> None:
    other = ORDER | {"instId": "ETH-USDT", "px": "100"}
    await fill(client, 15, [ORDER] * 20)
    assert (await order(client, [ORDER, other])).code == "50011"
    assert (await order(client, [other] * 20)).code == "0"
    assert (await order(client)).code == "0"


async def test_a_thousand_orders_in_two_seconds_per_user_spot_apart(
    client: Client, okx: SimulatedOkx
) -> None:
    okx.meter.overrides["POST /api/v5/trade/batch-orders"] = (5000, 2_000_000_000)
    await fill(client, 50, [SWAP] * 20)
    refused = await order(client, SWAP)
    assert (refused.status, refused.code) == (200, "50061")
    assert (await order(client)).code == "0"
    assert dict(okx.breaches) == {"subaccount-orders 100": 1}


async def test_market_maker_orders_are_outside_the_cap(client: Client, okx: SimulatedOkx) -> None:
    mmp = CALL_1 | {"ordType": "mmp"}
    placed = await order(client, mmp)
    amend = {"instId": mmp["instId"], "ordId": placed.content["data"][0]["ordId"], "newSz": "2"}
    assert (await client.call("POST", "trade/amend-order", amend)).code == "0"
    assert "subaccount-orders 100" not in okx.budgets.windows
    await order(client, CALL_1)
    assert len(okx.budgets.windows["subaccount-orders 100"].arrivals) == 1


async def test_elp_takers_have_a_limit_of_their_own(client: Client, okx: SimulatedOkx) -> None:
    taker = ORDER | {"ordType": "ioc", "isElpTakerAccess": True}
    await fill(client, 50, taker)
    assert (await order(client, taker)).code == "50011"
    assert (await order(client)).code == "0"
    assert list(okx.breaches) == ["elp-taker-access 100 BTC-USDT"]


async def test_timers_are_counted_by_tag(client: Client) -> None:
    answers = [
        (await client.call("POST", "trade/cancel-all-after", {"timeOut": "60", "tag": tag})).code
        for tag in ("a", "b", "a")
    ]
    assert answers == ["0", "0", "50011"]


async def test_public_reads_are_counted_by_address(client: Client) -> None:
    for _ in range(10):
        assert (await client.send("GET", "/api/v5/public/time", b"", {})).code == "0"
    assert (await client.call("GET", "public/time")).code == "50011"


async def test_demo_draws_on_the_same_address(client: Client) -> None:
    demo = {"x-simulated-trading": "1"}
    for _ in range(5):
        assert (await client.call("GET", "public/time")).code == "0"
        assert (await client.call("GET", "public/time", user=DEMO, change=demo)).code == "0"
    assert (await client.send("GET", "/api/v5/public/time", b"", demo)).code == "50011"


async def test_elp_taking_is_for_ioc_orders(client: Client) -> None:
    answer = await order(client, ORDER | {"isElpTakerAccess": True})
    assert answer.item_codes == ["51000"]


async def test_a_request_refused_at_the_gate_is_not_counted(client: Client) -> None:
    for _ in range(61):
        await client.call("POST", "trade/order", ORDER, change={"OK-ACCESS-SIGN": "wrong"})
    assert (await order(client)).code == "0"


async def test_limits_can_be_changed_while_running(client: Client) -> None:
    await client.sim("POST", "limits", {"POST /api/v5/trade/order": "1/2"})
    assert [(await order(client)).code for _ in range(2)] == ["0", "50011"]
