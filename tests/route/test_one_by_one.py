"""Per-query routing of batches as they come: one query at a time, within its batch's budget and capacities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from routing_core.errors import ProblemError
from routing_core.route.baselines import Fallback
from routing_core.route.one_by_one import one_by_one
from routing_core.route.problem import Problem


def _night(seed: int, n: int = 60, m: int = 4, batches: int = 5) -> tuple[Problem, np.ndarray]:
    rng = np.random.default_rng(seed)
    problem = Problem(
        quality=rng.random((n, m), dtype=np.float32),
        cost=(10 ** rng.uniform(-2, 0, (n, m))).astype(np.float32),
        penalty=np.ones(n),
        budget=0.15 * n,
        capacity=rng.integers(1, 8, m),
        batches=batches,
        eligible=rng.random((n, m)) < 0.8,
    )
    return problem, rng.integers(1, batches + 1, n)


def _naively(problem: Problem, batch_of: np.ndarray, a: float, fallback: Fallback) -> list[int]:
    """The same in plain Python, a batch after the other."""
    model = [-1] * len(problem)
    for b in range(1, problem.batches + 1):
        rows = [i for i in range(len(problem)) if batch_of[i] == b]
        purse, room = problem.budget * len(rows) / len(problem), list(problem.capacity)
        cost = problem.cost.astype(float)
        options = {i: [j for j in range(problem.n_models) if problem.eligible[i, j]] for i in rows}
        least = {i: min((cost[i, j] for j in options[i]), default=0.0) for i in rows}
        for k, i in enumerate(rows):
            kept = sum(least[r] for r in rows[k + 1 :])
            kept = kept if least[i] + kept <= purse else 0.0
            free = [j for j in options[i] if room[j] > 0 and cost[i, j] <= purse - kept]
            wish = max(options[i], key=lambda j: a * problem.quality[i, j] - (1 - a) * cost[i, j], default=None)
            if wish not in free:
                wish = _fallen_back(free, problem.quality[i], cost[i], fallback)
            if wish is not None:
                model[i], purse, room[wish] = wish, purse - cost[i, wish], room[wish] - 1
    return model


def _fallen_back(free: list[int], quality: np.ndarray, cost: np.ndarray, fallback: Fallback) -> int | None:
    if not free or fallback is Fallback.UNSERVED:
        return None
    return free[np.argmin(cost[free]) if fallback is Fallback.CHEAPEST_FEASIBLE else np.argmax(quality[free])]


@pytest.mark.parametrize("fallback", Fallback)
@pytest.mark.parametrize("seed", range(8))
def test_it_decides_as_plain_python_does(seed: int, fallback: Fallback) -> None:
    """All batches step together, and yet each query sees only what its own batch has left."""
    problem, batch_of = _night(seed)
    for a in (0.0, 0.2, 0.7, 1.0):
        assert one_by_one(problem, batch_of, a, fallback).tolist() == _naively(problem, batch_of, a, fallback)


@pytest.mark.parametrize("fallback", Fallback)
def test_every_batch_keeps_its_budget_and_capacities(fallback: Fallback) -> None:
    """And nobody gets a model that may not take the query."""
    problem, batch_of = _night(11, n=500, batches=7)
    model = one_by_one(problem, batch_of, 0.6, fallback)
    served = np.flatnonzero(model >= 0)
    paid = np.bincount(batch_of[served], problem.cost[served, model[served]].astype(float), minlength=8)[1:]
    size = np.bincount(batch_of, minlength=8)[1:]
    assert (paid <= problem.budget * size / len(problem) + 1e-9).all()
    assert problem.eligible is not None
    assert problem.eligible[served, model[served]].all()
    for b in range(1, 8):
        load = np.bincount(model[served[batch_of[served] == b]], minlength=4)
        assert (load <= problem.capacity).all()


def test_nobody_goes_unserved_whom_the_cheapest_model_could_serve() -> None:
    """What the rest of the batch needs at least is kept back; by hand: two of three take the cheap model."""
    quality = np.tile(np.array([[0.9, 0.3]], np.float32), (3, 1))
    cost = np.tile(np.array([[1.0, 0.1]], np.float32), (3, 1))
    problem = Problem(quality, cost, np.ones(3), 1.3, np.array([3, 3]))
    assert one_by_one(problem, np.ones(3, int), 1.0, Fallback.BEST_FEASIBLE).tolist() == [0, 1, 1]


def test_teams_and_deadlines_are_refused_by_name() -> None:
    problem, batch_of = _night(0)
    late = replace(problem, last_batch=np.full(len(problem), 2, np.int32))
    with pytest.raises(ProblemError, match="last_batch"):
        one_by_one(late, batch_of, 0.5, Fallback.UNSERVED)
