"""Budgets: pools by user and VIP level, the address's own, the edge, and what headers tell."""

from __future__ import annotations

import aiohttp
import pytest

from proxy.sim.kucoin import SimulatedKucoin
from proxy.sim.windows import most_in_sliding
from tests.sim.client import HandClock
from tests.sim.kucoin.client import LIVE, READER, Client

ACCOUNTS = "/api/v1/accounts"  # weight 5 of management
TIME = "/api/v1/timestamp"  # weight 3 of public


async def test_every_answer_tells_what_is_left(client: Client, clock: HandClock) -> None:
    assert (await client.call("GET", ACCOUNTS)).rate == (2000, 1995, 30_000)
    clock.advance(10)
    assert (await client.call("GET", ACCOUNTS)).rate == (2000, 1990, 20_000)
    assert (await client.send("GET", TIME)).rate == (2000, 1997, 30_000)
    refused = await client.call("GET", "/api/v1/orders/none")
    assert (refused.code, refused.rate) == ("400100", (4000, 3998, 30_000))
    assert len((await client.call("GET", "/api/kyc/regions/v4")).rate) == 3


async def test_a_spent_pool_refuses_and_says_when_it_opens(
    client: Client, kucoin: SimulatedKucoin, clock: HandClock
) -> None:
    await client.sim("POST", "limits", {"management": "10/30"})
    assert [(await client.call("GET", ACCOUNTS)).status for _ in range(2)] == [200, 200]
    clock.advance(5)
    refused = await client.call("GET", ACCOUNTS)
    assert (refused.status, refused.code) == (429, "429000")
    assert refused.content["msg"] == "Too Many Requests"
    assert refused.rate == (10, 0, 25_000)
    assert kucoin.breaches == {"management 100": 1}
    assert (await client.call("GET", ACCOUNTS, user=READER)).status == 200


async def test_a_window_opens_with_the_first_request_and_closes_whole(
    client: Client, kucoin: SimulatedKucoin, clock: HandClock
) -> None:
    await client.sim("POST", "limits", {"management": "10/30"})
    await client.call("GET", ACCOUNTS)
    clock.advance(29.999)
    await client.call("GET", ACCOUNTS)
    clock.advance(0.001)
    answers = [await client.call("GET", ACCOUNTS) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    # The exchange has room, a sliding span of the same length has not.
    window = kucoin.budgets.windows["management 100"]
    assert most_in_sliding(window.arrivals, 30_000_000_000) == 15
    assert kucoin.breaches == {"management 100": 1}


@pytest.mark.parametrize(("vip", "limit"), [(0, 4000), (5, 16_000), (12, 40_000)])
async def test_quotas_grow_with_the_vip_level(client: Client, vip: int, limit: int) -> None:
    await client.sim("POST", "accounts", {"uid": LIVE.uid, "vip": vip})
    answer = await client.call("GET", "/api/v1/hf/orders/active?symbol=BTC-USDT")
    assert answer.rate == (limit, limit - 2, 30_000)


async def test_one_pool_is_drawn_on_at_both_venues(client: Client) -> None:
    await client.call("GET", ACCOUNTS)
    answer = await client.call("GET", "/api/v1/transfer-list", venue="futures")
    assert answer.rate == (2000, 1975, 30_000)


async def test_the_public_pool_belongs_to_the_address(
    client: Client, kucoin: SimulatedKucoin, clock: HandClock
) -> None:
    await client.call("GET", TIME, user=READER)
    assert (await client.call("GET", TIME)).rate == (2000, 1994, 30_000)
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.9", 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        other = Client(session, clock, kucoin)
        assert (await other.send("GET", TIME)).rate == (2000, 1997, 30_000)


async def test_overload_is_told_by_missing_headers_and_counts_nothing(
    client: Client, kucoin: SimulatedKucoin
) -> None:
    await client.sim("POST", "faults", {"kind": "code", "code": "429000"})
    answer = await client.call("GET", ACCOUNTS)
    assert (answer.status, answer.code, answer.rate) == (429, "429000", ())
    assert (await client.call("GET", ACCOUNTS)).rate == (2000, 1995, 30_000)
    assert not kucoin.breaches


async def test_the_edge_shuts_an_address_out_for_half_a_minute(
    client: Client, kucoin: SimulatedKucoin, clock: HandClock
) -> None:
    await client.sim("POST", "limits", {"edge": "3/10"})
    assert [(await client.send("GET", TIME)).status for _ in range(3)] == [200] * 3
    refused = await client.send("GET", TIME)
    assert (refused.status, refused.rate) == (429, ())
    assert "error code: 1015" in refused.content
    clock.advance(29.9)
    assert (await client.call("GET", ACCOUNTS)).status == 429
    clock.advance(0.1)
    assert (await client.call("GET", ACCOUNTS)).status == 200
    assert kucoin.breaches == {"edge 127.0.0.1": 1}
    shown = await client.sim("GET", "breaches?subject=127.0.0.1")
    assert shown["breaches"] == {"edge 127.0.0.1": 1}
    assert shown["buckets"]["edge 127.0.0.1"]["anchored"] is False


async def test_a_row_can_have_a_limit_of_its_own(client: Client, kucoin: SimulatedKucoin) -> None:
    await client.sim("POST", "limits", {"GET /api/v1/user/api-key": "1/2"})
    answers = [await client.call("GET", "/api/v1/user/api-key") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
    assert kucoin.breaches == {"GET /api/v1/user/api-key#0 100": 1}
    with pytest.raises(KeyError):
        kucoin.exchange.set_limit("GET /nothing", 1, 1)
    kucoin.reset()
    assert (await client.call("GET", "/api/v1/user/api-key")).rate == (2000, 1980, 30_000)


async def test_a_row_of_no_known_budget_is_not_counted(
    client: Client, kucoin: SimulatedKucoin
) -> None:
    assert (await client.call("GET", "/api/ua/v1/account/mode")).rate == (2000, 2000, 30_000)
    assert list(kucoin.budgets.windows) == ["edge 127.0.0.1"]
