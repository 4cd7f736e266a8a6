"""The tables. Migrations bring a database to this shape; a test holds the two together.

Room is kept for what is not used yet: Bearer tokens, sites. Lists (grants, networks, addresses,
permissions) are comma-joined text. Times are Unix milliseconds.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

HEAD: Final = "0002"  # the newest migration

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_COUNTING: Final = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up there

ACCOUNTS: Final = Table(
    "accounts",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("exchange", Text, nullable=False),  # a table's name, not a kind
    Column("label", Text, nullable=False),
    Column("mode", Text, nullable=False),  # sign | keyless | observe
    Column("grants", Text, nullable=False),
    Column("networks", Text, nullable=False),
    Column("code", Text, nullable=False),  # "" is the exchange's own
    Column("disabled", Text, nullable=False),  # "" | block | close-only
    Column("reason", Text, nullable=False),
    Column("uid", Text, nullable=False),  # the exchange's, "" until learned
    Column("main_uid", Text, nullable=False),  # of the main account, for a sub-account
    Column("site", Text, nullable=False),  # base URL of the account's own site, "" is the table's
    Column("created_ms", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),  # of the last change
    UniqueConstraint("exchange", "user", "label", name="uq_accounts_exchange_user_label"),
)

CREDENTIALS: Final = Table(
    "credentials",
    METADATA,
    Column("id", Text, primary_key=True),
    Column(
        "account_id",
        Text,
        ForeignKey("accounts.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("exchange", Text, nullable=False),
    Column("role", Text, nullable=False),  # real: the exchange's | issued: ours
    Column("kind", Text, nullable=False),  # hmac | bearer | none
    Column("label", Text, nullable=False),
    Column("networks", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=True),
    Column("fingerprint", LargeBinary, nullable=True),  # of the API key; none for Bearer
    Column("master_id", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    # What the exchange told of a real key; none of it counts the revision up.
    Column("addresses", Text, nullable=False, server_default=""),  # it is bound to
    Column("permissions", Text, nullable=False, server_default=""),
    Column("learned_ms", BigInteger, nullable=False, server_default="0"),  # 0 is never
    UniqueConstraint("exchange", "fingerprint", name="uq_credentials_exchange_fingerprint"),
    Index(
        "uq_credentials_real",
        "account_id",
        unique=True,
        sqlite_where=text("role = 'real'"),
        postgresql_where=text("role = 'real'"),
    ),
)

# One row: counts up with every change that a running process must see.
REVISION: Final = Table(
    "revision",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)

# What is gone leaves no row to see; this is how a running process hears of it.
REMOVALS: Final = Table(
    "removals",
    METADATA,
    Column("account_id", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False, index=True),
)

# What an account did lately, as `Activity.encode` has it; written behind, without a revision.
ACTIVITY: Final = Table(
    "activity",
    METADATA,
    Column("account_id", Text, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("last_seen_ms", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

# Units of long windows, written as they are spent.
LIMIT_HISTORY: Final = Table(
    "limit_history",
    METADATA,
    Column("id", _COUNTING, primary_key=True),
    Column("key", Text, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("window_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger, nullable=False, index=True),
)

# What a clean stop leaves to the next process; taken once.
HAND_OVERS: Final = Table(
    "hand_overs",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("master_id", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

INSTANCES: Final = Table(
    "instances",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("pid", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("stopped_ms", BigInteger, nullable=True),
    Column("clean", Boolean, nullable=False),
)
