"""Runs that are pruned: their decisions taken out, their row kept."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "routing_runs",
        sa.Column(
            "pruned_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When all but this row of it was taken out; null while it is whole.",
        ),
    )


def downgrade() -> None:
    op.drop_column("routing_runs", "pruned_at")
