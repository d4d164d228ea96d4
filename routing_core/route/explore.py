"""Exploration: a small share of the night goes to a model drawn by chance, so that logs can value other policies.

Chances are laid down from the plan without exploration, before anything is drawn, and from nothing else. Who is drawn
follows from the query alone, through a number in [0, 1) that looks random. The night is then planned again with the
drawn queries held to their models, inside every limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED
from routing_core.route.coupling import night_capacity
from routing_core.route.explain import worth_at_prices
from routing_core.route.problem import Problem
from routing_core.route.solution import Solution


@dataclass(frozen=True, slots=True, eq=False)
class Lottery:
    """Who explores.

    Attributes
    ----------
    chance : ndarray of float32, shape (n_queries, n_models)
        Probability that the query is drawn to go to the model; rows sum to at most the share.
    drawn : ndarray of int16, shape (n_queries,)
        The model it is drawn to; ``DEFERRED`` where the plan decides.
    """

    chance: NDArray[np.float32]
    drawn: NDArray[np.int16]

    def held(self, problem: Problem) -> Problem:
        """The problem with each drawn query held to its model (or deferral, which is never ruled out)."""
        return held(problem, self.drawn)

    def propensity(self, problem: Problem, solution: Solution) -> NDArray[np.float64]:
        """Probability with which each query got its decision: by lot, and by plan where the plan says the same.

        What the plan would say of a drawn query is its best option at the night's prices; only near-ties can be
        decided otherwise.

        Parameters
        ----------
        problem : Problem
            Without anybody held.
        solution : Solution
            Of :meth:`held`.

        Returns
        -------
        ndarray of float64, shape (n_queries,), in (0, 1]
        """
        model = solution.model
        planned = model.copy()
        for rows, worth in worth_at_prices(problem, solution):
            best = worth.argmax(axis=0)
            planned[rows] = np.where(best == problem.n_models, DEFERRED, best)
        planned = np.where(self.drawn == DEFERRED, model, planned)
        # Who is drawn and has to wait after all waits because of the lot.
        lot = np.where(model == DEFERRED, self.drawn, model)
        by_lot = np.where(lot == DEFERRED, 0.0, self.chance[np.arange(len(model)), np.maximum(lot, 0)])
        left = 1.0 - self.chance.sum(axis=1, dtype=np.float64)
        return np.minimum(by_lot + np.where(model == planned, left, 0.0), 1.0)


def held(problem: Problem, drawn: NDArray[np.int16]) -> Problem:
    """The problem with queries held to models: ``drawn`` of shape (n_queries,), ``DEFERRED`` where all are open."""
    eligible = np.ones(problem.quality.shape, np.bool_) if problem.eligible is None else problem.eligible.copy()
    rows = np.flatnonzero(drawn != DEFERRED)
    eligible[rows] = False
    eligible[rows, drawn[rows]] = True
    return replace(problem, eligible=eligible)


def lottery(problem: Problem, plan: Solution, share: float, number: NDArray[np.float64]) -> Lottery:
    """Lay down chances, and draw.

    A query may be drawn to any eligible model that is worth more than waiting at the night's prices; queries whose
    deadline falls within the night are left alone. Chances are even, but lowered so that the expected queries of a
    model stay within ``share`` of its capacity, and the expected spend within ``share`` of each budget.

    Parameters
    ----------
    problem : Problem
    plan : Solution
        Of the problem, without exploration.
    share : float, in [0, 1)
        Of the queries.
    number : ndarray of float64, shape (n_queries,), in [0, 1)
        Of each query, evenly distributed.
    """
    chance = _chances(problem, plan, share)
    edges = np.cumsum(chance, axis=1, dtype=np.float64)
    drawn = np.where(number < edges[:, -1], (number[:, None] >= edges).sum(axis=1), DEFERRED).astype(np.int16)
    return Lottery(chance, within_limits(problem, drawn, number))


def _chances(problem: Problem, plan: Solution, share: float) -> NDArray[np.float32]:
    chance = np.zeros(problem.quality.shape, np.float32)
    for rows, worth in worth_at_prices(problem, plan):
        options = (worth[:-1] > worth[-1]).T
        if problem.last_batch is not None:
            options &= (problem.last_batch[rows] == problem.batches)[:, None]
        several = options.sum(axis=1) > 1
        chance[rows][several] = share * options[several] / options[several].sum(axis=1, keepdims=True)
    expected = chance.sum(axis=0, dtype=np.float64)
    chance *= _at_most(share * night_capacity(problem), expected)
    spend = (chance * problem.cost).sum(axis=1, dtype=np.float64)
    scale = np.full(len(problem), _at_most(share * problem.budget, spend.sum()))
    if problem.team is not None and problem.team_budget is not None:
        of_team = np.bincount(problem.team + 1, spend, len(problem.team_budget) + 1)[1:]
        scale = np.minimum(scale, np.append(_at_most(share * problem.team_budget, of_team), 1.0)[problem.team])
    return (chance * scale[:, None]).astype(np.float32)


def _at_most(limit: NDArray[Any] | float, expected: NDArray[Any]) -> NDArray[np.float64]:
    """Factor, at most 1, that brings what is expected within a limit."""
    factor = np.ones(expected.shape)
    np.divide(limit, expected, out=factor, where=expected > 0)
    return np.minimum(factor, 1.0)


def within_limits(problem: Problem, drawn: NDArray[np.int16], number: NDArray[np.float64]) -> NDArray[np.int16]:
    """Leave to the plan those drawn whom the limits cannot take, in the order of their numbers."""
    order = np.flatnonzero(drawn != DEFERRED)
    order = order[np.argsort(number[order], kind="stable")]
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
