"""Backlog history by task, as it was seen: gaps stay gaps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import ProblemError

Floats = NDArray[np.float64]

VANISHED_AFTER = 14
"""Observed days without a single query after which a task is taken to be gone."""


@dataclass(frozen=True, slots=True, eq=False)
class DailyCounts:
    """Backlog volume by day and task.

    Attributes
    ----------
    days : tuple of date
        Observed days, oldest first. A day that is absent is a gap: nobody knows, not zero.
    tasks : tuple of str
        Tasks, or any other grouping of queries such as clusters of prompts.
    counts : ndarray of int64, shape (n_days, n_tasks), queries, at least 0

    Raises
    ------
    ProblemError
        If shapes differ, days are not ascending, tasks repeat, or a count is negative.
    """

    days: tuple[date, ...]
    tasks: tuple[str, ...]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape = (len(self.days), len(self.tasks))
        if self.counts.shape != shape:
            raise ProblemError(f"daily counts: counts must have shape {shape}, got {self.counts.shape}")
        if any(later <= earlier for earlier, later in zip(self.days, self.days[1:], strict=False)):
            raise ProblemError("daily counts: days must be distinct and oldest first")
        if len(set(self.tasks)) != len(self.tasks):
            raise ProblemError(f"daily counts: tasks must be distinct, got {self.tasks}")
        if (self.counts < 0).any():
            raise ProblemError(f"daily counts: counts must be at least 0, got {self.counts.min()}")

    def __len__(self) -> int:
        return len(self.days)

    def through(self, day: date) -> DailyCounts:
        """The history as it was known at the end of ``day``."""
        known = sum(observed <= day for observed in self.days)
        return DailyCounts(self.days[:known], self.tasks, self.counts[:known])

    def calendar(self) -> Floats:
        """Every day from the first to the last: ndarray of shape (n_calendar_days, n_tasks), NaN where unknown.

        Unknown are gaps and, for each task, the days before its first query: a new task says nothing of the
        time before it was there.
        """
        if not self.days:
            return np.empty((0, len(self.tasks)))
        at = np.array([(day - self.days[0]).days for day in self.days])
        grid = np.full((at[-1] + 1, len(self.tasks)), np.nan)
        grid[at] = np.where(np.cumsum(self.counts, axis=0) > 0, self.counts, np.nan)
        return grid

    def vanished(self) -> NDArray[np.bool_]:
        """Tasks without a query in the last observed days: ndarray of shape (n_tasks,)."""
        recent = self.counts[-VANISHED_AFTER:]
        return np.asarray(~recent.any(axis=0) & (len(recent) == VANISHED_AFTER) | ~self.counts.any(axis=0))


def weekday(first: date, offset: int) -> int:
    """Weekday, Monday 0, of the day ``offset`` days after ``first``."""
    return (first + timedelta(days=offset)).weekday()
