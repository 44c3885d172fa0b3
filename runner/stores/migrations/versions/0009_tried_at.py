"""When somebody in the removal queue was last asked for without an answer."""

import sqlalchemy as sa
from alembic import op

revision = "0009_tried_at"
down_revision = "0008_absences"


def upgrade() -> None:
    op.add_column("removal_queue", sa.Column("tried_at", sa.BigInteger()))
