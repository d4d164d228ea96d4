"""Checks a solution from the problem alone, trusting nothing the solver says."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import SolverError
from routing_core.records.assignments import DEFERRED
from routing_core.route.problem import ROUNDING, Problem
from routing_core.route.robust import worst_shortfall
from routing_core.route.solution import Solution, Status, proven_gap

AGREEMENT = 1e-9
"""Share by which a recomputed figure may differ from the reported one."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of a solution found.

    Attributes
    ----------
    violations : tuple of str
        One sentence each: what, the rule, the value; empty for a sound solution.
    objective, spend : float
        Recomputed, quality units and USD.
    """

    violations: tuple[str, ...]
    objective: float
    spend: float

    @property
    def ok(self) -> bool:
        """Whether nothing is violated."""
        return not self.violations

    def raise_if_broken(self) -> None:
        """Raise what was found.

        Raises
        ------
        SolverError
            Listing every violation.
        """
        if self.violations:
            raise SolverError("solution does not survive verification: " + "; ".join(self.violations))


@dataclass(slots=True)
class _Findings:
    problem: Problem
    solution: Solution
    found: list[str] = field(default_factory=list)

    def expect(self, holds: bool | np.bool_, what: str) -> None:
        if not holds:
            self.found.append(what)


def verify(problem: Problem, solution: Solution, asked_gap: float | None = None) -> Report:
    """Recompute everything a solution claims.

    Parameters
    ----------
    problem : Problem
    solution : Solution
    asked_gap : float, optional
        The gap that was to be proven, by which a status of :attr:`~Status.PROVEN` is judged.

    Returns
    -------
    Report
        Whether every query has one decision that its eligibility, the budgets, each batch's capacity
        and its deadline allow, and whether objective, spend, load, bound, gap and status are what is reported.
    """
    n, m = problem.quality.shape
    findings = _Findings(problem, solution)
    for name, decisions in (("model", solution.model), ("batch", solution.batch)):
        findings.expect(decisions.shape == (n,), f"{name} has shape {decisions.shape}, the problem {n} queries")
    if findings.found:
        return Report(tuple(findings.found), math.nan, math.nan)
    low, high = int(solution.model.min()), int(solution.model.max())
    findings.expect(low >= DEFERRED and high < m, f"model must be in [{DEFERRED}, {m - 1}], got [{low}, {high}]")
    if findings.found:
        return Report(tuple(findings.found), math.nan, math.nan)
    rows = np.flatnonzero(solution.model != DEFERRED)
    objective = _objective(problem, solution.model, rows)
    spend = _check_money(findings, rows)
    _check_eligibility(findings, rows)
    _check_batches(findings, rows)
    _check_figures(findings, objective, spend)
    _check_status(findings, asked_gap)
    return Report(tuple(findings.found), objective, spend)


def _objective(problem: Problem, model: NDArray[np.int16], rows: NDArray[np.intp]) -> float:
    """Quality served, at its worst under budgeted uncertainty, less the penalties of the deferred."""
    served = math.fsum(problem.quality[rows, model[rows]].tolist())
    deferred = math.fsum(problem.penalty[model == DEFERRED].tolist())
    if problem.deviation is None or problem.gamma == 0:
        return served - deferred
    shortfall = worst_shortfall(problem.deviation[rows, model[rows]].astype(np.float64), problem.gamma)
    return served - shortfall - deferred


def _check_money(findings: _Findings, rows: NDArray[np.intp]) -> float:
    problem, model = findings.problem, findings.solution.model
    paid = problem.cost[rows, model[rows]].astype(np.float64)
    spend = math.fsum(paid.tolist())
    findings.expect(spend <= problem.budget * (1 + ROUNDING), f"spend {spend} is over the budget {problem.budget}")
    if problem.team is not None and problem.team_budget is not None:
        team = problem.team[rows]
        mine = team >= 0
        paid_by = np.bincount(team[mine], weights=paid[mine], minlength=len(problem.team_budget))
        for t in np.flatnonzero(paid_by > problem.team_budget * (1 + ROUNDING)):
            findings.expect(False, f"team {t} spends {paid_by[t]} over its budget {problem.team_budget[t]}")
    return spend


def _check_eligibility(findings: _Findings, rows: NDArray[np.intp]) -> None:
    if findings.problem.eligible is None:
        return
    refused = rows[~findings.problem.eligible[rows, findings.solution.model[rows]]]
    findings.expect(not len(refused), f"{len(refused)} queries are given to a model not eligible, first {refused[:1]}")


def _check_batches(findings: _Findings, rows: NDArray[np.intp]) -> None:
    problem, solution = findings.problem, findings.solution
    waiting = solution.model == DEFERRED
    findings.expect(not solution.batch[waiting].any(), "a deferred query has a batch")
    batch = solution.batch[rows].astype(np.int64)
    inside = bool(np.all((batch >= 1) & (batch <= problem.batches)))
    findings.expect(inside, f"an assigned query is outside batches 1 to {problem.batches}")
    if not inside:
        return
    slots, counts = np.unique((batch - 1) * problem.n_models + solution.model[rows], return_counts=True)
    over = np.flatnonzero(counts > problem.capacity[slots % problem.n_models])
    for k in over[:10]:
        b, j = divmod(int(slots[k]), problem.n_models)
        findings.expect(False, f"batch {b + 1} gives model {j} {counts[k]} queries, capacity {problem.capacity[j]}")
    if problem.last_batch is not None:
        late = rows[batch > problem.last_batch[rows]]
        findings.expect(not len(late), f"{len(late)} queries run after their last batch, first {late[:1]}")


def _check_figures(findings: _Findings, objective: float, spend: float) -> None:
    problem, solution = findings.problem, findings.solution
    penalties = float(np.sum(problem.penalty, dtype=np.float64))
    scale = max(1.0, abs(objective), penalties)
    findings.expect(
        abs(objective - solution.objective) <= AGREEMENT * scale,
        f"objective is reported as {solution.objective}, recomputed {objective}",
    )
    findings.expect(
        math.isclose(spend, solution.spend, rel_tol=AGREEMENT, abs_tol=1e-15),
        f"spend is reported as {solution.spend}, recomputed {spend}",
    )
    load = np.bincount(solution.model[solution.model >= 0], minlength=problem.n_models)
    findings.expect(np.array_equal(load, solution.load), f"load is reported as {solution.load}, recomputed {load}")
    findings.expect(solution.bound >= objective, f"bound {solution.bound} is below the objective {objective}")
    gap = proven_gap(objective, solution.bound, penalties)
    findings.expect(abs(gap - solution.gap) <= AGREEMENT, f"gap is reported as {solution.gap}, recomputed {gap}")


def _check_status(findings: _Findings, asked_gap: float | None) -> None:
    status, gap = findings.solution.status, findings.solution.gap
    findings.expect(status is not Status.UNDETERMINED, "status is undetermined: no solve has ended")
    if asked_gap is not None:
        too_wide = status is Status.PROVEN and gap > asked_gap
        findings.expect(not too_wide, f"status is proven, but the gap is {gap}, and {asked_gap} was asked for")
