"""What is known of an account only while it is served: who it is to the exchange, whose limits
are its, what it did lately. Lives on when the account's row changes, which swaps the `Account`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, final

from proxy.accounts.activity import Activity

if TYPE_CHECKING:
    from proxy.model import Pool

# Which real credentials of an account: their id and the fingerprint of their API key.
Key: TypeAlias = "tuple[str, bytes | None]"


@final
class Identity:
    """Whose limits an account's are: one user of the exchange, or, until that is learned, the key
    alone. The accounts of one exchange table with one uid share one."""

    __slots__ = ("draws", "exchange", "holders", "pools", "text")

    def __init__(self, exchange: str, text: str) -> None:
        self.exchange = exchange
        self.text = text
        # limits as the exchange keeps them for this user, by pool name and part ("": every part)
        self.pools: dict[tuple[str, str], Pool] = {}
        # what charges draw on, live and demo: remembered by the data path, and bounded there
        self.draws: tuple[dict[int, Any], dict[int, Any]] = ({}, {})
        self.holders = 0  # accounts; the directory counts them

    def __repr__(self) -> str:
        return f"Identity({self.exchange} {self.text})"


@final
class Standing:
    """One account's standing with its exchange, under one real key."""

    __slots__ = (
        "account_id",
        "activity",
        "addresses",
        "ask_ms",
        "homes",
        "identity",
        "key",
        "learned_ms",
        "main_uid",
        "permissions",
        "uid",
        "unsaved",
    )

    def __init__(self, account_id: str, key: Key, identity: Identity, activity: Activity) -> None:
        self.account_id = account_id
        self.key = key
        self.identity = identity
        self.activity = activity
        self.uid = ""  # the exchange's; "" until learned
        self.main_uid = ""  # of the main account, for a sub-account
        self.addresses: tuple[str, ...] = ()  # that the key is bound to; () is none, or not known
        self.permissions: tuple[str, ...] = ()  # as the exchange names them; () is not known
        self.learned_ms = 0  # Unix; 0 is never, not in an earlier process either
        self.ask_ms = 0  # Unix: from when on the exchange is to be asked
        self.homes: tuple[Any, ...] = ()  # the data path's own, one for each venue at most
        self.unsaved = False  # learned, but not written down yet

    def __repr__(self) -> str:
        return f"Standing({self.account_id} {self.identity.text})"


@final
class Memory(NamedTuple):
    """What an earlier process knew of an account."""

    key: Key  # that the facts were learned of
    addresses: tuple[str, ...]
    permissions: tuple[str, ...]
    learned_ms: int
    activity: Activity | None
    damaged: bool  # what was stored of the activity cannot be read
