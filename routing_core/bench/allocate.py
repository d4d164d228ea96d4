"""Does optimising the fleet pay? Realised quality on held-out queries against naive fleets, RouterBench's wide table.

Every seed splits the queries in halves. Out-of-fold estimates of the first half size the fleets; the second
half, estimated from the first, is routed batch by batch under each fleet's capacity and the same budget, and
scored by what was observed. A deferred query scores 0. All fleets route with the same solver and estimates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from routing_core.allocate.instances import AllocationParameters, AllocationProblem, allocate
from routing_core.allocate.policies import POLICIES
from routing_core.errors import ContractError
from routing_core.records.catalog import Catalog, Model, Price, Serving
from routing_core.route.parameters import Parameters
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.solve import solve

TIERS: Mapping[str, tuple[int, int]] = {
    "meta/llama-2-70b-chat": (8, 16),
    "mistralai/mixtral-8x7b-chat": (4, 8),
    "zero-one-ai/Yi-34B-Chat": (4, 8),
    "meta/code-llama-instruct-34b-chat": (4, 8),
    "WizardLM/WizardLM-13B-V1.2": (2, 4),
    "mistralai/mistral-7b-chat": (1, 1),
}
"""GPUs and concurrency of an instance of each open model: the paper's tiers 8/4/2/1 and 1–16, by size of the model."""
GPU_TYPE = "gpu"
COST = "|total_cost"
BATCH = 100
FOLDS = 5
NEIGHBOURS = 100
BAGS = 10
DIMENSIONS = 64
ROUTING = Parameters(gap=1e-3, core_effort=0.02, threads=1)
"""How batches are routed: tight ones of 100 would take seconds each to close the last tenth of a percent."""
_DAY = date(2024, 1, 1)

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
        quality), stderr_pct, quality, baseline_quality; and ``seeds``, ``queries``, ``batch``, ``models``.

    Raises
    ------
    ContractError
        If the file lacks the columns, or has no model with a tier.
    """
    table = read_table(outcomes_file)
    catalog = _catalog(table.models)
    realised: dict[tuple[int, float, str], list[float]] = {}
    for seed in range(seeds):
        split = _split(table, seed, estimator or bagged_neighbours)
        for gpu_count in gpus:
            for budget in budgets:
                for name, quality in _compare(catalog, split, gpu_count, budget).items():
                    realised.setdefault((gpu_count, budget, name), []).append(quality)
    cells = [_cell(realised, g, b, name) for g in gpus for b in budgets for name in POLICIES]
    return {"cells": cells, "seeds": seeds, "queries": len(table.score), "batch": BATCH, "models": len(catalog)}


def read_table(path: Path) -> Table:
    """Read the wide table; rows with missing scores and repeated prompts are left out.

    Raises
    ------
    ContractError
        If columns are missing.
    """
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    models = tuple(str(name) for name in frame.columns if f"{name}{COST}" in frame.columns)
    if not models or "prompt" not in frame.columns or not set(models) & set(TIERS):
        raise ContractError(
            f"{path.name}: a wide outcomes table needs prompt, a score column per model, <model>{COST}, and at least "
            f"one of {', '.join(TIERS)}; got {', '.join(map(str, frame.columns[:6]))}, …"
        )
    columns = [*models, *(f"{name}{COST}" for name in models)]
    frame = frame.dropna(subset=columns).drop_duplicates("prompt")
    return Table(
        models=models,
        features=_features(frame["prompt"].astype(str).tolist()),
        score=frame[list(models)].to_numpy(dtype=np.float64).clip(0.0, 1.0),
        cost=frame[columns[len(models) :]].to_numpy(dtype=np.float64),
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
    words = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2)).fit_transform(prompts)
    dimensions = min(DIMENSIONS, min(words.shape) - 1)
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
    """Mean observed score of the held-out queries, routed in batches under the fleet's capacity."""
    limits = problem.capacity(fleet)
    capacity = np.where(np.isfinite(limits), limits, 0).astype(np.int64)
    capacity[~np.isfinite(limits)] = UNLIMITED
    earned = 0.0
    for start in range(0, len(split.score), BATCH):
        batch = slice(start, start + BATCH)
        n = len(split.score[batch])
        night = Problem(
            quality=split.quality[batch].astype(np.float32),
            cost=split.cost[batch].astype(np.float32),
            penalty=np.zeros(n, dtype=np.float32),
            budget=n * budget,
            capacity=capacity * n // BATCH if n < BATCH else capacity,
        )
        model = solve(night, ROUTING).model
        served = np.flatnonzero(model >= 0)
        earned += float(split.score[batch][served, model[served]].sum())
    return earned / len(split.score)


def _catalog(models: tuple[str, ...]) -> Catalog:
    """The file's models: those with a tier on our GPUs, all others behind an API."""
    price = (Price(_DAY, 0.0, 0.0),)
    return Catalog(tuple(_model(name, price) for name in models))


def _model(name: str, prices: tuple[Price, ...]) -> Model:
    if name not in TIERS:
        return Model(name, Serving.API, prices, context_window=8192)
    gpus, concurrency = TIERS[name]
    return Model(
        name,
        Serving.SELF_HOSTED,
        prices,
        context_window=8192,
        gpu_type=GPU_TYPE,
        gpus_per_instance=gpus,
        concurrency_per_instance=concurrency,
    )


def _cell(
    realised: Mapping[tuple[int, float, str], list[float]], gpus: int, budget: float, name: str
) -> dict[str, Any]:
    ours = np.array(realised[gpus, budget, "optimised"])
    theirs = np.array(realised[gpus, budget, name])
    gains = 100 * (ours / theirs - 1)
    return {
        "gpus": gpus,
        "budget_usd": budget,
        "baseline": name,
        "gain_pct": round(float(gains.mean()), 3),
        "stderr_pct": round(float(gains.std(ddof=1)) / math.sqrt(len(gains)), 3),
        "quality": round(float(ours.mean()), 4),
        "baseline_quality": round(float(theirs.mean()), 4),
    }
