"""A home with the night of the documents, from within which their commands are typed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from routing_core.bench import night
from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare
from routing_core.steps.allocate import allocate
from routing_core.steps.retrain import retrain
from routing_core.steps.route import route
from routing_core.store import database

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "backtest")]

from documents import BEFORE, NIGHT  # noqa: E402
from small_histories import trade_off_world, write_wide  # noqa: E402

SIZE = prepare.WorkloadSize(days=8, queries_per_day=100, tonight=200, parts=2, broken=4)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the night of the documents planned twice, and the night before retrained and allocated."""
    home = tmp_path_factory.mktemp("documents")
    settings = load_settings(home=home, dsn="", catalog=None, outcomes="", backlog="", budget_usd=0.05)
    prepare.init_db(settings)
    prepare.make_workload(home, NIGHT, settings, SIZE)
    retrain(BEFORE, settings, run_key="docs")
    allocate(BEFORE, settings, run_key="docs")
    retrain(NIGHT, settings, run_key="docs")
    for key in ("a", "b"):
        route(NIGHT, settings, run_key=key)
    write_wide(home / "FILE.parquet", 700, *trade_off_world(700))
    database.engine(settings).dispose()
    return home


@pytest.fixture
def told(prepared: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings on a copy of that home."""
    shutil.copytree(prepared, home, dirs_exist_ok=True)
    monkeypatch.setenv("NIGHTSHIFT_BUDGET_USD", "0.05")
    monkeypatch.setenv("NIGHT", str(NIGHT))
    monkeypatch.setattr(night, "_HISTORY_PER_DAY", 60)  # what a measured night has learnt from
    monkeypatch.chdir(home)
    settings = load_settings()
    yield settings
    database.engine(settings).dispose()
