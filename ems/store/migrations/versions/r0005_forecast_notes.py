"""Why a plant was not forecast by a better method.

Forecasts kept before this revision have none; the records of their cycles tell it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("forecasts", sa.Column("notes", sa.Text))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("forecasts", "notes")
