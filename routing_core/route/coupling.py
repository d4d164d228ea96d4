"""The limits that queries share, and what their prices mean for one query.

A query feels at most two kinds of price: one on its cost (the budget's and its team's) and one on each model
(its capacity's, and that of every batch by which the query must have run). Queries of the same team and
deadline form a *group* and feel the same prices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from routing_core.route.problem import NO_TEAM, Problem
from routing_core.route.solution import Prices


class Kind(Enum):
    """What a shared limit is on."""

    BUDGET = "budget"
    TEAM = "team"
    CAPACITY = "capacity"


@dataclass(frozen=True, slots=True)
class Limit:
    """One shared limit.

    Attributes
    ----------
    kind : Kind
    amount : float
        USD, or queries.
    index : int
        The team or the model; 0 for the budget.
    batch : int
        Batch by whose end the model's queries are counted; the night's last where no deadline is meant.
    """

    kind: Kind
    amount: float
    index: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Coupling:
    """All limits that can bind, with the groups of queries that feel the same prices.

    Attributes
    ----------
    limits : tuple of Limit, length n_limits
    effect : ndarray of float64, shape (n_groups, 1 + n_models, n_limits), 0 or 1
        Whether a group pays a limit's price on its cost (first) and on each model.
    group : ndarray of intp, shape (n_queries,), or None
        None where there is one group.
    """

    limits: tuple[Limit, ...]
    effect: NDArray[np.float64]
    group: NDArray[np.intp] | None

    @cached_property
    def amount(self) -> NDArray[np.float64]:
        """Ndarray of shape (n_limits,): USD, or queries."""
        return np.array([limit.amount for limit in self.limits], dtype=np.float64)

    @cached_property
    def is_money(self) -> NDArray[np.bool_]:
        """Ndarray of shape (n_limits,): whether the limit is on cost."""
        return np.array([limit.kind is not Kind.CAPACITY for limit in self.limits], dtype=np.bool_)

    def felt(self, prices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Prices as each group feels them: shape (n_groups, 1 + n_models), on cost and on each model."""
        felt: NDArray[np.float64] = self.effect @ prices
        return felt

    def usage(self, by_group: NDArray[np.float64]) -> NDArray[np.float64]:
        """What groups use of every limit, from cost and queries per model of shape (n_groups, 1 + n_models)."""
        used: NDArray[np.float64] = np.einsum("gcr,gc->r", self.effect, by_group)
        return used

    def group_usage(
        self, model: NDArray[np.integer], paid: NDArray[np.float64], rows: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64]:
        """Cost and queries per model of each group, shape (n_groups, 1 + n_models).

        Parameters
        ----------
        model : ndarray of int, shape (n_rows,)
            Model, or -1 for deferred.
        paid : ndarray of float64, shape (n_rows,), USD
        rows : ndarray of intp, shape (n_rows,), or None
            Which queries these are; None is all.
        """
        groups, options = self.effect.shape[:2]
        cell = model.astype(np.intp) + 1
        if self.group is not None:
            cell += options * (self.group if rows is None else self.group[rows])
        used = np.bincount(cell, minlength=groups * options).astype(np.float64).reshape(groups, options)
        used[:, 0] = np.bincount(cell, weights=paid, minlength=groups * options).reshape(groups, options).sum(axis=1)
        return used

    def named(self, prices: NDArray[np.float64], problem: Problem) -> Prices:
        """Prices by the name of their limit, in the problem's units."""
        budget, capacity, deadline = 0.0, np.zeros(problem.n_models), {}
        team = np.zeros(0 if problem.team_budget is None else len(problem.team_budget))
        for limit, price in zip(self.limits, prices.tolist(), strict=True):
            if limit.kind is Kind.BUDGET:
                budget = price
            elif limit.kind is Kind.TEAM:
                team[limit.index] = price
            elif limit.batch == problem.batches:
                capacity[limit.index] = price
            else:
                deadline[limit.index, limit.batch] = price
        return Prices(budget, capacity, team, deadline)


def couple(problem: Problem, nested: frozenset[tuple[int, int]] = frozenset()) -> Coupling:
    """The limits of a problem that can bind at all.

    Parameters
    ----------
    problem : Problem
    nested : set of (model, batch)
        Deadline rows to hold: queries due by the batch's end must fit the model's batches until then.
    """
    short = _short_teams(problem)
    limits = _limits(problem, nested, short)
    deadlines = np.array(sorted({batch for _, batch in nested}), dtype=np.int64)
    labels = _labels(problem, deadlines, short)
    if labels is None:
        return Coupling(tuple(limits), _effect(problem, limits, np.array([[NO_TEAM, problem.batches]])), None)
    kinds, group = np.unique(labels, axis=0, return_inverse=True)
    return Coupling(tuple(limits), _effect(problem, limits, kinds), group.reshape(-1).astype(np.intp))


def night_capacity(problem: Problem) -> NDArray[np.int64]:
    """Queries that each model can take in the night, never more than there are: shape (n_models,)."""
    per_batch = np.minimum(problem.capacity, len(problem))
    night: NDArray[np.int64] = np.minimum(per_batch * min(problem.batches, len(problem)), len(problem))
    return night


def _short_teams(problem: Problem) -> NDArray[np.intp]:
    """Teams that would overspend if each of their queries got its dearest answer: the others' budgets cannot bind."""
    if problem.team is None or problem.team_budget is None:
        return np.empty(0, dtype=np.intp)
    paying = np.flatnonzero(problem.team != NO_TEAM)
    dearest = problem.cost.max(axis=1)[paying].astype(np.float64)
    most = np.bincount(problem.team[paying], weights=dearest, minlength=len(problem.team_budget))
    return np.flatnonzero(most > problem.team_budget)


def _limits(problem: Problem, nested: frozenset[tuple[int, int]], short: NDArray[np.intp]) -> list[Limit]:
    limits = []
    if math.isfinite(problem.budget) and _may_exceed(problem, problem.budget):
        limits.append(Limit(Kind.BUDGET, problem.budget))
    if problem.team_budget is not None:
        limits += [Limit(Kind.TEAM, float(problem.team_budget[t]), int(t)) for t in short]
    night = night_capacity(problem)
    limits += [
        Limit(Kind.CAPACITY, float(most), j, problem.batches) for j, most in enumerate(night) if 0 < most < len(problem)
    ]
    limits += [
        Limit(Kind.CAPACITY, float(problem.capacity[j] * batch), j, batch)
        for j, batch in sorted(nested)
        if batch < problem.batches
    ]
    return limits


def _may_exceed(problem: Problem, budget: float) -> bool:
    """Whether spending on every query what the dearest answer costs would break the budget."""
    return problem.dearest * len(problem) > budget


def _labels(problem: Problem, deadlines: NDArray[np.int64], short: NDArray[np.intp]) -> NDArray[np.int64] | None:
    """Short team and first priced deadline of each query, shape (n_queries, 2); None where all are alike."""
    columns = [np.full(len(problem), NO_TEAM, dtype=np.int64), np.full(len(problem), problem.batches, dtype=np.int64)]
    if problem.team is not None:
        columns[0] = np.where(np.isin(problem.team, short), problem.team, NO_TEAM)
    if problem.last_batch is not None and len(deadlines):
        after = np.append(deadlines, problem.batches)
        columns[1] = after[np.searchsorted(deadlines, problem.last_batch)]
    if not len(short) and (problem.last_batch is None or not len(deadlines)):
        return None
    return np.stack(columns, axis=1)


def _effect(problem: Problem, limits: list[Limit], kinds: NDArray[np.int64]) -> NDArray[np.float64]:
    effect = np.zeros((len(kinds), 1 + problem.n_models, len(limits)))
    for r, limit in enumerate(limits):
        if limit.kind is Kind.BUDGET:
            effect[:, 0, r] = 1
        elif limit.kind is Kind.TEAM:
            effect[:, 0, r] = kinds[:, 0] == limit.index
        else:
            effect[:, 1 + limit.index, r] = kinds[:, 1] <= limit.batch
    return effect
