"""What Alembic runs: the migrations, on the connection it is given, inside the transaction that is open on it."""

from __future__ import annotations

from alembic import context

from runner.stores import group_schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=group_schema.groups.metadata,
    render_as_batch=True,
)
context.run_migrations()
