"""The checker finds what is broken, whatever the solution says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from routing_core.errors import SolverError
from routing_core.route.problem import Problem
from routing_core.route.solve import Solution, Status, solve
from routing_core.route.verify import verify


def _moved(solution: Solution, row: int, model: int, batch: int) -> Solution:
    models, batches = solution.model.copy(), solution.batch.copy()
    models[row], batches[row] = model, batch
    return replace(solution, model=models, batch=batches)


@pytest.fixture
def night() -> Problem:
    quality = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], np.float32)
    cost = np.array([[1.0, 0.5], [1.0, 0.5], [1.0, 0.5]], np.float32)
    return Problem(
        quality,
        cost,
        np.zeros(3),
        budget=2.5,
        capacity=np.array([1, 1]),
        batches=2,
        eligible=np.array([[1, 1], [1, 1], [0, 1]], bool),
        team=np.array([0, -1, -1], np.int32),
        team_budget=np.array([1.0]),
        last_batch=np.array([1, 2, 2], np.int32),
    )


BREAKS: list[tuple[Callable[[Solution], Solution], str]] = [
    (lambda s: _moved(s, 2, 0, 2), "not eligible"),
    (lambda s: _moved(s, 1, 0, 1), "batch 1 gives model 0 2 queries, capacity 1"),
    (lambda s: _moved(s, 0, 0, 2), "after their last batch"),
    (lambda s: _moved(s, 0, 0, 3), "outside batches 1 to 2"),
    (lambda s: _moved(s, 0, 5, 1), "model must be in"),
    (lambda s: _moved(s, 0, -1, 1), "a deferred query has a batch"),
    (lambda s: replace(s, model=s.model[:2]), "model has shape"),
    (lambda s: replace(s, objective=s.objective + 0.1), "objective is reported"),
    (lambda s: replace(s, bound=s.objective - 0.1), "is below the objective"),
    (lambda s: replace(s, spend=0.0), "spend is reported"),
    (lambda s: replace(s, load=s.load + 1), "load is reported"),
    (lambda s: replace(s, gap=0.5), "gap is reported"),
    (lambda s: replace(s, status=Status.UNDETERMINED), "status is undetermined"),
]


def test_a_sound_solution_passes(night: Problem) -> None:
    """The plan worked out by hand: two on the good model, the last on the other."""
    solution = solve(night)
    assert solution.model.tolist() == [0, 0, 1]
    assert solution.objective == pytest.approx(2.0)
    assert verify(night, solution).ok


@pytest.mark.parametrize(("break_", "message"), BREAKS, ids=[message[:20] for _, message in BREAKS])
def test_every_kind_of_break_is_found(night: Problem, break_: Callable[[Solution], Solution], message: str) -> None:
    """One fault at a time, each told by name."""
    with pytest.raises(SolverError, match=message):
        verify(night, break_(solve(night))).raise_if_broken()


def test_overspending_is_found(night: Problem, kit: Any) -> None:
    """The night's budget and a team's, against a plan made under richer ones."""
    solution = solve(night)
    assert "over the budget" in str(verify(replace(night, budget=2.0), solution).violations)
    assert "team 0 spends" in str(verify(replace(night, team_budget=np.array([0.5])), solution).violations)


def test_what_is_called_proven_has_the_gap_that_was_asked_for(night: Problem) -> None:
    """A sound plan whose bound leaves five per cent open: proven at ten, not at one."""
    solution = solve(night)
    loose = replace(solution, bound=solution.objective / 0.95, gap=0.05)
    assert verify(night, loose, 0.1).ok
    assert "status is proven, but the gap is 0.05" in str(verify(night, loose, 0.01).violations)
    assert verify(night, replace(loose, status=Status.LIMITED), 0.01).ok
