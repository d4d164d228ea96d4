"""The stage on which two ways of routing meet: the same queries, estimates, batches, budget and capacities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from routing_core.backtest.history import History
from routing_core.backtest.replay import BATCH, Night
from routing_core.predict.offpolicy import plan_value
from routing_core.predict.planning import DEFERRAL
from routing_core.route.problem import UNLIMITED, Problem


class Order(StrEnum):
    """How a night's queries are dealt to batches."""

    RANDOM = "random"
    """As drawn: every batch is like the night."""
    TASK = "task"
    """Sorted by task: each batch of one kind."""
    LENGTH = "length"
    """Sorted by prompt length."""
    PREDICTED_SPEND = "predicted_spend"
    """Sorted by predicted cost, the mean over models: the dear queries come together."""


class Caps(StrEnum):
    """What capacity each model has in a batch."""

    NONE = "none"
    """No limit."""
    TWICE_EVEN = "twice_even"
    """Twice an even share of the batch, for every model."""
    FLEET = "fleet"
    """What the fleet under comparison holds; models without instances of ours have no limit."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a way of routing realised.

    Attributes
    ----------
    quality, spend : ndarray of float64, shape (n_queries,)
        Of each query of the stage, in the stage's order; USD. An unserved query has 0 of both.
    """

    quality: NDArray[np.float64]
    spend: NDArray[np.float64]

    @property
    def value(self) -> float:
        """Mean realised quality."""
        return float(self.quality.mean())

    @property
    def usd(self) -> float:
        """Mean realised spend, USD per query."""
        return float(self.spend.mean())


class Answers:
    """What is known of the answers to the stage's queries."""

    def __init__(
        self,
        history: History,
        rows: NDArray[np.int64],
        quality: NDArray[np.float32],
        cost: NDArray[np.float32],
    ) -> None:
        self._seen = history.labels.take(rows)
        self._paid = replace(self._seen, quality=history.paid[rows].astype(np.float32))
        self._quality, self._cost = quality, cost
        self._all = np.arange(len(rows))
        self.effective = np.inf

    def of(self, choice: NDArray[np.integer]) -> Result:
        """What a choice realised; where logs are partial, its doubly robust estimate.

        Parameters
        ----------
        choice : ndarray of int, shape (n_queries,)
            Index of the model, negative where unserved.
        """
        quality = plan_value(choice, self._seen, self._all, self._quality)
        spend = plan_value(choice, self._paid, self._all, self._cost)
        self.effective = min(self.effective, quality.effective)
        return Result(quality.parts, spend.parts)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """All nights' queries in the order they come, cut in batches.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_queries,)
        Queries of the history.
    night : ndarray of int64, shape (n_queries,)
        Index of the night, ascending.
    batch_of : ndarray of int64, shape (n_queries,), from 1, ascending
        Batches of :data:`~routing_core.backtest.replay.BATCH`, the last of a night shorter.
    mean, lower, robust, cost : ndarray of float32, shape (n_queries, n_models)
        As in :class:`~routing_core.backtest.replay.Night`.
    answers : Answers
    """

    rows: NDArray[np.int64]
    night: NDArray[np.int64]
    batch_of: NDArray[np.int64]
    mean: NDArray[np.float32]
    lower: NDArray[np.float32]
    robust: NDArray[np.float32]
    cost: NDArray[np.float32]
    answers: Answers

    def __len__(self) -> int:
        return len(self.rows)

    def problem(self, quality: NDArray[np.float32], budget: float, capacity: NDArray[np.int64]) -> Problem:
        """All nights as one problem of arrival batches.

        Parameters
        ----------
        quality : ndarray of float32, shape (n_queries, n_models)
            Quality planned with.
        budget : float, USD per query
        capacity : ndarray of int64, shape (n_models,), queries per batch
        """
        return Problem(
            quality=quality,
            cost=self.cost,
            penalty=np.full(len(self), DEFERRAL),
            budget=budget * len(self),
            capacity=capacity,
            batches=int(self.batch_of.max()),
        )

    def capacity(self, caps: Caps) -> NDArray[np.int64]:
        """Queries each model takes in a batch: ndarray of int64, shape (n_models,)."""
        m = self.cost.shape[1]
        return np.full(m, UNLIMITED if caps is Caps.NONE else max(1, -(-2 * BATCH // m)), dtype=np.int64)


def set_stage(history: History, nights: Sequence[Night], order: Order) -> Stage:
    """Put the nights one after the other, each in the order asked for."""
    orders = [_ordered(history, night, order) for night in nights]
    sizes = [len(at) for at in orders]
    rows = np.concatenate([night.rows[at] for night, at in zip(nights, orders, strict=True)])

    def stacked(name: str) -> NDArray[np.float32]:
        parts = [getattr(night, name)[at] for night, at in zip(nights, orders, strict=True)]
        return np.ascontiguousarray(np.concatenate(parts), np.float32)

    mean, cost = stacked("mean"), stacked("cost")
    return Stage(
        rows=rows,
        night=np.repeat(np.arange(len(nights)), sizes),
        batch_of=_cut(sizes),
        mean=mean,
        lower=stacked("lower"),
        robust=stacked("robust"),
        cost=cost,
        answers=Answers(history, rows, mean, cost),
    )


def _ordered(history: History, night: Night, order: Order) -> NDArray[np.int64]:
    """Positions of the night's queries in the order they come; ties are as drawn."""
    drawn = np.random.default_rng(night.seed).permutation(len(night.rows))
    labels, rows = history.labels, night.rows[drawn]
    if order is Order.TASK:
        return drawn[np.argsort(labels.task[rows].astype(str), kind="stable")]
    if order is Order.LENGTH:
        return drawn[np.argsort(labels.input_tokens[rows], kind="stable")]
    if order is Order.PREDICTED_SPEND:
        return drawn[np.argsort(night.cost[drawn].mean(axis=1), kind="stable")]
    return drawn


def _cut(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Number of the batch of every query, from 1, over all nights."""
    numbers, last = [], 0
    for size in sizes:
        numbers.append(last + 1 + np.arange(size) // BATCH)
        last = int(numbers[-1][-1])
    return np.concatenate(numbers)
