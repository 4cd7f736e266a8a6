"""What a broker is told, and nobody else."""

from __future__ import annotations

import pytest

from tests.sim.kucoin.client import LIVE, ORDER, RICH, Client

MARKET = {"symbol": "BTC-USDT", "side": "buy", "type": "market", "size": "0.01"}


@pytest.fixture
async def broker(client: Client) -> Client:
    await client.sim("POST", "accounts", {"uid": RICH.uid, "broker": True})
    return client


async def test_reports_are_for_brokers(client: Client) -> None:
    answer = await client.call("GET", "/api/v2/broker/queryUser")
    assert (answer.status, answer.code) == (200, "600100")


async def test_volume_is_split_by_whether_the_order_was_tagged(broker: Client) -> None:
    await broker.call("POST", "/api/v1/hf/orders", MARKET, change=broker.partner())
    await broker.call("POST", "/api/v1/hf/orders", MARKET | {"size": "0.02"})
    await broker.call("POST", "/api/v1/hf/orders", ORDER, user=RICH)
    query = "siteType=all&tradeType=SPOT"
    page = (await broker.call("GET", f"/api/v2/broker/queryUser?{query}", user=RICH)).data
    (row,) = page["items"]
    assert (row["uid"], row["tags"]) == (LIVE.uid, "partner:tagproxyDEMO")
    assert float(row["spotTradingVolumeWithTag"]) == 500
    assert float(row["spotTradingVolumeWithoutTag"]) == 1000
    target = f"/api/v2/broker/queryMyCommission?{query}"
    (row,) = (await broker.call("GET", target, user=RICH)).data["items"]
    assert (row["tagUser"], float(row["tagTradeVolume"])) == (1, 500)
    target = f"/api/v2/broker/queryDetailByUid?{query}&uid={LIVE.uid}"
    (row,) = (await broker.call("GET", target, user=RICH)).data
    assert float(row["spotTradingVolumeWithNoTag"]) == 1000
    target = f"/api/v2/broker/queryDetailByUid?{query}&uid=9"
    assert (await broker.call("GET", target, user=RICH)).data == []


@pytest.mark.parametrize("spelling", ["rebase", "rebate"])
async def test_a_file_of_rebates_may_have_to_be_waited_for(broker: Client, spelling: str) -> None:
    await broker.sim("POST", "accounts", {"uid": RICH.uid, "report_pending": 1})
    target = f"/api/v2/broker/api/{spelling}/download"
    query = "?begin=20260101&end=20260131&tradeType=SPOT"
    assert (await broker.call("GET", target + query, user=RICH)).code == "100001"
    answer = await broker.call("GET", target + query, user=RICH)
    assert answer.data["url"].startswith("https://")
    assert (await broker.call("GET", target, user=RICH)).code == "400100"


async def test_odd_questions_are_refused(broker: Client) -> None:
    for target in ("queryUser?tradeType=ODD", "queryDetailByUid?tradeType=SPOT"):
        answer = await broker.call("GET", f"/api/v2/broker/{target}", user=RICH)
        assert answer.code == "400100"
