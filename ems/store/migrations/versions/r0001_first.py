"""The first tables.

Written out, not taken from `schema`: a revision must stay what it was when it ran.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "cycles",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("cost_usd_per_h", sa.Double),
        sa.Column("json", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("cycles_by_start", "cycles", ["start"])
    _create_details()
    _create_minutes()
    op.create_table(
        "missed",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("intervals", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("ix_missed_start", "missed", ["start"])
    op.create_table(
        "leases",
        sa.Column("site", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("ends", sa.BigInteger, nullable=False),
    )


def _create_details() -> None:
    """Setpoints and forecasts, which belong to a cycle."""
    cycle = sa.ForeignKey("cycles.id", ondelete="CASCADE")
    op.create_table(
        "setpoints",
        sa.Column("cycle_id", sa.Integer, cycle, primary_key=True),
        sa.Column("der", sa.Text, primary_key=True),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("p_kw", sa.Double),
        sa.Column("q_kvar", sa.Double),
        sa.Column("cap_kw", sa.Double),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("readback_p_kw", sa.Double),
        sa.Column("readback_q_kvar", sa.Double),
        sa.Column("readback_cap_kw", sa.Double),
    )
    op.create_index("setpoints_by_start", "setpoints", ["start"])
    cycle = sa.ForeignKey("cycles.id", ondelete="CASCADE")
    op.create_table(
        "forecasts",
        sa.Column("cycle_id", sa.Integer, cycle, primary_key=True),
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("expected_kw", sa.Double),
        sa.Column("lower_kw", sa.Double),
        sa.Column("upper_kw", sa.Double),
        sa.Column("method", sa.Text, nullable=False),
    )
    op.create_index("forecasts_by_start", "forecasts", ["start"])


def _create_minutes() -> None:
    op.create_table(
        "minutes",
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("time", sa.BigInteger, primary_key=True),
        sa.Column("p_kw", sa.Double, nullable=False),
        sa.Column("q_kvar", sa.Double),
        sa.Column("v_pu", sa.Double),
        sa.Column("soc_pct", sa.Double),
        sa.Column("capped", sa.Boolean, nullable=False),
        sa.Column("polls", sa.Integer, nullable=False),
        sa.Column("minutes", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("minutes_by_time", "minutes", ["time"])


def downgrade() -> None:
    """To nothing; every record is lost."""
    for table in ("leases", "missed", "minutes", "forecasts", "setpoints", "cycles"):
        op.drop_table(table)
