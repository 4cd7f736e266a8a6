"""What a configuration is, once read: frozen values in base units, with every default.

Durations are nanoseconds, sizes bytes. A field has a default exactly when its key may be left
out of the file.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.errors import Fault
    from proxy.model import OnConflict

MS: Final = 1_000_000
S: Final = 1_000 * MS
KIB: Final = 1024
MIB: Final = 1024 * KIB

Network: TypeAlias = IPv4Network | IPv6Network
AnonymousPublic = Literal["known", "all", "none"]
UnknownWrites = Literal["refuse", "forward"]


class Rate(NamedTuple):
    """At most `count` in any `window_ns`."""

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    window_ns: int


class Address(NamedTuple):
    """Where to listen. Port 0 lets the system choose."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


BOTS: Final = Address("127.0.0.1", 8080)
ADMIN: Final = Address("127.0.0.1", 9464)
UNPUBLISHED: Final = Rate(10, 2 * S)


@final
class Secret:
    """Bytes that show themselves only when asked."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL that has no path."""

    scheme: Literal["https", "http", "wss", "ws"]
    host: str
    port: int

    @property
    def tls(self) -> bool:
        """Whether to speak TLS there."""
        return self.scheme in ("https", "wss")

    @property
    def authority(self) -> str:
        """What a Host header says: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@final
@dataclass(frozen=True, slots=True)
class ServerTable:
    """`[server]`: the bots' side."""

    listen: Address = BOTS
    public_url: str = ""  # no slash at the end; "": from `listen`
    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()
    proxy_protocol: bool = False
    workers: int = 1
    max_body_bytes: int = MIB
    max_buffered_bytes: int = 256 * MIB  # all bodies together
    max_connections: int = 10_000
    head_timeout_ns: int = 10 * S
    body_timeout_ns: int = 30 * S
    idle_timeout_ns: int = 75 * S
    write_timeout_ns: int = 30 * S
    drain_timeout_ns: int = 25 * S


@final
@dataclass(frozen=True, slots=True)
class AdminTable:
    """`[admin]`: metrics and health."""

    listen: Address = ADMIN


@final
@dataclass(frozen=True, slots=True)
class StorageTable:
    """`[storage]`: the database and the keys that seal its secrets."""

    master_keys: tuple[Secret, ...]  # 32 bytes each: the first seals, any opens
    url: str = "sqlite:////var/lib/tagproxy/tagproxy.db"

    @property
    def database(self) -> Path:
        """The file of an SQLite database."""
        return Path(self.url.removeprefix("sqlite:///"))


@final
@dataclass(frozen=True, slots=True)
class LimitsTable:
    """`[limits]`: how the exchanges' limits are kept."""

    backend: str = "memory"
    max_wait_ns: int = 3 * S
    jitter_ns: int = 10 * MS
    unpublished: Rate = UNPUBLISHED


@final
@dataclass(frozen=True, slots=True)
class SecurityTable:
    """`[security]`: what passes without being known."""

    anonymous_public: AnonymousPublic = "known"
    unknown_writes: UnknownWrites = "refuse"


@final
@dataclass(frozen=True, slots=True)
class TaggingTable:
    """`[tagging]`: what becomes of a bot's own broker code."""

    on_conflict: OnConflict = "replace"


@final
@dataclass(frozen=True, slots=True)
class VenueTable:
    """`[exchanges.NAME.futures]`: a second API of the exchange; what is left out there has the
    exchange's own value here."""

    name: str
    rest_url: Origin
    ws_url: Origin | None
    broker_code: str
    broker_name: str
    broker_key: Secret | None
    listen: Address | None = None


@final
@dataclass(frozen=True, slots=True)
class ExchangeTable:
    """`[exchanges.NAME]`: one kind of exchange at one site with one broker code."""

    name: str
    kind: str
    rest_url: Origin
    broker_code: str
    ws_url: Origin | None = None
    broker_name: str = ""
    broker_key: Secret | None = None
    deadline_ns: int = 8 * S
    connect_timeout_ns: int = 3 * S
    egress: tuple[str, ...] = ()
    ca_file: Path | None = None
    listen: Address | None = None
    rules: Path | None = None
    limit_overrides: Mapping[str, Rate] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)  # of this kind alone; all are there
    venues: Mapping[str, VenueTable] = field(default_factory=dict)  # those served, but `main`


@final
@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration, valid. `cautions` are what `tagproxy check` warns of."""

    server: ServerTable
    admin: AdminTable
    storage: StorageTable
    limits: LimitsTable
    security: SecurityTable
    tagging: TaggingTable
    exchanges: Mapping[str, ExchangeTable]
    path: Path
    cautions: tuple[Fault, ...] = field(default=(), compare=False)
