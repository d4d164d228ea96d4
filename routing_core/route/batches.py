"""A planned night dealt to its batches, with its deadlines held."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from routing_core.route.problem import Problem


def deal(problem: Problem, model: NDArray[np.int16]) -> NDArray[np.int32]:
    """Deal a night's decisions to batches, earliest deadline first, then in the order of rows.

    Parameters
    ----------
    problem : Problem
    model : ndarray of int16, shape (n_queries,)
        Decisions that hold every model's capacity over the night and every deadline row.

    Returns
    -------
    ndarray of int32, shape (n_queries,)
        Batch from 1; 0 where deferred. At most ``capacity`` queries of a model are in one batch, and
        every query is in its last batch or before.
    """
    if problem.batches == 1:
        return (model >= 0).astype(np.int32)
    batch = np.zeros(len(problem), dtype=np.int32)
    due = problem.last_batch if problem.last_batch is not None else np.zeros(len(problem), dtype=np.int32)
    order = (
        np.lexsort((np.arange(len(problem)), due, model))
        if problem.last_batch is not None
        else np.argsort(model, kind="stable")
    )
    edges = np.searchsorted(model[order], np.arange(problem.n_models + 1))
    for j in range(problem.n_models):
        mine = order[edges[j] : edges[j + 1]]
        if len(mine):
            batch[mine] = np.arange(len(mine)) // min(int(problem.capacity[j]), len(problem)) + 1
    return batch


def crowded_deadlines(problem: Problem, model: NDArray[np.int16]) -> frozenset[tuple[int, int]]:
    """For each model, the batch by which most too many of its queries are due: (model, batch) pairs."""
    if problem.last_batch is None:
        return frozenset()
    crowded = set()
    for j in range(problem.n_models):
        due = np.bincount(problem.last_batch[model == j], minlength=problem.batches + 1).cumsum()
        room = int(min(problem.capacity[j], len(problem))) * np.arange(problem.batches + 1)
        worst = int(np.argmax(due - room))
        if due[worst] > room[worst]:
            crowded.add((j, worst))
    return frozenset(crowded)


def uncrowd(problem: Problem, model: NDArray[np.int16], loss: NDArray[np.float64]) -> NDArray[np.int16]:
    """Defer the queries that lose least by it, until every deadline can be met.

    Earliest deadline first, giving up the cheapest so far whenever a model's batches are full.
    """
    if problem.last_batch is None:
        return model
    model = model.copy()
    for j in {pair[0] for pair in crowded_deadlines(problem, model)}:
        mine = np.flatnonzero(model == j)
        mine = mine[np.argsort(problem.last_batch[mine], kind="stable")]
        kept: list[tuple[float, int]] = []
        for i in mine.tolist():
            heapq.heappush(kept, (float(loss[i]), i))
            if len(kept) > int(problem.capacity[j]) * int(problem.last_batch[i]):
                model[heapq.heappop(kept)[1]] = -1
    return model
