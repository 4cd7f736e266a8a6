"""What an account's bots did lately, so that an operator can say why one of them fares badly.

Counted for every request, so nothing here may cost more than half a microsecond. Bounded: hours
of one day, slugs of `proxy.errors`, the last refusals. Times are Unix milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import orjson

from proxy.errors import SLUGS

if TYPE_CHECKING:
    from proxy.errors import Slug

HOURS: Final = 24  # kept, the one that runs included
REFUSALS_KEPT: Final = 20
FACTS_MAX: Final = 300  # characters
_HOUR_MS: Final = 3_600_000
_OFF_MAX: Final = 1 << 53  # ms
_FORM: Final = 1  # of what is stored; another form gets another number
_KNOWN: Final[dict[str, Slug]] = {slug: slug for slug in SLUGS}


@final
class _Hour:
    __slots__ = ("orders", "refused")

    def __init__(self) -> None:
        self.orders = 0
        self.refused: dict[Slug, int] = {}


_NO_HOUR: Final = _Hour()


@final
class Activity:
    """What one account did within a day, and how the exchange took its key. `dirty`: not written
    down yet."""

    __slots__ = (
        "_ends_ms",
        "_hour",
        "_hours",
        "_starts_ms",
        "clock_off_ms",
        "dirty",
        "key_health",
        "key_health_ms",
        "last_seen_ms",
        "refusals",
    )

    def __init__(self) -> None:
        self.last_seen_ms = 0  # 0: never
        self.key_health = ""  # "": not known | "ok" | the exchange's code for what is wrong
        self.key_health_ms = 0
        self.clock_off_ms: int | None = None  # the bot's last timestamp minus our clock
        # when, slug, endpoint label, facts; newest last
        self.refusals: list[tuple[int, Slug, str, str]] = []
        self.dirty = False
        self._hours: dict[int, _Hour] = {}  # by hours since 1970
        self._hour = _NO_HOUR  # the one that runs from _starts_ms to before _ends_ms
        self._starts_ms = self._ends_ms = 0

    @property
    def last_refusal(self) -> str:
        """The slug of the newest refusal, "" if there is none."""
        return self.refusals[-1][1] if self.refusals else ""

    @property
    def last_refusal_ms(self) -> int:
        """When the newest refusal was, 0 if there is none."""
        return self.refusals[-1][0] if self.refusals else 0

    def seen(self, wall_ms: int, orders: int) -> None:
        """Count one verified request, and the orders it placed."""
        if not self._starts_ms <= wall_ms < self._ends_ms:
            self._turn(wall_ms)
        self.last_seen_ms = wall_ms
        self._hour.orders += orders
        self.dirty = True

    def refused(self, wall_ms: int, slug: Slug, label: str, facts: str) -> None:
        """Count one refusal of ours; `label` is the endpoint's, `facts` what the bot was told."""
        if not self._starts_ms <= wall_ms < self._ends_ms:
            self._turn(wall_ms)
        refused = self._hour.refused
        refused[slug] = refused.get(slug, 0) + 1
        self.refusals.append((wall_ms, slug, label, facts[:FACTS_MAX]))
        if len(self.refusals) > REFUSALS_KEPT:
            del self.refusals[0]
        self.dirty = True

    def health(self, wall_ms: int, code: str) -> None:
        """Note whether the exchange takes the key: "ok", or its own code for why not."""
        self.key_health = code
        self.key_health_ms = wall_ms
        self.dirty = True

    def another_key(self) -> None:
        """Forget how the exchange took the key: the account has another."""
        if self.key_health:
            self.key_health = ""
            self.key_health_ms = 0
            self.dirty = True

    def totals(self, now_ms: int) -> tuple[int, dict[Slug, int]]:
        """Return orders and refusals by slug of the hour that runs and the 23 before it."""
        now = now_ms // _HOUR_MS
        orders = 0
        refused: dict[Slug, int] = {}
        for number, hour in self._hours.items():
            if now - HOURS < number <= now:
                orders += hour.orders
                for slug, n in hour.refused.items():
                    refused[slug] = refused.get(slug, 0) + n
        return orders, refused

    def _turn(self, wall_ms: int) -> None:
        """Go to the hour of `wall_ms`, and forget those that are over or cannot be."""
        now = wall_ms // _HOUR_MS
        for number in list(self._hours):
            # a clock that was set back a little is still in the hour before
            if not now - HOURS < number <= now + 1:
                del self._hours[number]
        self._hour = self._hours.setdefault(now, _Hour())
        self._starts_ms = now * _HOUR_MS
        self._ends_ms = self._starts_ms + _HOUR_MS

    def encode(self) -> bytes:
        """Return what is stored of it."""
        off: int | None = self.clock_off_ms
        stored = {
            "form": _FORM,
            "seen": self.last_seen_ms,
            "health": (self.key_health, self.key_health_ms),
            "off": off if off is None else max(min(off, _OFF_MAX), -_OFF_MAX),
            "hours": [(at, hour.orders, hour.refused) for at, hour in self._hours.items()],
            "refusals": self.refusals,
        }
        try:
            return orjson.dumps(stored)
        except TypeError:  # lone surrogates are no Unicode; what bots send may have got there
            cleaned = [(at, slug, _clean(a), _clean(b)) for at, slug, a, b in self.refusals]
            health = (_clean(self.key_health), self.key_health_ms)
            return orjson.dumps(stored | {"health": health, "refusals": cleaned})

    @staticmethod
    def decode(payload: bytes) -> Activity | None:
        """Return what `encode` made the payload of; None for one that is damaged, or newer."""
        try:
            found = orjson.loads(payload)
            return _decoded(found) if found["form"] == _FORM else None
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def _decoded(found: dict[str, Any]) -> Activity:
    activity = Activity()
    activity.last_seen_ms = _count(found["seen"])
    code, health_ms = found["health"]
    activity.key_health, activity.key_health_ms = _text(code), _count(health_ms)
    if found["off"] is not None:
        activity.clock_off_ms = _count(abs(found["off"])) * (1 if found["off"] > 0 else -1)
    for number, orders, refused in found["hours"][-HOURS - 1 :]:
        hour = activity._hours[_count(number)] = _Hour()
        hour.orders = _count(orders)
        hour.refused = {_KNOWN[slug]: _count(n) for slug, n in refused.items() if slug in _KNOWN}
    for wall_ms, slug, label, facts in found["refusals"][-REFUSALS_KEPT:]:
        if slug in _KNOWN:
            entry = (_count(wall_ms), _KNOWN[slug], _text(label), _text(facts)[:FACTS_MAX])
            activity.refusals.append(entry)
    return activity


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a count")
    return value


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
