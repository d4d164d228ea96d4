"""The helpers of this folder, and docker-compose.yml's reader, are modules beside the tests."""

from __future__ import annotations

import shutil
import sys
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "deployment"))
sys.path.insert(0, str(Path(__file__).parent))

from results import NIGHTS, copy_rows, current
from undisturbed import BUDGETS, Wanted, options

from routing_core.records.catalog import Catalog
from routing_core.settings import PROJECT_ROOT, Settings, load_settings
from routing_core.steps import prepare, route
from routing_core.steps.allocate import allocate
from routing_core.steps.retrain import retrain
from routing_core.store import database
from routing_core.store.catalog import read_catalog, write_catalog
from routing_core.store.files import list_partition
from routing_core.store.writing import write_partition

_SIZE = prepare.WorkloadSize(days=5, queries_per_day=60, backlog_per_day=24, tonight=30, parts=1, broken=3)


def _settings(home: Path) -> Settings:
    return load_settings(
        home=home, dsn="", catalog=None, outcomes="", backlog="", batch_minutes=240.0, chunks=2, carry_over_days=7
    )


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with few models and two short nights in several files each, learnt from and allocated for once."""
    home = tmp_path_factory.mktemp("tiny")
    models = read_catalog(PROJECT_ROOT / "config" / "catalog.yaml").models
    write_catalog(Catalog(models[:1] + models[-2:]), home / "config" / "catalog.yaml")
    settings = _settings(home)
    prepare.init_db(settings)
    prepare.make_workload(home, NIGHTS[-1], settings, _SIZE)
    for night in NIGHTS:
        (only,) = list_partition(settings.backlog_root, night)
        table = pq.read_table(Path(settings.backlog_root) / f"dt={night}" / only.name, partitioning=None)
        write_partition(settings.backlog_root, night, table, parts=3)
    retrain(NIGHTS[0] - timedelta(days=1), settings, run_key="world")
    for night in NIGHTS:
        allocate(night - timedelta(days=1), settings, run_key="world")
    database.engine(settings).dispose()
    return home


@pytest.fixture
def tiny_world(tiny_home: Path, home: Path) -> Settings:
    """Settings on a copy of it, with the results in SQLite."""
    shutil.copytree(tiny_home, home, dirs_exist_ok=True)
    return _settings(home)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_tiny_world(request: pytest.FixtureRequest, tiny_world: Settings) -> Settings:
    """The same on each kind of results database in turn."""
    if request.param == "sqlite":
        return tiny_world
    empty: Settings = request.getfixturevalue("postgres_settings")
    settings = tiny_world.model_copy(update={"dsn": empty.dsn})
    copy_rows(tiny_world, settings)
    return settings


@pytest.fixture(scope="session")
def undisturbed(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Wanted:
    """The nights by themselves and chained, with either budget, and nothing in their way."""
    found = {}
    for carry_over in ("none", "chained"):
        for budget in BUDGETS:
            home = tmp_path_factory.mktemp("undisturbed") / "home"
            shutil.copytree(tiny_home, home)
            settings = _settings(home)
            for dt in NIGHTS:
                route.route(dt, settings, run_key="undisturbed", options=options(budget, carry_over))
            found[carry_over, budget] = current(settings)
            database.engine(settings).dispose()
    return found
