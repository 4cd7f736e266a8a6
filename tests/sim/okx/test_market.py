"""Prices, candles, books: the same for all, and as strict about parameters as the exchange."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.sim.okx import SimulatedOkx, candles, instruments
from tests.sim.client import START_MS, Answered, Client, HandClock

MINUTE_MS = 60_000
PAIRS = [f"{coin}-USDT" for coin in instruments.COINS][:48]


async def get(client: Client, target: str) -> Answered:
    return await client.send("GET", f"/api/v5/{target}", b"", {})


async def rows(client: Client, target: str) -> Any:
    answer = await get(client, target)
    assert (answer.status, answer.code) == (200, "0"), answer.content
    return answer.content["data"]


@pytest.fixture
def unlimited(okx: SimulatedOkx) -> None:
    for name in ("candles", "history-candles", "ticker", "tickers", "books", "trades"):
        okx.meter.overrides[f"GET /api/v5/market/{name}"] = (100_000, 1)


@pytest.mark.usefixtures("unlimited")
async def test_every_pair_of_a_fleet_has_candles(client: Client) -> None:
    for name in PAIRS:
        found = await rows(client, f"market/candles?instId={name}&bar=5m")
        assert len(found) == 100
        for _, first, high, low, last, *volumes, confirm in found:
            assert float(low) <= min(float(first), float(last))
            assert float(high) >= max(float(first), float(last)) > 0
            assert all(float(volume) >= 0 for volume in volumes)
            assert len(volumes) == 3
            assert confirm in ("0", "1")


async def test_candles_are_without_a_gap_and_close_where_the_next_opens(client: Client) -> None:
    found = await rows(client, "market/candles?instId=BTC-USDT&limit=300")
    starts = [int(row[0]) for row in found]
    assert starts == [START_MS // MINUTE_MS * MINUTE_MS - age * MINUTE_MS for age in range(300)]
    assert [row[8] for row in found] == ["0"] + ["1"] * 299
    assert [row[4] for row in found[1:]] == [row[1] for row in found[:-1]]


async def test_a_finished_candle_never_changes_and_the_last_one_does(
    client: Client, clock: HandClock
) -> None:
    target = "market/candles?instId=ETH-USDT"
    before = await rows(client, target)
    clock.advance(1)
    after = await rows(client, target)
    assert after[1:] == before[1:]
    assert after[0] != before[0]
    clock.advance(60)
    assert (await rows(client, target))[2:] == before[1:99]


async def test_all_who_ask_within_a_tick_get_the_same_bytes(
    client: Client, okx: SimulatedOkx, clock: HandClock
) -> None:
    answers = []
    for seconds in (0, 0.1, 0.1):
        clock.advance(seconds)
        await rows(client, "market/ticker?instId=BTC-USDT")
        answers.append(okx.requests[-1].answer)
    assert answers[0] is answers[1]
    assert answers[1] != answers[2]


async def test_pages_of_candles_join(client: Client) -> None:
    whole = await rows(client, "market/candles?instId=BTC-USDT&limit=30")
    newest = await rows(client, "market/candles?instId=BTC-USDT&limit=10")
    older = await rows(client, f"market/candles?instId=BTC-USDT&limit=20&after={newest[-1][0]}")
    assert newest + older == whole
    assert await rows(client, f"market/candles?instId=BTC-USDT&before={whole[5][0]}") == whole[:5]


@pytest.mark.usefixtures("unlimited")
async def test_history_is_finished_and_deeper(client: Client) -> None:
    newest = await rows(client, "market/candles?instId=BTC-USDT&limit=4")
    assert await rows(client, "market/history-candles?instId=BTC-USDT&limit=3") == newest[1:]
    long_ago = START_MS - 1440 * MINUTE_MS
    query = f"instId=BTC-USDT&limit=1&after={long_ago}"
    assert await rows(client, f"market/candles?{query}") == []
    assert len(await rows(client, f"market/history-candles?{query}")) == 1
    query = f"instId=BTC-USDT&after={candles.LISTED_MS}"
    assert await rows(client, f"market/history-candles?{query}") == []


@pytest.mark.parametrize(
    ("bar", "start"),
    [
        ("1m", "2023-11-14T22:13"),
        ("15m", "2023-11-14T22:00"),
        ("4H", "2023-11-14T20:00"),
        ("6H", "2023-11-14T22:00"),
        ("6Hutc", "2023-11-14T18:00"),
        ("1D", "2023-11-14T16:00"),
        ("1Dutc", "2023-11-14T00:00"),
        ("1W", "2023-11-12T16:00"),
        ("1Wutc", "2023-11-13T00:00"),
        ("1M", "2023-10-31T16:00"),
        ("1Mutc", "2023-11-01T00:00"),
        ("3Mutc", "2023-10-01T00:00"),
    ],
)
def test_bars_begin_where_the_exchange_begins_them(bar: str, start: str) -> None:
    found = candles.starts(bar, START_MS)
    newest = next(found)
    assert datetime.fromtimestamp(newest / 1000, UTC).isoformat()[:16] == start
    assert candles.next_start(bar, next(found)) == newest


@pytest.mark.usefixtures("unlimited")
async def test_every_bar_is_served(client: Client) -> None:
    for bar in candles.BARS:
        assert await rows(client, f"market/history-candles?instId=BTC-USDT&limit=2&bar={bar}")


async def test_tickers_agree_with_one_another(client: Client) -> None:
    spot = await rows(client, "market/tickers?instType=SPOT")
    assert len(spot) >= 60
    one = await rows(client, "market/ticker?instId=SOL-USDT")
    assert one == [row for row in spot if row["instId"] == "SOL-USDT"]
    for row in spot:
        prices = [float(row[key]) for key in ("low24h", "bidPx", "last", "askPx", "high24h")]
        assert prices == sorted(prices)
    options = await rows(client, "market/tickers?instType=OPTION&instFamily=BTC-USD")
    assert len(options) == 4
    assert await rows(client, "market/tickers?instType=OPTION&instFamily=X-USD") == []


async def test_a_book_is_as_deep_as_it_is_asked_for(client: Client) -> None:
    (book,) = await rows(client, "market/books?instId=BTC-USDT")
    assert (len(book["asks"]), len(book["bids"])) == (1, 1)
    (book,) = await rows(client, "market/books?instId=BTC-USDT&sz=400")
    asks = [float(price) for price, _, _, _ in book["asks"]]
    bids = [float(price) for price, _, _, _ in book["bids"]]
    assert (len(asks), len(bids)) == (400, 400)
    assert asks == sorted(asks)
    assert bids == sorted(bids, reverse=True)
    assert bids[0] < asks[0]


@pytest.mark.parametrize(
    ("target", "count"),
    [
        ("market/trades?instId=BTC-USDT&limit=7", 7),
        ("public/mark-price?instType=SWAP", 63),
        ("public/mark-price?instType=SWAP&instId=BTC-USDT-SWAP", 1),
        ("public/funding-rate?instId=BTC-USDT-SWAP", 1),
    ],
)
async def test_other_public_reads(client: Client, target: str, count: int) -> None:
    assert len(await rows(client, target)) == count


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("market/candles", "50014"),
        ("market/candles?instId=NO-SUCH", "51001"),
        ("market/candles?instId=BTC-USDT&bar=7m", "51000"),
        ("market/candles?instId=BTC-USDT&bar=1s", "51000"),
        ("market/candles?instId=BTC-USDT&bar=1mutc", "51000"),
        ("market/candles?instId=BTC-USDT&limit=301", "51000"),
        ("market/candles?instId=BTC-USDT&limit=0", "51000"),
        ("market/candles?instId=BTC-USDT&limit=x", "51000"),
        ("market/candles?instId=BTC-USDT&limit=0000000000100", "51000"),
        ("market/candles?instId=BTC-USDT&after=yesterday", "51000"),
        ("market/candles?instId=BTC-USDT&before=1e3", "51000"),
        ("market/history-candles?instId=BTC-USD-281229-60000-C&bar=1s", "51000"),
        ("market/ticker", "50014"),
        ("market/ticker?instId=NO-SUCH", "51001"),
        ("market/tickers", "50014"),
        ("market/tickers?instType=X", "51000"),
        ("market/books?instId=BTC-USDT&sz=401", "51000"),
        ("public/mark-price?instType=X", "51000"),
    ],
)
async def test_market_reads_check_their_parameters(client: Client, target: str, code: str) -> None:
    assert (await get(client, target)).code == code
