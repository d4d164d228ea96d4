"""What a run decided: a row for every query, and what the rows sum to."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Date, Double, Index, Integer, Table, Text

from routing_core.store.tables.declare import Time, column, metadata, run_id

assignments = Table(
    "assignments",
    metadata,
    run_id(primary_key=True),
    column("query_id", Text, "Query.", primary_key=True),
    column("dt", Date, "Day whose backlog is planned."),
    column("first_dt", Date, "Day of the backlog the query first appeared in."),
    column("partition", Text, "Name of the file it came in."),
    column("row", BigInteger, "Row of it in that file, from 0; null in rows of schema 0001.", null=True),
    column("chunk", Integer, "Chunk that wrote the row."),
    column("batch_no", Integer, "Batch of the night it runs in, from 1."),
    column("model", Text, "Model that answers it."),
    column("task", Text, "Task family."),
    column("team", Text, "Team whose budget pays.", null=True),
    column("mean_quality", Double, "Expected quality."),
    column("planned_quality", Double, "Quality planned with: the lower estimate."),
    column("cost_usd", Double, "Expected cost, USD."),
    column("runner_up", Text, "Second best model at the night's prices; null if none is eligible.", null=True),
    column("regret", Double, "What the runner-up is worse by at the night's prices, quality units.", null=True),
    column(
        "candidates", BigInteger, "Eligible models, as bits of run_models.position; null above 63 models.", null=True
    ),
    column("propensity", Double, "Probability with which the policy chose the model."),
    Index(None, "query_id"),
    comment="One row per query that a run gives to a model.",
)

assignment_totals = Table(
    "assignment_totals",
    metadata,
    run_id(primary_key=True),
    column("model", Text, "Model.", primary_key=True),
    column("task", Text, "Task family.", primary_key=True),
    column("team", Text, "Team whose budget pays; empty where none does.", primary_key=True),
    column("assigned", BigInteger, "Queries given to the model."),
    column("planned_spend_usd", Double, "Predicted cost of those, USD."),
    column("mean_quality", Double, "Sum of their expected quality."),
    column("planned_quality", Double, "Sum of the quality planned with."),
    comment="One row per run, model, task family and team with an assignment: sums of assignments, made when checked.",
)

deferred_queries = Table(
    "deferred_queries",
    metadata,
    run_id(primary_key=True),
    column("query_id", Text, "Query.", primary_key=True),
    column("dt", Date, "Day whose backlog is planned."),
    column("first_dt", Date, "Day of the backlog the query first appeared in."),
    column("partition", Text, "Name of the file it came in."),
    column("row", BigInteger, "Row of it in that file, from 0."),
    column("chunk", Integer, "Chunk that wrote the row."),
    column("task", Text, "Task family."),
    column("team", Text, "Team whose budget pays.", null=True),
    column("cause", Text, "Constraint that kept it from being served."),
    column("penalty", Double, "What leaving it cost the objective, quality units."),
    column("best_model", Text, "Model that would have served it best at the night's prices.", null=True),
    column("nights_waited", Integer, "Nights it had waited before this one."),
    column("deadline", Time, "When an answer is last of use.", null=True),
    Index(None, "query_id"),
    comment="One row per query that a run leaves to the next night.",
)

rejected_queries = Table(
    "rejected_queries",
    metadata,
    run_id(primary_key=True),
    column("first_dt", Date, "Day of the backlog partition the file is in.", primary_key=True),
    column("partition", Text, "Name of the file it came in.", primary_key=True),
    column("row", BigInteger, "Row of it in that file, from 0.", primary_key=True),
    column("dt", Date, "Day whose backlog is planned."),
    column("chunk", Integer, "Chunk that wrote the row."),
    column("query_id", Text, "Query, where the row has a readable identifier.", null=True),
    column("reason", Text, "malformed, duplicate, no_eligible_model or expired."),
    column("detail", Text, "Column, rule and value seen."),
    Index(None, "query_id"),
    comment="One row per backlog row that cannot be routed.",
)

batches = Table(
    "batches",
    metadata,
    run_id(primary_key=True),
    column("batch_no", Integer, "Batch of the night, from 1.", primary_key=True),
    column("model", Text, "Model.", primary_key=True),
    column("assigned", BigInteger, "Queries it answers in the batch."),
    column("planned_spend_usd", Double, "Predicted cost of those, USD."),
    comment="One row per batch and model that has at least one query in it.",
)

shadow_prices = Table(
    "shadow_prices",
    metadata,
    run_id(primary_key=True),
    column("constraint_name", Text, "budget, team_budget, capacity or deadline.", primary_key=True),
    column("subject", Text, "Team or model it belongs to; * for the budget of the night.", primary_key=True),
    column("price", Double, "Expected quality that one more unit would add, quality units per unit."),
    column("unit", Text, "USD, or query over the night."),
    column("binding", Boolean, "Whether the constraint is what limits the night."),
    column("words", Text, "The same in a sentence."),
    comment="One row per priced constraint of a run.",
)
