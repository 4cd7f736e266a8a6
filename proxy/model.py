"""The values that travel along a request's way: slotted, bytes on the wire, no behaviour.

Nothing here does I/O, parses or decides. Values made for every request are plain slotted classes
(a frozen dataclass costs four times as much to build); they are written by the stage that owns
the field and only read after that. Values made once, at start, are frozen dataclasses.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, final

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from proxy.exchanges.mac import Mac

OnConflict = Literal["replace", "keep", "reject"]
Found = Literal["", "none", "ours", "other"]
Permission = Literal["public", "read", "trade", "withdraw"]
Outcome = Literal["ok", "exchange_error", "unknown"]

NO_BAN: Final = -1
SENSITIVE_CLASSES: Final = ("withdraw", "transfer", "deposit", "keys", "subaccount", "broker")


@final
class Action(enum.Enum):
    """What an endpoint does; decides queue priority, replay protection and repeats."""

    READ = "read"
    PLACE = "place"  # creates an order, quote, bot or purchase
    AMEND = "amend"
    CANCEL = "cancel"  # ends something; goes before everything else
    MOVE = "move"  # moves money, positions or keys
    SET = "set"  # changes a setting; repeating it changes nothing more


@final
class Tag(enum.Enum):
    """Where an endpoint carries the broker code."""

    NONE = "none"
    BODY = "body"  # top-level key of the JSON object
    EACH_ITEM = "each-item"  # every object of the JSON array
    WS_ARGS = "ws-args"  # every object of a WebSocket frame's args
    SCOPE = "scope"  # selects orders by tag; follows the order tags, never added
    QUERY_FILTER = "query-filter"  # query parameter that filters history by tag
    HEADERS = "headers"  # not in the message: headers set by sign


@final
@dataclass(frozen=True, slots=True)
class Pool:
    """A published budget: at most `count` units in any `window_ns`, per value of `scope`.

    `scope` names what is counted apart, as `+`-joined words; the first is the subject: `user`
    (exchange uid) or `ip` (egress address); the others are values found in the request.
    `option_scope` replaces it when the instrument is an option.
    """

    name: str
    count: int
    window_ns: int
    scope: tuple[str, ...]
    option_scope: tuple[str, ...] = ()
    published: bool = True

    @property
    def shared(self) -> bool:
        """Whether users share it, so that they must take turns."""
        return self.scope[0] == "ip"


@final
@dataclass(frozen=True, slots=True)
class Draw:
    """One pool that an endpoint draws on: `weight` units per request or per item.

    `condition` names a test of the exchange's own (`charges.py` knows it): the draw applies only
    to the requests or items that pass it. "" is always.
    """

    pool: Pool
    per_item: bool = False
    weight: int = 1
    condition: str = ""


@final
@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of an exchange's table."""

    method: str  # GET, POST, ... or WS
    path: str
    action: Action
    permission: Permission
    tag: Tag
    draws: tuple[Draw, ...]
    single_item_draws: tuple[Draw, ...] = ()  # used instead for an array of one
    items_max: int = 1  # longest array accepted
    sensitive: str = ""  # one of SENSITIVE_CLASSES or ""
    venue: str = "main"
    op: str = ""  # WebSocket operation
    group: str = ""
    source: str = ""
    checked: str = ""  # date, ISO 8601
    note: str = ""
    confidence: str = ""
    copy_ns: int = 0  # a public read may be answered from a copy this old; 0: never
    label: str = field(default="")  # metric and log label; the loader fills it

    @property
    def creates_or_moves(self) -> bool:
        """Whether repeating the request could repeat its effect."""
        return self.action in (Action.PLACE, Action.AMEND, Action.MOVE)


@final
class Request:
    """A bot's request: head first, body later.

    `target` is the request target as received. `path` is the exchange's own path, without our
    prefix, and `suffix` the rest as received: `?query`, or empty.
    """

    __slots__ = (
        "body",
        "headers",
        "id",
        "method",
        "path",
        "peer",
        "prefix",
        "source",
        "started_ns",
        "suffix",
        "target",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: dict[bytes, bytes],
        source: IPv4Address | IPv6Address,
        started_ns: int,
        peer: str = "",
    ) -> None:
        self.method = method
        self.target = target
        self.path, mark, query = target.partition(b"?")
        self.suffix = mark + query
        self.prefix = b""
        self.headers = headers  # names in lower case; repeated ones joined by ", "
        self.body = b""
        self.source = source
        self.peer = peer  # the source as text: quicker to look up by
        self.started_ns = started_ns  # monotonic, first byte in
        self.id = b""


@final
class Reply:
    """What goes back to the bot: `head` holds whole header lines, each ended by CRLF.

    Content-Length, Connection and Date belong to the listener and never stand in `head`.
    """

    __slots__ = ("body", "close", "head", "status")

    def __init__(self, status: int, head: bytes, body: bytes, *, close: bool = False) -> None:
        self.status = status
        self.head = head
        self.body = body
        self.close = close  # end the bot's connection after this answer


@final
class Response:
    """The exchange's answer, whole. Header names in lower case."""

    __slots__ = ("body", "headers", "keep_alive", "status")

    def __init__(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, keep_alive: bool
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive


@final
class Claim:
    """Who a request says it is from, read off its head; nothing of it is proven yet."""

    __slots__ = (
        "api_key",
        "demo",
        "expires_ms",
        "not_after_ms",
        "not_before_ms",
        "passphrase",
        "signature",
        "timestamp",
        "timestamp_ms",
    )

    def __init__(
        self,
        api_key: bytes,
        timestamp: bytes,
        timestamp_ms: int,
        signature: bytes,
        passphrase: bytes,
        demo: bool,  # noqa: FBT001 - a keyword costs time that every request would pay
        expires_ms: int,
        not_before_ms: int,
        not_after_ms: int,
    ) -> None:
        self.api_key = api_key
        self.timestamp = timestamp  # the text that was signed
        self.timestamp_ms = timestamp_ms  # Unix; -1 while it stands in a body not read yet
        self.signature = signature
        self.passphrase = passphrase
        self.demo = demo
        self.expires_ms = expires_ms  # Unix; 0 when the bot set no deadline
        # when the exchange would take the timestamp, Unix, both included
        self.not_before_ms = not_before_ms
        self.not_after_ms = not_after_ms


@final
class Credentials:
    """A key triple ready for use; only `mac` can sign, and it shows nothing of the secret."""

    __slots__ = ("api_key", "bearer", "mac", "passphrase", "passphrase_mac")

    def __init__(
        self, api_key: bytes, mac: Mac | None, passphrase: bytes, bearer: bytes = b""
    ) -> None:
        self.api_key = api_key
        self.mac = mac  # None: no secret held (Bearer token, or a mode that never signs)
        self.passphrase = passphrase
        self.bearer = bearer
        self.passphrase_mac = b""  # as KuCoin wants it on the wire, once it was asked for

    def __repr__(self) -> str:
        return "Credentials(…)"


@final
class KeyTriple:
    """A key triple as text, on its way to or from the vault or an operator."""

    __slots__ = ("api_key", "passphrase", "secret")

    def __init__(self, api_key: str, secret: str, passphrase: str) -> None:
        self.api_key = api_key
        self.secret = secret
        self.passphrase = passphrase

    def __repr__(self) -> str:
        return "KeyTriple(…)"


@final
@dataclass(frozen=True, slots=True)
class LearnedLimit:
    """A limit as the exchange keeps it for one account: `count` units in any `window_ns` of the
    pool's part `value`, "" for every part."""

    pool: str
    value: str
    count: int
    window_ns: int


@final
@dataclass(frozen=True, slots=True)
class Learned:
    """What one answer of the exchange told of an account; what it did not tell is empty.

    `addresses` are those the key is bound to, as the exchange writes them; empty: to none.
    """

    uid: str = ""
    main_uid: str = ""
    permissions: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()  # words of the exchange's own; a lesson's `wanted` knows them
    limits: tuple[LearnedLimit, ...] = ()


@final
class Broker:
    """The operator's broker code on one exchange or venue, b"" for none: then nothing of a broker
    is written. `name` and `mac` are KuCoin's."""

    __slots__ = ("code", "mac", "name")

    def __init__(self, code: bytes, name: bytes = b"", mac: Mac | None = None) -> None:
        self.code = code
        self.name = name
        self.mac = mac

    def __repr__(self) -> str:
        return f"Broker({self.code!r})"


@final
class Tagged:
    """What `tag` made of a request: the bytes to send and what the bot had put there.

    `found` is "" where the endpoint has no place for a code; `orders` counts the orders that now
    carry ours. `kept` is the bot's own code that stays where the code is a header: `sign` has to
    write it in place of ours.
    """

    __slots__ = ("body", "found", "kept", "orders", "suffix")

    def __init__(
        self, body: bytes, suffix: bytes, found: Found, orders: int, kept: bytes = b""
    ) -> None:
        self.body = body
        self.suffix = suffix
        self.found: Found = found
        self.orders = orders
        self.kept = kept


@final
class Charge:
    """Units of one pool that a request costs. `value` tells the pool's parts apart: the
    instrument, family, currency or tag, joined by a space; "" where the scope is the subject."""

    __slots__ = ("pool", "units", "value")

    def __init__(self, pool: Pool, value: str, units: int) -> None:
        self.pool = pool
        self.value = value
        self.units = units


@final
class Outbound:
    """A request on its way to `sign`: everything but the credentials and the instant."""

    __slots__ = ("body", "demo", "method", "path", "suffix")

    def __init__(
        self, method: bytes, path: bytes, suffix: bytes, body: bytes, *, demo: bool
    ) -> None:
        self.method = method
        self.path = path
        self.suffix = suffix
        self.body = body
        self.demo = demo


@final
class Signed:
    """What leaves: the request target, the header lines that sign it (CRLF-ended), the body."""

    __slots__ = ("body", "head", "target")

    def __init__(self, target: bytes, head: bytes, body: bytes) -> None:
        self.target = target
        self.head = head
        self.body = body


@final
class Quota:
    """What an answer tells of the budget `pool`: its `limit`, how much of it is left, and in how
    many milliseconds all of it will be. All as the exchange counts."""

    __slots__ = ("limit", "pool", "remaining", "reset_ms")

    def __init__(self, pool: str, limit: int, remaining: int, reset_ms: int) -> None:
        self.pool = pool
        self.limit = limit
        self.remaining = remaining
        self.reset_ms = reset_ms


@final
class Verdict:
    """What an exchange's answer means.

    `rate_refused` is "" unless the exchange said "too many": then the name of the pool it spoke
    of, or "*" when it named none. `processed` is False only where the exchange is known to have
    done nothing, so that the request may wait again. `ban_ms` is `NO_BAN` unless the exchange
    refuses the address that we send from, whoever's key it was: then for how long, 0 where it
    does not say. `key_refused`: it does not take the key itself. `retry_ms` goes with
    `rate_refused`: for how long the exchange's own headers say so, 0 where Retry-After tells.
    """

    __slots__ = (
        "ban_ms",
        "code",
        "key_refused",
        "order_ids",
        "outcome",
        "processed",
        "quota",
        "rate_refused",
        "retry_ms",
    )

    def __init__(
        self,
        outcome: Outcome,
        code: str,
        order_ids: str,
        rate_refused: str = "",
        *,
        processed: bool = True,
        ban_ms: int = NO_BAN,
        key_refused: bool = False,
        retry_ms: int = 0,
        quota: Quota | None = None,
    ) -> None:
        self.outcome: Outcome = outcome
        self.code = code
        self.order_ids = order_ids  # comma-joined
        self.rate_refused = rate_refused
        self.processed = processed
        self.ban_ms = ban_ms
        self.key_refused = key_refused
        self.retry_ms = retry_ms
        self.quota = quota
