"""Task means, and a hard-penalised ridge around them: what tells queries of one task apart is mostly noise."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.linear import product
from routing_core.predict.quality.base import QualityModel

PRIOR_LABELS = 10.0
"""Labels' worth of what is known of a task beside a model's own labels on it."""


class TaskRidge(QualityModel):
    """Each model's mean on the query's task, moved by what the query's other features say.

    A move is the sum of one that all models share — how hard the query is — and one of the model's own. They are
    learnt one after the other, so that a log with one model per query still tells which queries are hard. Task means
    lean on the task's difficulty for all models as long as a model has few labels there.

    Columns of ``X`` that hold 0 and one other value are taken for indicators of the task.

    Parameters
    ----------
    shared_penalty : float
        Ridge on the shared move, in queries.
    own_penalty : float
        Ridge on a model's own move, in labels.
    """

    method: ClassVar[str] = "task_ridge"
    fitted: ClassVar[tuple[str, ...]] = ("indicators_", "level_", "coefficients_")

    def __init__(self, shared_penalty: float = 60.0, own_penalty: float = 200.0) -> None:
        self.shared_penalty = shared_penalty
        self.own_penalty = own_penalty

    def _learn(self, X: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        self.indicators_ = np.flatnonzero([_is_indicator(column) for column in X.T])
        task = self._task(X)
        self.level_ = self._levels(task, y, weight).astype(np.float32)
        features, w = self._moving(X), weight.astype(np.float64)
        residual = y - self.level_[task].astype(np.float64)
        seen = w.sum(axis=1)
        overall = (w * residual).sum(axis=1) / np.maximum(seen, 1e-12)
        # Labels of one query tell of its difficulty together: a query counts once, however many models answered.
        shared = _ridge(features, overall, np.minimum(seen, 1), self.shared_penalty)
        residual -= (features @ shared)[:, None]
        own = np.zeros((X.shape[1], self.n_models_))
        for j in np.flatnonzero(w.any(axis=0)):
            rows = np.flatnonzero(w[:, j])
            own[:, j] = _ridge(features[rows], residual[rows, j], w[rows, j], self.own_penalty)
        self.coefficients_ = (shared[:, None] + own).astype(np.float32)

    def _estimate(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        mean = self.level_[self._task(X)] + product(self._moving(X), self.coefficients_)
        return mean.astype(np.float32), np.full(mean.shape, np.nan, np.float32)

    def _task(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        """Number of each row's task; that after the last for a task never seen."""
        marked = X[:, self.indicators_] != 0
        known = marked.any(axis=1)
        return np.where(known, marked.argmax(axis=1) if marked.size else 0, len(self.indicators_))

    def _moving(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        features = X.astype(np.float64)
        features[:, self.indicators_] = 0
        return features

    def _levels(
        self, task: NDArray[np.int64], y: NDArray[np.float32], weight: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Mean of each model on each task, the last row for an unknown one: its overall mean."""
        shape = (len(self.indicators_) + 1, self.n_models_)
        total, sums = np.zeros(shape), np.zeros(shape)
        np.add.at(total, task, weight)
        np.add.at(sums, task, weight * (y - self.mean_))
        difficulty = sums.sum(axis=1, keepdims=True) / (total.sum(axis=1, keepdims=True) + PRIOR_LABELS)
        levels = self.mean_ + (sums + PRIOR_LABELS * difficulty) / (total + PRIOR_LABELS)
        levels[-1] = self.mean_
        return levels


def _is_indicator(column: NDArray[np.float32]) -> bool:
    """Whether a column holds 0 and one other value, each at least once, or that value alone."""
    values = np.unique(column)
    return len(values[values != 0]) == 1 and len(values) <= 2


def _ridge(
    X: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64], penalty: float
) -> NDArray[np.float64]:
    weighted = X * weight[:, None]
    gram = weighted.T @ X + penalty * np.eye(X.shape[1])
    return np.asarray(np.linalg.solve(gram, weighted.T @ target))
