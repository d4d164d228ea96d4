"""Allocate: an :class:`AllocationProblem` in, an :class:`AllocationPlan` that an operator would sign out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from routing_core.allocate.describe import describe, infeasible, value_row
from routing_core.allocate.plan import AllocationPlan, AllocationStatus, Alternative, ValueRow
from routing_core.allocate.problem import AllocationProblem
from routing_core.allocate.reasons import contradictions
from routing_core.allocate.search import AllocationParameters, Found, Search

__all__ = [
    "AllocationParameters",
    "AllocationPlan",
    "AllocationProblem",
    "AllocationStatus",
    "Alternative",
    "ValueRow",
    "allocate",
    "value_table",
]


def allocate(problem: AllocationProblem, parameters: AllocationParameters | None = None) -> AllocationPlan:
    """Decide how many instances of each self-hosted model to run.

    The joint MILP of design.md section 2 over instances and (fractional) assignments, solved to a proven
    gap. Of the allocations that are as good, within ``indifference``, the one with the fewest changes against
    yesterday is taken; without a yesterday, within ``gap``, the one with the fewest GPUs.

    Parameters
    ----------
    problem : AllocationProblem
    parameters : AllocationParameters, optional

    Returns
    -------
    plan : AllocationPlan
        With status ``infeasible`` and the contradiction in ``notes`` when no instances keep every rule.

    Raises
    ------
    SolverError
        If a solver ends without a solution.
    """
    begun = time.perf_counter()
    plan = _allocate(problem, parameters or AllocationParameters())
    return replace(plan, seconds=time.perf_counter() - begun)


def value_table(
    problem: AllocationProblem,
    gpu_type: str,
    upto: int,
    parameters: AllocationParameters | None = None,
) -> tuple[ValueRow, ...]:
    """What 0, 1, …, ``upto`` GPUs of one type are worth, all else as in the problem.

    Parameters
    ----------
    problem : AllocationProblem
    gpu_type : str
    upto : int, at least 0
    parameters : AllocationParameters, optional

    Returns
    -------
    rows : tuple of ValueRow, length upto + 1
        Each proven within ``gap``; what is learnt for one budget serves the next.
    """
    parameters = parameters or AllocationParameters()
    widest = replace(problem, gpu_budget={**problem.gpu_budget, gpu_type: upto})
    rows: list[ValueRow] = []
    search = None if contradictions(widest) else Search(widest, parameters)
    for gpus in range(upto + 1):
        found = None if search is None else search.best({**problem.gpu_budget, gpu_type: gpus})
        if search is None or found is None:
            rows.append(ValueRow(gpus, 0.0, 0.0, 0.0, {}, 0.0, feasible=False))
            continue
        rows.append(value_row(search, found.best, gpus, rows[-1] if rows else None))
    return tuple(rows)


def _allocate(problem: AllocationProblem, parameters: AllocationParameters) -> AllocationPlan:
    blocked = contradictions(problem)
    if blocked:
        return infeasible(problem, blocked)
    search = Search(_with_more_gpus(problem, 1 if parameters.shadow_prices else 0), parameters)
    found = search.best(problem.gpu_budget)
    if found is None:
        return infeasible(problem, _change_contradiction(search, problem.gpu_budget))
    chosen = search.simplest(problem.gpu_budget, found)
    shadow = _shadow_prices(search, problem.gpu_budget, found) if parameters.shadow_prices else {}
    return describe(search, problem.gpu_budget, found, chosen, shadow)


def _with_more_gpus(problem: AllocationProblem, more: int) -> AllocationProblem:
    """The problem with room for asking what more GPUs of each type would be worth."""
    return replace(problem, gpu_budget={name: problem.gpu_budget.get(name, 0) + more for name in problem.gpu_types})


def _shadow_prices(search: Search, gpu_budget: Mapping[str, int], found: Found) -> dict[str, float]:
    prices: dict[str, float] = {}
    for gpu_type in search.problem.gpu_types:
        more = {**gpu_budget, gpu_type: gpu_budget.get(gpu_type, 0) + 1}
        richer = search.climb(more, found.best.tolerance)
        prices[gpu_type] = max(richer.value - found.best.value, 0.0) * search.scale
    return prices


def _change_contradiction(search: Search, gpu_budget: Mapping[str, int]) -> tuple[str, ...]:
    problem, needed = search.problem, search.master.fewest_changes(gpu_budget)
    if needed is None:
        return ("minimum instances need more GPUs, or more for GPU-hours, than the budgets have",)
    return (f"max_changes is {problem.max_changes}, but the other rules need at least {needed} changes from yesterday",)
