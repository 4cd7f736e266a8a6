from __future__ import annotations

import pytest

from proxy.sim.okx import SimulatedOkx
from proxy.sim.okx.profile import Profile
from tests.sim.client import LIVE, Client


async def led(client: Client, query: str = "") -> list[str]:
    answer = await client.call("GET", f"copytrading/instruments{query}")
    assert answer.code == "0"
    assert len(answer.content["data"]) > 60
    return [row["instId"] for row in answer.content["data"] if row["enabled"] is True]


@pytest.fixture
def leader(okx: SimulatedOkx) -> None:
    names = ("BTC-USDT-SWAP", "ETH-USDT-SWAP", "SOL-USDT")
    okx.world.profiles[LIVE.desk_key] = Profile(role="1", spot_role="1", lead_instruments=names)


@pytest.mark.usefixtures("leader")
async def test_a_lead_trader_sees_what_it_leads(client: Client) -> None:
    assert await led(client) == ["BTC-USDT-SWAP", "ETH-USDT-SWAP"]
    assert await led(client, "?instType=SPOT") == ["SOL-USDT"]


@pytest.mark.parametrize(
    ("query", "code"), [("", "59262"), ("?instType=SPOT", "59260"), ("?instType=OPTION", "51000")]
)
async def test_others_are_told_that_they_do_not_lead(client: Client, query: str, code: str) -> None:
    assert (await client.call("GET", f"copytrading/instruments{query}")).code == code


@pytest.mark.usefixtures("leader")
async def test_lead_instruments_can_be_set(client: Client, okx: SimulatedOkx) -> None:
    wanted = {"instId": "XRP-USDT-SWAP,BTC-USDT-SWAP"}
    assert (await client.call("POST", "copytrading/set-instruments", wanted)).code == "0"
    assert await led(client) == ["BTC-USDT-SWAP", "XRP-USDT-SWAP"]
    assert await led(client, "?instType=SPOT") == ["SOL-USDT"]
    assert "ETH-USDT-SWAP" not in okx.world.profile(LIVE).lead_instruments


@pytest.mark.usefixtures("leader")
@pytest.mark.parametrize(
    ("item", "code"),
    [({}, "50014"), ({"instId": "BTC-USDT"}, "51001"), ({"instId": "NO-SUCH"}, "51001")],
)
async def test_what_cannot_be_led_is_refused(
    client: Client, item: dict[str, str], code: str
) -> None:
    assert (await client.call("POST", "copytrading/set-instruments", item)).code == code
