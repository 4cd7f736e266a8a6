"""What accounts did lately, and what the exchange told of their keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table and three columns; nothing is known yet of the accounts there are."""
    op.create_table(
        "activity",
        sa.Column("account_id", sa.Text),
        sa.Column("last_seen_ms", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_activity"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_activity_account_id", ondelete="CASCADE"
        ),
    )
    for word in ("addresses", "permissions"):
        op.add_column("credentials", sa.Column(word, sa.Text, nullable=False, server_default=""))
    learned = sa.Column("learned_ms", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("credentials", learned)
