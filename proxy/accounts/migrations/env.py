"""Alembic's entry: runs the steps on the connection that `database.py` hands in."""

from __future__ import annotations

from alembic import context

from proxy.accounts.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
