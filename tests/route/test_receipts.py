"""Receipts: matched spend, honest intervals, and «no gain» where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from routing_core.records.assignments import DEFERRED
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.receipts import Line, difference, expected, receipt
from routing_core.route.solve import solve
from routing_core.route.verdict import Verdict

NAMES = ("small", "middle", "large")


def _night(n: int = 600, seed: int = 0, **limits: Any) -> Problem:
    """Dearer models are better, by an amount that differs from query to query."""
    rng = np.random.default_rng(seed)
    ease = rng.uniform(0.2, 0.9, n)
    gain = rng.beta(0.5, 2, (n, 1)) * np.array([0.0, 0.5, 1.0])
    quality = np.clip(ease[:, None] + gain, 0, 1).astype(np.float32)
    cost = (np.array([1e-5, 1e-4, 1e-3]) * rng.lognormal(0, 0.6, (n, 1))).astype(np.float32)
    usual: dict[str, Any] = {"budget": 0.12, "capacity": np.full(3, UNLIMITED), "penalty": np.full(n, 0.05)}
    return Problem(quality=quality, cost=cost, **(usual | limits))


def _receipt(problem: Problem, mean: Any = None) -> dict[str, Line]:
    plan = solve(problem)
    mean = problem.quality if mean is None else mean
    lines = receipt(problem, mean, plan.model, lambda rival: solve(rival).model, NAMES)
    return {line.policy: line for line in lines}


def test_rivals_spend_what_the_plan_spends_and_hold_its_capacity():
    lines = _receipt(_night(budget=0.05, capacity=np.array([UNLIMITED, 200, 60])))
    ours = lines["nightshift"]
    assert set(lines) == {"nightshift", "best_single", "per_query", "greedy", "point_estimate"}
    assert lines["per_query"].spend == pytest.approx(ours.spend, rel=2e-3)
    assert all(line.spend <= ours.spend * (1 + 1e-9) for line in lines.values())
    assert lines["per_query"].served == 600


def test_a_per_query_rival_whose_spend_jumps_still_spends_what_the_plan_spends():
    """Three kinds of estimates alone: every trade-off decides a whole kind, so some of a kind take the one above."""
    kind = np.random.default_rng(0).integers(0, 3, 2000)
    quality = np.array([[0.5, 0.8], [0.4, 0.7], [0.6, 0.85]], np.float32)[kind]
    cost = np.array([[0.001, 0.01]] * 3, np.float32)[kind]
    lines = _receipt(Problem(quality, cost, np.full(2000, 0.2), 9.0, np.full(2, UNLIMITED)))
    assert lines["per_query"].spend == pytest.approx(lines["nightshift"].spend, rel=2e-3)
    assert lines["per_query"].verdict is Verdict.NO_GAIN
    assert "% of them drawn evenly, at " in lines["per_query"].words


def test_a_rival_that_cannot_spend_as_much_is_not_compared():
    """Two queries: per query, the dear model is for both or, where the purse ends, for one of them at far less."""
    quality, cost = np.array([[0.5, 0.6, 0.9]] * 2, np.float32), np.array([[1.0, 4.0, 10.0]] * 2, np.float32)
    ours = np.array([1, 1], np.int16)
    problem = Problem(quality, cost, np.zeros(2), 8.0, np.full(3, UNLIMITED))
    line = next(line for line in receipt(problem, quality, ours, lambda _: ours, NAMES) if line.policy == "per_query")
    assert line.spend == pytest.approx(2.0)
    assert line.verdict is Verdict.UNMATCHED
    assert line.words.startswith("spend not matched: ")
    assert line.words.endswith("at 25.0% of the plan's spend")


def test_greedy_spends_what_the_plan_spends_and_comes_near_it():
    """Whoever has the best value per USD is moved up again while there is money: no strawman at a third of it."""
    rng = np.random.default_rng(0)
    quality = np.sort(rng.random((2000, 3)), axis=1).astype(np.float32)
    cost = (np.geomspace(1e-4, 1e-2, 3) * rng.uniform(0.5, 1.5, (2000, 3))).astype(np.float32)
    lines = _receipt(Problem(quality, cost, np.full(2000, 0.2), 6.0, np.full(3, UNLIMITED)))
    ours, greedy = lines["nightshift"], lines["greedy"]
    assert greedy.spend == pytest.approx(ours.spend, rel=1e-3)
    assert greedy.quality.mean == pytest.approx(ours.quality.mean, rel=1e-3)


def test_joint_planning_gains_over_each_rival_where_limits_bind():
    """Strong models are scarce, and queries that profit little come first."""
    problem = _night(2000, capacity=np.array([UNLIMITED, 300, 100]), budget=0.3, penalty=np.full(2000, 0.05))
    lines = _receipt(problem)
    for policy in ("best_single", "per_query"):
        assert lines[policy].verdict is Verdict.GAIN, policy
        assert lines[policy].words.startswith("gain: +")


def test_where_every_query_can_have_its_best_model_there_is_no_gain():
    lines = _receipt(_night(budget=np.inf))
    for policy in ("per_query", "point_estimate"):
        gain = lines[policy].gain
        assert gain is not None
        assert (gain.lower, gain.mean, gain.upper) == (0.0, 0.0, 0.0)
        assert lines[policy].words.startswith("no gain: ")


def test_models_that_cost_nothing_leave_a_per_query_rival_its_best_ones():
    night = _night()
    lines = _receipt(Problem(night.quality, np.zeros_like(night.cost), night.penalty, 10.0, night.capacity))
    assert lines["per_query"].quality.mean == lines["nightshift"].quality.mean
    assert lines["per_query"].verdict is Verdict.NO_GAIN


def test_what_a_sample_of_a_large_night_would_spend_decides_nothing():
    """One query costs nearly all of the budget, and is in the sample that trade-offs are looked for in first."""
    n = 40_000
    cost = np.tile(np.array([1e-5, 1e-4], np.float32), (n, 1))
    cost[0], cost[1, 0] = (50, 100), 4.5
    quality = np.tile(np.array([0.3, 0.9], np.float32), (n, 1))
    problem = Problem(quality, cost, np.full(n, 0.05), 110.0, np.full(2, UNLIMITED))
    lines = _receipt(problem)
    assert lines["per_query"].quality.mean == lines["nightshift"].quality.mean == pytest.approx(0.9)
    assert lines["per_query"].verdict is Verdict.NO_GAIN


def test_models_that_differ_by_noise_alone_give_no_gain():
    """The plan picks the luckiest estimates; the interval knows that answers vary more than that."""
    rng = np.random.default_rng(5)
    n = 3000
    noisy = np.clip(rng.uniform(0.4, 0.8, (n, 1)) + rng.normal(0, 0.01, (n, 3)), 0, 1).astype(np.float32)
    same = np.full((n, 3), 1e-4, dtype=np.float32)
    problem = Problem(noisy, same, np.full(n, 0.05), budget=1.0, capacity=np.full(3, n // 2))
    for line in _receipt(problem).values():
        assert line.verdict in (None, Verdict.NO_GAIN), line.policy


def test_a_night_too_poor_for_the_cheapest_model_is_still_compared_at_its_spend():
    lines = _receipt(_night(budget=0.002))
    assert lines["nightshift"].served < 600
    assert all(line.spend <= lines["nightshift"].spend * (1 + 1e-9) for line in lines.values())


def test_planning_on_lower_estimates_shows_what_that_costs_in_expectation():
    problem = _night()
    mean = np.clip(problem.quality + np.array([0.0, 0.02, 0.15], np.float32), 0, 1).astype(np.float32)
    gain = _receipt(problem, mean)["point_estimate"].gain
    assert gain is not None
    assert gain.mean <= 1e-6


def test_the_intervals_are_those_of_the_closed_form():
    """Four queries by hand: ours .5 .5 .8 and one deferred; theirs the same on the first, else worse."""
    quality = np.array([[0.5, 0.1], [0.2, 0.5], [0.8, 0.6], [0.9, 0.9]], dtype=np.float32)
    ours, theirs = np.array([0, 1, 0, DEFERRED], np.int16), np.array([0, 0, 1, DEFERRED], np.int16)
    own = expected(quality, ours)
    assert own.mean == pytest.approx(0.45)
    assert own.upper - own.mean == pytest.approx(1.959964 * np.sqrt(0.45 * 0.55 / 4), rel=1e-6)
    paired = difference(quality, ours, theirs)
    luck = (0.5 * 0.5 + 0.2 * 0.8) + (0.8 * 0.2 + 0.6 * 0.4)
    variance = (0.3**2 + 0.2**2 + luck) / 4 - 0.125**2
    assert paired.mean == pytest.approx(0.125)
    assert paired.mean - paired.lower == pytest.approx(1.959964 * np.sqrt(variance / 4), rel=1e-6)


def test_the_interval_of_the_difference_covers_what_nights_realise():
    """Answers drawn many times around the estimates: at least 95 of 100 realised differences lie within."""
    problem = _night(400, seed=3, capacity=np.array([UNLIMITED, 100, 30]), budget=0.05, penalty=np.full(400, 0.05))
    rng = np.random.default_rng(1)
    ours, theirs = solve(problem).model, problem.quality.argmax(axis=1).astype(np.int16)
    gain = difference(problem.quality, ours, theirs)
    spot = np.arange(400)
    within = 0
    for _ in range(200):
        answers = rng.random(problem.quality.shape) < problem.quality
        mine = np.where(ours == DEFERRED, 0, answers[spot, np.maximum(ours, 0)])
        within += gain.lower <= float((mine - answers[spot, theirs].astype(float)).mean()) <= gain.upper
    assert within >= 190
