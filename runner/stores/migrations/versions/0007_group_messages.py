"""Whether messages of groups come in: when the last did, and until when the observations that rest on them hold."""

import sqlalchemy as sa
from alembic import op

revision = "0007_group_messages"
down_revision = "0006_webhooks"


def upgrade() -> None:
    for name in ("group_heard_at", "breaks_at", "back_at"):
        op.add_column("webhook_accounts", sa.Column(name, sa.BigInteger()))
    # Any event of an account kept these going, also where no message of a group could come in.
    op.execute("DELETE FROM observations WHERE live IS NOT NULL")
