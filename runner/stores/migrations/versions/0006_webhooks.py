"""Events of gateways: which were taken in, how they come in, and observations that go on."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006_webhooks"
down_revision = "0005_access"

ACCOUNTS: tuple[Any, ...] = (
    sa.Column("account", sa.String(length=100), nullable=False),
    sa.Column("heard_at", sa.BigInteger(), nullable=False),
    sa.Column("open_at", sa.BigInteger(), nullable=False),
    sa.Column("down_since", sa.BigInteger()),
    sa.Column("alive_at", sa.BigInteger(), nullable=False),
    sa.Column("extended_at", sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint("account", name=op.f("pk_webhook_accounts")),
)

MESSAGES: tuple[Any, ...] = (
    sa.Column("group_id", sa.Integer(), nullable=False),
    sa.Column("message_id", sa.String(length=100), nullable=False),
    sa.Column("seen_at", sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_webhook_messages_group_id")),
    sa.PrimaryKeyConstraint("group_id", "message_id", name=op.f("pk_webhook_messages")),
)

COUNTS: tuple[Any, ...] = (
    sa.Column("event", sa.String(length=40), nullable=False),
    sa.Column("outcome", sa.String(length=20), nullable=False),
    sa.Column("number", sa.BigInteger(), nullable=False),
    sa.Column("last_at", sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint("event", "outcome", name=op.f("pk_webhook_counts")),
)


def upgrade() -> None:
    op.add_column("observations", sa.Column("live", sa.Boolean()))
    live = sa.text("live")
    op.create_index(
        "ix_observations_live", "observations", ["group_id"], unique=True, sqlite_where=live, postgresql_where=live
    )
    op.create_table("webhook_accounts", *ACCOUNTS)
    op.create_table("webhook_messages", *MESSAGES)
    op.create_index("ix_webhook_messages_seen_at", "webhook_messages", ["seen_at"])
    op.create_table("webhook_counts", *COUNTS)
