"""The results schema: every table with its grain, every column with its meaning and unit.

Migrations under ``sql/migrations`` build it; a test holds the two together. Money is in USD,
quality in [0, 1], times are UTC. ``dt`` is the day whose backlog a night plans.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only in a column declared INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")
Time = DateTime(timezone=True)


def _column(name: str, kind: Any, meaning: str, *rules: Any, null: bool = False, **options: Any) -> Column[Any]:
    """A column that cannot be declared without saying what it means; not null unless said."""
    return Column(name, kind, *rules, comment=meaning, nullable=null, **options)


def _run_id(**options: Any) -> Column[Any]:
    return _column("run_id", Id, "Run the row belongs to.", ForeignKey("routing_runs.run_id"), **options)


def _is_one_of(column: str, *values: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=column)


def _outturn_columns() -> list[Column[Any]]:
    """What is known of executed assignments beside their spend and quality."""
    return [
        _column("late", BigInteger, "Settled on a later day than the plan was executed.", null=True),
        _column("by_other", BigInteger, "Not settled, but answered by another model.", null=True),
        _column("corrected", BigInteger, "Queries whose outcomes differ; the one logged last counts.", null=True),
        _column("optimism", Double, "Mean of predicted less realised quality: the winner's curse.", null=True),
        _column("optimism_stderr", Double, "Standard error of that.", null=True),
        _column("calibration_error", Double, "Mean over tenths of |predicted − realised| quality.", null=True),
    ]


routing_runs = Table(
    "routing_runs",
    metadata,
    _column("run_id", Id, "Identifier, increasing in the order runs were opened.", primary_key=True),
    _column("dt", Date, "Day whose backlog is planned."),
    _column("execution_date", Date, "Day the plan is executed, at whose prices it is planned: dt + 1."),
    _column("attempt", Integer, "Number of the run among those opened for dt, from 1."),
    _column("run_key", Text, "What opened it, such as the DAG run; a retry with the same key gets the same run."),
    _column("status", Text, "staged, checked, current, superseded, failed or shadow."),
    _column("opened_at", Time, "When it was opened."),
    _column("checked_at", Time, "When its checks passed.", null=True),
    _column("published_at", Time, "When it became current or shadow.", null=True),
    _column("superseded_at", Time, "When another run took its place.", null=True),
    _column("failed_at", Time, "When it failed.", null=True),
    _column("pruned_at", Time, "When all but this row of it was taken out; null while it is whole.", null=True),
    _column("failure", Text, "Why it failed.", null=True),
    _column(
        "sealed_at", Time, "When the plan was handed out to be executed; never replaced in silence after.", null=True
    ),
    _column("supersedes_run_id", Id, "Run it took the place of.", ForeignKey("routing_runs.run_id"), null=True),
    _column("rolled_back_at", Time, "When it gave its place back to the run it superseded.", null=True),
    _column("replan", Boolean, "Whether it was told to replace a sealed run."),
    _column(
        "shadow", Boolean, "Whether it is made for comparison alone and never becomes current.", server_default=false()
    ),
    _column(
        "base_run_id",
        Id,
        "Run whose input it plans again: what was left of it, or as a shadow; null for a plan of its own.",
        ForeignKey("routing_runs.run_id"),
        null=True,
    ),
    _column(
        "sent_through_batch",
        Integer,
        "Last batch taken over from base_run_id as sent; those after it were planned anew. Null for a whole plan.",
        null=True,
    ),
    _column("solve_attempt", Integer, "Newest attempt that may solve it; 0 before any."),
    _column("dry_run", Boolean, "Whether it stops before publishing."),
    _column("degraded", Text, "What it had to go on without, comma-separated; empty if nothing."),
    _column("code_version", Text, "Version of Nightshift that planned it."),
    _column("settings", JSON, "Settings in force, secrets masked."),
    _column("options", JSON, "What this run was asked to do otherwise than the settings say."),
    _column("seed", BigInteger, "Seed of everything that draws."),
    _column("batching", Text, "planned or arrival."),
    _column("batches", Integer, "Batches in the night."),
    _column("catalog_hash", Text, "SHA-256 of the catalog in force.", null=True),
    _column("predictor_id", Id, "Predictor it planned with.", ForeignKey("predictor_versions.predictor_id"), null=True),
    _column("allocation_id", Id, "Allocation it planned with.", ForeignKey("allocations.allocation_id"), null=True),
    _column(
        "carried_from_run_id",
        Id,
        "Run whose deferred queries it took up.",
        ForeignKey("routing_runs.run_id"),
        null=True,
    ),
    _column("robust_method", Text, "How the lower estimates were made.", null=True),
    _column("robust_level", Double, "Level of the lower estimates; null plans on the mean.", null=True),
    _column("backlog_rows", BigInteger, "Rows of the backlog of dt, broken ones included.", null=True),
    _column("carried_rows", BigInteger, "Queries taken up from the night before.", null=True),
    _column("assigned", BigInteger, "Queries given to a model.", null=True),
    _column("deferred", BigInteger, "Queries left to the next night.", null=True),
    _column("rejected", BigInteger, "Rows that cannot be routed.", null=True),
    _column("budget_usd", Double, "Budget of the night, USD."),
    _column("month_budget_usd", Double, "Budget of its month in force, USD; null for none.", null=True),
    _column("cost_margin", Double, "Factor by which planned spend stays below the budget, at least 1.", null=True),
    _column("planning_budget_usd", Double, "Budget planned with, after the margin, USD.", null=True),
    _column("gpu_usd", Double, "Cost of the night's GPU-hours, which the budget pays first, USD.", null=True),
    _column("planned_spend_usd", Double, "Predicted cost of the assignments, USD.", null=True),
    _column("expected_quality", Double, "Mean predicted quality of the assigned queries.", null=True),
    _column(
        "objective", Double, "Planned quality served less the penalties of the deferred, quality units.", null=True
    ),
    _column("bound", Double, "Proven upper bound of the objective, quality units.", null=True),
    _column("gap", Double, "(bound − objective) / bound in value served.", null=True),
    _column("solver_status", Text, "How the solver ended.", null=True),
    _column("passes", Integer, "Passes over the matrices for the prices.", null=True),
    _column("core_queries", BigInteger, "Queries decided by the exact solver.", null=True),
    _column("unfamiliar_share", Double, "Share of the queries far from what the predictor learnt from.", null=True),
    _column("new_task_share", Double, "Share of the queries of a task the predictor learnt nothing of.", null=True),
    _column("far_share", Double, "Share of the queries far in distance from all it learnt from.", null=True),
    _column("conservative", Boolean, "Whether it was planned on the conservative level for that.", null=True),
    _column("timings", JSON, "Seconds of each stage.", null=True),
    UniqueConstraint("dt", "run_key"),
    UniqueConstraint("dt", "attempt"),
    _is_one_of("status", "staged", "checked", "current", "superseded", "failed", "shadow"),
    _is_one_of("batching", "planned", "arrival"),
    Index(
        "uq_routing_runs_current_dt",
        "dt",
        unique=True,
        sqlite_where=text("status = 'current'"),
        postgresql_where=text("status = 'current'"),
    ),
    comment="One row per attempt to plan a night. At most one of a dt is current.",
)

run_inputs = Table(
    "run_inputs",
    metadata,
    _run_id(primary_key=True),
    _column("source", Text, "backlog, or carried from the night before.", primary_key=True),
    _column("partition_dt", Date, "Day of the backlog partition the file is in.", primary_key=True),
    _column("partition", Text, "Name of the file in its partition.", primary_key=True),
    _column("size_bytes", BigInteger, "Size of the file when it was listed, bytes."),
    _column("sha256", Text, "SHA-256 of the file when it was listed."),
    _column("rows", BigInteger, "Rows of the file that belong to the input of the run."),
    _is_one_of("source", "backlog", "carried"),
    comment="One row per input file of a run, as it was when the run listed it.",
)

run_sources = Table(
    "run_sources",
    metadata,
    _run_id(primary_key=True),
    _column(
        "source_run_id",
        Id,
        "Run whose deferred queries it takes up, or whose decisions say that they are taken.",
        ForeignKey("routing_runs.run_id"),
        primary_key=True,
    ),
    _column("queries", BigInteger, "Queries it took up from it."),
    Index(None, "source_run_id"),
    comment="One row per run that is chained and current run it was opened beside, of nights around.",
)

run_chunks = Table(
    "run_chunks",
    metadata,
    _run_id(primary_key=True),
    _column("chunk", Integer, "Number of the chunk, from 0.", primary_key=True),
    _column("source", Text, "backlog, or carried from the night before."),
    _column("partitions", JSON, "Files of the chunk, each as [partition dt, name]."),
    _column("estimate_attempt", Integer, "Newest attempt that may write the chunk's estimates; 0 before any."),
    _column("estimate_shard", Text, "Directory of the chunk's estimates, under the run's own.", null=True),
    _column("attempt", Integer, "Newest attempt that may write the chunk's rows; 0 before any."),
    _column("rows", BigInteger, "Rows written: assigned, deferred and rejected together; null before.", null=True),
    _column("checksum", Text, "SHA-256 of the rows as they were copied.", null=True),
    _column("written_at", Time, "When the rows were committed.", null=True),
    comment="One row per chunk of a run; its writers are fenced by attempt.",
)

run_models = Table(
    "run_models",
    metadata,
    _run_id(primary_key=True),
    _column("model", Text, "Model.", primary_key=True),
    _column("position", Integer, "Place in the catalog's order, from 0; bit of assignments.candidates."),
    _column("serving", Text, "api or self_hosted."),
    _column("instances", Integer, "Instances that serve it; null for an API model.", null=True),
    _column("capacity_per_batch", BigInteger, "Queries it takes in a batch; null is no limit.", null=True),
    _column(
        "capacity_left_per_batch",
        BigInteger,
        "The same after routing_runs.sent_through_batch, where that is set; null is no limit.",
        null=True,
    ),
    _column("input_usd", Double, "Price on the execution date, USD per million input tokens."),
    _column("output_usd", Double, "Price on the execution date, USD per million output tokens."),
    _column("assigned", BigInteger, "Queries given to it."),
    _column("planned_spend_usd", Double, "Predicted cost of those, USD."),
    _column(
        "outcomes_until_eligible",
        BigInteger,
        "Outcomes it lacks to be planned with; it only gets probes. Null where it lacks none.",
        null=True,
    ),
    comment="One row per model of a run: what it could take, and what it was given.",
)

run_teams = Table(
    "run_teams",
    metadata,
    _run_id(primary_key=True),
    _column("team", Text, "Team with a budget of its own.", primary_key=True),
    _column("budget_usd", Double, "Its budget of the night, USD."),
    _column("month_budget_usd", Double, "Its budget of the month in force, USD; null for none.", null=True),
    _column("cost_margin", Double, "Factor by which its planned spend stays below, at least 1."),
    _column("assigned", BigInteger, "Its queries given to a model."),
    _column("planned_spend_usd", Double, "Predicted cost of those, USD."),
    comment="One row per team of a run that has a budget of its own.",
)

assignments = Table(
    "assignments",
    metadata,
    _run_id(primary_key=True),
    _column("query_id", Text, "Query.", primary_key=True),
    _column("dt", Date, "Day whose backlog is planned."),
    _column("first_dt", Date, "Day of the backlog the query first appeared in."),
    _column("partition", Text, "Name of the file it came in."),
    _column("row", BigInteger, "Row of it in that file, from 0; null in rows of schema 0001.", null=True),
    _column("chunk", Integer, "Chunk that wrote the row."),
    _column("batch_no", Integer, "Batch of the night it runs in, from 1."),
    _column("model", Text, "Model that answers it."),
    _column("task", Text, "Task family."),
    _column("team", Text, "Team whose budget pays.", null=True),
    _column("mean_quality", Double, "Expected quality."),
    _column("planned_quality", Double, "Quality planned with: the lower estimate."),
    _column("cost_usd", Double, "Expected cost, USD."),
    _column("runner_up", Text, "Second best model at the night's prices; null if none is eligible.", null=True),
    _column("regret", Double, "What the runner-up is worse by at the night's prices, quality units.", null=True),
    _column(
        "candidates", BigInteger, "Eligible models, as bits of run_models.position; null above 63 models.", null=True
    ),
    _column("propensity", Double, "Probability with which the policy chose the model."),
    Index(None, "query_id"),
    comment="One row per query that a run gives to a model.",
)

assignment_totals = Table(
    "assignment_totals",
    metadata,
    _run_id(primary_key=True),
    _column("model", Text, "Model.", primary_key=True),
    _column("task", Text, "Task family.", primary_key=True),
    _column("team", Text, "Team whose budget pays; empty where none does.", primary_key=True),
    _column("assigned", BigInteger, "Queries given to the model."),
    _column("planned_spend_usd", Double, "Predicted cost of those, USD."),
    _column("mean_quality", Double, "Sum of their expected quality."),
    _column("planned_quality", Double, "Sum of the quality planned with."),
    comment="One row per run, model, task family and team with an assignment: sums of assignments, made when checked.",
)

deferred_queries = Table(
    "deferred_queries",
    metadata,
    _run_id(primary_key=True),
    _column("query_id", Text, "Query.", primary_key=True),
    _column("dt", Date, "Day whose backlog is planned."),
    _column("first_dt", Date, "Day of the backlog the query first appeared in."),
    _column("partition", Text, "Name of the file it came in."),
    _column("row", BigInteger, "Row of it in that file, from 0."),
    _column("chunk", Integer, "Chunk that wrote the row."),
    _column("task", Text, "Task family."),
    _column("team", Text, "Team whose budget pays.", null=True),
    _column("cause", Text, "Constraint that kept it from being served."),
    _column("penalty", Double, "What leaving it cost the objective, quality units."),
    _column("best_model", Text, "Model that would have served it best at the night's prices.", null=True),
    _column("nights_waited", Integer, "Nights it had waited before this one."),
    _column("deadline", Time, "When an answer is last of use.", null=True),
    Index(None, "query_id"),
    comment="One row per query that a run leaves to the next night.",
)

rejected_queries = Table(
    "rejected_queries",
    metadata,
    _run_id(primary_key=True),
    _column("first_dt", Date, "Day of the backlog partition the file is in.", primary_key=True),
    _column("partition", Text, "Name of the file it came in.", primary_key=True),
    _column("row", BigInteger, "Row of it in that file, from 0.", primary_key=True),
    _column("dt", Date, "Day whose backlog is planned."),
    _column("chunk", Integer, "Chunk that wrote the row."),
    _column("query_id", Text, "Query, where the row has a readable identifier.", null=True),
    _column("reason", Text, "malformed, duplicate, no_eligible_model or expired."),
    _column("detail", Text, "Column, rule and value seen."),
    Index(None, "query_id"),
    comment="One row per backlog row that cannot be routed.",
)

batches = Table(
    "batches",
    metadata,
    _run_id(primary_key=True),
    _column("batch_no", Integer, "Batch of the night, from 1.", primary_key=True),
    _column("model", Text, "Model.", primary_key=True),
    _column("assigned", BigInteger, "Queries it answers in the batch."),
    _column("planned_spend_usd", Double, "Predicted cost of those, USD."),
    comment="One row per batch and model that has at least one query in it.",
)

shadow_prices = Table(
    "shadow_prices",
    metadata,
    _run_id(primary_key=True),
    _column("constraint_name", Text, "budget, team_budget, capacity or deadline.", primary_key=True),
    _column("subject", Text, "Team or model it belongs to; * for the budget of the night.", primary_key=True),
    _column("price", Double, "Expected quality that one more unit would add, quality units per unit."),
    _column("unit", Text, "USD, or query over the night."),
    _column("binding", Boolean, "Whether the constraint is what limits the night."),
    _column("words", Text, "The same in a sentence."),
    comment="One row per priced constraint of a run.",
)

exports = Table(
    "exports",
    metadata,
    _column("export_id", Id, "Identifier, increasing.", primary_key=True),
    _run_id(),
    _column("dt", Date, "Day whose backlog is planned."),
    _column("format", Text, "parquet or jsonl."),
    _column("directory", Text, "Directory the files were written to."),
    _column("files", Integer, "Files of the plan, without manifest and checksums."),
    _column("rows", BigInteger, "Queries in them."),
    _column("checksum", Text, "SHA-256 of the manifest, which holds that of every file."),
    _column("exported_at", Time, "When it was handed out."),
    _is_one_of("format", "parquet", "jsonl"),
    comment="One row per time a plan was written out for the dispatcher.",
)

holds = Table(
    "holds",
    metadata,
    _column("hold_id", Id, "Identifier, increasing.", primary_key=True),
    _column("dt", Date, "Day whose night is held."),
    _column("reason", Text, "Why, in the words of whoever held it."),
    _column("held_at", Time, "When it was held."),
    _column("released_at", Time, "When it was released; null while it is held.", null=True),
    Index(
        "uq_holds_open_dt",
        "dt",
        unique=True,
        sqlite_where=text("released_at IS NULL"),
        postgresql_where=text("released_at IS NULL"),
    ),
    comment="One row per time a night was held back from being handed out.",
)

receipts = Table(
    "receipts",
    metadata,
    _run_id(primary_key=True),
    _column("policy", Text, "nightshift, or the policy it is compared with.", primary_key=True),
    _column("fallback", Text, "Where the policy's overflow goes."),
    _column("served", BigInteger, "Queries served."),
    _column("expected_quality", Double, "Sum of predicted quality over the served, per routable query."),
    _column("expected_quality_lower", Double, "Lower end of its 95 % interval.", null=True),
    _column("expected_quality_upper", Double, "Upper end of its 95 % interval.", null=True),
    _column("planned_spend_usd", Double, "Predicted cost, USD."),
    _column("words", Text, "The comparison in a sentence."),
    _column("gain", Double, "Quality of nightshift less that of the policy, per routable query.", null=True),
    _column("gain_lower", Double, "Lower end of its 95 % interval, paired by query.", null=True),
    _column("gain_upper", Double, "Upper end of its 95 % interval, paired by query.", null=True),
    _column("verdict", Text, "gain, no gain (the interval includes zero) or loss; null for nightshift.", null=True),
    comment="One row per run and policy: the same night, caps and budget, decided another way.",
)

predictor_versions = Table(
    "predictor_versions",
    metadata,
    _column("predictor_id", Id, "Identifier, increasing.", primary_key=True),
    _column("dt", Date, "Last day of outcomes it may have seen: the day of the verdict."),
    _column("attempt", Integer, "Number of the verdict among those for dt, from 1."),
    _column("run_key", Text, "What asked for it, such as the DAG run."),
    _column("decision", Text, "promoted, kept (the champion stays) or refused (the exam could not be held)."),
    _column("reason", Text, "Why, in words."),
    _column("superseded_at", Time, "When a later verdict for the same dt replaced it.", null=True),
    _column("trained_through", Date, "Last day of outcomes it learnt from."),
    _column(
        "champion_id", Id, "Champion it was judged against.", ForeignKey("predictor_versions.predictor_id"), null=True
    ),
    _column("recipe", JSON, "Every choice that made it."),
    _column("content_hash", Text, "SHA-256 of its arrays and parameters; also its artifact's name."),
    _column("outcomes", BigInteger, "Outcomes it learnt from."),
    _column("rejected_outcomes", BigInteger, "Outcome rows that broke the contract and were left out."),
    _column("champion_quality", Double, "Held-out routing quality of the champion's recipe.", null=True),
    _column("challenger_quality", Double, "Held-out routing quality of this recipe.", null=True),
    _column("difference_lower", Double, "Lower end of the interval of challenger less champion.", null=True),
    _column("difference_upper", Double, "Upper end of the interval of challenger less champion.", null=True),
    _column("robust_method", Text, "How lower estimates are made, as selected."),
    _column("robust_level", Double, "Level of the lower estimates; null plans on the mean.", null=True),
    _column("cost_margin", Double, "Factor between realised and planned spend to be covered, at least 1."),
    _column("robust_reason", Text, "Why this level: what it gained on held-out nights, or no gain.", null=True),
    _column("mix_distance", Double, "Total variation of task shares, days learnt from to days of the exam.", null=True),
    _column("exam_unfamiliar_share", Double, "Share of exam queries unlike those learnt from.", null=True),
    _column("calibration_error", Double, "Expected calibration error of this recipe on the exam.", null=True),
    _column("quality_shift", Double, "Largest realised less predicted quality of a model in the exam.", null=True),
    _column("quality_shift_model", Text, "The model it was seen with.", null=True),
    _column("evidence", JSON, "Figures behind the robust level, the margin and the verdict."),
    _column("seed", BigInteger, "Seed it was trained with."),
    _column("created_at", Time, "When the verdict was given."),
    UniqueConstraint("dt", "attempt"),
    _is_one_of("decision", "promoted", "kept", "refused"),
    comment="One row per verdict on a challenger. The newest promoted one that is not superseded reigns.",
)

allocations = Table(
    "allocations",
    metadata,
    _column("allocation_id", Id, "Identifier, increasing.", primary_key=True),
    _column("for_date", Date, "Day whose backlog it serves."),
    _column("dt", Date, "Last day it knew of: for_date − 1."),
    _column("attempt", Integer, "Number of the allocation among those for for_date, from 1."),
    _column("run_key", Text, "What asked for it, such as the DAG run."),
    _column("superseded_at", Time, "When a later allocation for the same day replaced it.", null=True),
    _column("predictor_id", Id, "Predictor it planned with.", ForeignKey("predictor_versions.predictor_id")),
    _column("forecast_id", Id, "Forecast it planned for.", null=True),
    _column("gpu_budget", JSON, "GPUs there are, by type."),
    _column("gpus_used", JSON, "GPUs it uses, by type."),
    _column("status", Text, "How the solver ended."),
    _column("objective", Double, "Expected planned quality less penalties and change costs, quality units.", null=True),
    _column("bound", Double, "Proven upper bound of the objective.", null=True),
    _column("gap", Double, "(bound − objective) / bound in value served.", null=True),
    _column("change", Text, "Difference from the allocation of the day before, in words."),
    _column("evidence", JSON, "Shadow prices of GPUs, alternatives and what else explains it."),
    _column("seed", BigInteger, "Seed of the sample that stood for the mix."),
    _column("created_at", Time, "When it was made."),
    UniqueConstraint("for_date", "attempt"),
    comment="One row per allocation of instances to a day. The one not superseded counts.",
)

instance_allocations = Table(
    "instance_allocations",
    metadata,
    _column(
        "allocation_id",
        Id,
        "Allocation.",
        ForeignKey("allocations.allocation_id"),
        primary_key=True,
        autoincrement=False,
    ),
    _column("model", Text, "Self-hosted model.", primary_key=True),
    _column("instances", Integer, "Instances to run."),
    _column("previous_instances", Integer, "Instances of the day before; null if there was no allocation.", null=True),
    _column("gpu_type", Text, "Type of GPU."),
    _column("gpus", Integer, "GPUs those instances take."),
    _column("capacity_per_batch", BigInteger, "Queries those instances hold in a batch."),
    _column("utilisation", Double, "Share of the night's capacity that the expected mix uses.", null=True),
    comment="One row per allocation and self-hosted model.",
)

mix_forecasts = Table(
    "mix_forecasts",
    metadata,
    _column("forecast_id", Id, "Forecast the row belongs to.", primary_key=True, autoincrement=False),
    _column("task", Text, "Task family; * for the whole day.", primary_key=True),
    _column("for_date", Date, "Day that is forecast."),
    _column("dt", Date, "Last day of history it knew: for_date − 1."),
    _column("method", Text, "Method that won the rolling backtest."),
    _column("expected", Double, "Expected queries."),
    _column("lower", Double, "Lower end of the 80 % interval, queries."),
    _column("upper", Double, "Upper end of the 80 % interval, queries."),
    _column(
        "wape", Double, "Weighted absolute percentage error of the method in the backtest; null without one.", null=True
    ),
    _column("actual", Double, "Queries that came; null until the backlog arrives.", null=True),
    _column("scored_at", Time, "When actual was filled in.", null=True),
    comment="One row per forecast and task family.",
)

cluster_forecasts = Table(
    "cluster_forecasts",
    metadata,
    _column("forecast_id", Id, "Forecast the row belongs to.", primary_key=True, autoincrement=False),
    _column("cluster", Integer, "Cluster of prompts, from 1, largest first.", primary_key=True, autoincrement=False),
    _column("about", Text, "Task that most of its training queries have, and their share."),
    _column("predictor_id", Id, "Predictor whose clusters they are.", ForeignKey("predictor_versions.predictor_id")),
    _column("seed", BigInteger, "Seed that the clusters were learnt with."),
    _column("for_date", Date, "Day that is forecast."),
    _column("dt", Date, "Last day of history it knew: for_date − 1."),
    _column("method", Text, "Method that won the rolling backtest."),
    _column("expected", Double, "Expected queries."),
    _column("lower", Double, "Lower end of the 80 % interval, queries."),
    _column("upper", Double, "Upper end of the 80 % interval, queries."),
    _column(
        "wape", Double, "Weighted absolute percentage error of the method in the backtest; null without one.", null=True
    ),
    _column("actual", Double, "Queries that came, by a sample of them; null until the backlog arrives.", null=True),
    _column("scored_at", Time, "When actual was filled in.", null=True),
    comment="One row per forecast and cluster of prompts.",
)

settlements = Table(
    "settlements",
    metadata,
    _run_id(primary_key=True),
    _column("model", Text, "Model; * for all.", primary_key=True),
    _column("task", Text, "Task family; * for all.", primary_key=True),
    _column("dt", Date, "Day whose backlog was planned."),
    _column("assigned", BigInteger, "Queries assigned."),
    _column("settled", BigInteger, "Of those, queries with an outcome of the assigned model."),
    _column("planned_spend_usd", Double, "Predicted cost of the settled and of those another model answered, USD."),
    _column("actual_spend_usd", Double, "Cost of the settled and of those another model answered, USD."),
    _column("predicted_quality", Double, "Mean predicted quality of the settled.", null=True),
    _column("realised_quality", Double, "Mean quality of the settled.", null=True),
    _column("settled_through", Date, "Last day of outcomes looked at."),
    _column("settled_at", Time, "When the row was written."),
    *_outturn_columns(),
    comment="One row per settled run, model and task family.",
)

night_settlements = Table(
    "night_settlements",
    metadata,
    _run_id(primary_key=True, autoincrement=False),
    _column("dt", Date, "Day whose backlog was planned."),
    _column("execution_date", Date, "Day the plan was executed."),
    _column("assigned", BigInteger, "Queries assigned."),
    _column("settled", BigInteger, "Of those, queries with an outcome of the assigned model."),
    _column("missing", BigInteger, "Of those, queries without one so far."),
    _column("rejected_outcomes", BigInteger, "Rows of the outcomes looked at that broke the contract."),
    _column("budget_usd", Double, "Budget of the night, USD."),
    _column("planned_spend_usd", Double, "Predicted cost of the assignments, USD."),
    _column("settled_planned_usd", Double, "Predicted cost of the settled and of those another model answered, USD."),
    _column("actual_spend_usd", Double, "Cost of the settled and of those another model answered, USD."),
    _column(
        "projected_spend_usd",
        Double,
        "Cost of the night if what nobody answered runs over plan as the rest did, USD; null before any outcome.",
        null=True,
    ),
    _column(
        "overspent", Boolean, "Whether that and the GPU-hours are over the budget; null before any outcome.", null=True
    ),
    _column("overspend_probability", Double, "Accepted probability of overspending that the night was planned with."),
    _column("predicted_quality", Double, "Mean predicted quality of the settled.", null=True),
    _column("realised_quality", Double, "Mean quality of the settled.", null=True),
    _column("settled_through", Date, "Last day of outcomes looked at."),
    _column("settled_at", Time, "When the row was written."),
    *_outturn_columns(),
    comment="One row per settled run: what the night came to.",
)

calibration_bins = Table(
    "calibration_bins",
    metadata,
    _run_id(primary_key=True),
    _column("model", Text, "Model; * for all.", primary_key=True),
    _column("task", Text, "Task family; * for all.", primary_key=True),
    _column("bin", Integer, "Tenth of predicted quality, from 0.", primary_key=True, autoincrement=False),
    _column("settled", BigInteger, "Settled queries predicted in it."),
    _column("predicted_quality", Double, "Mean predicted quality of those."),
    _column("realised_quality", Double, "Mean quality of those."),
    comment="One row per settled run, model, task family and tenth of predicted quality that has a settled query.",
)
