"""Queries that are alike are counted, and nights of few kinds are priced and split exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from routing_core.route.coupling import couple
from routing_core.route.kinds import fingerprints, grouped
from routing_core.route.problem import Problem
from routing_core.route.rows import Rows
from routing_core.route.solve import Parameters, Status, solve
from routing_core.route.verify import verify


def _repeated(kit: Any, kinds: int, n: int, **more: Any) -> Problem:
    """A night of ``n`` queries of few kinds, in no order."""
    few, rng = kit.night(kinds, 5, seed=4), np.random.default_rng(7)
    drawn = rng.integers(0, kinds, n)
    best = few.cost[np.arange(kinds), few.quality.argmax(axis=1)]
    fields = {
        "quality": few.quality[drawn],
        "cost": few.cost[drawn],
        "penalty": few.penalty[drawn],
        "budget": 0.4 * float(best[drawn].sum(dtype=np.float64)),
        "capacity": np.full(5, n // 4),
    }
    return Problem(**{**fields, **more})


@pytest.mark.parametrize(("kinds", "n"), [(3, 600), (40, 3000), (300, 12_000), (900, 60_000)])
def test_a_night_of_few_kinds_is_proven_to_a_millionth(kit: Any, kinds: int, n: int) -> None:
    """Ties by the hundred, at every size of the solver's own: whole, sampled, screened."""
    night = _repeated(kit, kinds, n)
    solution = solve(night)
    verify(night, solution).raise_if_broken()
    assert solution.status is Status.PROVEN


def test_counting_kinds_changes_no_worth(kit: Any) -> None:
    """The same night with every row a hair different: intervals of objective and bound are as near as the hairs."""
    night = _repeated(kit, 50, 4000)
    hair = np.random.default_rng(0).uniform(0, 1e-6, night.quality.shape).astype(np.float32)
    varied = replace(night, quality=np.clip(night.quality + hair, 0, 1))
    one, other = solve(night), solve(varied, Parameters(core_effort=0.0))
    assert one.objective <= other.bound + 1e-9
    assert other.objective <= one.bound + len(night) * 2e-6


def test_teams_and_deadlines_tell_rows_apart(kit: Any) -> None:
    """Rows of equal estimates are of different kinds if another purse pays or another rule holds."""
    n = 1200
    rng = np.random.default_rng(1)
    night = _repeated(
        kit,
        10,
        n,
        team=rng.integers(-1, 2, n, dtype=np.int32),
        team_budget=np.array([0.02, 0.05]),
        eligible=rng.random((n, 5)) < 0.9,
    )
    rows = Rows(night, couple(night))
    kinds = rows.kinds_of(np.arange(n))
    assert kinds is not None
    first = kinds.first[kinds.member]
    assert (night.team[first] == night.team).all()
    for mine, theirs in zip(rows.options(np.arange(n)), rows.options(first), strict=True):
        assert np.array_equal(mine, theirs)
    solution = solve(night)
    verify(night, solution).raise_if_broken()
    assert solution.gap <= 1e-4


def test_groups_are_in_order_and_give_back_what_they_were_given() -> None:
    """Counted by kind and spread again, every kind keeps its options; by hand."""
    words = np.array([[3, 1], [2, 2], [3, 1], [2, 2], [3, 1]], np.uint32)
    kinds = grouped(fingerprints(words))
    assert kinds.first.tolist() == [0, 1]
    assert kinds.member.tolist() == [0, 1, 0, 1, 0]
    assert kinds.count.tolist() == [3, 2]
    taken = kinds.taken(np.array([0, 1, 2, 1, 0], np.int16), 3)
    assert taken.tolist() == [[2, 0], [0, 2], [1, 0]]
    assert kinds.spread(taken).tolist() == [0, 1, 0, 1, 2]
