"""Budgeted uncertainty (Bertsimas and Sim, 2004): at most Γ of the served queries fall short at once.

With deviations d and threshold θ ≥ 0, a decision x is worth  max_θ [ Σ (q − (d − θ)⁺) x − Γθ ]. For θ in
[low, high] no decision is worth more than  −Γ·low + max_x Σ (q − (d − high)⁺) x, which bounds a whole interval by one
ordinary solve; intervals are halved, the most promising first, until the gap is proven. Between neighbouring
deviations the optimum is convex in θ, so its ends decide.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED
from routing_core.route.solution import Solution, Status, proven_gap

if TYPE_CHECKING:
    from routing_core.route.parameters import Parameters
    from routing_core.route.problem import Problem

Nominal = Callable[["Problem", "Parameters", float], Solution]


def worst_shortfall(deviation: NDArray[np.float64], gamma: float) -> float:
    """Most that quality can fall short: the Γ largest deviations of the served queries, the last in part.

    Parameters
    ----------
    deviation : ndarray of float64, shape (n_served,)
    gamma : float, at least 0
    """
    whole = int(min(gamma, len(deviation)))
    largest = np.sort(deviation)[::-1]
    part = (gamma - whole) * largest[whole] if whole < len(deviation) else 0.0
    return float(largest[:whole].sum() + part)


def robust_objective(problem: Problem, model: NDArray[np.int16]) -> float:
    """Quality served at its worst, less the penalties of the deferred."""
    assert problem.deviation is not None
    rows = np.flatnonzero(model != DEFERRED)
    served = float(problem.quality[rows, model[rows]].sum(dtype=np.float64))
    shortfall = worst_shortfall(problem.deviation[rows, model[rows]].astype(np.float64), problem.gamma)
    return served - shortfall - float(problem.penalty[model == DEFERRED].sum(dtype=np.float64))


@dataclass(slots=True)
class _Search:
    """The best decision so far and what was spent on it."""

    problem: Problem
    parameters: Parameters
    nominal: Nominal
    best: Solution | None = None
    bounds: dict[float, float] = field(default_factory=dict)
    passes: int = 0
    late: bool = False

    @property
    def solves(self) -> int:
        """Ordinary solves so far, one for each θ."""
        return len(self.bounds)

    def at(self, theta: float) -> float:
        """Bound of the nominal problem at θ; keeps its decision if it is the best."""
        if theta in self.bounds:
            return self.bounds[theta]
        found = self.nominal(self.problem, self.parameters, theta)
        self.bounds[theta] = found.bound
        self.passes += found.passes
        self.late |= found.status is Status.TIME_LIMITED
        objective = robust_objective(self.problem, found.model)
        if self.best is None or objective > self.best.objective:
            self.best = replace(found, objective=objective)
        return found.bound


def solve_robust(problem: Problem, parameters: Parameters, nominal: Nominal) -> Solution:
    """Solve under budgeted uncertainty.

    Parameters
    ----------
    problem : Problem
        With ``deviation`` and ``gamma``.
    parameters : Parameters
        ``robust_solves`` limits the search.
    nominal : callable
        Solves with the deviation beyond a given θ taken off the quality.
    """
    assert problem.deviation is not None
    search = _Search(problem, parameters, nominal)
    highest = 0.0 if problem.gamma >= len(problem) else float(problem.deviation.max())
    penalties = float(np.sum(problem.penalty, dtype=np.float64))
    open_ = [_interval(search, 0.0, highest)]
    while search.solves < parameters.robust_solves:
        bound, low, high, final = -open_[0][0], *open_[0][1:]
        if final or search.best is None or proven_gap(search.best.objective, bound, penalties) <= parameters.gap:
            break
        heapq.heappop(open_)
        middle = _middle(problem.deviation, low, high)
        heapq.heappush(open_, _interval(search, low, middle))
        heapq.heappush(open_, _interval(search, middle, high))
    return _concluded(search, -open_[0][0], penalties)


def _interval(search: _Search, low: float, high: float) -> tuple[float, float, float, bool]:
    """(−bound, low, high, whether halving it can gain nothing)."""
    gamma, at_high = search.problem.gamma, search.at(high)
    if _middle(search.problem.deviation, low, high) < high:
        return gamma * low - at_high, low, high, False
    at_low = search.at(low) if low < high else at_high
    return -max(at_low - gamma * low, at_high - gamma * high), low, high, True


def _middle(deviation: NDArray[np.float32] | None, low: float, high: float) -> float:
    """The deviation strictly within (low, high) that is nearest to the middle; ``high`` if there is none."""
    assert deviation is not None
    middle, nearest = 0.5 * (low + high), high
    for start in range(0, len(deviation), 1 << 16):
        block = deviation[start : start + (1 << 16)].ravel().astype(np.float64)
        block = block[(block > low) & (block < high)]
        if len(block):
            found = float(block[np.argmin(np.abs(block - middle))])
            if nearest == high or abs(found - middle) < abs(nearest - middle):
                nearest = found
    return nearest


def _concluded(search: _Search, bound: float, penalties: float) -> Solution:
    best = search.best
    assert best is not None
    bound = max(bound, best.objective + 1e-14 * (abs(best.objective) + penalties))
    gap = proven_gap(best.objective, bound, penalties)
    unproven = Status.TIME_LIMITED if search.late else Status.LIMITED
    status = Status.PROVEN if gap <= search.parameters.gap else unproven
    return replace(best, bound=bound, gap=gap, status=status, passes=search.passes)
