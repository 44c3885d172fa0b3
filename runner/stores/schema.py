"""The tables every job needs. Times are UTC milliseconds; durations name their unit.

The migrations are the truth for a database on disk; a test keeps these tables and the migrations equal.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_HELD = text("claimed_at IS NOT NULL AND released_at IS NULL")
_IS_RETRY = text("retry_of IS NOT NULL")
_WAITING = text("status = 'pending' AND claimed_at IS NULL")
_NOT_REVOKED = text("revoked_at IS NULL")


def _json(name: str) -> Column[object]:
    return Column(name, JSON(none_as_null=True))


jobs = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("type", String(100), nullable=False),
    Column("workflow_version", String(50)),
    Column("status", String(20), nullable=False),
    Column("config", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    Column("lock_key", String(200)),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(100), nullable=False),
    Column("not_before", BigInteger),
    Column("started_at", BigInteger),
    Column("completed_at", BigInteger),
    Column("archived_at", BigInteger),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("ledger_version", Integer, nullable=False, server_default="0"),
    # The run that may write: raised by each claim, named by each write of that run.
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("claimed_at", BigInteger),
    Column("released_at", BigInteger),
    # The claim's run only finds out what an ended one left open: the job has nothing that could be stopped.
    Column("settling", Boolean, nullable=False, server_default=false()),
    Column("lease_until", BigInteger),
    Column("node", String(100)),
    Column("pid", Integer),
    Column("start_ticks", BigInteger),
    Column("boot_id", String(64)),
    Column("stop_reason", String(20)),
    Column("stop_requested_at", BigInteger),
    _json("progress"),
    _json("result"),
    _json("position"),
    Column("error", Text),
    # What else is known of it: type, message, file, line, traceback.
    _json("failure"),
    _json("waiting"),
    # Why the job cannot run as this server is set up: its type is not loaded, or takes another config now.
    Column("unready", Text),
    Column("retry_of", String(64)),
    Column("timeout_ms", BigInteger),
    Column("max_memory_mb", Integer),
    Column("ran_ms", BigInteger, nullable=False, server_default="0"),
    _json("post_mortem"),
    Column("cancel_requested_at", BigInteger),
    Column("cancel_requested_by", String(100)),
    Column("cancel_reason", Text),
    Column("cancel_phase", String(20)),
    Column("cancel_deadline_at", BigInteger),
    Column("cancel_seen_at", BigInteger),
    Column("cancel_stopped_at", BigInteger),
    Column("containment", String(20)),
    _json("signals"),
    _json("survivors"),
    # The last pause: a job may be paused many times; all of them stand in its events.
    Column("pause_requested_at", BigInteger),
    Column("pause_requested_by", String(100)),
    Column("resumed_at", BigInteger),
    Column("resumed_by", String(100)),
    Index("ix_jobs_newest", "created_at", "id"),
    Index("ix_jobs_status", "status", "created_at", "id"),
    Index("ix_jobs_type", "type", "created_at", "id"),
    Index("ix_jobs_lock", "lock_key", "created_at", "id"),
    Index("uq_jobs_lock_held", "lock_key", unique=True, sqlite_where=_HELD, postgresql_where=_HELD),
    Index("ix_jobs_held", "claimed_at", sqlite_where=_HELD, postgresql_where=_HELD),
    Index(
        "ix_jobs_waiting",
        text("priority DESC"),
        "created_at",
        "id",
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    ),
    Index(
        "ix_jobs_reap",
        "completed_at",
        sqlite_where=text("archived_at IS NULL"),
        postgresql_where=text("archived_at IS NULL"),
    ),
    Index("ix_jobs_archive", "archived_at"),
    Index("ix_jobs_retry", "retry_of", sqlite_where=_IS_RETRY, postgresql_where=_IS_RETRY),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job_id", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("data", JSON, nullable=False),
)
"""What happened to a job, in order, only ever appended to."""

batches = Table(
    "batches",
    metadata,
    Column("job_id", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, nullable=False),
    Column("state", String(10), nullable=False),  # open: something intended has no outcome yet; done
    Column("items", Integer, nullable=False),
    Column("intended_at", BigInteger),
    Column("called_at", BigInteger),
    Column("committed_at", BigInteger),
    _json("deadline"),
    _json("position"),
    Index(
        "ix_batches_open",
        "job_id",
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("job_id", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("item_key", String(200), primary_key=True),
    Column("ordinal", Integer, nullable=False),
    Column("lock_key", String(200)),
    Column("state", String(10), nullable=False),  # open: intended, outcome unknown; done
    Column("outcome", String(40)),
    Column("data", JSON, nullable=False),
    # Whoever acts on somebody holds this: nobody else can intend the same at the same time, on any machine.
    Index(
        "uq_batch_items_open",
        "lock_key",
        "item_key",
        unique=True,
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
)

job_secrets = Table(
    "job_secrets",
    metadata,
    Column("job_id", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("secrets", JSON, nullable=False),
)
"""What a job's config has of secrets. Read by the job alone, and by the retry that goes on with it."""

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", String(100), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("body_hash", String(64), nullable=False),
    Column("job_id", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_idempotency_keys_created_at", "created_at"),
    UniqueConstraint("job_id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("role", String(20), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the token, which itself is kept nowhere
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Index("uq_tokens_name", "name", unique=True, sqlite_where=_NOT_REVOKED, postgresql_where=_NOT_REVOKED),
)
