"""Estimates: what the predictors say of each (query, model)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
    """

    models: tuple[str, ...]
    mean_quality: NDArray[np.float32]
    lower_quality: NDArray[np.float32]
    cost_usd: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.mean_quality)
