"""Opening a run: whose it is, whether it was begun before, and which attempt has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from routing_core.errors import StaleAttemptError
from routing_core.store import carry, chunks, runs
from routing_core.store.database import next_id, now
from routing_core.store.tables.runs import routing_runs


def open_run(
    connection: Connection,
    dt: date,
    run_key: str,
    values: Mapping[str, Any],
    attempt: int | None = None,
    *,
    sources: Sequence[int] = (),
) -> int:
    """Open a run, or find the one this key has just opened.

    A retry gets the run it opened before, as it was opened. Once work on a run has begun, the same key
    means beginning again, as when a whole DAG run is cleared, and opens a new one: nothing is rewritten
    in place, and orphans of the old one write to nothing that counts.

    Parameters
    ----------
    connection : Connection
    dt : date
    run_key : str
        What opens it, such as the DAG run.
    values : mapping
        Further columns of ``routing_runs``.
    attempt : int, optional
        Number of this attempt at opening it. An orphan that comes late must not take the run that its
        own retry has opened and gone on with for one to begin again. None is always the newest.
    sources : sequence of int
        Runs it may take deferred queries up from, and those to tell which: see :mod:`routing_core.store.carry`.

    Returns
    -------
    int
        The run_id.

    Raises
    ------
    StaleAttemptError
        If a newer attempt has opened the run, and it is under way.
    """
    of_key = [run for run in runs.lock_runs_of(connection, dt) if run.run_key == run_key]
    left = of_key[-1] if of_key and _is_under_way(of_key[-1]) else None
    newest = left.opening if left else 1
    opening = attempt or newest
    if left is not None and opening < newest:
        raise StaleAttemptError(
            f"run {left.run_id} of {dt}: attempt {opening} at opening it is stale, attempt {newest} has it"
        )
    if left is not None and left.status == "staged" and not chunks.of_run(connection, left.run_id):
        runs.set_run(connection, left.run_id, opening=opening)
        return int(left.run_id)
    run_id = next_id(connection, "routing_runs", "run_id")
    if left is not None:
        runs.fail(connection, left.run_id, f"left half-way, and begun again as run {run_id}")
    fresh = {"run_id": run_id, "dt": dt, "status": "staged", "opened_at": now(), "solve_attempt": 0}
    whose = {"run_key": run_key, "beginning": len(of_key) + 1, "opening": opening}
    connection.execute(insert(routing_runs).values(**fresh, **whose, attempt=_next_attempt(connection, dt), **values))
    carry.record_sources(connection, run_id, sources)
    return run_id


def begun_before(connection: Connection, run: Row[Any]) -> Row[Any] | None:
    """The last run that the same key had begun for the date before ``run``, and that listed its input; or None."""
    same = (routing_runs.c.dt == run.dt) & (routing_runs.c.run_key == run.run_key)
    listed = (routing_runs.c.beginning < run.beginning) & routing_runs.c.backlog_rows.is_not(None)
    newest_first = select(routing_runs).where(same, listed).order_by(routing_runs.c.beginning.desc())
    return connection.execute(newest_first.limit(1)).one_or_none()


def _is_under_way(run: Row[Any]) -> bool:
    """Whether somebody may still be at it; a dry run has ended when it is checked."""
    return bool(run.status == "staged" or (run.status == "checked" and not run.dry_run))


def _next_attempt(connection: Connection, dt: date) -> int:
    newest = select(func.coalesce(func.max(routing_runs.c.attempt), 0)).where(routing_runs.c.dt == dt)
    return int(connection.execute(newest).scalar_one()) + 1
