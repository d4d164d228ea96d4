"""An Airflow with three planned nights in its results, and a browser that looks at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from routing_core.demo.airflow import COMPONENTS, AirflowError, LocalAirflow, local_airflow
from routing_core.settings import Settings, load_settings
from routing_core.steps import prepare
from routing_core.steps.allocate import allocate
from routing_core.steps.retrain import retrain
from routing_core.steps.route import route
from routing_core.steps.settle import settle
from routing_core.store import database

sys.path.insert(0, str(Path(__file__).parent))

from nightshift_site import NIGHTS, RUN, TONIGHT, Site

SIZE = prepare.WorkloadSize(days=9, queries_per_day=120, tonight=400, parts=4, broken=9)
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Three nights planned with a budget and capacities that bind, the first one settled."""
    home = tmp_path_factory.mktemp("planned")
    settings = load_settings(
        home=home, dsn="", catalog=None, outcomes="", backlog="", budget_usd=0.05, batch_minutes=120.0, chunks=2
    )
    prepare.init_db(settings)
    prepare.make_workload(home, TONIGHT, settings, SIZE)
    retrain(date(2026, 11, 19), settings, run_key="cli/0")
    allocate(date(2026, 11, 19), settings, run_key="cli/0")
    for dt in NIGHTS:
        retrain(dt, settings, run_key=f"cli/{dt}")
        allocate(dt, settings, run_key=f"cli/{dt}")
        route(dt, settings, run_key=f"route_backlog/{RUN.format(dt=dt)}")
    settle(NIGHTS[0], settings)
    database.engine(settings).dispose()
    return settings


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


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
