"""Plans made to learn from: a held-out night solved within a budget, with the same solver as the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.route.parameters import Parameters
from routing_core.route.problem import UNLIMITED, Problem

DEFERRAL = 1.0
"""Penalty of leaving a query unserved while learning: no model is worse, so all are served that the budget allows."""

LEARNING = Parameters(gap=1e-3, core_effort=1.0, threads=1)
"""Far finer than what held-out nights can tell apart, and no search for the last query's worth."""


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """What the night itself may spend and hold, to be scaled to a held-out one.

    Attributes
    ----------
    budget_usd : float, USD
    capacity : ndarray of int64, shape (n_models,), queries on the whole night
        `UNLIMITED` where there is no limit.
    queries : int
        Queries of the night, at least 1.
    """

    budget_usd: float
    capacity: NDArray[np.int64]
    queries: int

    @property
    def per_query(self) -> float:
        """Budget of a query, USD."""
        return self.budget_usd / self.queries

    def capacity_of(self, n_queries: int) -> NDArray[np.int64]:
        """Capacity that is left of the night's for a held-out one of ``n_queries``, rounded up."""
        scaled = np.ceil(np.minimum(self.capacity, 2**40) * (n_queries / self.queries)).astype(np.int64)
        return np.where(self.capacity == UNLIMITED, UNLIMITED, scaled)


def plan(
    quality: NDArray[np.float32],
    cost: NDArray[np.floating],
    budget: float,
    capacity: NDArray[np.int64] | None = None,
) -> NDArray[np.int16]:
    """The best model for each query within the budget.

    Parameters
    ----------
    quality : ndarray of float32, shape (n_queries, n_models), in [0, 1]
        Quality planned with.
    cost : ndarray of float, shape (n_queries, n_models), USD
    budget : float, USD
    capacity : ndarray of int64, shape (n_models,), queries, optional
        No limit by default.

    Returns
    -------
    ndarray of int16, shape (n_queries,)
        Model of each query, −1 where none is affordable.
    """
    from routing_core.route.solve import solve  # noqa: PLC0415 — slow to import, and estimating does without

    n_queries, n_models = quality.shape
    problem = Problem(
        quality=np.ascontiguousarray(quality, np.float32),
        cost=np.ascontiguousarray(cost, np.float32),
        penalty=np.full(n_queries, DEFERRAL),
        budget=float(budget),
        capacity=np.full(n_models, UNLIMITED) if capacity is None else np.asarray(capacity, np.int64),
    )
    return np.asarray(solve(problem, LEARNING).model, np.int16)


def budgets(quality: NDArray[np.float32], cost: NDArray[np.floating], count: int = 3) -> Sequence[float]:
    """Budgets per query that bind: between serving all with the cheapest model and with the best, in log steps.

    Parameters
    ----------
    quality, cost : ndarray of float, shape (n_queries, n_models)
    count : int

    Returns
    -------
    sequence of float, USD per query
    """
    least = float(cost.min(axis=1).mean())
    most = float(cost[np.arange(len(cost)), quality.argmax(axis=1)].mean())
    if least <= 0 or most <= least:
        return [max(most, least)]
    steps = (np.arange(count) + 1) / (count + 1)
    return [float(least * (most / least) ** step) for step in steps]
