"""When somebody's role was last told by an event, or set by hand: an event of before it changes nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0010_role_at"
down_revision = "0009_tried_at"


def upgrade() -> None:
    op.add_column("memberships", sa.Column("role_at", sa.BigInteger()))
