"""Ways to forecast the next days' counts from a calendar with holes; each is one function.

A candidate takes the calendar — ndarray of shape (n_days, n_tasks), queries, NaN where unknown — and the horizon,
at least 1 day, and returns ndarray of shape (n_tasks,): expected counts ``horizon`` days after the last row.
NaN means that it cannot tell. A library's model joins by being wrapped as such a function in ``CANDIDATES``, as the
structural one is where its library is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import numpy as np

from routing_core.allocate.history import Floats
from routing_core.allocate.structural import installed, structural

Candidate = Callable[[Floats, int], Floats]

WEEK = 7
RECENCY = 0.75
"""Weight of a week against the next newer one in the recency-weighted mean."""
LEVEL_MEMORY = 0.9
"""Weight of a day against the next newer one in the level of the weekday profile."""
LEVELS = (0.05, 0.15, 0.3, 0.5)
"""Smoothing constants tried for the level."""
SEASONS = (0.05, 0.15, 0.3)
"""Smoothing constants tried for the weekdays."""
TRENDS = (0.0, 0.05, 0.15)
"""Smoothing constants tried for the trend; 0 is none."""
DAMPING = 0.9
"""Damping of the trend a day: 0.8–0.98 is the range Hyndman & Athanasopoulos advise (Forecasting, 8.2)."""


def same_weekday(calendar: Floats, horizon: int) -> Floats:
    """Recency-weighted mean of the same weekday."""
    rows = _same_weekday_rows(calendar, horizon)
    weights = RECENCY ** np.arange(len(rows), dtype=np.float64)[::-1, np.newaxis]
    return _mean(rows, np.asarray(weights * np.isfinite(rows), dtype=np.float64))


def seasonal_naive(calendar: Floats, horizon: int) -> Floats:
    """The newest known count of the same weekday."""
    rows = _same_weekday_rows(calendar, horizon)
    return _newest(rows)


def recent_mean(calendar: Floats, horizon: int) -> Floats:
    """Mean of the last week, weekdays ignored."""
    rows = calendar[-WEEK:]
    return _mean(rows, np.isfinite(rows).astype(np.float64))


def weekday_profile(calendar: Floats, horizon: int) -> Floats:
    """Level × weekday: one weekly profile shared by all tasks, each task's level smoothed after taking it off.

    Classical multiplicative decomposition; sharing the profile averages its noise over the tasks.
    """
    profile = _profile(calendar)
    days = np.arange(len(calendar))
    with np.errstate(invalid="ignore", divide="ignore"):
        levels = calendar / profile[days % WEEK][:, np.newaxis]
    levels[~np.isfinite(levels)] = np.nan
    weights = LEVEL_MEMORY ** (len(calendar) - 1.0 - days)[:, np.newaxis]
    level = _mean(levels, np.asarray(weights * np.isfinite(levels), dtype=np.float64))
    return np.asarray(level * profile[(len(calendar) - 1 + horizon) % WEEK])


def holt_winters(calendar: Floats, horizon: int) -> Floats:
    """Additive Holt–Winters with damped trend (Hyndman & Athanasopoulos, Forecasting, section 8.3).

    One set of smoothing constants serves all tasks: the one with the least squared one-step error relative to
    each task's level. A gap leaves the state as it is.
    """
    if len(calendar) < 2 * WEEK:
        return np.full(calendar.shape[1], np.nan)
    constants = np.array(list(product(LEVELS, SEASONS, TRENDS))).T[..., np.newaxis]
    forecast, errors = _smooth(calendar, constants, horizon)
    scale = np.nan_to_num(_mean(calendar, np.isfinite(calendar).astype(np.float64))) + 1.0
    best = np.argmin(np.nansum(errors / scale**2, axis=1))
    return np.asarray(np.maximum(forecast[best], 0.0))


def blend(calendar: Floats, horizon: int) -> Floats:
    """Mean of our own others: rarely the best on one day, rarely far off."""
    others = np.array([forecast(calendar, horizon) for forecast in BLENDED])
    return _mean(others, np.isfinite(others).astype(np.float64))


BLENDED: tuple[Candidate, ...] = (same_weekday, seasonal_naive, recent_mean, weekday_profile, holt_winters)
"""What the blend is of."""
CANDIDATES: Mapping[str, Candidate] = {
    "same_weekday": same_weekday,
    "seasonal_naive": seasonal_naive,
    "recent_mean": recent_mean,
    "weekday_profile": weekday_profile,
    "holt_winters": holt_winters,
    "blend": blend,
    **({"structural": structural} if installed() else {}),
}
"""The candidates that compete, by name; of equals the first is taken."""


def _same_weekday_rows(calendar: Floats, horizon: int) -> Floats:
    """The calendar's rows on the weekday asked for, oldest first."""
    return calendar[(len(calendar) - 1 + horizon) % WEEK :: WEEK]


def _mean(rows: Floats, weights: Floats) -> Floats:
    """Weighted mean over axis 0, NaN where nothing is known."""
    total = weights.sum(axis=0)
    filled = np.where(np.isfinite(rows), rows, 0.0)
    mean = np.divide((weights * filled).sum(axis=0), total, out=np.full(total.shape, np.nan), where=total > 0)
    return np.asarray(mean)


def _newest(rows: Floats) -> Floats:
    """The last known entry of each column, NaN where there is none."""
    known = np.isfinite(rows)
    last = len(rows) - 1 - known[::-1].argmax(axis=0) if len(rows) else np.zeros(rows.shape[1], dtype=np.intp)
    return np.where(known.any(axis=0), rows[last, np.arange(rows.shape[1])] if len(rows) else np.nan, np.nan)


def _profile(calendar: Floats) -> Floats:
    """Total volume by weekday relative to the mean weekday: ndarray of shape (7,), 1 where unknown."""
    known = np.isfinite(calendar).any(axis=1)
    totals = np.where(known, np.nansum(calendar, axis=1), np.nan)
    by_weekday = np.array([_mean(totals[d::WEEK], np.isfinite(totals[d::WEEK]) * 1.0) for d in range(WEEK)])
    overall = np.nanmean(by_weekday) if np.isfinite(by_weekday).any() else 0.0
    return np.where(np.isfinite(by_weekday) & (overall > 0), by_weekday / (overall or 1.0), 1.0)


def _smooth(calendar: Floats, constants: Floats, horizon: int) -> tuple[Floats, Floats]:
    """Run the recursion for every set of constants at once.

    Parameters
    ----------
    calendar : ndarray of shape (n_days, n_tasks)
    constants : ndarray of shape (3, n_sets, 1)
        Smoothing of level, season and trend.

    Returns
    -------
    forecast, squared_error : ndarray of shape (n_sets, n_tasks)
    """
    alpha, gamma, beta = constants
    shape = (constants.shape[1], calendar.shape[1])
    start = recent_mean(calendar[:WEEK], 1)
    start = np.where(np.isfinite(start), start, _oldest(calendar))
    level, trend = np.broadcast_to(start, shape).copy(), np.zeros(shape)
    season = np.where(np.isfinite(calendar[:WEEK]), calendar[:WEEK] - start, 0.0)
    season = np.repeat(season[:, np.newaxis, :], shape[0], axis=1)
    errors = np.zeros(shape)
    for day, seen in enumerate(calendar):
        known, weekly = np.isfinite(seen), season[day % WEEK]
        step = np.where(known, seen - (level + DAMPING * trend + weekly), 0.0)
        errors += (day >= WEEK) * step**2
        level = level + DAMPING * trend + alpha * step
        trend = DAMPING * trend + beta * alpha * step
        season[day % WEEK] = weekly + gamma * (1 - alpha) * step
    ahead = DAMPING * (1 - DAMPING**horizon) / (1 - DAMPING)
    return level + ahead * trend + season[(len(calendar) - 1 + horizon) % WEEK], errors


def _oldest(calendar: Floats) -> Floats:
    """The first known entry of each column, 0 where there is none."""
    return np.nan_to_num(_newest(calendar[::-1]), nan=0.0)
