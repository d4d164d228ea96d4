"""Forecast the mix of the day after ``dt``, and decide how many instances of each model serve it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row

from routing_core.allocate.forecast import MixForecast, forecast
from routing_core.allocate.history import DailyCounts
from routing_core.allocate.instances import AllocationPlan, AllocationProblem
from routing_core.allocate.instances import allocate as solve
from routing_core.allocate.scenarios import represent, scenarios
from routing_core.errors import SolverError
from routing_core.predict.predictor import Predictor
from routing_core.records.catalog import Catalog
from routing_core.records.queries import Queries
from routing_core.route.admission import Night, Patience, capacity_per_batch, deferral_penalty, eligibility
from routing_core.settings import Settings, execution_date
from routing_core.steps.estimates import estimates_for
from routing_core.store import allocations, history, predictors, versions
from routing_core.store.catalog import read_catalog
from routing_core.store.database import reading, writing

_SAMPLE_DAYS = 3


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known at the end of ``dt``."""

    catalog: Catalog
    counts: DailyCounts
    unreadable: tuple[str, ...]
    sample: Queries | None
    predictor: Predictor
    version: Row[Any]
    yesterday: Mapping[str, int] | None


def allocate(
    dt: date,
    settings: Settings,
    *,
    run_key: str,
    predictor_policy: Literal["as_of", "latest"] = "as_of",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Decide the instances that serve ``dt + 1``, from what is known at the end of ``dt``.

    Returns
    -------
    dict
        allocation_id (None of a dry run), for_date, instances, status, objective, gap, change, forecast.

    Raises
    ------
    MissingPredictorError
        If no predictor is promoted yet.
    SolverError
        If stock, pins, GPUs and the change limit contradict each other.
    """
    for_date = dt + timedelta(days=1)
    known = _known(dt, settings, predictor_policy)
    expected = forecast(known.counts, for_date)
    problem = _problem(known, expected, settings, for_date)
    plan = solve(problem)
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
        "forecast": {"method": expected.method, "queries": round(expected.total[0], 1)},
    }
    if dry_run:
        return report
    with writing(settings) as connection:
        forecast_id = allocations.record_forecast(connection, _forecast_rows(expected, dt))
        values = _allocation_values(plan, settings, known, forecast_id) | {"dt": dt, "run_key": run_key}
        rows = _instance_rows(plan, known.catalog, known.yesterday)
        report["allocation_id"] = allocations.record_allocation(connection, for_date, values, rows)
    return report


def _known(dt: date, settings: Settings, policy: Literal["as_of", "latest"]) -> _Known:
    days = history.days_before(settings.backlog_root, dt, settings.history_days)
    sample = history.sample_queries(
        settings.backlog_root, days[-_SAMPLE_DAYS:], settings.allocation_sample, settings.seed
    )
    with reading(settings) as connection:
        version = versions.choose_predictor(connection, dt, policy)
        serving = allocations.last_allocation(connection, dt)
        yesterday = allocations.instances_of(connection, serving).instances if serving else None
    counts, unreadable = history.count_tasks(settings.backlog_root, days)
    return _Known(
        catalog=read_catalog(settings.catalog_file),
        counts=_daily_counts(counts),
        unreadable=unreadable,
        sample=sample,
        predictor=predictors.load_cached(settings.predictors_root, version.content_hash),
        version=version,
        yesterday=yesterday,
    )


def _daily_counts(by_day: Mapping[date, Mapping[str, int]]) -> DailyCounts:
    tasks = tuple(sorted({task for counts in by_day.values() for task in counts}))
    rows = [[counts.get(task, 0) for task in tasks] for counts in by_day.values()]
    counts = np.array(rows, dtype=np.int64).reshape(len(by_day), len(tasks))
    return DailyCounts(days=tuple(by_day), tasks=tasks, counts=counts)


def _problem(known: _Known, expected: MixForecast, settings: Settings, for_date: date) -> AllocationProblem:
    catalog = known.catalog
    demand = scenarios(expected, settings.demand_scenarios, settings.seed)
    base: dict[str, Any] = {
        "catalog": catalog,
        "batches": settings.batches,
        "gpu_budget": settings.gpu_budget,
        "scenario_weight": demand.weight,
        "scenario_names": demand.names,
        "budget_usd": np.full(len(demand.weight), settings.budget_usd / _margin(known.predictor, expected, settings)),
        "api_capacity": _api_capacity(catalog, settings),
        "yesterday": known.yesterday,
        "max_changes": settings.max_instance_changes if known.yesterday is not None else None,
    }
    if known.sample is None:
        return _nobody(base, len(catalog), len(demand.weight))
    estimates, modelled = estimates_for(
        known.predictor, known.sample, catalog, execution_date(for_date), settings.robust_level
    )
    eligible = eligibility(known.sample, estimates, catalog) & modelled
    routable = eligible.any(axis=1)
    return AllocationProblem(
        quality=estimates.lower_quality[routable],
        cost=estimates.cost_usd[routable],
        eligible=eligible[routable],
        penalty=_penalty(known.sample, settings, for_date)[routable],
        weight=represent(demand, known.sample.task[routable].tolist()),
        **base,
    )


def _margin(predictor: Predictor, expected: MixForecast, settings: Settings) -> float:
    """The margin that a night of the expected size will be planned with."""
    return max(1.0, predictor.cost_margin.factor(round(expected.total[0]), settings.overspend_probability))


def _nobody(base: dict[str, Any], n_models: int, n_scenarios: int) -> AllocationProblem:
    """The problem of a day for which no query is known: one that stands for none."""
    one = np.zeros((1, n_models), dtype=np.float32)
    nothing = np.zeros((n_scenarios, 1))
    return AllocationProblem(quality=one, cost=one, penalty=np.zeros(1), weight=nothing, **base)


def _penalty(sample: Queries, settings: Settings, for_date: date) -> NDArray[np.float32]:
    """Penalties as if the sample had come on the day itself: its own deadlines are of days gone by."""
    night = Night(execution_date(for_date), settings.batches, settings.batch_minutes)
    undated = replace(sample, deadline=np.full(len(sample), np.datetime64("NaT", "us")))
    patience = Patience(settings.deferral_quality, settings.deferral_growth, settings.deadline_urgency)
    return deferral_penalty(undated, np.zeros(len(sample), np.int64), night, patience)


def _api_capacity(catalog: Catalog, settings: Settings) -> NDArray[np.float64]:
    per_batch = [capacity_per_batch(model, 0, settings.batch_minutes) for model in catalog]
    return np.array([np.inf if slots is None else float(slots * settings.batches) for slots in per_batch])


def _forecast_rows(expected: MixForecast, dt: date) -> list[dict[str, Any]]:
    same = {"for_date": expected.for_date, "dt": dt, "method": expected.method, "wape": _known_error(expected.error)}
    rows = [("*", *expected.total)]
    rows += zip(
        expected.tasks, expected.expected.tolist(), expected.lower.tolist(), expected.upper.tolist(), strict=True
    )
    return [{"task": task, "expected": mean, "lower": low, "upper": high, **same} for task, mean, low, high in rows]


def _known_error(wape: float | None) -> float | None:
    return wape if wape is not None and np.isfinite(wape) else None


def _allocation_values(plan: AllocationPlan, settings: Settings, known: _Known, forecast_id: int) -> dict[str, Any]:
    return {
        "predictor_id": known.version.predictor_id,
        "forecast_id": forecast_id,
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
            "alternatives": [{"changes": other.changes, "objective": other.objective} for other in plan.alternatives],
            "notes": [*plan.notes, *known.unreadable],
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
