"""Prices of the simulated market and the candles made of them: the same for all, at any time.

A price is a function of the instrument and the second alone, so that two answers can be compared.
https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks
"""

from __future__ import annotations

import datetime
import itertools
import zlib
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from proxy.sim.okx import instruments

if TYPE_CHECKING:
    from collections.abc import Iterator

Candle = list[str]

LISTED_MS: Final = 1_600_000_000_000  # nothing is older
_SWING: Final = 0.002  # how far prices go from the last one, both ways together
_DECIMALS_MAX: Final = 5  # what the listed tickSz allows
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_EAST_MS: Final = 8 * _HOUR_MS  # days begin at midnight of UTC+8 unless the bar says utc
_MONDAY_MS: Final = 4 * _DAY_MS  # the first one after 1970 began
_SHORT: Final = {
    "1s": 1000,
    **{f"{minutes}m": minutes * 60_000 for minutes in (1, 3, 5, 15, 30)},
    **{f"{hours}H": hours * _HOUR_MS for hours in (1, 2, 4)},
}
_LONG: Final = {
    "6H": 6 * _HOUR_MS,
    "12H": 12 * _HOUR_MS,
    **{f"{days}D": days * _DAY_MS for days in (1, 2, 3)},
    "1W": 7 * _DAY_MS,
}
_MONTHS: Final = {"1M": 1, "3M": 3}
BARS: Final = (*_SHORT, *(f"{bar}{end}" for end in ("", "utc") for bar in (*_LONG, *_MONTHS)))


def price(name: str, at_ms: int) -> str:
    """Return what an instrument costs in the second that holds this moment."""
    text, last = _style(name)
    return text % (last * (1 + _SWING * (_chance(f"{name} {at_ms // 1000}") - 0.5)))


def near(name: str, of: str, share: float) -> str:
    """Return the price a share above (or below) another, as the instrument writes prices."""
    return _style(name)[0] % (float(of) * (1 + share))


def whole_number(words: str, most: int) -> int:
    """Draw 1 … most; the same words draw the same."""
    return 1 + int(_chance(words) * most)


def candles(name: str, bar: str, starts: list[int], now_ms: int) -> list[Candle]:
    """Return candles of consecutive bars, newest first; that one may be unfinished."""
    rows: list[Candle] = []
    end_ms = next_start(bar, starts[0]) if starts else 0
    for start_ms in starts:
        if end_ms <= now_ms:
            rows.append(_finished(name, start_ms, end_ms))
        else:
            share = (now_ms - start_ms) / (end_ms - start_ms)
            rows.append(_candle(name, start_ms, now_ms, share))
        end_ms = start_ms
    return rows


def starts(bar: str, at_ms: int) -> Iterator[int]:
    """Yield when the bar that holds this moment began, then those before it."""
    kind, shift_ms = _kind(bar)
    if kind in _MONTHS:
        months = _MONTHS[kind]
        first = _month(at_ms + shift_ms) // months * months
        return (_month_start(number) - shift_ms for number in itertools.count(first, -months))
    width_ms = _width(kind)
    origin_ms = (_MONDAY_MS if kind == "1W" else 0) - shift_ms
    first_ms = (at_ms - origin_ms) // width_ms * width_ms + origin_ms
    return itertools.count(first_ms, -width_ms)


def next_start(bar: str, start_ms: int) -> int:
    """Return when the bar after the one that begins here begins."""
    kind, shift_ms = _kind(bar)
    if kind in _MONTHS:
        return _month_start(_month(start_ms + shift_ms) + _MONTHS[kind]) - shift_ms
    return start_ms + _width(kind)


def _kind(bar: str) -> tuple[str, int]:
    kind = bar.removesuffix("utc")
    return kind, 0 if kind != bar or kind in _SHORT else _EAST_MS


def _width(kind: str) -> int:
    return _SHORT[kind] if kind in _SHORT else _LONG[kind]


def _month(at_ms: int) -> int:
    moment = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    return moment.year * 12 + moment.month - 1


def _month_start(number: int) -> int:
    moment = datetime.datetime(number // 12, number % 12 + 1, 1, tzinfo=datetime.UTC)
    return round(moment.timestamp() * 1000)


@lru_cache(maxsize=200_000)
def _finished(name: str, start_ms: int, end_ms: int) -> Candle:
    return _candle(name, start_ms, end_ms, 1)


def _candle(name: str, start_ms: int, end_ms: int, share: float) -> Candle:
    """[ts, o, h, l, c, vol, volCcy, volCcyQuote, confirm]; it closes where the next opens."""
    first, last = price(name, start_ms), price(name, end_ms)
    pair = sorted((first, last), key=float)
    reach = _SWING * _chance(f"{name} reach {start_ms}")
    volume = round(whole_number(f"{name} volume {start_ms}", 1000) * share, 2)
    base = volume if name.count("-") == 1 else volume / 100
    quote = f"{base * float(last):.2f}"
    volumes = [f"{volume:.2f}", quote if name.count("-") == 1 else f"{base:.4f}", quote]
    extremes = [near(name, pair[1], reach), near(name, pair[0], -reach)]
    return [str(start_ms), first, *extremes, last, *volumes, "1" if share == 1 else "0"]


@lru_cache(maxsize=1024)
def _style(name: str) -> tuple[str, float]:
    """How prices are written, with six figures unless the tick forbids, and where they stay."""
    last = Decimal(instruments.last_price(name))
    return f"%.{min(max(5 - last.adjusted(), 0), _DECIMALS_MAX)}f", float(last)


def _chance(words: str) -> float:
    return zlib.crc32(words.encode()) / 2**32
