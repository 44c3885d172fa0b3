"""Whether the run of a job's claim only finds out what an ended one left open."""

import sqlalchemy as sa
from alembic import op

revision = "0004_settling"
down_revision = "0003_stops"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("settling", sa.Boolean(), server_default=sa.false(), nullable=False))
