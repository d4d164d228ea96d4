"""What a night's GPU-hours take of its budget."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    meaning = "Cost of the night's GPU-hours, which the budget pays first, USD."
    op.add_column("routing_runs", sa.Column("gpu_usd", sa.Double(), nullable=True, comment=meaning))


def downgrade() -> None:
    op.drop_column("routing_runs", "gpu_usd")
