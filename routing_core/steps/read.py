"""What the command line, the dashboard and the demo show of a night: read-only, aggregates made in SQL."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection

from routing_core.errors import DateError, NotFoundError
from routing_core.settings import Settings
from routing_core.steps.watch import night_alerts, settlement_alerts, verdict_alerts
from routing_core.store import allocations, holds, results, versions
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
    "gpu_usd",
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

_CAME = ("actual_spend_usd", "projected_spend_usd", "realised_quality", "predicted_quality", "overspent")

MOST_NIGHTS = 1100
"""Most nights of a range."""

MOST_COUNTED = 92
"""Most nights of a range whose deferred queries are counted one by one."""

MOST_VERDICTS = 60
"""Most verdicts shown of a champion's history."""

MOST_STEPS = 120
"""Most steps that the batches of a night are shown in."""


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
        night (as :func:`status`); lists of rows as the views of that name have them: utilisation, comparisons, prices,
        deferrals, rejections, fleet_rows, teams (with a budget of their own), champions (the last verdicts up to dt);
        quality (by model, once settled); settled and overspends (one row each, or None); fleet, verdict, held, run_key
        and overspend (words) where there are any; alerts, words for what somebody should be told.
    """
    alerts = [*night_alerts(dt, settings), *settlement_alerts(dt, settings), *verdict_alerts(dt, settings)]
    with reading(settings) as connection:
        night = _status(connection, dt)
        allocation = allocations.allocation_for(connection, dt)
        verdict = versions.verdict_of(connection, dt)
        held = holds.open_hold(connection, dt)
        settled = next(iter(results.view_rows(connection, "settled", dt, "run_id DESC")), None)
        risk = _overspend(connection, dt)
        return {
            "night": night,
            "utilisation": results.view_rows(connection, "utilisation", dt, "assigned DESC, model"),
            "teams": [dict(row._mapping) for row in results.teams_of(connection, night["run_id"])],
            "comparisons": results.view_rows(connection, "comparisons", dt, "expected_quality DESC, policy"),
            "prices": results.view_rows(connection, "prices", dt, "binding DESC, price DESC, constraint_name, subject"),
            "deferrals": results.view_rows(connection, "deferrals", dt, "queries DESC, cause, task"),
            "rejections": results.view_rows(connection, "rejections", dt, "queries DESC, reason, partition"),
            "fleet_rows": results.view_rows(connection, "fleet", dt, "model", day="for_date"),
            "champions": results.newest(connection, "promotions", dt, MOST_VERDICTS),
            "settled": settled,
            "quality": results.settled_models(connection, settled["run_id"]) if settled else [],
            "overspends": risk,
            "overspend": _overspend_words(night, risk),
            "fleet": allocation.change if allocation else None,
            "verdict": f"{verdict.decision}: {verdict.reason}" if verdict else None,
            "held": held.reason if held else None,
            "alerts": [alert.words for alert in alerts],
            "run_key": results.night(connection, dt).run_key,  # type: ignore[union-attr]
        }


def nights(first: date, last: date, settings: Settings) -> dict[str, Any]:
    """The nights of a range, one row each, and their sums.

    Parameters
    ----------
    first, last : date
        Both included.
    settings : Settings

    Returns
    -------
    dict
        first, last; nights: rows of the view ``nights``, with actual_spend_usd, projected_spend_usd, realised_quality,
        predicted_quality (of the settled) and overspent of the view ``settled``, None before; totals: assigned,
        deferred, rejected (queries), budget_usd, planned_spend_usd, actual_spend_usd, expected_quality (mean over the
        assigned); causes: deferred queries by cause, None for more than ``MOST_COUNTED`` nights; champions.

    Raises
    ------
    DateError
        If the range is empty or longer than ``MOST_NIGHTS``.
    """
    days = (last - first).days + 1
    if not 1 <= days <= MOST_NIGHTS:
        raise DateError(f"a range must have 1 to {MOST_NIGHTS} nights, {first} to {last} has {days}")
    with reading(settings) as connection:
        rows = [_shown_night(row) for row in results.view_between(connection, "nights", first, last, "dt")]
        settled = {
            str(row["dt"]): row for row in results.view_between(connection, "settled", first, last, "dt, run_id")
        }
        for row in rows:
            came = settled.get(row["dt"], {})
            row.update({name: came.get(name) for name in _CAME})
        return {
            "first": first.isoformat(),
            "last": last.isoformat(),
            "nights": rows,
            "totals": _totals(rows),
            "causes": results.causes_between(connection, first, last) if days <= MOST_COUNTED else None,
            "champions": results.view_between(connection, "promotions", first, last, "dt"),
        }


def extent(settings: Settings) -> dict[str, Any]:
    """First and last night that has a plan (None without any), and how many have one."""
    with reading(settings) as connection:
        first, last, count = results.extent(connection)
    return {"first": first and str(first), "last": last and str(last), "nights": count}


def through_batches(dt: date, settings: Settings) -> dict[str, Any]:
    """How full each model is through the batches of a night.

    Returns
    -------
    dict
        dt, run_id, batches, size (batches taken together, so that there are at most ``MOST_STEPS`` steps), and models:
        of each that has a query model, capacity (queries per step; None is no limit) and assigned (queries, per step).
    """
    with reading(settings) as connection:
        night = _status(connection, dt)
        size = max(1, -(-int(night["batches"]) // MOST_STEPS))
        steps = -(-int(night["batches"]) // size)
        models = {row.model: row for row in results.models_of(connection, night["run_id"])}
        assigned: dict[str, list[int]] = {}
        for row in results.through_batches(connection, night["run_id"], size):
            series = assigned.setdefault(row["model"], [0] * steps)
            series[(row["first_batch"] - 1) // size] = row["assigned"]
    slots = {name: models[name].capacity_per_batch for name in assigned}
    return {
        "dt": dt.isoformat(),
        "run_id": night["run_id"],
        "batches": night["batches"],
        "size": size,
        "models": [
            {"model": name, "capacity": None if slots[name] is None else slots[name] * size, "assigned": assigned[name]}
            for name in models
            if name in assigned
        ],
    }


def night_of_key(run_key: str, settings: Settings) -> dict[str, Any]:
    """The night that a DAG run, or whatever else has this key, is about.

    Raises
    ------
    NotFoundError
        If it has left nothing.
    """
    with reading(settings) as connection:
        dt = results.night_of_key(connection, run_key)
    if dt is None:
        raise NotFoundError(f"{run_key!r} has left no night, verdict or allocation")
    return {"dt": dt.isoformat(), "run_key": run_key}


def _shown_night(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the view ``nights`` with its times as text, the same from both databases."""
    return {**row, "dt": str(row["dt"]), "execution_date": str(row["execution_date"])}


def _totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    sums = {
        name: sum(row[name] or 0 for row in rows)
        for name in ("assigned", "deferred", "rejected", "budget_usd", "planned_spend_usd")
    }
    actual = [row["actual_spend_usd"] for row in rows if row["actual_spend_usd"] is not None]
    served = sum((row["expected_quality"] or 0) * (row["assigned"] or 0) for row in rows)
    return sums | {
        "actual_spend_usd": sum(actual) if actual else None,
        "expected_quality": served / sums["assigned"] if sums["assigned"] else None,
    }


def _overspend(connection: Connection, dt: date) -> dict[str, Any] | None:
    """How often nights planned with this night's accepted probability of overspending ran over."""
    run = results.night(connection, dt)
    accepted = (run.settings or {}).get("overspend_probability") if run else None
    if accepted is None:
        return None
    rows = results.overspends(connection)
    came = next((row for row in rows if abs(row["accepted"] - accepted) < 1e-12), None)
    return came or {"accepted": accepted, "nights": 0, "overspent": 0, "frequency": None, "mean_spend_ratio": None}


def _overspend_words(night: dict[str, Any], risk: dict[str, Any] | None) -> str | None:
    if risk is None:
        return None
    planned = (
        f"planned so that the night runs over its budget with a probability of at most {100 * risk['accepted']:g} %"
        f" (margin {night['cost_margin'] or 1:.3f})"
    )
    if not risk["nights"]:
        return f"{planned}; no such night is settled yet"
    return f"{planned}; {risk['overspent']} of {risk['nights']} settled nights planned so ran over"


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
