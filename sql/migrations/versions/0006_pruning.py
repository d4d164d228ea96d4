"""A year of nights: runs that are pruned, budgets of months, and sums that views read instead of millions of rows."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


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
    op.add_column(
        "routing_runs",
        sa.Column(
            "month_budget_usd", sa.Double(), nullable=True, comment="Budget of its month in force, USD; null for none."
        ),
    )
    op.add_column(
        "run_teams",
        sa.Column(
            "month_budget_usd",
            sa.Double(),
            nullable=True,
            comment="Its budget of the month in force, USD; null for none.",
        ),
    )
    op.create_index(op.f("ix_rejected_queries_query_id"), "rejected_queries", ["query_id"])
    op.create_table(
        "assignment_totals",
        sa.Column("run_id", _ID, nullable=False, comment="Run the row belongs to."),
        sa.Column("model", sa.Text(), nullable=False, comment="Model."),
        sa.Column("task", sa.Text(), nullable=False, comment="Task family."),
        sa.Column("team", sa.Text(), nullable=False, comment="Team whose budget pays; empty where none does."),
        sa.Column("assigned", sa.BigInteger(), nullable=False, comment="Queries given to the model."),
        sa.Column("planned_spend_usd", sa.Double(), nullable=False, comment="Predicted cost of those, USD."),
        sa.Column("mean_quality", sa.Double(), nullable=False, comment="Sum of their expected quality."),
        sa.Column("planned_quality", sa.Double(), nullable=False, comment="Sum of the quality planned with."),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_assignment_totals_run_id")),
        sa.PrimaryKeyConstraint("run_id", "model", "task", "team", name=op.f("pk_assignment_totals")),
        comment="One row per run, model, task family and team with an assignment: sums of assignments, made when "
        "checked.",
    )
    op.execute(
        "INSERT INTO assignment_totals "
        "SELECT a.run_id, a.model, a.task, coalesce(a.team, ''), count(*), sum(a.cost_usd), sum(a.mean_quality), "
        "sum(a.planned_quality) FROM assignments AS a JOIN routing_runs AS r ON a.run_id = r.run_id "
        "WHERE r.status NOT IN ('staged', 'failed') GROUP BY a.run_id, a.model, a.task, coalesce(a.team, '')"
    )


def downgrade() -> None:
    op.drop_table("assignment_totals")
    op.drop_index(op.f("ix_rejected_queries_query_id"), "rejected_queries")
    op.drop_column("run_teams", "month_budget_usd")
    op.drop_column("routing_runs", "month_budget_usd")
    op.drop_column("routing_runs", "pruned_at")
