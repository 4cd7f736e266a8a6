"""What the simulated MEXC remembers: users and their keys, and each user id's desk of orders.

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
from proxy.sim.mexc import symbols

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.sim.mexc.table import Row

ORDERS_KEPT: Final = 50_000
SUBJECTS: Final = ("both", "account", "address")
JSON_BODIES: Final = ("covered", "query-only")
Json = dict[str, Any]


@final
@dataclass(frozen=True, slots=True)
class User:
    """One API key. Keys with one `uid` share an account, orders and limits."""

    api_key: str
    secret: str = field(repr=False)
    uid: str
    passphrase: str = ""  # there is none, and
    demo: bool = False  # no demo trading
    perm: str = "read,trade"  # of read, trade, withdraw, transfer, admin
    ips: str = ""  # bound addresses, comma-joined; "" is unbound


@final
@dataclass(frozen=True, slots=True)
class Account:
    """What is known of a uid, whichever of its keys asks."""

    broker: bool = False  # may call the brokers' endpoints
    market_maker: bool = False  # may send futures orders in batches
    require_source: str = ""  # the `source` that every signed call must carry; "" is any or none
    funds: str = "1000000000"  # in USDT; no single order may be worth more


_USUAL: Final = Account()


@final
@dataclass(frozen=True, slots=True)
class Settings:
    """What MEXC does not publish, for everybody: tests choose."""

    orders_subject: str = "both"  # whose the budget that spot order calls share is
    futures_subject: str = "both"  # whose the budgets of private futures calls are
    json_body: str = "covered"  # whether spot's signature covers a JSON body

    def __post_init__(self) -> None:
        """Raise ValueError for what is no choice."""
        if self.orders_subject not in SUBJECTS or self.futures_subject not in SUBJECTS:
            raise ValueError(f"a subject is one of {', '.join(SUBJECTS)}")
        if self.json_body not in JSON_BODIES:
            raise ValueError(f"json_body is one of {', '.join(JSON_BODIES)}")


@final
class Book:
    """One user id's orders of one kind, under their own ids and the user's names for them."""

    def __init__(self, id_key: str, name_key: str) -> None:
        self.orders: dict[str, Json] = {}
        self.pending: dict[str, Json] = {}
        self._names: dict[tuple[str, str], Json] = {}  # (symbol, name) -> the latest order
        self._id_key = id_key
        self._name_key = name_key

    def add(self, order: Json) -> None:
        """Remember a new live order."""
        self.orders[order[self._id_key]] = order
        self.pending[order[self._id_key]] = order
        name = order.get(self._name_key)
        if name:
            self._names[order["symbol"], name] = order
        if len(self.orders) > ORDERS_KEPT:
            ended = next((key for key in self.orders if key not in self.pending), "")
            gone = self.orders.pop(ended, {})
            self._names.pop((gone.get("symbol", ""), gone.get(self._name_key, "")), None)

    def find(self, symbol: str, order_id: str, name: str = "") -> Json | None:
        """Find by id, else the latest order under this name."""
        order = self.orders.get(order_id) if order_id else self._names.get((symbol, name))
        return order if order is not None and order["symbol"] == symbol else None

    def end(self, order: Json, now_ms: int, **changes: Any) -> None:
        """Take an order off the pending ones."""
        order |= {"updateTime": now_ms, **changes}
        self.pending.pop(order[self._id_key], None)

    def live(self, symbol: str = "") -> list[Json]:
        """Return what is pending, of one symbol or all, oldest first."""
        return [order for order in self.pending.values() if symbol in ("", order["symbol"])]


@final
class Desk:
    """What one user id has at the exchange."""

    def __init__(self) -> None:
        self.spot = Book("orderId", "clientOrderId")
        self.futures = Book("orderId", "externalOid")
        self.plans = Book("id", "externalOid")
        self.stops = Book("id", "externalOid")
        self.tracks = Book("id", "externalOid")
        self.trades: deque[Json] = deque(maxlen=ORDERS_KEPT)  # spot
        self.deals: deque[Json] = deque(maxlen=ORDERS_KEPT)  # futures
        self.positions: dict[tuple[str, int], Decimal] = {}  # symbol, 1 long or 2 short -> volume
        self.leverage: dict[str, int] = {}
        self.position_mode = 1  # 1 hedge, 2 one-way
        self.listen_keys: dict[str, int] = {}  # -> valid until, Unix ms
        self.transfers: list[Json] = []
        self.withdrawals: list[Json] = []
        self.subaccounts: dict[str, Json] = {}  # by name
        self.subaccount_keys: dict[str, Json] = {}  # by API key; each with its `subAccount`

    @property
    def books(self) -> tuple[Book, ...]:
        """Return every book of orders."""
        return (self.spot, self.futures, self.plans, self.stops, self.tracks)


@final
class World:
    """Everything that outlives a request."""

    def __init__(self, users: list[User]) -> None:
        self.users: dict[str, User] = {user.api_key: user for user in users}
        self.desks: dict[str, Desk] = {}  # by uid
        self.accounts: dict[str, Account] = {}  # by uid
        self.settings = Settings()
        self.prepared = Prepared()
        self.symbols = symbols.spot()
        self.contracts = symbols.contracts()
        self._ids: Iterator[int] = itertools.count(768_116_802_038_000_001)

    def desk(self, user: User) -> Desk:
        """Return the desk of the user's id."""
        return self.desks.setdefault(user.uid, Desk())

    def account(self, user: User) -> Account:
        """Return what is known of the account behind the key."""
        return self.accounts.get(user.uid, _USUAL)

    def new_id(self) -> str:
        """Return an id that was never used."""
        return str(next(self._ids))

    def clear(self) -> None:
        """Forget every order; users stay, and what is known of them."""
        self.desks.clear()


@final
@dataclass(slots=True)
class Call:
    """One authenticated request, parsed."""

    world: World
    row: Row
    user: User | None  # None: public and unsigned
    variables: dict[str, str]  # of the path
    parameters: dict[str, str]  # of the query, and on spot of a `k=v` body too
    content: Any  # of a JSON body
    source: str  # the broker code that it carries
    now_ms: int

    @property
    def desk(self) -> Desk:
        """Return the caller's desk."""
        assert self.user is not None
        return self.world.desk(self.user)

    @property
    def account(self) -> Account:
        """Return what is known of the caller."""
        assert self.user is not None
        return self.world.account(self.user)
