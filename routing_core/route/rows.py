"""The night's matrices, read by tiles: what a pass over them costs is what a solve costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block
from routing_core.route.coupling import Coupling, night_capacity
from routing_core.route.kinds import FEW, PROBE, Kinds, fingerprints, grouped, likely
from routing_core.route.problem import Problem
from routing_core.route.threads import by_threads

TILE = 1 << 14
"""Rows whose reduced values fit in a core's cache; fewer, and threads wait for the interpreter more than they work."""
STRETCH = 4 * TILE
"""Rows that one thread takes at a time; sums are kept by stretch, so threads change nothing."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Settled:
    """What queries bring that are already decided.

    Attributes
    ----------
    value : float, quality units
    penalties : float, quality units
        What deferring all of them would have cost.
    rounding : float, quality units
        Most that float64 can have lost in ``value``.
    used : ndarray of float64, shape (n_limits,), or 0
        What they use of the limits.
    """

    value: float = 0.0
    penalties: float = 0.0
    rounding: float = 0.0
    used: NDArray[np.float64] | float = 0.0


@dataclass(frozen=True)
class Rows:
    """A problem's rows as the solver sees them: values, eligibility and prices in one place.

    Attributes
    ----------
    problem : Problem
    coupling : Coupling
    workers : int
        Threads that share a pass.
    free_deviation : float
        θ of Bertsimas and Sim: only deviation beyond it is taken off the quality; infinite takes nothing.
    cost_price : float, quality per USD
        Taken off the quality for every USD, whatever the limits.
    settled : Settled
        Queries that are no longer among the rows; the coupling's amounts are what they leave.
    """

    problem: Problem
    coupling: Coupling
    workers: int = 1
    free_deviation: float = np.inf
    cost_price: float = 0.0
    settled: Settled = Settled()

    def __len__(self) -> int:
        return len(self.problem)

    @cached_property
    def _closed(self) -> NDArray[np.intp]:
        """Models that take nobody tonight."""
        return np.flatnonzero(night_capacity(self.problem) == 0)

    @cached_property
    def penalties(self) -> float:
        """What deferring every query would cost, the settled ones included."""
        return self.settled.penalties + float(np.sum(self.problem.penalty, dtype=np.float64))

    @cached_property
    def repeated(self) -> bool:
        """Whether many rows are alike."""
        return len(self) > FEW and likely(self._words(np.arange(0, len(self), -(-len(self) // PROBE))))

    def kinds_of(self, rows: NDArray[np.intp]) -> Kinds | None:
        """Those of some rows that are alike; None where few of all are."""
        if not self.repeated:
            return None
        parts = [rows[s : s + STRETCH] for s in range(0, len(rows), STRETCH)]
        kinds = grouped(np.concatenate(by_threads(lambda part: fingerprints(self._words(part)), parts, self.workers)))
        alike = np.split(rows[kinds.first[kinds.member]], range(STRETCH, len(rows), STRETCH))
        same = by_threads(
            lambda pair: np.array_equal(self._words(pair[0]), self._words(pair[1])),
            list(zip(parts, alike, strict=True)),
            self.workers,
        )
        return kinds if all(same) else None

    def _words(self, rows: NDArray[np.intp]) -> NDArray[np.uint32]:
        """All that tells one row from another, as words: shape (n_rows, n_words)."""
        problem = self.problem
        parts = [problem.quality[rows], problem.cost[rows], problem.penalty[rows].astype(np.float64)[:, None]]
        if problem.deviation is not None:
            parts.append(problem.deviation[rows])
        if self.coupling.group is not None:
            parts.append(self.coupling.group[rows, None])
        words = [np.ascontiguousarray(part).view(np.uint32) for part in parts]
        excluded = self._excluded(rows)
        return np.concatenate(words if excluded is None else [*words, excluded.astype(np.uint32)], axis=1)

    def subset(self, rows: NDArray[np.intp], amount: NDArray[np.float64], settled: Settled) -> Rows:
        """Some rows, which must ascend, under what the others leave of the limits."""
        problem, group = self.problem, self.coupling.group
        fields = ("quality", "cost", "penalty", "eligible", "team", "last_batch", "deviation")
        kept = {name: all_[rows] for name in fields if (all_ := getattr(problem, name)) is not None}
        limits = tuple(replace(one, amount=float(left)) for one, left in zip(self.coupling.limits, amount, strict=True))
        coupling = replace(self.coupling, limits=limits, group=None if group is None else group[rows])
        return replace(self, problem=replace(problem, **kept), coupling=coupling, settled=settled)

    def _purse(self, rows: slice | NDArray[np.intp]) -> float | NDArray[np.float64]:
        """Most that one query may cost: the budget, or its team's if that is less."""
        if self.problem.team is None or self.problem.team_budget is None:
            return self.problem.budget
        purses = np.append(self.problem.team_budget, np.inf)[self.problem.team[rows]]
        least: NDArray[np.float64] = np.minimum(purses, self.problem.budget)[:, None]
        return least

    def _excluded(self, rows: slice | NDArray[np.intp]) -> NDArray[np.bool_] | None:
        """Pairs that cannot be, shape (n_rows, n_models); None where all can."""
        problem, out = self.problem, None
        if problem.eligible is not None:
            out = ~problem.eligible[rows]
        if problem.team is not None or problem.dearest > problem.budget:
            dear = problem.cost[rows] > self._purse(rows)
            out = dear if out is None else out | dear
        if problem.last_batch is not None:
            late = np.repeat((problem.last_batch[rows] == 0)[:, None], problem.n_models, axis=1)
            out = late if out is None else out | late
        return out

    def _quality(self, rows: slice | NDArray[np.intp], dtype: type[np.floating]) -> NDArray[np.floating]:
        """Quality planned with, less what of its deviation is not free and what its cost is priced at."""
        quality: NDArray[np.floating] = self.problem.quality[rows]
        if self.cost_price:
            quality = quality - dtype(self.cost_price) * self.problem.cost[rows].astype(dtype)
        if self.problem.deviation is None or np.isinf(self.free_deviation):
            return quality
        return quality - np.maximum(self.problem.deviation[rows].astype(dtype) - dtype(self.free_deviation), 0)

    def options(self, rows: slice | NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Value and cost of every option, deferral last: two arrays of shape (n_models + 1, n_rows)."""
        penalty = self.problem.penalty[rows]
        m = self.problem.n_models
        value = np.empty((m + 1, len(penalty)))
        cost = np.zeros((m + 1, len(penalty)))
        value[:m] = self._quality(rows, np.float64).T
        value[m] = -penalty
        cost[:m] = self.problem.cost[rows].T
        excluded = self._excluded(rows)
        if excluded is not None:
            value[:m][excluded.T] = -np.inf
        value[self._closed] = -np.inf
        cost[np.isneginf(value)] = 0.0
        return value, cost

    def block(self, rows: NDArray[np.intp], amount: NDArray[np.float64]) -> Block:
        """Rows as a dense block; they must come sorted by group."""
        value, cost = self.options(rows)
        group = None if self.coupling.group is None else self.coupling.group[rows]
        return Block(value[None], cost[None], amount[None], self.coupling.effect, group)

    def by_group(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The rows, sorted by group and then by position."""
        if self.coupling.group is None:
            return rows
        return rows[np.argsort(self.coupling.group[rows], kind="stable")]

    def reduced(self, felt: NDArray[np.float64], rows: slice, dtype: type[np.floating]) -> NDArray[np.floating]:
        """Values less prices, deferral last: shape (n_models + 1, n_rows).

        Parameters
        ----------
        felt : ndarray of float64, shape (n_groups, 1 + n_models)
            Prices on cost and on each model, as each group feels them.
        rows : slice
        dtype : float type to compute in
        """
        m, cost = self.problem.n_models, self.problem.cost[rows]
        felt = felt.astype(dtype)
        group = None if self.coupling.group is None else self.coupling.group[rows]
        on_cost = felt[0, 0] if group is None else felt[group, :1]
        worth = np.multiply(cost, -on_cost, dtype=dtype)
        worth += self._quality(rows, dtype)
        reduced = np.empty((m + 1, len(cost)), dtype=dtype)
        np.subtract(worth.T, felt[0, 1:, None] if group is None else felt[group, 1:].T, out=reduced[:m])
        np.negative(self.problem.penalty[rows], out=reduced[m], casting="same_kind")
        excluded = self._excluded(rows)
        if excluded is not None:
            reduced[:m][excluded.T] = -np.inf
        reduced[self._closed] = -np.inf
        return reduced

    def falls(
        self,
        felt: NDArray[np.float32],
        model: NDArray[np.integer],
        paid: NDArray[np.float64],
        rows: NDArray[np.intp],
    ) -> NDArray[np.float32]:
        """By how much the reduced value of each row's decision falls when prices rise by ``felt``; 0 where deferred."""
        group = 0 if self.coupling.group is None else self.coupling.group[rows]
        slot = np.append(felt[:, 1:], np.zeros((len(felt), 1), np.float32), axis=1)[group, model]
        falls: NDArray[np.float32] = felt[group, 0] * paid.astype(np.float32) + slot
        return falls

    def over_stretches(self, work: Callable[[slice], Result]) -> list[Result]:
        """Results of ``work`` on every stretch of rows, in order, by as many threads as there are workers."""
        return by_threads(
            work, [slice(s, min(s + STRETCH, len(self))) for s in range(0, len(self), STRETCH)], self.workers
        )

    def paid(self, model: NDArray[np.integer], rows: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """What each row's decision costs, USD; 0 where deferred."""
        return self._picked(self.problem.cost, model, rows)

    def worth(self, model: NDArray[np.integer], rows: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """Value of each row's decision: quality, less its deviation beyond what is free, or minus the penalty."""
        penalty = self.problem.penalty if rows is None else self.problem.penalty[rows]
        worth = self._picked(self.problem.quality, model, rows)
        if self.cost_price:
            worth -= self.cost_price * self.paid(model, rows)
        if self.problem.deviation is not None and np.isfinite(self.free_deviation):
            deviation = self._picked(self.problem.deviation, model, rows)
            worth -= np.maximum(deviation - self.free_deviation, 0) * (model >= 0)
        return np.where(model >= 0, worth, -penalty.astype(np.float64))

    def objective(self, model: NDArray[np.integer]) -> float:
        """Sum of what all rows' decisions are worth, the settled ones included."""

        def work(stretch: slice) -> float:
            return float(np.sum(self.worth(model[stretch], np.arange(stretch.start, stretch.stop))))

        return self.settled.value + float(np.sum(self.over_stretches(work)))

    def spend(self, model: NDArray[np.integer]) -> float:
        """What all rows' decisions cost, USD."""

        def work(stretch: slice) -> float:
            return float(np.sum(self.paid(model[stretch], np.arange(stretch.start, stretch.stop))))

        return float(np.sum(self.over_stretches(work)))

    @staticmethod
    def _picked(
        matrix: NDArray[np.float32], model: NDArray[np.integer], rows: NDArray[np.intp] | None
    ) -> NDArray[np.float64]:
        at = np.arange(len(model)) if rows is None else rows
        option = np.maximum(model, 0)
        if matrix.flags.c_contiguous:  # three times as fast as by two indices
            picked = matrix.reshape(-1).take(at * matrix.shape[1] + option).astype(np.float64)
        else:
            picked = matrix[at, option].astype(np.float64)
        picked[model < 0] = 0.0
        return picked


def tiles(stretch: slice) -> list[slice]:
    """A stretch cut into tiles."""
    return [slice(s, min(s + TILE, stretch.stop)) for s in range(stretch.start, stretch.stop, TILE)]


def first_best(worth: NDArray[Any], best: NDArray[Any]) -> NDArray[np.int16]:
    """The first option that reaches the best, by row: model index, or -1 for deferral, which comes last.

    Faster than ``argmax(axis=0)``, which does not use vector instructions along this axis.
    """
    options = len(worth)
    rank = np.zeros(worth.shape[1], dtype=np.int16 if options > 120 else np.uint8)
    for k in range(options):
        np.maximum(rank, (worth[k] == best).view(np.uint8) * rank.dtype.type(options - k), out=rank)
    choice = options - rank.astype(np.int16)
    choice[choice == options - 1] = -1
    return choice
