"""Limits of a job, what a retry goes on with, and why a process had to be ended."""

import sqlalchemy as sa
from alembic import op

revision = "0003_stops"
down_revision = "0002_groups"

_IS_RETRY = sa.text("retry_of IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("timeout_ms", sa.BigInteger()))
    op.add_column("jobs", sa.Column("max_memory_mb", sa.Integer()))
    op.add_column("jobs", sa.Column("ran_ms", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("post_mortem", sa.JSON(none_as_null=True)))
    op.add_column("batches", sa.Column("position", sa.JSON(none_as_null=True)))
    op.create_index("ix_jobs_retry", "jobs", ["retry_of"], sqlite_where=_IS_RETRY, postgresql_where=_IS_RETRY)
