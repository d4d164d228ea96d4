"""Exploration: within every limit, reproducible, and with the probabilities it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from routing_core.records.assignments import DEFERRED
from routing_core.route.explore import lottery
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.solve import solve
from routing_core.route.verify import verify

SHARE = 0.2


def _night(seed: int = 0, n: int = 400, **more: Any) -> Problem:
    rng = np.random.default_rng(seed)
    usual: dict[str, Any] = {
        "quality": rng.uniform(0.2, 0.9, (n, 4)).astype(np.float32),
        "cost": (np.array([1e-4, 2e-4, 5e-4, 2e-3]) * rng.uniform(0.5, 1.5, (n, 4))).astype(np.float32),
        "penalty": np.full(n, 0.05),
        "budget": 0.12,
        "capacity": np.array([int(UNLIMITED), 60, 60, 30]),
        "batches": 2,
    }
    return Problem(**(usual | more))


@pytest.mark.parametrize("seed", range(4))
def test_a_night_that_explores_holds_every_limit(seed: int):
    rng = np.random.default_rng(seed)
    problem = _night(
        seed,
        eligible=rng.random((400, 4)) < 0.8,
        team=rng.integers(-1, 2, 400, dtype=np.int32),
        team_budget=np.array([0.01, 0.04]),
        last_batch=rng.integers(0, 3, 400, dtype=np.int32),
    )
    drawn = lottery(problem, solve(problem), SHARE, rng.random(400))
    held = drawn.held(problem)
    plan = solve(held)
    verify(held, plan).raise_if_broken()
    explored = drawn.drawn != DEFERRED
    assert explored.any()
    assert problem.last_batch is not None
    assert (problem.last_batch[explored] == 2).all()
    assert np.isin(plan.model[explored], (DEFERRED, *range(4))).all()
    served = explored & (plan.model != DEFERRED)
    assert (plan.model[served] == drawn.drawn[served]).all()


def test_expected_queries_and_spend_stay_within_the_share_of_each_limit():
    problem = _night(capacity=np.array([int(UNLIMITED), 60, 5, 1]))
    drawn = lottery(problem, solve(problem), SHARE, np.zeros(400))
    assert (drawn.chance.sum(axis=1) <= SHARE + 1e-6).all()
    assert (drawn.chance.sum(axis=0) <= SHARE * problem.capacity * problem.batches + 1e-4).all()
    assert float((drawn.chance * problem.cost).sum()) <= SHARE * problem.budget * (1 + 1e-6)


def test_no_number_however_unlucky_breaks_a_limit():
    """All are drawn at once to the dearest of their models; the limits keep only as many as they can."""
    problem = _night(capacity=np.array([3, 3, 3, 3]), batches=1, budget=0.01)
    plan = solve(problem)
    numbers = lottery(problem, plan, SHARE, np.full(400, 0.999)).chance.sum(axis=1) - 1e-9
    drawn = lottery(problem, plan, SHARE, np.maximum(numbers.astype(np.float64), 0.0))
    held = drawn.held(problem)
    verify(held, solve(held)).raise_if_broken()
    chosen = np.flatnonzero(drawn.drawn != DEFERRED)
    assert (np.bincount(drawn.drawn[chosen], minlength=4) <= 3).all()
    assert problem.cost[chosen, drawn.drawn[chosen]].sum() <= 0.01


def test_how_often_a_query_gets_a_model_is_the_propensity_it_is_logged_with():
    """200 nights of other numbers: each decision as often as its propensity says."""
    problem = _night(n=120, budget=0.05, capacity=np.array([int(UNLIMITED), 30, 30, 15]))
    plan, rng = solve(problem), np.random.default_rng(7)
    nights, spot = 200, np.arange(120)
    weights, squares = np.zeros((120, 5)), np.zeros((120, 5))
    for _ in range(nights):
        drawn = lottery(problem, plan, SHARE, rng.random(120))
        held = solve(drawn.held(problem))
        model, propensity = held.model, drawn.propensity(problem, held)
        assert ((propensity > 0) & (propensity <= 1)).all()
        weights[spot, model] += 1 / propensity
        squares[spot, model] += 1 / propensity**2
    # Of right propensities, the weights of a decision add up to the nights, whatever else was drawn.
    seen = drawn.chance > 0.02
    error = np.sqrt(np.maximum(squares - nights, 1.0))[:, :4]
    off = np.abs(weights[:, :4] - nights) > 3 * error
    # A drawn query's plan is told by prices, so a near-tie may be taken for the other one.
    assert (off & seen).sum() <= 0.06 * seen.sum()
    assert seen.sum() > 100
    assert abs(weights[:, :4][seen].mean() / nights - 1) < 0.03
