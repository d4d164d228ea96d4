"""Seven nights backfilled over Celery: Redis, PostgreSQL, every part of Airflow and two workers, one of them killed.

The environment is that of docker-compose.yml with the addresses of this machine put in, so what is proven here is what
the containers are told.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import compose
import pyarrow.parquet as pq
import pytest
from dotenv import dotenv_values
from results import Results, copy_rows, current, differences
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
SIZE = prepare.WorkloadSize(days=12, queries_per_day=80, tonight=100, parts=1, broken=4)
DAG = "route_backlog"
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


def settings_of(home: Path, dsn: str = "") -> Settings:
    """The settings that the containers are told, CHOSEN among them."""
    chosen: dict[str, Any] = {"budget_usd": 0.01, "batch_minutes": 240.0, "chunks": 2}
    return load_settings(home=home, dsn=dsn, catalog=None, outcomes="", backlog="", **chosen)


@dataclass
class Deployment:
    """What the tests hold in hand."""

    airflow: LocalAirflow
    settings: Settings
    wanted: Results


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home in which everything is known that the seven nights are planned with, and no night is planned."""
    settings = settings_of(tmp_path_factory.mktemp("learnt"))
    prepare.init_db(settings)
    prepare.make_workload(settings.home, LAST, settings, SIZE)
    for night in NIGHTS:
        (only,) = list_partition(settings.backlog_root, night)
        file = Path(settings.backlog_root) / f"dt={night}" / only.name
        write_partition(settings.backlog_root, night, pq.read_table(file, partitioning=None), parts=FILES)
    for night in (NIGHTS[0] - timedelta(days=1), *NIGHTS):
        for step in (retrain, allocate):
            step(night, settings, run_key="world")
    return settings


@pytest.fixture(scope="module")
def wanted(learnt: Settings, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The seven nights by hand, one after another, in SQLite."""
    database.engine(learnt).dispose()
    home = tmp_path_factory.mktemp("by-hand") / "home"
    shutil.copytree(learnt.home, home)
    settings = settings_of(home)
    for night in NIGHTS:
        route.route(night, settings, run_key="by hand")
    return current(settings)


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
def deployed(learnt: Settings, wanted: Results, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """All of it, up and healthy; nothing is left after the module."""
    env_file = tmp_path_factory.mktemp("env") / ".env"
    deployment.make_env(env_file, executor="celery", data=learnt.home)
    password = dotenv_values(env_file)["REDIS_PASSWORD"] or ""
    with own_postgres() as postgres, redis(password) as port:
        for name in ("airflow", "nightshift"):
            postgres.execute(f"CREATE ROLE {name} LOGIN SUPERUSER", f"CREATE DATABASE {name} OWNER {name}")
        told = environment(env_file, postgres, port)
        settings = settings_of(learnt.home, told["NIGHTSHIFT_DSN"])
        prepare.init_db(settings)
        copy_rows(learnt, settings)
        parts = {**COMPONENTS, "one": worker("one", learnt.home), "two": worker("two", learnt.home)}
        with local_airflow(learnt.home, extra=told, components=parts) as airflow:
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


def start_and_kill_a_worker_that_writes(here: Deployment) -> str:
    """Let the nights go, and kill a worker while one of its tasks is inside a chunk's transaction; its name."""

    def writing_somewhere() -> str | None:
        if not copying(here.settings):
            return None
        tasks = [task for run in here.airflow.runs(DAG) for task in here.airflow.tasks(DAG, run["dag_run_id"])]
        writes = [task for task in tasks if task.task_id == "write" and task.state == "running"]
        return next((name for name in (worker_of(here.airflow, task) for task in writes) if name), None)

    with assignments_held(here.settings):
        here.airflow.pause(DAG, paused=False)
        victim: str = wait_for(writing_somewhere)
        here.airflow.kill(victim)
    return victim


def statuses(settings: Settings) -> dict[str, int]:
    with reading(settings) as connection:
        rows = connection.execute(text("SELECT status, count(*) FROM routing_runs GROUP BY status")).all()
    return {row[0]: row[1] for row in rows}


def ended(airflow: LocalAirflow) -> list[dict[str, Any]] | None:
    """The runs of the backfill once none goes on."""
    runs = airflow.runs(DAG)
    over = len(runs) == len(NIGHTS) and all(run["state"] in {"success", "failed"} for run in runs)
    return runs if over else None


def test_seven_nights_over_two_workers_of_which_one_is_killed_end_as_undisturbed(deployed: Deployment):
    airflow = deployed.airflow
    dates = ("--from-date", str(NIGHTS[0]), "--to-date", str(LAST))
    done = airflow.command("backfill", "create", "--dag-id", DAG, *dates)
    assert done.returncode == 0, done.stderr
    victim = start_and_kill_a_worker_that_writes(deployed)
    for run in wait_for(lambda: ended(airflow), pause=2.0):
        failed = [task for task in airflow.tasks(DAG, run["dag_run_id"]) if task.state == "failed"]
        logs = [airflow.log_tail(DAG, run["dag_run_id"], task) for task in failed]
        assert run["state"] == "success", "\n".join(logs)
    assert airflow.components[victim].poll() is not None
    assert "write" in {task["task_id"] for task in all_tasks(airflow) if task["try_number"] > 1}
    assert differences(current(deployed.settings), deployed.wanted) == []
    assert statuses(deployed.settings) == {"current": len(NIGHTS)}


def test_what_a_chunk_costs_beside_its_work_is_reported(deployed: Deployment):
    """Looks at the tasks that the test before has run; with ``NIGHTSHIFT_KEEP`` the table replaces the kept one."""
    tasks = [task for task in all_tasks(deployed.airflow) if (task["state"], task["try_number"]) == ("success", 1)]
    rows = [chunk_row(deployed.airflow, name, tasks) for name in ("estimate", "write")]
    assert all(row.count(" | ") == HEAD.splitlines()[0].count(" | ") for row in rows)
    table = HEAD + "\n".join(rows) + "\n"
    print(table)
    if os.environ.get("NIGHTSHIFT_KEEP"):
        TABLE.write_text(TABLE.read_text().partition("| mapped task")[0] + table)


HEAD = """\
| mapped task | chunks | waits in the queue, s | of its time in the worker, s | the step itself, s | overhead, s |
|---|---|---|---|---|---|
"""


def chunk_row(airflow: LocalAirflow, name: str, tasks: list[dict[str, Any]]) -> str:
    """Medians over the chunks: queued to started, started to ended, and what the step says it took."""
    mapped = [task for task in tasks if task["task_id"] == name]
    waited = median(_seconds(task["queued_when"], task["start_date"]) for task in mapped)
    ran = median(_seconds(task["start_date"], task["end_date"]) for task in mapped)
    work = median(_work(airflow, task) for task in mapped)
    return f"| {name} | {len(mapped)} | {waited:.1f} | {ran:.1f} | {work:.1f} | {waited + ran - work:.1f} |"


def all_tasks(airflow: LocalAirflow) -> list[dict[str, Any]]:
    """Every task of the nights, with its times."""
    found = []
    for run in airflow.runs(DAG):
        found += airflow.request("GET", f"{_path(run)}/taskInstances?limit=100")["task_instances"]
    return found


def _path(run: dict[str, Any]) -> str:
    return f"/api/v2/dags/{DAG}/dagRuns/{quote(run['dag_run_id'], safe='')}"


def _work(airflow: LocalAirflow, task: dict[str, Any]) -> float:
    path = f"{_path(task)}/taskInstances/{task['task_id']}/xcomEntries/return_value"
    value = airflow.request("GET", f"{path}?map_index={task['map_index']}&deserialize=true")["value"]
    return float(value["seconds"])


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
