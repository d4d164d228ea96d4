"""Many decisions at once, near what prices choose: a beam over the queries whose options are nearly worth the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.route.few.matrices import Few
from routing_core.route.few.plan import SLACK

BEAM = 100
"""Partial decisions kept from query to query."""


@dataclass(slots=True)
class _States:
    """Partial decisions: what they have lost, what they leave of every limit, and the deviations they took."""

    loss: NDArray[np.float64]
    left: NDArray[np.float64]
    taken: NDArray[np.int16]

    def branched(self, step: int, loss: NDArray[np.float64], change: NDArray[np.float64]) -> _States:
        """Every state as it is, and with each of a query's moves."""
        count, moves = len(self.loss), len(loss)
        taken = np.tile(self.taken, (1 + moves, 1))
        taken[count:, step] = np.repeat(np.arange(1, 1 + moves), count)
        left = (change[:, None] + self.left).reshape(-1, change.shape[1])
        more = (loss[:, None] + self.loss).ravel()
        return _States(np.concatenate([self.loss, more]), np.concatenate([self.left, left]), taken)

    def at(self, kept: NDArray[np.intp]) -> _States:
        """The states at ``kept``."""
        return _States(self.loss[kept], self.left[kept], self.taken[kept])


def beam(few: Few, worth: NDArray[np.float64], prices: NDArray[np.float64], width: float) -> NDArray[np.intp] | None:
    """The best decision found that loses less than ``width`` against the bound of the prices.

    A decision is worth the bound less the reduced values it gives up, less the prices of what it leaves of the limits.
    Queries are gone through from the least margin up, and all others stay with what prices choose.

    Parameters
    ----------
    few : Few
    worth : ndarray of float64, shape (n_options, n_queries)
        Values less ``prices``.
    prices : ndarray of float64, shape (n_limits,)
    width : float, quality units

    Returns
    -------
    ndarray of intp, shape (n_queries,), or None
        None if no decision that holds all limits loses less.
    """
    base, spot = worth.argmax(axis=0), np.arange(worth.shape[1])
    loss = worth[base, spot] - worth
    loss[base, spot] = np.inf
    margin = loss.min(axis=0)
    rows = np.flatnonzero(margin < width)
    rows = rows[np.argsort(margin[rows], kind="stable")]
    moves = [np.flatnonzero(loss[:, i] < width) for i in rows]
    usage = _usage(few)
    change = [usage[base[i], i] - usage[k, i] for i, k in zip(rows, moves, strict=True)]
    left = few.amount - usage[base, spot].sum(axis=0)
    losses = [loss[k, i] for i, k in zip(rows, moves, strict=True)]
    best = _search(left, losses, change, prices, width)
    if best is None:
        return None
    for i, options, move in zip(rows, moves, best.tolist(), strict=True):
        if move:
            base[i] = options[move - 1]
    return base


def _search(
    left: NDArray[np.float64],
    loss: list[NDArray[np.float64]],
    change: list[NDArray[np.float64]],
    prices: NDArray[np.float64],
    width: float,
) -> NDArray[np.int16] | None:
    """The moves of the best decision, by step, from 1; 0 is none. ``change`` is what each move adds to what is left."""
    frees, takes = _to_come(change, len(left), 1.0), _to_come(change, len(left), -1.0)
    states = _States(np.zeros(1), left[None], np.zeros((1, len(loss)), dtype=np.int16))
    hold = -SLACK * np.abs(left)
    best, width = _best(states, hold, prices, None, width)
    for step, (lost, changed) in enumerate(zip(loss, change, strict=True)):
        states = states.branched(step, lost, changed)
        best, width = _best(states, hold, prices, best, width)
        least = states.loss + np.maximum(states.left - takes[step], 0.0) @ prices
        alive = np.flatnonzero((states.left + frees[step] >= hold).all(axis=1) & (least < width))
        if len(alive) > BEAM:
            likely = states.loss[alive] + np.abs(states.left[alive]) @ prices
            alive = alive[np.argpartition(likely, BEAM)[:BEAM]]
        states = states.at(alive)
    return best


def _best(
    states: _States,
    hold: NDArray[np.float64],
    prices: NDArray[np.float64],
    best: NDArray[np.int16] | None,
    width: float,
) -> tuple[NDArray[np.int16] | None, float]:
    """The best so far or, if it loses less, the best state that holds all limits as it is; and what it loses."""
    total = states.loss + np.maximum(states.left, 0.0) @ prices
    total[(states.left < hold).any(axis=1)] = np.inf
    if not len(total) or total.min() >= width:
        return best, width
    one = int(total.argmin())
    return states.taken[one].copy(), float(total[one])


def _usage(few: Few) -> NDArray[np.float64]:
    """What each option uses of every limit: shape (n_options, n_queries, n_limits)."""
    usage = np.zeros((*few.cost.shape, len(few.amount)))
    usage[few.models, :, np.arange(few.money, len(few.amount))] = 1.0
    if few.money:
        usage[:, :, 0] = few.cost
    return usage


def _to_come(change: list[NDArray[np.float64]], limits: int, sign: float) -> NDArray[np.float64]:
    """Most that the moves after each step can free (or take, by sign) of every limit: shape (n_steps, n_limits)."""
    most = np.array([np.maximum((sign * one).max(axis=0), 0.0) for one in change]).reshape(len(change), limits)
    after: NDArray[np.float64] = np.cumsum(most[::-1], axis=0)[::-1] - most
    return after
