"""A decision on a few queries: mended until its limits hold, then improved, one query at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from routing_core.route.few.matrices import Few
from routing_core.route.repair import TINY

SLACK = 1e-13
"""Share of the budget by which rounding may make a sum of costs exceed it."""
LEAST_LOSS = 1e-9
"""Reduced value below which moves are told apart by what they mend alone."""


class Plan:
    """A decision, and what each move of one query would change.

    Parameters
    ----------
    few : Few
    choice : ndarray of intp, shape (n_queries,)
        Options to start from; changed in place.
    """

    def __init__(self, few: Few, choice: NDArray[np.intp]) -> None:
        spot = np.arange(len(choice))
        own = few.value[choice, spot]
        self._few, self.choice = few, choice
        self._gain = few.value - own
        self._extra = few.cost - few.cost[choice, spot]
        self.value = float(own.sum())
        self._count()

    def _count(self) -> None:
        """What is left of every limit, by option, and of the budget."""
        few, choice = self._few, self.choice
        room = np.full(len(few.value), np.inf)
        room[few.models] = few.amount[few.money :]
        self._room: NDArray[np.float64] = room - np.bincount(choice, minlength=len(room))
        paid = float(few.cost[choice, np.arange(len(choice))].sum())
        self._purse = float(few.amount[0]) - paid if few.money else np.inf

    @property
    def left(self) -> NDArray[np.float64]:
        """What the decision leaves of every limit: shape (n_limits,)."""
        room = self._room[self._few.models]
        return np.concatenate([[self._purse], room]) if self._few.money else room

    @property
    def holds(self) -> bool:
        """Whether all limits hold."""
        few = self._few
        return bool(self._room.min() >= 0) and (not few.money or self._purse >= -SLACK * float(few.amount[0]))

    def run(self, worth: NDArray[np.float64], enough: float, most_moves: int) -> bool:
        """Hold the limits at least loss of ``worth``, then move for value until it is ``enough``; whether they hold."""
        own = worth[self.choice, np.arange(len(self.choice))]
        ease = 1.0 / (np.maximum(own - worth, 0.0) + LEAST_LOSS)
        for _ in range(most_moves):
            if self.holds or (moved := self._move(self._mended() * ease)) is None:
                break
            ease[:, moved] = 1.0 / (np.maximum(worth[self.choice[moved], moved] - worth[:, moved], 0.0) + LEAST_LOSS)
        self._count()
        while self.holds and self.value < enough and self._move(self._gained()) is not None:
            pass
        self._count()
        return self.holds

    def _move(self, score: NDArray[np.float64]) -> int | None:
        """Make the move of highest score, and say whose; None where no score is above what rounding makes."""
        option, query = divmod(int(score.argmax()), score.shape[1])
        if score[option, query] <= TINY:
            return None
        few, before = self._few, self.choice[query]
        self._room[before] += 1
        self._room[option] -= 1
        self._purse -= float(self._extra[option, query])
        self.value += float(self._gain[option, query])
        self.choice[query] = option
        self._gain[:, query] = few.value[:, query] - few.value[option, query]
        self._extra[:, query] = few.cost[:, query] - few.cost[option, query]
        return query

    def _mended(self) -> NDArray[np.float64]:
        """By how much each move makes the violation of the limits less."""
        full, over = self._room < 1, self._room < 0
        mended = over.astype(np.float64)[self.choice] - full[:, None]
        if self._few.money:
            after = self._extra - self._purse
            np.maximum(after, 0.0, out=after)
            mended -= after
            mended += max(-self._purse, 0.0)
        return mended

    def _gained(self) -> NDArray[np.float64]:
        """The value gained by moves that fit, 0 for others."""
        fits = self._extra <= self._purse
        fits &= (self._room >= 1)[:, None]
        return np.where(fits, self._gain, 0.0)
