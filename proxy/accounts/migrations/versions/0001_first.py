"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table, and the revision counter's one row."""
    _accounts()
    _credentials()
    revision_table = op.create_table(
        "revision",
        sa.Column("id", sa.Integer, autoincrement=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revision"),
    )
    op.bulk_insert(revision_table, [{"id": 1, "value": 0}])
    op.create_table(
        "removals",
        sa.Column("account_id", sa.Text),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_removals"),
    )
    op.create_index("ix_removals_revision", "removals", ["revision"])
    _what_outlives_a_process()


def _accounts() -> None:
    words = ["user", "exchange", "label", "mode", "grants", "networks", "code"]
    words += ["disabled", "reason", "uid", "main_uid", "site"]
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text),
        *(sa.Column(word, sa.Text, nullable=False) for word in words),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("exchange", "user", "label", name="uq_accounts_exchange_user_label"),
    )
    op.create_index("ix_accounts_revision", "accounts", ["revision"])


def _credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("id", sa.Text),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("exchange", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("networks", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger),
        sa.Column("fingerprint", sa.LargeBinary),
        sa.Column("master_id", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_credentials"),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name="fk_credentials_account_id",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("exchange", "fingerprint", name="uq_credentials_exchange_fingerprint"),
    )
    op.create_index("ix_credentials_account_id", "credentials", ["account_id"])
    op.create_index(
        "uq_credentials_real",
        "credentials",
        ["account_id"],
        unique=True,
        sqlite_where=sa.text("role = 'real'"),
        postgresql_where=sa.text("role = 'real'"),
    )


def _what_outlives_a_process() -> None:
    op.create_table(
        "limit_history",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("wall_ms", sa.BigInteger, nullable=False),
        sa.Column("window_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_limit_history"),
    )
    op.create_index("ix_limit_history_ends_ms", "limit_history", ["ends_ms"])
    op.create_table(
        "hand_overs",
        sa.Column("kind", sa.Text),
        sa.Column("master_id", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_hand_overs"),
    )
    op.create_table(
        "instances",
        sa.Column("id", sa.Text),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("stopped_ms", sa.BigInteger),
        sa.Column("clean", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
    )
