"""The reads that client libraries start with."""

from __future__ import annotations

import pytest

from proxy.sim.okx import SimulatedOkx, User, table
from tests.sim.client import LIVE, Client

SUB = User("22222222-2222-3333-4444-555555555555", "s", "p", "101", main_uid="100", ips="127.0.0.1")

NO_LEADER = "59262"


async def test_config_tells_who_the_key_is(client: Client, okx: SimulatedOkx) -> None:
    okx.world.users[SUB.api_key] = SUB
    row = (await client.call("GET", "account/config", user=SUB)).content["data"][0]
    assert (row["uid"], row["mainUid"], row["ip"]) == ("101", "100", "127.0.0.1")
    row = (await client.call("GET", "account/config")).content["data"][0]
    assert (row["uid"], row["mainUid"], row["perm"]) == ("100", "100", "read_only,trade")


@pytest.mark.parametrize(
    ("target", "rows"),
    [
        ("public/instruments?instType=SPOT", 62),
        ("public/instruments?instType=SWAP", 63),
        ("public/instruments?instType=FUTURES", 1),
        ("public/instruments?instType=OPTION&uly=BTC-USD", 4),
        ("public/instruments?instType=MARGIN", 0),
        ("account/instruments?instType=SPOT&instId=BTC-USDT", 1),
        ("account/balance?ccy=BTC,ETH", 1),
        ("account/leverage-info?instId=BTC-USDT-SWAP&mgnMode=cross", 1),
        ("asset/currencies", 63),
        ("asset/balances?ccy=BTC", 1),
        ("trade/account-rate-limit", 1),
    ],
)
async def test_reads_show_what_there_is(client: Client, target: str, rows: int) -> None:
    answer = await client.call("GET", target)
    assert (answer.status, answer.code, len(answer.content["data"])) == (200, "0", rows)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("public/instruments", "50014"),
        ("public/instruments?instType=X", "51000"),
        ("public/instruments?instType=OPTION", "50014"),
        ("public/instruments?instType=SPOT&instId=NO-SUCH", "51001"),
        ("account/leverage-info?instId=BTC-USDT-SWAP", "50014"),
    ],
)
async def test_reads_check_their_parameters(client: Client, target: str, code: str) -> None:
    assert (await client.call("GET", target)).code == code


async def test_leverage_and_position_mode_are_remembered(client: Client) -> None:
    change = {"instId": "BTC-USDT-SWAP", "lever": "7", "mgnMode": "cross"}
    assert (await client.call("POST", "account/set-leverage", change)).code == "0"
    shown = await client.call("GET", "account/leverage-info?instId=BTC-USDT-SWAP&mgnMode=cross")
    assert shown.content["data"][0]["lever"] == "7"
    mode = {"posMode": "long_short_mode"}
    assert (await client.call("POST", "account/set-position-mode", mode)).code == "0"
    shown = await client.call("GET", "account/config")
    assert shown.content["data"][0]["posMode"] == "long_short_mode"


async def test_every_read_of_the_table_is_answered(client: Client, okx: SimulatedOkx) -> None:
    """A parameter may be missing, but nothing is unknown and nothing crashes."""
    okx.world.users[LIVE.api_key] = LIVE
    for row in table.load().values():
        if row.method == "GET":
            answer = await client.call("GET", row.path.removeprefix(table.PREFIX))
            if row.group in table.BROKER_GROUPS:
                assert answer.code == "59608", row.name
            else:
                assert answer.code in ("0", "50014", "51000", NO_LEADER), row.name
