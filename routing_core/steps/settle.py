"""After the night: hand out its plan, and see what came of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Row

from routing_core import log
from routing_core.errors import NotFoundError
from routing_core.predict.outturn import Outturn, outturn
from routing_core.settings import Settings
from routing_core.steps.means import as_opened
from routing_core.store import publishing, settlements
from routing_core.store.database import now, reading, writing
from routing_core.store.settlements import Answers, Assigned

ALL = "*"


@log.step
def seal(dt: date, settings: Settings) -> dict[str, Any]:
    """Seal the current run of a date: from here on it is not replaced in silence.

    Returns
    -------
    dict
        run_id, dt, sealed_at.

    Raises
    ------
    NotFoundError
        If no run of the date is current.
    """
    with writing(settings) as connection:
        run = publishing.seal(connection, dt)
    return {"run_id": run.run_id, "dt": dt.isoformat(), "sealed_at": str(run.sealed_at)}


@log.step
def settle(dt: date, settings: Settings, *, through: date | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Join the plan of a night that was executed to the outcomes logged since, and keep what it came to.

    The sealed run is settled, else the current one. Settling again takes the outcomes as they are by then and
    replaces what was kept: late ones and corrections count, and nothing counts twice.

    Parameters
    ----------
    dt : date
    settings : Settings
    through : date, optional
        Last day of outcomes to look at; all there are by default.
    dry_run : bool
        Keep nothing.

    Returns
    -------
    dict
        The row of ``night_settlements``.

    Raises
    ------
    NotFoundError
        If no run of the date is published.
    ContractError
        Naming the file of outcomes that cannot be read.
    """
    with reading(settings) as connection:
        run = settlements.executed_run(connection, dt)
        if run is None:
            raise NotFoundError(
                f"no run of {dt} is published, so nothing was executed", remedy=f"routing route --dt {dt}"
            )
        assigned = settlements.read_assigned(connection, run.run_id)
    answers = settlements.join_outcomes(assigned, settings.outcomes_root, dt, through)
    found = _outturn(run, assigned, answers)
    seen = {"dt": dt, "settled_through": answers.through or through or dt, "settled_at": now()}
    night = seen | _night_row(run, as_opened(run, settings), assigned, answers, found)
    if not dry_run:
        tables = {
            "night_settlements": [night],
            "settlements": [seen | row for row in _rows(assigned, found)],
            "calibration_bins": _bin_rows(assigned, found),
        }
        with writing(settings) as connection:
            settlements.replace_settlement(connection, run.run_id, tables)
    return {"run_id": run.run_id, **night, "settled_at": str(night["settled_at"])}


def settle_nights(dt: date, settings: Settings, *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Settle the nights of the ``settle_days`` that end with ``dt`` of which there can be outcomes by now."""
    first = dt - timedelta(days=settings.settle_days)
    with reading(settings) as connection:
        nights = settlements.executed_nights(connection, first, dt)
    due = [
        night for night in nights if settlements.has_outcomes_since(settings.outcomes_root, night + timedelta(days=1))
    ]
    return [settle(night, settings, dry_run=dry_run) for night in due]


def _outturn(run: Row[Any], assigned: Assigned, answers: Answers) -> Outturn:
    executed = (run.execution_date - date(1970, 1, 1)).days
    return outturn(
        (assigned.model, assigned.task),
        (len(assigned.models), len(assigned.tasks)),
        assigned.mean_quality,
        answers.quality,
        assigned.cost_usd,
        answers.cost_usd,
        answers.other_cost_usd(),
        late=answers.first_day > executed,
        by_other=answers.by_other,
        corrected=answers.corrected,
    )


def _night_row(run: Row[Any], asked: Settings, assigned: Assigned, answers: Answers, found: Outturn) -> dict[str, Any]:
    """The night as a whole: is it within its budget, when what nobody answered costs as much over plan as the rest?"""
    figures = _figures(found, -1, -1)
    planned, actual = figures["planned_spend_usd"], figures["actual_spend_usd"]
    whole = float(assigned.cost_usd.sum())
    projected = (
        actual * whole / planned if planned > 0 else (actual if figures["settled"] + figures["by_other"] else None)
    )
    return {
        "execution_date": run.execution_date,
        **{name: value for name, value in figures.items() if name != "planned_spend_usd"},
        "missing": figures["assigned"] - figures["settled"],
        "rejected_outcomes": answers.rejected,
        "budget_usd": run.budget_usd,
        "planned_spend_usd": whole,
        "settled_planned_usd": planned,
        "projected_spend_usd": projected,
        "overspent": None if projected is None else projected + (run.gpu_usd or 0.0) > run.budget_usd * (1 + 1e-9),
        "overspend_probability": asked.overspend_probability,
    }


def _rows(assigned: Assigned, found: Outturn) -> list[dict[str, Any]]:
    """A row per model and task with an assignment, and those of all models and of all tasks."""
    models, tasks = (*assigned.models, ALL), (*assigned.tasks, ALL)
    return [
        {"model": model, "task": task, **_figures(found, m, t)}
        for m, model in enumerate(models)
        for t, task in enumerate(tasks)
        if found.assigned[m, t] or model == task == ALL
    ]


def _figures(found: Outturn, m: int, t: int) -> dict[str, Any]:
    counts = ("assigned", "settled", "late", "by_other", "corrected")
    return {
        **{name: int(getattr(found, name)[m, t]) for name in counts},
        "planned_spend_usd": float(found.planned_spend[m, t]),
        "actual_spend_usd": float(found.actual_spend[m, t]),
        "predicted_quality": _known(found.predicted[m, t]),
        "realised_quality": _known(found.realised[m, t]),
        "optimism": _known(found.optimism[m, t]),
        "optimism_stderr": _known(found.optimism_stderr[m, t]),
        "calibration_error": _known(found.calibration_error[m, t]),
    }


def _bin_rows(assigned: Assigned, found: Outturn) -> list[dict[str, Any]]:
    models, tasks = (*assigned.models, ALL), (*assigned.tasks, ALL)
    count, predicted, realised = found.bins
    return [
        {
            "model": models[m],
            "task": tasks[t],
            "bin": int(b),
            "settled": int(count[m, t, b]),
            "predicted_quality": float(predicted[m, t, b] / count[m, t, b]),
            "realised_quality": float(realised[m, t, b] / count[m, t, b]),
        }
        for m, t, b in np.argwhere(count > 0).tolist()
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
