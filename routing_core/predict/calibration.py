"""Calibration: predictions shrunk per model as out-of-fold evidence says, and a prior where there is little of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.state import State

FEW_LABELS = 60
"""Effective labels below which a model leans on the prior."""
PRIOR_LABELS = 10.0
"""Labels' worth of the beta prior."""
POOLING = 1000.0
"""Labels' worth of the slope common to all models in each model's own slope."""
UNKNOWN_STD = 0.29
"""Standard deviation of a quality of which nothing is known: uniform on [0, 1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Per-model linear shrinkage, then a beta prior for models with few labels.

    Attributes
    ----------
    centre : ndarray of float64, shape (n_models,)
        Mean out-of-fold prediction.
    level : ndarray of float64, shape (n_models,), in [0, 1]
        Mean label.
    slope : ndarray of float64, shape (n_models,), in [0, 1]
        How much of a deviation from the mean to believe; 1 leaves predictions alone.
    prior_share : ndarray of float64, shape (n_models,), in [0, 1]
        Weight of the prior; 1 for a model without labels, 0 from `FEW_LABELS` on.
    between : float
        Standard deviation of mean quality between models.
    """

    centre: NDArray[np.float64]
    level: NDArray[np.float64]
    slope: NDArray[np.float64]
    prior_share: NDArray[np.float64]
    between: float

    @property
    def caution(self) -> NDArray[np.float32]:
        """What a lower estimate takes off on top, for the share of a model's quality that is only the prior's."""
        return (self.prior_share * self.between).astype(np.float32)

    def apply(
        self, mean: NDArray[np.float32], std: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Calibrated mean and standard deviation.

        Parameters
        ----------
        mean, std : ndarray of float32, shape (n_queries, n_models)

        Returns
        -------
        mean, std : ndarray of float32, shape (n_queries, n_models)
        """
        shrunk = np.clip(self.level + self.slope * (mean - self.centre), 0, 1)
        spread = self.slope * std
        if self.prior_share.any():
            shrunk, spread = self._with_prior(shrunk, spread)
        return shrunk.astype(np.float32), spread.astype(np.float32)

    def _with_prior(
        self, mean: NDArray[np.float64], std: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A little-known model is taken to be like the well-known ones on this query, give or take."""
        share = self.prior_share
        trust = 1 - share
        prior = (mean * trust).sum(axis=1, keepdims=True) / trust.sum() if trust.sum() > 0 else 0.5
        known = np.where(np.isnan(std), np.where(share > 0, 0, np.nan), std)
        return (trust * mean + share * prior), np.sqrt((trust * known) ** 2 + (share * self.between) ** 2)

    def state(self) -> State:
        """Arrays and parameters."""
        arrays = {name: getattr(self, name) for name in ("centre", "level", "slope", "prior_share")}
        return State({"between": self.between}, arrays)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The calibration that `state` described."""
        return cls(**state.arrays, between=state.meta["between"])


def learn_calibration(
    predicted: NDArray[np.float32],
    quality: NDArray[np.float32],
    weight: NDArray[np.float32],
    effective: NDArray[np.float64],
    *,
    shrink: bool = True,
) -> Calibration:
    """Regress labels on out-of-fold predictions, per model, each slope pooled towards the common one.

    Parameters
    ----------
    predicted, quality, weight : ndarray of float32, shape (n_queries, n_models)
        Out of fold; ``quality`` counts where ``weight`` is above 0.
    effective : ndarray of float64, shape (n_models,)
        Effective labels of each model in the whole log.
    shrink : bool
        False leaves predictions alone, except for the prior of models with few labels.
    """
    w = np.where(np.isnan(quality), 0, weight).astype(np.float64)
    total = w.sum(axis=0)
    safe = np.maximum(total, 1e-12)
    centre = (w * predicted).sum(axis=0) / safe
    level = (w * np.nan_to_num(quality)).sum(axis=0) / safe
    known = total > 0
    share = np.where(effective < FEW_LABELS, PRIOR_LABELS / (PRIOR_LABELS + effective), 0)
    share = np.where(known, share, 1.0)
    between = float(level[known].std()) if known.sum() > 1 else UNKNOWN_STD
    if not shrink:
        nothing = np.zeros_like(centre)
        return Calibration(nothing, nothing, np.ones_like(centre), share, between)
    deviation = predicted - centre
    both = (w * deviation * (np.nan_to_num(quality) - level)).sum(axis=0)
    square = (w * deviation**2).sum(axis=0)
    common = both[known].sum() / square[known].sum() if square[known].sum() > 0 else 1.0
    mean_square = square[known].sum() / max(total[known].sum(), 1e-12)
    slope = (both + POOLING * mean_square * common) / np.maximum(square + POOLING * mean_square, 1e-12)
    return Calibration(centre, level, np.clip(slope, 0, 1), share, between)
