"""What a night's GPU-hours take of its budget; settled spend counts what other models answered."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_WHOSE = "of the settled and of those another model answered, USD."
_MEANINGS = {
    ("settlements", "planned_spend_usd"): ("Predicted cost of the settled, USD.", f"Predicted cost {_WHOSE}"),
    ("settlements", "actual_spend_usd"): ("Cost of the settled, USD.", f"Cost {_WHOSE}"),
    ("night_settlements", "settled_planned_usd"): ("Predicted cost of the settled, USD.", f"Predicted cost {_WHOSE}"),
    ("night_settlements", "actual_spend_usd"): ("Cost of the settled, USD.", f"Cost {_WHOSE}"),
    ("night_settlements", "projected_spend_usd"): (
        "Cost of the night if the missing run over plan as the settled do, USD; null before any outcome.",
        "Cost of the night if what nobody answered runs over plan as the rest did, USD; null before any outcome.",
    ),
    ("night_settlements", "overspent"): (
        "Whether that is over the budget; null before any outcome.",
        "Whether that and the GPU-hours are over the budget; null before any outcome.",
    ),
}


def upgrade() -> None:
    meaning = "Cost of the night's GPU-hours, which the budget pays first, USD."
    op.add_column("routing_runs", sa.Column("gpu_usd", sa.Double(), nullable=True, comment=meaning))
    _describe(1)


def downgrade() -> None:
    _describe(0)
    op.drop_column("routing_runs", "gpu_usd")


def _describe(which: int) -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        for (table, column), meanings in _MEANINGS.items():
            op.alter_column(table, column, comment=meanings[which])
