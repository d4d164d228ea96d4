"""Per-query routing of batches as they come: each query is decided when its turn comes, before the next is seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import ProblemError
from routing_core.records.assignments import DEFERRED
from routing_core.route.baselines import Fallback
from routing_core.route.problem import Problem


def one_by_one(
    problem: Problem, batch_of: NDArray[np.integer], a: float | NDArray[np.float64], fallback: Fallback
) -> NDArray[np.int16]:
    """Every query takes the model of greatest ``a·quality − (1 − a)·cost``, if its batch can still pay and has room.

    A batch can pay what leaves enough to serve all its queries to come with their cheapest models; knowing those is an
    advantage, without which whoever comes last would find an empty purse. Where not even that much is left, it pays
    what it has. All batches step together, one query each.

    It differs from :func:`~routing_core.route.baselines.per_query` in that a query that falls back does so at once, not
    after all first choices: what a router of single requests does.

    Parameters
    ----------
    problem : Problem
        The whole night; a batch of n_b queries gets ``budget · n_b / N``, and ``capacity`` holds in each batch.
        Without teams and deadlines.
    batch_of : ndarray of int, shape (n_queries,), in [1, batches]
        Within a batch, queries come in the order of rows.
    a : float, or ndarray of shape (n_queries,), in [0, 1]
        Quality against USD.
    fallback : Fallback

    Returns
    -------
    ndarray of int16, shape (n_queries,)
        Index of the model, or ``records.assignments.DEFERRED``.

    Raises
    ------
    ProblemError
        If the problem has teams or deadlines.
    """
    if problem.team is not None or problem.last_batch is not None:
        raise ProblemError("team, last_batch: must be None for queries decided one by one")
    weight = np.broadcast_to(a, len(problem))[:, None]
    wish = weight * problem.quality.astype(np.float64) - (1 - weight) * problem.cost.astype(np.float64)
    otherwise = -problem.cost if fallback is Fallback.CHEAPEST_FEASIBLE else problem.quality
    purse, room = _limits(problem, batch_of)
    least = _least_after(problem, batch_of)
    model = np.full(len(problem), DEFERRED, dtype=np.int16)
    for rows in _turns(batch_of):
        batch = batch_of[rows] - 1
        kept = np.where(least[rows, 0] <= purse[batch], least[rows, 1], 0.0)
        open_to = (problem.cost[rows] <= (purse[batch] - kept)[:, None]) & (room[batch] > 0)
        if problem.eligible is not None:
            open_to &= problem.eligible[rows]
        chosen = _choose(problem, rows, wish, otherwise, open_to, fallback)
        served = open_to[np.arange(len(rows)), chosen]
        mine, paid = (batch[served], chosen[served]), problem.cost[rows[served], chosen[served]]
        model[rows[served]] = chosen[served]
        purse[mine[0]] -= paid
        room[mine] -= 1
    return model


def _least_after(problem: Problem, batch_of: NDArray[np.integer]) -> NDArray[np.float64]:
    """What the cheapest models cost from each query on, and after it, to its batch's end: shape (n_queries, 2), USD."""
    cost = problem.cost if problem.eligible is None else np.where(problem.eligible, problem.cost, np.inf)
    least = cost.min(axis=1).astype(np.float64)
    least[~np.isfinite(least)] = 0.0
    order = np.argsort(batch_of, kind="stable")[::-1]
    _, first, count = np.unique(batch_of[order][::-1], return_index=True, return_counts=True)
    total = np.cumsum(least[order])
    # In reverse, a batch begins where the batches after it end.
    before = np.concatenate([[0.0], total])[len(order) - (first + count)]
    after = np.empty((len(order), 2))
    after[order, 0] = total - np.repeat(before, count)[::-1]
    after[:, 1] = after[:, 0] - least
    return np.maximum(after, 0.0)


def _limits(problem: Problem, batch_of: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What each batch can pay and take: shapes (n_batches,) and (n_batches, n_models)."""
    size = np.bincount(batch_of, minlength=problem.batches + 1)[1:]
    purse = np.full(len(size), problem.budget) if np.isinf(problem.budget) else problem.budget * (size / len(problem))
    return purse, np.tile(problem.capacity, (len(size), 1))


def _turns(batch_of: NDArray[np.integer]) -> list[NDArray[np.intp]]:
    """The rows that are decided together: the first of every batch, then the second, and so on."""
    order = np.argsort(batch_of, kind="stable")
    _, first, count = np.unique(batch_of[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(first, count)
    by_place = np.argsort(place, kind="stable")
    return np.split(order[by_place], np.cumsum(np.bincount(place))[:-1])


def _choose(
    problem: Problem,
    rows: NDArray[np.intp],
    wish: NDArray[np.float64],
    otherwise: NDArray[np.float32],
    open_to: NDArray[np.bool_],
    fallback: Fallback,
) -> NDArray[np.intp]:
    """What each query asks for: its wish among the models it may have, or what it falls back to if that is not open."""
    wanted = wish[rows] if problem.eligible is None else np.where(problem.eligible[rows], wish[rows], -np.inf)
    first = wanted.argmax(axis=1)
    if fallback is Fallback.UNSERVED:
        return first
    second = np.where(open_to, otherwise[rows], -np.inf).argmax(axis=1)
    return np.where(open_to[np.arange(len(rows)), first], first, second)
