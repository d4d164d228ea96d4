"""How fleets are sized without an optimiser: what an allocation has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from routing_core.allocate.problem import AllocationProblem, Floats, Integers
from routing_core.allocate.value import ScenarioValue, prepare

Policy = Callable[[AllocationProblem], Integers]

PRECISION = 1e-3
"""Precision of the greedy policy's planned value, per query."""


def uniform(problem: AllocationProblem) -> Integers:
    """Round-robin over the self-hosted models, an instance each, until none fits."""
    return _deal(problem, _none(problem), lambda counts: np.asarray(-counts, dtype=np.float64))


def demand_proportional(problem: AllocationProblem) -> Integers:
    """GPUs in proportion to the queries that like a self-hosted model best, then to who is furthest behind."""
    expected = problem.probability @ np.asarray(problem.weight, dtype=np.float64)
    hosted = _hosted(problem)
    liked = np.where(hosted, _eligible_quality(problem), -np.inf).argmax(axis=1)
    share = np.bincount(liked, expected, minlength=len(hosted)) * hosted
    target = share / max(float(share.sum()), 1e-12) * sum(problem.gpu_budget.values())
    gpus = problem.gpus_per_instance
    return _deal(problem, _none(problem), lambda counts: target - counts * gpus)


def greedy(problem: AllocationProblem) -> Integers:
    """The instance that adds most planned value per GPU, again and again, until none fits."""
    sample = prepare(problem)
    functions = [
        ScenarioValue(sample, weight, max_rounds=200) if weight.any() else None
        for weight in np.asarray(problem.weight, dtype=np.float64)
    ]
    gpus = np.maximum(problem.gpus_per_instance, 1)

    def worth(counts: Integers) -> float:
        budgets, capacity, total = problem.budget(counts).clip(0.0), problem.capacity(counts), 0.0
        for function, demand, part, usd in zip(functions, problem.demand, problem.probability, budgets, strict=True):
            if function is not None:
                total += part * demand * function.at(usd / demand, capacity / demand, PRECISION).value
        return total

    def gains(counts: Integers) -> Floats:
        before = worth(counts)
        unit = np.eye(len(counts), dtype=np.int64)
        room = [_fits(problem, counts, j) for j in range(len(counts))]
        return np.array([(worth(counts + unit[j]) - before) / gpus[j] if ok else -np.inf for j, ok in enumerate(room)])

    return _deal(problem, _none(problem), gains)


def all_on_best(problem: AllocationProblem) -> Integers:
    """As many instances of the best model on average as fit, then of the next best."""
    expected = problem.probability @ np.asarray(problem.weight, dtype=np.float64)
    mean = expected @ np.asarray(problem.quality, dtype=np.float64)
    return _deal(problem, _none(problem), lambda counts: mean)


POLICIES: Mapping[str, Policy] = {
    "uniform": uniform,
    "demand_proportional": demand_proportional,
    "greedy": greedy,
    "all_on_best": all_on_best,
}
"""The naive policies by name."""


def _deal(problem: AllocationProblem, counts: Integers, urgency: Callable[[Integers], Floats]) -> Integers:
    """Add the most urgent instance that fits until none does; ties go by the catalog's order."""
    while True:
        room = np.array([_fits(problem, counts, j) for j in range(len(counts))])
        if not room.any():
            return counts
        chosen = int(np.where(room, urgency(counts), -np.inf).argmax())
        counts = counts + np.eye(len(counts), dtype=np.int64)[chosen]


def _fits(problem: AllocationProblem, counts: Integers, j: int) -> bool:
    """Whether one more instance of model ``j`` keeps stock, pins and the GPU budget."""
    model = problem.catalog.models[j]
    if counts[j] >= problem.bounds[1][j]:
        return False
    used = problem.gpus(counts)[model.gpu_type]
    return used + model.gpus_per_instance <= problem.gpu_budget.get(model.gpu_type, 0)


def _none(problem: AllocationProblem) -> Integers:
    return np.zeros(len(problem.catalog), dtype=np.int64)


def _hosted(problem: AllocationProblem) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return problem.gpus_per_instance > 0


def _eligible_quality(problem: AllocationProblem) -> Floats:
    quality = np.asarray(problem.quality, dtype=np.float64)
    return quality if problem.eligible is None else np.where(problem.eligible, quality, -np.inf)
