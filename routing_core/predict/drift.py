"""Drift: how the days held out differ from the days learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.labels import Labels

BINS = 10
"""Equal-width bins of the calibration error."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What changed between training and exam.

    Attributes
    ----------
    mix_distance : float, in [0, 1]
        Total variation between the shares of tasks.
    stranger_share : float, in [0, 1]
        Exam queries outside the training mix, by task or distance.
    calibration_error : float, in [0, 1]
        Expected calibration error on the answers seen in the exam.
    quality_shift : mapping of str to float
        Realised less predicted mean quality of each model seen in the exam.
    """

    mix_distance: float
    stranger_share: float
    calibration_error: float
    quality_shift: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return asdict(self)


def mix_distance(before: NDArray[np.object_], after: NDArray[np.object_]) -> float:
    """Total variation between the shares of tasks, ½ Σ |share before − share after|; 0 if either is empty."""
    if not len(before) or not len(after):
        return 0.0
    tasks, index = np.unique(np.concatenate([before, after]).astype(str), return_inverse=True)
    shares = [np.bincount(part, minlength=len(tasks)) / len(part) for part in np.split(index, [len(before)])]
    return float(0.5 * np.abs(shares[0] - shares[1]).sum())


def calibration_error(predicted: NDArray[np.floating], quality: NDArray[np.floating]) -> float:
    """Expected calibration error: mean over equal-width bins of |mean label − mean prediction|, by share.

    Parameters
    ----------
    predicted, quality : ndarray of float, any equal shape, in [0, 1]
        Pairs whose ``quality`` is NaN are left out.
    """
    known = ~np.isnan(quality)
    if not known.any():
        return 0.0
    p, y = predicted[known].astype(np.float64), quality[known].astype(np.float64)
    bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, y - p, BINS)
    return float(np.abs(gaps).sum() / len(p))


def quality_shift(predicted: NDArray[np.float32], labels: Labels) -> dict[str, float]:
    """Realised less predicted mean quality of each model, over the queries it was seen on."""
    shifts = {}
    for j, model in enumerate(labels.models):
        seen = labels.seen[:, j]
        if seen.any():
            shifts[model] = float((labels.quality[seen, j] - predicted[seen, j]).mean())
    return shifts
