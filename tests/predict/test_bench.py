"""The prediction benchmark on files nobody cleaned: what is missing is left out or unknown, and nothing falls over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_world import MODELS, PRICES, make_outcomes

from routing_core.backtest.history import read_history
from routing_core.bench import predict_split
from routing_core.bench.predict import GAINS, _report
from routing_core.bench.predict_split import Split, headline
from routing_core.predict.labels import tabulate
from routing_core.predict.recipe import DEFAULT


@pytest.fixture
def half_seen(monkeypatch: pytest.MonkeyPatch) -> Split:
    """A log of one answer a query, and none of the middle model in what is learnt from."""
    monkeypatch.setattr(predict_split, "DEFAULT", replace(DEFAULT, trees=4))
    outcomes = make_outcomes(1000, seed=5, logged="one")
    labels = tabulate(outcomes, MODELS, half_life_days=np.inf, max_importance=10)
    learnt = ~labels.seen[:, 1] & (np.arange(len(labels)) % 4 != 0)
    return Split(labels.take(np.flatnonzero(learnt)), labels.take(np.flatnonzero(~learnt)), PRICES, 0)


def test_a_model_nobody_asked_is_planned_with_and_unknown_spending_is_not_called_kept(half_seen: Split):
    assert not half_seen.train.seen[:, 1].any()
    figures = headline(half_seen)
    assert np.isnan(figures["over_budget_share_95"])
    assert 0 < figures["default_quality"] <= 1
    report = _report([figures, figures], GAINS)
    assert report["over_budget_share_95"] is None
    json.dumps(report, allow_nan=False)


def test_a_gain_is_a_ratio_of_means_and_its_interval_is_paired_by_split():
    """Splits differ by far more than the two predictors do; on each, one is a tenth better."""
    rows = [{"ours": 1.1 * quality, "theirs": quality} for quality in (0.2, 0.5, 0.8)]
    report = _report(rows, {"gain": ("ours", "theirs")})
    assert report["gain"] == pytest.approx(10)
    assert report["intervals_95"]["gain"] == pytest.approx([10, 10])
    assert report["standard_errors"]["gain"] == pytest.approx(0, abs=1e-9)
    low, high = report["intervals_95"]["theirs"]
    assert low < 0.4
    assert high > 0.6


def _wide(tmp_path: Path, score: np.ndarray) -> Path:
    n, m = score.shape
    names = [f"model-{j}" for j in range(m)]
    columns: dict[str, object] = {
        "sample_id": [f"s{i:04d}" for i in range(n)],
        "prompt": [f"question {i}" for i in range(n)],
        "eval_name": ["task"] * n,
    }
    columns |= {name: pa.array(score[:, j]) for j, name in enumerate(names)}
    columns |= {f"{name}|total_cost": np.full(n, 1e-4) for name in names}
    pq.write_table(pa.table(columns), tmp_path / "wide.parquet")
    return tmp_path / "wide.parquet"


def test_a_model_without_scores_does_not_cost_the_file_its_rows(tmp_path: Path):
    score = np.random.default_rng(0).random((60, 4))
    score[:, 1] = np.nan
    score[5, 3] = np.nan
    history = read_history(_wide(tmp_path, score))
    assert history.left_out == ("model-1",)
    assert history.labels.models == ("model-0", "model-2", "model-3")
    assert history.rejected == 1
    assert history.labels.complete
    np.testing.assert_allclose(history.labels.quality, np.delete(score, 5, axis=0)[:, [0, 2, 3]], rtol=1e-6)


def test_a_few_gaps_cost_rows_and_no_model(tmp_path: Path):
    score = np.random.default_rng(1).random((60, 4))
    score[:6, 2] = np.nan
    history = read_history(_wide(tmp_path, score))
    assert history.left_out == ()
    assert len(history.labels) == 54
