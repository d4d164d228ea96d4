"""An Airflow with two planned nights in its results, and a browser that looks at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from routing_core.demo.airflow import COMPONENTS, AirflowError, LocalAirflow, local_airflow
from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare
from routing_core.steps.allocate import allocate
from routing_core.steps.retrain import retrain
from routing_core.steps.route import RouteOptions, route
from routing_core.steps.settle import settle
from routing_core.store import database

sys.path.insert(0, str(Path(__file__).parent))

from nightshift_site import NIGHTS, RUN, TONIGHT, Site

SIZE = prepare.WorkloadSize(days=9, queries_per_day=120, tonight=400, parts=4, broken=9)


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two nights planned with a budget and capacities that bind, one of them settled."""
    home = tmp_path_factory.mktemp("planned")
    settings = load_settings(
        home=home, dsn="", catalog=None, outcomes="", backlog="", budget_usd=0.05, batch_minutes=120.0, chunks=2
    )
    prepare.init_db(settings)
    prepare.make_workload(home, TONIGHT, settings, SIZE)
    retrain(date(2026, 11, 20), settings, run_key="cli/0")
    allocate(date(2026, 11, 20), settings, run_key="cli/0")
    for dt in NIGHTS:
        retrain(dt, settings, run_key=f"cli/{dt}")
        allocate(dt, settings, run_key=f"cli/{dt}")
        # So little money tonight that not everybody can be served.
        options = RouteOptions(budget_usd=0.006) if dt == TONIGHT else RouteOptions()
        route(dt, settings, run_key=f"route_backlog/{RUN.format(dt=dt)}", options=options)
    log_answers(settings, NIGHTS[0])
    settle(NIGHTS[0], settings)
    database.engine(settings).dispose()
    return settings


def log_answers(settings: Settings, dt: date) -> None:
    """Outcomes of a night's assignments, logged on the day after: a little worse and dearer than predicted."""
    with database.reading(settings) as connection:
        query = text("SELECT a.* FROM assignments a JOIN nights n ON n.run_id = a.run_id WHERE n.dt = :dt")
        plan = connection.execute(query.bindparams(dt=dt)).all()
    directory = Path(settings.outcomes_root) / f"dt={dt + timedelta(days=1)}"
    directory.mkdir(parents=True, exist_ok=True)
    moment = datetime(dt.year, dt.month, dt.day, 12, tzinfo=UTC) + timedelta(days=1)
    columns = {
        "query_id": [row.query_id for row in plan],
        "task": [row.task for row in plan],
        "prompt": ["?" for _ in plan],
        "model": [row.model for row in plan],
        "quality": [max(0.0, row.mean_quality - 0.03) for row in plan],
        "input_tokens": [1 for _ in plan],
        "output_tokens": [1 for _ in plan],
        "cost_usd": [1.1 * row.cost_usd for row in plan],
        "logged_at": pa.array([moment for _ in plan], pa.timestamp("us", "UTC")),
    }
    pq.write_table(pa.table(columns), directory / "answers.parquet")


@pytest.fixture(scope="session")
def site(planned: Settings) -> Iterator[Site]:
    """The page behind Airflow's login: a DAG processor, an API server, an administrator and a user without a role."""
    parts = {name: COMPONENTS[name] for name in ("api-server", "dag-processor")}
    users = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,nobody:"}
    with local_airflow(planned.home, components=parts, extra=users, ready=_knows_the_dag, patience=300.0) as airflow:
        for dt in NIGHTS:
            body: dict[str, Any] = {
                "dag_run_id": RUN.format(dt=dt),
                "logical_date": None,
                "conf": {"dt": dt.isoformat()},
            }
            airflow.request("POST", "/api/v2/dags/route_backlog/dagRuns", body)
        yield Site(airflow, planned)


def _knows_the_dag(airflow: LocalAirflow) -> bool:
    with suppress(AirflowError, OSError):
        return bool(airflow.request("GET", "/api/v2/dags/route_backlog"))
    return False
