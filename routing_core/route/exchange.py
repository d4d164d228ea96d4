"""Pairs of moves that fit together though neither may alone: the last of the value that repair leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block

TINY = 1e-12


def exchange(
    block: Block,
    choice: NDArray[np.int16],
    worth: NDArray[np.float64],
    left: NDArray[np.float64],
    open_: NDArray[np.intp],
    *,
    moves: int,
    rounds: int,
) -> None:
    """Make the best pair of moves in every problem until none gains or ``rounds`` are over.

    Candidates are the ``moves`` single changes of one query's option that lose least reduced value; doing
    nothing is one of them.

    Parameters
    ----------
    block : Block
    choice : ndarray of int16, shape (n_problems, n_queries)
        Options that hold all limits; changed in place.
    worth : ndarray of float64, shape (n_problems, n_options, n_queries)
        Values less prices.
    left : ndarray of float64, shape (n_problems, n_limits)
        What the options leave of every limit; changed in place.
    open_ : ndarray of intp
        The problems to look at.
    """
    for _ in range(rounds):
        if not len(open_):
            return
        option, query, gain, used = _candidates(block, worth, choice, open_, moves)
        first, second, found = _best_pair(query, gain, used, left[open_])
        open_ = open_[found]
        for pick in (first, second):
            at = np.flatnonzero(found)
            picked = pick[found]
            moved = query[at, picked] >= 0
            at, picked, problems = at[moved], picked[moved], open_[moved]
            choice[problems, query[at, picked]] = option[at, picked]
            left[problems] -= used[at, picked]


def _candidates(
    block: Block, worth: NDArray[np.float64], choice: NDArray[np.int16], at: NDArray[np.intp], moves: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Option, query, gain and usage of each candidate: (n_problems, n_moves [, n_limits]); the first does nothing."""
    part = worth if len(at) == len(choice) else worth[at]
    own = np.arange(len(at))[:, None], choice[at], np.arange(worth.shape[2])
    loss = part[own][:, None] - part
    loss[own] = np.inf
    flat = loss.reshape(len(at), -1)
    count = min(moves, flat.shape[1])
    picked = np.argpartition(flat, count - 1, axis=1)[:, :count]
    option, query = np.divmod(picked, loss.shape[2])
    before = choice[at[:, None], query].astype(np.intp)
    line = at[:, None]
    gain = block.value[line, option, query] - block.value[line, before, query]
    gain[~np.isfinite(gain)] = -np.inf
    used = _usage(block, line, query, option) - _usage(block, line, query, before)
    nothing = np.zeros((len(at), 1), dtype=np.intp)
    return (
        np.concatenate([nothing, option], axis=1),
        np.concatenate([nothing - 1, query], axis=1),
        np.concatenate([nothing, gain], axis=1),
        np.concatenate([np.zeros((len(at), 1, used.shape[2])), used], axis=1),
    )


def _usage(
    block: Block, line: NDArray[np.intp], query: NDArray[np.intp], option: NDArray[np.intp]
) -> NDArray[np.float64]:
    """What options use of every limit: (n_problems, n_moves, n_limits)."""
    effect = np.concatenate([block.effect, np.zeros_like(block.effect[:, :1])], axis=1)
    group = np.zeros_like(query) if block.group is None else block.group[query]
    used: NDArray[np.float64] = effect[group, 1 + option]
    return used + block.cost[line, option, query][..., None] * effect[group, 0]


def _best_pair(
    query: NDArray[np.intp], gain: NDArray[np.float64], used: NDArray[np.float64], left: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """The pair that fits and gains most, by problem, and whether there is one."""
    both = gain[:, :, None] + gain[:, None, :]
    fits = (both > TINY) & (query[:, :, None] != query[:, None, :])
    for r in range(left.shape[1]):
        use = used[:, :, r]
        fits &= use[:, :, None] + use[:, None, :] <= left[:, r, None, None]
    both[~fits] = 0.0
    flat = both.reshape(len(both), -1)
    best = flat.argmax(axis=1)
    first, second = np.divmod(best, both.shape[2])
    return first, second, flat[np.arange(len(flat)), best] > TINY
