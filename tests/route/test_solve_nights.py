"""Whole nights: determinism, ties by the thousand, deadlines and teams, statuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from routing_core.route.coupling import Kind, couple
from routing_core.route.problem import UNLIMITED, Problem
from routing_core.route.solve import Parameters, Solution, Status, solve
from routing_core.route.verify import verify


def _same(one: Solution, other: Solution) -> bool:
    return (
        np.array_equal(one.model, other.model) and np.array_equal(one.batch, other.batch) and one.bound == other.bound
    )


@pytest.mark.parametrize(("budget", "room"), [(0.9, 6.0), (0.35, 1.3), (0.6, 1.05), (0.08, 0.5)])
def test_large_nights_are_proven_within_a_millionth(kit: Any, budget: float, room: float) -> None:
    """Loose, binding, per-model and very tight: a sampled, screened, repaired night is proven and feasible."""
    night = kit.night(100_000, budget=budget, room=room)
    solution = solve(night)
    verify(night, solution).raise_if_broken()
    assert solution.status is Status.PROVEN
    assert solution.passes < 60
    assert solution.core_queries <= Parameters().pool  # no row is left to branch and bound
    assert solution.gap <= 1e-6


def test_threads_and_repetition_change_nothing(kit: Any) -> None:
    """The same night by one thread, by three, and again."""
    night = kit.night(150_000, 6)
    first = solve(night, Parameters(threads=1))
    assert _same(first, solve(night, Parameters(threads=3)))
    assert _same(first, solve(night, Parameters(threads=1)))


def test_memory_mapped_matrices_give_the_same_plan(kit: Any, tmp_path: Path) -> None:
    """Reading from disk is no different from reading from memory."""
    night = kit.night(20_000, 5)
    mapped = {}
    for name in ("quality", "cost"):
        np.save(tmp_path / name, getattr(night, name))
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    assert _same(solve(night), solve(replace(night, **mapped)))


@pytest.mark.parametrize("n", [300, 30_000])
def test_identical_queries_fill_capacity_to_the_last_slot(n: int) -> None:
    """A night of equal rows is one huge tie: its optimum can be counted by hand."""
    quality = np.tile(np.array([[0.9, 0.6, 0.5]], np.float32), (n, 1))
    capacity = np.array([n // 10, n // 5, n // 2])
    night = Problem(quality, np.zeros_like(quality), np.zeros(n), np.inf, capacity)
    solution = solve(night)
    verify(night, solution).raise_if_broken()
    by_hand = float(quality[0].astype(np.float64) @ capacity)
    assert solution.objective == pytest.approx(by_hand, rel=1e-6)
    assert solution.bound >= by_hand * (1 - 1e-12)
    assert solution.gap <= 1e-6


def test_deadlines_and_teams_hold_on_a_crowded_night(kit: Any) -> None:
    """Everybody is in a hurry and two teams are poor: dealt in time, within every purse, and proven."""
    n, rng = 3000, np.random.default_rng(2)
    night = kit.night(
        n,
        4,
        capacity=np.array([40, 40, 40, 40]),
        batches=20,
        last_batch=np.minimum(rng.geometric(0.2, n), 20).astype(np.int32),
        team=rng.integers(-1, 3, n, dtype=np.int32),
        team_budget=np.array([0.05, 0.2, np.inf]),
    )
    solution = solve(night, Parameters(gap=1e-4))
    verify(night, solution).raise_if_broken()
    assert solution.prices.deadline, "hurry must be priced"
    assert solution.prices.team[0] > 0
    assert solution.gap <= 1e-3


def test_nothing_possible_defers_everybody() -> None:
    """No money, no room, nothing eligible: a plan all the same, and a gap of zero."""
    quality = np.full((5, 2), 0.5, np.float32)
    night = Problem(quality, quality, np.ones(5), 0.0, np.array([0, 5]), eligible=np.zeros((5, 2), bool))
    solution = solve(night)
    verify(night, solution).raise_if_broken()
    assert (solution.model == -1).all()
    assert solution.gap == 0.0
    assert solution.objective == pytest.approx(-5.0)


def test_the_wall_clock_is_a_status_of_its_own(kit: Any) -> None:
    """A solve that the safety net ends does not call itself proven."""
    night = kit.night(100, 5, budget=0.08, room=0.5)
    solution = solve(night, Parameters(gap=1e-12, wall_seconds=0.0))
    verify(night, solution).raise_if_broken()
    assert solution.status is Status.TIME_LIMITED


def test_an_unset_status_promises_nothing(kit: Any) -> None:
    """The default of a solution's status is never success."""
    made = solve(kit.night(5, 2))
    fields = {
        name: getattr(made, name) for name in ("model", "batch", "objective", "bound", "gap", "prices", "spend", "load")
    }
    assert Solution(**fields).status is Status.UNDETERMINED


def test_a_night_of_whales_is_not_called_proven_when_a_settled_row_would_pay() -> None:
    """A budget one USD short of one more dear answer: to afford it, many sure cheap answers must change together."""
    rng = np.random.default_rng(0)
    small, dear = 34_000, np.concatenate([rng.uniform(0.0, 0.8, 800), rng.uniform(0.81, 1.0, 8_000)])
    whales, n = len(dear), small + len(dear)
    quality, cost, eligible = np.zeros((n, 2), np.float32), np.zeros((n, 2), np.float32), np.ones((n, 2), np.bool_)
    quality[:whales, 0], cost[:whales, 0], eligible[:whales, 1] = dear, 1000.0, False
    quality[whales:, 0], cost[whales:, 0] = 0.6, 1.0
    quality[whales:, 1] = 0.4 + rng.uniform(0, 1e-3, small)
    afforded = int((dear > 0.4).sum())
    problem = Problem(
        quality, cost, np.zeros(n), afforded * 1000.0 + small - 1, np.full(2, UNLIMITED), eligible=eligible
    )
    solution = solve(problem, Parameters(core_effort=0.5))
    whale = np.sort(quality[:whales, 0])[::-1].astype(np.float64)
    paid, free = quality[whales:, 0].astype(np.float64), quality[whales:, 1].astype(np.float64)
    cheap = np.concatenate([[free.sum()], free.sum() + np.cumsum(np.sort(paid - free)[::-1])])
    by_hand = max(
        whale[:k].sum() + cheap[min(small, int(problem.budget - 1000 * k))]
        for k in range(afforded - 3, afforded + 4)
        if problem.budget >= 1000 * k
    )
    assert solution.objective <= by_hand * (1 + 1e-9)
    assert by_hand <= solution.bound * (1 + 1e-12)


def test_only_teams_that_can_overspend_count_as_limits(kit: Any) -> None:
    """A thousand teams, two of them poor: three groups, and the same plan as with the rich in no team."""
    n = 2000
    team = (np.arange(n) % 1000).astype(np.int32)
    purses = np.full(1000, 1e3)
    night = kit.night(n, 4, budget=4.0, room=9.0, team=team, team_budget=purses)
    purses[[3, 500]] = 0.3 * np.bincount(team, weights=night.cost.max(axis=1))[[3, 500]]
    night = replace(night, team_budget=purses)
    coupling = couple(night)
    assert [limit.index for limit in coupling.limits if limit.kind is Kind.TEAM] == [3, 500]
    assert len(coupling.effect) == 3
    poor = replace(night, team=np.where(np.isin(team, [3, 500]), team, -1).astype(np.int32))
    assert np.array_equal(solve(night).model, solve(poor).model)
    rich = couple(replace(night, team_budget=np.full(1000, 1e3)))
    assert rich.group is None
