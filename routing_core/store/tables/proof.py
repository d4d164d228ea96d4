"""What a plan was worth: against other policies, and against what was logged."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Date, Double, Integer, Table, Text

from routing_core.store.tables.declare import Time, column, metadata, run_id


def _outturn_columns() -> list[Column[Any]]:
    """What is known of executed assignments beside their spend and quality."""
    return [
        column("late", BigInteger, "Settled on a later day than the plan was executed.", null=True),
        column("by_other", BigInteger, "Not settled, but answered by another model.", null=True),
        column("corrected", BigInteger, "Queries whose outcomes differ; the one logged last counts.", null=True),
        column("optimism", Double, "Mean of predicted less realised quality: the winner's curse.", null=True),
        column("optimism_stderr", Double, "Standard error of that.", null=True),
        column("calibration_error", Double, "Mean over tenths of |predicted − realised| quality.", null=True),
    ]


receipts = Table(
    "receipts",
    metadata,
    run_id(primary_key=True),
    column("policy", Text, "nightshift, or the policy it is compared with.", primary_key=True),
    column("fallback", Text, "Where the policy's overflow goes."),
    column("served", BigInteger, "Queries served."),
    column("expected_quality", Double, "Sum of predicted quality over the served, per routable query."),
    column("expected_quality_lower", Double, "Lower end of its 95 % interval.", null=True),
    column("expected_quality_upper", Double, "Upper end of its 95 % interval.", null=True),
    column("planned_spend_usd", Double, "Predicted cost, USD."),
    column("words", Text, "The comparison in a sentence."),
    column("gain", Double, "Quality of nightshift less that of the policy, per routable query.", null=True),
    column("gain_lower", Double, "Lower end of its 95 % interval, paired by query.", null=True),
    column("gain_upper", Double, "Upper end of its 95 % interval, paired by query.", null=True),
    column("verdict", Text, "gain, no gain (the interval includes zero) or loss; null for nightshift.", null=True),
    comment="One row per run and policy: the same night, caps and budget, decided another way.",
)

settlements = Table(
    "settlements",
    metadata,
    run_id(primary_key=True),
    column("model", Text, "Model; * for all.", primary_key=True),
    column("task", Text, "Task family; * for all.", primary_key=True),
    column("dt", Date, "Day whose backlog was planned."),
    column("assigned", BigInteger, "Queries assigned."),
    column("settled", BigInteger, "Of those, queries with an outcome of the assigned model."),
    column("planned_spend_usd", Double, "Predicted cost of the settled and of those another model answered, USD."),
    column("actual_spend_usd", Double, "Cost of the settled and of those another model answered, USD."),
    column("predicted_quality", Double, "Mean predicted quality of the settled.", null=True),
    column("realised_quality", Double, "Mean quality of the settled.", null=True),
    column("settled_through", Date, "Last day of outcomes looked at."),
    column("settled_at", Time, "When the row was written."),
    *_outturn_columns(),
    comment="One row per settled run, model and task family.",
)

night_settlements = Table(
    "night_settlements",
    metadata,
    run_id(primary_key=True, autoincrement=False),
    column("dt", Date, "Day whose backlog was planned."),
    column("execution_date", Date, "Day the plan was executed."),
    column("assigned", BigInteger, "Queries assigned."),
    column("settled", BigInteger, "Of those, queries with an outcome of the assigned model."),
    column("missing", BigInteger, "Of those, queries without one so far."),
    column("rejected_outcomes", BigInteger, "Rows of the outcomes looked at that broke the contract."),
    column("budget_usd", Double, "Budget of the night, USD."),
    column("planned_spend_usd", Double, "Predicted cost of the assignments, USD."),
    column("settled_planned_usd", Double, "Predicted cost of the settled and of those another model answered, USD."),
    column("actual_spend_usd", Double, "Cost of the settled and of those another model answered, USD."),
    column(
        "projected_spend_usd",
        Double,
        "Cost of the night if what nobody answered runs over plan as the rest did, USD; null before any outcome.",
        null=True,
    ),
    column(
        "overspent", Boolean, "Whether that and the GPU-hours are over the budget; null before any outcome.", null=True
    ),
    column("overspend_probability", Double, "Accepted probability of overspending that the night was planned with."),
    column("predicted_quality", Double, "Mean predicted quality of the settled.", null=True),
    column("realised_quality", Double, "Mean quality of the settled.", null=True),
    column("settled_through", Date, "Last day of outcomes looked at."),
    column("settled_at", Time, "When the row was written."),
    *_outturn_columns(),
    comment="One row per settled run: what the night came to.",
)

calibration_bins = Table(
    "calibration_bins",
    metadata,
    run_id(primary_key=True),
    column("model", Text, "Model; * for all.", primary_key=True),
    column("task", Text, "Task family; * for all.", primary_key=True),
    column("bin", Integer, "Tenth of predicted quality, from 0.", primary_key=True, autoincrement=False),
    column("settled", BigInteger, "Settled queries predicted in it."),
    column("predicted_quality", Double, "Mean predicted quality of those."),
    column("realised_quality", Double, "Mean quality of those."),
    comment="One row per settled run, model, task family and tenth of predicted quality that has a settled query.",
)
