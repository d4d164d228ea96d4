"""Why a query got the model it got: its candidates, their estimates, and what the night's prices made of them."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from sqlalchemy import Row

from routing_core.errors import NotFoundError
from routing_core.records.assignments import DEFERRED
from routing_core.route.explain import price_of_options, worth_at_prices
from routing_core.settings import Settings
from routing_core.steps.plan import decide
from routing_core.steps.retained import Retained, retained_night
from routing_core.store import results, runs
from routing_core.store.database import reading

WAITING = "waiting"


def explain(query_id: str, settings: Settings, dt: date | None = None) -> dict[str, Any]:
    """Why a query was assigned, deferred or rejected in the current run of a night.

    Candidates come from the run's retained estimates; prices from solving the night again, which gives what it gave.

    Parameters
    ----------
    query_id : str
    settings : Settings
    dt : date, optional
        The night; the newest that decided the query by default.

    Returns
    -------
    dict
        query_id, dt, run_id, decision (assigned, deferred or rejected), model, words;
        of an assigned query batch_no, runner_up, regret and propensity; of a deferred one cause, penalty and
        best_model; of a rejected one reason, detail, partition and row;
        candidates: of each model and of waiting, best first, eligible, mean_quality, planned_quality, cost_usd, price
        (quality units that the limits it would use are worth), worth (planned quality less price; None where it may
        not), chosen; prices: budget (quality per USD) and capacity (of each model with one, quality per query).
        Candidates and prices are empty for a rejected query, of which no estimates are kept, and in the plan of what
        was left of another, whose parts had prices of their own.

    Raises
    ------
    NotFoundError
        If no current run has decided the query, or its estimates are no longer kept.
    """
    with reading(settings) as connection:
        found = results.decision_of(connection, query_id, dt)
        if found is None:
            night = f"the night of {dt}" if dt else "any night"
            raise NotFoundError(f"query {query_id!r} is not in the current run of {night}")
        decision, row = found
        run = runs.get_run(connection, row.run_id)
    about = {"query_id": query_id, "dt": run.dt.isoformat(), "run_id": run.run_id, "decision": decision}
    if decision == "rejected":
        return about | _rejected(row)
    if run.sent_through_batch is not None:
        told = _assigned(row, []) if decision == "assigned" else _deferred(row, [])
        return about | told | {"candidates": [], "prices": {}}
    kept = retained_night(run, settings)
    place = int(np.flatnonzero(kept.query_id == query_id)[0])
    candidates, prices = _candidates(kept, place, DEFERRED if decision == "deferred" else kept.models.index(row.model))
    if decision == "assigned":
        told = _assigned(row, candidates, kept.until[kept.models.index(row.model)])
    else:
        told = _deferred(row, candidates)
    return about | told | {"candidates": candidates, "prices": prices}


def _candidates(kept: Retained, place: int, chosen: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    problem = kept.problem()
    solution = decide(problem, kept.night, kept.settings)
    worth = next(w[:, place - rows.start] for rows, w in worth_at_prices(problem, solution) if place < rows.stop)
    price = price_of_options(problem, solution, place)
    night = kept.night
    rows = [
        {
            "model": name,
            "eligible": bool(night.eligible[place, j]),
            "mean_quality": float(night.mean_quality[place, j]),
            "planned_quality": float(night.lower_quality[place, j]),
            "cost_usd": float(night.cost_usd[place, j]),
            "price": float(price[j]),
            "worth": float(worth[j]) if np.isfinite(worth[j]) else None,
            "chosen": j == chosen,
        }
        for j, name in enumerate(kept.models)
    ]
    penalty = float(night.penalty[place])
    rows.append(
        {
            "model": WAITING,
            "eligible": True,
            "mean_quality": 0.0,
            "planned_quality": -penalty,
            "cost_usd": 0.0,
            "price": 0.0,
            "worth": -penalty,
            "chosen": chosen == DEFERRED,
        }
    )
    rows.sort(key=lambda row: -np.inf if row["worth"] is None else row["worth"], reverse=True)
    capacity = {name: float(mu) for name, mu in zip(kept.models, solution.prices.capacity, strict=True) if mu > 0}
    return rows, {"budget": solution.prices.budget, "capacity": capacity}


def _assigned(row: Row[Any], candidates: list[dict[str, Any]], until: int | None = None) -> dict[str, Any]:
    words = " ".join(filter(None, (_worth(row, candidates), _next(row, until))))
    names = ("model", "batch_no", "runner_up", "regret", "propensity")
    return {name: getattr(row, name) for name in names} | {"words": words}


def _worth(row: Row[Any], candidates: list[dict[str, Any]]) -> str:
    own = next((one for one in candidates if one["chosen"]), None)
    if own is None:
        return (
            f"{row.model} has planned quality {row.planned_quality:.3f}; the rest of the night was planned anew, "
            "and no prices hold for all of it."
        )
    return (
        f"{row.model} is worth {_shown(own['worth'])} at the night's prices: planned quality "
        f"{row.planned_quality:.3f} less {own['price']:.3f} for what it uses of budget and capacity."
    )


def _next(row: Row[Any], until: int | None) -> str:
    """What else it might have got, and by how much that is worse; or why it did not get what is better."""
    other = row.runner_up or WAITING
    if row.regret is None:
        return ""
    if row.regret >= 0:
        return f"Next is {other}, worth {row.regret:.3f} less."
    why = "the two are nearly tied, and a limit decided"
    if until is not None:
        why = f"it probes {row.model}, {until} outcomes until that is eligible"
    elif row.propensity < 0.5:
        why = "it was drawn to explore"
    return f"By itself {other} is worth {-row.regret:.2g} more: {why}."


def _deferred(row: Row[Any], candidates: list[dict[str, Any]]) -> dict[str, Any]:
    best = next((one for one in candidates if one["model"] != WAITING and one["worth"] is not None), None)
    nearest = (
        f"; nearest was {best['model']}, worth {_shown(best['worth'])} against {-row.penalty:.3f} for waiting"
        if best
        else ""
    )
    words = f"it waits because of {row.cause.replace('_', ' ')}{nearest}."
    return {"model": None, "cause": row.cause, "penalty": row.penalty, "best_model": row.best_model, "words": words}


def _rejected(row: Row[Any]) -> dict[str, Any]:
    names = ("reason", "detail", "partition", "row")
    words = f"it cannot be routed: {row.detail}"
    return {
        "model": None,
        **{name: getattr(row, name) for name in names},
        "words": words,
        "candidates": [],
        "prices": {},
    }


def _shown(worth: float | None) -> str:
    return "nothing" if worth is None else f"{worth:.3f}"
