"""Queries held densely in memory: the form in which prices are smoothed and near-ties are repaired."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from routing_core.records.assignments import DEFERRED


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A stack of independent problems over the same models, ``n_options = n_models + 1``, the last is deferral.

    Attributes
    ----------
    value : ndarray of float64, shape (n_problems, n_options, n_queries), quality units
        Minus infinity where the model is not eligible; minus the penalty for deferral.
    cost : ndarray of float64, shape (n_problems, n_options, n_queries), USD
        0 for deferral and where the model is not eligible.
    amount : ndarray of float64, shape (n_problems, n_limits)
        What is left of each limit for these queries.
    effect : ndarray of float64, shape (n_groups, 1 + n_models, n_limits)
        As in :class:`~routing_core.route.coupling.Coupling`.
    group : ndarray of intp, shape (n_queries,), or None
        Ascending; None where there is one group. With groups there is one problem.
    count : ndarray of float64, shape (n_queries,), or None
        How many queries that are alike each column stands for; None is one. With counts there is one problem.
    """

    value: NDArray[np.float64]
    cost: NDArray[np.float64]
    amount: NDArray[np.float64]
    effect: NDArray[np.float64]
    group: NDArray[np.intp] | None = None
    count: NDArray[np.float64] | None = None

    @property
    def n_models(self) -> int:
        """Number of models, deferral not counted."""
        return int(self.value.shape[1]) - 1

    def parts(self) -> list[slice]:
        """The queries of each group, in order of groups."""
        if self.group is None:
            return [slice(None)]
        edges = np.searchsorted(self.group, np.arange(len(self.effect) + 1))
        return [slice(int(a), int(b)) for a, b in pairwise(edges)]

    def at(self, problems: NDArray[np.intp]) -> Block:
        """The problems at ``problems``; as many as there are, are all of them in order."""
        if len(problems) == len(self.value):
            return self
        return Block(self.value[problems], self.cost[problems], self.amount[problems], self.effect, self.group)

    def columns(self, kept: slice | NDArray[np.intp], amount: NDArray[np.float64]) -> Block:
        """The queries at ``kept``, which must ascend, under other amounts."""
        group = None if self.group is None else self.group[kept]
        count = None if self.count is None else self.count[kept]
        return Block(self.value[:, :, kept], self.cost[:, :, kept], amount, self.effect, group, count)

    def total(self, by_query: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over the last axis, each column as often as it counts."""
        summed: NDArray[np.float64] = by_query.sum(axis=-1) if self.count is None else by_query @ self.count
        return summed

    def without(self, choice: NDArray[np.intp], kept: NDArray[np.intp]) -> Block:
        """The queries at ``kept`` of a block of one problem, when all others take the options ``choice``."""
        often = np.ones(len(choice)) if self.count is None else self.count.copy()
        often[kept] = 0.0
        paid = often * self.cost[0, choice, np.arange(len(choice))]
        left = self.amount[0].copy()
        for effect, part in zip(self.effect, self.parts(), strict=True):
            taken = np.bincount(choice[part], weights=often[part], minlength=self.n_models + 1)
            left -= np.concatenate([[paid[part].sum()], taken[:-1]]) @ effect
        return self.columns(kept, left[None])

    def reduced(self, prices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values less what prices of shape (n_problems, n_limits) take: shape of ``value``."""
        if self.group is None:
            felt = (prices @ self.effect[0].T)[:, :, None]
        else:
            felt = np.swapaxes(np.einsum("gcr,pr->pgc", self.effect, prices)[:, self.group], 1, 2)
        worth: NDArray[np.float64] = self.value - felt[:, :1] * self.cost
        worth[:, :-1] -= felt[:, 1:]
        return worth

    def bound(self, prices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Upper bound on each problem's optimum by the dual at ``prices``: shape (n_problems,)."""
        served = self.total(self.reduced(prices).max(axis=1))
        bound: NDArray[np.float64] = served + (prices * self.amount).sum(axis=1)
        return bound


@dataclass(frozen=True, slots=True, eq=False)
class CoreAnswer:
    """What branch and bound says of a core.

    Attributes
    ----------
    choice : ndarray of int16, shape (n_queries,), or None
        Best options found; None if none was.
    bound : float, quality units
        No decision within the options allowed is worth more.
    effort : float
        Deterministic time used, or its like in nodes.
    """

    choice: NDArray[np.int16] | None
    bound: float
    effort: float


def to_models(choice: NDArray[np.int16], n_models: int) -> NDArray[np.int16]:
    """Options as models."""
    return np.where(choice == n_models, DEFERRED, choice).astype(np.int16)


def holds(block: Block, choice: NDArray[np.int16]) -> bool:
    """Whether a decision holds every limit in float64, but for the rounding of a sum."""
    spot = np.arange(len(choice))
    used = np.zeros((1 + block.n_models + 1, len(choice)))
    used[0] = block.cost[0, choice, spot]
    used[1 + choice, spot] = 1
    usage = np.zeros(block.amount.shape[1])
    for effect, part in zip(block.effect, block.parts(), strict=True):
        usage += used[:-1, part].sum(axis=1) @ effect
    return bool(np.all(usage <= block.amount[0] + 1e-13 * np.abs(block.amount[0])))
