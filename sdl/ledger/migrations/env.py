# ruff: noqa: INP001  Alembic loads this by its path
"""Alembic's entry point; the connection is handed over by `sdl.ledger.migrate`."""

from alembic import context

from sdl.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
