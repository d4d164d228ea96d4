"""The question: queries, models, a budget and capacities."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import ProblemError

UNLIMITED = np.int64(2**40)
"""Capacity of a model that has no limit."""
NO_TEAM = -1
"""Team of a query that no team pays for."""
ROUNDING = 1e-12
"""Share of a budget by which a float64 sum of costs may exceed it: rounding, not money."""

_BLOCK = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One night (or one batch) of queries to be decided; arrays may be memory-mapped.

    Attributes
    ----------
    quality : ndarray of float32, shape (n_queries, n_models), in [0, 1]
        The quality planned with: mean or lower estimate.
    cost : ndarray of float32, shape (n_queries, n_models), USD, at least 0
    penalty : ndarray of float32 or float64, shape (n_queries,), at least 0
        What deferring the query costs, in quality units.
    budget : float, USD, at least 0
        For the whole night; infinite where money is no matter.
    capacity : ndarray of int64, shape (n_models,), at least 0
        Queries a model takes in one batch, ``K_j``.
    batches : int, at least 1
        Batches in the night, ``B``.
    eligible : ndarray of bool, shape (n_queries, n_models), or None
        None lets every model take every query.
    team : ndarray of int32, shape (n_queries,), or None
        Index into ``team_budget``, or :data:`NO_TEAM`.
    team_budget : ndarray of float64, shape (n_teams,), USD, or None
    last_batch : ndarray of int32, shape (n_queries,), in [0, batches], or None
        The last batch that meets the deadline; 0 cannot run tonight.
    deviation : ndarray of float32, shape (n_queries, n_models), at least 0, or None
        How far quality may fall short, for budgeted uncertainty.
    gamma : float, at least 0
        How many of the served queries fall short at once (Bertsimas and Sim, 2004).
    dearest : float, USD
        Most that any pair costs.

    Raises
    ------
    ProblemError
        If an argument breaks its rule.
    """

    quality: NDArray[np.float32]
    cost: NDArray[np.float32]
    penalty: NDArray[np.floating]
    budget: float
    capacity: NDArray[np.int64]
    batches: int = 1
    eligible: NDArray[np.bool_] | None = None
    team: NDArray[np.int32] | None = None
    team_budget: NDArray[np.float64] | None = None
    last_batch: NDArray[np.int32] | None = None
    deviation: NDArray[np.float32] | None = None
    gamma: float = 0.0
    dearest: float = field(init=False)

    def __post_init__(self) -> None:
        _check_matrices(self)
        _check_limits(self)
        _check_teams(self)
        _check_deadlines(self)
        _check_uncertainty(self)

    def __len__(self) -> int:
        return len(self.quality)

    @property
    def n_models(self) -> int:
        """Number of models."""
        return int(self.quality.shape[1])

    @property
    def robust(self) -> bool:
        """Whether budgeted uncertainty is asked for."""
        return self.deviation is not None and self.gamma > 0


def _refuse(argument: str, rule: str, seen: object) -> None:
    raise ProblemError(f"{argument}: {rule}, got {seen}")


def _check_matrices(problem: Problem) -> None:
    shape = np.shape(problem.quality)
    if len(shape) != 2 or 0 in shape:
        _refuse("quality", "must have shape (n_queries, n_models) with at least one of each", shape)
    if shape[1] >= np.iinfo(np.int16).max:
        _refuse("quality", f"must have fewer than {np.iinfo(np.int16).max} models", shape[1])
    _check_array("quality", problem.quality, shape, (np.float32,), 0.0, 1.0)
    object.__setattr__(problem, "dearest", _check_array("cost", problem.cost, shape, (np.float32,), 0.0, math.inf))
    _check_array("penalty", problem.penalty, shape[:1], (np.float32, np.float64), 0.0, math.inf)
    if problem.eligible is not None:
        _check_kind("eligible", problem.eligible, shape, (np.bool_,))


def _check_limits(problem: Problem) -> None:
    if not problem.budget >= 0:
        _refuse("budget", "must be at least 0", problem.budget)
    if problem.batches < 1:
        _refuse("batches", "must be at least 1", problem.batches)
    _check_kind("capacity", problem.capacity, (problem.n_models,), (np.int64,))
    if (least := int(problem.capacity.min())) < 0:
        _refuse("capacity", "must be at least 0", least)


def _check_teams(problem: Problem) -> None:
    if (problem.team is None) != (problem.team_budget is None):
        _refuse("team", "needs team_budget and is needed by it", "one without the other")
    if problem.team is None or problem.team_budget is None:
        return
    if problem.team_budget.ndim != 1:
        _refuse("team_budget", "must have shape (n_teams,)", problem.team_budget.shape)
    if not np.all(problem.team_budget >= 0):
        _refuse("team_budget", "must be at least 0", problem.team_budget.min())
    _check_array("team", problem.team, (len(problem),), (np.int32,), NO_TEAM, len(problem.team_budget) - 1)


def _check_deadlines(problem: Problem) -> None:
    if problem.last_batch is not None:
        _check_array("last_batch", problem.last_batch, (len(problem),), (np.int32,), 0, problem.batches)


def _check_uncertainty(problem: Problem) -> None:
    if not (problem.gamma >= 0 and math.isfinite(problem.gamma)):
        _refuse("gamma", "must be finite and at least 0", problem.gamma)
    if problem.deviation is not None:
        _check_array("deviation", problem.deviation, problem.quality.shape, (np.float32,), 0.0, math.inf)
    elif problem.gamma > 0:
        _refuse("deviation", "is needed where gamma is above 0", None)


def _check_kind(name: str, array: object, shape: tuple[int, ...], kinds: tuple[type, ...]) -> None:
    if not isinstance(array, np.ndarray):
        _refuse(name, "must be a NumPy array", type(array).__name__)
        return
    if array.dtype not in kinds:
        _refuse(name, f"must be of {' or '.join(kind.__name__ for kind in kinds)}", array.dtype)
    if array.shape != shape:
        _refuse(name, f"must have shape {shape}", array.shape)


def _check_array(
    name: str, array: object, shape: tuple[int, ...], kinds: tuple[type, ...], low: float, high: float
) -> float:
    """Refuse an array of another type or shape, or with a value outside [low, high] or not finite; the largest."""
    _check_kind(name, array, shape, kinds)
    assert isinstance(array, np.ndarray)
    largest = low
    for start in range(0, len(array), _BLOCK):
        block = array[start : start + _BLOCK]
        least, most = block.min(), block.max()
        if not (least >= low and most <= high and np.isfinite(most)):  # a NaN fails both comparisons
            bad = np.argwhere(~((block >= low) & (block <= high) & np.isfinite(block)))[0]
            seen = block[tuple(bad)]
            at = ", ".join(str(int(i)) for i in (bad[0] + start, *bad[1:]))
            _refuse(name, f"must be finite and {_range(low, high)}", f"{seen} at [{at}]")
        largest = max(largest, float(most))
    return largest


def _range(low: float, high: float) -> str:
    return f"at least {low:g}" if math.isinf(high) else f"in [{low:g}, {high:g}]"
