"""The life of a run in the database: staged → checked → current → superseded, or failed, or shadow.

Every function takes an open connection and makes its step within the caller's transaction. How a run is opened is in
:mod:`~routing_core.store.openings`, what its chunks go through in :mod:`~routing_core.store.chunks`, and which plan of
a date is in force in :mod:`~routing_core.store.publishing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, select, update

from routing_core.errors import NotFoundError, RunStateError, StaleAttemptError
from routing_core.store.database import lock_writers, now
from routing_core.store.tables.runs import routing_runs

PUBLISHED = ("current", "superseded", "shadow")
BEGIN_AGAIN = "begin again with a new run: clear the whole DAG run, or type routing route"


def get_run(connection: Connection, run_id: int) -> Row[Any]:
    """The row of a run.

    Raises
    ------
    NotFoundError
        If there is no such run.
    """
    row = connection.execute(select(routing_runs).where(routing_runs.c.run_id == run_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"run {run_id} is not in the results database")
    return row


def take_up_from(connection: Connection, dt: date) -> Row[Any] | None:
    """The night before ``dt`` as far as carry-over goes: the newest with a current run, however long ago."""
    before = (routing_runs.c.dt < dt) & (routing_runs.c.status == "current")
    newest = select(routing_runs).where(before).order_by(routing_runs.c.dt.desc()).limit(1)
    return connection.execute(newest).one_or_none()


def current_run(connection: Connection, dt: date) -> Row[Any] | None:
    """The current run of a date, or None."""
    current = (routing_runs.c.dt == dt) & (routing_runs.c.status == "current")
    return connection.execute(select(routing_runs).where(current)).one_or_none()


def has_earlier_run(connection: Connection, dt: date) -> bool:
    """Whether any run was ever opened for a date before ``dt``."""
    return connection.execute(select(routing_runs.c.run_id).where(routing_runs.c.dt < dt).limit(1)).first() is not None


def require_listed(run: Row[Any]) -> None:
    """Refuse a run that has not listed its input: cleared alone, a later stage would find an empty night.

    Raises
    ------
    RunStateError
    """
    if run.backlog_rows is None:
        raise RunStateError(f"run {run.run_id} of {run.dt} has not listed its input files", remedy=BEGIN_AGAIN)


def take_up_again(connection: Connection, run: Row[Any], *, newer: bool) -> Row[Any]:
    """Failed → staged for an attempt newer than any at its task: only what failed was cleared, and the run goes on.

    A run that its DAG run has begun again stays failed, whoever comes.

    Parameters
    ----------
    connection : Connection
    run : row of ``routing_runs``
        Locked by the caller.
    newer : bool

    Returns
    -------
    row of ``routing_runs``
        As it is now.
    """
    same = (routing_runs.c.dt == run.dt) & (routing_runs.c.run_key == run.run_key)
    again = select(routing_runs.c.run_id).where(same, routing_runs.c.beginning > run.beginning).limit(1)
    if run.status == "failed" and newer and connection.execute(again).first() is None:
        set_run(connection, run.run_id, status="staged", failed_at=None, failure=None)
    return get_run(connection, run.run_id)


def claim_solve(connection: Connection, run_id: int, attempt: int) -> None:
    """Become the newest attempt at solving a run, or go on being it.

    Raises
    ------
    StaleAttemptError
        If a newer attempt has it.
    """
    run = lock_run(connection, run_id)
    run = take_up_again(connection, run, newer=attempt > run.solve_attempt)
    require(run, "staged")
    if run.solve_attempt > attempt:
        raise StaleAttemptError(
            f"run {run_id}: attempt {attempt} at solving it is stale, attempt {run.solve_attempt} has it"
        )
    set_run(connection, run_id, solve_attempt=attempt)


def require_solved(run: Row[Any]) -> None:
    """Refuse a run that has not been solved.

    Raises
    ------
    RunStateError
    """
    if run.assigned is None:
        raise RunStateError(f"run {run.run_id} of {run.dt} has not been solved", remedy=BEGIN_AGAIN)


def claim_receipt(connection: Connection, run_id: int, solve_attempt: int) -> None:
    """Hold a run that is still the one that was solved by this attempt.

    Raises
    ------
    StaleAttemptError
        If a newer attempt has solved it.
    """
    run = lock_run(connection, run_id)
    require(run, "staged")
    if run.solve_attempt != solve_attempt:
        raise StaleAttemptError(
            f"run {run_id}: what attempt {solve_attempt} at solving it decided was compared, "
            f"attempt {run.solve_attempt} has solved it again"
        )


def mark_checked(connection: Connection, run_id: int) -> None:
    """Staged → checked."""
    run = lock_run(connection, run_id)
    require(run, "staged", "checked")
    set_run(connection, run_id, status="checked", checked_at=now())


def refuse_pruned(run: Row[Any]) -> None:
    """Refuse a run whose decisions were taken out.

    Raises
    ------
    RunStateError
    """
    if run.pruned_at is not None:
        raise RunStateError(
            f"run {run.run_id} of {run.dt} was pruned on {run.pruned_at:%Y-%m-%d}: its decisions are kept no more",
            remedy=f"routing route --dt {run.dt} plans the night anew",
        )


def fail(connection: Connection, run_id: int, reason: str) -> bool:
    """Staged or checked → failed; a published run is left as it is. Whether it failed now."""
    run = lock_run(connection, run_id)
    if run.status not in ("staged", "checked"):
        return False
    set_run(connection, run_id, status="failed", failed_at=now(), failure=reason)
    return True


def update_run(connection: Connection, run_id: int, **values: Any) -> None:
    """Set figures of a run that is still being staged.

    Raises
    ------
    RunStateError
        If it is not.
    """
    require(lock_run(connection, run_id), "staged")
    set_run(connection, run_id, **values)


def set_run(connection: Connection, run_id: int, **values: Any) -> None:
    """Set columns of a run that the caller has locked."""
    connection.execute(update(routing_runs).where(routing_runs.c.run_id == run_id).values(**values))


def lock_run(connection: Connection, run_id: int) -> Row[Any]:
    """The row of a run, locked until the transaction ends."""
    # The table before the row, as those who open and publish do: two orders would be a deadlock.
    lock_writers(connection, "routing_runs")
    get_run(connection, run_id)
    return connection.execute(select(routing_runs).where(routing_runs.c.run_id == run_id).with_for_update()).one()


def lock_runs_of(connection: Connection, dt: date) -> Sequence[Row[Any]]:
    """All runs of a date in the order they were opened, locked so that no other publishes meanwhile."""
    lock_writers(connection, "routing_runs")
    return connection.execute(select(routing_runs).where(routing_runs.c.dt == dt).order_by(routing_runs.c.run_id)).all()


def refuse_failed(run: Row[Any]) -> None:
    """Refuse to go on with a run that has failed.

    Raises
    ------
    RunStateError
    """
    if run.status == "failed":
        raise RunStateError(f"run {run.run_id} of {run.dt} failed: {run.failure}", remedy=BEGIN_AGAIN)


def require(run: Row[Any], *statuses: str) -> None:
    """Refuse a run that is in none of the statuses.

    Raises
    ------
    RunStateError
    """
    if run.status not in statuses:
        raise RunStateError(
            f"run {run.run_id} of {run.dt} is {run.status}; this step needs it {' or '.join(statuses)}",
            remedy=BEGIN_AGAIN,
        )
