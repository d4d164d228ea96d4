"""Forecast the mix of the day after ``dt``, and decide how many instances of each model serve it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection

from routing_core import log
from routing_core.allocate.forecast import MixForecast
from routing_core.allocate.instances import AllocationParameters, AllocationPlan, value_table
from routing_core.allocate.instances import allocate as solve
from routing_core.allocate.problem import AllocationProblem
from routing_core.errors import SettingsError, SolverError
from routing_core.records.catalog import Catalog
from routing_core.settings import Settings
from routing_core.steps.demand import (
    ClusterForecast,
    Expected,
    Known,
    clusters_of,
    count_clusters,
    expect,
    known_by,
    pose,
    with_probed,
)
from routing_core.store import allocations, predictors, versions
from routing_core.store.database import reading, writing


@log.step
def allocate(
    dt: date,
    settings: Settings,
    *,
    run_key: str,
    predictor_policy: Literal["as_of", "latest"] = "as_of",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Decide the instances that serve ``dt + 1``, from what is known at the end of ``dt``.

    The forecasts made for ``dt`` by cluster of prompts are scored on the way: the backlog of ``dt`` is read here.

    Returns
    -------
    dict
        allocation_id (None of a dry run), for_date, instances, status, objective, gap, change, forecast, notes.

    Raises
    ------
    MissingPredictorError
        If no predictor is promoted yet.
    SolverError
        If stock, pins, GPUs and the change limit contradict each other.
    """
    for_date = dt + timedelta(days=1)
    known = known_by(dt, settings, predictor_policy)
    expected = expect(known, settings, for_date)
    plan = _plan(pose(known, expected, settings, for_date), known, settings)
    if not plan.status.usable:
        raise SolverError(f"no instances for {for_date} keep every rule: {'; '.join(plan.notes)}")
    report = {
        "allocation_id": None,
        "for_date": for_date.isoformat(),
        "instances": dict(plan.instances),
        "status": plan.status.value,
        "objective": plan.objective,
        "gap": plan.gap,
        "change": plan.diff,
        "forecast": {"method": expected.tasks.method, "queries": round(expected.tasks.total[0], 1)},
        "notes": [*plan.notes, *known.notes],
    }
    if dry_run:
        return report
    came = _clusters_that_came(known, settings)
    with writing(settings) as connection:
        for forecast_id, counts in came.items():
            allocations.score_clusters(connection, forecast_id, counts)
        forecast_id = _record_forecasts(connection, expected, known, settings)
        values = _allocation_values(plan, settings, known, expected) | {"dt": dt, "run_key": run_key}
        rows = _instance_rows(plan, known.catalog, known.yesterday)
        report["allocation_id"] = allocations.record_allocation(
            connection, for_date, values | {"forecast_id": forecast_id}, rows
        )
    return report


def value_of_gpus(
    dt: date,
    settings: Settings,
    *,
    gpu_type: str | None = None,
    upto: int | None = None,
    predictor_policy: Literal["as_of", "latest"] = "as_of",
) -> dict[str, Any]:
    """What other GPU budgets would be worth on ``dt + 1``; nothing is recorded.

    Parameters
    ----------
    dt : date
    settings : Settings
    gpu_type : str, optional
        Type that is varied; may be left out where there is one.
    upto : int, optional
        Most GPUs; by default as many as the stock of all models takes, or the budget where a stock is unlimited.
    predictor_policy : {"as_of", "latest"}

    Returns
    -------
    dict
        for_date, gpu_type, budget; gpus: a row for each number of GPUs from 0 with quality, objective (quality
        units), deferred (queries), instances, shadow_price of its last GPU, feasible; shadow_price by GPU type;
        alternatives (instances, changes, objective) within 0.1 % of the plan; instances, change.

    Raises
    ------
    MissingPredictorError
        If no predictor is promoted yet.
    SettingsError
        If the type is unknown, or must be given.
    """
    for_date = dt + timedelta(days=1)
    known = known_by(dt, settings, predictor_policy)
    problem = pose(known, expect(known, settings, for_date), settings, for_date)
    gpu_type = _gpu_type(gpu_type, problem.gpu_types)
    most = _most_gpus(known.catalog, gpu_type, settings) if upto is None else upto
    plan, rows = _plan(problem, known, settings), value_table(problem, gpu_type, most, _parameters(settings))
    return {
        "for_date": for_date.isoformat(),
        "gpu_type": gpu_type,
        "budget": problem.gpu_budget.get(gpu_type, 0),
        "status": plan.status.value,
        "instances": dict(plan.instances),
        "change": plan.diff,
        "gpus": [asdict(row) for row in rows],
        "shadow_price": dict(plan.shadow_price),
        "budget_price": plan.budget_price,
        "alternatives": [asdict(other) for other in plan.alternatives],
        "notes": [*plan.notes, *known.notes],
    }


def _plan(problem: AllocationProblem, known: Known, settings: Settings) -> AllocationPlan:
    """The best plan in which each model on probation can be probed; without, where the limit on changes forbids it."""
    probing, probed = with_probed(problem, known, settings)
    plan = solve(probing, _parameters(settings))
    if not probed:
        return plan
    if not plan.status.usable:
        return solve(problem, _parameters(settings))
    return replace(plan, notes=(*plan.notes, f"on probation, with an instance for probes: {', '.join(probed)}"))


def _parameters(settings: Settings) -> AllocationParameters:
    return AllocationParameters(worst_case_share=settings.worst_case_share, indifference=settings.instance_indifference)


def _gpu_type(asked: str | None, known: tuple[str, ...]) -> str:
    if asked is None and len(known) == 1:
        return known[0]
    if asked not in known:
        raise SettingsError(f"gpu_type must be one of {', '.join(known) or 'none'}, got {asked}")
    return asked


def _most_gpus(catalog: Catalog, gpu_type: str, settings: Settings) -> int:
    """GPUs that the stock can use; the budget where the stock has no end."""
    of_type = [model for model in catalog.self_hosted if model.gpu_type == gpu_type]
    budget = settings.gpu_budget.get(gpu_type, 0)
    if any(model.stock is None for model in of_type):
        return budget
    return max(budget, sum(model.gpus_per_instance * (model.stock or 0) for model in of_type))


def _clusters_that_came(known: Known, settings: Settings) -> dict[int, list[int]]:
    """For each forecast made for ``dt`` by cluster and not yet scored: the queries that came, by cluster."""
    with reading(settings) as connection:
        waiting = allocations.unscored_clusters(connection, known.dt)
        made_by = {row.predictor_id: versions.get_version(connection, row.predictor_id) for row in waiting}
    came: dict[int, list[int]] = {}
    for row in waiting:
        predictor = predictors.load_cached(settings.predictors_root, made_by[row.predictor_id].content_hash)
        clusters = clusters_of(predictor, row.clusters, row.seed)
        counts = count_clusters(known.counts, [known.dt], predictor, clusters, settings)
        if known.dt in counts:
            came[row.forecast_id] = counts[known.dt].tolist()
    return came


def _record_forecasts(connection: Connection, expected: Expected, known: Known, settings: Settings) -> int:
    forecast_id = allocations.record_forecast(connection, _forecast_rows(expected.tasks, known.dt))
    if expected.clusters is not None:
        made = {"predictor_id": known.version.predictor_id, "seed": settings.seed}
        rows = [row | made for row in _cluster_rows(expected.clusters, known.dt)]
        allocations.record_clusters(connection, forecast_id, rows)
    return forecast_id


def _forecast_rows(mix: MixForecast, dt: date) -> list[dict[str, Any]]:
    rows = [("*", *mix.total)]
    rows += zip(mix.tasks, mix.expected.tolist(), mix.lower.tolist(), mix.upper.tolist(), strict=True)
    return [
        {"task": task, "expected": mean, "lower": low, "upper": high, **_how(mix, dt)} for task, mean, low, high in rows
    ]


def _cluster_rows(found: ClusterForecast, dt: date) -> list[dict[str, Any]]:
    mix = found.mix
    columns = zip(found.about, mix.expected.tolist(), mix.lower.tolist(), mix.upper.tolist(), strict=True)
    return [
        {"cluster": k, "about": about, "expected": mean, "lower": low, "upper": high, **_how(mix, dt)}
        for k, (about, mean, low, high) in enumerate(columns, start=1)
    ]


def _how(mix: MixForecast, dt: date) -> dict[str, Any]:
    return {"for_date": mix.for_date, "dt": dt, "method": mix.method, "wape": _known_error(mix.error)}


def _known_error(wape: float | None) -> float | None:
    return wape if wape is not None and np.isfinite(wape) else None


def _allocation_values(plan: AllocationPlan, settings: Settings, known: Known, expected: Expected) -> dict[str, Any]:
    return {
        "predictor_id": known.version.predictor_id,
        "gpu_budget": dict(settings.gpu_budget),
        "gpus_used": dict(plan.gpus_used),
        "status": plan.status.value,
        "objective": plan.objective,
        "bound": plan.bound,
        "gap": plan.gap,
        "change": plan.diff,
        "evidence": {
            "expected_quality": plan.expected_quality,
            "expected_served": plan.expected_served,
            "deferred": dict(plan.deferred),
            "spend_usd": dict(plan.spend_usd),
            "gpu_shadow_price": dict(plan.shadow_price),
            "budget_shadow_price": plan.budget_price,
            "gpus_free": dict(plan.gpus_free),
            "alternatives": [asdict(other) for other in plan.alternatives],
            "forecast_errors": {name: _known_error(error) for name, error in expected.tasks.errors.items()},
            "notes": [*plan.notes, *known.notes],
        },
        "seed": settings.seed,
    }


def _instance_rows(plan: AllocationPlan, catalog: Catalog, yesterday: Mapping[str, int] | None) -> list[dict[str, Any]]:
    return [
        {
            "model": model.name,
            "instances": plan.instances[model.name],
            "previous_instances": None if yesterday is None else yesterday.get(model.name, 0),
            "gpu_type": model.gpu_type,
            "gpus": model.gpus_per_instance * plan.instances[model.name],
            "capacity_per_batch": model.concurrency_per_instance * plan.instances[model.name],
            "utilisation": plan.utilisation.get(model.name),
        }
        for model in catalog.self_hosted
    ]
