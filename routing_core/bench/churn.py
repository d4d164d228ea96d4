"""What stability costs and saves: a simulated month of allocations with and without hysteresis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.allocate.forecast import DailyCounts, forecast
from routing_core.allocate.instances import AllocationParameters, AllocationProblem, allocate
from routing_core.allocate.scenarios import represent, scenarios
from routing_core.records.catalog import Catalog, Model, Price, Serving

FIRST = date(2026, 1, 5)
HISTORY = 28
TASKS, SAMPLE = 6, 300
TIERS = ((8, 32), (4, 20), (4, 16), (2, 10), (1, 6), (1, 5))
WEEK = np.array([1.1, 1.15, 1.1, 1.05, 0.95, 0.5, 0.45])


@dataclass(frozen=True, slots=True)
class Drift:
    """How a month's demand moves.

    Attributes
    ----------
    volume, mix : float, at least 0
        Standard deviation of a night's step of the log volume, shared by all tasks, and of each task's own.
    """

    volume: float
    mix: float


DRIFTS: Mapping[str, Drift] = {"quiet": Drift(0.02, 0.0), "lively": Drift(0.03, 0.05), "restless": Drift(0.05, 0.12)}
"""Months by name: a wandering level; a mix that moves too; one that turns over within a fortnight."""


def bench_churn(nights: int = 30, seed: int = 0) -> dict[str, Any]:
    """Simulate a month of allocations under each kind of drift: see :func:`month`.

    Returns
    -------
    dict
        The figures of the liveliest month, and under ``months`` those of each by its name.
    """
    months = {name: month(nights, seed, drift) for name, drift in DRIFTS.items()}
    return {**list(months.values())[-1], "months": months}


def month(nights: int, seed: int, drift: Drift) -> dict[str, Any]:
    """Allocate every night of a simulated month twice: with hysteresis against the night before, and without.

    Parameters
    ----------
    nights : int, at least 2
    seed : int
    drift : Drift

    Returns
    -------
    dict
        ``changes_stable``, ``changes_free``: instances started and stopped over the month; ``loss_pct``: planned
        quality given up for it; ``nights``, ``changed_nights_stable``, ``changed_nights_free``.
    """
    rng = np.random.default_rng(seed)
    counts, base = _backlog(rng, HISTORY + nights, drift), _problem(rng)
    tasks = tuple(f"task{j}" for j in range(TASKS))
    days = tuple(FIRST + timedelta(days=k) for k in range(len(counts)))
    free: list[dict[str, int]] = []
    stable: list[dict[str, int]] = []
    planned = {"free": 0.0, "stable": 0.0}
    for night in range(HISTORY, HISTORY + nights):
        known = DailyCounts(days[:night], tasks, counts[:night])
        demand = scenarios(forecast(known, days[night]), 3, seed)
        weight = represent(demand, [tasks[i % TASKS] for i in range(SAMPLE)])
        problem = replace(base, weight=weight, scenario_weight=demand.weight, budget_usd=np.full(3, 2e-4 * 8000))
        quick = AllocationParameters(shadow_prices=False, alternatives=0)
        best = allocate(problem, quick)
        kept = allocate(replace(problem, yesterday=stable[-1] if stable else None), quick)
        planned["free"] += best.expected_quality
        planned["stable"] += kept.expected_quality
        free.append(dict(best.instances))
        stable.append(dict(kept.instances))
    return {
        "nights": nights,
        "changes_stable": sum(_changes(stable)),
        "changes_free": sum(_changes(free)),
        "changed_nights_stable": sum(change > 0 for change in _changes(stable)),
        "changed_nights_free": sum(change > 0 for change in _changes(free)),
        "loss_pct": round(100 * (1 - planned["stable"] / planned["free"]), 4),
    }


def _changes(plans: list[dict[str, int]]) -> list[int]:
    return [sum(abs(after[name] - before[name]) for name in after) for before, after in pairwise(plans)]


def _backlog(rng: np.random.Generator, days: int, drift: Drift) -> NDArray[np.int64]:
    """Counts by day and task: weekly season, wandering level and mix, more than Poisson noise."""
    steps = rng.normal(0, drift.volume, (days, 1)) + rng.normal(0, drift.mix, (days, TASKS))
    level = np.exp(np.cumsum(steps, axis=0))
    mean = rng.lognormal(7, 0.6, TASKS) * WEEK[np.arange(days) % 7, np.newaxis] * level
    counts: NDArray[np.int64] = rng.poisson(mean * rng.gamma(100, 0.01, mean.shape))
    return counts


def _problem(rng: np.random.Generator) -> AllocationProblem:
    """Two API models and six on GPUs, with different skill in each task; the sample takes the tasks in turn."""
    price = (Price(FIRST, 0.0, 0.0),)
    models = [Model(f"api{j}", Serving.API, price, 8192) for j in range(2)]
    models += [Model(f"open{j}", Serving.SELF_HOSTED, price, 8192, "h100", *tier) for j, tier in enumerate(TIERS)]
    skill = rng.normal(0.6, 0.08, (TASKS, len(models))) + 0.03 * np.array([2, 3, 2, 1.5, 1, 0, -1, -1.5])
    quality = skill[np.arange(SAMPLE) % TASKS] + rng.normal(0, 0.1, (SAMPLE, len(models)))
    cost = rng.lognormal(-8, 0.3, (SAMPLE, 1)) * np.array([2.0, 8.0, 0, 0, 0, 0, 0, 0])
    return AllocationProblem(
        quality=quality.clip(0, 1),
        cost=cost,
        weight=np.ones((1, SAMPLE)),
        scenario_weight=np.ones(1),
        penalty=np.full(SAMPLE, 0.05),
        budget_usd=np.ones(1),
        batches=60,
        catalog=Catalog(tuple(models)),
        gpu_budget={"h100": 24},
    )
