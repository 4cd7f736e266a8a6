"""A DMA broker's sub-accounts: made, keyed, given addresses."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.sim.okx import SimulatedOkx
from proxy.sim.okx.profile import Profile
from tests.sim.client import DEMO, LIVE, ORDER, Answered, Client

SUB = {"subAcct": "client001"}
KEY = SUB | {"label": "first", "passphrase": "Secret-123", "perm": "trade", "ip": "127.0.0.1"}
DMA = "broker/dma"
ASSET = "asset/broker/dma"


@pytest.fixture(autouse=True)
async def broker(okx: SimulatedOkx, client: Client) -> None:
    for user in (LIVE, DEMO):
        okx.world.profiles[user.desk_key] = Profile(broker=True)
    for row in okx.table.values():
        okx.meter.overrides[row.name] = (1000, 1)
    await post(client, f"{DMA}/create-subaccount", SUB | {"label": "someone"})


async def post(client: Client, path: str, item: dict[str, Any]) -> Answered:
    return await client.call("POST", path, item)


async def rows(client: Client, target: str) -> Any:
    answer = await client.call("GET", target)
    assert answer.code == "0", answer.content
    return answer.content["data"]


async def test_a_subaccount_is_made_and_listed(client: Client) -> None:
    await post(client, f"{DMA}/create-subaccount", {"subAcct": "client002"})
    (page,) = await rows(client, f"{DMA}/subaccount-info?limit=1&page=2")
    assert (page["page"], page["totalPage"]) == ("2", "2")
    assert [row["subAcct"] for row in page["details"]] == ["client002"]
    (page,) = await rows(client, f"{DMA}/subaccount-info?subAcct=client001")
    (row,) = page["details"]
    shown = (
        "acctLv",
        "canTransOut",
        "enable",
        "firstLvSubAcct",
        "frozenFunc",
        "label",
        "subAcctLv",
    )
    assert [row[key] for key in shown] == ["1", False, True, "client001", [], "someone", "1"]
    (page,) = await rows(client, f"{DMA}/subaccount-trade-fee?uid={row['uid']}")
    assert [fee["type"] for fee in page["details"][0]["feeRates"]] == list("123456789")


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({}, "50014"),
        (SUB, "59601"),
        ({"subAcct": "short"}, "51000"),
        ({"subAcct": "123456"}, "51000"),
        ({"subAcct": "with space"}, "51000"),
        ({"subAcct": "client003", "label": "x" * 51}, "51000"),
    ],
)
async def test_a_subaccount_needs_a_name_of_its_own(
    client: Client, item: dict[str, Any], code: str
) -> None:
    assert (await post(client, f"{DMA}/create-subaccount", item)).code == code


async def test_a_subaccount_can_be_changed_and_ended(client: Client, okx: SimulatedOkx) -> None:
    level = await post(client, f"{DMA}/set-subaccount-level", SUB | {"acctLv": "3"})
    assert level.content["data"] == [SUB | {"acctLv": "3"}]
    told = await post(client, f"{DMA}/report-subaccount-ip", SUB | {"clientIP": "203.0.113.9"})
    assert told.content["data"] == [SUB | {"clientIP": "203.0.113.9"}]
    made = (await post(client, f"{DMA}/subaccount/apikey", KEY)).content["data"][0]
    assert made["apiKey"] in okx.world.users
    assert (await post(client, f"{DMA}/delete-subaccount", SUB)).content["data"] == [SUB]
    assert made["apiKey"] not in okx.world.users
    assert (await post(client, f"{DMA}/delete-subaccount", SUB)).code == "59510"


async def test_play_money_is_for_demo_alone(client: Client) -> None:
    item = SUB | {"ccy": "USDT"}
    assert (await post(client, f"{DMA}/set-subaccount-assets", item)).code == "50053"
    demo = {"x-simulated-trading": "1"}
    for path, content in (
        (f"{DMA}/create-subaccount", SUB),
        (f"{DMA}/set-subaccount-assets", item),
    ):
        answer = await client.call("POST", path, content, user=DEMO, change=demo)
        assert answer.code == "0"


async def test_a_subaccounts_key_trades(client: Client, okx: SimulatedOkx) -> None:
    answer = await post(client, f"{DMA}/subaccount/apikey", KEY)
    (made,) = answer.content["data"]
    assert (made["perm"], made["ip"], made["label"]) == ("read_only,trade", "127.0.0.1", "first")
    user = okx.world.users[made["apiKey"]]
    assert (user.secret, user.passphrase) == (made["secretKey"], made["passphrase"])
    assert (await client.call("POST", "trade/order", ORDER, user=user)).code == "0"
    (config,) = (await client.call("GET", "account/config", user=user)).content["data"]
    assert (config["mainUid"], config["type"]) == ("100", "1")
    (listed,) = await rows(client, f"{DMA}/subaccount/apikey?subAcct=client001")
    assert set(listed) == {"apiKey", "ip", "label", "perm", "ts"}
    change = SUB | {"apiKey": made["apiKey"], "perm": "read_only", "ip": ""}
    (changed,) = (await post(client, f"{DMA}/subaccount/modify-apikey", change)).content["data"]
    assert (changed["perm"], changed["ip"], changed["label"]) == ("read_only", "", "first")
    user = okx.world.users[made["apiKey"]]
    assert (await client.call("POST", "trade/order", ORDER, user=user)).code == "50120"
    end = SUB | {"apiKey": made["apiKey"]}
    assert (await post(client, f"{DMA}/subaccount/delete-apikey", end)).code == "0"
    assert (await client.call("GET", "account/config", user=user)).code == "50119"
    assert (await post(client, f"{DMA}/subaccount/delete-apikey", end)).code == "59506"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"subAcct": "nobody1"}, "59510"),
        ({"label": ""}, "50014"),
        ({"label": "taken"}, "59502"),
        ({"passphrase": "simple"}, "59505"),
        ({"passphrase": "Longbutplain1"}, "59505"),
        ({"perm": "everything"}, "51000"),
        ({"ip": ",".join(f"203.0.113.{n}" for n in range(21))}, "59503"),
    ],
)
async def test_a_key_must_be_described_well(
    client: Client, change: dict[str, str], code: str
) -> None:
    await post(client, f"{DMA}/subaccount/apikey", KEY | {"label": "taken"})
    assert (await post(client, f"{DMA}/subaccount/apikey", KEY | change)).code == code


async def test_a_subaccount_has_fifty_keys_at_most(client: Client) -> None:
    codes = [
        (await post(client, f"{DMA}/subaccount/apikey", KEY | {"label": f"key{n}"})).code
        for n in range(51)
    ]
    assert codes == ["0"] * 50 + ["59501"]


async def test_deposit_addresses_are_made_and_changed(client: Client) -> None:
    path = f"{ASSET}/subaccount-deposit-address"
    (made,) = (await post(client, path, SUB | {"ccy": "USDT"})).content["data"]
    assert made["addr"].startswith("0x")
    assert (made["chain"], made["to"]) == ("USDT-Mainnet", "6")
    change = SUB | {"ccy": "USDT", "addr": made["addr"], "to": "18"}
    moved = await post(client, f"{ASSET}/modify-subaccount-deposit-address", change)
    assert moved.content["data"][0]["to"] == "18"
    assert len(await rows(client, f"{path}?subAcct=client001&ccy=USDT")) == 1
    assert await rows(client, f"{path}?subAcct=client001&ccy=BTC") == []
    history = f"{ASSET}/subaccount-deposit-history"
    assert [row["to"] for row in await rows(client, f"{history}?ccy=USDT")] == [made["addr"]]
    assert await rows(client, f"{history}?subAcct=client002") == []
    assert await rows(client, f"{ASSET}/subaccount-withdrawal-history") == []
    lost = await post(client, f"{ASSET}/modify-subaccount-deposit-address", change | {"addr": "x"})
    assert lost.code == "51000"


@pytest.mark.parametrize("query", ["page=0", "page=x", "limit=0", "limit=101"])
async def test_pages_must_make_sense(client: Client, query: str) -> None:
    assert (await client.call("GET", f"{DMA}/subaccount-info?{query}")).code == "51000"
