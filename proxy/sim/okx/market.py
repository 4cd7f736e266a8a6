"""Market and public reads of the simulated OKX; everyone who asks the same gets the same bytes.

https://www.okx.com/docs-v5/en/#order-book-trading-market-data
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from proxy.sim.answers import Answer
from proxy.sim.okx import candles, instruments
from proxy.sim.okx.answers import accepted, no_instrument, parameter_empty, parameter_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.sim.okx.desk import Call, Json

TICK_MS: Final = 200  # how often prices, books and candles are looked at anew
LISTING_MS: Final = 60_000
_KINDS: Final = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS")
_CANDLES_MAX: Final = 300
_CANDLES_DEEPEST: Final = 1440  # bars that market/candles knows; older ones are history
_DEPTH_MAX: Final = 400
_DEPTH_STEP: Final = 0.0001


def alike(act: Callable[[Call], Answer], every_ms: int = TICK_MS) -> Callable[[Call], Answer]:
    """Make the answer once for all who ask the same within a tick of the exchange's clock."""

    def answered(call: Call) -> Answer:
        key = (call.row.path, *call.query.items())
        return call.world.prepared.get(key, call.now_ms // every_ms, lambda: act(call))

    return answered


def time(call: Call) -> Answer:
    """GET public/time."""
    return accepted([{"ts": str(call.now_ms)}])


def listing(call: Call) -> Answer:
    """GET public/instruments and account/instruments."""
    family = call.query.get("instFamily") or call.query.get("uly")
    kind = _kind(call)
    if kind == "OPTION" and not family:
        raise parameter_empty("instFamily")
    chosen = [
        row
        for row in call.world.instruments.values()
        if row["instType"] == kind
        and family in (None, "", row["instFamily"])
        and call.query.get("instId") in (None, "", row["instId"])
    ]
    if not chosen and call.query.get("instId"):
        raise no_instrument()
    return accepted(chosen)


def ticker(call: Call) -> Answer:
    """GET market/ticker."""
    return accepted([_ticker(call, instrument(call))])


def tickers(call: Call) -> Answer:
    """GET market/tickers."""
    kind, family = _kind(call), call.query.get("instFamily")
    return accepted(
        [
            _ticker(call, row["instId"])
            for row in call.world.instruments.values()
            if row["instType"] == kind and family in (None, "", row["instFamily"])
        ]
    )


def books(call: Call) -> Answer:
    """GET market/books."""
    name = instrument(call)
    depth = _number(call, "sz", 1, _DEPTH_MAX)
    last = candles.price(name, call.now_ms)
    side = {
        side: [
            [
                candles.near(name, last, sign * level * _DEPTH_STEP),
                str(candles.whole_number(f"{name} {side} {level} {call.now_ms // TICK_MS}", 50)),
                "0",
                str(1 + level % 7),
            ]
            for level in range(1, depth + 1)
        ]
        for side, sign in (("asks", 1), ("bids", -1))
    }
    return accepted([side | {"ts": str(call.now_ms), "seqId": call.now_ms // TICK_MS}])


def newest_candles(call: Call) -> Answer:
    """GET market/candles."""
    bar = _bar(call, but=("1s",))
    oldest_ms = _deepest(bar, next(candles.starts(bar, call.now_ms)))
    return _candles(call, bar, call.now_ms, oldest_ms)


def old_candles(call: Call) -> Answer:
    """GET market/history-candles: finished ones alone."""
    bar = _bar(call, but=("1s",) if instruments.is_option(instrument(call)) else ())
    newest_ms = next(candles.starts(bar, call.now_ms)) - 1
    return _candles(call, bar, newest_ms, candles.LISTED_MS)


def trades(call: Call) -> Answer:
    """GET market/trades."""
    name = instrument(call)
    second = call.now_ms // 1000
    rows = [
        {
            "instId": name,
            "tradeId": str(second - age),
            "px": candles.price(name, call.now_ms - age * 1000),
            "sz": str(candles.whole_number(f"{name} trade {second - age}", 20)),
            "side": ("buy", "sell")[(second - age) % 2],
            "ts": str((second - age) * 1000),
            "count": "1",
            "source": "0",
        }
        for age in range(_number(call, "limit", 100, 500))
    ]
    return accepted(rows)


def mark_price(call: Call) -> Answer:
    """GET public/mark-price."""
    kind = _kind(call)
    return accepted(
        [
            {
                "instType": kind,
                "instId": row["instId"],
                "markPx": candles.price(row["instId"], call.now_ms),
                "ts": str(call.now_ms),
            }
            for row in call.world.instruments.values()
            if row["instType"] == kind and call.query.get("instId") in (None, "", row["instId"])
        ]
    )


def funding_rate(call: Call) -> Answer:
    """GET public/funding-rate."""
    name = instrument(call)
    next_ms = str((call.now_ms // 28_800_000 + 1) * 28_800_000)
    row = {"instType": "SWAP", "instId": name, "method": "current_period", "fundingRate": "0.0001"}
    times = {"fundingTime": next_ms, "nextFundingTime": next_ms, "ts": str(call.now_ms)}
    return accepted([row | times | {"nextFundingRate": ""}])


def instrument(call: Call) -> str:
    """Return the instrument that the query names; raises Refused."""
    name = call.query.get("instId")
    if not name:
        raise parameter_empty("instId")
    if name not in call.world.instruments:
        raise no_instrument()
    return name


def _kind(call: Call) -> str:
    kind = call.query.get("instType")
    if not kind:
        raise parameter_empty("instType")
    if kind not in _KINDS:
        raise parameter_error("instType")
    return kind


def _number(call: Call, key: str, default: int, most: int) -> int:
    value = call.query.get(key) or str(default)
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise parameter_error(key)
    if not 1 <= int(value) <= most:
        raise parameter_error(key)
    return int(value)


def _moment(call: Call, key: str) -> int | None:
    value = call.query.get(key)
    if not value:
        return None
    if not (value.isascii() and value.isdecimal()) or len(value) > 14:
        raise parameter_error(key)
    return int(value)


def _bar(call: Call, but: tuple[str, ...]) -> str:
    bar = call.query.get("bar") or "1m"
    if bar not in candles.BARS or bar in but:
        raise parameter_error("bar")
    return bar


@lru_cache(maxsize=len(candles.BARS))
def _deepest(bar: str, newest_ms: int) -> int:
    return next(itertools.islice(candles.starts(bar, newest_ms), _CANDLES_DEEPEST - 1, None))


def _candles(call: Call, bar: str, newest_ms: int, oldest_ms: int) -> Answer:
    name = instrument(call)
    after, before = _moment(call, "after"), _moment(call, "before")
    if after is not None:
        newest_ms = min(newest_ms, after - 1)
    oldest_ms = max(oldest_ms, candles.LISTED_MS, 0 if before is None else before + 1)
    fitting = itertools.takewhile(
        lambda start_ms: start_ms >= oldest_ms,
        candles.starts(bar, max(newest_ms, 0)),
    )
    chosen = list(itertools.islice(fitting, _number(call, "limit", 100, _CANDLES_MAX)))
    return accepted(candles.candles(name, bar, chosen, call.now_ms))


def _ticker(call: Call, name: str) -> Json:
    last = candles.price(name, call.now_ms)
    day_ms = 24 * 3_600_000
    openings = {
        "open24h": call.now_ms - day_ms,
        "sodUtc0": call.now_ms // day_ms * day_ms,
        "sodUtc8": (call.now_ms + day_ms // 3) // day_ms * day_ms - day_ms // 3,
    }
    volume = candles.whole_number(f"{name} volume", 100_000)
    return {
        "instType": call.world.instruments[name]["instType"],
        "instId": name,
        "last": last,
        "lastSz": str(candles.whole_number(f"{name} trade {call.now_ms // 1000}", 20)),
        "askPx": candles.near(name, last, _DEPTH_STEP),
        "askSz": "11",
        "bidPx": candles.near(name, last, -_DEPTH_STEP),
        "bidSz": "5",
        **{key: candles.price(name, at_ms) for key, at_ms in openings.items()},
        "high24h": candles.near(name, instruments.last_price(name), 0.005),
        "low24h": candles.near(name, instruments.last_price(name), -0.005),
        "vol24h": str(volume),
        "volCcy24h": f"{volume * float(last):.2f}",
        "ts": str(call.now_ms),
    }
