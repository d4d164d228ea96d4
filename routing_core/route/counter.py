"""The counter at which queries ask for models, and limits admit them.

Queries ask in turns: all that are still undecided ask for the best of the options they have left, the limits admit them
in the order given, and who is refused has one option less. A refusal is final. Or they climb, step by step, to where
the next one adds most for its money.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED
from routing_core.route.coupling import night_capacity
from routing_core.route.problem import Problem

SLICES = 4
"""Share of the queries that take a greedy step at once, as one of so many: the steepest."""
LEAST_SLICE = 1 << 8
"""Least queries that do."""
TILE = 1 << 14
"""Queries whose greedy steps are looked for at once."""
FREE = np.float32(1e-15)
"""USD at most that count as free."""


class Counter:
    """Where queries ask and limits admit.

    Attributes
    ----------
    model : ndarray of int16, shape (n_queries,)
        Who was admitted where; ``DEFERRED`` where nobody was.
    crowded : bool
        Whether a model was full once while queries climbed.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._options = _possible(problem)
        self._room = night_capacity(problem).copy()
        self._purse = problem.budget
        self._team_purse = None if problem.team_budget is None else problem.team_budget.copy()
        self.model = np.full(len(problem), DEFERRED, dtype=np.int16)
        self.crowded = False

    def admit_all(self, score: NDArray[np.float32], order: NDArray[np.intp]) -> NDArray[np.int16]:
        """Turns until everybody is admitted or has nothing left to ask for; arguments as of :meth:`turn`."""
        for _ in range(self._problem.n_models):
            if not self.turn(score, order):
                break
        return self.model

    def turn(self, score: NDArray[np.float32], order: NDArray[np.intp]) -> bool:
        """One turn: every undecided query asks for its best option left; whether any had one.

        Parameters
        ----------
        score : ndarray of float32, shape (n_queries, n_models)
            The greatest is asked for first, −∞ never.
        order : ndarray of intp, shape (n_queries,)
            In which queries are admitted.
        """
        asking = order[self.model[order] == DEFERRED]
        model, wished = np.empty(len(asking), dtype=np.intp), np.empty(len(asking), dtype=np.bool_)
        for start in range(0, len(asking), TILE):
            part = slice(start, start + TILE)
            wanted = score.take(asking[part], axis=0)
            np.copyto(wanted, -np.inf, where=~self._options.take(asking[part], axis=0))
            model[part] = best = wanted.argmax(axis=1)
            wished[part] = np.isfinite(wanted[np.arange(len(best)), best])
        asking, model = asking[wished], model[wished]
        if not len(asking):
            return False
        self._options[asking, model] = False
        fits = self._has_room(model)
        fits[fits] = self._affords(asking[fits], self._problem.cost[asking[fits], model[fits]].astype(np.float64))
        self.model[asking[fits]] = model[fits]
        self._room -= np.bincount(model[fits], minlength=self._problem.n_models)
        return True

    def climb(self) -> None:
        """Every query by steps of falling value per USD, the steepest of all queries first."""
        self._options = _possible(self._problem)
        active = np.arange(len(self.model))
        density, to = self._steps(active)
        while (left := density > 0).any():
            active, to, density = active[left], to[left], density[left]
            most = max(len(active) // SLICES, LEAST_SLICE)
            least = np.partition(density, len(active) - most)[len(active) - most] if most < len(active) else 0
            steepest = np.flatnonzero(density >= least)
            steepest = steepest[greatest_first(density[steepest])]
            asking = active[steepest]
            self._move(asking, to[steepest])
            density[steepest], to[steepest] = self._steps(asking)

    def _steps(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Each row's steepest step that room and purse still allow: value per USD, 0 where there is none, and model."""
        density, to = np.zeros(len(rows), np.float32), np.zeros(len(rows), dtype=np.intp)
        roomy, penalty = self._room > 0, self._problem.penalty.astype(np.float32)
        for start in range(0, len(rows), TILE):
            part = slice(start, start + TILE)
            mine, now = rows[part], self.model[rows[part]]
            served, each = now != DEFERRED, np.arange(len(mine))
            more = self._problem.quality.take(mine, axis=0)
            dearer = self._problem.cost.take(mine, axis=0)
            more -= np.where(served, more[each, now], -penalty[mine])[:, None]
            dearer -= np.where(served, dearer[each, now], np.float32(0))[:, None]
            possible = self._options.take(mine, axis=0) & roomy
            possible &= more > 0
            possible &= dearer <= self._purse
            more *= possible  # before the division: what is infinite would not become 0
            more /= np.maximum(dearer, FREE, out=dearer)
            to[part] = best = more.argmax(axis=1)
            density[part] = more[each, best]
        return density, to

    def _move(self, asking: NDArray[np.intp], model: NDArray[np.intp]) -> None:
        """Queries ask in order to move to a model, and pay the difference."""
        self._options[asking, model] = False
        fits = self._has_room(model)
        self.crowded |= not bool(fits.all())
        now = self.model[asking]
        paid = np.where(now == DEFERRED, 0.0, self._problem.cost[asking, np.maximum(now, 0)].astype(np.float64))
        dearer = self._problem.cost[asking, model].astype(np.float64) - paid
        fits[fits] = self._affords(asking[fits], dearer[fits])
        self.model[asking[fits]] = model[fits]
        left = now[fits & (now != DEFERRED)]
        self._room += np.bincount(left, minlength=len(self._room)) - np.bincount(model[fits], minlength=len(self._room))
        self.crowded |= bool((self._room == 0).any())

    def _has_room(self, model: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Who is among the first that each model has room for."""
        if (np.bincount(model, minlength=len(self._room)) <= self._room).all():
            return np.ones(len(model), dtype=np.bool_)
        by_model = np.argsort(model.astype(np.int16), kind="stable")  # narrow integers are sorted by their digits
        edges = np.searchsorted(model[by_model], np.arange(self._problem.n_models))
        rank = np.empty(len(model), dtype=np.int64)
        rank[by_model] = np.arange(len(model)) - edges[model[by_model]]
        fits: NDArray[np.bool_] = rank < self._room[model]
        return fits

    def _affords(self, asking: NDArray[np.intp], cost: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Who can be paid for, and pays."""
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


def greatest_first(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Order from the greatest to the least, ties in the order given.

    The bits of numbers from 0 on rise with them, and leave room for the place: plain numbers are sorted several times
    as fast as places.

    Parameters
    ----------
    values : ndarray of float32, shape (n,), at least 0; n below 2³²

    Returns
    -------
    ndarray of intp, shape (n,)
    """
    places = np.arange(len(values), dtype=np.uint64)
    keys = (~np.abs(values).view(np.uint32)).astype(np.uint64) << np.uint64(32) | places
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.intp)


def _prefix(cost: NDArray[np.float64], purse: float) -> NDArray[np.bool_]:
    """Who is paid for when a purse pays in order until it is short, and those after who cost nothing or give back."""
    paid: NDArray[np.bool_] = (np.cumsum(cost) <= purse) | (cost <= 0)
    return paid


def _possible(problem: Problem) -> NDArray[np.bool_]:
    """Pairs that eligibility and the night's deadline allow."""
    possible = np.ones(problem.quality.shape, dtype=np.bool_) if problem.eligible is None else problem.eligible.copy()
    if problem.last_batch is not None:
        possible &= (problem.last_batch > 0)[:, None]
    return possible
