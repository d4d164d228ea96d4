"""What changed from one run of a night to another."""

from __future__ import annotations

from typing import Any

from routing_core.errors import RunStateError
from routing_core.settings import Settings
from routing_core.store import comparing, runs
from routing_core.store.database import reading

CHANGES = (
    "same_model",
    "other_model",
    "now_assigned",
    "now_deferred",
    "now_rejected",
    "still_deferred",
    "still_rejected",
    "only_in_a",
    "only_in_b",
)
"""What may become of a query from run a to run b."""

_FIGURES = (
    "assigned",
    "deferred",
    "rejected",
    "budget_usd",
    "planned_spend_usd",
    "expected_quality",
    "objective",
    "bound",
    "gap",
)
_ABOUT = (
    "run_id",
    "status",
    "replan",
    "shadow",
    "predictor_id",
    "allocation_id",
    "catalog_hash",
    "code_version",
    "robust_method",
    "robust_level",
    "batching",
    "carried_from_run_id",
    "base_run_id",
)
_PUBLISHED = (*runs.PUBLISHED, "checked")


def diff(run_a: int, run_b: int, settings: Settings) -> dict[str, Any]:
    """Compare two runs of the same night.

    Returns
    -------
    dict
        dt; a and b (each run's figures and what it was planned with); queries (counts by change, of
        :data:`CHANGES`); difference (b less a of each figure, None where one has none); models (a list:
        model, assigned_a, assigned_b, kept, planned_spend_a_usd, planned_spend_b_usd).

    Raises
    ------
    NotFoundError
        If there is no such run.
    RunStateError
        If the runs are of two nights, or one of them came to no decisions, or was pruned.
    """
    with reading(settings) as connection:
        a, b = (runs.get_run(connection, run_id) for run_id in (run_a, run_b))
        if a.dt != b.dt:
            raise RunStateError(
                f"runs {run_a} and {run_b} plan two nights, {a.dt} and {b.dt}; only runs of one can be compared"
            )
        for run in (a, b):
            if run.status not in _PUBLISHED:
                raise RunStateError(f"run {run.run_id} of {run.dt} is {run.status}: it came to no decisions")
            runs.refuse_pruned(run)
        found = comparing.changes(connection, run_a, run_b)
        models = comparing.by_model(connection, run_a, run_b)
    sides = [{name: run._mapping[name] for name in (*_ABOUT, *_FIGURES)} for run in (a, b)]
    return {
        "dt": a.dt.isoformat(),
        "a": sides[0],
        "b": sides[1],
        "queries": {change: found.get(change, 0) for change in CHANGES},
        "difference": {name: _less(sides[1][name], sides[0][name]) for name in _FIGURES},
        "models": models,
    }


def _less(one: Any, other: Any) -> Any:
    return None if one is None or other is None else one - other
