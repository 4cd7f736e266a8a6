"""What the simulated KuCoin remembers: users and their keys, partners, and each user's desk.

Orders are kept as the JSON objects that the exchange would show. Nothing trades against a resting
order here; market, IOC and FOK orders are filled at once at the last price.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

from proxy.sim.kucoin.table import BROKER, FUTURES, MAIN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.sim.kucoin.table import Row

ORDERS_KEPT: Final = 50_000
VIP_MAX: Final = 12
Json = dict[str, Any]


@final
@dataclass(frozen=True, slots=True)
class User:
    """One API key and the account behind it. Keys with one `uid` share orders and budgets."""

    api_key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)
    uid: str
    main_uid: str = ""  # "" or equal: a main account
    perm: str = "General,Spot,Margin,Futures"
    ips: str = ""  # bound addresses, comma-joined; "" is unbound
    label: str = "bot"
    funds: str = "1000000000"  # in USDT; no single order may be worth more
    key_version: int = 3

    @property
    def demo(self) -> bool:
        """Return whether the key is one for demo trading, of which there are none here."""
        return False


@final
@dataclass(slots=True)
class Profile:
    """The facts of one uid, whichever of its keys asks; replaced whole when one changes."""

    vip: int = 0
    high_frequency: bool = True  # what hf/accounts/opened says
    unified: bool = False
    broker: bool = False  # may call the brokers' endpoints
    report_pending: int = 0  # so many downloads of a report are answered "being prepared"

    def __post_init__(self) -> None:
        """Take JSON's types; raises ValueError for what no account can be."""
        self.vip = int(self.vip)
        if not 0 <= self.vip <= VIP_MAX:
            raise ValueError(f"vip is 0 to {VIP_MAX}")


PROFILE_FIELDS: Final = frozenset(each.name for each in dataclasses.fields(Profile))


@final
@dataclass(frozen=True, slots=True)
class Partner:
    """A broker as one venue knows it; ids and keys of the venues are apart."""

    id: str
    key: str = field(repr=False)
    name: str = ""  # "": whatever KC-BROKER-NAME says is taken


DEMO_PARTNERS: Final = {
    MAIN: Partner("tagproxyDEMO", "0f8d2c5e-demo-spot-4a77", "tagproxy"),
    FUTURES: Partner("tagproxyDEMOFUTURES", "0f8d2c5e-demo-futures-4a78", "tagproxy"),
    BROKER: Partner("tagproxyDEMO", "0f8d2c5e-demo-spot-4a77", "tagproxy"),
}


@final
class Book:
    """The orders of one user at one venue, of one sort (plain, stop, OCO)."""

    def __init__(self) -> None:
        self.orders: dict[str, Json] = {}  # by id
        self.pending: dict[str, Json] = {}  # by id
        self.names: dict[str, Json] = {}  # the latest by clientOid

    def add(self, order: Json) -> None:
        """Remember a new live order."""
        self.orders[order["id"]] = order
        self.pending[order["id"]] = order
        if order["clientOid"]:
            self.names[order["clientOid"]] = order
        if len(self.orders) > ORDERS_KEPT:
            ended = next((key for key in self.orders if key not in self.pending), "")
            old = self.orders.pop(ended, None)
            if old is not None and self.names.get(old["clientOid"]) is old:
                del self.names[old["clientOid"]]

    def find(self, order_id: str, name: str = "") -> Json | None:
        """Find by id, else the latest order under this clientOid."""
        return self.orders.get(order_id) if order_id else self.names.get(name)


@final
class Desk:
    """Everything of one user id."""

    def __init__(self) -> None:
        self.spot = Book()
        self.margin = Book()
        self.stops = Book()
        self.margin_stops = Book()
        self.ocos = Book()
        self.margin_ocos = Book()
        self.futures = Book()
        self.futures_stops = Book()
        self.fills: deque[Json] = deque(maxlen=ORDERS_KEPT)
        self.futures_fills: deque[Json] = deque(maxlen=ORDERS_KEPT)
        self.positions: dict[str, int] = {}  # by contract
        self.leverage: dict[str, str] = {}
        self.margin_mode: dict[str, str] = {}
        self.position_mode = 0
        self.dead_cancel: Json | None = None  # timeout, symbols, currentTime, triggerTime (s)
        self.movements: list[Json] = []  # transfers and withdrawals, in the order they were asked
        self.other_ids: list[str] = []  # of what generic rows created

    @property
    def books(self) -> tuple[Book, ...]:
        """Return every book."""
        return (
            self.spot,
            self.margin,
            self.stops,
            self.margin_stops,
            self.ocos,
            self.margin_ocos,
            self.futures,
            self.futures_stops,
        )


@final
class World:
    """Everything that outlives a request."""

    def __init__(self, users: list[User]) -> None:
        self.users: dict[str, User] = {user.api_key: user for user in users}
        self.desks: dict[str, Desk] = {}  # by uid
        self.profiles: dict[str, Profile] = {}  # by uid
        self.partners: dict[str, dict[str, Partner]] = {
            venue: {partner.id: partner} for venue, partner in DEMO_PARTNERS.items()
        }
        self._ids: Iterator[int] = itertools.count(1)

    def desk(self, uid: str) -> Desk:
        """Return the desk of a user id."""
        return self.desks.setdefault(uid, Desk())

    def profile(self, uid: str) -> Profile:
        """Return what is known of a user id."""
        return self.profiles.get(uid) or Profile()

    def new_id(self, venue: str) -> str:
        """Return an id that was never used, as the venue writes them."""
        number = next(self._ids)
        if venue == FUTURES:
            return str(230_000_000_000_000_000 + number)
        return f"68b5a1{number:018x}"

    def new_number(self) -> int:
        """Return a number that was never used, as trades are numbered."""
        return 14_000_000_000_000 + next(self._ids)

    def clear(self) -> None:
        """Forget every order; users, partners and what is known of accounts stay."""
        self.desks.clear()


@final
class Number(str):
    """A JSON number, spelled as it was sent."""

    __slots__ = ()


@final
@dataclass(slots=True)
class Call:
    """One authenticated request, parsed."""

    world: World
    row: Row
    names: dict[str, str]  # from the path
    user: User | None  # None: public and unsigned
    query: dict[str, str]
    content: Any
    now_ms: int
    partner: str = ""  # whose orders these are; "" earns nothing
    broker_name: str = ""
    source: str = ""

    @property
    def owner(self) -> User:
        """Return the caller of what needs one."""
        assert self.user is not None
        return self.user

    @property
    def desk(self) -> Desk:
        """Return the caller's desk."""
        return self.world.desk(self.owner.uid)
