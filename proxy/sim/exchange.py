"""What a folder here offers: one simulated exchange, without the server round it.

    proxy/sim/<kind>/__init__.py    EXCHANGE: called without arguments, makes a fresh `Simulated`
    proxy/sim/<kind>/<kind>.toml    its own table of endpoints and limits, never the proxy's

The folder is the registration, see `proxy.sim.registry`. What every exchange has in common stands
beside this file: `server` (ports, delays, faults, the record of everything), `control` (the back
door), `answers` (Answer, Refused), `http` (what no API takes), `windows` (Cost, Till). Nothing in
a folder knows a socket or reads a clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.sim.answers import Answer
    from proxy.sim.recorded import Recorded
    from proxy.sim.windows import Till

MAIN = "main"


class Holder(Protocol):
    """One API key and whose it is. Each exchange has a frozen, slotted dataclass of its own, whose
    repr shows no secret; the back door also shows its `perm` and `ips` where it has them."""

    @property
    def api_key(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def passphrase(self) -> str: ...  # "" where the exchange has none
    @property
    def uid(self) -> str: ...
    @property
    def demo(self) -> bool: ...  # False where the exchange has no such trading


@final
class Sample(NamedTuple):
    """An order as some bot sends it, unsigned, with somebody else's broker code on it: in the
    body, or in `headers`. Headers may name a broker whom the exchange does not know and refuses."""

    venue: str
    method: str
    target: str  # path and query
    body: bytes
    headers: Mapping[str, str]


@final
class Signed(NamedTuple):
    """A request as a bot sends it."""

    target: str
    headers: dict[str, str]
    body: bytes


@final
class Paste(NamedTuple):
    """A few lines ready to paste that place an order."""

    title: str  # "spot, Python and nothing else", "futures, ccxt" …
    text: str


class Simulated(Protocol):
    """A strict exchange: its users, its table, its orders, and one function that answers."""

    @property
    def kind(self) -> str:
        """Return the name of the folder."""

    @property
    def place(self) -> int:
        """Return where it stands among the exchanges that are shown together: okx 1, mexc 2 …"""

    @property
    def site(self) -> str:
        """Return the host that pages of the edge speak of, "www.okx.com"."""

    @property
    def venues(self) -> tuple[str, ...]:
        """Return the venues, "main" first; each is served on a port of its own."""

    @property
    def has_demo(self) -> bool:
        """Return whether there are keys for demo trading."""

    @property
    def operator(self) -> Mapping[str, Mapping[str, str]]:
        """Return by venue what makes an operator a broker here, as keys of the proxy's table
        [exchanges.<kind>] or [exchanges.<kind>.<venue>]: {"main": {"broker_code": …}}."""

    # ---- answering ------------------------------------------------------------------------

    def answer(self, record: Recorded, now_ms: int, till: Till) -> Answer:
        """Do one request: refuse what no API takes, authenticate, count, act.

        Sets `record.uid` once the key is known to be right. `now_ms` is the exchange's clock; it
        is later than `record.wall_ms` when the request stood in a queue inside the exchange.
        `till.charge(costs)` counts at the instant of arrival; `till.left(bucket)` tells what
        rate headers say. Raises `Refused`.
        """

    def refusal(self, code: str, msg: str, status: int) -> Answer:
        """Render an error in this exchange's envelope; status 0 is what the code has by itself."""

    def is_order(self, record: Recorded) -> bool:
        """Return whether this is a call that broker codes belong on."""

    def codes(self, record: Recorded) -> list[str]:
        """Return the broker codes on a recorded order as the exchange finds them, one per order
        or one per header; "" where there is none."""

    # ---- what the back door reads and changes ----------------------------------------------

    @property
    def users(self) -> Mapping[str, Holder]:
        """Return the users by API key."""

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Return every order of every user, oldest first, each with its `uid` and `venue`."""

    def add_user(self, fields: dict[str, Any]) -> Holder:
        """Add or replace a key: fields of its user, and of the account behind it. Raises
        TypeError, ValueError or KeyError for what makes no sense."""

    def remove_user(self, api_key: str) -> bool:
        """End a key; return whether there was one."""

    def accounts(self) -> list[dict[str, Any]]:
        """Return what is known of each account, with its `uid` and `demo`."""

    def change_account(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Change the account of `uid` (and `demo`), its keys untouched; return it. Raises as
        `add_user` does."""

    def add_row(self, line: str) -> None:
        """Serve one more endpoint, in the form of a line of the exchange's table."""

    def set_limit(self, name: str, count: int, span_ns: int) -> None:
        """Put a limit in place of the table's until `clear`; `name` is "METHOD path" or a pool."""

    def clear(self) -> None:
        """Forget orders and limits that were put in place; users, accounts and rows stay."""

    # ---- the bot's side, for the demo and for tests ----------------------------------------

    def new_user(self, uid: str, *, demo: bool = False) -> Holder:
        """Add a user with a fresh key and return it."""

    @property
    def samples(self) -> Sequence[Sample]:
        """Return an order for each venue that takes any."""

    def signed(self, holder: Holder, sample: Sample, wall_ms: int) -> Signed:
        """Sign a request with the keys of `holder`, which may be issued by the proxy."""

    def pastes(self, base_url: str, holder: Holder) -> tuple[Paste, ...]:
        """Return texts to paste that place the samples at `base_url`, the proxy's for this
        exchange (venues stand below it: base_url + "/futures")."""
