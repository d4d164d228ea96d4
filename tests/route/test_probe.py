"""Probes go where a newcomer's answers would change decisions, and hold every limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from routing_core.records.assignments import DEFERRED
from routing_core.route.explore import held
from routing_core.route.probe import Probes, admitted, aim, withheld
from routing_core.route.problem import Problem
from routing_core.route.solve import solve
from routing_core.route.verify import verify

NEW = np.array([False, False, True])


def _night(n: int = 200, **limits: object) -> tuple[Problem, Probes]:
    rng = np.random.default_rng(0)
    problem = Problem(
        quality=rng.uniform(0.2, 0.9, (n, 3)).astype(np.float32),
        cost=(np.array([1e-4, 1e-3, 5e-4]) * rng.uniform(0.5, 2, (n, 3))).astype(np.float32),
        penalty=np.full(n, 0.05),
        budget=0.08,
        capacity=np.array([n, 60, 20]),
    )
    problem = replace(problem, **limits)  # type: ignore[arg-type]
    everyone = np.ones((n, 3), dtype=bool)
    return replace(problem, eligible=withheld(everyone, NEW)), Probes(NEW, everyone, quota=12)


def test_probes_are_the_queries_where_the_newcomer_is_nearest_to_being_chosen():
    problem, probes = _night()
    plan = solve(problem)
    drawn = aim(problem, plan, probes)
    rows = np.flatnonzero(drawn != DEFERRED)
    assert len(rows) == 12
    assert (drawn[rows] == 2).all()
    price = plan.prices.budget * problem.cost + np.append(plan.prices.capacity[:2], 0.0)
    worth = problem.quality - price
    margin = worth[:, 2] - np.maximum(worth[:, :2].max(axis=1), -0.05)
    assert set(rows) == set(np.argsort(-margin)[:12])


def test_a_night_that_probes_holds_its_limits_and_gives_the_newcomer_no_more_than_its_quota():
    problem, probes = _night(capacity=np.array([200, 60, 5]), budget=0.03)
    drawn = aim(problem, solve(problem), probes)
    assert 0 < (drawn == 2).sum() <= 5
    posed = held(admitted(problem, drawn), drawn)
    plan = solve(posed)
    verify(posed, plan).raise_if_broken()
    assert set(np.flatnonzero(plan.model == 2)) <= set(np.flatnonzero(drawn == 2))


def test_a_query_that_only_a_newcomer_may_answer_is_not_left_without():
    eligible = np.array([[True, False, True], [False, False, True], [False, True, False]])
    assert withheld(eligible, NEW).tolist() == [[True, False, False], [False, False, True], [False, True, False]]
