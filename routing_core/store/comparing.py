"""Two runs of a night beside each other, in SQL: what the view ``run_changes`` says of all, for one pair and fast."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

_SIDE = """
    SELECT query_id, '{side}' AS side, 'assigned' AS decision, model, cost_usd
    FROM assignments WHERE run_id = :{side}
    UNION ALL SELECT query_id, '{side}', 'deferred', NULL, 0.0 FROM deferred_queries WHERE run_id = :{side}
    UNION ALL SELECT query_id, '{side}', 'rejected', NULL, 0.0 FROM rejected_queries
    WHERE run_id = :{side} AND reason IN ('expired', 'no_eligible_model')
"""
_PAIRS = f"""
    WITH pairs AS (
        SELECT
            max(CASE WHEN side = 'a' THEN decision END) AS decision_a,
            max(CASE WHEN side = 'b' THEN decision END) AS decision_b,
            max(CASE WHEN side = 'a' THEN model END) AS model_a,
            max(CASE WHEN side = 'b' THEN model END) AS model_b,
            max(CASE WHEN side = 'a' THEN cost_usd END) AS cost_a,
            max(CASE WHEN side = 'b' THEN cost_usd END) AS cost_b
        FROM ({_SIDE.format(side="a")} UNION ALL {_SIDE.format(side="b")}) AS sides
        GROUP BY query_id
    )
"""  # noqa: S608 — fixed names
_CHANGES = text(
    f"{_PAIRS} SELECT decision_a, decision_b, CASE WHEN model_a = model_b THEN 1 ELSE 0 END AS is_same, "  # noqa: S608
    "count(*) AS queries FROM pairs GROUP BY 1, 2, 3"
)
_MODELS = text(
    f"{_PAIRS} SELECT model_a, model_b, count(*) AS queries, sum(cost_a) AS usd_a, sum(cost_b) AS usd_b "  # noqa: S608
    "FROM pairs WHERE model_a IS NOT NULL OR model_b IS NOT NULL GROUP BY model_a, model_b"
)


def changes(connection: Connection, run_a: int, run_b: int) -> dict[str, int]:
    """Queries by what became of them from one run to the other."""
    counts: dict[str, int] = {}
    for row in connection.execute(_CHANGES, {"a": run_a, "b": run_b}):
        change = _change(row.decision_a, row.decision_b, bool(row.is_same))
        counts[change] = counts.get(change, 0) + int(row.queries)
    return counts


def by_model(connection: Connection, run_a: int, run_b: int) -> list[dict[str, Any]]:
    """For each model of either run: queries in one, in the other, in both, and what they are expected to cost."""
    models: dict[str, dict[str, Any]] = {}

    def of(model: str) -> dict[str, Any]:
        nothing = {"assigned_a": 0, "assigned_b": 0, "kept": 0, "planned_spend_a_usd": 0.0, "planned_spend_b_usd": 0.0}
        return models.setdefault(model, {"model": model, **nothing})

    for row in connection.execute(_MODELS, {"a": run_a, "b": run_b}):
        for side, model, usd in (("a", row.model_a, row.usd_a), ("b", row.model_b, row.usd_b)):
            if model is not None:
                of(model)[f"assigned_{side}"] += int(row.queries)
                of(model)[f"planned_spend_{side}_usd"] += float(usd)
        if row.model_a is not None and row.model_a == row.model_b:
            of(row.model_a)["kept"] += int(row.queries)
    return [models[name] for name in sorted(models)]


def _change(before: str | None, after: str | None, is_same_model: bool) -> str:
    if before is None or after is None:
        return "only_in_b" if before is None else "only_in_a"
    if before == after == "assigned":
        return "same_model" if is_same_model else "other_model"
    return f"still_{after}" if before == after else f"now_{after}"
