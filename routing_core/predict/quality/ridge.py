"""Ridge regression of quality on features: the linear predictor of the paper's kind."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.linear import product
from routing_core.predict.quality.base import QualityModel


class RidgeRegression(QualityModel):
    """Quality linear in the features, one regression per model on its own labelled queries.

    Parameters
    ----------
    penalty : float
        Ridge on the coefficients, in labels.
    """

    method: ClassVar[str] = "ridge"
    fitted: ClassVar[tuple[str, ...]] = ("coefficients_", "centre_", "root_")

    def __init__(self, penalty: float = 5.0) -> None:
        self.penalty = penalty

    def _learn(self, X: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        width = X.shape[1]
        self.coefficients_ = np.zeros((width, self.n_models_), np.float32)
        self.centre_ = np.zeros((width, self.n_models_), np.float32)
        self.root_ = np.zeros((self.n_models_, width, width), np.float32)
        for j in np.flatnonzero(weight.any(axis=0)):
            self._learn_one(int(j), X.astype(np.float64), y[:, j], weight[:, j].astype(np.float64))

    def _learn_one(self, j: int, X: NDArray[np.float64], y: NDArray[np.float32], weight: NDArray[np.float64]) -> None:
        centre = weight @ X / weight.sum()
        centred = (X - centre) * np.sqrt(weight)[:, None]
        target = (y - self.mean_[j]) * np.sqrt(weight)
        inverse = np.linalg.inv(centred.T @ centred + self.penalty * np.eye(X.shape[1]))
        slope = inverse @ (centred.T @ target)
        noise = float(((target - centred @ slope) ** 2).sum() / weight.sum())
        values, vectors = np.linalg.eigh(inverse * noise)
        self.coefficients_[:, j], self.centre_[:, j] = slope, centre
        self.root_[j] = vectors * np.sqrt(np.maximum(values, 0))

    def _mean(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        level = self.mean_ - (self.centre_ * self.coefficients_).sum(axis=0)
        return (product(X, self.coefficients_) + level).astype(np.float32)

    def _estimate(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        std = [np.linalg.norm(product(X - self.centre_[:, j], self.root_[j]), axis=1) for j in range(self.n_models_)]
        return self._mean(X), np.stack(std, axis=1).astype(np.float32)
