"""What brokers alone may ask, and how seldom."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.sim.okx import SimulatedOkx, table
from proxy.sim.okx.profile import Profile
from tests.sim.client import BOUND, LIVE, READER, Answered, Client, HandClock

SPAN = {"begin": "20231001", "end": "20231013"}
FD = "broker/fd/rebate-per-orders"
HOUR_S = 3600


@pytest.fixture(autouse=True)
def broker(okx: SimulatedOkx) -> None:
    okx.world.profiles[LIVE.desk_key] = Profile(broker=True, broker_code="ours0BCDE")


async def rebate(client: Client, query: str) -> Answered:
    return await client.call("GET", f"broker/fd/if-rebate?{query}")


async def test_only_brokers_may_call(client: Client) -> None:
    """Refused before it is counted, and before the body is looked at."""
    rows = [row for row in table.load().values() if row.group in table.BROKER_GROUPS]
    assert len(rows) == 21
    for row in rows:
        path = row.path.removeprefix(table.PREFIX)
        body: dict[str, str] | None = {} if row.method == "POST" else None
        reader = row.permission == "read"
        user = READER if reader else BOUND
        answer = await client.call(row.method, path, body, user=user)
        assert answer.code == ("59608" if reader else "50110"), row.name
        assert answer.status == (200 if reader else 401)
    assert (await client.sim("GET", "breaches"))["buckets"] == {}


async def test_a_broker_learns_who_brings_rebate(client: Client, okx: SimulatedOkx) -> None:
    answer = await rebate(client, f"apiKey={READER.api_key}")
    assert answer.content["data"] == [
        {
            "affiliated": False,
            "brokerCode": "ours0BCDE",
            "clientRebateRatio": "0",
            "lastRebate": "",
            "type": "0",
        }
    ]
    okx.world.profiles[READER.desk_key] = Profile(rebate_type="3", affiliated=True)
    (row,) = (await rebate(client, f"apiKey={READER.api_key}&brokerType=api")).content["data"]
    assert (row["type"], row["affiliated"]) == ("3", True)


@pytest.mark.parametrize(
    ("types", "query", "code"),
    [
        ("api", "brokerType=api", "50014"),
        ("api", "apiKey=unknown", "59506"),
        ("api", f"apiKey={LIVE.api_key}&brokerType=oauth", "51000"),
        ("api,oauth", f"apiKey={LIVE.api_key}", "50044"),
        ("api,oauth", f"apiKey={LIVE.api_key}&brokerType=oauth", "0"),
    ],
)
async def test_the_brokers_type_must_be_clear(
    client: Client, okx: SimulatedOkx, types: str, query: str, code: str
) -> None:
    okx.world.profiles[LIVE.desk_key] = Profile(broker=True, broker_types=types)
    assert (await rebate(client, query)).code == code


async def test_a_report_is_asked_for_and_found_two_hours_later(
    client: Client, clock: HandClock
) -> None:
    asked = await client.call("POST", FD, SPAN)
    assert asked.content["data"] == [{"result": "false", "ts": str(clock.wall_ms())}]
    (row,) = (await client.call("GET", f"{FD}?type=true")).content["data"]
    assert (row["state"], row["fileHref"]) == ("ongoing", "")
    clock.advance(2 * HOUR_S)
    (row,) = (await client.call("GET", f"{FD}?type=true")).content["data"]
    assert row["state"] == "finished"
    assert row["fileHref"].startswith("https://")
    assert (row["beginTime"], row["endTime"]) == ("1696118400000", "1697155200000")
    assert row["cTime"] == asked.content["data"][0]["ts"]
    again = await client.call("POST", FD, SPAN)
    assert again.content["data"][0] == {"result": "true", "ts": row["cTime"]}
    clock.advance(60)
    query = "type=false&begin=20231001&end=20231013"
    assert len((await client.call("GET", f"{FD}?{query}")).content["data"]) == 1
    assert (await client.call("GET", f"{FD}?{query[:-1]}4")).content["data"] == []


async def test_a_report_may_be_made_at_once(client: Client, okx: SimulatedOkx) -> None:
    await client.sim("POST", "accounts", {"uid": "100", "report_ms": 0})
    await client.call("POST", FD, SPAN)
    (row,) = (await client.call("GET", f"{FD}?type=true")).content["data"]
    assert row["state"] == "finished"


async def test_reports_of_a_dma_broker_are_apart(client: Client) -> None:
    await client.call("POST", FD, SPAN)
    assert (await client.call("POST", "broker/dma/trades", SPAN)).code == "0"
    for path in (FD, "broker/dma/rebate-per-orders"):
        assert len((await client.call("GET", f"{path}?type=true")).content["data"]) == 1


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"begin": "20231001"}, "50014"),
        ({"end": "20231001"}, "50014"),
        ({"begin": "2023-10-01", "end": "20231002"}, "59612"),
        ({"begin": "20231301", "end": "20231402"}, "59612"),
        ({"begin": "20231002", "end": "20231001"}, "59616"),
        ({"begin": "20230101", "end": "20230701"}, "59615"),
        ({"begin": "20230101", "end": "20230630"}, "0"),
    ],
)
async def test_a_report_needs_days_that_make_sense(
    client: Client, item: dict[str, Any], code: str
) -> None:
    assert (await client.call("POST", FD, item)).code == code


@pytest.mark.parametrize(
    ("query", "code"),
    [("", "50014"), ("?type=maybe", "51000"), ("?type=false&begin=20231001", "50014")],
)
async def test_links_need_a_type(client: Client, query: str, code: str) -> None:
    assert (await client.call("GET", f"{FD}{query}")).code == code


@pytest.mark.parametrize(
    ("method", "target", "count", "span_s"),
    [
        ("POST", FD, 1, HOUR_S),
        ("POST", "broker/dma/trades", 1, HOUR_S),
        ("GET", f"{FD}?type=true", 2, 60),
        ("GET", "broker/dma/rebate-per-orders?type=true", 2, 60),
        ("GET", f"broker/fd/if-rebate?apiKey={LIVE.api_key}", 2, 1),
        ("GET", "broker/dma/subaccount-info", 1, 1),
        ("POST", "broker/dma/create-subaccount", 40, 1),
        ("POST", "broker/dma/delete-subaccount", 10, 1),
        ("POST", "broker/dma/set-subaccount-level", 5, 2),
        ("GET", "asset/broker/dma/subaccount-deposit-address", 6, 1),
    ],
)
async def test_brokers_limits_are_kept(
    client: Client, clock: HandClock, method: str, target: str, count: int, span_s: int
) -> None:
    body = SPAN if method == "POST" else None

    async def refused() -> bool:
        return (await client.call(method, target, body)).code == "50011"

    assert [await refused() for _ in range(count + 1)] == [False] * count + [True]
    clock.advance(span_s - 0.001)
    assert await refused()
    clock.advance(0.001)
    assert not await refused()
