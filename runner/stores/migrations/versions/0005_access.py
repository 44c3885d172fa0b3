"""Tokens, and on jobs who asked for the last pause and who took it back."""

import sqlalchemy as sa
from alembic import op

revision = "0005_access"
down_revision = "0004_settling"


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )
    not_revoked = sa.text("revoked_at IS NULL")
    op.create_index(
        "uq_tokens_name", "tokens", ["name"], unique=True, sqlite_where=not_revoked, postgresql_where=not_revoked
    )
    op.add_column("jobs", sa.Column("pause_requested_at", sa.BigInteger()))
    op.add_column("jobs", sa.Column("pause_requested_by", sa.String(length=100)))
    op.add_column("jobs", sa.Column("resumed_at", sa.BigInteger()))
    op.add_column("jobs", sa.Column("resumed_by", sa.String(length=100)))
