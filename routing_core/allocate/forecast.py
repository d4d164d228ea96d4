"""Tomorrow's backlog by task: candidates compete on the days just past, the winner forecasts.

The rolling backtest asks every candidate for each of the last days with what was known a horizon before it,
and scores by WAPE, Σ|actual − forecast| / Σ actual. The winner's errors there give the interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from routing_core.allocate.candidates import CANDIDATES, Candidate
from routing_core.allocate.history import DailyCounts, Floats
from routing_core.errors import ProblemError

__all__ = ["DailyCounts", "ForecastParameters", "ForecastScore", "MixForecast", "forecast", "score"]

NO_HISTORY = "no_history"
"""Name of the method when nothing is known; everything expected is then 0."""
COLD_START = "recent_mean"
"""Candidate that forecasts until there is a backtest to choose by."""
COLD_SPREAD = 0.5
"""Half-width of the interval, relative to what is expected, before there is a backtest."""
FEWEST_MISSES = 4
"""Backtested days below which the interval is the cold start's."""
SHRINKAGE = 4.0
"""Days that the shared spread counts for beside a task's own."""


@dataclass(frozen=True, slots=True)
class ForecastParameters:
    """How the candidates compete.

    Attributes
    ----------
    backtest_days : int, at least 1
        Newest observed days that the candidates are scored on.
    warm_up : int, at least 1
        Calendar days a candidate must have seen before a day it is scored on.
    coverage : float in (0, 1)
        Of the interval.
    """

    backtest_days: int = 14
    warm_up: int = 8
    coverage: float = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class MixForecast:
    """The volume and mix expected for a day.

    Attributes
    ----------
    for_date : date
    tasks : tuple of str
    expected, lower, upper : ndarray of shape (n_tasks,), queries, at least 0
        Expectation and interval by task.
    total : tuple of float
        (expected, lower, upper) of all tasks together, queries.
    method : str
        The winner, or ``no_history``.
    error : float
        The winner's WAPE in the rolling backtest, NaN where there was none.
    errors : mapping of str to float
        WAPE of each candidate, NaN where it could not forecast.
    coverage : float
        What the interval is meant to hold.
    backtested_days : int
        Days behind the errors.
    """

    for_date: date
    tasks: tuple[str, ...]
    expected: Floats
    lower: Floats
    upper: Floats
    total: tuple[float, float, float]
    method: str
    error: float
    errors: Mapping[str, float]
    coverage: float
    backtested_days: int


@dataclass(frozen=True, slots=True)
class ForecastScore:
    """How a forecast did once the backlog had arrived.

    Attributes
    ----------
    wape : float
        Σ|actual − expected| / Σ actual; 0 if both are nothing, ∞ if only the actual is.
    bias : float
        Σ(expected − actual) / Σ actual, same conventions.
    covered : float
        Share of tasks whose count lies in the interval, in [0, 1]; NaN without tasks.
    total_covered : bool
        Whether the total lies in its interval.
    unforeseen : int
        Queries of tasks that the forecast did not know.
    """

    wape: float
    bias: float
    covered: float
    total_covered: bool
    unforeseen: int


def forecast(
    history: DailyCounts,
    for_date: date,
    *,
    parameters: ForecastParameters | None = None,
    candidates: Mapping[str, Candidate] = CANDIDATES,
) -> MixForecast:
    """Forecast the backlog of ``for_date``.

    Nothing here is random: equal histories give equal forecasts.

    Parameters
    ----------
    history : DailyCounts
        What is known; every day before ``for_date``.
    for_date : date
    parameters : ForecastParameters, optional
    candidates : mapping of str to candidate
        Must hold ``recent_mean``, which forecasts until there is something to choose by.

    Raises
    ------
    ProblemError
        If the history reaches ``for_date``: a forecast may not see its own day.
    """
    if history.days and history.days[-1] >= for_date:
        raise ProblemError(f"forecast for {for_date}: history must end before it, got {history.days[-1]}")
    parameters = parameters or ForecastParameters()
    if not history.counts.any():
        return _no_history(history, for_date, parameters)
    horizon = (for_date - history.days[-1]).days
    tested, actual = _backtest(history, horizon, parameters, candidates)
    errors = {name: _wape(actual, predicted) for name, predicted in tested.items()}
    method = _winner(errors)
    expected = _expected(history, horizon, candidates[method], candidates[COLD_START])
    misses = actual - tested[method]
    widths = _half_widths(misses, expected, parameters.coverage)
    total, total_width = float(expected.sum()), _total_half_width(misses, expected, parameters.coverage)
    return MixForecast(
        for_date=for_date,
        tasks=history.tasks,
        expected=expected,
        lower=np.maximum(expected - widths, 0.0),
        upper=np.where(history.vanished(), 0.0, expected + widths),
        total=(total, max(total - total_width, 0.0), total + total_width),
        method=method,
        error=errors[method],
        errors=errors,
        coverage=parameters.coverage,
        backtested_days=len(actual),
    )


def score(prediction: MixForecast, actual: Mapping[str, int]) -> ForecastScore:
    """Score a forecast by the backlog that arrived.

    Parameters
    ----------
    prediction : MixForecast
    actual : mapping of str to int
        Queries by task; a task that is absent brought none.
    """
    seen = np.array([actual.get(task, 0) for task in prediction.tasks], dtype=np.float64)
    unforeseen = sum(count for task, count in actual.items() if task not in prediction.tasks)
    total = float(seen.sum()) + unforeseen
    missed = float(np.abs(seen - prediction.expected).sum()) + unforeseen
    inside = (seen >= np.floor(prediction.lower)) & (seen <= np.ceil(prediction.upper))
    return ForecastScore(
        wape=_relative(missed, total),
        bias=_relative(float(prediction.expected.sum()) - total, total),
        covered=float(inside.mean()) if inside.size else float("nan"),
        total_covered=bool(np.floor(prediction.total[1]) <= total <= np.ceil(prediction.total[2])),
        unforeseen=unforeseen,
    )


def _no_history(history: DailyCounts, for_date: date, parameters: ForecastParameters) -> MixForecast:
    nothing = np.zeros(len(history.tasks))
    return MixForecast(
        for_date, history.tasks, nothing, nothing, nothing, (0.0, 0.0, 0.0), NO_HISTORY, float("nan"), {},
        parameters.coverage, 0,
    )  # fmt: skip


def _expected(history: DailyCounts, horizon: int, method: Candidate, fallback: Candidate) -> Floats:
    """The winner's forecast; the fallback where it cannot tell; 0 for what has vanished."""
    calendar = history.calendar()
    expected = method(calendar, horizon)
    expected = np.where(np.isfinite(expected), expected, fallback(calendar, horizon))
    expected = np.where(history.vanished(), 0.0, expected)
    return np.asarray(np.nan_to_num(np.maximum(expected, 0.0)))


def _backtest(
    history: DailyCounts, horizon: int, parameters: ForecastParameters, candidates: Mapping[str, Candidate]
) -> tuple[dict[str, Floats], Floats]:
    """What each candidate would have said of the newest days, and what came: arrays of shape (n_tested, n_tasks)."""
    tested: dict[str, list[Floats]] = {name: [] for name in candidates}
    rows: list[NDArray[np.int64]] = []
    for day, counts in list(zip(history.days, history.counts, strict=True))[-parameters.backtest_days :]:
        known = history.through(date.fromordinal(day.toordinal() - horizon))
        if not known.counts.any() or (day - known.days[0]).days < parameters.warm_up:
            continue
        rows.append(counts)
        ahead = (day - known.days[-1]).days
        for name, candidate in candidates.items():
            tested[name].append(_expected(known, ahead, candidate, candidates[COLD_START]))
    shape = (len(rows), len(history.tasks))
    return (
        {name: np.array(predicted).reshape(shape) for name, predicted in tested.items()},
        np.array(rows, dtype=np.float64).reshape(shape),
    )


def _wape(actual: Floats, predicted: Floats) -> float:
    return _relative(float(np.abs(actual - predicted).sum()), float(actual.sum())) if len(actual) else float("nan")


def _relative(amount: float, total: float) -> float:
    if total > 0:
        return amount / total
    return 0.0 if amount == 0 else float(np.copysign(np.inf, amount))


def _winner(errors: Mapping[str, float]) -> str:
    scored = {name: error for name, error in errors.items() if np.isfinite(error)}
    return min(scored, key=scored.__getitem__) if scored else COLD_START


def _half_widths(misses: Floats, expected: Floats, coverage: float) -> Floats:
    """Half-width of the interval of each column of ``misses`` (shape (n_tested, n)): ndarray of shape (n,).

    Each column has its own spread, drawn towards the one that all share (variance in proportion to the count, as
    a quasi-Poisson model has it); the quantile of the errors in units of the spread is pooled over all columns.
    """
    if len(misses) < FEWEST_MISSES:
        return COLD_SPREAD * expected + np.sqrt(expected)
    squares = (misses**2).sum(axis=0)
    dispersion = squares.sum() / max(len(misses) * expected.sum(), 1.0)
    spread = np.sqrt((squares + SHRINKAGE * dispersion * expected) / (len(misses) + SHRINKAGE))
    with np.errstate(invalid="ignore", divide="ignore"):
        standardised = np.abs(misses / spread)
    standardised = standardised[:, spread > 0]
    if not standardised.size:
        return np.zeros_like(expected)
    level = min(1.0, np.ceil((standardised.size + 1) * coverage) / standardised.size)
    return np.asarray(spread * np.quantile(standardised, level))


def _total_half_width(misses: Floats, expected: Floats, coverage: float) -> float:
    total = misses.sum(axis=1, keepdims=True)
    return float(_half_widths(total, np.array([expected.sum()]), coverage)[0])
