"""The allocation benchmarks themselves: what they report, and that they report it again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from routing_core.bench.allocate import TIERS, bench_allocate
from routing_core.bench.churn import bench_churn
from routing_core.errors import ContractError


def wide_file(folder: Path) -> Path:
    """A small wide table: the word in the prompt decides which open model is right; the API one costs too much."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, 240)
    frame = pd.DataFrame({"prompt": [f"{('sums', 'poems')[kind]} number {row}" for row, kind in enumerate(kinds)]})
    skill = {"mistralai/mistral-7b-chat": (0.9, 0.1), "WizardLM/WizardLM-13B-V1.2": (0.2, 0.9), "dear": (0.95, 0.95)}
    for name, by_kind in skill.items():
        frame[name] = (rng.random(240) < np.array(by_kind)[kinds]).astype(float)
        frame[f"{name}|total_cost"] = 1e-2 if name not in TIERS else 1e-4
    path = folder / "wide.csv"
    frame.to_csv(path, index=False)
    return path


def test_every_cell_is_reported_and_reproduced(tmp_path: Path) -> None:
    """One cell a GPU budget, budget and baseline, the same on a second run."""
    arguments = {"gpus": (8,), "budgets": (3e-4,), "seeds": 2}
    first = bench_allocate(wide_file(tmp_path), **arguments)
    assert {cell["baseline"] for cell in first["cells"]} == {"uniform", "demand_proportional", "greedy", "all_on_best"}
    assert all(0 < cell["quality"] < 1 for cell in first["cells"])
    assert bench_allocate(wide_file(tmp_path), **arguments) == first


def test_a_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    """The message names the file and what it lacks."""
    path = tmp_path / "other.csv"
    pd.DataFrame({"prompt": ["a"], "score": [1.0]}).to_csv(path, index=False)
    with pytest.raises(ContractError, match=r"other\.csv: a wide outcomes table needs prompt"):
        bench_allocate(path)


@pytest.mark.big
@pytest.mark.timeout(1800)
def test_stability_saves_changes_at_little_loss() -> None:
    """Over a month, hysteresis changes fewer instances than the same optimiser without, for at most 0.2 %."""
    report = bench_churn(30, seed=0)
    assert report["changes_stable"] < report["changes_free"]
    assert report["loss_pct"] <= 0.2
