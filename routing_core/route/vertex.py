"""The dual's last digits: a linear program over the few queries that smoothed prices leave undecided.

Its optimum is a vertex, where no more queries are split between options than there are limits. Only the queries
nearest to changing take part, with the options that lose little at the prices found so far; that these were enough
shows in the bound over all queries, which must meet the program's value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from routing_core.route.block import Block

SIZES = (512, 2048, 8192)
"""Columns that take part, more while the bound is not met."""
STEPS, STEPS_AT_LEAST = 5, 2000
"""Simplex steps for each column, and beside them, after which a program is given up."""
WIDTHS = (1e-3, 1e-2, 1e-1, np.inf)
"""Most that an option loses, quality units, to take part; more once all columns do."""


@dataclass(frozen=True, slots=True, eq=False)
class Vertex:
    """An optimum of the linear program.

    Attributes
    ----------
    prices : ndarray of float64, shape (n_limits,)
    taken : ndarray of float64, shape (n_options, n_columns)
        How many queries of each column take each option, a few in part.
    value, bound : float, quality units
        Of what is taken, and of the dual over all columns.
    solves : int
        Programs that were solved.
    """

    prices: NDArray[np.float64]
    taken: NDArray[np.float64]
    value: float
    bound: float = np.inf
    solves: int = 1


def sift(
    block: Block,
    prices: NDArray[np.float64],
    errors: NDArray[np.float64],
    tolerance: float,
    choice: NDArray[np.intp] | None = None,
) -> Vertex | None:
    """Solve the linear program of a block of one problem.

    Parameters
    ----------
    block : Block
    prices : ndarray of float64, shape (n_limits,)
        Near the optimum.
    errors : ndarray of float64, shape (n_limits,), at least 0
        How near: queries are taken in the order in which prices that move along these change them.
    tolerance : float, quality units
        How far the bound may stay from the program's value.
    choice : ndarray of intp, shape (n_columns,), or None
        Options of the columns that do not take part; None is the best at the prices.

    Returns
    -------
    Vertex or None
        The best decision of those that programs gave, and the prices of least bound; None where no program was solved.
    """
    best, nearness = _nearness(block, prices, errors)
    choice = best if choice is None else choice
    least, most, taken, solves = float(block.bound(prices[None])[0]), -np.inf, None, 0
    for size, width in _extents(len(choice)):
        picked, left = _free(block, choice, nearness, size)
        found = _solve(left, prices, width)
        if found is None:  # the few options leave no decision
            continue
        solves += 1
        bound, value = float(block.bound(found.prices[None])[0]), found.value + _elsewhere(block, choice, picked)
        if bound < least or (solves == 1 and bound <= value + tolerance):
            least, prices = bound, found.prices
        if value > most:
            most, taken = value, _everybody(block, choice, picked, found.taken)
        if least <= most + tolerance:
            break
    return None if taken is None else Vertex(prices, taken, most, least, solves)


def _extents(columns: int) -> list[tuple[int, float]]:
    """Sizes of programs and widths of their options, in the order in which they are tried."""
    few = [(size, WIDTHS[0]) for size in SIZES if size < columns]
    return few if len(few) == len(SIZES) else few + [(columns, width) for width in WIDTHS]


def _nearness(
    block: Block, prices: NDArray[np.float64], errors: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The best option of every column, and how many errors prices must move at the least for another."""
    centre = block.reduced(prices[None])[0]
    reach = block.reduced((prices - np.maximum(errors, 1e-12))[None])[0]
    with np.errstate(invalid="ignore", divide="ignore"):  # an option that is not eligible stays at minus infinity
        reach -= centre
        choice, spot = centre.argmax(axis=0), np.arange(centre.shape[1])
        behind, pace = centre[choice, spot] - centre, reach[choice, spot] + reach
        behind[choice, spot] = np.inf
        return choice, np.nan_to_num(behind / pace, nan=np.inf).min(axis=0)


def _free(
    block: Block, choice: NDArray[np.intp], nearness: NDArray[np.float64], size: int
) -> tuple[NDArray[np.intp], Block]:
    """The nearest columns, when the others take their choice, under what these leave of the limits."""
    if size >= len(choice):
        return np.arange(len(choice)), block
    picked = np.sort(np.argpartition(nearness, size)[:size])
    return picked, block.without(choice, picked)


def _elsewhere(block: Block, choice: NDArray[np.intp], picked: NDArray[np.intp]) -> float:
    """What the columns that take their choice are worth."""
    worth = block.value[:, choice, np.arange(len(choice))]
    worth[:, picked] = 0.0
    return float(block.total(worth)[0])


def _everybody(
    block: Block, choice: NDArray[np.intp], picked: NDArray[np.intp], taken: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How many of every column take each option, when those picked are taken so."""
    everybody = np.zeros(block.value.shape[1:])
    everybody[choice, np.arange(len(choice))] = 1.0 if block.count is None else block.count
    everybody[:, picked] = taken
    return everybody


def _solve(block: Block, prices: NDArray[np.float64], width: float) -> Vertex | None:
    """The vertex among options that lose at most ``width``, are at least second best, or deferral."""
    count = np.ones(block.value.shape[2]) if block.count is None else block.count
    worth = block.reduced(prices[None])[0]
    near = worth >= np.minimum(worth.max(axis=0) - width, np.partition(worth, -2, axis=0)[-2])
    near[-1] = True  # deferral uses nothing
    kind, option = np.nonzero((near & np.isfinite(worth)).T)
    often, spot = count[kind], np.arange(len(kind))
    usage = _usage(block, kind, option) * often[:, None]
    unit = np.maximum(np.abs(block.amount[0]), 1e-6 * usage.max(axis=0) + 1e-300)
    decided = csr_matrix((np.ones(len(kind)), (kind, spot)), shape=(len(count), len(kind)))
    found = linprog(
        -block.value[0, option, kind] * often,
        A_ub=csr_matrix((usage / unit).T),
        b_ub=block.amount[0] / unit,
        A_eq=decided,
        b_eq=np.ones(len(count)),
        bounds=(0, 1),
        method="highs-ds",
        options={"maxiter": STEPS * len(count) + STEPS_AT_LEAST},
    )
    if found.status != 0:
        return None
    taken = np.zeros(block.value.shape[1:])
    taken[option, kind] = found.x * often
    return Vertex(np.maximum(-found.ineqlin.marginals / unit, 0.0), taken, -float(found.fun))


def _usage(block: Block, kind: NDArray[np.intp], option: NDArray[np.intp]) -> NDArray[np.float64]:
    """What each option of a kind's query uses of every limit: (n_pairs, n_limits)."""
    effect = np.concatenate([block.effect, np.zeros_like(block.effect[:, :1])], axis=1)
    group = np.zeros_like(kind) if block.group is None else block.group[kind]
    used: NDArray[np.float64] = effect[group, 1 + option]
    return used + block.cost[0, option, kind][:, None] * effect[group, 0]


def whole(taken: NDArray[np.float64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole numbers near ``taken`` that add up to each kind's count: the largest parts are rounded up."""
    down = np.floor(taken + 1e-6)
    down = np.minimum(down, count).astype(np.int64)
    short = count - down.sum(axis=0)
    order = np.argsort(down - taken, axis=0, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(len(taken))[:, None], axis=0)
    rounded: NDArray[np.int64] = down + (rank < short)
    return rounded
