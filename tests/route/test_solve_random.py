"""Small random problems, against an answer found by looking at every decision."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing_core.route.problem import Problem
from routing_core.route.solve import Parameters, Status, solve
from routing_core.route.verify import verify

QUICK = settings(derandomize=True, deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
LONG = settings(QUICK, max_examples=2500)


def _agrees(kit: Any, problem: Problem) -> None:
    solution = solve(problem)
    verify(problem, solution).raise_if_broken()
    optimum = kit.optimum(problem)
    scale = 1e-9 * (1 + abs(optimum))
    served = solution.bound + float(problem.penalty.sum())
    assert solution.objective <= optimum + scale, "no decision can be worth more than the optimum"
    assert optimum <= solution.bound + scale, "the bound must hold"
    assert solution.objective >= optimum - solution.gap * served - scale, "the gap must hold"
    assert solution.status is Status.PROVEN, f"so small a problem must be closed, gap {solution.gap}"


@QUICK
@given(data=st.data())
def test_never_infeasible_and_never_below_the_proven_gap(kit: Any, data: st.DataObject) -> None:
    """Ties, zero budgets and capacities, wild costs: feasible, bounded, proven, and verify agrees."""
    _agrees(kit, data.draw(kit.small()))


@pytest.mark.big
@LONG
@given(data=st.data())
def test_never_infeasible_and_never_below_the_proven_gap_at_length(kit: Any, data: st.DataObject) -> None:
    """The same over thousands of problems."""
    _agrees(kit, data.draw(kit.small()))


@settings(QUICK, max_examples=60)
@given(data=st.data())
def test_budgeted_uncertainty_agrees_with_every_decision(kit: Any, data: st.DataObject) -> None:
    """Γ over the served queries: the same promises as without."""
    _agrees(kit, data.draw(kit.small(robust=True)))


@settings(QUICK, max_examples=60)
@given(data=st.data())
def test_an_early_stop_still_tells_the_truth(kit: Any, data: st.DataObject) -> None:
    """With hardly any passes and no exact core, the plan is feasible and its gap honest."""
    problem = data.draw(kit.small())
    solution = solve(problem, Parameters(max_passes=2, core_effort=0.0))
    verify(problem, solution).raise_if_broken()
    optimum = kit.optimum(problem)
    assert solution.objective <= optimum + 1e-9 <= solution.bound + 2e-9 * (1 + abs(optimum))


@pytest.mark.parametrize("pool", [1, 2])
@settings(QUICK, max_examples=150)
@given(data=st.data())
def test_rows_settled_by_prices_do_not_narrow_what_is_proven(kit: Any, data: st.DataObject, pool: int) -> None:
    """Where all but a row or two are settled from a tiny sample, the bound still holds for every decision."""
    problem = data.draw(kit.small())
    solution = solve(problem, Parameters(pool=pool, sample=pool + 1))
    verify(problem, solution).raise_if_broken()
    optimum = kit.optimum(problem)
    assert solution.objective <= optimum + 1e-9 * (1 + abs(optimum))
    assert optimum <= solution.bound + 1e-9 * (1 + abs(optimum))
