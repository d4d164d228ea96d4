"""Plans a night: prices, decisions, proof."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED
from routing_core.route.batches import crowded_deadlines, deal, uncrowd
from routing_core.route.coupling import couple
from routing_core.route.decide import decide
from routing_core.route.few.solve import solve_few
from routing_core.route.kinds import FEW
from routing_core.route.night import night_prices
from routing_core.route.parameters import Parameters
from routing_core.route.passes import certify
from routing_core.route.problem import Problem
from routing_core.route.prove import Incumbent, is_proven, prove, prove_at_once
from routing_core.route.robust import solve_robust
from routing_core.route.rows import Rows
from routing_core.route.solution import Prices, Solution, Status, proven_gap
from routing_core.route.threads import serial_blas

__all__ = ["Parameters", "Prices", "Solution", "Status", "solve"]

DEADLINE_ROUNDS = 24
"""Most times that crowded deadlines are priced before the rest are held by deferring."""


@dataclass(slots=True)
class Clock:
    """Wall-clock seconds by phase, and when the safety net ends the search."""

    deadline: float
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add what the body takes to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def solve(problem: Problem, parameters: Parameters = Parameters()) -> Solution:  # noqa: B008 — frozen
    """Decide every query of a night under one budget, and prove how far from the optimum that can be.

    Parameters
    ----------
    problem : Problem
    parameters : Parameters

    Returns
    -------
    Solution
        Always feasible, since any query can be deferred; its status says what is proven.
    """
    with serial_blas():
        if problem.robust:
            return solve_robust(problem, parameters, solve_nominal)
        return solve_nominal(problem, parameters)


def solve_nominal(
    problem: Problem, parameters: Parameters, free_deviation: float = math.inf, cost_price: float = 0.0
) -> Solution:
    """Solve without budgeted uncertainty.

    Parameters
    ----------
    problem : Problem
    parameters : Parameters
    free_deviation : float, quality units
        Quality counts less what of its deviation is beyond this.
    cost_price : float, quality per USD
        Decisions are made as if every USD cost so much quality; objective and bound are reported without it.
    """
    clock = Clock(time.perf_counter() + parameters.wall_seconds)
    nested: frozenset[tuple[int, int]] = frozenset()
    for _ in range(DEADLINE_ROUNDS):
        rows = Rows(problem, couple(problem, nested), parameters.workers, free_deviation, cost_price)
        incumbent, prices, passes = _solve_rows(rows, nested, parameters, clock)
        crowded = crowded_deadlines(problem, incumbent.model)
        if not crowded or crowded <= nested:
            break
        nested |= crowded
    if crowded:
        loss = rows.worth(incumbent.model) + rows.problem.penalty
        incumbent.model = uncrowd(problem, incumbent.model, loss)
        incumbent.objective = rows.objective(incumbent.model)
    return _solution(rows, incumbent, prices, passes, parameters, clock)


def _solve_rows(
    rows: Rows, nested: frozenset[tuple[int, int]], parameters: Parameters, clock: Clock
) -> tuple[Incumbent, NDArray[np.float64], int]:
    """Prices, a decision, and its proof; the proof waits while deadlines that are not priced are crowded."""
    if len(rows) <= FEW and rows.coupling.group is None:
        return _solve_few(rows, nested, parameters, clock)
    with clock.phase("prices"):
        night = night_prices(rows, parameters)
        rest = night.remainder
    with clock.phase("certificate"):
        certificate = certify(rest.rows, night.prices)
    with clock.phase("decide"):
        model, objective, touched = decide(rest.rows, night, certificate, parameters)
        incumbent = Incumbent(model, objective, certificate.bound, touched)
    if not crowded_deadlines(rows.problem, rest.expanded(model)) - nested:
        with clock.phase("core"):
            left = prove(rest.rows, night.prices, certificate, incumbent, parameters, clock.deadline, rest.sure)
            incumbent.model = rest.expanded(incumbent.model)
            if len(rest.rows) < len(rows) and not is_proven(rows, incumbent, parameters):
                # The gap is as wide as a settled row is sure, so a better decision may move that row too.
                certificate = certify(rows, night.prices)
                incumbent.objective = rows.objective(incumbent.model)
                prove_at_once(rows, night.prices, certificate, incumbent, parameters, left, clock.deadline)
    else:
        incumbent.model = rest.expanded(incumbent.model)
    return incumbent, night.prices, night.passes + 1


def _solve_few(
    rows: Rows, nested: frozenset[tuple[int, int]], parameters: Parameters, clock: Clock
) -> tuple[Incumbent, NDArray[np.float64], int]:
    """The same for a few rows of one group."""
    with clock.phase("decide"):
        incumbent, certificate, prices, passes = solve_few(rows, parameters)
    if not crowded_deadlines(rows.problem, incumbent.model) - nested:
        with clock.phase("core"):
            prove(rows, prices, certificate, incumbent, parameters, clock.deadline)
    return incumbent, prices, passes


def _solution(
    rows: Rows, incumbent: Incumbent, prices: NDArray[np.float64], passes: int, parameters: Parameters, clock: Clock
) -> Solution:
    problem, model = rows.problem, incumbent.model
    with clock.phase("batches"):
        batch = deal(problem, model)
    penalties, spend = rows.penalties, rows.spend(model)
    objective = incumbent.objective + rows.cost_price * spend
    rounding = 1e-14 * (abs(objective) + penalties)
    bound = max(incumbent.bound + rows.cost_price * spend, objective) + rounding
    gap = proven_gap(objective, bound, penalties)
    late = time.perf_counter() > clock.deadline
    unproven = Status.TIME_LIMITED if late else Status.LIMITED
    return Solution(
        model=model,
        batch=batch,
        objective=objective,
        bound=bound,
        gap=gap,
        prices=rows.coupling.named(prices, problem),
        spend=spend,
        load=np.bincount(model[model != DEFERRED], minlength=problem.n_models),
        status=Status.PROVEN if gap <= parameters.gap else unproven,
        passes=passes,
        core_queries=incumbent.core_queries,
        seconds=clock.seconds,
    )
