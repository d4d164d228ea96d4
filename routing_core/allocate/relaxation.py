"""Fractions of instances and the assignments of all scenarios together: one LP, grown by the queries' answers.

Column generation as in :mod:`~routing_core.allocate.value`, but with the instances among the unknowns, so that one
answer a scenario is asked where valuing given instances asks a dozen. Its prices are where the bounds are tight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ortools.math_opt.python import mathopt

from routing_core.allocate.master import Fleet
from routing_core.allocate.problem import AllocationProblem, Floats
from routing_core.allocate.value import Answer, Prices

TINY = 1e-12
"""Weight of a scenario under which its prices mean nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Relaxed:
    """The best mix of the answers so far.

    Attributes
    ----------
    instances : ndarray of float64, shape (n_models,)
        Fractions of instances.
    value : float
        What they reach, per real query.
    prices : tuple of Prices
        By scenario, those of the mix; what the queries keep at them is not known yet, so they bound nothing.
    """

    instances: Floats
    value: float
    prices: tuple[Prices, ...]


class Relaxation(Fleet):
    """The LP over fractions of instances, for scenarios with demand.

    Parameters
    ----------
    problem : AllocationProblem
    scale : float
    worst_case_share : float in [0, 1]
    n_groups : int
        Groups of queries that answer separately.
    cost_unit : float
        USD in which answers count what they spend.
    """

    def __init__(
        self, problem: AllocationProblem, scale: float, worst_case_share: float, n_groups: int, cost_unit: float
    ) -> None:
        super().__init__(problem, scale, worst_case_share)
        for count in self._instances:
            count.integer = False
        self._cost_unit = cost_unit
        self._groups = [
            [self._model.add_linear_constraint(lb=1.0, ub=1.0) for _ in range(n_groups if demand > 0 else 0)]
            for demand in problem.demand
        ]
        self._limits = [self._add_limits(scenario) for scenario in range(problem.n_scenarios)]
        self._values = [self._model.add_linear_constraint(worth <= 0.0) for worth in self._worth]
        self._model.maximize(self._objective)
        self._solver = mathopt.IncrementalSolver(self._model, mathopt.SolverType.GLOP)

    def add(self, scenario: int, answer: Answer) -> None:
        """Let the scenario's queries do as in an answer, group by group."""
        for group, one in enumerate(self._groups[scenario]):
            part = self._model.add_variable(lb=0.0)
            one.set_coefficient(part, 1.0)
            self._values[scenario].set_coefficient(part, -float(answer.value[group]))
            uses = np.append(answer.spend[group], answer.slots[group])
            for row in np.flatnonzero(uses):
                self._limits[scenario][row].set_coefficient(part, float(uses[row]))

    def solve(self, gpu_budget: Mapping[str, int]) -> Relaxed | None:
        """Mix the answers as well as can be; None where no fractions keep the rules, or the solver gives up."""
        self._limit_gpus(gpu_budget)
        result = self._solver.solve()
        if result.termination.reason is not mathopt.TerminationReason.OPTIMAL:
            return None
        duals = np.array([result.dual_values(rows) for rows in self._limits]).clip(0.0)
        unit = np.maximum(np.array(result.dual_values(self._values)), TINY)[:, np.newaxis]
        duals /= unit
        prices = tuple(Prices(np.inf, float(row[0]) / self._cost_unit, row[1:]) for row in duals)
        return Relaxed(np.array(result.variable_values(self._instances)), result.objective_value(), prices)

    def _add_limits(self, scenario: int) -> list[mathopt.LinearConstraint]:
        """The budget less GPU-hours, and each model's slots, per real query."""
        problem, demand = self._problem, float(self._problem.demand[scenario]) or 1.0
        nothing = np.zeros(len(self._instances), dtype=np.int64)
        usd = problem.budget(nothing)[scenario] / demand / self._cost_unit
        rows = [
            self._model.add_linear_constraint(ub=float(limit)) for limit in (usd, *problem.capacity(nothing) / demand)
        ]
        hours = problem.gpu_usd / demand / self._cost_unit * problem.gpus_per_instance
        slots = problem.slots_per_instance / demand
        for count, row, hour, slot in zip(self._instances, rows[1:], hours, slots, strict=True):
            rows[0].set_coefficient(count, float(hour))
            row.set_coefficient(count, -float(slot))
        return rows
