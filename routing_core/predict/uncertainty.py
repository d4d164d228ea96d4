"""Lower estimates: the paper's bootstrap, what replaces it at no cost, and conformal shifts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from routing_core.predict.quality.base import QualityModel
from routing_core.predict.state import State

NONE = "none"
QUANTILE = "quantile"
CONFORMAL = "conformal"
KAPPA = "kappa"


@dataclass(frozen=True, slots=True, eq=False)
class Robustness:
    """How quality is lowered before planning.

    Attributes
    ----------
    method : str
        ``none``; ``quantile``: of the estimate's bootstrap distribution, taken as normal; ``kappa``:
        mean − κ·std; ``conformal``: mean − a shift per model.
    level : float
        The quantile, κ, or the conformal miss rate.
    shift : ndarray of float32, shape (n_models,)
        Of the conformal method, 0 otherwise.
    """

    method: str
    level: float
    shift: NDArray[np.float32]

    @property
    def uses_spread(self) -> bool:
        """Whether lowering asks for the standard deviation."""
        return self.method not in (NONE, CONFORMAL)

    def lower(self, mean: NDArray[np.float32], std: NDArray[np.float32]) -> NDArray[np.float32]:
        """Lower quality.

        Parameters
        ----------
        mean, std : ndarray of float32, shape (n_queries, n_models)
            An unknown ``std`` (NaN) lowers nothing.

        Returns
        -------
        ndarray of float32, shape (n_queries, n_models), in [0, 1], at most ``mean``
        """
        if self.method == NONE:
            return mean
        if self.method == CONFORMAL:
            return np.asarray(np.clip(mean - self.shift, 0, mean), np.float32)
        kappa = np.float32(self.level if self.method == KAPPA else max(-ndtri(self.level), 0.0))
        return np.asarray(np.clip(mean - kappa * np.nan_to_num(std), 0, mean), np.float32)

    def state(self) -> State:
        """Parameters and shifts."""
        return State({"method": self.method, "level": self.level}, {"shift": self.shift})

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The robustness that `state` described."""
        return cls(state.meta["method"], state.meta["level"], state.arrays["shift"])


def robustness(
    method: str,
    level: float,
    predicted: NDArray[np.float32],
    quality: NDArray[np.float32],
) -> Robustness:
    """Make a method ready, from out-of-fold predictions where it needs them.

    Parameters
    ----------
    method : str
    level : float
    predicted, quality : ndarray of float32, shape (n_held_out, n_models)
        ``quality`` is NaN where unknown.
    """
    shift = np.zeros(predicted.shape[1], np.float32)
    if method == CONFORMAL:
        shift = conformal_shift(predicted, quality, level)
    return Robustness(method, level, shift)


def conformal_shift(predicted: NDArray[np.float32], quality: NDArray[np.float32], miss: float) -> NDArray[np.float32]:
    """Split-conformal shift per model: predicted − shift is above the answer's quality with probability ≤ miss.

    The ⌈(n + 1)(1 − miss)⌉-th smallest of predicted − quality (Vovk et al., 2005); a model with too few labels for
    it gets 1, the whole range.

    Parameters
    ----------
    predicted, quality : ndarray of float32, shape (n_held_out, n_models)
    miss : float, in (0, 1)

    Returns
    -------
    ndarray of float32, shape (n_models,), in [0, 1]
    """
    shift = np.ones(predicted.shape[1], np.float32)
    for j in range(predicted.shape[1]):
        residual = np.sort((predicted[:, j] - quality[:, j])[~np.isnan(quality[:, j])])
        rank = int(np.ceil((len(residual) + 1) * (1 - miss)))
        if 1 <= rank <= len(residual):
            shift[j] = np.clip(residual[rank - 1], 0, 1)
    return shift


def bootstrap(
    make: Callable[[], QualityModel],
    X: NDArray[np.float32],
    y: NDArray[np.float32],
    weight: NDArray[np.float32],
    at: NDArray[np.float32],
    *,
    samples: int = 100,
    seed: int = 0,
    size: int | None = None,
) -> NDArray[np.float32]:
    """The paper's uncertainty: predictions of refits on bootstrap samples of the queries.

    Parameters
    ----------
    make : callable
        A fresh predictor.
    X, y, weight : ndarray of float32
        As for `QualityModel.fit`.
    at : ndarray of float32, shape (n_new, n_features)
    samples : int
    seed : int
    size : int, optional
        Queries in a sample, by default as many as there are.

    Returns
    -------
    ndarray of float32, shape (samples, n_new, n_models)
        Take ``np.quantile(…, 0.1, axis=0)`` for q10, the mean over axis 0 for the bagged predictor.
    """
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(X), size or len(X)) for _ in range(samples))
    return np.stack([make().fit(X[rows], y[rows], weight[rows]).predict(at) for rows in draws])
