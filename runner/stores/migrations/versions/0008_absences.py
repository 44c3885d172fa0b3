"""Since when we are not in a group, and when the gateway was last asked how it stands."""

import sqlalchemy as sa
from alembic import op

revision = "0008_absences"
down_revision = "0007_group_messages"


def upgrade() -> None:
    op.add_column("groups", sa.Column("absent_since", sa.BigInteger()))
    op.add_column("webhook_accounts", sa.Column("looked_at", sa.BigInteger()))
