"""The answer: a decision for every query, its bound, and what was given to find it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Status(StrEnum):
    """How a solve ended. Every solution is feasible; the members differ in what is proven of it."""

    UNDETERMINED = "undetermined"
    """Nothing is known: no solve has ended. Says nothing about the solution's worth."""
    PROVEN = "proven"
    """The gap asked for is proven. The solution need not be the only one, nor the very best within that gap."""
    LIMITED = "limited"
    """Passes or deterministic time ran out first: the gap is proven, but wider than asked for."""
    TIME_LIMITED = "time_limited"
    """The wall-clock safety net ended the search: the gap is proven, but another run may decide otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """What one more unit of each limit would add to total expected quality, at least 0.

    Attributes
    ----------
    budget : float
        Quality per USD of the night's budget.
    capacity : ndarray of float64, shape (n_models,)
        Quality per query of each model's capacity over the night.
    team : ndarray of float64, shape (n_teams,)
        Quality per USD of each team's budget.
    deadline : mapping of (model, batch) to float
        Quality per query that the model could take by the end of the batch, where a deadline binds.
    """

    budget: float
    capacity: NDArray[np.float64]
    team: NDArray[np.float64]
    deadline: Mapping[tuple[int, int], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The decision for every query, with its proof.

    Attributes
    ----------
    model : ndarray of int16, shape (n_queries,)
        Index of the model, or ``records.assignments.DEFERRED``.
    batch : ndarray of int32, shape (n_queries,), in [0, batches]
        The batch it runs in; 0 for a deferred query.
    objective : float, quality units
        Quality served less the penalties of what is deferred.
    bound : float, quality units
        No decision can reach more, by the dual or by branch and bound; float64 rounding is allowed for.
    gap : float, in [0, 1]
        (bound − objective) / (bound + Σ penalty): a share of the value that could be served.
    status : Status
    prices : Prices
    spend : float, USD
    load : ndarray of int64, shape (n_models,)
        Queries given to each model over the night.
    passes : int
        Evaluations of the dual over all rows, or over those that could still change.
    core_queries : int
        Queries that were decided by repair or by the exact solver, not by prices alone.
    seconds : mapping of str to float
        Wall-clock time by phase, seconds.
    """

    model: NDArray[np.int16]
    batch: NDArray[np.int32]
    objective: float
    bound: float
    gap: float
    prices: Prices
    spend: float
    load: NDArray[np.int64]
    status: Status = Status.UNDETERMINED
    passes: int = 0
    core_queries: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


NOTHING = 1e-11
"""Share of the penalties, or of one query's quality, below which value served is float64 rounding."""


def proven_gap(objective: float, bound: float, penalties: float) -> float:
    """(bound − objective) / (bound + Σ penalty), and 0 where nothing can be served."""
    served = bound + penalties
    return max(0.0, bound - objective) / served if served > NOTHING * (1.0 + penalties) else 0.0
