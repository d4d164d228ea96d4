"""Passes over all rows: which of them the prices have decided, and what the prices prove."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.route.rows import STRETCH, TILE, Rows, Settled, first_best, tiles

CERTAINTY = np.float32(4e-6)
"""Margin, as a share of 1 and what is compared, under which float32 does not decide."""
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False)
class Remainder:
    """The rows whose best option depends on where in a box the prices are; all others are settled.

    Attributes
    ----------
    rows : Rows
        Those rows alone.
    index : ndarray of intp, shape (n_rows,)
        Where in the night they are, ascending.
    choice : ndarray of int16, shape (n_night,)
        The best option of the settled rows; -1 is deferral.
    low, high : ndarray of float64, shape (n_limits,)
        The box of prices.
    sure : float, quality units
        Least reduced value that a settled row loses by any other option, wherever in the box the prices are. A decision
        that gains no less may move one.
    """

    rows: Rows
    index: NDArray[np.intp]
    choice: NDArray[np.int16]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    sure: float = np.inf

    @classmethod
    def everything(cls, rows: Rows) -> Remainder:
        """All rows, whatever the prices."""
        free = np.zeros(len(rows.coupling.amount))
        return cls(rows, np.arange(len(rows)), np.empty(len(rows), dtype=np.int16), free, free + np.inf)

    def expanded(self, model: NDArray[np.int16]) -> NDArray[np.int16]:
        """The night's decision from one on these rows."""
        whole = self.choice.copy()
        whole[self.index] = model
        return whole

    def within(self, prices: NDArray[np.float64]) -> bool:
        """Whether prices are in the box, but for what rounding may have moved them."""
        slack = 1e-9 * (self.high - self.low)
        return bool(np.all((prices >= self.low - slack) & (prices <= self.high + slack)))

    def clipped(self, prices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Prices moved into the box."""
        return np.clip(prices, self.low, self.high)


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


def narrow(wide: Remainder, prices: NDArray[np.float64], radius: NDArray[np.float64], least: int) -> Remainder:
    """Settle the rows whose best option cannot change within ``prices ± radius``.

    A row is settled when its best option still beats every other where its own prices are highest and theirs lowest.

    Parameters
    ----------
    wide : Remainder
    prices, radius : ndarray of float64, shape (n_limits,)
    least : int
        So many rows, those nearest to changing, stay in any case.
    """
    rows, low, high = wide.rows, np.maximum(prices - radius, 0.0), prices + radius
    choice = np.empty(len(rows), dtype=np.int16)
    doubt = np.empty(len(rows), dtype=np.float32)
    cheapest, width = rows.coupling.felt(low), rows.coupling.felt(high - low).astype(np.float32)
    dearest_slot = np.float32(rows.coupling.felt(prices)[:, 1:].max(initial=0.0))

    def work(stretch: slice) -> tuple[NDArray[np.float64], float, float]:
        used, value, size = np.zeros(cheapest.shape), 0.0, 0.0
        for tile in tiles(stretch):
            most = rows.reduced(cheapest, tile, np.float32)
            best = most.max(axis=0)
            choice[tile] = picked = first_best(most, best)
            spot = np.arange(len(best))
            most[picked, spot] = -np.inf
            cells = spot + tile.start
            paid = rows.paid(picked, cells)
            falls = rows.falls(width, picked, paid, cells)
            certain = CERTAINTY * (1 + np.abs(best) + falls + dearest_slot)
            doubt[tile] = best - falls - most.max(axis=0) - certain
            used += rows.coupling.group_usage(picked, paid, cells)
            worth = rows.worth(picked, cells)
            value += float(worth.sum())
            size += float(np.abs(worth).sum())
        return used, value, size

    parts = rows.over_stretches(work)
    doubt[np.isnan(doubt)] = -np.inf  # a price beyond what float32 holds, on a cost of zero
    index = np.flatnonzero(doubt <= 0)
    if len(index) < least:
        index = nearest(doubt, least)
    used = np.sum([part[0] for part in parts], axis=0)
    used -= rows.coupling.group_usage(choice[index], rows.paid(choice[index], index), index)
    taken = rows.coupling.usage(used)
    settled = Settled(
        rows.settled.value + sum(part[1] for part in parts) - float(rows.worth(choice[index], index).sum()),
        rows.penalties - float(np.sum(rows.problem.penalty[index], dtype=np.float64)),
        rows.settled.rounding + (64 + len(parts)) * EPSILON * (len(rows) + sum(part[2] for part in parts)),
        rows.settled.used + np.abs(taken),
    )
    if len(index) == len(rows):
        return wide
    return Remainder(
        rows.subset(index, rows.coupling.amount - taken, settled),
        wide.index[index],
        wide.expanded(choice),
        np.maximum(wide.low, low),
        np.minimum(wide.high, high),
        min(wide.sure, float(np.delete(doubt, index).min())),
    )


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
    dual = rows.settled.value + sum(part[0] for part in parts) + float(prices @ rows.coupling.amount)
    return Certificate(dual + allowance(rows, prices, sum(part[1] for part in parts)), choice, margin)


def allowance(rows: Rows, prices: NDArray[np.float64], size: float) -> float:
    """Most that float64 can have lost: a few roundings in each term, and one per addition within a stretch.

    Each reduced value is off by at most 4 ε times the size of its parts, each partial sum by ε times its own. What
    settled rows use was taken off the amounts: it is summed one by one within a tile, and then by tiles.
    """
    paid = float(np.abs(prices) @ np.abs(rows.coupling.amount))
    taken = float(np.sum(np.abs(prices) * rows.settled.used))
    parts = size + 2.0 * len(rows) + 2.0 * paid
    sums = (len(rows) / STRETCH + 32.0) * (size + paid) + 2.0 * TILE * taken
    return rows.settled.rounding + EPSILON * (8.0 * parts + sums)


def nearest(margin: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """The ``count`` rows of least margin, ascending by row."""
    if len(margin) <= count:
        return np.arange(len(margin))
    return np.sort(np.argpartition(margin, count)[:count])
