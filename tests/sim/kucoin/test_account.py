"""Who one is, what one holds, what moves it."""

from __future__ import annotations

from proxy.sim.kucoin import SimulatedKucoin
from tests.sim.kucoin.client import LIVE, RICH, Client


async def test_a_key_tells_its_uid_permission_and_addresses(
    client: Client, kucoin: SimulatedKucoin
) -> None:
    data = (await client.call("GET", "/api/v1/user/api-key")).data
    assert (data["uid"], data["apiKey"], data["apiVersion"]) == (100, LIVE.api_key, 3)
    assert (data["permission"], data["ipWhitelist"]) == ("General,Spot,Margin,Futures", "")
    assert data["isMaster"]
    fields = {"api_key": "k", "secret": "s", "passphrase": "p", "uid": "7", "main_uid": "100"}
    sub = kucoin.exchange.add_user(fields | {"ips": "127.0.0.1", "vip": 3})
    data = (await client.call("GET", "/api/v1/user/api-key", user=sub)).data
    assert (data["isMaster"], data["subName"], data["ipWhitelist"]) == (False, "bot", "127.0.0.1")


async def test_the_vip_level_is_told(client: Client) -> None:
    assert (await client.call("GET", "/api/v2/user-info")).data["level"] == 0
    await client.sim("POST", "accounts", {"uid": LIVE.uid, "vip": 7})
    assert (await client.call("GET", "/api/v2/user-info")).data["level"] == 7


async def test_what_sort_of_account_it_is(client: Client) -> None:
    opened, mode = "/api/v1/hf/accounts/opened", "/api/ua/v1/account/mode"
    assert (await client.call("GET", opened)).data is True
    assert (await client.call("GET", mode)).data == {"selfAccountMode": "CLASSIC"}
    changes = {"uid": LIVE.uid, "high_frequency": False, "unified": True}
    await client.sim("POST", "accounts", changes)
    assert (await client.call("GET", opened)).data is False
    assert (await client.call("GET", mode)).data == {"selfAccountMode": "UNIFIED"}


async def test_balances_by_currency_and_type(client: Client) -> None:
    target = "/api/v1/accounts?currency=BTC&type=trade"
    (row,) = (await client.call("GET", target)).data
    assert (row["currency"], row["type"], row["available"]) == ("BTC", "trade", LIVE.funds)
    again = (await client.call("GET", f"/api/v1/accounts/{row['id']}")).data
    assert again == row
    assert (await client.call("GET", "/api/v1/accounts/none")).code == "400100"
    assert (await client.call("GET", "/api/v1/accounts?type=trade_hf")).data[0]["type"] == (
        "trade_hf"
    )
    overview = await client.call("GET", "/api/v1/account-overview?currency=USDT", venue="futures")
    assert overview.data["availableBalance"] == float(LIVE.funds)


async def test_withdrawals_and_transfers_need_their_permission(client: Client) -> None:
    item = {"currency": "USDT", "amount": "1", "toAddress": "T1", "withdrawType": "ADDRESS"}
    done = await client.call("POST", "/api/v3/withdrawals", item, user=RICH)
    assert done.data["withdrawalId"]
    page = (await client.call("GET", "/api/v1/withdrawals", user=RICH)).data
    assert [row["amount"] for row in page["items"]] == ["1"]
    assert (await client.call("POST", "/api/v3/withdrawals", item)).code == "400007"
    move = {"clientOid": "x", "type": "INTERNAL", "amount": "1", "currency": "USDT"}
    target = "/api/v3/accounts/universal-transfer"
    assert (await client.call("POST", target, move, user=RICH)).data["orderId"]
    assert (await client.call("POST", target, move)).code == "400007"
    assert (await client.call("POST", target, move | {"amount": ""}, user=RICH)).code == "400100"


async def test_a_socket_is_named_with_a_token(client: Client) -> None:
    spot = (await client.send("POST", "/api/v1/bullet-public")).data
    assert spot["instanceServers"][0]["endpoint"] == "wss://ws-api-spot.kucoin.com/"
    futures = await client.call("POST", "/api/v1/bullet-private", venue="futures")
    assert futures.data["instanceServers"][0]["endpoint"] == "wss://ws-api-futures.kucoin.com/"
    assert futures.data["token"] != spot["token"]
    assert (await client.send("POST", "/api/v1/bullet-private")).code == "400001"


async def test_fees_are_a_list_for_pairs_and_one_for_a_contract(client: Client) -> None:
    rows = (await client.call("GET", "/api/v1/trade-fees?symbols=BTC-USDT,ETH-USDT")).data
    assert [row["symbol"] for row in rows] == ["BTC-USDT", "ETH-USDT"]
    one = await client.call("GET", "/api/v1/trade-fees?symbol=XBTUSDTM", venue="futures")
    assert one.data["symbol"] == "XBTUSDTM"
    assert (await client.call("GET", "/api/v1/trade-fees")).code == "400100"


def test_a_user_shows_no_secret() -> None:
    assert LIVE.secret not in repr(LIVE)
    assert LIVE.passphrase not in repr(LIVE)
