"""Seven nights backfilled over Celery: Redis, PostgreSQL, every part of Airflow and two workers, one of them killed.

The environment is that of docker-compose.yml with the addresses of this machine put in, so what is proven here is what
the containers are told.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import compose
import pyarrow.parquet as pq
import pytest
from dotenv import dotenv_values
from results import Results, current, differences
from services import OwnPostgres, own_postgres, redis
from sqlalchemy import text

from routing_core.demo.airflow import COMPONENTS, LocalAirflow, TaskState, local_airflow
from routing_core.demo.environment import free_port
from routing_core.settings import Settings, load_settings
from routing_core.steps import deployment, prepare, route
from routing_core.steps.allocate import allocate
from routing_core.steps.retrain import retrain
from routing_core.store import database
from routing_core.store.database import reading, writing
from routing_core.store.files import list_partition
from routing_core.store.writing import write_partition

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]

LAST = date(2026, 11, 22)
NIGHTS = [LAST - timedelta(days=back) for back in reversed(range(7))]
DAY_BEFORE = NIGHTS[0] - timedelta(days=1)
SIZE = prepare.WorkloadSize(days=12, queries_per_day=80, tonight=100, parts=1, broken=4)
DAGS = ["route_backlog", "allocate_instances", "retrain_predictors"]
FILES = 4
PATIENCE = 900.0
CHOSEN = {
    "NIGHTSHIFT_BUDGET_USD": "0.01",
    "NIGHTSHIFT_BATCH_MINUTES": "240",
    "NIGHTSHIFT_CHUNKS": "2",
    "NIGHTSHIFT_WAIT_POLL_SECONDS": "1",
    "NIGHTSHIFT_WAIT_LIMIT_MINUTES": "20",
}
TABLE = compose.REPOSITORY / "tests" / "benchmarks" / "celery.md"


def wait_for(what: Callable[[], Any], *, pause: float = 0.5) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)
    return answer


def lay_out(home: Path) -> Settings:
    """A home whose nights have several files each, learnt from and allocated for until the day before the first."""
    settings = load_settings(
        home=home, dsn="", catalog=None, outcomes="", backlog="", budget_usd=0.01, batch_minutes=240.0, chunks=2
    )
    prepare.init_db(settings)
    prepare.make_workload(home, LAST, settings, SIZE)
    for night in NIGHTS:
        (only,) = list_partition(settings.backlog_root, night)
        file = Path(settings.backlog_root) / f"dt={night}" / only.name
        write_partition(settings.backlog_root, night, pq.read_table(file, partitioning=None), parts=FILES)
    return settings


def by_hand(settings: Settings, nights: list[date]) -> Results:
    """The same nights without Airflow, one after another."""
    for night in nights:
        for step in (retrain, allocate):
            step(night, settings, run_key="by hand")
        route.route(night, settings, run_key="by hand")
    return current(settings)


@dataclass
class Deployment:
    """What the test holds in hand."""

    airflow: LocalAirflow
    settings: Settings
    wanted: Results


@pytest.fixture(scope="module")
def wanted_and_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    """The undisturbed results of the seven nights, and a home where they are still to come."""
    undisturbed = lay_out(tmp_path_factory.mktemp("undisturbed"))
    for step in (retrain, allocate):
        step(DAY_BEFORE, undisturbed, run_key="day before")
    wanted = by_hand(undisturbed, NIGHTS)
    database.engine(undisturbed).dispose()
    return wanted, lay_out(tmp_path_factory.mktemp("celery")).home


def environment(env_file: Path, postgres: OwnPostgres, redis_port: int) -> dict[str, str]:
    """What a worker's container is told, with this machine's addresses."""
    variables = {name: value or "" for name, value in dotenv_values(env_file).items()}
    told: dict[str, str] = compose.read(variables)["services"]["worker"]["environment"]
    here = {
        r"@(airflow|results)-db:5432/(\w+)": rf"@/\2?host={postgres.sockets}",
        r"@redis:6379/": f"@127.0.0.1:{redis_port}/",
    }
    for pattern, replacement in here.items():
        told = {name: re.sub(pattern, replacement, value) for name, value in told.items()}
    # The driver of the tests finds its own folders, port and user.
    own = ("FOLDER", "AUTH_MANAGER", "API_SERVER_URL", "BASE_URL", "NIGHTSHIFT_HOME")
    told = {name: value for name, value in told.items() if not name.endswith(own)}
    return (
        told
        | CHOSEN
        | {
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(free_port()),
        }
    )


def worker(name: str, home: Path) -> list[str]:
    return [
        "celery",
        "worker",
        "--skip-serve-logs",
        "--celery-hostname",
        f"{name}@%h",
        "--pid",
        str(home / f"{name}.pid"),
    ]


@pytest.fixture(scope="module")
def deployed(wanted_and_home: tuple[Results, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    wanted, home = wanted_and_home
    env_file = tmp_path_factory.mktemp("env") / ".env"
    deployment.make_env(env_file, executor="celery", data=home)
    password = dotenv_values(env_file)["REDIS_PASSWORD"] or ""
    with own_postgres() as postgres, redis(password) as port:
        for name in ("airflow", "nightshift"):
            postgres.execute(f"CREATE ROLE {name} LOGIN SUPERUSER", f"CREATE DATABASE {name} OWNER {name}")
        told = environment(env_file, postgres, port)
        settings = load_settings(
            home=home, dsn=told["NIGHTSHIFT_DSN"], catalog=None, outcomes="", backlog="",
            budget_usd=0.01, batch_minutes=240.0, chunks=2,
        )  # fmt: skip
        prepare.init_db(settings)
        for step in (retrain, allocate):
            step(DAY_BEFORE, settings, run_key="day before")
        parts = {**COMPONENTS, "one": worker("one", home), "two": worker("two", home)}
        with local_airflow(home, extra=told, components=parts) as airflow:
            yield Deployment(airflow, settings, wanted)
        database.engine(settings).dispose()


@contextmanager
def assignments_held(settings: Settings) -> Iterator[None]:
    """Keep every writer of assignments waiting in the middle of its transaction; readers go on."""
    with writing(settings) as connection:
        connection.execute(text("LOCK TABLE assignments IN EXCLUSIVE MODE"))
        yield


def copying(settings: Settings) -> bool:
    """Whether somebody is in the middle of copying assignments, and waits."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'COPY%assignments%'"
    with reading(settings) as connection:
        return bool(connection.execute(text(waiting)).scalar_one())


def worker_of(airflow: LocalAirflow, task: TaskState) -> str | None:
    """The worker whose session a task's process is in."""
    try:
        session = os.getsid(task.pid or -1)
    except ProcessLookupError:
        return None
    return next((name for name in ("one", "two") if airflow.components[name].pid == session), None)


def kill_a_worker_that_writes(here: Deployment) -> str:
    """Kill a worker while one of its tasks is inside a chunk's transaction; its name."""

    def writing_somewhere() -> str | None:
        if not copying(here.settings):
            return None
        for run in here.airflow.runs("route_backlog"):
            for task in here.airflow.tasks("route_backlog", run["dag_run_id"]):
                if task.task_id == "write" and task.state == "running" and (found := worker_of(here.airflow, task)):
                    return found
        return None

    wait_for(lambda: copying_soon(here))
    with assignments_held(here.settings):
        victim: str = wait_for(writing_somewhere)
        here.airflow.kill(victim)
    return victim


def copying_soon(here: Deployment) -> bool:
    """Whether a night is solved, so that its chunks are written next; two nights are through already."""
    with reading(here.settings) as connection:
        statuses = [row.status for row in connection.execute(text("SELECT status FROM routing_runs"))]
    return statuses.count("current") >= 1


def backfill(airflow: LocalAirflow, dag_id: str, *options: str) -> None:
    dates = ("--from-date", str(NIGHTS[0]), "--to-date", str(LAST))
    done = airflow.command("backfill", "create", "--dag-id", dag_id, *dates, *options)
    assert done.returncode == 0, done.stderr


def ended(airflow: LocalAirflow, dag_id: str) -> list[dict[str, Any]] | None:
    """The runs of a DAG's backfill once none goes on."""
    runs = [run for run in airflow.runs(dag_id) if run["run_type"] == "backfill"]
    over = len(runs) == len(NIGHTS) and all(run["state"] in {"success", "failed"} for run in runs)
    return runs if over else None


def test_seven_nights_over_two_workers_of_which_one_is_killed_end_as_undisturbed(deployed: Deployment):
    airflow = deployed.airflow
    for dag_id in DAGS:
        backfill(airflow, dag_id, *(() if dag_id == "route_backlog" else ("--max-active-runs", "1")))
        airflow.pause(dag_id, paused=False)
    victim = kill_a_worker_that_writes(deployed)
    for dag_id in DAGS:
        for run in wait_for(lambda dag_id=dag_id: ended(airflow, dag_id), pause=2.0):
            failed = [task for task in airflow.tasks(dag_id, run["dag_run_id"]) if task.state == "failed"]
            logs = [airflow.log_tail(dag_id, run["dag_run_id"], task) for task in failed]
            assert run["state"] == "success", "\n".join(logs)
    assert airflow.components[victim].poll() is not None
    retried = [task for task in all_tasks(airflow) if task["try_number"] > 1]
    assert "write" in {task["task_id"] for task in retried}
    assert differences(current(deployed.settings), deployed.wanted) == []
    with reading(deployed.settings) as connection:
        statuses = connection.execute(text("SELECT status, count(*) FROM routing_runs GROUP BY status")).all()
    assert statuses == [("current", len(NIGHTS))]


def all_tasks(airflow: LocalAirflow) -> list[dict[str, Any]]:
    """Every task of the routed nights, with its times."""
    found = []
    for run in airflow.runs("route_backlog"):
        path = f"/api/v2/dags/route_backlog/dagRuns/{run['dag_run_id'].replace('+', '%2B')}/taskInstances?limit=100"
        found += airflow.request("GET", path)["task_instances"]
    return found


def test_what_a_chunk_costs_beside_its_work_is_reported(deployed: Deployment):
    """Depends on the test before: it looks at the tasks that have run."""
    tasks = [t for t in all_tasks(deployed.airflow) if t["try_number"] == 1 and t["state"] == "success"]
    lines = []
    for name in ("estimate", "write"):
        mapped = [task for task in tasks if task["task_id"] == name]
        assert mapped
        waited = [_seconds(task["queued_when"], task["start_date"]) for task in mapped]
        ran = [_seconds(task["start_date"], task["end_date"]) for task in mapped]
        work = _work(deployed.airflow, mapped) if name == "estimate" else None
        lines.append((name, len(mapped), median(waited), median(ran), work))
    print(
        "\n".join(f"| {n} | {c} | {w:.2f} | {r:.2f} | {k if k is None else round(k, 2)} |" for n, c, w, r, k in lines)
    )


def _work(airflow: LocalAirflow, tasks: list[dict[str, Any]]) -> float:
    """Median of what the step itself took, as it says."""
    said = []
    for task in tasks:
        run = task["dag_run_id"].replace("+", "%2B")
        path = f"/api/v2/dags/route_backlog/dagRuns/{run}/taskInstances/estimate/xcomEntries/return_value"
        value = airflow.request("GET", f"{path}?map_index={task['map_index']}&deserialize=true")["value"]
        said.append(float(value["seconds"]))
    return median(said)


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
