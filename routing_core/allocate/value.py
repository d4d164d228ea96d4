"""What given instances are worth: the assignment's LP value, its proven bound and its prices.

For fixed instances the assignment of the sampled queries is a transport problem with one budget row and
one capacity row per model. Dualising these 1 + M rows leaves a problem that each query answers alone
(design.md section 2). :class:`ScenarioValue` solves it by column generation (Dantzig & Wolfe, Operations
Research 8(1), 1960): a column is the joint answer of one group of queries to some prices, a small LP mixes
columns within budget and capacities, and its duals are the next prices, smoothed towards the best ones so
far (Wentges, ITOR 4(2), 1997). Columns hold for any instances, so later calls begin where earlier ones ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ortools.linear_solver import pywraplp

from routing_core.allocate.problem import AllocationProblem, Floats
from routing_core.errors import SolverError

GROUPS = 4
"""Groups of queries that answer prices separately: more make fewer, dearer rounds (3–6 were fastest)."""
SMOOTHING = 0.8
"""Weight of the best prices so far in the next ones; 0.8 took a third of the rounds that 0 takes."""
MOST_STALLS = 20
"""Rounds in a row without progress, of which a degenerate LP has some, after which rounding is to blame."""
MOST_ANSWERS, KEPT_ANSWERS = 100, 40
"""Answers at which the LP is cut back, and to how many."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The sampled queries in float64, ineligible pairs at quality −∞, costs in units of ``cost_unit`` USD.

    Matrices are of shape (n_models, n_queries): the best model is found several queries at a time.
    """

    quality: Floats
    cost: Floats
    load: Floats | None
    penalty: Floats
    cost_unit: float
    starts: NDArray[np.intp]
    group: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What each group of queries does at given prices, per real query of the scenario.

    Attributes
    ----------
    surplus : float
        Σ_i n_i max(−p_i, max_j (q_ij − λ c_ij − μ_j a_ij)) over all groups.
    value, spend, quality : ndarray of shape (n_groups,)
    slots, served : ndarray of shape (n_groups, n_models)
    """

    surplus: float
    value: Floats
    spend: Floats
    quality: Floats
    slots: Floats
    served: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Prices that prove a bound for every number of instances at once.

    Attributes
    ----------
    surplus : float
        What the queries keep at these prices, per real query.
    budget : float
        λ: value of a USD per real query.
    slot : ndarray of shape (n_models,)
        μ: value of one slot per real query; 0 where capacity is unlimited.
    """

    surplus: float
    budget: float
    slot: Floats

    def bound(self, budget: float, capacity: Floats) -> float:
        """Upper bound on the value, all per real query: ``budget`` in USD, ``capacity`` of shape (n_models,)."""
        finite = np.isfinite(capacity)
        return self.surplus + self.budget * budget + float(self.slot[finite] @ capacity[finite])


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """What instances are worth in one scenario, per real query of it.

    Attributes
    ----------
    value : float
        Σ q x − Σ p z of a feasible (fractional) assignment.
    bound : float
        Proven upper bound on the value.
    quality, spend : float
        Σ q x, and USD.
    served, slots : ndarray of shape (n_models,)
        Queries served and slots taken, per real query.
    prices : Prices
        Prove ``bound``.
    """

    value: float
    bound: float
    quality: float
    spend: float
    served: Floats
    slots: Floats
    prices: Prices


def prepare(problem: AllocationProblem) -> Sample:
    """Bring the problem's arrays into the form that answers prices fastest."""
    quality = np.array(problem.quality, dtype=np.float64)
    if problem.eligible is not None:
        quality[~problem.eligible] = -np.inf
    positive = np.asarray(problem.cost)[np.asarray(problem.cost) > 0]
    cost_unit = float(positive.mean(dtype=np.float64)) if positive.size else 1.0
    n_queries = len(quality)
    n_groups = min(GROUPS, n_queries)
    group = np.arange(n_queries) * n_groups // max(n_queries, 1)
    return Sample(
        quality=np.ascontiguousarray(quality.T),
        cost=np.ascontiguousarray(np.asarray(problem.cost, dtype=np.float64).T / cost_unit),
        load=None if problem.load is None else np.ascontiguousarray(np.asarray(problem.load, dtype=np.float64).T),
        penalty=np.asarray(problem.penalty, dtype=np.float64),
        cost_unit=cost_unit,
        starts=np.searchsorted(group, np.arange(n_groups)),
        group=group,
    )


class ScenarioValue:
    """The concave value function of the instances in one scenario.

    Parameters
    ----------
    sample : Sample
    weight : ndarray of shape (n_queries,)
        Real queries that each sampled one stands for; not 0 throughout.
    max_rounds : int
        Rounds of pricing in one call; the bound stays proven when they run out.

    Attributes
    ----------
    pairs : int
        Pairs of query and model priced so far.
    """

    def __init__(self, sample: Sample, weight: Floats, *, max_rounds: int) -> None:
        self._sample = sample
        self._share = weight / weight.sum()
        self._max_rounds = max_rounds
        self._known: list[Prices] = []
        self.pairs = 0
        self._limits = (np.inf,) * (1 + len(sample.quality))
        self._build(())

    def at(self, budget: float, capacity: Floats, tolerance: float) -> Worth:
        """The worth of instances.

        Parameters
        ----------
        budget : float
            USD per real query, at least 0.
        capacity : ndarray of shape (n_models,)
            Slots per real query, infinite where unlimited.
        tolerance : float
            Gap between value and bound, per real query, at which to stop.
        """
        self._prune()
        self._limit(budget, capacity)
        best = min(self._known, key=lambda prices: prices.bound(budget, capacity), default=None)
        bound = np.inf if best is None else best.bound(budget, capacity)
        value, stalls = -np.inf, 0
        for _ in range(self._max_rounds):
            self._solve()
            if bound - self._objective <= tolerance:
                break
            smooth = 0.0 if best is None or stalls else SMOOTHING
            prices = self._duals(capacity)
            asked = prices if best is None else smooth * self._vector(best) + (1 - smooth) * prices
            answer = self._answer(asked)
            found = self._prices(asked, answer)
            improved = found.bound(budget, capacity) < bound
            if improved:
                self._known.append(found)
                best, bound = found, found.bound(budget, capacity)
            progress = improved or self._objective > value
            value = self._objective
            self._add(answer)
            stalls = 0 if progress else stalls + 1
            if bound - value <= tolerance or stalls > MOST_STALLS:
                break
        assert best is not None
        return self._worth(best, bound)

    def learn(self, prices: Prices) -> tuple[Prices, Answer]:
        """Ask at prices found elsewhere; similar demands have similar prices. What they prove here, and the answer."""
        self._prune()
        vector = self._vector(prices)
        answer = self._answer(vector)
        found = self._prices(vector, answer)
        self._known.append(found)
        self._add(answer)
        return found, answer

    def nothing(self) -> Answer:
        """Everybody waits."""
        return self._answers[0]

    def at_no_prices(self) -> Prices:
        """Prices of 0: the bound of plenty, with which a search begins."""
        prices = np.zeros(1 + len(self._sample.quality))
        return self._prices(prices, self._answer(prices))

    def _build(self, answers: Sequence[Answer]) -> None:
        """An LP that can defer, or mix the answers."""
        n_groups = len(self._sample.starts)
        self._answers: list[Answer] = []
        self._columns: list[list[pywraplp.Variable]] = []
        self._solver = pywraplp.Solver("worth", pywraplp.Solver.GLOP_LINEAR_PROGRAMMING)
        self._solver.SetNumThreads(1)
        self._solver.Objective().SetMaximization()
        self._convexity = [self._solver.Constraint(1.0, 1.0) for _ in range(n_groups)]
        self._budget_row, *self._slot_rows = (self._solver.Constraint(-np.inf, limit) for limit in self._limits)
        for answer in answers or (self._nothing(),):
            self._add(answer)

    def _nothing(self) -> Answer:
        """Everybody waits."""
        n_groups, n_models = len(self._sample.starts), len(self._sample.quality)
        deferred = -np.add.reduceat(self._share * self._sample.penalty, self._sample.starts)
        nothing, empty = np.zeros(n_groups), np.zeros((n_groups, n_models))
        return Answer(float(deferred.sum()), deferred, nothing, nothing, empty, empty)

    def _prune(self) -> None:
        """Start the LP anew with the newest columns when old ones slow it down."""
        if len(self._answers) > MOST_ANSWERS:
            self._build([self._answers[0], *self._answers[-KEPT_ANSWERS:]])

    def _add(self, answer: Answer) -> None:
        columns = []
        for group, convexity in enumerate(self._convexity):
            column = self._solver.NumVar(0.0, np.inf, "")
            self._solver.Objective().SetCoefficient(column, float(answer.value[group]))
            convexity.SetCoefficient(column, 1.0)
            self._budget_row.SetCoefficient(column, float(answer.spend[group]))
            for j in np.flatnonzero(answer.slots[group]):
                self._slot_rows[j].SetCoefficient(column, float(answer.slots[group, j]))
            columns.append(column)
        self._answers.append(answer)
        self._columns.append(columns)

    def _limit(self, budget: float, capacity: Floats) -> None:
        self._limits = float(budget / self._sample.cost_unit), *(max(float(slots), 0.0) for slots in capacity)
        for row, limit in zip((self._budget_row, *self._slot_rows), self._limits, strict=True):
            row.SetUb(limit)

    def _solve(self) -> None:
        """Mix the columns as well as can be, beginning from the last basis."""
        parameters = pywraplp.MPSolverParameters()
        parameters.SetIntegerParam(parameters.PRESOLVE, parameters.PRESOLVE_OFF)
        status = self._solver.Solve(parameters)
        if status != pywraplp.Solver.OPTIMAL:  # everybody can wait, so it is feasible: what GLOP remembers misled it
            self._build(tuple(self._answers))
            status = self._solver.Solve(parameters)
        if status != pywraplp.Solver.OPTIMAL:
            raise SolverError(f"allocation: the assignment LP ended with GLOP's status {status}, not 0 (optimal)")
        self._objective = self._solver.Objective().Value()

    def _duals(self, capacity: Floats) -> Floats:
        duals = [row.dual_value() for row in (self._budget_row, *self._slot_rows)]
        prices: Floats = np.maximum(np.array(duals, dtype=np.float64), 0.0)
        prices[1:][~np.isfinite(capacity)] = 0.0
        return prices

    def _vector(self, prices: Prices) -> Floats:
        return np.asarray(np.append(prices.budget * self._sample.cost_unit, prices.slot), dtype=np.float64)

    def _prices(self, prices: Floats, answer: Answer) -> Prices:
        return Prices(answer.surplus, float(prices[0]) / self._sample.cost_unit, prices[1:])

    def _answer(self, prices: Floats) -> Answer:
        """Let every query take what leaves it the most: one pass over the matrices."""
        sample, share = self._sample, self._share
        choice, surplus = self._choose(prices)
        self.pairs += sample.quality.size
        pair, n_models = choice * len(share) + np.arange(len(share)), len(sample.quality)
        serving = np.where(surplus > -sample.penalty, share, 0.0)
        quality = sample.quality.ravel()[pair]
        quality = np.where(serving > 0, quality, 0.0) * serving
        load = serving if sample.load is None else serving * sample.load.ravel()[pair]
        cells = sample.group * n_models + choice
        shape = (len(sample.starts), n_models)
        return Answer(
            surplus=float(share @ np.maximum(surplus, -sample.penalty)),
            value=np.add.reduceat(quality - (share - serving) * sample.penalty, sample.starts),
            spend=np.add.reduceat(serving * sample.cost.ravel()[pair], sample.starts),
            quality=np.add.reduceat(quality, sample.starts),
            slots=_count(cells, load, shape),
            served=_count(cells, serving, shape),
        )

    def _choose(self, prices: Floats) -> tuple[NDArray[np.intp], Floats]:
        """The first model that leaves each query the most, and how much: two ndarrays of shape (n_queries,)."""
        sample = self._sample
        reduced = sample.cost * -prices[0]
        reduced += sample.quality
        reduced -= prices[1:, np.newaxis] if sample.load is None else sample.load * prices[1:, np.newaxis]
        best, choice = reduced[0], np.zeros(reduced.shape[1], dtype=np.intp)
        for j, row in enumerate(reduced[1:], start=1):
            np.copyto(choice, j, where=row > best)
            np.maximum(best, row, out=best)
        return choice, best

    def _worth(self, best: Prices, bound: float) -> Worth:
        """Mix the columns as the LP does."""
        self._solve()
        n_groups = len(self._convexity)
        answers = self._answers
        mix = np.array([[column.solution_value() for column in columns] for columns in self._columns]).clip(0.0, 1.0)

        def total(name: str) -> Floats:
            stacked = np.array([getattr(answer, name) for answer in answers])
            return np.asarray(np.einsum("kg,kg...->...", mix, stacked.reshape(len(answers), n_groups, -1)))

        return Worth(
            value=float(total("value")[0]),
            bound=bound,
            quality=float(total("quality")[0]),
            spend=float(total("spend")[0]) * self._sample.cost_unit,
            served=total("served"),
            slots=total("slots"),
            prices=best,
        )


def _count(cells: NDArray[np.intp], weights: Floats, shape: tuple[int, int]) -> Floats:
    """Sum of the weights in each cell of a table of that shape."""
    return np.bincount(cells, weights, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
