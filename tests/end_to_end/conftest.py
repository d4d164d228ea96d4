"""A real Airflow, one for the session: scheduler, DAG processor, triggerer and API server, on SQLite and loopback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from routing_core.demo.airflow import LocalAirflow, local_airflow
from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare
from routing_core.steps.allocate import allocate
from routing_core.steps.retrain import retrain
from routing_core.store import database

DAY_BEFORE = date(2026, 11, 19)
LAST_DAY = date(2026, 11, 22)
SIZE = prepare.WorkloadSize(days=8, queries_per_day=100, tonight=200, parts=4, broken=5)
ENVIRONMENT = {
    "NIGHTSHIFT_BUDGET_USD": "0.05",
    "NIGHTSHIFT_BATCH_MINUTES": "240",
    "NIGHTSHIFT_CHUNKS": "2",
    "NIGHTSHIFT_WAIT_POLL_SECONDS": "0.5",
    "NIGHTSHIFT_WAIT_LIMIT_MINUTES": "15",
}


@pytest.fixture(scope="session")
def living_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a workload whose history is learnt from and allocated for until the day before the nights."""
    home = tmp_path_factory.mktemp("living")
    settings = load_settings(home=home, dsn="", catalog=None, outcomes="", backlog="")
    prepare.init_db(settings)
    prepare.make_workload(home, LAST_DAY, settings, SIZE)
    retrain(DAY_BEFORE, settings, run_key="world")
    allocate(DAY_BEFORE, settings, run_key="world")
    database.engine(settings).dispose()
    return home


@pytest.fixture(scope="session")
def living(living_home: Path) -> Settings:
    """Settings as Airflow's tasks have them."""
    return load_settings(home=living_home, dsn="", catalog=None, outcomes="", backlog="")


@pytest.fixture(scope="session")
def airflow(living_home: Path) -> Iterator[LocalAirflow]:
    """Airflow, up and healthy; nothing of it is left after the session."""
    with local_airflow(living_home, extra=ENVIRONMENT) as running:
        yield running
