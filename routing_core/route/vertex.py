"""Prices of kinds, exactly: where many queries are alike, the dual has sharp corners that smoothing only rounds.

A linear program over how many queries of each kind take each option has its optimum at a vertex, where no more kinds
are split between options than there are limits. Only options that lose little at the prices found so far take
part; that these were enough shows in the bound, which must meet the program's value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from routing_core.route.block import Block

FIRST_WIDTH = 1e-3
"""Most that an option loses, quality units, to take part at first."""
WIDER = 10.0
"""Factor by which that is raised while the bound is not met."""
MOST_WIDE = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Vertex:
    """An optimum of the linear program.

    Attributes
    ----------
    prices : ndarray of float64, shape (n_limits,)
    taken : ndarray of float64, shape (n_options, n_kinds)
        How many queries of each kind take each option, a few in part.
    """

    prices: NDArray[np.float64]
    taken: NDArray[np.float64]


def vertex(block: Block, prices: NDArray[np.float64], tolerance: float) -> Vertex | None:
    """Solve the linear program of a block of one problem.

    Parameters
    ----------
    block : Block
        With counts.
    prices : ndarray of float64, shape (n_limits,)
        Near the optimum.
    tolerance : float, quality units
        How far the bound may stay from the program's value.

    Returns
    -------
    Vertex or None
        None if there is none that the solver vouches for.
    """
    best, width = None, FIRST_WIDTH
    while width <= MOST_WIDE:
        found = _solve(block, prices, width)
        if found is None:
            return best
        best = found[0]
        if block.bound(best.prices[None])[0] <= found[1] + tolerance:
            return best
        width *= WIDER
    return best


def _solve(block: Block, prices: NDArray[np.float64], width: float) -> tuple[Vertex, float] | None:
    """The vertex among options that lose at most ``width``, and its value."""
    assert block.count is not None
    worth = block.reduced(prices[None])[0]
    kind, option = np.nonzero((worth >= worth.max(axis=0) - width).T)
    often, spot = block.count[kind], np.arange(len(kind))
    usage = _usage(block, kind, option) * often[:, None]
    unit = np.maximum(np.abs(block.amount[0]), 1e-6 * usage.max(axis=0) + 1e-300)
    decided = csr_matrix((np.ones(len(kind)), (kind, spot)), shape=(len(block.count), len(kind)))
    found = linprog(
        -block.value[0, option, kind] * often,
        A_ub=csr_matrix((usage / unit).T),
        b_ub=block.amount[0] / unit,
        A_eq=decided,
        b_eq=np.ones(len(block.count)),
        bounds=(0, 1),
        method="highs-ds",
    )
    if found.status != 0:
        return None
    taken = np.zeros(block.value.shape[1:])
    taken[option, kind] = found.x * often
    return Vertex(np.maximum(-found.ineqlin.marginals / unit, 0.0), taken), -float(found.fun)


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
