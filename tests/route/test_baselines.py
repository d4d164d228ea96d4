"""Baselines hold the same limits as a plan, and are what they are called."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_core.route.baselines import (
    Fallback,
    Routed,
    at_random,
    best_single,
    calibrated,
    greedy_fill,
    per_query,
)
from routing_core.route.counter import greatest_first
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.solve import solve
from routing_core.route.verify import verify


def _all(problem: Problem) -> list[Routed]:
    routed = [per_query(problem, 0.9, fallback) for fallback in Fallback]
    return [*routed, best_single(problem), greedy_fill(problem), at_random(problem, 4)]


@pytest.mark.parametrize("seed", range(6))
def test_baselines_hold_every_limit_and_never_beat_the_bound(kit: Any, seed: int) -> None:
    """Budgets, capacities, teams, deadlines, eligibility: checked by the same code as a plan."""
    rng = np.random.default_rng(seed)
    n = 400
    night = kit.night(
        n,
        4,
        seed=seed,
        batches=3,
        capacity=np.array([20, 25, 30, 20]),
        eligible=rng.random((n, 4)) < 0.8,
        team=rng.integers(-1, 2, n, dtype=np.int32),
        team_budget=np.array([0.02, 0.2]),
        last_batch=rng.integers(0, 4, n, dtype=np.int32),
    )
    plan = solve(night)
    for routed in _all(night):
        as_solution = replace(
            plan,
            model=routed.model,
            batch=routed.batch,
            objective=routed.objective,
            spend=routed.spend,
            load=routed.load,
        )
        broken = [v for v in verify(night, as_solution).violations if not v.startswith("gap")]
        assert not broken


@pytest.fixture
def three() -> Problem:
    """Three queries, a good dear model with one slot, a middling one and a cheap poor one."""
    quality = np.tile(np.array([[0.9, 0.6, 0.3]], np.float32), (3, 1))
    cost = np.tile(np.array([[1.0, 0.5, 0.1]], np.float32), (3, 1))
    return Problem(quality, cost, np.zeros(3), 10.0, np.array([1, 3, 3]))


@pytest.mark.parametrize(
    ("fallback", "models"),
    [(Fallback.CHEAPEST_FEASIBLE, [0, 2, 2]), (Fallback.BEST_FEASIBLE, [0, 1, 1]), (Fallback.UNSERVED, [0, -1, -1])],
)
def test_overflow_goes_where_the_fallback_says(three: Problem, fallback: Fallback, models: list[int]) -> None:
    """All want the best model, one fits; by hand."""
    assert per_query(three, 1.0, fallback).model.tolist() == models


def test_the_trade_off_runs_from_cheapest_to_best(three: Problem) -> None:
    """At a = 0 only cost counts, at a = 1 only quality."""
    roomy = replace(three, capacity=np.array([3, 3, 3]))
    assert per_query(roomy, 0.0, Fallback.UNSERVED).model.tolist() == [2, 2, 2]
    assert per_query(roomy, 1.0, Fallback.UNSERVED).model.tolist() == [0, 0, 0]


def test_calibration_meets_the_spend_it_is_given(kit: Any) -> None:
    """Bisection on the trade-off: within one per cent, never above it."""
    night = kit.night(3000, 6, budget=5.0, room=20.0)
    target = 0.5 * per_query(night, 1.0, Fallback.UNSERVED).spend
    _, routed = calibrated(night, Fallback.CHEAPEST_FEASIBLE, target)
    assert routed.spend == pytest.approx(target, rel=0.01)


@pytest.mark.parametrize("near", [1e-9, 0.003, 0.02, 0.999])
def test_calibration_meets_its_spend_however_wrong_the_trade_off_thought_near(kit: Any, near: float) -> None:
    """What a sample suggests is tried first and binds nobody."""
    night = kit.night(3000, 6, budget=5.0, room=20.0)
    target = 0.5 * per_query(night, 1.0, Fallback.UNSERVED).spend
    _, routed = calibrated(night, Fallback.CHEAPEST_FEASIBLE, target, within=1e-3, near=near)
    assert routed.spend == pytest.approx(target, rel=1e-3)


def test_the_best_single_model_is_the_best_of_all_single_ones(three: Problem) -> None:
    """Three at 0.6 beat one at 0.9."""
    assert best_single(three).model.tolist() == [1, 1, 1]


@pytest.mark.parametrize("seed", [10, 11, 16])
def test_greedy_is_no_strawman_where_cheap_models_are_crowded(seed: int) -> None:
    """Queries that start cheap and move on take room from those behind: it starts served too, and the better counts."""
    rng = np.random.default_rng(seed)
    n, m = 1000, 5
    quality = np.clip(rng.random((n, 1)) + rng.beta(0.5, 2, (n, m)) * np.linspace(0, 1, m), 0, 1).astype(np.float32)
    cost = (np.geomspace(1e-4, 1e-2, m) * rng.lognormal(0, 0.6, (n, 1))).astype(np.float32)
    crowded = Problem(quality, cost, np.full(n, 0.1), 1.0, rng.integers(50, 600, m))
    routed = greedy_fill(crowded)
    assert routed.objective >= 0.93 * solve(crowded).objective
    assert routed.spend <= crowded.budget


def test_random_is_the_same_for_the_same_seed(kit: Any) -> None:
    """And another for another."""
    night = kit.night(200, 4, budget=5.0, room=9.0)
    assert np.array_equal(at_random(night, 1).model, at_random(night, 1).model)
    assert not np.array_equal(at_random(night, 1).model, at_random(night, 2).model)


def test_greedy_serves_what_is_free_and_worth_more_than_a_number_holds():
    """A step may be worth infinitely much per USD; one that may not be taken is worth nothing beside it."""
    problem = Problem(
        quality=np.full((3, 2), 0.5, np.float32),
        cost=np.tile(np.array([0.0, 1.0], np.float32), (3, 1)),
        penalty=np.full(3, 1e25),
        budget=10.0,
        capacity=np.full(2, UNLIMITED),
        eligible=np.tile(np.array([False, True]), (3, 1)),
    )
    assert greedy_fill(problem).model.tolist() == [1, 1, 1]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1e-30, 0.5, 0.5000001, 1.0, 3e15, float("inf")]), max_size=40))
def test_steps_are_takengreatest_first_and_ties_in_their_order(values: list[float]):
    """The bits that are sorted in place of numbers give the order that numbers have."""
    density = np.array(values, np.float32)
    np.testing.assert_array_equal(greatest_first(density), np.argsort(-density, kind="stable"))
