"""The database's shape, step by step (Alembic). Run by `proxy.accounts.database`, never by hand."""
