"""The tables of groups, members and removals.

Never changed: databases exist that have run it.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002_groups"
down_revision = "0001_foundation"


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


GROUPS: tuple[Any, ...] = (
    sa.Column("id", sa.Integer(), nullable=False),
    sa.Column("wa_id", sa.String(length=64), nullable=False),
    sa.Column("name", sa.String(length=200)),
    sa.Column("account", sa.String(length=100)),
    sa.Column("inactivity_threshold_minutes", sa.Integer(), server_default="43200", nullable=False),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.Column("listed_at", sa.BigInteger()),
    sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
    sa.UniqueConstraint("wa_id", name=op.f("uq_groups_wa_id")),
)

PEOPLE: tuple[Any, ...] = (
    sa.Column("id", sa.Integer(), nullable=False),
    sa.Column("lid", sa.String(length=64)),
    sa.Column("pn", sa.String(length=64)),
    sa.Column("name", sa.String(length=200)),
    sa.PrimaryKeyConstraint("id", name=op.f("pk_people")),
    sa.UniqueConstraint("lid", name=op.f("uq_people_lid")),
    sa.UniqueConstraint("pn", name=op.f("uq_people_pn")),
)

AUTHOR_MATCHES: tuple[Any, ...] = (
    sa.Column("group_id", sa.Integer(), nullable=False),
    sa.Column("name", sa.String(length=300), nullable=False),
    sa.Column("person_id", sa.Integer()),
    sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_author_matches_group_id")),
    sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_author_matches_person_id")),
    sa.PrimaryKeyConstraint("group_id", "name", name=op.f("pk_author_matches")),
)

JOB_PEOPLE: tuple[Any, ...] = (
    sa.Column("job_id", sa.String(length=64), nullable=False),
    sa.Column("person_id", sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(
        ["job_id"],
        ["jobs.id"],
        name=op.f("fk_job_people_job_id"),
        ondelete="CASCADE",
        initially="DEFERRED",
        deferrable=True,
    ),
    sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_job_people_person_id")),
    sa.PrimaryKeyConstraint("job_id", "person_id", name=op.f("pk_job_people")),
)

MEMBERSHIPS: tuple[Any, ...] = (
    sa.Column("group_id", sa.Integer(), nullable=False),
    sa.Column("person_id", sa.Integer(), nullable=False),
    sa.Column("role", sa.String(length=12), nullable=False),
    sa.Column("is_me", sa.Boolean(), nullable=False),
    sa.Column("joined_at", sa.BigInteger()),
    sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
    sa.Column("first_active_at", sa.BigInteger()),
    sa.Column("last_active_at", sa.BigInteger()),
    sa.Column("left_at", sa.BigInteger()),
    sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_memberships_group_id")),
    sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_memberships_person_id")),
    sa.PrimaryKeyConstraint("group_id", "person_id", name=op.f("pk_memberships")),
)

OBSERVATIONS: tuple[Any, ...] = (
    sa.Column("id", sa.Integer(), nullable=False),
    sa.Column("group_id", sa.Integer(), nullable=False),
    sa.Column("from_ms", sa.BigInteger(), nullable=False),
    sa.Column("to_ms", sa.BigInteger(), nullable=False),
    sa.Column("source", sa.String(length=200), nullable=False),
    sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_observations_group_id")),
    sa.PrimaryKeyConstraint("id", name=op.f("pk_observations")),
)

REMOVAL_HISTORY: tuple[Any, ...] = (
    sa.Column("id", sa.Integer(), nullable=False),
    sa.Column("group_id", sa.Integer(), nullable=False),
    sa.Column("person_id", sa.Integer(), nullable=False),
    sa.Column("job_id", sa.String(length=64)),
    sa.Column("at", sa.BigInteger(), nullable=False),
    sa.Column("outcome", sa.String(length=10), nullable=False),
    sa.Column("reason", sa.Text(), nullable=False),
    sa.Column("code", sa.String(length=20)),
    sa.Column("via", sa.String(length=20), nullable=False),
    sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_removal_history_group_id")),
    sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_removal_history_person_id")),
    sa.PrimaryKeyConstraint("id", name=op.f("pk_removal_history")),
)

REMOVAL_QUEUE: tuple[Any, ...] = (
    sa.Column("id", sa.Integer(), nullable=False),
    sa.Column("group_id", sa.Integer(), nullable=False),
    sa.Column("person_id", sa.Integer(), nullable=False),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.Column("window_ms", sa.BigInteger()),
    sa.Column("reason", sa.Text(), nullable=False),
    sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
    sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_removal_queue_group_id")),
    sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_removal_queue_person_id")),
    sa.PrimaryKeyConstraint("id", name=op.f("pk_removal_queue")),
    sa.UniqueConstraint("group_id", "person_id", name=op.f("uq_removal_queue_group_id_person_id")),
)

ROSTER_REMOVALS: tuple[Any, ...] = (
    sa.Column("group_id", sa.Integer(), nullable=False),
    sa.Column("person_id", sa.Integer(), nullable=False),
    sa.Column("removed_at", sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_roster_removals_group_id")),
    sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_roster_removals_person_id")),
    sa.PrimaryKeyConstraint("group_id", "person_id", name=op.f("pk_roster_removals")),
)

UNMATCHED_AUTHORS: tuple[Any, ...] = (
    sa.Column("group_id", sa.Integer(), nullable=False),
    sa.Column("name", sa.String(length=300), nullable=False),
    sa.Column("messages", sa.Integer(), nullable=False),
    sa.Column("first_at", sa.BigInteger(), nullable=False),
    sa.Column("last_at", sa.BigInteger(), nullable=False),
    sa.Column("source", sa.String(length=200), nullable=False),
    sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_unmatched_authors_group_id")),
    sa.PrimaryKeyConstraint("group_id", "name", name=op.f("pk_unmatched_authors")),
)

WHITELIST: tuple[Any, ...] = (
    sa.Column("group_id", sa.Integer(), nullable=False),
    sa.Column("person_id", sa.Integer(), nullable=False),
    sa.Column("created_at", sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_whitelist_group_id")),
    sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_whitelist_person_id")),
    sa.PrimaryKeyConstraint("group_id", "person_id", name=op.f("pk_whitelist")),
)


def upgrade() -> None:
    op.create_table("groups", *GROUPS)
    op.create_table("people", *PEOPLE, sqlite_autoincrement=True)
    op.create_index("ix_people_name", "people", ["name"])
    op.create_table("author_matches", *AUTHOR_MATCHES)
    op.create_table("job_people", *JOB_PEOPLE)
    op.create_index("ix_job_people_person_id", "job_people", ["person_id"])
    op.create_table("memberships", *MEMBERSHIPS)
    op.create_index("ix_memberships_activity", "memberships", ["group_id", "last_active_at"])
    op.create_index("ix_memberships_person_id", "memberships", ["person_id"])
    op.create_table("observations", *OBSERVATIONS)
    op.create_index("ix_observations_group", "observations", ["group_id", "from_ms"])
    op.create_table("removal_history", *REMOVAL_HISTORY, sqlite_autoincrement=True)
    op.create_index("ix_removal_history_group", "removal_history", ["group_id", "id"])
    op.create_index("ix_removal_history_person_id", "removal_history", ["person_id"])
    op.create_table("removal_queue", *REMOVAL_QUEUE, sqlite_autoincrement=True)
    op.create_index("ix_removal_queue_person_id", "removal_queue", ["person_id"])
    op.create_index("ix_removal_queue_walk", "removal_queue", ["group_id", "id"])
    op.create_table("roster_removals", *ROSTER_REMOVALS)
    op.create_table("unmatched_authors", *UNMATCHED_AUTHORS)
    op.create_table("whitelist", *WHITELIST)
