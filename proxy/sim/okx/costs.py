"""What a request uses up: the buckets of the simulated exchange that it is counted in.

https://www.okx.com/docs-v5/en/#overview-rate-limits
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from proxy.sim.okx import instruments
from proxy.sim.windows import Cost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.sim.okx.desk import User, World
    from proxy.sim.okx.table import Rate, Row

CAP_SPAN_NS: Final = 2_000_000_000
ELP_LIMIT: Final = 50
_ORDER_PATHS: Final = ("/api/v5/trade/order", "/api/v5/trade/batch-orders")


@final
class Meter:
    """Tells what each request costs; `overrides` replaces a row's first limit."""

    def __init__(self, world: World, table: Mapping[str, Row]) -> None:
        self._world = world
        self._table = table
        self.overrides: dict[str, tuple[int, int]] = {}  # "METHOD path" -> count, span_ns

    def costs(
        self, row: Row, user: User | None, source: str, query: dict[str, str], content: Any
    ) -> list[Cost]:
        """Return every bucket the request is counted in, an entry per element."""
        items = _elements(row, query, content)
        subjects = _subjects(user, source)
        charged = self._table[row.single] if row.single and len(items) == 1 else row
        costs: list[Cost] = []
        for number, rate in enumerate(charged.rates):
            for item in items if row.items_max else items[:1]:
                count, span_ns = self._limit(charged, number, user, item)
                bucket = f"{charged.name}#{number} {_subject(charged, rate, subjects, item)}"
                costs.append(Cost(bucket, count, span_ns, 1, "50011"))
        if user is not None:
            costs += self._orders(row, user, items)
        return costs

    def _limit(
        self, row: Row, number: int, user: User | None, item: dict[str, Any]
    ) -> tuple[int, int]:
        rate = row.rates[number]
        if number == 0 and row.lead is not None and self._leads(user, item):
            rate = row.lead
        elif number == 0 and row.name in self.overrides:
            return self.overrides[row.name]
        return rate.count, rate.span_ns

    def _leads(self, user: User | None, item: dict[str, Any]) -> bool:
        return user is not None and item.get("instId") in self._world.profile(user).lead_instruments

    def _orders(self, row: Row, user: User, items: list[dict[str, Any]]) -> list[Cost]:
        costs: list[Cost] = []
        if row.method == "POST" and row.path in _ORDER_PATHS:
            costs += [
                Cost(
                    f"elp-taker-access {user.desk_key} {item.get('instId')}",
                    ELP_LIMIT,
                    CAP_SPAN_NS,
                    1,
                    "50011",
                )
                for item in items
                if item.get("isElpTakerAccess") in (True, "true")
            ]
        counted = sum(not self._exempt(user, item) for item in items) if row.capped else 0
        if counted:
            bucket = f"subaccount-orders {user.desk_key}"
            cap = self._world.profile(user).acc_rate_limit
            costs.append(Cost(bucket, cap, CAP_SPAN_NS, counted, "50061"))
        return costs

    def _exempt(self, user: User, item: dict[str, Any]) -> bool:
        """Spot, margin and market maker protection orders are outside the cap."""
        instrument = self._world.instruments.get(str(item.get("instId")), {})
        if instrument.get("instType") == "SPOT":
            return True
        desk = self._world.desk(user)
        amended = desk.pending.get(str(item.get("ordId"))) or (
            desk.pending_names.get(str(item.get("clOrdId"))) if "ordType" not in item else None
        )
        kind = (amended or item).get("ordType")
        return isinstance(kind, str) and kind.startswith("mmp")


def _elements(row: Row, query: dict[str, str], content: Any) -> list[dict[str, Any]]:
    if row.method == "GET":
        return [dict(query)]
    if isinstance(content, list):
        return [item if isinstance(item, dict) else {} for item in content] or [{}]
    return [content if isinstance(content, dict) else {}]


def _subjects(user: User | None, source: str) -> dict[str, str]:
    if user is None:
        return {"ip": source, "user-or-ip": source}
    demo = " demo" if user.demo else ""
    return {
        "ip": source,  # of an address, whatever it is asked for
        "user": user.desk_key,
        "user-or-ip": user.desk_key,
        "master-user": (user.main_uid or user.uid) + demo,
    }


def _subject(row: Row, rate: Rate, subjects: dict[str, str], item: dict[str, Any]) -> str:
    name = str(item.get("instId") or "")
    scope = row.option_scope if row.option_scope and instruments.is_option(name) else rate.scope
    words = list(scope) if scope[0] in subjects else ["user", *scope]
    return " ".join([subjects.get(words[0], ""), *(_value(word, item) for word in words[1:])])


def _value(word: str, item: dict[str, Any]) -> str:
    name = str(item.get("instId") or "")
    if word == "instrument":
        pair = f"{item.get('baseCcy')}-{item.get('quoteCcy')}"
        return name or str(item.get("sprdId") or pair)
    if word == "instFamily":
        return str(item.get("instFamily") or item.get("uly") or instruments.family(name))
    return str(item.get(word) or "")
