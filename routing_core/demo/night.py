"""One night through Airflow: the night before retrains and allocates, tonight retrains and routes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from routing_core.demo.airflow import AirflowError, LocalAirflow, TaskState, failed_first, local_airflow
from routing_core.errors import DateError
from routing_core.settings import Settings
from routing_core.steps.prepare import demo_home

_LOOK_SECONDS = 1.0
_TASKS_OF_A_NIGHT = 32
"""Roughly, until Airflow knows how many chunks there are."""


@dataclass(frozen=True, slots=True)
class _Run:
    """A DAG run under way."""

    dag_id: str
    run_id: str
    dt: date


def tonight() -> date:
    """The night the demonstration is about: yesterday, UTC, the last day that has ended."""
    return datetime.now(UTC).date() - timedelta(days=1)


def run_demo(
    settings: Settings,
    report: Callable[[date], object],
    *,
    dt: date | None = None,
    console: Console | None = None,
    stay: Callable[[LocalAirflow], object] | None = None,
) -> date:
    """Plan a night through Airflow and report it.

    Nothing of Airflow is left running after it, however it ends.

    Parameters
    ----------
    settings : Settings
        Of these ``home`` counts: settings, database and workload are laid out there, and Airflow's home is made new
        below it.
    report : callable
        Called with the night when it is published.
    dt : date, optional
        The night; by default `tonight`.
    console : Console, optional
        Where the progress is drawn.
    stay : callable, optional
        Called after the report with Airflow still up, which ends when it returns; by default Airflow ends first.

    Returns
    -------
    date
        The night that was planned.

    Raises
    ------
    DateError
        The day has not ended.
    AirflowError
        Airflow did not come up, or a task failed; the message has the end of its log.
    """
    dt = dt or tonight()
    if dt > tonight():
        raise DateError(f"demo: the night must be of a day that has ended, at the latest {tonight()}, got {dt}")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    poll = {"NIGHTSHIFT_WAIT_POLL_SECONDS": os.environ.get("NIGHTSHIFT_WAIT_POLL_SECONDS", "1")}
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("writing a workload", total=None)
        home = demo_home(settings.home, dt).home
        progress.update(bar, description="starting Airflow")
        with local_airflow(home, extra=poll) as airflow:
            _plan(airflow, dt, partial(progress.update, bar))
            progress.update(bar, description=f"night of {dt} planned", completed=1, total=1)
            if stay is not None:
                progress.stop()
                report(dt)
                stay(airflow)
    if stay is None:
        report(dt)
    return dt


def _plan(airflow: LocalAirflow, dt: date, show: Callable[..., None]) -> None:
    before = dt - timedelta(days=1)
    # The first champion must stand before tonight's challenger is judged; the rest orders itself by the data.
    first = [_start(airflow, "retrain_predictors", before)]
    _follow(airflow, first, show)
    rest = [
        _start(airflow, "allocate_instances", before),
        _start(airflow, "retrain_predictors", dt),
        _start(airflow, "route_backlog", dt),
    ]
    _follow(airflow, first + rest, show)


def _start(airflow: LocalAirflow, dag_id: str, dt: date) -> _Run:
    return _Run(dag_id, airflow.trigger(dag_id, {"dt": dt.isoformat()}), dt)


def _follow(airflow: LocalAirflow, runs: Sequence[_Run], show: Callable[..., None]) -> None:
    """Draw the progress until all runs have ended."""
    while True:
        states = {run: airflow.state(run.dag_id, run.run_id) for run in runs}
        tasks = {run: airflow.tasks(run.dag_id, run.run_id) for run in runs}
        for run, state in states.items():
            if state == "failed":
                raise AirflowError(_why(airflow, run, tasks[run]))
        every = [task for of_run in tasks.values() for task in of_run]
        total = max(len(every), _TASKS_OF_A_NIGHT)
        show(description=_busy(tasks), completed=sum(task.ended for task in every), total=total)
        if all(state == "success" for state in states.values()):
            return
        time.sleep(_LOOK_SECONDS)


def _busy(tasks: dict[_Run, list[TaskState]]) -> str:
    """The tasks at work, as `dag.task` of the latest run that has one."""
    busy = [
        f"{run.dag_id}: {task.task_id} ({run.dt})" for run in tasks for task in tasks[run] if task.state == "running"
    ]
    return busy[-1] if busy else "waiting for Airflow"


def _why(airflow: LocalAirflow, run: _Run, tasks: Sequence[TaskState]) -> str:
    task = failed_first(tasks)
    if task is None:
        return f"demo: {run.dag_id} failed for {run.dt}"
    log = airflow.log_tail(run.dag_id, run.run_id, task)
    return f"demo: task {task.task_id!r} of {run.dag_id} failed for {run.dt}; the end of its log:\n{log}"
