"""What joint routing is measured against, on the same problem and under the same limits.

Queries ask for models in turns: all that are still undecided ask for the best of the options they have left,
the limits admit them in the order given, and who is refused has one option less. A refusal is final.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED
from routing_core.route.batches import deal, uncrowd
from routing_core.route.coupling import couple, night_capacity
from routing_core.route.problem import Problem
from routing_core.route.robust import robust_objective
from routing_core.route.rows import Rows

BISECTIONS = 40
"""Most halvings when a trade-off is calibrated to a spend."""


class Fallback(StrEnum):
    """What becomes of a query whose first choice is full or not to be paid for."""

    CHEAPEST_FEASIBLE = "cheapest_feasible"
    """The cheapest model that still has room."""
    BEST_FEASIBLE = "best_feasible"
    """The model of best quality that still has room."""
    UNSERVED = "unserved"
    """It is deferred."""


@dataclass(frozen=True, slots=True, eq=False)
class Routed:
    """A baseline's decisions: feasible, with no claim on how good they are.

    Attributes
    ----------
    model : ndarray of int16, shape (n_queries,)
    batch : ndarray of int32, shape (n_queries,)
    objective : float, quality units
    spend : float, USD
    load : ndarray of int64, shape (n_models,)
    """

    model: NDArray[np.int16]
    batch: NDArray[np.int32]
    objective: float
    spend: float
    load: NDArray[np.int64]


def per_query(problem: Problem, a: float, fallback: Fallback) -> Routed:
    """Every query by itself takes the model of greatest ``a·quality − (1 − a)·cost``, in the order of rows.

    Parameters
    ----------
    problem : Problem
    a : float, in [0, 1]
        Quality against USD.
    fallback : Fallback
    """
    wish = np.float32(a) * problem.quality - np.float32(1 - a) * problem.cost
    return _first_then(problem, wish, fallback)


def calibrated(problem: Problem, fallback: Fallback, spend: float, *, within: float = 0.01) -> tuple[float, Routed]:
    """The per-query trade-off whose spend is nearest to ``spend``, and not over it by more than ``within``.

    Parameters
    ----------
    problem : Problem
    fallback : Fallback
    spend : float, USD
    within : float
        Share of ``spend`` by which it may differ.

    Returns
    -------
    a : float
    routed : Routed
        Of the trade-offs tried, the one nearest in spend that is at most ``spend · (1 + within)``; where even ``a = 0``
        spends more, that one.
    """
    low, high = 0.0, 1.0
    best_a, best = low, per_query(problem, low, fallback)
    for _ in range(BISECTIONS):
        if abs(best.spend - spend) <= within * spend:
            break
        a = _between(low, high)
        found = per_query(problem, a, fallback)
        if found.spend > spend * (1 + within):
            high = a
        else:
            low = a
        if found.spend <= spend * (1 + within) and abs(found.spend - spend) < abs(best.spend - spend):
            best_a, best = a, found
    return best_a, best


def _between(low: float, high: float) -> float:
    """Half-way in quality per USD, on a scale of powers: costs may be anything from 1e-9 to 1e3 USD."""

    def odds(a: float) -> float:
        return math.log(max(a, 1e-12) / max(1 - a, 1e-12))

    return 1 / (1 + math.exp(-0.5 * (odds(low) + odds(high))))


def best_single(problem: Problem, fallback: Fallback = Fallback.UNSERVED) -> Routed:
    """All queries ask for one model; of all models, the one that serves the most value this way."""
    return max((single(problem, j, fallback) for j in range(problem.n_models)), key=lambda routed: routed.objective)


def single(problem: Problem, model: int, fallback: Fallback = Fallback.UNSERVED) -> Routed:
    """All queries ask for ``model``."""
    wish = np.full(problem.quality.shape, -np.inf, dtype=np.float32)
    wish[:, model] = 1.0
    return _first_then(problem, wish, fallback)


def greedy_fill(problem: Problem) -> Routed:
    """Most value gained per USD first, until budget or capacity is used up."""
    gain = problem.quality + problem.penalty[:, None].astype(np.float32)
    typical = max(float(problem.cost.mean()), 1e-12)
    density = gain / (problem.cost / np.float32(typical) + np.float32(1.0))
    order = np.argsort(-density.max(axis=1), kind="stable")
    return _routed(problem, _Counter(problem).admit_all(density, order))


def at_random(problem: Problem, seed: int, fallback: Fallback = Fallback.CHEAPEST_FEASIBLE) -> Routed:
    """Every query asks for a model drawn evenly."""
    wish = np.random.default_rng(seed).random(problem.quality.shape, dtype=np.float32)
    return _first_then(problem, wish, fallback)


def _first_then(problem: Problem, wish: NDArray[np.float32], fallback: Fallback) -> Routed:
    """First choices by ``wish``, then the fallback, in the order of rows."""
    counter, order = _Counter(problem), np.arange(len(problem))
    counter.turn(wish, order)
    if fallback is Fallback.CHEAPEST_FEASIBLE:
        counter.admit_all(-problem.cost, order)
    elif fallback is Fallback.BEST_FEASIBLE:
        counter.admit_all(problem.quality, order)
    return _routed(problem, counter.model)


class _Counter:
    """Where queries ask and limits admit."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._options = _possible(problem)
        self._room = night_capacity(problem).copy()
        self._purse = problem.budget
        self._team_purse = None if problem.team_budget is None else problem.team_budget.copy()
        self.model = np.full(len(problem), DEFERRED, dtype=np.int16)

    def admit_all(self, score: NDArray[np.float32], order: NDArray[np.intp]) -> NDArray[np.int16]:
        """Turns until everybody is admitted or has nothing left to ask for."""
        for _ in range(self._problem.n_models):
            if not self.turn(score, order):
                break
        return self.model

    def turn(self, score: NDArray[np.float32], order: NDArray[np.intp]) -> bool:
        """One turn: every undecided query asks for its best option left; whether any had one."""
        asking = order[self.model[order] == DEFERRED]
        asking = asking[self._options[asking].any(axis=1)]
        if not len(asking):
            return False
        wanted = np.where(self._options[asking], score[asking], -np.inf)
        model = wanted.argmax(axis=1)
        self._options[asking, model] = False
        wished = np.isfinite(wanted[np.arange(len(asking)), model])
        asking, model = asking[wished], model[wished]
        fits = self._has_room(model)
        fits[fits] = self._affords(asking[fits], model[fits])
        self.model[asking[fits]] = model[fits]
        self._room -= np.bincount(model[fits], minlength=self._problem.n_models)
        return True

    def _has_room(self, model: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Who is among the first that each model has room for."""
        by_model = np.argsort(model, kind="stable")
        edges = np.searchsorted(model[by_model], np.arange(self._problem.n_models))
        rank = np.empty(len(model), dtype=np.int64)
        rank[by_model] = np.arange(len(model)) - edges[model[by_model]]
        fits: NDArray[np.bool_] = rank < self._room[model]
        return fits

    def _affords(self, asking: NDArray[np.intp], model: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Who can be paid for, and pays."""
        cost = self._problem.cost[asking, model].astype(np.float64)
        fits = np.ones(len(asking), dtype=np.bool_)
        if self._problem.team is not None and self._team_purse is not None:
            team = self._problem.team[asking]
            for t in np.unique(team[team >= 0]):
                mine = np.flatnonzero(team == t)
                fits[mine] = _prefix(cost[mine], float(self._team_purse[t]))
        within = np.flatnonzero(fits)
        fits[within] = _prefix(cost[within], self._purse)
        self._purse -= float(cost[fits].sum())
        if self._problem.team is not None and self._team_purse is not None:
            team = self._problem.team[asking]
            paying = fits & (team >= 0)
            self._team_purse -= np.bincount(team[paying], weights=cost[paying], minlength=len(self._team_purse))
        return fits


def _prefix(cost: NDArray[np.float64], purse: float) -> NDArray[np.bool_]:
    """Who is paid for when a purse pays in order until it is short, and those after who cost nothing."""
    paid: NDArray[np.bool_] = (np.cumsum(cost) <= purse) | (cost == 0)
    return paid


def _possible(problem: Problem) -> NDArray[np.bool_]:
    """Pairs that eligibility and the night's deadline allow."""
    possible = np.ones(problem.quality.shape, dtype=np.bool_) if problem.eligible is None else problem.eligible.copy()
    if problem.last_batch is not None:
        possible &= (problem.last_batch > 0)[:, None]
    return possible


def _routed(problem: Problem, model: NDArray[np.int16]) -> Routed:
    rows = Rows(problem, couple(problem))
    if problem.last_batch is not None:
        model = uncrowd(problem, model, rows.worth(model) + problem.penalty)
    objective = robust_objective(problem, model) if problem.robust else rows.objective(model)
    load = np.bincount(model[model != DEFERRED], minlength=problem.n_models)
    return Routed(model, deal(problem, model), objective, float(np.sum(rows.paid(model))), load)
