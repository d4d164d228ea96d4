"""The solver's benchmark: small tables of it, and that batches can be measured anew without nights."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing_core.bench.solver import BATCH_COLUMNS, bench_batches, bench_exact, write_results


@pytest.fixture(scope="module")
def tables() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    return bench_batches(4, 3, ("per_model",)), [bench_exact(4, 2)]


def test_batches_are_measured_against_both_rivals(tables) -> None:
    """Every column is there, ratios are of the times beside them, and what was solved is feasible to the gap asked."""
    (row,), (exact,) = tables
    assert set(BATCH_COLUMNS) == set(row)
    assert row["feasible"]
    assert row["gap_worst"] <= 5e-3
    assert row["scip_single"] == pytest.approx(row["ms_cvxpy_scip"] / row["ms_single"], rel=0.05)
    assert exact["proven"] == exact["batches"] == 2


def test_batches_measured_anew_leave_the_nights_that_are_kept(tables, tmp_path: Path) -> None:
    batches, exact = tables
    path = tmp_path / "solver.md"
    write_results(path, [{"family": "a night", "seconds": 1.5}], batches, exact, "routing bench solver")
    first = path.read_text()
    write_results(path, None, [{**batches[0], "family": "anew"}], exact, "routing bench solver")
    second = path.read_text()
    assert "| a night | 1.5 |" in second
    assert "anew" in second
    assert "anew" not in first
    assert first.partition("## Batches")[0] == second.partition("## Batches")[0]
