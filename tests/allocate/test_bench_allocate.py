"""The allocation benchmarks themselves: what they report, and that they report it again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from routing_core.bench.allocate import bench_allocate
from routing_core.bench.allocate_size import bench_size
from routing_core.bench.churn import DRIFTS, month
from routing_core.errors import ContractError
from routing_core.workload.tiers import fleet_catalog, parameters_in


def wide_file(folder: Path) -> Path:
    """A small wide table: the word in the prompt decides which open model is right; the API one costs too much."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, 240)
    prompts = [f"{('sums', 'poems')[kind]} number {row}" for row, kind in enumerate(kinds)]
    frame = pd.DataFrame({"sample_id": [f"s.{row}" for row in range(240)], "prompt": prompts, "eval_name": "any"})
    skill = {"mistralai/mistral-7b-chat": (0.9, 0.1), "WizardLM/WizardLM-13B-V1.2": (0.2, 0.9), "dear": (0.95, 0.95)}
    for name, by_kind in skill.items():
        frame[name] = (rng.random(240) < np.array(by_kind)[kinds]).astype(float)
        frame[f"{name}|total_cost"] = 1e-2 if name == "dear" else 1e-4
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
    with pytest.raises(ContractError, match=r"other\.csv must have column 'sample_id'"):
        bench_allocate(path)


def test_a_file_with_too_few_rows_is_refused(tmp_path: Path) -> None:
    """Rows without every score are left out, and what is left must be enough to split."""
    path = wide_file(tmp_path)
    pd.read_csv(path).head(19).to_csv(path, index=False)
    with pytest.raises(ContractError, match=r"must have at least 20 rows .* has 19"):
        bench_allocate(path)


def test_tiers_follow_the_size_in_the_name() -> None:
    """Any table's open models get the paper's tiers by their size; names without one answer behind an API."""
    sizes = {"meta/llama-2-70b-chat": 70, "mixtral-8x7b": 56, "Yi-34B-Chat": 34, "Qwen2.5-1.5B": 1.5}
    assert {name: parameters_in(name) for name in sizes} == sizes
    assert all(parameters_in(name) is None for name in ("gpt-4-1106-preview", "claude-v2", "phi-3b4", "4bit-thing"))
    catalog = fleet_catalog((*sizes, "gpt-4"), np.ones((3, 5)))
    assert [model.gpus_per_instance for model in catalog] == [8, 4, 4, 1, 0]
    assert [model.concurrency_per_instance for model in catalog] == [16, 8, 8, 1, 0]


def test_a_table_of_nameless_models_still_has_a_fleet() -> None:
    """Without sizes, the cheaper half is hosted, larger the dearer."""
    catalog = fleet_catalog(("a", "b", "c", "d"), np.array([[4.0, 1.0, 2.0, 3.0]]))
    assert [model.gpus_per_instance for model in catalog] == [0, 1, 4, 0]


@pytest.mark.big
@pytest.mark.timeout(1800)
def test_stability_saves_changes_at_little_loss() -> None:
    """Over a restless month, hysteresis changes fewer instances than the same optimiser without, for at most 0.2 %."""
    report = month(30, 0, DRIFTS["restless"])
    assert 0 < report["changes_stable"] < report["changes_free"]
    assert report["loss_pct"] <= 0.2


def test_a_month_is_reported_and_reproduced() -> None:
    """The churn report counts both ways of allocating, the same on a second run."""
    report = month(3, 0, DRIFTS["lively"])
    assert report.keys() >= {"changes_stable", "changes_free", "loss_pct", "changed_nights_free"}
    assert month(3, 0, DRIFTS["lively"]) == report


def test_an_allocation_is_timed_at_its_size() -> None:
    """The size benchmark proves its gap and says what it measured."""
    report = bench_size(200, 6, 2)
    assert report["status"] == "optimal"
    assert report["gap"] <= 2e-4
    assert (report["queries"], report["models"], report["scenarios"]) == (200, 6, 2)
