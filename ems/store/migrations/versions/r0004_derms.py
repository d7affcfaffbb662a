"""What the IEEE 2030.5 server keeps: its present state, and what happened."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "derms_documents",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("derms_documents_by_key", "derms_documents", ["kind", "key"], unique=True)
    op.create_table(
        "derms_entries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("derms_entries_by_time", "derms_entries", ["kind", "time"])
    op.create_index("derms_entries_by_owner", "derms_entries", ["owner", "kind", "time"])
    op.create_index("derms_entries_by_key", "derms_entries", ["key", "kind", "time"])


def downgrade() -> None:
    """Drop both; the server knows no device any more."""
    op.drop_table("derms_entries")
    op.drop_table("derms_documents")
