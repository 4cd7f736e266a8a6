"""What a request uses up: the buckets of the simulated MEXC that it is counted in.

https://www.mexc.com/api-docs/spot-v3/general-info#limits
https://www.mexc.com/api-docs/spot-v3/spot-account-trade#new-order
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

from proxy.sim.windows import Cost

if TYPE_CHECKING:
    from proxy.sim.mexc.desk import User, World
    from proxy.sim.mexc.table import Row

_SECOND_NS: Final = 1_000_000_000
WEIGHT_MAX: Final = 500
WEIGHT_SPAN_NS: Final = 10 * _SECOND_NS
ORDERS_MAX: Final = 12
ORDERS_RULE: Final = "spot-orders"


@final
class _Rule(NamedTuple):
    name: str
    limit: int
    span_ns: int
    units: int
    subjects: str  # "account", "address" or "both"


@final
class Meter:
    """Tells what each request costs; `overrides` replaces a row's first limit, or a rule's."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.overrides: dict[str, tuple[int, int]] = {}  # "METHOD path" or rule -> count, span_ns

    def costs(self, row: Row, user: User | None, source: str) -> list[Cost]:
        """Return every bucket the request is counted in."""
        costs: list[Cost] = []
        for rule in self._rules(row):
            if rule.subjects != "account" or user is None:
                bucket = f"{rule.name}#ip {source}"
                costs.append(Cost(bucket, rule.limit, rule.span_ns, rule.units))
            if rule.subjects != "address" and user is not None:
                bucket = f"{rule.name}#uid {user.uid}"
                costs.append(Cost(bucket, rule.limit, rule.span_ns, rule.units))
        return costs

    def _rules(self, row: Row) -> list[_Rule]:
        rules: list[_Rule] = []
        own = self._own_subject(row)
        if row.weight:
            rules.append(_Rule(row.name, WEIGHT_MAX, WEIGHT_SPAN_NS, row.weight, "both"))
        if row.orders:
            subjects = self._world.settings.orders_subject
            rules.append(_Rule(ORDERS_RULE, ORDERS_MAX, _SECOND_NS, 1, subjects))
        for number, rate in enumerate(row.rates):
            name = f"{row.name}+{number}" if row.weight or row.orders else row.name
            rules.append(_Rule(name, rate.count, rate.span_ns, 1, own))
        return [self._changed(row, rule, first=rule is rules[0]) for rule in rules]

    def _changed(self, row: Row, rule: _Rule, *, first: bool) -> _Rule:
        known = self.overrides.get(rule.name)
        if known is None and first:
            known = self.overrides.get(row.name)
        return rule if known is None else rule._replace(limit=known[0], span_ns=known[1])

    def _own_subject(self, row: Row) -> str:
        if row.permission == "public":
            return "address"
        settings = self._world.settings
        if row.orders:
            return settings.orders_subject
        return settings.futures_subject if row.api == "futures" else "account"
