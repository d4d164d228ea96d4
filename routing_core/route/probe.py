"""Probes: a few queries a night go to a model that too little is known of, where its answers would change decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED
from routing_core.route.coupling import night_capacity
from routing_core.route.explain import worth_at_prices
from routing_core.route.problem import Problem
from routing_core.route.solution import Solution


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Who is to be learnt of.

    Attributes
    ----------
    newcomers : ndarray of bool, shape (n_models,)
        Models on probation.
    eligible : ndarray of bool, shape (n_queries, n_models)
        Who may answer what, newcomers included.
    quota : int
        Most queries of the night for each newcomer.
    """

    newcomers: NDArray[np.bool_]
    eligible: NDArray[np.bool_]
    quota: int


def withheld(eligible: NDArray[np.bool_], newcomers: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Eligibility without the newcomers, but for queries that nobody else may answer: shape of ``eligible``."""
    others = eligible & ~newcomers
    kept: NDArray[np.bool_] = np.where(others.any(axis=1, keepdims=True), others, eligible)
    return kept


def aim(problem: Problem, plan: Solution, probes: Probes) -> NDArray[np.int16]:
    """Choose the queries that probe.

    They are those where the newcomer, at the night's prices and as the prior has it, comes nearest to what was chosen
    or is furthest beyond it: there the next answers decide. Queries due within the night are left alone.

    Parameters
    ----------
    problem : Problem
        Without newcomers.
    plan : Solution
        Of it.
    probes : Probes

    Returns
    -------
    ndarray of int16, shape (n_queries,)
        The newcomer each query probes; ``DEFERRED`` for all others.
    """
    margin = np.full(problem.quality.shape, -np.inf, np.float32)
    for rows, worth in worth_at_prices(replace(problem, eligible=probes.eligible), plan):
        options = np.concatenate([~probes.newcomers, [True]])
        margin[rows] = (worth[:-1] - worth[options].max(axis=0)).T
    margin[:, ~probes.newcomers] = -np.inf
    if problem.last_batch is not None:
        margin[problem.last_batch < problem.batches] = -np.inf
    drawn = np.full(len(problem), DEFERRED, np.int16)
    rank = np.full(len(problem), np.inf)
    for j in np.flatnonzero(probes.newcomers):
        free = np.flatnonzero((drawn == DEFERRED) & np.isfinite(margin[:, j]))
        best = free[np.argsort(-margin[free, j], kind="stable")][: probes.quota]
        drawn[best], rank[best] = j, np.arange(len(best))
    return _within_limits(problem, drawn, rank)


def _within_limits(problem: Problem, drawn: NDArray[np.int16], rank: NDArray[np.float64]) -> NDArray[np.int16]:
    """Leave to the plan those whom the limits cannot take, in the order of their rank."""
    order = np.flatnonzero(drawn != DEFERRED)
    order = order[np.argsort(rank[order], kind="stable")]
    model = drawn[order]
    taken = (model[:, None] == np.arange(problem.n_models)).cumsum(axis=0)[np.arange(len(order)), model]
    cost = problem.cost[order, model].astype(np.float64)
    fits = (taken <= night_capacity(problem)[model]) & (np.cumsum(cost) <= problem.budget)
    if problem.team is not None and problem.team_budget is not None:
        for t, usd in enumerate(problem.team_budget):
            mine = problem.team[order] == t
            fits &= ~mine | (np.cumsum(cost * mine) <= usd)
    kept = drawn.copy()
    kept[order[~fits]] = DEFERRED
    return kept


def admitted(problem: Problem, drawn: NDArray[np.int16]) -> Problem:
    """The problem with each probing query's newcomer among its options."""
    eligible = np.ones(problem.quality.shape, np.bool_) if problem.eligible is None else problem.eligible.copy()
    rows = np.flatnonzero(drawn != DEFERRED)
    eligible[rows, drawn[rows]] = True
    return replace(problem, eligible=eligible)
