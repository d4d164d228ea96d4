"""Exploration: within every limit, reproducible, and with the probabilities it says."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from routing_core.records.assignments import DEFERRED
from routing_core.route.explore import held, lottery
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.solve import Parameters, Prices, solve
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
    lots = lottery(problem, solve(problem), SHARE, rng.random(400))
    plan = lots.as_posed(problem, solve(lots.held(problem)), 1e-6)
    verify(held(problem, lots.drawn), plan, 1e-6).raise_if_broken()
    explored = lots.drawn != DEFERRED
    assert explored.any()
    assert problem.last_batch is not None
    assert (problem.last_batch[explored] == 2).all()
    assert (plan.model[explored] == lots.drawn[explored]).all()


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


def _weights(problem: Problem, nights: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each (query, model), over nights of other numbers: its inverse propensities in all, and their variance.

    Of true propensities p given the other draws, a decision's weights add up to the nights, with variance Σ (1/p − 1);
    where it was not taken, p is taken for the chance by lot alone, which is the least it can be.
    """
    spot, models = np.arange(len(problem)), np.arange(problem.n_models)
    plan, rng = solve(problem), np.random.default_rng(seed)
    quickly = partial(solve, parameters=Parameters(gap=0.02, core_effort=0.01, threads=1))
    total, variance = np.zeros(problem.quality.shape), np.zeros(problem.quality.shape)
    for _ in range(nights):
        lots = lottery(problem, plan, SHARE, rng.random(len(problem)))
        solution = quickly(lots.held(problem))
        propensity = lots.propensity(problem, solution, quickly)
        assert ((propensity > 0) & (propensity <= 1)).all()
        taken = solution.model[:, None] == models
        total += taken / propensity[:, None]
        with np.errstate(divide="ignore"):
            variance += 1 / np.where(taken, propensity[spot, None], lots.chance) - 1
    return total, variance


def test_inverse_propensities_add_up_to_the_nights_whatever_the_others_draw():
    """A small, tight night, where who is drawn turns the plan for others: as often, and as widely, as they say."""
    nights = 200
    problem = _night(n=32, budget=0.012, capacity=np.array([int(UNLIMITED), 8, 8, 4]))
    total, variance = _weights(problem, nights, seed=7)
    seen = np.isfinite(variance)  # never without a chance
    off = (total - nights)[seen] / np.sqrt(variance[seen])
    assert seen.sum() > 60
    assert np.abs(off).max() < 4.5
    assert abs(off.mean()) < 0.25
    assert 0.6 < (off**2).mean() < 1.3


def test_whom_the_limits_put_back_had_no_chance():
    """One slot, two drawn to it: the second is left to the plan, and its propensity is the plan's alone."""
    quality, cost = np.tile(np.array([[0.5, 0.6]], np.float32), (3, 1)), np.full((3, 2), 1e-3, np.float32)
    problem = Problem(quality, cost, np.full(3, 0.05), 1.0, np.array([3, 1]))
    plan = replace(solve(problem), prices=Prices(0.0, np.zeros(2), np.zeros(0)))
    chance = lottery(problem, plan, SHARE, np.full(3, 0.99)).chance
    numbers = np.array([0.99, *(chance[1:, 0] + 1e-6)])
    lots = lottery(problem, plan, SHARE, numbers)
    assert lots.wanted.tolist() == [DEFERRED, 1, 1]
    assert lots.drawn.tolist() == [DEFERRED, 1, DEFERRED]
    assert lots.chance[2].tolist() == [chance[2, 0], 0.0]
    solution = solve(lots.held(problem))
    assert solution.model.tolist() == [0, 1, 0]
    propensity = lots.propensity(problem, solution, solve)
    first, second = chance[0].tolist()
    # Undrawn, the second query would have shared the slot with nobody: the third's draw to it would have stood.
    assert propensity == pytest.approx([1 - second, second, 1.0])
    assert first > 0
