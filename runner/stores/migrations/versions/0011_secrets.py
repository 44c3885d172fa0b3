"""Secrets of a job's config, apart from it; and why a job cannot run as this server is set up."""

import sqlalchemy as sa
from alembic import op

revision = "0011_secrets"
down_revision = "0010_role_at"


def upgrade() -> None:
    op.create_table(
        "job_secrets",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("secrets", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_secrets_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_secrets"),
    )
    op.add_column("jobs", sa.Column("unready", sa.Text()))
