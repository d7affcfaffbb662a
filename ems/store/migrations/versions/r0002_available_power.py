"""What hides available power, and what shows it; quantiles beside each forecast.

Minutes kept before this revision have caps of unknown height, and no available power.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; SQLite does so without touching a row."""
    op.add_column("minutes", sa.Column("cap_kw", sa.Double))
    op.add_column("minutes", sa.Column("available_kw", sa.Double))
    op.add_column("forecasts", sa.Column("quantiles_kw", sa.Text))


def downgrade() -> None:
    """Drop them; caps lose their height."""
    op.drop_column("forecasts", "quantiles_kw")
    op.drop_column("minutes", "available_kw")
    op.drop_column("minutes", "cap_kw")
