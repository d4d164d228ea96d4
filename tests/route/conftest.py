"""Random problems, and an answer to the small ones found by looking at every decision there is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from routing_core.route.problem import ROUNDING, Problem


def every_decision(problem: Problem) -> float:
    """The optimum over all (n_models + 1)ⁿ decisions, sharing no code with the solver."""
    n, m = problem.quality.shape
    plans = np.array(list(itertools.product(range(m + 1), repeat=n)), dtype=np.int64)
    spot, served = np.arange(n), plans < m
    at = np.minimum(plans, m - 1)
    cost = np.where(served, problem.cost.astype(np.float64)[spot, at], 0.0)
    allowed = cost.sum(axis=1) <= problem.budget * (1 + ROUNDING)
    if problem.eligible is not None:
        allowed &= (~served | problem.eligible[spot, at]).all(axis=1)
    if problem.team is not None and problem.team_budget is not None:
        for t, usd in enumerate(problem.team_budget):
            allowed &= cost[:, problem.team == t].sum(axis=1) <= usd * (1 + ROUNDING)
    due = np.full(n, problem.batches) if problem.last_batch is None else problem.last_batch
    for j in range(m):
        for batch in range(problem.batches + 1):
            room = min(int(problem.capacity[j]), n) * batch
            allowed &= ((plans == j) & (due <= batch)).sum(axis=1) <= room
    value = np.where(served, problem.quality.astype(np.float64)[spot, at], -problem.penalty.astype(np.float64))
    worth = value.sum(axis=1)
    if problem.deviation is not None and problem.gamma > 0:
        worth -= _shortfall(np.where(served, problem.deviation.astype(np.float64)[spot, at], 0.0), problem.gamma)
    return float(worth[allowed].max())


def _shortfall(deviation: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """Γ largest of every row, the last in part."""
    largest = -np.sort(-deviation, axis=1)
    taken = np.clip(gamma - np.arange(deviation.shape[1]), 0.0, 1.0)
    shortfall: NDArray[np.float64] = largest @ taken
    return shortfall


@st.composite
def small_problems(draw: st.DrawFn, robust: bool = False) -> Problem:
    """Problems of up to six queries: ties, zero budgets and capacities, costs from 1e-9 to 1e3 USD."""
    n, m = draw(st.integers(1, 5 if robust else 6)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    quality = draw(st.sampled_from([_smooth, _levels, _alike]))(rng, n, m)
    cost = draw(st.sampled_from([_wild_cost, _level_cost, _free, _flat_cost]))(rng, n, m)
    tightness = draw(st.sampled_from([0.0, 0.05, 0.3, 0.7, 1.0, math.inf]))
    dearest = float(cost.max(axis=1).sum(dtype=np.float64))
    batches = draw(st.integers(1, 3))
    with_teams, with_deadlines, with_eligible = (draw(st.booleans()) for _ in range(3))
    return Problem(
        quality=quality,
        cost=cost,
        penalty=rng.choice([0.0, 0.05, 0.3, 2.0], n),
        budget=math.inf if math.isinf(tightness) else tightness * dearest,
        capacity=rng.integers(0, 4, m),
        batches=batches,
        eligible=rng.random((n, m)) < 0.7 if with_eligible else None,
        team=rng.integers(-1, 2, n, dtype=np.int32) if with_teams else None,
        team_budget=rng.choice([0.0, 0.2, 0.6], 2) * dearest if with_teams else None,
        last_batch=rng.integers(0, batches + 1, n, dtype=np.int32) if with_deadlines else None,
        deviation=rng.choice([0.0, 0.1, 0.25, 0.5], (n, m)).astype(np.float32) if robust else None,
        gamma=draw(st.sampled_from([0.5, 1.0, 2.0, 9.0])) if robust else 0.0,
    )


def _smooth(rng: np.random.Generator, n: int, m: int) -> NDArray[np.float32]:
    return rng.random((n, m), dtype=np.float32)


def _levels(rng: np.random.Generator, n: int, m: int) -> NDArray[np.float32]:
    return rng.choice([0.0, 0.5, 0.75, 1.0], (n, m)).astype(np.float32)


def _alike(rng: np.random.Generator, n: int, m: int) -> NDArray[np.float32]:
    return np.tile(rng.random((1, m), dtype=np.float32), (n, 1))


def _wild_cost(rng: np.random.Generator, n: int, m: int) -> NDArray[np.float32]:
    return np.asarray(10.0 ** rng.uniform(-9, 3, (n, m)), dtype=np.float32)


def _level_cost(rng: np.random.Generator, n: int, m: int) -> NDArray[np.float32]:
    return rng.choice([0.25, 0.5, 1.0], (n, m)).astype(np.float32)


def _free(rng: np.random.Generator, n: int, m: int) -> NDArray[np.float32]:
    return np.zeros((n, m), dtype=np.float32)


def _flat_cost(rng: np.random.Generator, n: int, m: int) -> NDArray[np.float32]:
    return np.full((n, m), 0.125, dtype=np.float32)


@dataclass(frozen=True)
class Kit:
    """What the tests of a directory share without importing one another."""

    optimum: Callable[[Problem], float]
    small: Callable[..., st.SearchStrategy[Problem]]
    night: Callable[..., Problem]


def night(n: int, m: int = 11, *, seed: int = 0, budget: float = 0.4, room: float = 1.1, **more: object) -> Problem:
    """A night like a real one; budget as a share of what the best answers cost, room as a share of the queries."""
    rng = np.random.default_rng(seed)
    difficulty, skill = rng.beta(2, 2, (n, 1)), np.linspace(0.35, 0.9, m)
    quality = 1 / (1 + np.exp(-4 * (skill - difficulty) - rng.normal(0, 0.8, (n, m))))
    cost = 5e-5 * np.geomspace(1, 150, m) * rng.lognormal(0, 0.7, (n, 1)) * rng.lognormal(0, 0.25, (n, m))
    best = float(cost[np.arange(n), quality.argmax(axis=1)].sum())
    fields: dict[str, object] = {
        "quality": quality.astype(np.float32),
        "cost": cost.astype(np.float32),
        "penalty": rng.choice([0.02, 0.05, 0.1], n),
        "budget": budget * best,
        "capacity": np.ceil(room * n * rng.dirichlet(np.full(m, 3.0))).astype(np.int64),
    }
    return Problem(**{**fields, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def kit() -> Kit:
    """Problems and the optimum of the small ones."""
    return Kit(every_decision, small_problems, night)
