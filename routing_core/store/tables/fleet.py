"""Instances of a day, and the demand they were sized for."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Date, Double, ForeignKey, Integer, Table, Text, UniqueConstraint

from routing_core.store.tables.declare import Id, Time, column, metadata

allocations = Table(
    "allocations",
    metadata,
    column("allocation_id", Id, "Identifier, increasing.", primary_key=True),
    column("for_date", Date, "Day whose backlog it serves."),
    column("dt", Date, "Last day it knew of: for_date − 1."),
    column("attempt", Integer, "Number of the allocation among those for for_date, from 1."),
    column("run_key", Text, "What asked for it, such as the DAG run."),
    column("superseded_at", Time, "When a later allocation for the same day replaced it.", null=True),
    column("predictor_id", Id, "Predictor it planned with.", ForeignKey("predictor_versions.predictor_id")),
    column("forecast_id", Id, "Forecast it planned for.", null=True),
    column("gpu_budget", JSON, "GPUs there are, by type."),
    column("gpus_used", JSON, "GPUs it uses, by type."),
    column("status", Text, "How the solver ended."),
    column("objective", Double, "Expected planned quality less penalties and change costs, quality units.", null=True),
    column("bound", Double, "Proven upper bound of the objective.", null=True),
    column("gap", Double, "(bound − objective) / bound in value served.", null=True),
    column("change", Text, "Difference from the allocation of the day before, in words."),
    column("evidence", JSON, "Shadow prices of GPUs, alternatives and what else explains it."),
    column("seed", BigInteger, "Seed of the sample that stood for the mix."),
    column("created_at", Time, "When it was made."),
    UniqueConstraint("for_date", "attempt"),
    comment="One row per allocation of instances to a day. The one not superseded counts.",
)

instance_allocations = Table(
    "instance_allocations",
    metadata,
    column(
        "allocation_id",
        Id,
        "Allocation.",
        ForeignKey("allocations.allocation_id"),
        primary_key=True,
        autoincrement=False,
    ),
    column("model", Text, "Self-hosted model.", primary_key=True),
    column("instances", Integer, "Instances to run."),
    column("previous_instances", Integer, "Instances of the day before; null if there was no allocation.", null=True),
    column("gpu_type", Text, "Type of GPU."),
    column("gpus", Integer, "GPUs those instances take."),
    column("capacity_per_batch", BigInteger, "Queries those instances hold in a batch."),
    column("utilisation", Double, "Share of the night's capacity that the expected mix uses.", null=True),
    comment="One row per allocation and self-hosted model.",
)

mix_forecasts = Table(
    "mix_forecasts",
    metadata,
    column("forecast_id", Id, "Forecast the row belongs to.", primary_key=True, autoincrement=False),
    column("task", Text, "Task family; * for the whole day.", primary_key=True),
    column("for_date", Date, "Day that is forecast."),
    column("dt", Date, "Last day of history it knew: for_date − 1."),
    column("method", Text, "Method that won the rolling backtest."),
    column("expected", Double, "Expected queries."),
    column("lower", Double, "Lower end of the 80 % interval, queries."),
    column("upper", Double, "Upper end of the 80 % interval, queries."),
    column(
        "wape", Double, "Weighted absolute percentage error of the method in the backtest; null without one.", null=True
    ),
    column("actual", Double, "Queries that came; null until the backlog arrives.", null=True),
    column("scored_at", Time, "When actual was filled in.", null=True),
    comment="One row per forecast and task family.",
)

cluster_forecasts = Table(
    "cluster_forecasts",
    metadata,
    column("forecast_id", Id, "Forecast the row belongs to.", primary_key=True, autoincrement=False),
    column("cluster", Integer, "Cluster of prompts, from 1, largest first.", primary_key=True, autoincrement=False),
    column("about", Text, "Task that most of its training queries have, and their share."),
    column("predictor_id", Id, "Predictor whose clusters they are.", ForeignKey("predictor_versions.predictor_id")),
    column("seed", BigInteger, "Seed that the clusters were learnt with."),
    column("for_date", Date, "Day that is forecast."),
    column("dt", Date, "Last day of history it knew: for_date − 1."),
    column("method", Text, "Method that won the rolling backtest."),
    column("expected", Double, "Expected queries."),
    column("lower", Double, "Lower end of the 80 % interval, queries."),
    column("upper", Double, "Upper end of the 80 % interval, queries."),
    column(
        "wape", Double, "Weighted absolute percentage error of the method in the backtest; null without one.", null=True
    ),
    column("actual", Double, "Queries that came, by a sample of them; null until the backlog arrives.", null=True),
    column("scored_at", Time, "When actual was filled in.", null=True),
    comment="One row per forecast and cluster of prompts.",
)
