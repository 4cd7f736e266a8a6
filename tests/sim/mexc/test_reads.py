"""Accounts, wallets, market data, and all that is answered blandly."""

from __future__ import annotations

import itertools

import pytest

from proxy.sim.mexc import Mexc, User
from proxy.sim.mexc.table import Row
from proxy.sim.server import SimulatedExchange
from tests.sim.client import HandClock
from tests.sim.mexc.client import BOT, BROKER, OTHER, Client

Server = SimulatedExchange[Mexc]


async def test_every_row_of_the_table_answers(client: Client, mexc: Server) -> None:
    await client.sim("POST", "accounts", {"uid": "100", "broker": True})
    for row in mexc.exchange.table.rows.values():
        answered = await ask(client, row)
        assert answered not in (401, 403, 404, 405, 429, 500), row.name


async def ask(client: Client, row: Row) -> int:
    path = row.path.replace("{symbol}", "BTC_USDT").replace("{limit}", "5")
    path = path.replace("{", "").replace("}", "")
    if row.permission == "public":
        answer = await client.public(f"{path}?symbol=BTCUSDT" if row.api == "spot" else path)
    elif row.api == "spot":
        said = {"symbol": "BTCUSDT"}
        answer = await client.spot(row.method, path.removeprefix("/api/v3/"), said)
    else:
        content: dict[str, str] | None = {} if row.method == "POST" else None
        tail = path.removeprefix("/api/v1/private/")
        answer = await client.futures(row.method, tail, content)
    return 0 if row.name.endswith("submit_batch") else answer.status


async def test_who_one_is(client: Client) -> None:
    assert (await client.spot("GET", "uid")).content == {"uid": "100"}
    assert (await client.spot("GET", "uid", user=OTHER)).content == {"uid": "200"}
    account = (await client.spot("GET", "account", user=OTHER)).content
    assert (account["canTrade"], account["canWithdraw"]) == (True, False)
    assert account["balances"][0] == {
        "asset": "USDT",
        "free": "1000000000",
        "locked": "0",
        "available": "1000000000",
    }
    assert (await client.spot("GET", "apiKeyInfo")).content["apiKey"] == BOT.api_key
    assert (await client.spot("GET", "tradeFee", {"symbol": "NO"})).content["code"] == 10007


async def test_listen_keys_live_for_an_hour(client: Client, clock: HandClock) -> None:
    key = (await client.spot("POST", "userDataStream")).content["listenKey"]
    assert (await client.spot("GET", "userDataStream")).content == {"listenKey": [key]}
    said = {"listenKey": key}
    clock.advance(3599)
    assert (await client.spot("PUT", "userDataStream", said)).content == said
    clock.advance(3599)
    assert (await client.spot("DELETE", "userDataStream", said)).content == said
    assert (await client.spot("PUT", "userDataStream", said)).content["code"] == 730708
    assert (await client.spot("PUT", "userDataStream")).content["code"] == 700004
    for _ in range(60):
        assert (await client.spot("POST", "userDataStream")).status == 200
    assert (await client.spot("POST", "userDataStream")).content["code"] == 730707
    clock.advance(3600)
    assert (await client.spot("POST", "userDataStream")).status == 200


async def test_transfers_and_withdrawals_are_kept(client: Client) -> None:
    said = {"fromAccountType": "SPOT", "toAccountType": "FUTURES", "asset": "USDT", "amount": "5"}
    made = (await client.spot("POST", "capital/transfer", said)).content
    found = await client.spot("GET", "capital/transfer/tranId", made)
    assert (found.content["amount"], found.content["status"]) == ("5", "SUCCESS")
    assert (await client.spot("GET", "capital/transfer")).content["total"] == 1
    for changes, code in [
        ({"toAccountType": "MARGIN"}, 33333),
        ({"asset": "NO"}, 10232),
        ({"amount": "-1"}, 10097),
        ({"asset": ""}, 700004),
    ]:
        answer = await client.spot("POST", "capital/transfer", said | changes)
        assert answer.content["code"] == code
    said = {"coin": "USDT", "address": "0xabc", "amount": "20", "netWork": "TRC20"}
    made = (await client.spot("POST", "capital/withdraw", said)).content
    assert (await client.spot("DELETE", "capital/withdraw", made)).content == made
    (row,) = (await client.spot("GET", "capital/withdraw/history")).content
    assert (row["id"], row["status"], row["network"]) == (made["id"], 9, "TRC20")
    for changes, code in [
        ({"coin": "NO"}, 10232),
        ({"amount": "x"}, 10097),
        ({"address": ""}, 700004),
    ]:
        answer = await client.spot("POST", "capital/withdraw", said | changes)
        assert answer.content["code"] == code
    missing = await client.spot("DELETE", "capital/withdraw", {"id": "7"})
    assert missing.content["code"] == 10001
    said = {"toAccountType": "UID", "toAccount": "7", "asset": "USDT", "amount": "5"}
    assert "tranId" in (await client.spot("POST", "capital/transfer/internal", said)).content
    rows = (await client.spot("GET", "capital/deposit/address", {"coin": "USDT"})).content
    assert [each["network"] for each in rows] == ["ERC20", "TRC20"]
    wrong = await client.spot("GET", "capital/transfer/tranId", {"tranId": "7"})
    assert wrong.content["code"] == 10001


@pytest.mark.parametrize("prefix", ["", "broker/"])
async def test_a_subaccounts_key_works_until_it_is_deleted(client: Client, prefix: str) -> None:
    user = BROKER if prefix else BOT
    name = {"subAccount": "one"}
    made = await client.spot(
        "POST", f"{prefix}sub-account/virtualSubAccount", name | {"note": "n"}, user=user
    )
    assert made.content == name | {"note": "n"}
    listed = (await client.spot("GET", f"{prefix}sub-account/list", user=user)).content
    assert [each["subAccount"] for each in listed["subAccounts"]] == ["one"]
    again = await client.spot(
        "POST", f"{prefix}sub-account/virtualSubAccount", name | {"note": "n"}, user=user
    )
    assert again.content["code"] == 730101
    path = f"{prefix}sub-account/apiKey"
    nobody = {"subAccount": "two", "note": "n", "permissions": "SPOT_DEAL_WRITE"}
    assert (await client.spot("POST", path, nobody, user=user)).content["code"] == 730002
    wanted = name | {"note": "n", "permissions": "SPOT_DEAL_WRITE"}
    key = (await client.spot("POST", path, wanted, user=user)).content
    bot = User(key["apiKey"], key["secretKey"], "")
    uid = (await client.spot("GET", "uid", user=bot)).content["uid"]
    assert uid not in ("", user.uid)
    shown = (await client.spot("GET", path, name, user=user)).content["subAccount"]
    assert [each["apiKey"] for each in shown] == [bot.api_key]
    assert "secretKey" not in shown[0]
    gone = name | {"apiKey": bot.api_key}
    assert (await client.spot("DELETE", path, gone, user=user)).content == name
    assert (await client.spot("GET", "uid", user=bot)).code == "10072"
    assert (await client.spot("DELETE", path, gone, user=user)).code == "10072"


async def test_public_market_data(client: Client) -> None:
    info = (await client.public("/api/v3/exchangeInfo?symbols=BTCUSDT,ETHUSDT")).content
    assert [each["symbol"] for each in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    assert (await client.public("/api/v3/exchangeInfo?symbol=NO")).code == "-1121"
    book = (await client.public("/api/v3/depth?symbol=BTCUSDT&limit=5")).content
    assert float(book["bids"][0][0]) < float(book["asks"][0][0])
    assert (await client.public("/api/v3/depth?symbol=BTCUSDT&limit=x")).code == "700004"
    assert (await client.public("/api/v3/depth")).code == "700004"
    bars = (await client.public("/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=3")).content
    assert [later[0] - bar[0] for bar, later in itertools.pairwise(bars)] == [60_000] * 2
    assert (await client.public("/api/v3/klines?symbol=BTCUSDT&interval=2m")).code == "700004"
    assert len((await client.public("/api/v3/ticker/24hr")).content) == 12
    one = (await client.public("/api/v3/ticker/price?symbol=ETHUSDT")).content
    assert one["symbol"] == "ETHUSDT"


async def test_public_futures_data(client: Client, clock: HandClock) -> None:
    assert (await client.public("/api/v1/contract/ping")).content["data"] == clock.wall_ms()
    details = (await client.public("/api/v1/contract/detail")).content["data"]
    assert all(each["apiAllowed"] for each in details)
    one = (await client.public("/api/v1/contract/ticker?symbol=BTC_USDT")).content["data"]
    assert one["symbol"] == "BTC_USDT"
    book = (await client.public("/api/v1/contract/depth/BTC_USDT?limit=2")).content["data"]
    assert [len(book[side]) for side in ("asks", "bids")] == [2, 2]
    bars = (await client.public("/api/v1/contract/kline/BTC_USDT?interval=Min5")).content["data"]
    assert len(bars["time"]) == len(bars["close"]) == 100
    assert (await client.public("/api/v1/contract/kline/BTC_USDT?interval=1m")).code == "600"
    assert (await client.public("/api/v1/contract/depth/NO_USDT")).code == "1001"


async def test_who_asks_the_same_gets_the_same_bytes(client: Client, clock: HandClock) -> None:
    target = "/api/v3/depth?symbol=BTCUSDT"
    first = await client.public(target)
    clock.advance(0.1)
    assert await client.public(target) == first
    clock.advance(0.2)
    assert await client.public(target) != first
