"""A small synthetic world, made and learnt from once, to be copied for each test."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare
from routing_core.steps.allocate import allocate
from routing_core.steps.retrain import retrain
from routing_core.store import database
from routing_core.store.tables import metadata

TONIGHT = date(2026, 11, 22)
BEFORE = date(2026, 11, 21)
SIZE = prepare.WorkloadSize(days=8, queries_per_day=150, tonight=400, parts=4, broken=9)


@pytest.fixture(scope="session")
def learnt_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a workload, a predictor of each day and the allocation for tonight, in SQLite."""
    home = tmp_path_factory.mktemp("world")
    settings = load_settings(home=home, dsn="", catalog=None, outcomes="", backlog="")
    prepare.init_db(settings)
    prepare.make_workload(home, TONIGHT, settings, SIZE)
    retrain(BEFORE, settings, run_key="world")
    allocate(BEFORE, settings, run_key="world")
    retrain(TONIGHT, settings, run_key="world")
    database.engine(settings).dispose()
    return home


@pytest.fixture
def world(learnt_world: Path, home: Path) -> Settings:
    """Settings on a copy of the learnt world, with a budget and capacities that bind."""
    shutil.copytree(learnt_world, home, dirs_exist_ok=True)
    return load_settings(home=home, budget_usd=0.05, batch_minutes=240.0, chunks=3)


@pytest.fixture
def postgres_world(world: Settings, postgres_settings: Settings) -> Settings:
    """The same world with its results in PostgreSQL."""
    settings = world.model_copy(update={"dsn": postgres_settings.dsn})
    with database.reading(world) as source, database.writing(settings) as target:
        for table in metadata.sorted_tables:
            if rows := source.execute(select(table)).mappings().all():
                target.execute(insert(table), [dict(row) for row in rows])
    return settings
