"""Forecasts of volume and mix: the competition, the interval, and histories with something missing."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from routing_core.allocate.candidates import CANDIDATES, holt_winters, same_weekday, seasonal_naive
from routing_core.allocate.forecast import DailyCounts, forecast, score
from routing_core.allocate.scenarios import draw_sample, represent, scenarios
from routing_core.errors import ProblemError

MONDAY = date(2026, 1, 5)
WEEK = np.array([1.1, 1.15, 1.1, 1.05, 0.95, 0.5, 0.45])


def history(counts: np.ndarray, *, without: tuple[int, ...] = ()) -> DailyCounts:
    """Counts of consecutive days from a Monday on, some days missing."""
    kept = [k for k in range(len(counts)) if k not in without]
    days = tuple(MONDAY + timedelta(days=k) for k in kept)
    tasks = tuple(f"task{j}" for j in range(counts.shape[1]))
    return DailyCounts(days, tasks, counts[kept].astype(np.int64))


def month(seed: int, days: int) -> np.ndarray:
    """Six tasks with a weekly season, a wandering level and more than Poisson noise."""
    rng = np.random.default_rng(seed)
    level = np.exp(np.cumsum(rng.normal(0, 0.02, days)))
    mean = rng.lognormal(5, 0.8, 6) * WEEK[np.arange(days) % 7, None] * level[:, None]
    return rng.poisson(mean * rng.gamma(100, 0.01, mean.shape))


@pytest.fixture(scope="module")
def nights() -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool]]:
    """Actual counts, forecast, naive forecast, covered tasks and covered total of 6 × 10 nights."""
    rows = []
    for seed in range(6):
        counts = month(seed, 42)
        for k in range(30, 40):
            known = history(counts[:k])
            prediction = forecast(known, MONDAY + timedelta(days=k))
            inside = (counts[k] >= prediction.lower) & (counts[k] <= prediction.upper)
            total = prediction.total[1] <= counts[k].sum() <= prediction.total[2]
            rows.append((counts[k], prediction.expected, seasonal_naive(known.calendar(), 1), inside, total))
    return rows


def test_the_winner_beats_the_same_weekday_naive(nights) -> None:
    """With weekly seasonality the chosen model has a lower WAPE than last week's count."""
    actual, chosen, naive = (np.array([row[k] for row in nights]) for k in range(3))
    assert np.abs(actual - chosen).sum() < 0.9 * np.abs(actual - naive).sum()


def test_intervals_cover_what_they_say(nights) -> None:
    """Intervals at 80 % hold 70–90 % of what comes, by task and in total."""
    assert 0.7 <= np.mean([row[3].mean() for row in nights]) <= 0.9
    assert 0.7 <= np.mean([row[4] for row in nights]) <= 0.9


def test_candidates_by_hand() -> None:
    """On a pure weekly pattern all seasonal candidates give next week's value exactly."""
    calendar = np.tile(np.arange(10.0, 80.0, 10.0)[:, None], (4, 1))
    for candidate in (same_weekday, seasonal_naive, holt_winters):
        assert candidate(calendar, 1) == pytest.approx([10.0])
        assert candidate(calendar, 3) == pytest.approx([30.0])


def test_recency_weights_by_hand() -> None:
    """Three Mondays 1, 2, 3 weigh 0.75², 0.75, 1."""
    calendar = np.full((21, 1), 99.0)
    calendar[[0, 7, 14], 0] = 1, 2, 3
    weights = np.array([0.75**2, 0.75, 1])
    assert same_weekday(calendar, 1) == pytest.approx([weights @ [1, 2, 3] / weights.sum()])


def test_no_history_expects_nothing_and_says_so() -> None:
    """Zero days end in a defined forecast, not an error."""
    prediction = forecast(history(np.empty((0, 2))), MONDAY)
    assert prediction.method == "no_history"
    assert prediction.expected.tolist() == [0, 0]
    assert prediction.total == (0, 0, 0)


@pytest.mark.parametrize("days", [1, 2, 5, 9])
def test_cold_start_forecasts_the_recent_mean_with_a_wide_interval(days: int) -> None:
    """A few days are enough for a forecast; there is nothing yet to choose a model by."""
    counts = np.full((days, 2), (100, 40))
    prediction = forecast(history(counts), MONDAY + timedelta(days=days))
    assert prediction.expected == pytest.approx([100, 40])
    assert prediction.lower[0] <= 50 + 1e-9
    assert prediction.upper[0] >= 150
    if days < 9:
        assert prediction.method == "recent_mean"
        assert np.isnan(prediction.error)


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_missing_day_is_not_a_zero(name: str) -> None:
    """Holidays without a partition leave every candidate's forecast of a constant series alone."""
    gappy = history(np.full((35, 2), (70, 30)), without=(6, 13, 20, 21, 34))
    assert CANDIDATES[name](gappy.calendar(), 2) == pytest.approx([70, 30])


def test_a_gap_before_the_day_lengthens_the_horizon() -> None:
    """When the last days are missing, the weekday is still the right one."""
    counts = np.tile((100 * WEEK)[:, None], (5, 1))
    prediction = forecast(history(counts[:33]), MONDAY + timedelta(days=36))
    assert prediction.expected[0] == pytest.approx(115, abs=8)


def test_a_new_task_is_forecast_from_the_days_it_was_there() -> None:
    """Days before its first query do not drag a new task down."""
    counts = np.full((28, 2), 100)
    counts[:25, 1] = 0
    prediction = forecast(history(counts), MONDAY + timedelta(days=28))
    assert prediction.expected[1] == pytest.approx(100, abs=15)


def test_a_vanished_task_is_expected_to_bring_nothing() -> None:
    """Two weeks of silence end a task."""
    counts = np.full((42, 2), 100)
    counts[26:, 1] = 0
    prediction = forecast(history(counts), MONDAY + timedelta(days=42))
    assert prediction.expected.tolist()[1] == 0
    assert prediction.upper[1] == 0
    assert prediction.expected[0] == pytest.approx(100, abs=5)


def test_a_forecast_may_not_see_its_own_day() -> None:
    """A history that reaches the day is refused by name."""
    with pytest.raises(ProblemError, match="history must end before it, got 2026-01-07"):
        forecast(history(np.ones((3, 1))), MONDAY + timedelta(days=2))


def test_the_future_does_not_change_a_forecast() -> None:
    """What happened later is invisible to ``through``."""
    counts = month(3, 40)
    day = MONDAY + timedelta(days=30)
    early, late = forecast(history(counts[:30]), day), forecast(history(counts).through(day - timedelta(days=1)), day)
    assert early.expected.tolist() == late.expected.tolist()
    assert early.method == late.method


def test_score_by_hand() -> None:
    """WAPE counts unforeseen tasks as misses."""
    prediction = forecast(history(np.full((3, 2), (100, 50))), MONDAY + timedelta(days=3))
    result = score(prediction, {"task0": 110, "task1": 50, "stranger": 40})
    assert result.wape == pytest.approx(50 / 200)
    assert result.bias == pytest.approx(-50 / 200)
    assert result.unforeseen == 40
    assert result.covered == 1.0


def test_scenarios_hold_the_forecast() -> None:
    """Low, expected and high are the interval of the total; mixes keep the volume; equal seeds draw alike."""
    prediction = forecast(history(month(1, 40)), MONDAY + timedelta(days=40))
    demand = scenarios(prediction, 5, seed=3)
    volume = dict(zip(demand.names, demand.counts.sum(axis=1), strict=True))
    assert demand.weight.sum() == pytest.approx(1)
    assert (volume["expected"], volume["low"], volume["high"]) == pytest.approx(prediction.total)
    assert volume["mix 1"] == pytest.approx(prediction.total[0])
    assert demand.counts.tolist() == scenarios(prediction, 5, seed=3).counts.tolist()
    assert scenarios(prediction, 1, seed=3).counts[0] == pytest.approx(prediction.expected)


def test_a_sample_stands_for_the_whole_demand() -> None:
    """Weights sum to each scenario's volume, also when a task has no query to stand for it."""
    prediction = forecast(history(np.full((3, 3), (100, 50, 10))), MONDAY + timedelta(days=3))
    demand = scenarios(prediction, 3, seed=0)
    tasks = ["task0"] * 50 + ["task1"] * 50
    rows = draw_sample(tasks, prediction.expected, prediction.tasks, size=30, seed=1)
    weight = represent(demand, [tasks[row] for row in rows])
    assert len(rows) == pytest.approx(28, abs=2)
    assert weight.sum(axis=1) == pytest.approx(demand.counts.sum(axis=1))
    assert rows.tolist() == draw_sample(tasks, prediction.expected, prediction.tasks, size=30, seed=1).tolist()


def test_a_library_s_model_competes_and_reads_gaps_as_unknown() -> None:
    """statsmodels' structural model is among the candidates; a missing day does not move its forecast of a pattern."""
    pattern = np.tile((100 * WEEK)[:, None], (6, 2)) * (1, 0.4)
    known = history(pattern, without=(10, 11, 24))
    prediction = forecast(known, MONDAY + timedelta(days=42))
    assert np.isfinite(prediction.errors["structural"])
    assert CANDIDATES["structural"](known.calendar(), 1) == pytest.approx([110, 44], rel=0.02)


def test_the_library_s_model_says_when_it_cannot_tell() -> None:
    """Below two whole weeks, and of nothing, it leaves the field to the others."""
    assert np.isnan(CANDIDATES["structural"](np.full((13, 2), 5.0), 1)).all()
    assert np.isnan(CANDIDATES["structural"](np.zeros((21, 2)), 1)).all()
