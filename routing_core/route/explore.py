"""Exploration: a small share of the night goes to a model drawn by chance, so that logs can value other policies.

Chances are laid down from the plan without exploration, before anything is drawn, and from nothing else. Who is drawn
follows from the query alone, through a number in [0, 1) that looks random. The night is then planned again with the
drawn queries held to their models, inside every limit.

A propensity is the probability of a query's decision *given the numbers of all other queries*: then each answer,
weighted by its inverse, is unbiased whatever the others' draws did to the plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED
from routing_core.route.coupling import night_capacity
from routing_core.route.explain import worth_at_prices
from routing_core.route.problem import Problem
from routing_core.route.solution import Solution, Status, proven_gap

MUST = 10.0
"""Penalty at least, quality units, of deferring a drawn query: more than what it displaces is worth, but on a night of
so few that one dear answer takes the money of all."""
AGAIN = 32
"""Times at most that a night is planned again to learn what drawn queries would have got undrawn; …"""
ROWS_AGAIN = 1 << 20
"""… and queries planned again in all."""


@dataclass(frozen=True, slots=True, eq=False)
class Lottery:
    """Who explores.

    Attributes
    ----------
    chance : ndarray of float32, shape (n_queries, n_models)
        Probability that the query goes to the model by lot, given who was drawn of those before it; rows sum to at
        most the share.
    wanted : ndarray of int16, shape (n_queries,)
        The model it was drawn to go to, whether or not the limits could take it.
    drawn : ndarray of int16, shape (n_queries,)
        The model it goes to; ``DEFERRED`` where the plan decides.
    """

    chance: NDArray[np.float32]
    wanted: NDArray[np.int16]
    drawn: NDArray[np.int16]

    def held(self, problem: Problem) -> Problem:
        """The problem with each drawn query held to its model, and its deferral hardly to be afforded."""
        return _must(held(problem, self.drawn), self.drawn)

    def without(self, problem: Problem, row: int) -> Problem:
        """What :meth:`held` would be had the query at ``row`` not been drawn: it may make room for another."""
        wanted = self.wanted.copy()
        wanted[row] = DEFERRED
        drawn = _admitted(wanted, open_to(problem, wanted))
        return _must(held(problem, drawn), drawn)

    def propensity(
        self, problem: Problem, solution: Solution, decide: Callable[[Problem], Solution]
    ) -> NDArray[np.float64]:
        """Probability with which each query got its decision: by lot, and by plan where the plan says the same.

        An undrawn query was decided by the plan. What the plan would have said of a drawn one is found by planning
        again without its draw, the nearest to a tie first and at most ``AGAIN`` of them; of the others it is their best
        option at the night's prices, which they are further from than one query moves.

        Parameters
        ----------
        problem : Problem
            Without anybody held.
        solution : Solution
            Of :meth:`held`.
        decide : callable
            As the solution was found.

        Returns
        -------
        ndarray of float64, shape (n_queries,), in (0, 1]; NaN where a drawn query was deferred all the same
        """
        model, spot = solution.model, np.arange(len(problem))
        planned, margin = _by_prices(problem, solution)
        explored = np.flatnonzero(self.drawn != DEFERRED)
        nearest = explored[np.argsort(margin[explored], kind="stable")]
        for row in nearest[: min(AGAIN, ROWS_AGAIN // len(problem))].tolist():
            planned[row] = decide(self.without(problem, row)).model[row]
        planned = np.where(self.drawn == DEFERRED, model, planned)
        by_lot = np.where(model == DEFERRED, 0.0, self.chance[spot, np.maximum(model, 0)])
        left = 1.0 - self.chance.sum(axis=1, dtype=np.float64)
        found = np.minimum(by_lot + np.where(model == planned, left, 0.0), 1.0)
        return np.where((self.drawn != DEFERRED) & (model == DEFERRED), np.nan, found)

    def as_posed(self, problem: Problem, solution: Solution, gap: float) -> Solution:
        """The solution of :meth:`held` in the figures of the problem with its own penalties.

        Parameters
        ----------
        problem : Problem
            Without anybody held.
        solution : Solution
        gap : float
            The one asked for.
        """
        waits = np.flatnonzero((self.drawn != DEFERRED) & (solution.model == DEFERRED))
        eased = MUST - np.minimum(problem.penalty[waits], MUST)
        objective = solution.objective + float(eased.sum(dtype=np.float64))
        bound = max(solution.bound, objective)
        proven = proven_gap(objective, bound, float(np.sum(problem.penalty, dtype=np.float64)))
        wider = solution.status is Status.PROVEN and proven > gap
        status = Status.LIMITED if wider else solution.status
        return replace(solution, objective=objective, bound=bound, gap=proven, status=status)


def held(problem: Problem, drawn: NDArray[np.int16]) -> Problem:
    """The problem with queries held to models: ``drawn`` of shape (n_queries,), ``DEFERRED`` where all are open."""
    eligible = np.ones(problem.quality.shape, np.bool_) if problem.eligible is None else problem.eligible.copy()
    rows = np.flatnonzero(drawn != DEFERRED)
    eligible[rows] = False
    eligible[rows, drawn[rows]] = True
    return replace(problem, eligible=eligible)


def _must(problem: Problem, drawn: NDArray[np.int16]) -> Problem:
    penalty = problem.penalty.astype(np.float64)
    return replace(problem, penalty=np.where(drawn == DEFERRED, penalty, np.maximum(penalty, MUST)))


def _by_prices(problem: Problem, solution: Solution) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Each query's best option at the night's prices, and how far its decision is from being it or from losing that."""
    best, margin = np.empty(len(problem), np.int16), np.empty(len(problem))
    for rows, worth in worth_at_prices(problem, solution):
        spot = np.arange(worth.shape[1])
        first = worth.argmax(axis=0)
        best[rows] = np.where(first == problem.n_models, DEFERRED, first)
        mine = worth[solution.model[rows], spot]
        worth[solution.model[rows], spot] = -np.inf
        margin[rows] = np.abs(mine - worth.max(axis=0))
    return best, margin


def lottery(problem: Problem, plan: Solution, share: float, number: NDArray[np.float64]) -> Lottery:
    """Lay down chances, and draw.

    A query may be drawn to any eligible model that is worth more than waiting at the night's prices; queries whose
    deadline falls within the night are left alone. Chances are even, but lowered so that the expected queries of a
    model stay within ``share`` of its capacity, and the expected spend within ``share`` of each budget. Whom the limits
    cannot take after those drawn before it, in the order of rows, has no chance: that is known before it is drawn.

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
    wanted = np.where(number < edges[:, -1], (number[:, None] >= edges).sum(axis=1), DEFERRED).astype(np.int16)
    room = open_to(problem, wanted)
    return Lottery(np.where(room, chance, np.float32(0.0)), wanted, _admitted(wanted, room))


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


def open_to(problem: Problem, wanted: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Which models the limits could still give each query, were all before it to have got what they were drawn to.

    Parameters
    ----------
    problem : Problem
    wanted : ndarray of int16, shape (n_queries,)
        ``DEFERRED`` where nothing was drawn.

    Returns
    -------
    ndarray of bool, shape (n_queries, n_models)
        Of a query, it depends on those in rows before it alone.
    """
    rows = np.flatnonzero(wanted != DEFERRED)
    paid = np.zeros(len(problem))
    paid[rows] = problem.cost[rows, wanted[rows]]
    room: NDArray[np.bool_] = problem.cost <= (problem.budget - (np.cumsum(paid) - paid))[:, None]
    for j, most in enumerate(night_capacity(problem).tolist()):
        takers = rows[wanted[rows] == j]
        full_after = -1 if not most else takers[most - 1] if len(takers) >= most else len(problem)
        room[full_after + 1 :, j] = False
    if problem.team is not None and problem.team_budget is not None:
        for t, usd in enumerate(problem.team_budget.tolist()):
            mine = np.flatnonzero(problem.team == t)
            room[mine] &= problem.cost[mine] <= (usd - (np.cumsum(paid[mine]) - paid[mine]))[:, None]
    return room


def _admitted(wanted: NDArray[np.int16], room: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Who was drawn to a model that has room."""
    fits = room[np.arange(len(wanted)), np.maximum(wanted, 0)]
    return np.where(fits, wanted, np.int16(DEFERRED)).astype(np.int16)
