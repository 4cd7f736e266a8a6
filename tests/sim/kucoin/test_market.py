"""Public reads, spot and futures."""

from __future__ import annotations

import pytest

from tests.sim.client import HandClock
from tests.sim.kucoin.client import Client


async def test_the_clock_is_told_at_both_venues(client: Client, clock: HandClock) -> None:
    for venue in ("main", "futures"):
        answer = await client.send("GET", "/api/v1/timestamp", venue=venue)
        assert answer.data == clock.wall_ms()


async def test_pairs_currencies_and_contracts_are_listed(client: Client) -> None:
    symbols = (await client.send("GET", "/api/v2/symbols")).data
    assert {row["quoteCurrency"] for row in symbols} == {"USDT"}
    (one,) = [row for row in symbols if row["symbol"] == "BTC-USDT"]
    assert (await client.send("GET", "/api/v2/symbols/BTC-USDT")).data == one
    currencies = (await client.send("GET", "/api/v3/currencies")).data
    assert {row["baseCurrency"] for row in symbols} < {row["currency"] for row in currencies}
    assert (await client.send("GET", "/api/v3/currencies/NONE")).code == "400100"
    contracts = (await client.send("GET", "/api/v1/contracts/active", venue="futures")).data
    assert {"XBTUSDTM", "XBTUSDM"} < {row["symbol"] for row in contracts}


@pytest.mark.parametrize(
    ("venue", "target"),
    [
        ("main", "/api/v1/market/orderbook/level1?symbol=BTC-USDT"),
        ("main", "/api/v1/market/stats?symbol=BTC-USDT"),
        ("main", "/api/v1/market/allTickers"),
        ("main", "/api/v1/market/histories?symbol=BTC-USDT"),
        ("main", "/api/v1/mark-price/BTC-USDT/current"),
        ("main", "/api/v1/prices"),
        ("main", "/api/v1/my-ip"),
        ("main", "/api/v1/status"),
        ("main", "/api/v3/announcements"),
        ("futures", "/api/v1/ticker?symbol=XBTUSDTM"),
        ("futures", "/api/v1/allTickers"),
        ("futures", "/api/v1/contracts/XBTUSDTM"),
        ("futures", "/api/v1/mark-price/XBTUSDTM/current"),
        ("futures", "/api/v1/funding-rate/XBTUSDTM/current"),
        ("futures", "/api/v1/trade-statistics"),
    ],
)
async def test_whoever_asks_is_answered(client: Client, venue: str, target: str) -> None:
    assert (await client.send("GET", target, venue=venue)).data


async def test_books_have_bids_below_asks(client: Client) -> None:
    spot = await client.send("GET", "/api/v1/market/orderbook/level2_20?symbol=BTC-USDT")
    assert float(spot.data["bids"][0][0]) < 50_000 < float(spot.data["asks"][0][0])
    target = "/api/v1/level2/depth20?symbol=XBTUSDTM"
    futures = await client.send("GET", target, venue="futures")
    assert futures.data["bids"][0][0] < 50_000 < futures.data["asks"][0][0]


async def test_candles_are_newest_first_in_spot_and_oldest_first_in_futures(
    client: Client,
) -> None:
    target = "/api/v1/market/candles?symbol=BTC-USDT&type=1min&startAt=0&endAt=600"
    rows = (await client.send("GET", target)).data
    assert [int(row[0]) for row in rows] == list(range(600, -1, -60))
    target = "/api/v1/kline/query?symbol=XBTUSDTM&granularity=1&from=60000&to=180000"
    rows = (await client.send("GET", target, venue="futures")).data
    assert [row[0] for row in rows] == [60_000, 120_000, 180_000]


@pytest.mark.parametrize(
    ("venue", "target"),
    [
        ("main", "/api/v1/market/candles?symbol=BTC-USDT&type=2min"),
        ("main", "/api/v1/market/candles?symbol=BTC-USDT&type=1min&endAt=soon"),
        ("main", "/api/v1/market/stats"),
        ("futures", "/api/v1/kline/query?symbol=XBTUSDTM&granularity=0"),
        ("futures", "/api/v1/ticker"),
    ],
)
async def test_what_makes_no_sense_is_refused(client: Client, venue: str, target: str) -> None:
    assert (await client.send("GET", target, venue=venue)).code == "400100"
