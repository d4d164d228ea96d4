"""Clusters of prompts, and a sample drawn to two mixes at once."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_core.allocate.clusters import cluster_history, learn_clusters
from routing_core.allocate.forecast import DailyCounts, forecast
from routing_core.allocate.scenarios import Grouping, as_batches, rake, represent, scenarios

MONDAY = date(2026, 1, 5)


def prompts(seed: int, sizes: tuple[int, ...]) -> np.ndarray:
    """Points around as many corners as there are sizes."""
    rng = np.random.default_rng(seed)
    corners = 10.0 * np.eye(len(sizes))
    return np.concatenate([corners[k] + rng.normal(0, 0.5, (n, len(sizes))) for k, n in enumerate(sizes)])


def demand_of(counts: tuple[int, ...], n: int = 3):
    days = tuple(MONDAY + timedelta(days=k) for k in range(14))
    tasks = tuple(f"task{j}" for j in range(len(counts)))
    known = DailyCounts(days, tasks, np.tile(np.array(counts, dtype=np.int64), (14, 1)))
    return scenarios(forecast(known, MONDAY + timedelta(days=14)), n, seed=0)


def test_groups_are_found_the_largest_first_and_found_again() -> None:
    """Three separate groups come out as they were made; the same seed gives the same clusters."""
    X = prompts(0, (30, 60, 45))
    clusters = learn_clusters(X, 3, seed=5)
    assert np.bincount(clusters.of(X)).tolist() == [60, 45, 30]
    assert learn_clusters(X, 3, seed=5).centres.tolist() == clusters.centres.tolist()
    assert clusters.counts(X, 1350).tolist() == [600, 450, 300]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_prompts_make_few_clusters(n: int) -> None:
    """No more clusters than distinct prompts, none of none."""
    assert len(learn_clusters(np.arange(2.0 * n).reshape(n, 2), 8, seed=0)) == n
    assert len(learn_clusters(np.ones((5, 2)), 8, seed=0)) == 1


def test_a_history_by_cluster_keeps_its_gaps() -> None:
    """Days whose prompts could not be read are unknown, not empty."""
    clusters = learn_clusters(prompts(1, (9, 8)), 2, seed=0)
    days = [MONDAY, MONDAY + timedelta(days=2)]
    known = cluster_history(clusters, {day: np.array([3, 4]) for day in days})
    assert np.isnan(known.calendar()[1]).all()
    assert known.tasks == ("1", "2")


def test_raking_by_hand() -> None:
    """Two tasks of 100 and 50; cluster 0 is to bring two thirds: odd and even queries weigh 2 to 1 in each task."""
    tasks = ["task0"] * 4 + ["task1"] * 4
    demand = demand_of((100, 50), 1)
    weight = rake(represent(demand, tasks), tasks, Grouping(np.arange(8) % 2, np.array([20.0, 10.0])))
    assert weight[0] == pytest.approx(np.array([100, 50, 100, 50, 50, 25, 50, 25]) / 3)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_raking_keeps_every_task_and_weighs_nobody_below_nothing(seed: int) -> None:
    """Whatever the clusters ask, task totals stay, and weights are finite and at least 0."""
    rng = np.random.default_rng(seed)
    demand = demand_of(tuple(rng.integers(1, 200, 3)))
    tasks = [f"task{j}" for j in rng.integers(0, 3, 12)]
    before = represent(demand, tasks)
    groups = Grouping(rng.integers(0, 4, 12), rng.integers(0, 3, 4) * 10.0)
    after = rake(before, tasks, groups)
    assert (after >= 0).all()
    assert np.isfinite(after).all()
    for task in set(tasks):
        mine = np.array(tasks) == task
        assert after[:, mine].sum(axis=1) == pytest.approx(before[:, mine].sum(axis=1))


def test_batches_stand_for_their_night() -> None:
    """In arrival mode a scenario is several drawn batches, each as large as the night it stands for."""
    demand, tasks = demand_of((600, 300)), ["task0"] * 20 + ["task1"] * 10
    weight = represent(demand, tasks)
    names, probability, drawn = as_batches(demand, weight, batches=9, draws=4, seed=1)
    assert names[0] == "expected, batch 1"
    assert len(names) == len(drawn) == 12
    assert probability.sum() == pytest.approx(1)
    assert drawn.sum(axis=1) == pytest.approx(np.repeat(weight.sum(axis=1), 4))
    assert drawn[0] / (900 / 100) == pytest.approx(np.rint(drawn[0] / 9))
    assert (drawn == as_batches(demand, weight, 9, 4, seed=1)[2]).all()
