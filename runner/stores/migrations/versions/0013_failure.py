"""What is known of the error a job failed with, beside its words: type, message, file, line, traceback."""

import sqlalchemy as sa
from alembic import op

revision = "0013_failure"
down_revision = "0012_votes"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("failure", sa.JSON()))
