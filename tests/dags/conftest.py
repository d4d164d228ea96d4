"""An Airflow of the tests' own. Its environment stands before anything imports Airflow."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DAGS = REPOSITORY / "dags"

# Always anew: an Airflow that the developer runs, or that another test worker has, must not be touched.
_home = tempfile.mkdtemp(prefix="nightshift-airflow-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ |= {
    "AIRFLOW_HOME": _home,
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home}/airflow.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}

# ruff: noqa: E402
from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare
from routing_core.steps.allocate import allocate
from routing_core.steps.retrain import retrain
from routing_core.store import database

TONIGHT = date(2026, 11, 22)
BEFORE = date(2026, 11, 21)
SIZE = prepare.WorkloadSize(days=8, queries_per_day=100, tonight=300, parts=4, broken=5)


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Airflow's own database, empty."""
    from airflow.utils import db

    db.initdb()


@pytest.fixture
def load_dag(airflow_db: None) -> Callable[[str], Any]:
    """Load a DAG from its file, each time anew: params set for one run would leak into the next."""
    from airflow.dag_processing.dagbag import BundleDagBag

    def load(dag_id: str) -> Any:
        bag = BundleDagBag(DAGS, bundle_path=DAGS, bundle_name="dags-folder")
        assert not bag.import_errors, bag.import_errors
        return bag.dags[dag_id]

    return load


@pytest.fixture
def run_dag(load_dag: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a DAG in this process, by hand or as the scheduler would for a night, without pauses between retries."""
    from airflow.models import dagrun

    create = dagrun.get_or_create_dagrun

    def run(
        dag_id: str, conf: dict[str, Any] | None = None, *, run_type: str = "manual", day: date | None = None
    ) -> Any:
        def create_as(**kwargs: Any) -> Any:
            made = create(**kwargs)
            made.run_type = run_type
            kwargs["session"].commit()
            return made

        monkeypatch.setattr(dagrun, "get_or_create_dagrun", create_as)
        dag = load_dag(dag_id)
        for task in dag.tasks:
            _without_pauses(task)
        return dag.test(logical_date=day and _end_of(day), run_conf=conf or {})

    return run


def _without_pauses(task: Any) -> None:
    from datetime import timedelta

    task.retry_delay = timedelta(0)
    task.retry_exponential_backoff = 0


def _end_of(day: date) -> datetime:
    """The logical date that `DAG.test` turns into the data interval of a day: it infers the one that has ended."""
    from datetime import UTC, timedelta

    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


@pytest.fixture(scope="session")
def learnt_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a workload, a champion and the allocation for tonight; tonight itself is still to come."""
    home = tmp_path_factory.mktemp("learnt")
    settings = load_settings(home=home, dsn="", catalog=None, outcomes="", backlog="")
    prepare.init_db(settings)
    prepare.make_workload(home, TONIGHT, settings, SIZE)
    retrain(BEFORE, settings, run_key="world")
    allocate(BEFORE, settings, run_key="world")
    database.engine(settings).dispose()
    return home


@pytest.fixture
def tonight_home(learnt_home: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings on a copy of it, with a budget that binds; the same for whoever reads them from the environment."""
    shutil.copytree(learnt_home, home, dirs_exist_ok=True)
    for name, value in {
        "BUDGET_USD": "0.05",
        "BATCH_MINUTES": "240",
        "CHUNKS": "2",
        "WAIT_LIMIT_MINUTES": "0.02",
        "WAIT_POLL_SECONDS": "0.2",
    }.items():
        monkeypatch.setenv(f"NIGHTSHIFT_{name}", value)
    return load_settings()
