"""What the command line, the dashboard and the demo show of a night: read-only, aggregates made in SQL."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection

from routing_core.errors import NotFoundError
from routing_core.settings import Settings
from routing_core.store import allocations, results, versions
from routing_core.store.database import reading

_STATUS = (
    "run_id",
    "assigned",
    "deferred",
    "rejected",
    "budget_usd",
    "planned_spend_usd",
    "objective",
    "bound",
    "gap",
    "expected_quality",
)
_MORE = (
    "attempt",
    "backlog_rows",
    "carried_rows",
    "planning_budget_usd",
    "cost_margin",
    "batching",
    "batches",
    "robust_method",
    "robust_level",
    "solver_status",
    "degraded",
    "predictor_id",
    "allocation_id",
    "seed",
    "unfamiliar_share",
)


def status(dt: date, settings: Settings) -> dict[str, Any]:
    """The figures of the current run of a night, flat.

    Returns
    -------
    dict
        dt, run_id, assigned, deferred, rejected (queries), budget_usd, planned_spend_usd, objective,
        bound (quality units), gap, expected_quality, sealed, how it was planned, and its receipt:
        gain_pct_over_* and verdict_over_* each rival.

    Raises
    ------
    NotFoundError
        If no run of the date is current.
    """
    with reading(settings) as connection:
        return _status(connection, dt)


def night_report(dt: date, settings: Settings) -> dict[str, Any]:
    """Everything a person wants to see of a night.

    Returns
    -------
    dict
        night (as :func:`status`), and lists of rows: utilisation, comparisons, prices, deferrals,
        rejections; fleet (words) and verdict (words) where there are any; database.
    """
    with reading(settings) as connection:
        night = _status(connection, dt)
        allocation = allocations.allocation_for(connection, dt)
        verdict = versions.verdict_of(connection, dt)
        return {
            "night": night,
            "utilisation": results.view_rows(connection, "utilisation", dt, "assigned DESC, model"),
            "comparisons": results.view_rows(connection, "comparisons", dt, "expected_quality DESC, policy"),
            "prices": results.view_rows(connection, "prices", dt, "binding DESC, price DESC, constraint_name, subject"),
            "deferrals": results.view_rows(connection, "deferrals", dt, "queries DESC, cause, task"),
            "rejections": results.view_rows(connection, "rejections", dt, "queries DESC, reason, partition"),
            "fleet": allocation.change if allocation else None,
            "verdict": f"{verdict.decision}: {verdict.reason}" if verdict else None,
        }


def _status(connection: Connection, dt: date) -> dict[str, Any]:
    row = results.night(connection, dt)
    if row is None:
        raise NotFoundError(f"no run of {dt} is current", remedy=f"routing route --dt {dt}")
    figures = row._mapping
    return {
        "dt": dt.isoformat(),
        **{name: figures[name] for name in (*_STATUS, *_MORE)},
        "sealed": row.sealed_at is not None,
        **_receipt(connection, dt),
    }


def _receipt(connection: Connection, dt: date) -> dict[str, Any]:
    """The receipt, flat: by how many per cent the plan beats each rival, and whether that is more than chance."""
    rivals = [row for row in results.view_rows(connection, "comparisons", dt, "policy") if row["gain"] is not None]
    return {
        f"{what}_{row['policy']}": row[column]
        for row in rivals
        for what, column in (("gain_pct_over", "gain_pct"), ("verdict_over", "verdict"))
    }
