"""Estimates: what the predictors say of each (query, model)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEW_TASK = 1
"""The predictors have not seen an outcome of the query's task."""
FAR = 2
"""The query is farther from those learnt from than nearly all of these are from each other."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Predictions for queries × models; columns follow the catalog's order.

    Attributes
    ----------
    models : tuple of str, length n_models
    mean_quality : ndarray of float32, shape (n_queries, n_models), in [0, 1]
        Expected quality.
    lower_quality : ndarray of float32, shape (n_queries, n_models), in [0, 1]
        Lower end of what the model is likely to deliver, at the robust level planned with.
    cost_usd : ndarray of float32, shape (n_queries, n_models), USD
        Expected cost, before any margin.
    careful_quality : ndarray of float32, shape (n_queries, n_models), in [0, 1], or None
        Lower end at the conservative level, for a night unlike what the predictors learnt from; None if not asked for.
    unfamiliar : ndarray of int8, shape (n_queries,), or None
        What is strange about each query: 0 nothing, else the sum of `NEW_TASK` and `FAR`.
    """

    models: tuple[str, ...]
    mean_quality: NDArray[np.float32]
    lower_quality: NDArray[np.float32]
    cost_usd: NDArray[np.float32]
    careful_quality: NDArray[np.float32] | None = None
    unfamiliar: NDArray[np.int8] | None = None

    def __len__(self) -> int:
        return len(self.mean_quality)
