"""Means: per model, and per model and task. What every other predictor must beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.quality.base import QualityModel


class ModelMeans(QualityModel):
    """Each model's mean quality, whatever the query."""

    method: ClassVar[str] = "means"
    fitted: ClassVar[tuple[str, ...]] = ("std_",)

    def _learn(self, X: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        total = np.maximum(weight.sum(axis=0), 1)
        variance = (weight * (y - self.mean_) ** 2).sum(axis=0) / total
        self.std_ = np.sqrt(variance / total).astype(np.float32)

    def _estimate(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        shape = (len(X), self.n_models_)
        return np.broadcast_to(self.mean_, shape).copy(), np.broadcast_to(self.std_, shape).copy()
