"""Histories and a small backtest that several tests look at."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from routing_core.backtest.run import Backtest, Options, run_backtest

sys.path.insert(0, str(Path(__file__).parent))

from small_histories import QUICK, trade_off_world, write_wide


@pytest.fixture(scope="session")
def wide_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """700 queries with something to gain from routing."""
    return write_wide(tmp_path_factory.mktemp("wide") / "outcomes.parquet", 700, *trade_off_world(700))


@pytest.fixture(scope="session")
def small_backtest(wide_file: Path) -> Backtest:
    """One night of 350 queries, one budget."""
    return run_backtest(wide_file, Options(seeds=(0,), nights=1, budgets=(4e-4,), recipe=QUICK, jobs=1))
