"""The tables of jobs and their ledger.

Never changed: databases exist that have run it.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001_foundation"
down_revision = None


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


JOBS: tuple[Any, ...] = (
    sa.Column("id", sa.String(length=64), nullable=False),
    sa.Column("type", sa.String(length=100), nullable=False),
    sa.Column("workflow_version", sa.String(length=50)),
    sa.Column("status", sa.String(length=20), nullable=False),
    sa.Column("config", sa.JSON(), nullable=False),
    sa.Column("options", sa.JSON(), nullable=False),
    sa.Column("lock_key", sa.String(length=200)),
    sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.Column("created_by", sa.String(length=100), nullable=False),
    sa.Column("not_before", sa.BigInteger()),
    sa.Column("started_at", sa.BigInteger()),
    sa.Column("completed_at", sa.BigInteger()),
    sa.Column("archived_at", sa.BigInteger()),
    sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
    sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
    sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
    sa.Column("ledger_version", sa.Integer(), server_default="0", nullable=False),
    sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
    sa.Column("claimed_at", sa.BigInteger()),
    sa.Column("released_at", sa.BigInteger()),
    sa.Column("lease_until", sa.BigInteger()),
    sa.Column("node", sa.String(length=100)),
    sa.Column("pid", sa.Integer()),
    sa.Column("start_ticks", sa.BigInteger()),
    sa.Column("boot_id", sa.String(length=64)),
    sa.Column("stop_reason", sa.String(length=20)),
    sa.Column("stop_requested_at", sa.BigInteger()),
    sa.Column("progress", sa.JSON(none_as_null=True)),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("position", sa.JSON(none_as_null=True)),
    sa.Column("error", sa.Text()),
    sa.Column("waiting", sa.JSON(none_as_null=True)),
    sa.Column("retry_of", sa.String(length=64)),
    sa.Column("cancel_requested_at", sa.BigInteger()),
    sa.Column("cancel_requested_by", sa.String(length=100)),
    sa.Column("cancel_reason", sa.Text()),
    sa.Column("cancel_phase", sa.String(length=20)),
    sa.Column("cancel_deadline_at", sa.BigInteger()),
    sa.Column("cancel_seen_at", sa.BigInteger()),
    sa.Column("cancel_stopped_at", sa.BigInteger()),
    sa.Column("containment", sa.String(length=20)),
    sa.Column("signals", sa.JSON(none_as_null=True)),
    sa.Column("survivors", sa.JSON(none_as_null=True)),
    sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
)

BATCH_ITEMS: tuple[Any, ...] = (
    sa.Column("job_id", sa.String(length=64), nullable=False),
    sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
    sa.Column("item_key", sa.String(length=200), nullable=False),
    sa.Column("ordinal", sa.Integer(), nullable=False),
    sa.Column("lock_key", sa.String(length=200)),
    sa.Column("state", sa.String(length=10), nullable=False),
    sa.Column("outcome", sa.String(length=40)),
    sa.Column("data", sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_batch_items_job_id"), ondelete="CASCADE"),
    sa.PrimaryKeyConstraint("job_id", "seq", "item_key", name=op.f("pk_batch_items")),
)

BATCHES: tuple[Any, ...] = (
    sa.Column("job_id", sa.String(length=64), nullable=False),
    sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
    sa.Column("epoch", sa.Integer(), nullable=False),
    sa.Column("state", sa.String(length=10), nullable=False),
    sa.Column("items", sa.Integer(), nullable=False),
    sa.Column("intended_at", sa.BigInteger()),
    sa.Column("called_at", sa.BigInteger()),
    sa.Column("committed_at", sa.BigInteger()),
    sa.Column("deadline", sa.JSON(none_as_null=True)),
    sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_batches_job_id"), ondelete="CASCADE"),
    sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_batches")),
)

IDEMPOTENCY_KEYS: tuple[Any, ...] = (
    sa.Column("caller", sa.String(length=100), nullable=False),
    sa.Column("key", sa.String(length=255), nullable=False),
    sa.Column("body_hash", sa.String(length=64), nullable=False),
    sa.Column("job_id", sa.String(length=64), nullable=False),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_idempotency_keys_job_id"), ondelete="CASCADE"),
    sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_idempotency_keys")),
    sa.UniqueConstraint("job_id", name=op.f("uq_idempotency_keys_job_id")),
)

JOB_EVENTS: tuple[Any, ...] = (
    sa.Column("job_id", sa.String(length=64), nullable=False),
    sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
    sa.Column("at", sa.BigInteger(), nullable=False),
    sa.Column("kind", sa.String(length=40), nullable=False),
    sa.Column("data", sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_events_job_id"), ondelete="CASCADE"),
    sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_job_events")),
)


def upgrade() -> None:
    op.create_table("jobs", *JOBS)
    op.create_index("ix_jobs_archive", "jobs", ["archived_at"])
    op.create_index("ix_jobs_held", "jobs", ["claimed_at"], **_where("claimed_at IS NOT NULL AND released_at IS NULL"))
    op.create_index("ix_jobs_lock", "jobs", ["lock_key", "created_at", "id"])
    op.create_index("ix_jobs_newest", "jobs", ["created_at", "id"])
    op.create_index("ix_jobs_reap", "jobs", ["completed_at"], **_where("archived_at IS NULL"))
    op.create_index("ix_jobs_status", "jobs", ["status", "created_at", "id"])
    op.create_index("ix_jobs_type", "jobs", ["type", "created_at", "id"])
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        [sa.literal_column("priority DESC"), "created_at", "id"],
        **_where("status = 'pending' AND claimed_at IS NULL"),
    )
    op.create_index(
        "uq_jobs_lock_held",
        "jobs",
        ["lock_key"],
        unique=True,
        **_where("claimed_at IS NOT NULL AND released_at IS NULL"),
    )
    op.create_table("batch_items", *BATCH_ITEMS)
    op.create_index(
        "uq_batch_items_open", "batch_items", ["lock_key", "item_key"], unique=True, **_where("state = 'open'")
    )
    op.create_table("batches", *BATCHES)
    op.create_index("ix_batches_open", "batches", ["job_id"], **_where("state = 'open'"))
    op.create_table("idempotency_keys", *IDEMPOTENCY_KEYS)
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table("job_events", *JOB_EVENTS)
