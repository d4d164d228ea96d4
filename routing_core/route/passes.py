"""Passes over all rows: which of them the prices have decided, and what the prices prove."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.route.rows import STRETCH, Rows, first_best, tiles

CERTAINTY = np.float32(4e-6)
"""Margin, quality units, under which float32 does not decide."""


@dataclass(frozen=True, slots=True, eq=False)
class Screening:
    """Which rows keep their best option while prices stay in a box.

    Attributes
    ----------
    undecided : ndarray of intp, shape (n_undecided,)
        Ascending.
    usage : ndarray of float64, shape (n_limits,)
        What the decided rows use of every limit.
    """

    undecided: NDArray[np.intp]
    usage: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """What prices prove, in float64.

    Attributes
    ----------
    bound : float, quality units
        The dual's value plus an allowance for rounding: no decision reaches more.
    choice : ndarray of int16, shape (n_queries,)
        The first option with the best reduced value; -1 is deferral.
    margin : ndarray of float32, shape (n_queries,), at least 0
        By how much it is better than the next.
    """

    bound: float
    choice: NDArray[np.int16]
    margin: NDArray[np.float32]


def screen(rows: Rows, prices: NDArray[np.float64], radius: NDArray[np.float64]) -> Screening:
    """Find the rows whose best option may change within ``prices ± radius``.

    A row is decided when its best option at the worst corner of the box still beats every other at its best corner.
    """
    centre = rows.coupling.felt(prices)
    corner = rows.coupling.felt(prices - radius)

    def work(stretch: slice) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        found, used = [], np.zeros(centre.shape)
        for tile in tiles(stretch):
            at_centre = rows.reduced(centre, tile, np.float32)
            at_corner = rows.reduced(corner, tile, np.float32)
            best = at_centre.max(axis=0)
            choice = first_best(at_centre, best)
            spot = np.arange(len(best))
            own = at_corner[choice, spot]
            at_corner[choice, spot] = -np.inf
            open_ = at_corner.max(axis=0) >= 2 * best - own - CERTAINTY
            found.append(np.flatnonzero(open_) + tile.start)
            kept = np.flatnonzero(~open_)
            cost = rows.problem.cost[tile][kept, np.maximum(choice[kept], 0)].astype(np.float64)
            cost[choice[kept] < 0] = 0.0
            used += rows.coupling.group_usage(choice[kept], cost, kept + tile.start)
        return np.concatenate(found), used

    parts = rows.over_stretches(work)
    used = np.sum([part[1] for part in parts], axis=0)
    return Screening(np.concatenate([part[0] for part in parts]), rows.coupling.usage(used))


def certify(rows: Rows, prices: NDArray[np.float64]) -> Certificate:
    """Evaluate the dual over all rows in float64."""
    felt = rows.coupling.felt(prices)
    choice = np.empty(len(rows), dtype=np.int16)
    margin = np.empty(len(rows), dtype=np.float32)

    def work(stretch: slice) -> tuple[float, float]:
        total, size = 0.0, 0.0
        for tile in tiles(stretch):
            worth = rows.reduced(felt, tile, np.float64)
            best = worth.max(axis=0)
            picked = first_best(worth, best)
            worth[picked, np.arange(len(best))] = -np.inf
            choice[tile] = picked
            margin[tile] = best - worth.max(axis=0)
            total += float(best.sum())
            size += float(np.abs(best).sum())
        return total, size

    parts = rows.over_stretches(work)
    dual = sum(part[0] for part in parts) + float(prices @ rows.coupling.amount)
    return Certificate(dual + _allowance(rows, prices, sum(part[1] for part in parts)), choice, margin)


def _allowance(rows: Rows, prices: NDArray[np.float64], size: float) -> float:
    """Most that float64 can have lost: a few roundings in each term, and one per addition within a stretch.

    Each reduced value is off by at most 4 ε times the size of its parts, each partial sum by ε times its own.
    """
    epsilon = float(np.finfo(np.float64).eps)
    paid = float(np.abs(prices) @ rows.coupling.amount)
    parts = size + 2.0 * len(rows) + 2.0 * paid
    return 8.0 * epsilon * parts + epsilon * (len(rows) / STRETCH + 32.0) * (size + paid)


def nearest(margin: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """The ``count`` rows of least margin, ascending by row."""
    if len(margin) <= count:
        return np.arange(len(margin))
    return np.sort(np.argpartition(margin, count)[:count])
