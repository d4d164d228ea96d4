"""Two runs of a night beside each other, in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

_COUNTS = text("SELECT change, count(*) AS queries FROM run_changes WHERE run_a = :a AND run_b = :b GROUP BY change")
_BY_MODEL = text(
    "SELECT model, sum(in_a) AS assigned_a, sum(in_b) AS assigned_b, sum(in_a * in_b) AS kept, "
    "sum(usd_a) AS planned_spend_a_usd, sum(usd_b) AS planned_spend_b_usd FROM ("
    "SELECT model_a AS model, 1 AS in_a, CASE WHEN model_b = model_a THEN 1 ELSE 0 END AS in_b, cost_a_usd AS usd_a, "
    "CASE WHEN model_b = model_a THEN cost_b_usd ELSE 0.0 END AS usd_b "
    "FROM run_changes WHERE run_a = :a AND run_b = :b AND model_a IS NOT NULL "
    "UNION ALL "
    "SELECT model_b, 0, 1, 0.0, cost_b_usd "
    "FROM run_changes WHERE run_a = :a AND run_b = :b AND model_b IS NOT NULL "
    "AND (model_a IS NULL OR model_a <> model_b)) AS sides GROUP BY model ORDER BY model"
)


def changes(connection: Connection, run_a: int, run_b: int) -> dict[str, int]:
    """Queries by what became of them from one run to the other."""
    rows = connection.execute(_COUNTS, {"a": run_a, "b": run_b})
    return {row.change: int(row.queries) for row in rows}


def by_model(connection: Connection, run_a: int, run_b: int) -> list[dict[str, Any]]:
    """For each model of either run: queries in one, in the other, in both, and what they are expected to cost."""
    rows = connection.execute(_BY_MODEL, {"a": run_a, "b": run_b}).mappings()
    whole = ("assigned_a", "assigned_b", "kept")
    return [{name: int(row[name]) if name in whole else row[name] for name in row} for row in rows]
