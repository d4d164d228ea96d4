"""The results schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mix_forecasts",
        sa.Column(
            "forecast_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="Forecast the row belongs to.",
        ),
        sa.Column("task", sa.Text(), nullable=False, comment="Task family; * for the whole day."),
        sa.Column("for_date", sa.Date(), nullable=False, comment="Day that is forecast."),
        sa.Column("dt", sa.Date(), nullable=False, comment="Last day of history it knew: for_date − 1."),
        sa.Column("method", sa.Text(), nullable=False, comment="Method that won the rolling backtest."),
        sa.Column("expected", sa.Double(), nullable=False, comment="Expected queries."),
        sa.Column("lower", sa.Double(), nullable=False, comment="Lower end of the 80 % interval, queries."),
        sa.Column("upper", sa.Double(), nullable=False, comment="Upper end of the 80 % interval, queries."),
        sa.Column(
            "wape",
            sa.Double(),
            nullable=True,
            comment="Weighted absolute percentage error of the method in the backtest; null without one.",
        ),
        sa.Column("actual", sa.Double(), nullable=True, comment="Queries that came; null until the backlog arrives."),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=True, comment="When actual was filled in."),
        sa.PrimaryKeyConstraint("forecast_id", "task", name=op.f("pk_mix_forecasts")),
        comment="One row per forecast and task family.",
    )
    op.create_table(
        "predictor_versions",
        sa.Column(
            "predictor_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Identifier, increasing.",
        ),
        sa.Column(
            "dt", sa.Date(), nullable=False, comment="Last day of outcomes it may have seen: the day of the verdict."
        ),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="Number of the verdict among those for dt, from 1."),
        sa.Column("run_key", sa.Text(), nullable=False, comment="What asked for it, such as the DAG run."),
        sa.Column(
            "decision",
            sa.Text(),
            nullable=False,
            comment="promoted, kept (the champion stays) or refused (the exam could not be held).",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why, in words."),
        sa.Column(
            "superseded_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When a later verdict for the same dt replaced it.",
        ),
        sa.Column("trained_through", sa.Date(), nullable=False, comment="Last day of outcomes it learnt from."),
        sa.Column(
            "champion_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="Champion it was judged against.",
        ),
        sa.Column("recipe", sa.JSON(), nullable=False, comment="Every choice that made it."),
        sa.Column(
            "content_hash",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of its arrays and parameters; also its artifact's name.",
        ),
        sa.Column("outcomes", sa.BigInteger(), nullable=False, comment="Outcomes it learnt from."),
        sa.Column(
            "rejected_outcomes",
            sa.BigInteger(),
            nullable=False,
            comment="Outcome rows that broke the contract and were left out.",
        ),
        sa.Column(
            "champion_quality", sa.Double(), nullable=True, comment="Held-out routing quality of the champion's recipe."
        ),
        sa.Column("challenger_quality", sa.Double(), nullable=True, comment="Held-out routing quality of this recipe."),
        sa.Column(
            "difference_lower",
            sa.Double(),
            nullable=True,
            comment="Lower end of the interval of challenger less champion.",
        ),
        sa.Column(
            "difference_upper",
            sa.Double(),
            nullable=True,
            comment="Upper end of the interval of challenger less champion.",
        ),
        sa.Column("robust_method", sa.Text(), nullable=False, comment="How lower estimates are made, as selected."),
        sa.Column(
            "robust_level", sa.Double(), nullable=True, comment="Level of the lower estimates; null plans on the mean."
        ),
        sa.Column(
            "cost_margin",
            sa.Double(),
            nullable=False,
            comment="Factor between realised and planned spend to be covered, at least 1.",
        ),
        sa.Column(
            "evidence",
            sa.JSON(),
            nullable=False,
            comment="Figures behind the robust level, the margin and the verdict.",
        ),
        sa.Column("seed", sa.BigInteger(), nullable=False, comment="Seed it was trained with."),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When the verdict was given."),
        sa.CheckConstraint("decision IN ('promoted', 'kept', 'refused')", name=op.f("ck_predictor_versions_decision")),
        sa.ForeignKeyConstraint(
            ["champion_id"], ["predictor_versions.predictor_id"], name=op.f("fk_predictor_versions_champion_id")
        ),
        sa.PrimaryKeyConstraint("predictor_id", name=op.f("pk_predictor_versions")),
        sa.UniqueConstraint("dt", "attempt", name=op.f("uq_predictor_versions_dt_attempt")),
        comment="One row per verdict on a challenger. The newest promoted one that is not superseded reigns.",
    )
    op.create_table(
        "allocations",
        sa.Column(
            "allocation_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Identifier, increasing.",
        ),
        sa.Column("for_date", sa.Date(), nullable=False, comment="Day whose backlog it serves."),
        sa.Column("dt", sa.Date(), nullable=False, comment="Last day it knew of: for_date − 1."),
        sa.Column(
            "attempt",
            sa.Integer(),
            nullable=False,
            comment="Number of the allocation among those for for_date, from 1.",
        ),
        sa.Column("run_key", sa.Text(), nullable=False, comment="What asked for it, such as the DAG run."),
        sa.Column(
            "superseded_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When a later allocation for the same day replaced it.",
        ),
        sa.Column(
            "predictor_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Predictor it planned with.",
        ),
        sa.Column(
            "forecast_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="Forecast it planned for.",
        ),
        sa.Column("gpu_budget", sa.JSON(), nullable=False, comment="GPUs there are, by type."),
        sa.Column("gpus_used", sa.JSON(), nullable=False, comment="GPUs it uses, by type."),
        sa.Column("status", sa.Text(), nullable=False, comment="How the solver ended."),
        sa.Column(
            "objective",
            sa.Double(),
            nullable=True,
            comment="Expected planned quality less penalties and change costs, quality units.",
        ),
        sa.Column("bound", sa.Double(), nullable=True, comment="Proven upper bound of the objective."),
        sa.Column("gap", sa.Double(), nullable=True, comment="(bound − objective) / bound in value served."),
        sa.Column(
            "change", sa.Text(), nullable=False, comment="Difference from the allocation of the day before, in words."
        ),
        sa.Column(
            "evidence",
            sa.JSON(),
            nullable=False,
            comment="Shadow prices of GPUs, alternatives and what else explains it.",
        ),
        sa.Column("seed", sa.BigInteger(), nullable=False, comment="Seed of the sample that stood for the mix."),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="When it was made."),
        sa.ForeignKeyConstraint(
            ["predictor_id"], ["predictor_versions.predictor_id"], name=op.f("fk_allocations_predictor_id")
        ),
        sa.PrimaryKeyConstraint("allocation_id", name=op.f("pk_allocations")),
        sa.UniqueConstraint("for_date", "attempt", name=op.f("uq_allocations_for_date_attempt")),
        comment="One row per allocation of instances to a day. The one not superseded counts.",
    )
    op.create_table(
        "instance_allocations",
        sa.Column(
            "allocation_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="Allocation.",
        ),
        sa.Column("model", sa.Text(), nullable=False, comment="Self-hosted model."),
        sa.Column("instances", sa.Integer(), nullable=False, comment="Instances to run."),
        sa.Column(
            "previous_instances",
            sa.Integer(),
            nullable=True,
            comment="Instances of the day before; null if there was no allocation.",
        ),
        sa.Column("gpu_type", sa.Text(), nullable=False, comment="Type of GPU."),
        sa.Column("gpus", sa.Integer(), nullable=False, comment="GPUs those instances take."),
        sa.Column(
            "capacity_per_batch", sa.BigInteger(), nullable=False, comment="Queries those instances hold in a batch."
        ),
        sa.Column(
            "utilisation",
            sa.Double(),
            nullable=True,
            comment="Share of the night's capacity that the expected mix uses.",
        ),
        sa.ForeignKeyConstraint(
            ["allocation_id"], ["allocations.allocation_id"], name=op.f("fk_instance_allocations_allocation_id")
        ),
        sa.PrimaryKeyConstraint("allocation_id", "model", name=op.f("pk_instance_allocations")),
        comment="One row per allocation and self-hosted model.",
    )
    op.create_table(
        "routing_runs",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Identifier, increasing in the order runs were opened.",
        ),
        sa.Column("dt", sa.Date(), nullable=False, comment="Day whose backlog is planned."),
        sa.Column(
            "execution_date",
            sa.Date(),
            nullable=False,
            comment="Day the plan is executed, at whose prices it is planned: dt + 1.",
        ),
        sa.Column(
            "attempt", sa.Integer(), nullable=False, comment="Number of the run among those opened for dt, from 1."
        ),
        sa.Column(
            "run_key",
            sa.Text(),
            nullable=False,
            comment="What opened it, such as the DAG run; a retry with the same key gets the same run.",
        ),
        sa.Column(
            "status", sa.Text(), nullable=False, comment="staged, checked, current, superseded, failed or shadow."
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False, comment="When it was opened."),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True, comment="When its checks passed."),
        sa.Column(
            "published_at", sa.DateTime(timezone=True), nullable=True, comment="When it became current or shadow."
        ),
        sa.Column(
            "superseded_at", sa.DateTime(timezone=True), nullable=True, comment="When another run took its place."
        ),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True, comment="When it failed."),
        sa.Column("failure", sa.Text(), nullable=True, comment="Why it failed."),
        sa.Column(
            "sealed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the plan was handed out to be executed; never replaced in silence after.",
        ),
        sa.Column(
            "supersedes_run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="Run it took the place of.",
        ),
        sa.Column("replan", sa.Boolean(), nullable=False, comment="Whether it was told to replace a sealed run."),
        sa.Column(
            "solve_attempt", sa.Integer(), nullable=False, comment="Newest attempt that may solve it; 0 before any."
        ),
        sa.Column("dry_run", sa.Boolean(), nullable=False, comment="Whether it stops before publishing."),
        sa.Column(
            "degraded",
            sa.Text(),
            nullable=False,
            comment="What it had to go on without, comma-separated; empty if nothing.",
        ),
        sa.Column("code_version", sa.Text(), nullable=False, comment="Version of Nightshift that planned it."),
        sa.Column("settings", sa.JSON(), nullable=False, comment="Settings in force, secrets masked."),
        sa.Column(
            "options",
            sa.JSON(),
            nullable=False,
            comment="What this run was asked to do otherwise than the settings say.",
        ),
        sa.Column("seed", sa.BigInteger(), nullable=False, comment="Seed of everything that draws."),
        sa.Column("batching", sa.Text(), nullable=False, comment="planned or arrival."),
        sa.Column("batches", sa.Integer(), nullable=False, comment="Batches in the night."),
        sa.Column("catalog_hash", sa.Text(), nullable=True, comment="SHA-256 of the catalog in force."),
        sa.Column(
            "predictor_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="Predictor it planned with.",
        ),
        sa.Column(
            "allocation_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="Allocation it planned with.",
        ),
        sa.Column(
            "carried_from_run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="Run whose deferred queries it took up.",
        ),
        sa.Column("robust_method", sa.Text(), nullable=True, comment="How the lower estimates were made."),
        sa.Column(
            "robust_level", sa.Double(), nullable=True, comment="Level of the lower estimates; null plans on the mean."
        ),
        sa.Column(
            "backlog_rows", sa.BigInteger(), nullable=True, comment="Rows of the backlog of dt, broken ones included."
        ),
        sa.Column("carried_rows", sa.BigInteger(), nullable=True, comment="Queries taken up from the night before."),
        sa.Column("assigned", sa.BigInteger(), nullable=True, comment="Queries given to a model."),
        sa.Column("deferred", sa.BigInteger(), nullable=True, comment="Queries left to the next night."),
        sa.Column("rejected", sa.BigInteger(), nullable=True, comment="Rows that cannot be routed."),
        sa.Column("budget_usd", sa.Double(), nullable=False, comment="Budget of the night, USD."),
        sa.Column(
            "cost_margin",
            sa.Double(),
            nullable=True,
            comment="Factor by which planned spend stays below the budget, at least 1.",
        ),
        sa.Column(
            "planning_budget_usd", sa.Double(), nullable=True, comment="Budget planned with, after the margin, USD."
        ),
        sa.Column("planned_spend_usd", sa.Double(), nullable=True, comment="Predicted cost of the assignments, USD."),
        sa.Column(
            "expected_quality", sa.Double(), nullable=True, comment="Mean predicted quality of the assigned queries."
        ),
        sa.Column(
            "objective",
            sa.Double(),
            nullable=True,
            comment="Planned quality served less the penalties of the deferred, quality units.",
        ),
        sa.Column("bound", sa.Double(), nullable=True, comment="Proven upper bound of the objective, quality units."),
        sa.Column("gap", sa.Double(), nullable=True, comment="(bound − objective) / bound in value served."),
        sa.Column("solver_status", sa.Text(), nullable=True, comment="How the solver ended."),
        sa.Column("passes", sa.Integer(), nullable=True, comment="Passes over the matrices for the prices."),
        sa.Column("core_queries", sa.BigInteger(), nullable=True, comment="Queries decided by the exact solver."),
        sa.Column(
            "unfamiliar_share",
            sa.Double(),
            nullable=True,
            comment="Share of the queries far from what the predictor learnt from.",
        ),
        sa.Column("timings", sa.JSON(), nullable=True, comment="Seconds of each stage."),
        sa.CheckConstraint("batching IN ('planned', 'arrival')", name=op.f("ck_routing_runs_batching")),
        sa.CheckConstraint(
            "status IN ('staged', 'checked', 'current', 'superseded', 'failed', 'shadow')",
            name=op.f("ck_routing_runs_status"),
        ),
        sa.ForeignKeyConstraint(
            ["allocation_id"], ["allocations.allocation_id"], name=op.f("fk_routing_runs_allocation_id")
        ),
        sa.ForeignKeyConstraint(
            ["carried_from_run_id"], ["routing_runs.run_id"], name=op.f("fk_routing_runs_carried_from_run_id")
        ),
        sa.ForeignKeyConstraint(
            ["predictor_id"], ["predictor_versions.predictor_id"], name=op.f("fk_routing_runs_predictor_id")
        ),
        sa.ForeignKeyConstraint(
            ["supersedes_run_id"], ["routing_runs.run_id"], name=op.f("fk_routing_runs_supersedes_run_id")
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_routing_runs")),
        sa.UniqueConstraint("dt", "attempt", name=op.f("uq_routing_runs_dt_attempt")),
        sa.UniqueConstraint("dt", "run_key", name=op.f("uq_routing_runs_dt_run_key")),
        comment="One row per attempt to plan a night. At most one of a dt is current.",
    )
    op.create_index(
        "uq_routing_runs_current_dt",
        "routing_runs",
        ["dt"],
        unique=True,
        sqlite_where=sa.text("status = 'current'"),
        postgresql_where=sa.text("status = 'current'"),
    )
    op.create_table(
        "assignments",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Run the row belongs to.",
        ),
        sa.Column("query_id", sa.Text(), nullable=False, comment="Query."),
        sa.Column("dt", sa.Date(), nullable=False, comment="Day whose backlog is planned."),
        sa.Column("first_dt", sa.Date(), nullable=False, comment="Day of the backlog the query first appeared in."),
        sa.Column("partition", sa.Text(), nullable=False, comment="Name of the file it came in."),
        sa.Column("chunk", sa.Integer(), nullable=False, comment="Chunk that wrote the row."),
        sa.Column("batch_no", sa.Integer(), nullable=False, comment="Batch of the night it runs in, from 1."),
        sa.Column("model", sa.Text(), nullable=False, comment="Model that answers it."),
        sa.Column("task", sa.Text(), nullable=False, comment="Task family."),
        sa.Column("team", sa.Text(), nullable=True, comment="Team whose budget pays."),
        sa.Column("mean_quality", sa.Double(), nullable=False, comment="Expected quality."),
        sa.Column("planned_quality", sa.Double(), nullable=False, comment="Quality planned with: the lower estimate."),
        sa.Column("cost_usd", sa.Double(), nullable=False, comment="Expected cost, USD."),
        sa.Column(
            "runner_up",
            sa.Text(),
            nullable=True,
            comment="Second best model at the night's prices; null if none is eligible.",
        ),
        sa.Column(
            "regret",
            sa.Double(),
            nullable=True,
            comment="What the runner-up is worse by at the night's prices, quality units.",
        ),
        sa.Column(
            "candidates",
            sa.BigInteger(),
            nullable=True,
            comment="Eligible models, as bits of run_models.position; null above 63 models.",
        ),
        sa.Column(
            "propensity", sa.Double(), nullable=False, comment="Probability with which the policy chose the model."
        ),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_assignments_run_id")),
        sa.PrimaryKeyConstraint("run_id", "query_id", name=op.f("pk_assignments")),
        comment="One row per query that a run gives to a model.",
    )
    op.create_index(op.f("ix_assignments_query_id"), "assignments", ["query_id"], unique=False)
    op.create_table(
        "batches",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Run the row belongs to.",
        ),
        sa.Column("batch_no", sa.Integer(), nullable=False, comment="Batch of the night, from 1."),
        sa.Column("model", sa.Text(), nullable=False, comment="Model."),
        sa.Column("assigned", sa.BigInteger(), nullable=False, comment="Queries it answers in the batch."),
        sa.Column("planned_spend_usd", sa.Double(), nullable=False, comment="Predicted cost of those, USD."),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_batches_run_id")),
        sa.PrimaryKeyConstraint("run_id", "batch_no", "model", name=op.f("pk_batches")),
        comment="One row per batch and model that has at least one query in it.",
    )
    op.create_table(
        "deferred_queries",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Run the row belongs to.",
        ),
        sa.Column("query_id", sa.Text(), nullable=False, comment="Query."),
        sa.Column("dt", sa.Date(), nullable=False, comment="Day whose backlog is planned."),
        sa.Column("first_dt", sa.Date(), nullable=False, comment="Day of the backlog the query first appeared in."),
        sa.Column("partition", sa.Text(), nullable=False, comment="Name of the file it came in."),
        sa.Column("row", sa.BigInteger(), nullable=False, comment="Row of it in that file, from 0."),
        sa.Column("chunk", sa.Integer(), nullable=False, comment="Chunk that wrote the row."),
        sa.Column("task", sa.Text(), nullable=False, comment="Task family."),
        sa.Column("team", sa.Text(), nullable=True, comment="Team whose budget pays."),
        sa.Column("cause", sa.Text(), nullable=False, comment="Constraint that kept it from being served."),
        sa.Column("penalty", sa.Double(), nullable=False, comment="What leaving it cost the objective, quality units."),
        sa.Column(
            "best_model",
            sa.Text(),
            nullable=True,
            comment="Model that would have served it best at the night's prices.",
        ),
        sa.Column("nights_waited", sa.Integer(), nullable=False, comment="Nights it had waited before this one."),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True, comment="When an answer is last of use."),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_deferred_queries_run_id")),
        sa.PrimaryKeyConstraint("run_id", "query_id", name=op.f("pk_deferred_queries")),
        comment="One row per query that a run leaves to the next night.",
    )
    op.create_index(op.f("ix_deferred_queries_query_id"), "deferred_queries", ["query_id"], unique=False)
    op.create_table(
        "receipts",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Run the row belongs to.",
        ),
        sa.Column("policy", sa.Text(), nullable=False, comment="nightshift, or the policy it is compared with."),
        sa.Column("fallback", sa.Text(), nullable=False, comment="Where the policy's overflow goes."),
        sa.Column("served", sa.BigInteger(), nullable=False, comment="Queries served."),
        sa.Column(
            "expected_quality",
            sa.Double(),
            nullable=False,
            comment="Sum of predicted quality over the served, per routable query.",
        ),
        sa.Column("expected_quality_lower", sa.Double(), nullable=True, comment="Lower end of its 95 % interval."),
        sa.Column("expected_quality_upper", sa.Double(), nullable=True, comment="Upper end of its 95 % interval."),
        sa.Column("planned_spend_usd", sa.Double(), nullable=False, comment="Predicted cost, USD."),
        sa.Column("words", sa.Text(), nullable=False, comment="The comparison in a sentence."),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_receipts_run_id")),
        sa.PrimaryKeyConstraint("run_id", "policy", name=op.f("pk_receipts")),
        comment="One row per run and policy: the same night, caps and budget, decided another way.",
    )
    op.create_table(
        "rejected_queries",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Run the row belongs to.",
        ),
        sa.Column("first_dt", sa.Date(), nullable=False, comment="Day of the backlog partition the file is in."),
        sa.Column("partition", sa.Text(), nullable=False, comment="Name of the file it came in."),
        sa.Column("row", sa.BigInteger(), nullable=False, comment="Row of it in that file, from 0."),
        sa.Column("dt", sa.Date(), nullable=False, comment="Day whose backlog is planned."),
        sa.Column("chunk", sa.Integer(), nullable=False, comment="Chunk that wrote the row."),
        sa.Column("query_id", sa.Text(), nullable=True, comment="Query, where the row has a readable identifier."),
        sa.Column("reason", sa.Text(), nullable=False, comment="malformed, duplicate, no_eligible_model or expired."),
        sa.Column("detail", sa.Text(), nullable=False, comment="Column, rule and value seen."),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_rejected_queries_run_id")),
        sa.PrimaryKeyConstraint("run_id", "first_dt", "partition", "row", name=op.f("pk_rejected_queries")),
        comment="One row per backlog row that cannot be routed.",
    )
    op.create_table(
        "run_chunks",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Run the row belongs to.",
        ),
        sa.Column("chunk", sa.Integer(), nullable=False, comment="Number of the chunk, from 0."),
        sa.Column("source", sa.Text(), nullable=False, comment="backlog, or carried from the night before."),
        sa.Column("partitions", sa.JSON(), nullable=False, comment="Files of the chunk, each as [partition dt, name]."),
        sa.Column(
            "estimate_attempt",
            sa.Integer(),
            nullable=False,
            comment="Newest attempt that may write the chunk's estimates; 0 before any.",
        ),
        sa.Column(
            "estimate_shard",
            sa.Text(),
            nullable=True,
            comment="Directory of the chunk's estimates, under the run's own.",
        ),
        sa.Column(
            "attempt",
            sa.Integer(),
            nullable=False,
            comment="Newest attempt that may write the chunk's rows; 0 before any.",
        ),
        sa.Column(
            "rows",
            sa.BigInteger(),
            nullable=True,
            comment="Rows written: assigned, deferred and rejected together; null before.",
        ),
        sa.Column("checksum", sa.Text(), nullable=True, comment="SHA-256 of the rows as they were copied."),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=True, comment="When the rows were committed."),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_run_chunks_run_id")),
        sa.PrimaryKeyConstraint("run_id", "chunk", name=op.f("pk_run_chunks")),
        comment="One row per chunk of a run; its writers are fenced by attempt.",
    )
    op.create_table(
        "run_inputs",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Run the row belongs to.",
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="backlog, or carried from the night before."),
        sa.Column("partition_dt", sa.Date(), nullable=False, comment="Day of the backlog partition the file is in."),
        sa.Column("partition", sa.Text(), nullable=False, comment="Name of the file in its partition."),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="Size of the file when it was listed, bytes."),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of the file when it was listed."),
        sa.Column(
            "rows", sa.BigInteger(), nullable=False, comment="Rows of the file that belong to the input of the run."
        ),
        sa.CheckConstraint("source IN ('backlog', 'carried')", name=op.f("ck_run_inputs_source")),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_run_inputs_run_id")),
        sa.PrimaryKeyConstraint("run_id", "source", "partition_dt", "partition", name=op.f("pk_run_inputs")),
        comment="One row per input file of a run, as it was when the run listed it.",
    )
    op.create_table(
        "run_models",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Run the row belongs to.",
        ),
        sa.Column("model", sa.Text(), nullable=False, comment="Model."),
        sa.Column(
            "position",
            sa.Integer(),
            nullable=False,
            comment="Place in the catalog's order, from 0; bit of assignments.candidates.",
        ),
        sa.Column("serving", sa.Text(), nullable=False, comment="api or self_hosted."),
        sa.Column("instances", sa.Integer(), nullable=True, comment="Instances that serve it; null for an API model."),
        sa.Column(
            "capacity_per_batch",
            sa.BigInteger(),
            nullable=True,
            comment="Queries it takes in a batch; null is no limit.",
        ),
        sa.Column(
            "input_usd",
            sa.Double(),
            nullable=False,
            comment="Price on the execution date, USD per million input tokens.",
        ),
        sa.Column(
            "output_usd",
            sa.Double(),
            nullable=False,
            comment="Price on the execution date, USD per million output tokens.",
        ),
        sa.Column("assigned", sa.BigInteger(), nullable=False, comment="Queries given to it."),
        sa.Column("planned_spend_usd", sa.Double(), nullable=False, comment="Predicted cost of those, USD."),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_run_models_run_id")),
        sa.PrimaryKeyConstraint("run_id", "model", name=op.f("pk_run_models")),
        comment="One row per model of a run: what it could take, and what it was given.",
    )
    op.create_table(
        "run_teams",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Run the row belongs to.",
        ),
        sa.Column("team", sa.Text(), nullable=False, comment="Team with a budget of its own."),
        sa.Column("budget_usd", sa.Double(), nullable=False, comment="Its budget of the night, USD."),
        sa.Column(
            "cost_margin",
            sa.Double(),
            nullable=False,
            comment="Factor by which its planned spend stays below, at least 1.",
        ),
        sa.Column("assigned", sa.BigInteger(), nullable=False, comment="Its queries given to a model."),
        sa.Column("planned_spend_usd", sa.Double(), nullable=False, comment="Predicted cost of those, USD."),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_run_teams_run_id")),
        sa.PrimaryKeyConstraint("run_id", "team", name=op.f("pk_run_teams")),
        comment="One row per team of a run that has a budget of its own.",
    )
    op.create_table(
        "settlements",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Run the row belongs to.",
        ),
        sa.Column("model", sa.Text(), nullable=False, comment="Model; * for all."),
        sa.Column("task", sa.Text(), nullable=False, comment="Task family; * for all."),
        sa.Column("dt", sa.Date(), nullable=False, comment="Day whose backlog was planned."),
        sa.Column("assigned", sa.BigInteger(), nullable=False, comment="Queries assigned."),
        sa.Column(
            "settled",
            sa.BigInteger(),
            nullable=False,
            comment="Of those, queries with an outcome of the assigned model.",
        ),
        sa.Column("planned_spend_usd", sa.Double(), nullable=False, comment="Predicted cost of the settled, USD."),
        sa.Column("actual_spend_usd", sa.Double(), nullable=False, comment="Cost of the settled, USD."),
        sa.Column("predicted_quality", sa.Double(), nullable=True, comment="Mean predicted quality of the settled."),
        sa.Column("realised_quality", sa.Double(), nullable=True, comment="Mean quality of the settled."),
        sa.Column("settled_through", sa.Date(), nullable=False, comment="Last day of outcomes looked at."),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False, comment="When the row was written."),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_settlements_run_id")),
        sa.PrimaryKeyConstraint("run_id", "model", "task", name=op.f("pk_settlements")),
        comment="One row per settled run, model and task family.",
    )
    op.create_table(
        "shadow_prices",
        sa.Column(
            "run_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="Run the row belongs to.",
        ),
        sa.Column("constraint_name", sa.Text(), nullable=False, comment="budget, team_budget, capacity or deadline."),
        sa.Column(
            "subject", sa.Text(), nullable=False, comment="Team or model it belongs to; * for the budget of the night."
        ),
        sa.Column(
            "price",
            sa.Double(),
            nullable=False,
            comment="Expected quality that one more unit would add, quality units per unit.",
        ),
        sa.Column("unit", sa.Text(), nullable=False, comment="USD, or query over the night."),
        sa.Column("binding", sa.Boolean(), nullable=False, comment="Whether the constraint is what limits the night."),
        sa.Column("words", sa.Text(), nullable=False, comment="The same in a sentence."),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_shadow_prices_run_id")),
        sa.PrimaryKeyConstraint("run_id", "constraint_name", "subject", name=op.f("pk_shadow_prices")),
        comment="One row per priced constraint of a run.",
    )


def downgrade() -> None:
    op.drop_table("shadow_prices")
    op.drop_table("settlements")
    op.drop_table("run_teams")
    op.drop_table("run_models")
    op.drop_table("run_inputs")
    op.drop_table("run_chunks")
    op.drop_table("rejected_queries")
    op.drop_table("receipts")
    op.drop_index(op.f("ix_deferred_queries_query_id"), table_name="deferred_queries")
    op.drop_table("deferred_queries")
    op.drop_table("batches")
    op.drop_index(op.f("ix_assignments_query_id"), table_name="assignments")
    op.drop_table("assignments")
    op.drop_index(
        "uq_routing_runs_current_dt",
        table_name="routing_runs",
        sqlite_where=sa.text("status = 'current'"),
        postgresql_where=sa.text("status = 'current'"),
    )
    op.drop_table("routing_runs")
    op.drop_table("instance_allocations")
    op.drop_table("allocations")
    op.drop_table("predictor_versions")
    op.drop_table("mix_forecasts")
