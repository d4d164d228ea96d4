"""What is strange about a night, and what had drifted when a predictor was judged."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = {
    "routing_runs": (
        ("new_task_share", sa.Double(), "Share of the queries of a task the predictor learnt nothing of."),
        ("far_share", sa.Double(), "Share of the queries far in distance from all it learnt from."),
        ("conservative", sa.Boolean(), "Whether it was planned on the conservative level for that."),
    ),
    "predictor_versions": (
        ("robust_reason", sa.Text(), "Why this level: what it gained on held-out nights, or no gain."),
        ("mix_distance", sa.Double(), "Total variation of task shares, days learnt from to days of the exam."),
        ("exam_unfamiliar_share", sa.Double(), "Share of exam queries unlike those learnt from."),
        ("calibration_error", sa.Double(), "Expected calibration error of this recipe on the exam."),
        ("quality_shift", sa.Double(), "Largest realised less predicted quality of a model in the exam."),
        ("quality_shift_model", sa.Text(), "The model it was seen with."),
    ),
}


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        for name, kind, meaning in columns:
            op.add_column(table, sa.Column(name, kind, nullable=True, comment=meaning))


def downgrade() -> None:
    for table, columns in _COLUMNS.items():
        for name, _, _ in columns:
            op.drop_column(table, name)
