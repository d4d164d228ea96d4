"""Structural time series by statsmodels, the extra ``forecast``: level and weekdays that drift, seen through noise.

Harvey, Forecasting, Structural Time Series Models and the Kalman Filter (1989), section 2.3. The filter takes a
missing day as unknown, so gaps need no care.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from routing_core.allocate.history import Floats

WEEK = 7
STEPS = 30
"""Most iterations of the likelihood: past them the forecast no longer moves."""


def installed() -> bool:
    """Whether statsmodels is there."""
    return find_spec("statsmodels") is not None


def structural(calendar: Floats, horizon: int) -> Floats:
    """The total by local level and weekday effects, dealt to the tasks by their shares of the last two weeks."""
    total = np.where(np.isfinite(calendar).any(axis=1), np.nansum(calendar, axis=1), np.nan)
    whole = total[: len(total) // WEEK * WEEK]
    recent = np.nansum(calendar[-2 * WEEK :], axis=0)
    if np.isfinite(whole).sum() < 2 * WEEK or not recent.sum() > 0:
        return np.full(calendar.shape[1], np.nan)
    with threadpool_limits(limits=1):
        scale = float(np.nanmean(total))
        filtered = _model(total / scale).filter(np.array(_variances(tuple(whole.tolist()))))
        ahead = max(float(filtered.forecast(horizon)[-1]), 0.0) * scale
    return np.asarray(ahead * recent / recent.sum())


@lru_cache(maxsize=64)
def _variances(total: tuple[float, ...]) -> tuple[float, ...]:
    """Variances of noise, level and weekdays, of the volume relative to its mean; a backtest asks for few."""
    series = np.array(total)
    with warnings.catch_warnings():
        # A likelihood that has not converged still forecasts; the backtest judges how well.
        warnings.simplefilter("ignore")
        found = _model(series / np.nanmean(series)).fit(disp=0, maxiter=STEPS).params
    return tuple(found.tolist())


def _model(series: Floats) -> Any:
    from statsmodels.tsa.statespace.structural import UnobservedComponents  # noqa: PLC0415 — an optional extra, slow

    return UnobservedComponents(series, "local level", seasonal=WEEK)
