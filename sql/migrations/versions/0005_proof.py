"""Receipts with a verdict; what nights came to once they were executed."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_RECEIPTS = {
    "gain": (sa.Double, "Quality of nightshift less that of the policy, per routable query."),
    "gain_lower": (sa.Double, "Lower end of its 95 % interval, paired by query."),
    "gain_upper": (sa.Double, "Upper end of its 95 % interval, paired by query."),
    "verdict": (sa.Text, "gain, no gain (the interval includes zero) or loss; null for nightshift."),
}


_MODELS = {
    "outcomes_until_eligible": (
        sa.BigInteger,
        "Outcomes it lacks to be planned with; it only gets probes. Null where it lacks none.",
    ),
}
_OUTTURN = {
    "late": (sa.BigInteger, "Settled on a later day than the plan was executed."),
    "by_other": (sa.BigInteger, "Not settled, but answered by another model."),
    "corrected": (sa.BigInteger, "Queries whose outcomes differ; the one logged last counts."),
    "optimism": (sa.Double, "Mean of predicted less realised quality: the winner's curse."),
    "optimism_stderr": (sa.Double, "Standard error of that."),
    "calibration_error": (sa.Double, "Mean over tenths of |predicted − realised| quality."),
}
_NIGHTS = {
    "dt": (sa.Date, "Day whose backlog was planned."),
    "execution_date": (sa.Date, "Day the plan was executed."),
    "assigned": (sa.BigInteger, "Queries assigned."),
    "settled": (sa.BigInteger, "Of those, queries with an outcome of the assigned model."),
    "missing": (sa.BigInteger, "Of those, queries without one so far."),
    "rejected_outcomes": (sa.BigInteger, "Rows of the outcomes looked at that broke the contract."),
    "budget_usd": (sa.Double, "Budget of the night, USD."),
    "planned_spend_usd": (sa.Double, "Predicted cost of the assignments, USD."),
    "settled_planned_usd": (sa.Double, "Predicted cost of the settled, USD."),
    "actual_spend_usd": (sa.Double, "Cost of the settled, USD."),
    "projected_spend_usd": (
        sa.Double,
        "Cost of the night if the missing run over plan as the settled do, USD; null before any outcome.",
    ),
    "overspent": (sa.Boolean, "Whether that is over the budget; null before any outcome."),
    "overspend_probability": (sa.Double, "Accepted probability of overspending that the night was planned with."),
    "predicted_quality": (sa.Double, "Mean predicted quality of the settled."),
    "realised_quality": (sa.Double, "Mean quality of the settled."),
    "settled_through": (sa.Date, "Last day of outcomes looked at."),
    "settled_at": (lambda: sa.DateTime(timezone=True), "When the row was written."),
}
_UNKNOWN_AT_FIRST = {"projected_spend_usd", "overspent", "predicted_quality", "realised_quality", *_OUTTURN}
_BINS = {
    "model": (sa.Text, "Model; * for all."),
    "task": (sa.Text, "Task family; * for all."),
    "bin": (sa.Integer, "Tenth of predicted quality, from 0."),
    "settled": (sa.BigInteger, "Settled queries predicted in it."),
    "predicted_quality": (sa.Double, "Mean predicted quality of those."),
    "realised_quality": (sa.Double, "Mean quality of those."),
}


def _columns(described, nullable):
    return [
        sa.Column(name, kind(), nullable=name in nullable, autoincrement=False, comment=meaning)
        for name, (kind, meaning) in described.items()
    ]


def _run_id():
    return sa.Column(
        "run_id",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        autoincrement=False,
        nullable=False,
        comment="Run the row belongs to.",
    )


def upgrade() -> None:
    for table, added in (("receipts", _RECEIPTS), ("run_models", _MODELS), ("settlements", _OUTTURN)):
        for column in _columns(added, added):
            op.add_column(table, column)
    op.create_table(
        "night_settlements",
        _run_id(),
        *_columns(_NIGHTS | _OUTTURN, _UNKNOWN_AT_FIRST),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_night_settlements_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_night_settlements")),
        comment="One row per settled run: what the night came to.",
    )
    op.create_table(
        "calibration_bins",
        _run_id(),
        *_columns(_BINS, ()),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_calibration_bins_run_id")),
        sa.PrimaryKeyConstraint("run_id", "model", "task", "bin", name=op.f("pk_calibration_bins")),
        comment="One row per settled run, model, task family and tenth of predicted quality that has a settled query.",
    )


def downgrade() -> None:
    op.drop_table("calibration_bins")
    op.drop_table("night_settlements")
    for table, added in (("settlements", _OUTTURN), ("run_models", _MODELS), ("receipts", _RECEIPTS)):
        for name in reversed(added):
            op.drop_column(table, name)
