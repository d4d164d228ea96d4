"""Which plan of a date is in force: published, sealed, rolled back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row

from routing_core.errors import NotFoundError, RunStateError
from routing_core.store import guards
from routing_core.store.database import now
from routing_core.store.runs import PUBLISHED, get_run, lock_runs_of, refuse_pruned, require, set_run


def publish(connection: Connection, run_id: int) -> str:
    """Checked → current, and its predecessor → superseded, at once.

    Of two runs of a date the one opened last wins. On a date that was sealed, or whose deferred queries
    a later night was sealed with, the run becomes a shadow unless it was told to replan.

    Returns
    -------
    str
        The status reached: current, superseded (a later run is current already) or shadow.

    Raises
    ------
    RunStateError
        If it plans what was left of a run that is no longer current, gives away what another night has sent, or says
        nothing of what this one has taken up and sent.
    """
    dt = get_run(connection, run_id).dt
    runs = {run.run_id: run for run in lock_runs_of(connection, dt)}
    run = runs[run_id]
    if run.status in PUBLISHED:
        return str(run.status)
    require(run, "checked")
    reigning = next((other for other in runs.values() if other.status == "current"), None)
    if run.shadow or (reigning is not None and not run.replan and _is_handed_out(connection, runs.values())):
        set_run(connection, run_id, status="shadow", published_at=now())
        return "shadow"
    _refuse_stale_base(run, reigning)
    if reigning is not None and reigning.run_id > run_id:
        set_run(connection, run_id, status="superseded", superseded_at=now())
        return "superseded"
    guards.refuse_dropped(connection, run, reigning)
    guards.refuse_sent_twice(connection, run)
    if reigning is None:
        set_run(connection, run_id, status="current", published_at=now())
        return "current"
    set_run(connection, reigning.run_id, status="superseded", superseded_at=now())
    set_run(connection, run_id, status="current", published_at=now(), supersedes_run_id=reigning.run_id)
    return "current"


def seal(connection: Connection, dt: date, *, run_id: int | None = None) -> Row[Any]:
    """Seal the current run of a date: its plan goes out to be executed.

    Parameters
    ----------
    connection : Connection
    dt : date
    run_id : int, optional
        The run that must be current, where one has been written out already.

    Raises
    ------
    NotFoundError
        If the date has no current run.
    RunStateError
        If the night is held, or the plan is outdated, or another than ``run_id``.
    """
    run = _reigning(lock_runs_of(connection, dt), dt)
    if run_id is not None and run.run_id != run_id:
        raise RunStateError(
            f"run {run_id} of {dt} was superseded by run {run.run_id} while it was being written out",
            remedy=f"routing export --dt {dt}",
        )
    if run.sealed_at is None:
        guards.refuse_unready(connection, run)
        set_run(connection, run.run_id, sealed_at=now())
    return get_run(connection, run.run_id)


def roll_back(connection: Connection, dt: date) -> tuple[Row[Any], Row[Any]]:
    """Let the current run of a date give its place back to the run it superseded.

    Returns
    -------
    tuple of row
        The run that is current now, and the one that was.

    Raises
    ------
    NotFoundError
        If no run is current, or it superseded none.
    RunStateError
        If the night was handed out.
    """
    runs = lock_runs_of(connection, dt)
    run = _reigning(runs, dt)
    if _is_handed_out(connection, runs):
        raise RunStateError(
            f"the night of {dt} was handed out, itself or with a later night that took up its deferred queries; "
            "an older plan cannot take its place",
            remedy=f"routing replan --dt {dt} --after-batch N plans what has not been sent anew",
        )
    if run.supersedes_run_id is None:
        raise NotFoundError(f"run {run.run_id} of {dt} superseded no other, so there is none to go back to")
    refuse_pruned(get_run(connection, run.supersedes_run_id))
    set_run(connection, run.run_id, status="superseded", superseded_at=now(), rolled_back_at=now())
    set_run(connection, run.supersedes_run_id, status="current", superseded_at=None)
    return get_run(connection, run.supersedes_run_id), get_run(connection, run.run_id)


def _reigning(runs: Iterable[Row[Any]], dt: date) -> Row[Any]:
    run = next((run for run in runs if run.status == "current"), None)
    if run is None:
        raise NotFoundError(
            f"no run of {dt} is current, so there is no plan to hand out", remedy=f"routing route --dt {dt}"
        )
    return run


def _is_handed_out(connection: Connection, runs: Iterable[Row[Any]]) -> bool:
    """Whether what the runs of a date decide has been sent, with that date or with a later one."""
    runs = list(runs)
    if any(run.sealed_at is not None or (run.status in PUBLISHED and run.sent_through_batch) for run in runs):
        return True
    return bool(runs) and guards.handed_out_later(connection, runs[0].dt) is not None


def _refuse_stale_base(run: Row[Any], reigning: Row[Any] | None) -> None:
    if run.base_run_id is not None and (reigning is None or reigning.run_id != run.base_run_id):
        raise RunStateError(
            f"run {run.run_id} of {run.dt} plans what was left of run {run.base_run_id}, which is no longer current",
            remedy=f"routing replan --dt {run.dt}, again",
        )
