"""What must not change a plan's worth, and what may only change it one way; inexact solves as intervals."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from routing_core.route.problem import Problem
from routing_core.route.solve import Solution, solve


def _overlap(one: Solution, other: Solution) -> bool:
    slack = 1e-9 * (1 + abs(one.bound))
    return one.objective <= other.bound + slack and other.objective <= one.bound + slack


def _not_worse(better: Solution, worse: Solution) -> bool:
    return worse.objective <= better.bound + 1e-9 * (1 + abs(better.bound))


@pytest.fixture(params=[(60, 0.4, 1.1), (700, 0.3, 0.6), (6000, 0.2, 0.9)], ids=["small", "tight", "pooled"])
def problem(request: pytest.FixtureRequest, kit: Any) -> Problem:
    n, budget, room = request.param
    made: Problem = kit.night(n, 5, budget=budget, room=room)
    return made


def test_permuting_queries_changes_no_worth(problem: Problem) -> None:
    """The order of rows breaks ties and nothing else."""
    turn = np.random.default_rng(3).permutation(len(problem))
    turned = replace(problem, quality=problem.quality[turn], cost=problem.cost[turn], penalty=problem.penalty[turn])
    assert _overlap(solve(problem), solve(turned))


def test_scaling_costs_and_budget_together_changes_no_worth(problem: Problem) -> None:
    """The unit of money does not matter; a power of two scales float32 exactly."""
    scaled = replace(problem, cost=problem.cost * np.float32(1024), budget=problem.budget * 1024)
    assert _overlap(solve(problem), solve(scaled))


def test_a_useless_model_changes_no_worth(problem: Problem) -> None:
    """A model that answers badly and that no budget could pay for once is as good as absent."""
    none = np.zeros((len(problem), 1), dtype=np.float32)
    dear = np.full((len(problem), 1), problem.budget * 2, dtype=np.float32)
    wider = replace(
        problem,
        quality=np.hstack([problem.quality, none]),
        cost=np.hstack([problem.cost, dear]),
        capacity=np.append(problem.capacity, len(problem)),
    )
    assert _overlap(solve(problem), solve(wider))


def test_more_budget_never_hurts(problem: Problem) -> None:
    """Half as much again cannot lower the optimum."""
    assert _not_worse(solve(replace(problem, budget=problem.budget * 1.5)), solve(problem))


def test_more_capacity_never_hurts(problem: Problem) -> None:
    """One more slot everywhere cannot lower the optimum."""
    assert _not_worse(solve(replace(problem, capacity=problem.capacity + 1)), solve(problem))


def test_fewer_eligible_pairs_never_help(problem: Problem) -> None:
    """Forbidding pairs cannot raise the optimum."""
    eligible = np.random.default_rng(5).random(problem.quality.shape) < 0.6
    assert _not_worse(solve(problem), solve(replace(problem, eligible=eligible)))


def test_wider_uncertainty_never_raises_the_robust_optimum(kit: Any) -> None:
    """A larger Γ, or larger deviations, only take away."""
    night = kit.night(40, 4, budget=0.5)
    deviation = np.random.default_rng(1).choice([0.05, 0.1, 0.3], night.quality.shape).astype(np.float32)
    plans = [solve(replace(night, deviation=deviation, gamma=gamma)) for gamma in (0.0, 2.0, 5.0, 40.0)]
    for narrow, wide in pairwise(plans):
        assert _not_worse(narrow, wide)
    larger = solve(replace(night, deviation=deviation * 2, gamma=5.0))
    assert _not_worse(plans[2], larger)


def test_doubling_the_batches_is_doubling_the_capacity(kit: Any) -> None:
    """A planned night has B·K slots, however they are dealt."""
    one = kit.night(300, 4, room=0.8)
    two = replace(one, batches=2, capacity=one.capacity)
    wide = replace(one, capacity=one.capacity * 2)
    assert _overlap(solve(two), solve(wide))
