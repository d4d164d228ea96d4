"""Does optimising the fleet pay? Realised quality on held-out queries against naive fleets, RouterBench's wide table.

Every seed splits the queries in halves. Out-of-fold estimates of the first half size the fleets; the second
half, estimated from the first, is routed in batches of 100 under each fleet's capacity and the same budget, and
scored by what was observed. A deferred query scores 0. All fleets route with the same solver and estimates.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from routing_core.allocate.instances import AllocationParameters, AllocationProblem, allocate
from routing_core.allocate.policies import POLICIES
from routing_core.errors import ContractError
from routing_core.records.catalog import Catalog
from routing_core.route.arrival import solve_arrival
from routing_core.route.parameters import Parameters
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.workload.tiers import GPU_TYPE, fleet_catalog
from routing_core.workload.wide import read_wide

BATCH = 100
FOLDS = 5
NEIGHBOURS = 100
BAGS = 10
DIMENSIONS = 64
RARE = 500
"""Prompts beyond which a word must be in two of them to count."""
ROUTING = Parameters(gap=1e-3, core_effort=0.02, threads=1)
"""How batches are routed: tight ones of 100 would take seconds each to close the last tenth of a percent."""
FEWEST_KNOWN = 0.5
"""Share of the rows that a model must have been scored on; rows that miss one of the others are left out."""
FEWEST_ROWS = 4 * FOLDS

Floats = NDArray[np.float64]
Estimator = Callable[[Floats, Floats, Floats, int], Floats]
"""(features, labels, new features, seed) → estimates of shape (n_new, n_labels)."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """RouterBench's wide table as arrays.

    Attributes
    ----------
    models : tuple of str
    features : ndarray of shape (n_queries, n_features)
    score : ndarray of shape (n_queries, n_models), in [0, 1]
    cost : ndarray of shape (n_queries, n_models), USD
    """

    models: tuple[str, ...]
    features: Floats
    score: Floats
    cost: Floats


def bench_allocate(
    outcomes_file: Path,
    *,
    gpus: Sequence[int] = (8, 16, 24),
    budgets: Sequence[float] = (1e-4, 3e-4),
    seeds: int = 20,
    estimator: Estimator | None = None,
) -> dict[str, Any]:
    """Compare the optimised fleet with naive ones.

    Parameters
    ----------
    outcomes_file : Path
        RouterBench's wide table, Parquet or CSV: prompt, a score column per model and ``<model>|total_cost``.
    gpus : sequence of int
        GPU budgets.
    budgets : sequence of float, USD per query
    seeds : int, at least 2
        Splits into halves.
    estimator : callable, optional
        Of quality and cost; bagged nearest neighbours with shrinkage by default.

    Returns
    -------
    dict
        ``cells``: gpus, budget_usd, baseline, gain_pct (paired mean over seeds of the relative gain in realised
        quality), stderr_pct, quality, baseline_quality; and ``seeds``, ``queries``, ``batch``, ``models``,
        ``self_hosted``: model to (GPUs, concurrency) of an instance.

    Raises
    ------
    ContractError
        If the file lacks the columns or rows.
    """
    table = read_table(outcomes_file)
    cells = [(gpu_count, budget) for gpu_count in gpus for budget in budgets]
    measure = partial(_measure, table=table, cells=cells, estimator=estimator or bagged_neighbours)
    realised: dict[tuple[int, float, str], list[float]] = {}
    with ProcessPoolExecutor(min(os.cpu_count() or 1, seeds), get_context("spawn")) as pool:
        for of_seed in pool.map(measure, range(seeds)):
            for key, quality in of_seed.items():
                realised.setdefault(key, []).append(quality)
    return {
        "cells": [_cell(realised, *cell, name) for cell in cells for name in POLICIES],
        "seeds": seeds,
        "queries": len(table.score),
        "batch": BATCH,
        "models": len(table.models),
        "self_hosted": {
            model.name: [model.gpus_per_instance, model.concurrency_per_instance]
            for model in fleet_catalog(table.models, table.cost).self_hosted
        },
    }


def _measure(
    seed: int, *, table: Table, cells: Sequence[tuple[int, float]], estimator: Estimator
) -> dict[tuple[int, float, str], float]:
    """Realised quality of every fleet in every cell, on one split; its estimates serve all cells."""
    with threadpool_limits(limits=1):
        catalog, split = fleet_catalog(table.models, table.cost), _split(table, seed, estimator)
        return {
            (gpus, budget, name): quality
            for gpus, budget in cells
            for name, quality in _compare(catalog, split, gpus, budget).items()
        }


def read_table(path: Path) -> Table:
    """Read the wide table; repeated prompts, models hardly ever scored and rows that miss a score are left out.

    Raises
    ------
    ContractError
        If columns are missing, or too few rows are left.
    """
    wide, _ = read_wide(path)
    known = np.isfinite(wide.score)
    models = known.mean(axis=0) >= FEWEST_KNOWN if len(wide) else np.zeros(len(wide.models), dtype=bool)
    rows = np.flatnonzero(known[:, models].all(axis=1))
    if not models.any() or len(rows) < FEWEST_ROWS:
        raise ContractError(
            f"file {path} must have at least {FEWEST_ROWS} rows with a score and a cost of every model to be split, "
            f"has {len(rows) if models.any() else 0}"
        )
    kept = wide.take(rows)
    return Table(
        models=tuple(name for name, keep in zip(wide.models, models, strict=True) if keep),
        features=_features(kept.prompt.tolist()),
        score=kept.score[:, models],
        cost=kept.cost_usd[:, models],
    )


def bagged_neighbours(features: Floats, labels: Floats, new: Floats, seed: int) -> Floats:
    """Mean over bootstrap samples of the mean label of the nearest neighbours, by cosine."""
    rng = np.random.default_rng(seed)
    likeness = new @ features.T
    estimate = np.zeros((len(new), labels.shape[1]))
    for _ in range(BAGS):
        rows = rng.integers(len(features), size=len(features))
        k = min(NEIGHBOURS, len(rows))
        nearest = rows[np.argpartition(-likeness[:, rows], k - 1, axis=1)[:, :k]]
        estimate += labels[nearest].mean(axis=1)
    return estimate / BAGS


@dataclass(frozen=True, slots=True, eq=False)
class _Split:
    """One half's out-of-fold estimates, the other half's estimates and what was observed there."""

    planned_quality: Floats
    planned_cost: Floats
    quality: Floats
    cost: Floats
    score: Floats


def _features(prompts: list[str]) -> Floats:
    rarest = 2 if len(prompts) > RARE else 1
    words = TfidfVectorizer(sublinear_tf=True, min_df=rarest, ngram_range=(1, 2)).fit_transform(prompts)
    dimensions = max(1, min(DIMENSIONS, min(words.shape) - 1))
    return np.asarray(normalize(TruncatedSVD(dimensions, random_state=0).fit_transform(words)))


def _split(table: Table, seed: int, estimator: Estimator) -> _Split:
    order = np.random.default_rng(seed).permutation(len(table.score))
    half = len(order) // 2
    known, held = order[:half], order[half:]
    labels, n_models = np.hstack([table.score, table.cost]), len(table.models)
    folds = np.arange(half) % FOLDS
    planned = np.empty((half, labels.shape[1]))
    for fold in range(FOLDS):
        inside, outside = known[folds != fold], known[folds == fold]
        planned[folds == fold] = estimator(table.features[inside], labels[inside], table.features[outside], seed)
    estimated = estimator(table.features[known], labels[known], table.features[held], seed)
    planned_quality, quality = _shrink(planned[:, :n_models], labels[known][:, :n_models], estimated[:, :n_models])
    return _Split(
        planned_quality, planned[:, n_models:], quality, estimated[:, n_models:], table.score[held]
    )  # fmt: skip


def _shrink(planned: Floats, observed: Floats, estimated: Floats) -> tuple[Floats, Floats]:
    """Draw estimates towards each model's mean, as far as the out-of-fold ones say they should be."""
    mean, truth = planned.mean(axis=0), observed.mean(axis=0)
    spread = ((planned - mean) ** 2).sum(axis=0)
    slope = ((planned - mean) * (observed - truth)).sum(axis=0) / np.maximum(spread, 1e-12)
    slope = slope.clip(0.0, 1.0)
    return tuple((truth + slope * (values - mean)).clip(0.0, 1.0) for values in (planned, estimated))


def _compare(catalog: Catalog, split: _Split, gpus: int, budget: float) -> dict[str, float]:
    """Realised quality per query of the optimised fleet and of each naive one."""
    problem = _problem(catalog, split, gpus, budget)
    plan = allocate(problem, AllocationParameters(shadow_prices=False, alternatives=0))
    optimised = np.array([plan.instances.get(name, 0) for name in catalog.names])
    fleets = {"optimised": optimised} | {name: policy(problem) for name, policy in POLICIES.items()}
    known: dict[bytes, float] = {}
    for fleet in fleets.values():
        if fleet.tobytes() not in known:
            known[fleet.tobytes()] = _realised(problem, split, fleet, budget)
    return {name: known[fleet.tobytes()] for name, fleet in fleets.items()}


def _problem(catalog: Catalog, split: _Split, gpus: int, budget: float) -> AllocationProblem:
    n = len(split.planned_quality)
    return AllocationProblem(
        quality=split.planned_quality,
        cost=split.planned_cost,
        weight=np.full((1, n), BATCH / n),
        scenario_weight=np.ones(1),
        penalty=np.zeros(n),
        budget_usd=np.array([BATCH * budget]),
        batches=1,
        catalog=catalog,
        gpu_budget={GPU_TYPE: gpus},
    )


def _realised(problem: AllocationProblem, split: _Split, fleet: NDArray[np.int64], budget: float) -> float:
    """Mean observed score of the held-out queries, routed in whole batches under the fleet's capacity."""
    size = min(BATCH, len(split.score))
    n = len(split.score) // size * size
    limits = problem.capacity(fleet) * (size / BATCH)
    capacity = np.full(len(limits), UNLIMITED)
    limited = np.isfinite(limits)
    capacity[limited] = limits[limited].astype(np.int64)
    night = Problem(
        quality=split.quality[:n].astype(np.float32),
        cost=split.cost[:n].astype(np.float32),
        penalty=np.zeros(n, dtype=np.float32),
        budget=n * budget,
        capacity=capacity,
        batches=n // size,
    )
    model = solve_arrival(night, np.arange(n) // size + 1, ROUTING).model
    served = np.flatnonzero(model >= 0)
    return float(split.score[served, model[served]].sum()) / n


def _cell(
    realised: Mapping[tuple[int, float, str], list[float]], gpus: int, budget: float, name: str
) -> dict[str, Any]:
    ours = np.array(realised[gpus, budget, "optimised"])
    theirs = np.array(realised[gpus, budget, name])
    # A baseline that earns nothing is beaten by 100 %.
    gains = 100 * np.divide(ours - theirs, theirs, out=(ours > 0).astype(np.float64), where=theirs > 0)
    return {
        "gpus": gpus,
        "budget_usd": budget,
        "baseline": name,
        "gain_pct": round(float(gains.mean()), 3),
        "stderr_pct": round(float(gains.std(ddof=1)) / math.sqrt(len(gains)), 3),
        "quality": round(float(ours.mean()), 4),
        "baseline_quality": round(float(theirs.mean()), 4),
    }
