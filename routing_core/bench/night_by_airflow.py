"""A night by the DAG, under an Airflow of our own with its LocalExecutor: what orchestration adds."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from routing_core.bench.memory import highest, status_mib
from routing_core.demo.airflow import AirflowError, LocalAirflow, failed_first, local_airflow
from routing_core.settings import Settings

DAG = "route_backlog"
_LOOK_SECONDS = 0.5


def night_by_airflow(settings: Settings, dt: date, by_hand: float) -> dict[str, Any]:
    """Plan a night again, by the DAG, as many tasks at once as there are cores.

    Parameters
    ----------
    settings : Settings
        Of a home with a predictor, an allocation and the backlog.
    dt : date
    by_hand : float
        Seconds the same stages took without Airflow, in the same run.

    Returns
    -------
    dict
        seconds (from the start of the DAG run to its end, by Airflow's clock), task_instances,
        busy_seconds (sum over them), overhead_seconds and overhead_share (against ``by_hand``),
        peak_rss_mib (of the largest of Airflow's processes, tasks among them, as far as looking twice a second sees
        it), stages (seconds from the first start to the last end).
    """
    extra = {
        "NIGHTSHIFT_DSN": settings.database_url,
        "NIGHTSHIFT_BUDGET_USD": repr(settings.budget_usd),
        "NIGHTSHIFT_CHUNKS": str(settings.chunks),
        "NIGHTSHIFT_WAIT_POLL_SECONDS": "1",
        "AIRFLOW__CORE__PARALLELISM": str(os.cpu_count() or 1),
    }
    with (
        local_airflow(settings.home, extra=extra) as airflow,
        highest(lambda: _largest(airflow), _LOOK_SECONDS) as peak,
    ):
        conf = {"dt": dt.isoformat(), "predictor_policy": "latest", "allocation_policy": "latest"}
        run_id = airflow.trigger(DAG, conf)
        run = _ended(airflow, run_id)
        tasks = airflow.request("GET", f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances?limit=1000")
    seconds = _between(run["start_date"], run["end_date"])
    started = [task for task in tasks["task_instances"] if task["start_date"] and task["end_date"]]
    return {
        "seconds": round(seconds, 3),
        "task_instances": len(started),
        "busy_seconds": round(sum(_between(task["start_date"], task["end_date"]) for task in started), 3),
        "overhead_seconds": round(seconds - by_hand, 3),
        "overhead_share": round(1 - by_hand / seconds, 4),
        "peak_rss_mib": peak["mib"],
        "stages": _stages(started),
    }


def _ended(airflow: LocalAirflow, run_id: str) -> Mapping[str, Any]:
    while True:
        run = next(run for run in airflow.runs(DAG) if run["dag_run_id"] == run_id)
        if run["state"] == "success":
            return run
        if run["state"] == "failed":
            failed = failed_first(airflow.tasks(DAG, run_id))
            log = airflow.log_tail(DAG, run_id, failed) if failed else "no task failed by itself"
            raise AirflowError(f"{DAG} {run_id} failed:\n{log}")
        time.sleep(_LOOK_SECONDS)


def _stages(tasks: list[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of each task, of a mapped one from the first start to the last end, in order of start."""
    spans: dict[str, tuple[str, str]] = {}
    for task in sorted(tasks, key=lambda one: one["start_date"]):
        start, end = spans.get(task["task_id"], (task["start_date"], task["end_date"]))
        spans[task["task_id"]] = (start, max(end, task["end_date"]))
    return {name: round(_between(*span), 3) for name, span in spans.items()}


def _between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _largest(airflow: LocalAirflow) -> dict[str, float | None]:
    return {"mib": max((status_mib("VmHWM", pid) or 0.0 for pid in airflow.processes()), default=0.0)}
