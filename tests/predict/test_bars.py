"""The bars of prediction on the public outcomes: slow, and only where the file is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from routing_core.bench.predict import SEEDS, bench_predict, read_labels

pytestmark = [pytest.mark.big, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def found(routerbench_file: Path) -> dict[str, Any]:
    return bench_predict(routerbench_file, seeds=SEEDS)


def test_the_default_is_good_and_better_than_what_it_replaces(found: dict[str, Any]):
    assert found["default_quality"] >= 0.78
    assert found["vs_knn5_point_pct"] >= 9
    assert found["vs_paper_knn40_q10_pct"] >= 1


def test_what_robustness_buys_a_weak_point_predictor(found: dict[str, Any]):
    assert found["knn5_q10_vs_point_pct"] >= 1.5
    assert found["knn5_shrunk_vs_point_pct"] >= 6.5


@pytest.mark.xfail(reason="missed: +4.0 % measured, the bar is +4.5 % (tests/benchmarks/predict.md)", strict=True)
def test_the_default_beats_the_means_by_its_bar(found: dict[str, Any]):
    assert found["vs_model_means_pct"] >= 4.5


def test_bagging_alone_lifts_knn5_by_its_bar(found: dict[str, Any]):
    """Over samples of half the log; over samples as large as the log it comes to the bar give or take its error."""
    assert found["knn5_bagged_by_halves_vs_point_pct"] >= 3.5
    assert found["intervals_95"]["knn5_bagged_vs_point_pct"][1] >= 3.5


@pytest.mark.parametrize("order", ["", "_by_task"])
@pytest.mark.parametrize(("level", "most"), [("95", 0.07), ("99", 0.03)])
def test_budgets_hold_as_often_as_promised(found: dict[str, Any], order: str, level: str, most: float):
    """Met if the 95 % interval reaches below the bar."""
    assert found["intervals_95"][f"over_budget_share_{level}{order}"][0] <= most


def test_estimates_are_calibrated_even_where_chosen(found: dict[str, Any]):
    assert found["ece"] <= 0.05
    assert abs(found["selected_optimism"]) <= 0.02


@pytest.mark.parametrize("logging", ["uniform", "skewed"])
def test_partial_logs_beat_the_means_of_the_same_logs(found: dict[str, Any], logging: str):
    assert found[f"partial_{logging}_vs_means_pct"] >= 0


def test_rows_with_missing_scores_are_left_out(routerbench_file: Path):
    labels, prices = read_labels(routerbench_file)
    assert labels.complete
    assert labels.seen.all()
    assert prices.shape == (len(labels.models), 2)
