"""Site and policy as they were, once for all cycles that were run with them.

Cycles kept before this revision have none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, and the column that points to it."""
    op.create_table(
        "setups",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("json", sa.Text, nullable=False),
    )
    op.add_column("cycles", sa.Column("setup", sa.Text))


def downgrade() -> None:
    """Drop them; no record tells any more what it was decided with."""
    op.drop_column("cycles", "setup")
    op.drop_table("setups")
