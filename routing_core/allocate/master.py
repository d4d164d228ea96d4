"""Which instances could be best: a small MILP over instances and bounds on their worth.

Benders' decomposition (Numerische Mathematik 4, 1962): prices found for any instances bound the worth of all
instances, linearly. The MILP maximises over these bounds; its optimum is a bound on every allocation there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ortools.math_opt.python import mathopt
from ortools.math_opt.solvers import highs_pb2

from routing_core.allocate.problem import AllocationProblem, Floats, Integers
from routing_core.allocate.value import Prices
from routing_core.errors import SolverError

ROUNDING = 1e-6
"""Allowance for the MILP solver's tolerances, in quality per real query; part of every bound it gives."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Instances worth a closer look.

    Attributes
    ----------
    instances : ndarray of int64, shape (n_models,); of float64 where fractions are allowed
    bound : float
        No allocation is worth more, per real query. +∞ where the question was another.
    """

    instances: Integers
    bound: float


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """A bound on a scenario's worth per real query, whatever the instances.

    Attributes
    ----------
    fixed : float
        Without instances.
    slope : ndarray of float64, shape (n_models,)
        What an instance adds.
    """

    fixed: float
    slope: Floats

    @classmethod
    def of(cls, problem: AllocationProblem, scenario: int, prices: Prices) -> Plane:
        """What prices prove."""
        demand, nothing = float(problem.demand[scenario]) or 1.0, np.zeros(len(problem.catalog))
        fixed = prices.bound(problem.budget(nothing)[scenario] / demand, problem.capacity(nothing) / demand)
        slope = prices.slot * problem.slots_per_instance - prices.budget * problem.gpu_usd * problem.gpus_per_instance
        return cls(fixed, np.asarray(slope / demand, dtype=np.float64))


class Fleet:
    """Which instances keep the rules, and the objective as far as each scenario's worth is known.

    Parameters
    ----------
    problem : AllocationProblem
    scale : float
        Real queries expected; everything inside is per real query.
    worst_case_share : float in [0, 1]
        Weight of the worst scenario, per query, against the expectation.
    """

    def __init__(self, problem: AllocationProblem, scale: float, worst_case_share: float) -> None:
        self._problem = problem
        self._scale = scale
        self._model = mathopt.Model()
        lower, upper = problem.bounds
        self._instances = [
            self._model.add_integer_variable(lb=float(low), ub=float(high))
            for low, high in zip(lower, upper, strict=True)
        ]
        self._worth = [self._model.add_variable() for _ in range(problem.n_scenarios)]
        self._changes, self._costs = self._add_changes()
        self._gpu_rows = self._add_gpus()
        self._add_budget()
        self._objective = self._add_objective(worst_case_share)

    def _add_changes(self) -> tuple[mathopt.LinearExpression, mathopt.LinearExpression]:
        """Changes against yesterday and what they cost, per real query."""
        problem, running = self._problem, self._problem.running
        none = mathopt.LinearExpression()
        if running is None:
            self._change_row = self._model.add_linear_constraint()
            return none, none
        started = [self._model.add_variable(lb=0.0) for _ in self._instances]
        stopped = [self._model.add_variable(lb=0.0) for _ in self._instances]
        for count, before, up, down in zip(self._instances, running, started, stopped, strict=True):
            self._model.add_linear_constraint(count - up + down == float(before))
        changes = mathopt.LinearSum([*started, *stopped])
        most = np.inf if problem.max_changes is None else float(problem.max_changes)
        self._change_row = self._model.add_linear_constraint(changes <= most)
        costs = problem.change_cost * changes + problem.startup_cost * mathopt.LinearSum(started)
        return none + changes, none + costs * (1.0 / self._scale)

    def _add_gpus(self) -> dict[str, mathopt.LinearConstraint]:
        rows = {gpu_type: self._model.add_linear_constraint() for gpu_type in self._problem.gpu_types}
        for model, count in zip(self._problem.catalog, self._instances, strict=True):
            if model.gpu_type:
                rows[model.gpu_type].set_coefficient(count, float(model.gpus_per_instance))
        return rows

    def _add_budget(self) -> None:
        """GPU-hours alone must not break any scenario's budget."""
        gpus = self._problem.gpus_per_instance * self._problem.gpu_usd
        if gpus.any():
            spend = mathopt.LinearSum(float(usd) * count for usd, count in zip(gpus, self._instances, strict=True))
            self._model.add_linear_constraint(spend <= float(np.min(self._problem.budget_usd)))

    def _add_objective(self, worst_case_share: float) -> mathopt.LinearExpression:
        share = scenario_share(self._problem)
        worst = self._model.add_variable()
        for part, worth in zip(share, self._worth, strict=True):
            if part > 0:
                self._model.add_linear_constraint(worst <= worth)
        expected = mathopt.LinearSum(float(part) * worth for part, worth in zip(share, self._worth, strict=True))
        return (1.0 - worst_case_share) * expected + worst_case_share * worst - self._costs

    def _limit_gpus(self, gpu_budget: Mapping[str, int]) -> None:
        for gpu_type, row in self._gpu_rows.items():
            row.upper_bound = float(gpu_budget.get(gpu_type, 0))

    def _solve(self, *, bounds: bool, precision: float = 0.0) -> Candidate | None:
        # Without presolve: it gains nothing at this size, and what undoes it prints to standard output.
        strings = {"parallel": "off", "presolve": "off"}
        options = highs_pb2.HighsOptionsProto(string_options=strings, int_options={"random_seed": 1})
        parameters = mathopt.SolveParameters(
            relative_gap_tolerance=0.0, absolute_gap_tolerance=precision, highs=options
        )
        result = mathopt.solve(self._model, mathopt.SolverType.HIGHS, params=parameters)
        reason = result.termination.reason
        if reason in (mathopt.TerminationReason.INFEASIBLE, mathopt.TerminationReason.INFEASIBLE_OR_UNBOUNDED):
            return None
        if reason is not mathopt.TerminationReason.OPTIMAL:
            raise SolverError(f"allocation: the instance MILP ended as {result.termination}")
        values = np.array(result.variable_values(self._instances))
        bound = result.dual_bound() + ROUNDING if bounds else np.inf
        whole = self._instances[0].integer
        return Candidate(np.rint(values).astype(np.int64) if whole else values, float(bound))


class Rounding(Fleet):
    """Whole instances near fractions of them, under all rules."""

    def __init__(self, problem: AllocationProblem) -> None:
        super().__init__(problem, 1.0, 0.0)
        self._off = [self._model.add_variable(lb=0.0) for _ in self._instances]
        pairs = list(zip(self._off, self._instances, strict=True))
        self._below = [self._model.add_linear_constraint(off + count >= 0.0) for off, count in pairs]
        self._above = [self._model.add_linear_constraint(count - off <= 0.0) for off, count in pairs]
        slots = problem.slots_per_instance / max(int(problem.slots_per_instance.max(initial=0)), 1)
        self._model.minimize(mathopt.LinearSum(float(s) * off for s, off in zip(slots, self._off, strict=True)))

    def of(self, fractions: Floats, gpu_budget: Mapping[str, int]) -> Candidate | None:
        """The instances whose slots differ least from the fractions'; None if no instances keep the rules."""
        self._limit_gpus(gpu_budget)
        for below, above, fraction in zip(self._below, self._above, fractions, strict=True):
            below.lower_bound = above.upper_bound = float(fraction)
        return self._solve(bounds=False)


class Master(Fleet):
    """The MILP, grown by prices as they are found."""

    def __init__(self, problem: AllocationProblem, scale: float, worst_case_share: float) -> None:
        super().__init__(problem, scale, worst_case_share)
        self._threshold = self._model.add_linear_constraint(self._objective >= -np.inf)

    def add(self, scenario: int, plane: Plane) -> None:
        """Bound a scenario's worth."""
        grown = mathopt.LinearSum(
            float(gain) * count for gain, count in zip(plane.slope, self._instances, strict=True) if gain != 0
        )
        self._model.add_linear_constraint(self._worth[scenario] - grown <= plane.fixed)

    def best(self, gpu_budget: Mapping[str, int], precision: float = 0.0) -> Candidate | None:
        """The instances with the highest bound, within ``precision``; None if no instances keep the rules."""
        self._limit(gpu_budget, threshold=-np.inf)
        self._model.maximize(self._objective)
        return self._solve(bounds=True, precision=precision)

    def relaxed(self, gpu_budget: Mapping[str, int]) -> Candidate | None:
        """The same with fractions of instances allowed."""
        for count in self._instances:
            count.integer = False
        candidate = self.best(gpu_budget)
        for count in self._instances:
            count.integer = True
        return candidate

    def simplest(self, gpu_budget: Mapping[str, int], threshold: float) -> Candidate | None:
        """The instances with the fewest changes, then the fewest GPUs, whose bound reaches ``threshold``."""
        self._limit(gpu_budget, threshold)
        gpus = self._problem.gpus_per_instance
        change = float(gpus @ self._problem.bounds[1] + 1)
        in_use = mathopt.LinearSum(float(size) * count for size, count in zip(gpus, self._instances, strict=True))
        self._model.minimize(change * self._changes + in_use)
        return self._solve(bounds=False)

    def fewest_changes(self, gpu_budget: Mapping[str, int]) -> int | None:
        """The fewest changes with which all other rules can be kept; None if they contradict each other."""
        self._limit(gpu_budget, -np.inf)
        limit, self._change_row.upper_bound = self._change_row.upper_bound, np.inf
        self._model.minimize(self._changes)
        candidate = self._solve(bounds=False)
        self._change_row.upper_bound = limit
        running = self._problem.running
        if candidate is None:
            return None
        return 0 if running is None else int(np.abs(candidate.instances - running).sum())

    def _limit(self, gpu_budget: Mapping[str, int], threshold: float) -> None:
        """Set the GPU budget and the least bound asked for."""
        self._limit_gpus(gpu_budget)
        self._threshold.lower_bound = threshold


def scenario_share(problem: AllocationProblem) -> Floats:
    """Share of the expected queries that each scenario brings: ndarray of shape (n_scenarios,), sums to 1."""
    expected = problem.probability * problem.demand
    return np.asarray(expected / (expected.sum() or 1.0))
