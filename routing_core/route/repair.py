"""Near-ties by hand: a fractional decision made whole, its limits held, and what is left over used."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from routing_core.route.block import Block
from routing_core.route.exchange import exchange

GOLDEN = 0.6180339887498949
"""Multiples of it fill the unit interval evenly, so that rounding by them keeps loads near their mean."""
TINY = 1e-12
CANDIDATES = 63
"""Moves of which every pair is tried, where nothing else is said."""


def round_shares(shares: NDArray[np.float64], offset: float = 0.0) -> NDArray[np.int16]:
    """One option per query, drawn from its shares along a low-discrepancy sequence.

    Parameters
    ----------
    shares : ndarray of float64, shape (n_problems, n_options, n_queries)
        Weights of the options of each query; they sum to 1.
    offset : float
        Where the sequence starts.

    Returns
    -------
    ndarray of int16, shape (n_problems, n_queries)
        Option, the last of which is deferral.
    """
    at = (offset + GOLDEN * np.arange(1, shares.shape[2] + 1)) % 1.0
    passed = np.cumsum(shares, axis=1) <= at
    option = passed.sum(axis=1, dtype=np.int16)
    likeliest = shares.argmax(axis=1).astype(np.int16)
    reached = np.minimum(option, shares.shape[1] - 1).astype(np.intp)
    none = np.take_along_axis(shares, reached[:, None], axis=1)[:, 0] <= 0  # rounding in the cumulative sum
    rounded: NDArray[np.int16] = np.where((option >= shares.shape[1]) | none, likeliest, option).astype(np.int16)
    return rounded


class Repair:
    """Moves one query of every problem at a time, first until all limits hold, then for value.

    Parameters
    ----------
    block : Block
    choice : ndarray of int16, shape (n_problems, n_queries)
        Options to start from; changed in place.
    prices : ndarray of float64, shape (n_problems, n_limits)
        By which moves are judged while limits are violated.
    candidates : int
        Moves of which every pair is tried in the end.
    """

    def __init__(
        self, block: Block, choice: NDArray[np.int16], prices: NDArray[np.float64], candidates: int = CANDIDATES
    ) -> None:
        self._block = block
        self._candidates = candidates
        self._spot = np.arange(block.value.shape[2])
        self._worth = block.reduced(prices)
        self._purses = _purses(block)
        self._unit = np.maximum(block.cost.mean(axis=(1, 2)), 1e-300)
        self.choice = choice
        self.left = block.amount - self._usage()

    def run(self, most_moves: int, enough: NDArray[np.float64] | None = None) -> NDArray[np.bool_]:
        """Hold the limits, then improve; which problems ended with all limits held.

        Parameters
        ----------
        most_moves : int
        enough : ndarray of float64, shape (n_problems,), or None
            Value of each problem that is not improved on any further.
        """
        everyone = np.arange(len(self.choice))
        self._loop(self._mending, everyone, most_moves)
        self.left = self._block.amount - self._usage()
        feasible = self.feasible()
        self._loop(self._improving, self._lacking(everyone, enough), most_moves)
        self.left = self._block.amount - self._usage()
        open_ = self._lacking(everyone, enough)
        exchange(self._block, self.choice, self._worth, self.left, open_, moves=self._candidates, rounds=most_moves)
        self.left = self._block.amount - self._usage()
        return feasible & self.feasible()

    def _lacking(self, everyone: NDArray[np.intp], enough: NDArray[np.float64] | None) -> NDArray[np.intp]:
        return everyone if enough is None else np.flatnonzero(self.value() < enough)

    def feasible(self) -> NDArray[np.bool_]:
        """Which problems hold all their limits: shape (n_problems,)."""
        held: NDArray[np.bool_] = np.logical_not(self._violated().any(axis=1))
        return held

    def value(self) -> NDArray[np.float64]:
        """Value of every problem's decisions: shape (n_problems,)."""
        total: NDArray[np.float64] = self._pick(self._block.value).sum(axis=1)
        return total

    def _pick(self, options: NDArray[np.float64]) -> NDArray[np.float64]:
        picked: NDArray[np.float64] = options[np.arange(len(options))[:, None], self.choice, self._spot]
        return picked

    def _usage(self) -> NDArray[np.float64]:
        paid = self._pick(self._block.cost)
        usage = np.zeros(self._block.amount.shape)
        for effect, part in zip(self._block.effect, self._block.parts(), strict=True):
            usage += used_by_model(self._block, self.choice[:, part], paid[:, part]) @ effect
        return usage

    def _violated(self) -> NDArray[np.bool_]:
        return self.left < -TINY * np.maximum(self._block.amount, 0.0)

    def _loop(
        self, judge: Callable[[NDArray[np.intp]], NDArray[np.float64]], open_: NDArray[np.intp], most_moves: int
    ) -> None:
        """Make the move that ``judge`` likes best in every open problem, until there is none."""
        for _ in range(most_moves):
            if not len(open_):
                return
            score = judge(open_)
            flat = score.reshape(len(open_), -1)
            best = flat.argmin(axis=1)
            found = np.isfinite(flat[np.arange(len(open_)), best])
            option, query = np.divmod(best[found], score.shape[2])
            open_ = open_[found]
            self._move(open_, query, option)

    def _move(self, problems: NDArray[np.intp], query: NDArray[np.intp], option: NDArray[np.intp]) -> None:
        block, before = self._block, self.choice[problems, query].astype(np.intp)
        effect = block.effect[np.zeros_like(query) if block.group is None else block.group[query]]
        spread = np.arange(len(problems))
        per_model = np.zeros((len(problems), block.n_models + 2))
        per_model[:, 0] = block.cost[problems, option, query] - block.cost[problems, before, query]
        per_model[spread, 1 + option] += 1
        per_model[spread, 1 + before] -= 1
        self.left[problems] -= np.einsum("pc,pcr->pr", per_model[:, :-1], effect)
        self.choice[problems, query] = option

    def _felt(self, binding: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count of binding capacity limits per model and query: (n_problems, n_options, 1 or n_queries)."""
        groups, options = self._block.effect.shape[:2]
        count = np.zeros((len(binding), options, groups))
        for g, effect in enumerate(self._block.effect):
            count[:, :-1, g] = binding @ effect[1:].T
        return count if self._block.group is None else count[:, :, self._block.group]

    def _at(self, options: NDArray[np.float64], at: NDArray[np.intp]) -> NDArray[np.float64]:
        """The problems ``at``, not copied where that is all."""
        return options if len(at) == len(options) else options[at]

    def _more(self, options: NDArray[np.float64], at: NDArray[np.intp]) -> NDArray[np.float64]:
        """By how much each option has more than the one taken: (n_problems, n_options, n_queries)."""
        part = self._at(options, at)
        own = part[np.arange(len(at))[:, None], self.choice[at], self._spot]
        more: NDArray[np.float64] = part - own[:, None]
        return more

    def _purse_left(self, at: NDArray[np.intp]) -> list[NDArray[np.float64]]:
        """What is left of each money limit that a query pays into: (n_problems, 1, 1 or n_queries) each."""
        left = np.concatenate([self.left[at], np.full((len(at), 1), np.inf)], axis=1)
        group = np.zeros(1, dtype=np.intp) if self._block.group is None else self._block.group
        return [left[:, purse[group]][:, None] for purse in self._purses]

    def _mending(self, at: NDArray[np.intp]) -> NDArray[np.float64]:
        """Reduced value lost per unit of violation mended; infinite where a move mends nothing."""
        broken = self._violated()[at]
        left = self.left[at]
        freed = self._felt(broken.astype(np.float64))
        freed = np.broadcast_to(freed, (len(at), freed.shape[1], len(self._spot)))
        line = np.arange(len(at))[:, None]
        mended = freed[line, self.choice[at], self._spot][:, None] - self._felt((left < 1 - 1e-9).astype(np.float64))
        extra = self._more(self._block.cost, at)
        for purse in self._purse_left(at):
            mended = mended - (np.maximum(extra - purse, 0) - np.maximum(-purse, 0)) / self._unit[at, None, None]
        loss = -self._more(self._worth, at)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = np.where((mended > 1e-9) & (loss < np.inf), (loss + 1e-9) / mended, np.inf)
        score[line, self.choice[at], self._spot] = np.inf
        score[~broken.any(axis=1)] = np.inf
        return score

    def _improving(self, at: NDArray[np.intp]) -> NDArray[np.float64]:
        """Minus the value gained by moves that fit; infinite for others."""
        gain = self._more(self._block.value, at)
        extra = self._more(self._block.cost, at)
        fits = (self._felt((self.left[at] < 1 - 1e-9).astype(np.float64)) == 0) & (gain > TINY)
        for purse in self._purse_left(at):
            fits &= extra <= purse
        return np.where(fits, -gain, np.inf)


def used_by_model(block: Block, choice: NDArray[np.integer], paid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cost and queries per model of each problem: (n_problems, 1 + n_models)."""
    options, problems = block.n_models + 1, len(choice)
    cell = choice + options * np.arange(problems)[:, None]
    used = np.empty((problems, options))
    used[:, 1:] = np.bincount(cell.ravel(), minlength=problems * options).reshape(problems, options)[:, :-1]
    used[:, 0] = paid.sum(axis=1)
    return used


def _purses(block: Block) -> list[NDArray[np.intp]]:
    """Money limits that a group pays into, as columns of an index by group; past the end where there is none."""
    limits = block.effect.shape[2]
    pays = [np.flatnonzero(effect[0]) for effect in block.effect]
    most = max((len(pay) for pay in pays), default=0)
    table = np.full((len(pays), most), limits, dtype=np.intp)
    for g, pay in enumerate(pays):
        table[g, : len(pay)] = pay
    return list(table.T)
