"""Low-rank logistic regression: a few latent skills that queries ask for and models have (item response theory)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from routing_core.predict.linear import product
from routing_core.predict.quality.base import QualityModel

SKILL_PENALTY = 0.3
"""Ridge on the models' skills relative to that on the queries' demands, which have far more entries."""


class LowRankLogistic(QualityModel):
    """P(model j is right on query i) = σ(b_j + Σ_r (x_i W)_r V_jr): multidimensional item response theory with
    the query's demands a linear function of its features.

    Parameters
    ----------
    rank : int
        Latent skills.
    penalty : float
        Ridge on W, in labels: how many it takes to believe a demand.
    max_rows : int
        Queries learnt from; the rest are dropped at even steps.
    iterations : int
        Of L-BFGS.
    seed : int
    """

    method: ClassVar[str] = "low_rank"
    fitted: ClassVar[tuple[str, ...]] = ("demands_", "skills_", "bias_", "demand_root_", "skill_root_")

    def __init__(
        self, rank: int = 4, penalty: float = 45.0, max_rows: int = 30_000, iterations: int = 150, seed: int = 0
    ) -> None:
        self.rank = rank
        self.penalty = penalty
        self.max_rows = max_rows
        self.iterations = iterations
        self.seed = seed

    def _learn(self, X: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        from scipy.optimize import minimize  # noqa: PLC0415 — slow to import, and estimating does without

        if len(X) > self.max_rows:
            kept = np.linspace(0, len(X) - 1, self.max_rows).round().astype(np.int64)
            X, y, weight = X[kept], y[kept], weight[kept]
        self._labelled = max(float(weight.sum()), 1.0) / self.n_models_
        start = self._start(X.shape[1])
        found = minimize(
            self._loss, start, args=(X, y, weight), jac=True, method="L-BFGS-B", options={"maxiter": self.iterations}
        )
        demands, skills, bias = self._unpack(found.x, X.shape[1])
        self.demands_, self.skills_, self.bias_ = (a.astype(np.float32) for a in (demands, skills, bias))
        self._spread(X, weight)

    def _start(self, width: int) -> NDArray[np.float64]:
        rng = np.random.default_rng(self.seed)
        mean = np.clip(self.mean_.astype(np.float64), 0.02, 0.98)
        skills = rng.normal(0, 0.3, (self.n_models_, self.rank))
        skills[:, 0] += 1  # the first skill starts as the common difficulty of queries
        demands = rng.normal(0, 0.01, width * self.rank)
        return np.concatenate([demands, skills.ravel(), np.log(mean / (1 - mean))])

    def _unpack(
        self, theta: NDArray[np.float64], width: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        first, second = width * self.rank, (width + self.n_models_) * self.rank
        return theta[:first].reshape(width, -1), theta[first:second].reshape(self.n_models_, -1), theta[second:]

    def _loss(
        self, theta: NDArray[np.float64], X: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]
    ) -> tuple[float, NDArray[np.float64]]:
        """Penalised cross-entropy per query and its gradient; products in float32, sums in float64."""
        demands, skills, bias = self._unpack(theta, X.shape[1])
        asked = X @ demands.astype(np.float32)
        logits = asked @ skills.T.astype(np.float32) + bias.astype(np.float32)
        error = weight * (expit(logits) - y) / np.float32(self._labelled)
        entropy = float((weight * (np.logaddexp(np.float32(0), logits) - y * logits)).sum(dtype=np.float64))
        pull = self.penalty / self._labelled
        ridge = pull / 2 * float((demands**2).sum() + SKILL_PENALTY * (skills**2).sum())
        gradient = (
            X.T @ (error @ skills.astype(np.float32)) + pull * demands,
            error.T @ asked + pull * SKILL_PENALTY * skills,
            error.sum(axis=0, dtype=np.float64),
        )
        return entropy / self._labelled + ridge, np.concatenate([g.ravel() for g in gradient]).astype(np.float64)

    def _spread(self, X: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        """Laplace's approximation, in two blocks: the demands W, and each model's (V_j, b_j) given W.

        Stores for each model a root R with Var(logit) = |x R|², so that an estimate is one product.
        """
        asked = X @ self.demands_
        p = expit(asked @ self.skills_.T + self.bias_)
        curvature = weight * p * (1 - p)
        width, rank = self.demands_.shape
        hessian = np.zeros((rank, width, rank, width))
        for a in range(rank):
            for b in range(a + 1):
                both = curvature @ (self.skills_[:, a] * self.skills_[:, b])
                hessian[a, :, b, :] = hessian[b, :, a, :] = (X * both[:, None]).T @ X
        covariance = np.linalg.inv(hessian.reshape(rank * width, -1) + self.penalty * np.eye(rank * width))
        covariance = covariance.reshape(rank, width, rank, width)
        mixed = np.einsum("ja,awbv,jb->jwv", self.skills_, covariance, self.skills_, optimize=True)
        self.demand_root_ = np.stack([_root(matrix) for matrix in mixed]).astype(np.float32)
        ones = np.c_[asked, np.ones(len(X), np.float32)]
        ridge = np.diag(np.r_[np.full(rank, self.penalty * SKILL_PENALTY), 1e-3])
        own = [np.linalg.inv((ones * c[:, None]).T @ ones + ridge) for c in curvature.T]
        self.skill_root_ = np.stack([_root(matrix) for matrix in own]).astype(np.float32)

    def _mean(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._chance(product(X, self.demands_)).astype(np.float32)

    def _chance(self, asked: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(expit(product(asked, self.skills_.T) + self.bias_), np.float64)

    def _estimate(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        asked = product(X, self.demands_)
        p = self._chance(asked)
        ones = np.hstack([asked, np.ones((len(X), 1))])
        variance = np.empty_like(p)
        for j in range(self.n_models_):
            demand = (product(X, self.demand_root_[j]) ** 2).sum(axis=1)
            variance[:, j] = demand + (product(ones, self.skill_root_[j]) ** 2).sum(axis=1)
        return p.astype(np.float32), (p * (1 - p) * np.sqrt(variance)).astype(np.float32)


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """R with R Rᵀ = covariance, by eigenvalues, since rounding may leave it barely indefinite."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)), np.float64)
