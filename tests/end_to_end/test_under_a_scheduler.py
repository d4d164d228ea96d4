"""The DAGs under a real scheduler: backfilled as users do it, started by hand in every way, and killed."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from routing_core.demo.airflow import AirflowError, LocalAirflow, TaskState
from routing_core.settings import Settings
from routing_core.store.database import reading, writing

FIRST, LAST = date(2026, 11, 20), date(2026, 11, 22)
NIGHTS = ["2026-11-20", "2026-11-21", "2026-11-22"]
DAGS = ["retrain_predictors", "allocate_instances", "route_backlog"]
PATIENCE = 240.0


def wait_for(what: Callable[[], Any], *, pause: float = 0.5) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)
    return answer


def end_of(airflow: LocalAirflow, dag_id: str, run_id: str) -> str:
    """The state that a run ends in."""

    def ended() -> str | None:
        state = airflow.state(dag_id, run_id)
        return state if state in {"success", "failed"} else None

    return str(wait_for(ended))


def fetch(settings: Settings, query: str, **values: Any) -> list[Any]:
    with reading(settings) as connection:
        return list(connection.execute(text(query), values).all())


def backfill(airflow: LocalAirflow, dag_id: str, *options: str) -> None:
    """Create a backfill as a user does, again if Airflow's own SQLite was too busy for the command's transaction."""
    dates = ("--from-date", str(FIRST), "--to-date", str(LAST), "--reprocess-behavior", "failed")
    for _ in range(8):
        done = airflow.command("backfill", "create", "--dag-id", dag_id, *dates, *options)
        if done.returncode == 0:
            return
        assert "database is locked" in done.stderr, done.stderr
        for half in airflow.request("GET", f"/api/v2/backfills?dag_id={dag_id}")["backfills"]:
            if half["completed_at"] is None:
                airflow.request("PUT", f"/api/v2/backfills/{half['id']}/cancel")
    pytest.fail(f"the backfill of {dag_id} could not be created: {done.stderr}")


@pytest.fixture(scope="module", name="backfilled")
def backfill_all(airflow: LocalAirflow) -> dict[str, list[dict[str, Any]]]:
    """The runs of three backfills of the same three dates, the last stage's created first; all have ended."""
    # The command and the scheduler get in each other's way least while no run can start.
    for dag_id in DAGS:
        airflow.pause(dag_id)
    backfill(airflow, "route_backlog", "--dag-run-conf", json.dumps({"carry_over": "chained"}))
    backfill(airflow, "allocate_instances")
    backfill(airflow, "retrain_predictors")
    for dag_id in reversed(DAGS):
        airflow.pause(dag_id, paused=False)
    runs: dict[str, list[dict[str, Any]]] = {}
    for dag_id in DAGS:

        def ended(dag_id: str = dag_id) -> list[dict[str, Any]] | None:
            found = [run for run in airflow.runs(dag_id) if run["run_type"] == "backfill"]
            over = len(found) == len(NIGHTS) and all(run["state"] in {"success", "failed"} for run in found)
            return found if over else None

        runs[dag_id] = wait_for(ended, pause=1.0)
    return runs


@pytest.mark.parametrize("dag_id", DAGS)
def test_a_backfill_over_three_dates_completes(
    dag_id: str, backfilled: dict[str, list[dict[str, Any]]], airflow: LocalAirflow
):
    for run in backfilled[dag_id]:
        failed = [task for task in airflow.tasks(dag_id, run["dag_run_id"]) if task.state == "failed"]
        logs = [airflow.log_tail(dag_id, run["dag_run_id"], task) for task in failed]
        assert run["state"] == "success", "\n".join(logs)


def test_the_log_of_a_task_says_which_run_and_chunk_it_is_about(
    backfilled: dict[str, list[dict[str, Any]]], airflow: LocalAirflow, living: Settings
):
    # Of the three nights, only the last has its backlog in more files than one, and so in more chunks than one.
    of_last = "FROM run_chunks JOIN routing_runs USING (run_id) WHERE dt = :dt AND status = 'current' ORDER BY chunk"
    chunks = fetch(living, f"SELECT run_id, chunk {of_last}", dt=str(LAST))
    assert len({row.chunk for row in chunks}) > 1
    (night,) = [run for run in backfilled["route_backlog"] if run["data_interval_start"].startswith(str(LAST))]
    tasks = [task for task in airflow.tasks("route_backlog", night["dag_run_id"]) if task.task_id == "estimate"]
    assert sorted(task.map_index for task in tasks) == [row.chunk for row in chunks]
    for task in tasks:
        lines = airflow.log_tail("route_backlog", night["dag_run_id"], task, 200).splitlines()
        (done,) = [line for line in lines if "estimate_chunk done" in line]
        told = rf" run_id={chunks[0].run_id} chunk={task.map_index} attempt={task.try_number} "
        assert re.search(rf"{told}.*queries=\d+ .*seconds=", done), done


def test_each_backfilled_night_was_judged_sized_and_routed_for_its_own_date(
    backfilled: dict[str, list[dict[str, Any]]], living: Settings
):
    nights = fetch(living, "SELECT dt, backlog_rows, assigned + deferred + rejected AS decided FROM nights ORDER BY dt")
    assert [str(night.dt) for night in nights] == NIGHTS
    for night in nights:
        assert night.backlog_rows == night.decided > 0
    # In the order they were made, which is the order of the nights though all runs of a backfill start at once.
    judged = fetch(living, "SELECT trained_through FROM predictor_versions ORDER BY predictor_id")
    assert [str(row.trained_through) for row in judged] == ["2026-11-19", *NIGHTS]
    made = fetch(living, "SELECT for_date FROM allocations ORDER BY allocation_id")
    assert [str(row.for_date) for row in made] == [*NIGHTS, "2026-11-23"]
    sized = fetch(living, "SELECT DISTINCT for_date FROM allocations ORDER BY 1")
    assert [str(row.for_date) for row in sized] == [*NIGHTS, "2026-11-23"]
    assert fetch(living, "SELECT DISTINCT degraded FROM routing_runs") == [("",)]


def test_chained_nights_of_a_backfill_follow_one_another(backfilled: dict[str, list[dict[str, Any]]], living: Settings):
    query = "SELECT run_id, carried_from_run_id, published_at FROM routing_runs WHERE status = 'current' ORDER BY dt"
    nights = fetch(living, query)
    assert [night.carried_from_run_id for night in nights] == [None, nights[0].run_id, nights[1].run_id]
    assert nights[0].published_at < nights[1].published_at < nights[2].published_at


def dt_decided(airflow: LocalAirflow, dag_id: str, run_id: str) -> TaskState:
    """The task that decides the date, ended."""

    def ended() -> TaskState | None:
        (night,) = [task for task in airflow.tasks(dag_id, run_id) if task.task_id == "night"] or [None]
        return night if night is not None and night.ended else None

    found: TaskState = wait_for(ended)
    return found


def trigger_by_command(airflow: LocalAirflow, *options: str) -> str:
    done = airflow.command("dags", "trigger", "allocate_instances", "--output", "json", *options)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout[done.stdout.index("[{") :])[0]["dag_run_id"])


@pytest.mark.parametrize(
    "options", [(), ("--logical-date", "2026-11-14T00:00:00+00:00")], ids=["without -l", "with -l"]
)
def test_a_trigger_by_command_without_dt_fails_with_the_command_to_type(
    options: tuple[str, ...], airflow: LocalAirflow
):
    run_id = trigger_by_command(airflow, *options)
    night = dt_decided(airflow, "allocate_instances", run_id)
    assert (night.state, night.try_number) == ("failed", 1)
    assert "airflow dags trigger allocate_instances --conf" in airflow.log_tail(
        "allocate_instances", run_id, night, 200
    )


ASK = {"dt": "2026-11-21", "predictor_policy": "latest", "dry_run": True}


def test_a_trigger_by_command_is_about_the_dt_it_names_whatever_its_logical_date(airflow: LocalAirflow):
    run_id = trigger_by_command(airflow, "-l", "2026-11-18T00:00:00+00:00", "--conf", json.dumps(ASK))
    assert end_of(airflow, "allocate_instances", run_id) == "success"
    path = f"/api/v2/dags/allocate_instances/dagRuns/{run_id.replace('+', '%2B')}/taskInstances/night/xcomEntries/dt"
    assert airflow.request("GET", path)["value"] == "2026-11-21"


@pytest.mark.parametrize("logical_date", [None, "2026-11-16T00:00:00Z"])
def test_a_trigger_by_rest_without_dt_fails(logical_date: str | None, airflow: LocalAirflow):
    body = {"logical_date": logical_date, "conf": {}}
    run_id = airflow.request("POST", "/api/v2/dags/allocate_instances/dagRuns", body)["dag_run_id"]
    assert dt_decided(airflow, "allocate_instances", run_id).state == "failed"


def test_a_trigger_by_rest_with_a_parameter_out_of_range_is_refused_at_the_door(airflow: LocalAirflow):
    with pytest.raises(AirflowError, match="budget_usd"):
        airflow.trigger("route_backlog", {"dt": "2026-11-22", "budget_usd": -1})


@contextmanager
def database_held(settings: Settings) -> Iterator[None]:
    """Keep every writer waiting."""
    with writing(settings):
        yield


def test_killing_the_process_between_staging_and_publishing_leaves_the_earlier_run_current(
    backfilled: dict[str, list[dict[str, Any]]], airflow: LocalAirflow, living: Settings
):
    def runs_of_last() -> list[tuple[int, str]]:
        rows = fetch(living, "SELECT run_id, status FROM routing_runs WHERE dt = :dt ORDER BY run_id", dt=str(LAST))
        return [(row.run_id, row.status) for row in rows]

    [(earlier, _)] = runs_of_last()
    run_id = airflow.trigger("route_backlog", {"dt": str(LAST)})
    wait_for(lambda: runs_of_last()[-1][1] == "checked", pause=0.02)
    with database_held(living):

        def publishing() -> TaskState | None:
            tasks = [task for task in airflow.tasks("route_backlog", run_id) if task.task_id == "publish"]
            return next((task for task in tasks if task.state == "running" and task.pid), None)

        os.kill(wait_for(publishing, pause=0.1).pid, signal.SIGKILL)
        assert [status for _, status in runs_of_last()] == ["current", "checked"]
    assert [status for _, status in runs_of_last()] == ["current", "checked"]
    # Airflow tries again: the same run is published, and nothing is there twice.
    assert end_of(airflow, "route_backlog", run_id) == "success"
    assert [status for _, status in runs_of_last()] == ["superseded", "current"]
    assert runs_of_last()[0][0] == earlier
    doubled = "SELECT query_id FROM assignments WHERE run_id = :run GROUP BY query_id HAVING count(*) > 1"
    assert fetch(living, doubled, run=runs_of_last()[-1][0]) == []


def test_solve_cleared_with_what_follows_plans_the_night_from_the_estimates_there_are(
    backfilled: dict[str, list[dict[str, Any]]], airflow: LocalAirflow, living: Settings
):
    def current() -> int:
        [(run,)] = fetch(living, "SELECT run_id FROM nights WHERE dt = :dt", dt=str(FIRST))
        return int(run)

    def tries() -> dict[str, int]:
        return {task.task_id: task.try_number for task in airflow.tasks("route_backlog", run_id)}

    (night,) = [run for run in backfilled["route_backlog"] if run["data_interval_start"].startswith(str(FIRST))]
    run_id, before = str(night["dag_run_id"]), current()
    tried = tries()
    cleared = {"dag_run_id": run_id, "task_ids": ["solve"], "include_downstream": True, "only_failed": False}
    path = "/api/v2/dags/route_backlog/clearTaskInstances"
    airflow.request("POST", path, cleared | {"dry_run": False, "reset_dag_runs": True})
    wait_for(lambda: current() != before)
    assert end_of(airflow, "route_backlog", run_id) == "success"
    plan = "SELECT assigned, deferred, rejected, objective FROM routing_runs WHERE run_id = :run"
    assert fetch(living, plan, run=current()) == fetch(living, plan, run=before)
    again = {task for task, number in tries().items() if number > tried[task]}
    assert again == {"open_run", "solve", "write", "compare", "check", "publish", "close_run"}
