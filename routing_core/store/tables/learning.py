"""Verdicts on predictors."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Date, Double, ForeignKey, Integer, Table, Text, UniqueConstraint

from routing_core.store.tables.declare import Id, Time, column, is_one_of, metadata

predictor_versions = Table(
    "predictor_versions",
    metadata,
    column("predictor_id", Id, "Identifier, increasing.", primary_key=True),
    column("dt", Date, "Last day of outcomes it may have seen: the day of the verdict."),
    column("attempt", Integer, "Number of the verdict among those for dt, from 1."),
    column("run_key", Text, "What asked for it, such as the DAG run."),
    column("decision", Text, "promoted, kept (the champion stays) or refused (the exam could not be held)."),
    column("reason", Text, "Why, in words."),
    column("superseded_at", Time, "When a later verdict for the same dt replaced it.", null=True),
    column("trained_through", Date, "Last day of outcomes it learnt from."),
    column(
        "champion_id", Id, "Champion it was judged against.", ForeignKey("predictor_versions.predictor_id"), null=True
    ),
    column("recipe", JSON, "Every choice that made it."),
    column("content_hash", Text, "SHA-256 of its arrays and parameters; also its artifact's name."),
    column("outcomes", BigInteger, "Outcomes it learnt from."),
    column("rejected_outcomes", BigInteger, "Outcome rows that broke the contract and were left out."),
    column("champion_quality", Double, "Held-out routing quality of the champion's recipe.", null=True),
    column("challenger_quality", Double, "Held-out routing quality of this recipe.", null=True),
    column("difference_lower", Double, "Lower end of the interval of challenger less champion.", null=True),
    column("difference_upper", Double, "Upper end of the interval of challenger less champion.", null=True),
    column("robust_method", Text, "How lower estimates are made, as selected."),
    column("robust_level", Double, "Level of the lower estimates; null plans on the mean.", null=True),
    column("cost_margin", Double, "Factor between realised and planned spend to be covered, at least 1."),
    column("robust_reason", Text, "Why this level: what it gained on held-out nights, or no gain.", null=True),
    column("mix_distance", Double, "Total variation of task shares, days learnt from to days of the exam.", null=True),
    column("exam_unfamiliar_share", Double, "Share of exam queries unlike those learnt from.", null=True),
    column("calibration_error", Double, "Expected calibration error of this recipe on the exam.", null=True),
    column("quality_shift", Double, "Largest realised less predicted quality of a model in the exam.", null=True),
    column("quality_shift_model", Text, "The model it was seen with.", null=True),
    column("evidence", JSON, "Figures behind the robust level, the margin and the verdict."),
    column("seed", BigInteger, "Seed it was trained with."),
    column("created_at", Time, "When the verdict was given."),
    UniqueConstraint("dt", "attempt"),
    is_one_of("decision", "promoted", "kept", "refused"),
    comment="One row per verdict on a challenger. The newest promoted one that is not superseded reigns.",
)
