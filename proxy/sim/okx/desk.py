"""What the simulated exchange remembers: users and their keys, and each user's desk of orders.

Orders are kept as the JSON objects that the exchange would show. Nothing trades against a resting
order here; market, IOC and FOK orders are filled at once at the last price.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, final

from proxy.sim.answers import Prepared
from proxy.sim.okx import instruments
from proxy.sim.okx.answers import Refused
from proxy.sim.okx.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.sim.okx.table import Row

ORDERS_KEPT: Final = 50_000
_GENERAL_USER: Final = Profile()
Json = dict[str, Any]


@final
@dataclass(frozen=True, slots=True)
class User:
    """One API key and the account behind it. Keys with one `uid` share orders and limits."""

    api_key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)
    uid: str
    main_uid: str = ""  # "" or equal: a main account
    demo: bool = False
    perm: str = "read_only,trade"
    ips: str = ""  # bound addresses, comma-joined; "" is unbound
    label: str = "bot"
    funds: str = "1000000000"  # in USDT; no single order may be worth more

    @property
    def desk_key(self) -> str:
        """Return whose orders and budgets these are; demo is apart from live."""
        return f"{self.uid}{' demo' if self.demo else ''}"


@final
class Desk:
    """The orders, timers, positions and conversions of one user id."""

    def __init__(self) -> None:
        self.orders: dict[str, Json] = {}
        self.pending: dict[str, Json] = {}  # by ordId
        self.pending_names: dict[str, Json] = {}  # by clOrdId
        self.fills: deque[Json] = deque(maxlen=ORDERS_KEPT)
        self.algos: dict[str, Json] = {}
        self.bots: dict[str, Json] = {}  # grid, DCA, recurring, spread, block … by id
        self.timers: dict[str, int] = {}  # tag ("" is every order) -> Unix ms
        self.positions: dict[str, Decimal] = {}
        self.quotes: dict[str, Json] = {}
        self.converts: list[Json] = []
        self.leverage: dict[str, str] = {}
        self.position_mode = "net_mode"

    def add(self, order: Json) -> None:
        """Remember a new live order."""
        self.orders[order["ordId"]] = order
        self.pending[order["ordId"]] = order
        if order["clOrdId"]:
            self.pending_names[order["clOrdId"]] = order
        if len(self.orders) > ORDERS_KEPT:
            ended = (key for key in self.orders if key not in self.pending)
            self.orders.pop(next(ended, ""), None)

    def end(self, order: Json, state: str, now_ms: int) -> None:
        """Take an order off the pending ones."""
        order["state"] = state
        order["uTime"] = str(now_ms)
        self.pending.pop(order["ordId"], None)
        if self.pending_names.get(order["clOrdId"]) is order:
            del self.pending_names[order["clOrdId"]]

    def find(self, order_id: str, name: str) -> Json | None:
        """Find by ordId, else the latest order under this clOrdId."""
        if order_id:
            return self.orders.get(order_id)
        if name in self.pending_names:
            return self.pending_names[name]
        named = (order for order in reversed(self.orders.values()) if order["clOrdId"] == name)
        return next(named, None)

    def run_timers(self, now_ms: int) -> None:
        """Cancel what a cancel-all-after timer that has run out selects."""
        for tag in [tag for tag, due_ms in self.timers.items() if due_ms <= now_ms]:
            del self.timers[tag]
            for order in list(self.pending.values()):
                if tag in ("", order["tag"]):
                    order["cancelSource"] = "20"
                    self.end(order, "canceled", now_ms)


@final
class Broker:
    """What a broker has made: sub-accounts, their deposit addresses, reports."""

    def __init__(self) -> None:
        self.subaccounts: dict[str, Json] = {}  # by name
        self.keys: dict[str, Json] = {}  # by apiKey; each with its `subAcct`
        self.deposit_addresses: list[Json] = []
        self.reports: dict[tuple[str, str, str], int] = {}  # kind, begin, end -> asked for, ms


@final
class World:
    """Everything that outlives a request."""

    def __init__(self, users: list[User]) -> None:
        self.users: dict[str, User] = {user.api_key: user for user in users}
        self.desks: dict[str, Desk] = {}
        self.profiles: dict[str, Profile] = {}  # by desk key, as desks are
        self.brokers: dict[str, Broker] = {}  # the same
        self.prepared = Prepared()
        self.instruments = instruments.listed()
        self.order_ids: Iterator[int] = itertools.count(2_500_000_000_000_000_001)

    def desk(self, user: User) -> Desk:
        """Return the desk of the user's id."""
        return self.desks.setdefault(user.desk_key, Desk())

    def profile(self, user: User) -> Profile:
        """Return what is known of the account behind the key."""
        return self.profiles.get(user.desk_key) or _GENERAL_USER

    def broker(self, user: User) -> Broker:
        """Return what the broker behind the key has made."""
        return self.brokers.setdefault(user.desk_key, Broker())

    def new_id(self) -> str:
        """Return an id that was never used, as the exchange writes them."""
        return str(next(self.order_ids))

    def clear(self) -> None:
        """Forget every order and what brokers made; users stay, and what is known of them."""
        self.desks.clear()
        self.brokers.clear()


@final
class Number(str):
    """A JSON number, spelled as it was sent."""

    __slots__ = ()


@final
class ItemFault(Exception):
    """One order of a call is refused; the call itself is answered."""

    def __init__(self, code: str, msg: str) -> None:
        super().__init__(code, msg)
        self.code = code
        self.msg = msg


@final
@dataclass(slots=True)
class Call:
    """One authenticated request, parsed."""

    world: World
    row: Row
    user: User | None  # None: public and unsigned
    query: dict[str, str]
    content: Any
    now_ms: int

    @property
    def desk(self) -> Desk:
        """Return the caller's desk."""
        assert self.user is not None
        return self.world.desk(self.user)

    def object(self) -> Json:
        """Return the body as the one object it must be; raises Refused."""
        if not isinstance(self.content, dict):
            raise Refused("50002", "JSON syntax error", 400)
        return self.content

    def items(self) -> list[Json]:
        """Return the body as the array of objects it must be; raises Refused."""
        if not isinstance(self.content, list) or not all(
            isinstance(item, dict) for item in self.content
        ):
            raise Refused("50002", "JSON syntax error", 400)
        if not 1 <= len(self.content) <= self.row.items_max:
            raise Refused("51000", "Parameter batch size error", 400)
        return self.content


def text(item: Json, key: str) -> str:
    """Return a parameter as text, "" when absent, null or empty; raises ItemFault."""
    value = item.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ItemFault("51000", f"Parameter {key} error")
    return str(value)


def needed(item: Json, key: str) -> str:
    """Return a parameter that must be there; raises ItemFault."""
    value = text(item, key)
    if not value:
        raise ItemFault("50014", f"Parameter {key} can not be empty.")
    return value


def amount(item: Json, key: str) -> Decimal:
    """Return a number above zero; raises ItemFault."""
    value = needed(item, key)
    try:
        number = Decimal(value) if value.isascii() and "_" not in value else Decimal(0)
    except ArithmeticError:
        number = Decimal(0)
    if not (number.is_finite() and number > 0) or value.strip() != value:
        raise ItemFault("51000", f"Parameter {key} error")
    return number


def choice(item: Json, key: str, allowed: tuple[str, ...], *, must: bool = True) -> str:
    """Return a parameter that is one of a few words; raises ItemFault."""
    value = needed(item, key) if must else text(item, key)
    if value and value not in allowed:
        raise ItemFault("51000", f"Parameter {key} error")
    return value


def alphanumerics(item: Json, key: str, longest: int) -> str:
    """Return an optional name of ASCII letters and digits; raises ItemFault."""
    value = text(item, key)
    if value and not (value.isascii() and value.isalnum() and len(value) <= longest):
        raise ItemFault("51000", f"Parameter {key} error")
    return value


def flag(item: Json, key: str) -> bool:
    """Return an optional boolean, sent as one or as text; raises ItemFault."""
    value = item.get(key)
    if value in (None, "", False, "false"):
        return False
    if value in (True, "true"):
        return True
    raise ItemFault("51000", f"Parameter {key} error")
