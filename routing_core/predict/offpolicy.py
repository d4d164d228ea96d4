"""What a plan would have been worth, when only the answers of the models that answered are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.labels import Labels

LARGEST_RATIO = 20.0
"""Ceiling of an inverse propensity: a little bias for much less variance."""


@dataclass(frozen=True, slots=True, eq=False)
class PlanValue:
    """Estimated mean quality of a plan.

    Attributes
    ----------
    parts : ndarray of float64, shape (n_queries,)
        One contribution a query, whose mean is the value: what paired comparisons are made of.
    effective : float
        Effective sample size of the answers it rests on; n_queries with full feedback.
    """

    parts: NDArray[np.float64]
    effective: float

    @property
    def value(self) -> float:
        """Mean quality of the plan."""
        return float(self.parts.mean()) if len(self.parts) else 0.0


def propensities(labels: Labels, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability that the log shows each (query, model).

    Logged propensities are used where there are some; elsewhere the share of the task's queries that the model
    answered. A query that shows all known models has probability 1 for each.

    Returns
    -------
    ndarray of float64, shape (len(rows), n_models), in (0, 1], NaN where not seen
    """
    seen = labels.seen[rows]
    logged = labels.propensity[rows].astype(np.float64)
    share = np.ones(seen.shape)
    for task in np.unique(labels.task[rows].astype(str)):
        here = labels.task[rows].astype(str) == task
        share[here] = np.maximum(seen[here].mean(axis=0), 1e-3)
    return np.where(seen, np.where(np.isnan(logged), share, logged), np.nan)


def plan_value(
    choice: NDArray[np.integer],
    labels: Labels,
    rows: NDArray[np.int64],
    model: NDArray[np.float32],
) -> PlanValue:
    """Doubly robust, self-normalised value of a plan (Dudík et al., 2011; Swaminathan & Joachims, 2015).

    With full feedback every chosen answer is known and the value is their plain mean. A deferred query is worth 0.

    Parameters
    ----------
    choice : ndarray of int, shape (n_queries,)
        Model of each query, −1 where deferred.
    labels : Labels
    rows : ndarray of int64, shape (n_queries,)
        Queries of ``labels`` that are planned.
    model : ndarray of float32, shape (n_queries, n_models)
        Predicted quality that stands in where no answer is known; must not have seen ``rows``.
    """
    at = np.arange(len(rows))
    served = choice >= 0
    chosen = np.where(served, choice, 0)
    known = served & labels.seen[rows][at, chosen]
    guess = np.where(served, model[at, chosen], 0).astype(np.float64)
    actual = np.where(known, np.nan_to_num(labels.quality[rows][at, chosen]), 0).astype(np.float64)
    if known[served].all():
        return PlanValue(actual, float(len(rows)))
    ratio = np.where(known, np.minimum(1 / propensities(labels, rows)[at, chosen], LARGEST_RATIO), 0)
    total = ratio.sum()
    if total == 0:
        return PlanValue(guess, 0.0)
    # Answers correct the guess over the served queries, of which there may be fewer than queries.
    parts = guess + served.sum() * ratio / total * np.where(known, actual - guess, 0)
    return PlanValue(parts, float(total**2 / (ratio**2).sum()))
