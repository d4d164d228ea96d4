"""What tomorrow is expected to ask of the fleet: history, forecasts, a sample of real queries, and the question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row

from routing_core.allocate.clusters import Clusters, cluster_history, learn_clusters
from routing_core.allocate.forecast import MixForecast, forecast
from routing_core.allocate.history import DailyCounts
from routing_core.allocate.problem import AllocationProblem
from routing_core.allocate.reasons import contradictions
from routing_core.allocate.scenarios import Grouping, Scenarios, as_batches, rake, represent, scenarios
from routing_core.errors import ContractError
from routing_core.predict.predictor import Predictor
from routing_core.records.catalog import Catalog, Serving
from routing_core.records.queries import Queries
from routing_core.route.admission import Night, Patience, capacity_per_batch, deferral_penalty, eligibility
from routing_core.route.probe import withheld
from routing_core.settings import Settings, execution_date
from routing_core.steps.estimates import estimates_for
from routing_core.steps.probation import outcomes_until_eligible
from routing_core.store import allocations, history, predictors, versions
from routing_core.store.catalog import read_catalog
from routing_core.store.database import reading

SAMPLE_DAYS = 3
"""Newest days of backlog that the sample is drawn from."""
CLUSTER_DAYS = 28
"""Newest days of backlog whose prompts are read for their clusters."""
CLUSTER_SAMPLE = 400
"""Prompts of each of those days: a cluster's share is then known within a few per cent."""
BATCH_DRAWS = 4
"""Random batches that stand for a scenario in arrival mode."""
IN_SAMPLE = "every query of the sample has an outcome that the predictor learnt from: estimates are not out-of-fold"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known at the end of ``dt``."""

    dt: date
    catalog: Catalog
    counts: DailyCounts
    notes: tuple[str, ...]
    sample: Queries | None
    predictor: Predictor
    version: Row[Any]
    yesterday: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class ClusterForecast:
    """The clusters of prompts and what each is expected to bring, in the order of the clusters."""

    clusters: Clusters
    about: tuple[str, ...]
    mix: MixForecast


@dataclass(frozen=True, slots=True)
class Expected:
    """Tomorrow's mix, by task and by cluster of prompts; no clusters where there is nothing to learn them from."""

    tasks: MixForecast
    clusters: ClusterForecast | None


def known_by(dt: date, settings: Settings, policy: Literal["as_of", "latest"]) -> Known:
    """Read what an allocation made at the end of ``dt`` may know.

    Raises
    ------
    MissingPredictorError
        If no predictor is promoted yet.
    """
    days = history.days_before(settings.backlog_root, dt, settings.history_days)
    with reading(settings) as connection:
        version = versions.choose_predictor(connection, dt, policy)
        serving = allocations.last_allocation(connection, dt)
        yesterday = allocations.instances_of(connection, serving).instances if serving else None
    counts, notes = history.count_tasks(settings.backlog_root, days)
    sample, learnt = _sample(settings, days[-SAMPLE_DAYS:], version.trained_through)
    return Known(
        dt=dt,
        catalog=read_catalog(settings.catalog_file),
        counts=_daily_counts(counts),
        notes=(*notes, IN_SAMPLE) if learnt else notes,
        sample=sample,
        predictor=predictors.load_cached(settings.predictors_root, version.content_hash),
        version=version,
        yesterday=yesterday,
    )


def expect(known: Known, settings: Settings, for_date: date) -> Expected:
    """Forecast the mix of a day, by task and by cluster of prompts."""
    tasks = forecast(known.counts, for_date)
    if settings.prompt_clusters == 0 or known.sample is None:
        return Expected(tasks, None)
    clusters = clusters_of(known.predictor, settings.prompt_clusters, settings.seed)
    counts = count_clusters(known.counts, known.counts.days[-CLUSTER_DAYS:], known.predictor, clusters, settings)
    if not len(clusters) or not counts:
        return Expected(tasks, None)
    mix = forecast(cluster_history(clusters, counts), for_date)
    return Expected(tasks, ClusterForecast(clusters, _about(known.predictor, clusters), mix))


def clusters_of(predictor: Predictor, most: int, seed: int) -> Clusters:
    """The clusters of prompts that a predictor and a seed define."""
    return learn_clusters(predictor.near.landmarks[:, predictor.features.embedded], most, seed)


def count_clusters(
    counts: DailyCounts, days: Iterable[date], predictor: Predictor, clusters: Clusters, settings: Settings
) -> dict[date, NDArray[np.int64]]:
    """Queries of each day by cluster, from a sample of its prompts; days that cannot be embedded are left out."""
    totals = dict(zip(counts.days, counts.counts.sum(axis=1).tolist(), strict=True))
    found = {}
    readable = [day for day in days if day in totals]
    for day, sample in history.sample_each_day(settings.backlog_root, readable, CLUSTER_SAMPLE, settings.seed):
        X = _embedded(predictor, sample)
        if X is not None:
            found[day] = clusters.counts(X, totals[day])
    return found


def pose(known: Known, expected: Expected, settings: Settings, for_date: date) -> AllocationProblem:
    """Put the question: which instances serve the day?"""
    catalog, demand = known.catalog, scenarios(expected.tasks, settings.demand_scenarios, settings.seed)
    rules: dict[str, Any] = {
        "catalog": catalog,
        "batches": settings.batches,
        "gpu_budget": settings.gpu_budget,
        "api_capacity": _api_capacity(catalog, settings),
        "yesterday": known.yesterday,
        "max_changes": settings.max_instance_changes if known.yesterday is not None else None,
        "change_cost": settings.change_cost,
        "startup_cost": settings.startup_cost,
        "minimum": settings.min_instances,
        "maximum": settings.max_instances,
        "gpu_hour_usd": settings.gpu_hour_usd,
        "hours": settings.service_window_minutes / 60,
    }
    if known.sample is None:
        return AllocationProblem(**rules, **_nobody(len(catalog)), **_weighted(demand, np.zeros((1, 1)), settings, 1.0))
    estimates, modelled = estimates_for(
        known.predictor, known.sample, catalog, execution_date(for_date), settings.robust_level
    )
    eligible = withheld(eligibility(known.sample, estimates, catalog) & modelled, _newcomers(known, settings))
    routable = np.flatnonzero(eligible.any(axis=1))
    sample = known.sample.take(routable)
    return AllocationProblem(
        quality=estimates.lower_quality[routable],
        cost=estimates.cost_usd[routable],
        eligible=eligible[routable],
        load=_load(sample, catalog, settings),
        penalty=_penalty(sample, settings, for_date),
        **rules,
        **_weighted(demand, _weight(demand, sample, known, expected), settings, _margin(known, expected, settings)),
    )


def with_probed(problem: AllocationProblem, known: Known, settings: Settings) -> tuple[AllocationProblem, list[str]]:
    """The problem with an instance for each model on probation that a night could probe, smallest first; and whose.

    A model that no rule leaves room for gets none.
    """
    on_probation = _newcomers(known, settings)
    models = [model for model in problem.catalog.self_hosted if on_probation[problem.catalog.index(model.name)]]
    given: list[str] = []
    for model in sorted(models, key=lambda model: model.gpus_per_instance):
        if model.name not in known.predictor.models or problem.minimum.get(model.name, 0):
            continue
        asked = replace(problem, minimum={**problem.minimum, model.name: 1})
        if not contradictions(asked):
            problem = asked
            given.append(model.name)
    return problem, given


def _newcomers(known: Known, settings: Settings) -> NDArray[np.bool_]:
    """Models that a night withholds but for probes: ndarray of shape (n_models,)."""
    until = outcomes_until_eligible(known.predictor, known.catalog.names, settings)
    return np.array([count is not None for count in until], dtype=bool)


def _sample(settings: Settings, days: tuple[date, ...], trained_through: date) -> tuple[Queries | None, bool]:
    """Queries that stand for the mix, none the predictor learnt from; if there are no others, those, and True."""
    root, size, seed = settings.backlog_root, settings.allocation_sample, settings.seed
    span = range(days[0].toordinal(), trained_through.toordinal() + 1) if days else range(0)
    answered = history.answered(settings.outcomes_root, map(date.fromordinal, span))
    fresh = history.sample_queries(root, days, size, seed, without=answered)
    if fresh is not None:
        return fresh, False
    learnt = history.sample_queries(root, days, size, seed)
    return learnt, learnt is not None


def _daily_counts(by_day: Mapping[date, Mapping[str, int]]) -> DailyCounts:
    tasks = tuple(sorted({task for counts in by_day.values() for task in counts}))
    rows = [[counts.get(task, 0) for task in tasks] for counts in by_day.values()]
    counts = np.array(rows, dtype=np.int64).reshape(len(by_day), len(tasks))
    return DailyCounts(days=tuple(by_day), tasks=tasks, counts=counts)


def _embedded(predictor: Predictor, queries: Queries) -> NDArray[np.float32] | None:
    """Embeddings of prompts as the predictor sees them; None where it learnt from a column these lack."""
    features = predictor.features
    try:
        X = features.transform(queries.prompt, queries.task, queries.input_tokens.astype(np.float64), queries.embedding)
    except ContractError:
        return None
    return np.asarray(X[:, features.embedded])


def _about(predictor: Predictor, clusters: Clusters) -> tuple[str, ...]:
    """The task that most training queries of each cluster have, and their share."""
    tasks, landmarks = predictor.features.tasks, predictor.near.landmarks
    if not tasks:
        return ("no task",) * len(clusters)
    task = landmarks[:, -len(tasks) :].argmax(axis=1)
    of = clusters.of(landmarks[:, predictor.features.embedded])
    shares = [np.bincount(task[of == k], minlength=len(tasks)) / max((of == k).sum(), 1) for k in range(len(clusters))]
    return tuple(f"{tasks[int(share.argmax())]} {100 * share.max():.0f} %" for share in shares)


def _weight(demand: Scenarios, sample: Queries, known: Known, expected: Expected) -> NDArray[np.float64]:
    """Real queries that each of the sample stands for, by task and, where there are any, by cluster."""
    tasks = sample.task.tolist()
    weight = represent(demand, tasks)
    X = None if expected.clusters is None or not tasks else _embedded(known.predictor, sample)
    if X is None or expected.clusters is None:
        return weight
    return rake(weight, tasks, Grouping(expected.clusters.clusters.of(X), expected.clusters.mix.expected))


def _weighted(demand: Scenarios, weight: NDArray[np.float64], settings: Settings, margin: float) -> dict[str, Any]:
    """Scenarios and their budgets; in arrival mode, batches drawn from each."""
    names, probability = demand.names, demand.weight
    weight = np.broadcast_to(weight, (len(names), weight.shape[1]))
    if settings.batching == "arrival":
        names, probability, weight = as_batches(demand, weight, settings.batches, BATCH_DRAWS, settings.seed)
    return {
        "weight": weight,
        "scenario_weight": probability,
        "scenario_names": names,
        "budget_usd": np.full(len(names), settings.budget_usd / margin),
    }


def _margin(known: Known, expected: Expected, settings: Settings) -> float:
    """The margin that a night of the expected size will be planned with."""
    size = round(expected.tasks.total[0])
    return max(1.0, known.predictor.cost_margin.factor(size, settings.overspend_probability))


def _nobody(n_models: int) -> dict[str, Any]:
    """The sample of a day for which no query is known: one that stands for none."""
    one = np.zeros((1, n_models), dtype=np.float32)
    return {"quality": one, "cost": one, "penalty": np.zeros(1)}


def _load(sample: Queries, catalog: Catalog, settings: Settings) -> NDArray[np.float64] | None:
    """Slots that a query takes of a self-hosted model, by its length: ndarray of shape (n_queries, n_models).

    None where all take one. An API counts requests, whatever their length.
    """
    if not settings.slots_by_length:
        return None
    edges = sorted(settings.slots_by_length)
    slots = np.array([1.0, *(settings.slots_by_length[edge] for edge in edges)])
    taken = slots[np.searchsorted(edges, sample.input_tokens, side="right")]
    hosted = np.array([model.serving is Serving.SELF_HOSTED for model in catalog])
    return np.where(hosted, taken[:, np.newaxis], 1.0)


def _penalty(sample: Queries, settings: Settings, for_date: date) -> NDArray[np.float32]:
    """Penalties as if the sample had come on the day itself: its own deadlines are of days gone by."""
    night = Night(execution_date(for_date), settings.batches, settings.batch_minutes)
    undated = replace(sample, deadline=np.full(len(sample), np.datetime64("NaT", "us")))
    patience = Patience(settings.deferral_quality, settings.deferral_growth, settings.deadline_urgency)
    return deferral_penalty(undated, np.zeros(len(sample), np.int64), night, patience)


def _api_capacity(catalog: Catalog, settings: Settings) -> NDArray[np.float64]:
    per_batch = [capacity_per_batch(model, 0, settings.batch_minutes) for model in catalog]
    return np.array([np.inf if slots is None else float(slots * settings.batches) for slots in per_batch])
