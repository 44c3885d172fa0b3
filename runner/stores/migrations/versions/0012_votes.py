"""Polls that were seen in a group, and which version of a gateway an account has: whether votes come from it."""

import sqlalchemy as sa
from alembic import op

revision = "0012_votes"
down_revision = "0011_secrets"


def upgrade() -> None:
    op.create_table(
        "polls",
        sa.Column("group_id", sa.Integer(), sa.ForeignKey("groups.id"), primary_key=True, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), primary_key=True, nullable=False),
    )
    op.create_table(
        "gateway_versions",
        sa.Column("account", sa.String(100), primary_key=True, nullable=False),
        sa.Column("name", sa.String(80)),
        sa.Column("shows_votes", sa.Boolean(), nullable=False),
        sa.Column("votes_since", sa.BigInteger()),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
    )
