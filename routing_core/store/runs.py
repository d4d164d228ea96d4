"""The life of a run in the database: staged → checked → current → superseded, or failed, or shadow.

Every function takes an open connection and makes its step within the caller's transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from routing_core.errors import ChangedInputError, NotFoundError, RunStateError, StaleAttemptError
from routing_core.store import carry, guards
from routing_core.store.database import lock_writers, next_id, now
from routing_core.store.tables import routing_runs, run_chunks, run_inputs

PUBLISHED = ("current", "superseded", "shadow")
BEGIN_AGAIN = "begin again with a new run: clear the whole DAG run, or type routing route"


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
    of_key = [run for run in lock_runs_of(connection, dt) if _parsed(run)[0] == run_key]
    left = of_key[-1] if of_key and _is_under_way(of_key[-1]) else None
    newest = _parsed(left)[1] if left else 1
    opening = attempt or newest
    if left is not None and opening < newest:
        raise StaleAttemptError(
            f"run {left.run_id} of {dt}: attempt {opening} at opening it is stale, attempt {newest} has it"
        )
    if left is not None and left.status == "staged" and not chunk_rows(connection, left.run_id):
        _update(connection, left.run_id, run_key=_key(run_key, len(of_key), opening))
        return int(left.run_id)
    run_id = next_id(connection, "routing_runs", "run_id")
    if left is not None:
        fail(connection, left.run_id, f"left half-way, and begun again as run {run_id}")
    key = _key(run_key, len(of_key) + 1, opening)
    fresh = {"run_id": run_id, "dt": dt, "run_key": key, "status": "staged", "opened_at": now(), "solve_attempt": 0}
    connection.execute(insert(routing_runs).values(**fresh, attempt=_next_attempt(connection, dt), **values))
    carry.record_sources(connection, run_id, sources)
    return run_id


_COUNTED = re.compile(r"(?P<whose>.*)#\d+\.(?P<opening>\d+)", re.DOTALL)


def _key(run_key: str, beginning: int, opening: int) -> str:
    """The key of a run: whose it is, how often that one has begun, and which attempt has opened it."""
    plain = (beginning, opening) == (1, 1) and not _COUNTED.fullmatch(run_key)
    return run_key if plain else f"{run_key}#{beginning}.{opening}"


def _parsed(run: Row[Any]) -> tuple[str, int]:
    """Whose a run is, and the newest attempt at opening it."""
    found = _COUNTED.fullmatch(run.run_key)
    return (found["whose"], int(found["opening"])) if found else (str(run.run_key), 1)


def _is_under_way(run: Row[Any]) -> bool:
    """Whether somebody may still be at it; a dry run has ended when it is checked."""
    return bool(run.status == "staged" or (run.status == "checked" and not run.dry_run))


def _next_attempt(connection: Connection, dt: date) -> int:
    newest = select(func.coalesce(func.max(routing_runs.c.attempt), 0)).where(routing_runs.c.dt == dt)
    return int(connection.execute(newest).scalar_one()) + 1


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


def record_inputs(connection: Connection, run_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Record a run's input files; a retry must find them as they were.

    Raises
    ------
    ChangedInputError
        If the files recorded before are others: their estimates may have been made already.
    """
    listed = {(row["source"], row["partition_dt"], row["partition"]): row["sha256"] for row in rows}
    recorded = connection.execute(select(run_inputs).where(run_inputs.c.run_id == run_id)).all()
    known = {(row.source, row.partition_dt, row.partition): row.sha256 for row in recorded}
    if changed := sorted({f"dt={one[1]}/{one[2]}" for one, _ in known.items() ^ listed.items()} if known else ()):
        raise ChangedInputError(
            f"run {run_id}: {', '.join(changed[:5])} changed since the run listed its input files",
            remedy=BEGIN_AGAIN,
        )
    if rows and not known:
        connection.execute(insert(run_inputs), [{"run_id": run_id, **row} for row in rows])


def record_chunks(connection: Connection, run_id: int, chunks: Sequence[Mapping[str, Any]]) -> None:
    """Lay down a run's chunks; a retry finds them as they are.

    Raises
    ------
    RunStateError
        If the chunks recorded before are others, because the inputs changed in between.
    """
    recorded = chunk_rows(connection, run_id)
    if not recorded:
        fresh = {"run_id": run_id, "estimate_attempt": 0, "attempt": 0}
        if chunks:
            connection.execute(insert(run_chunks), [fresh | dict(chunk) for chunk in chunks])
    elif [row.partitions for row in recorded] != [chunk["partitions"] for chunk in chunks]:
        raise RunStateError(
            f"run {run_id}: its input files are not those it listed before", remedy="open a new run for the date"
        )


def chunk_rows(connection: Connection, run_id: int) -> Sequence[Row[Any]]:
    """The chunks of a run, in order."""
    rows = select(run_chunks).where(run_chunks.c.run_id == run_id).order_by(run_chunks.c.chunk)
    return connection.execute(rows).all()


def get_chunk(connection: Connection, run_id: int, chunk: int) -> Row[Any]:
    """The row of one chunk.

    Raises
    ------
    NotFoundError
        If the run has none of that number.
    """
    return _one_chunk(connection, select(run_chunks), run_id, chunk)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one attempt to write one chunk's rows or estimates, held within a transaction.

    Attributes
    ----------
    run_id, chunk, attempt : int
    rewrites : bool
        Whether an earlier attempt has already committed.
    """

    run_id: int
    chunk: int
    attempt: int
    rewrites: bool


def claim_rows(connection: Connection, run_id: int, chunk: int, attempt: int) -> Claim:
    """Take the right to write a chunk's rows, until the transaction ends.

    Raises
    ------
    StaleAttemptError
        If a newer attempt has it.
    RunStateError
        If the run is no longer being staged.
    """
    row = _lock_chunk(connection, run_id, chunk)
    if row.attempt > attempt:
        raise StaleAttemptError(
            f"run {run_id}, chunk {chunk}: attempt {attempt} is stale, attempt {row.attempt} has it"
        )
    _set_chunk(connection, run_id, chunk, attempt=attempt)
    return Claim(run_id, chunk, attempt, rewrites=row.written_at is not None)


def mark_written(connection: Connection, claim: Claim, rows: int, checksum: str) -> None:
    """Record that the claimed chunk's rows are all there."""
    _set_chunk(connection, claim.run_id, claim.chunk, rows=rows, checksum=checksum, written_at=now())


def claim_estimate(connection: Connection, run_id: int, chunk: int, attempt: int) -> None:
    """Become the newest attempt at a chunk's estimates.

    Raises
    ------
    StaleAttemptError
        If a newer attempt has it.
    """
    row = _lock_chunk(connection, run_id, chunk)
    if row.estimate_attempt > attempt:
        raise StaleAttemptError(
            f"run {run_id}, chunk {chunk}: attempt {attempt} at its estimates is stale, "
            f"attempt {row.estimate_attempt} has it"
        )
    _set_chunk(connection, run_id, chunk, estimate_attempt=attempt)


def mark_estimated(connection: Connection, run_id: int, chunk: int, attempt: int, shard: str) -> None:
    """Record where a chunk's estimates are, unless a newer attempt has taken over.

    Raises
    ------
    StaleAttemptError
        If a newer attempt has it.
    """
    claim_estimate(connection, run_id, chunk, attempt)
    _set_chunk(connection, run_id, chunk, estimate_shard=shard)


def require_listed(run: Row[Any]) -> None:
    """Refuse a run that has not listed its input: cleared alone, a later stage would find an empty night.

    Raises
    ------
    RunStateError
    """
    if run.backlog_rows is None:
        raise RunStateError(f"run {run.run_id} of {run.dt} has not listed its input files", remedy=BEGIN_AGAIN)


def claim_solve(connection: Connection, run_id: int, attempt: int) -> None:
    """Become the newest attempt at solving a run, or go on being it.

    Raises
    ------
    StaleAttemptError
        If a newer attempt has it.
    """
    run = _lock_run(connection, run_id)
    _require(run, "staged")
    if run.solve_attempt > attempt:
        raise StaleAttemptError(
            f"run {run_id}: attempt {attempt} at solving it is stale, attempt {run.solve_attempt} has it"
        )
    _update(connection, run_id, solve_attempt=attempt)


def mark_checked(connection: Connection, run_id: int) -> None:
    """Staged → checked."""
    run = _lock_run(connection, run_id)
    _require(run, "staged", "checked")
    _update(connection, run_id, status="checked", checked_at=now())


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
    _require(run, "checked")
    reigning = next((other for other in runs.values() if other.status == "current"), None)
    if run.shadow or (reigning is not None and not run.replan and _is_handed_out(connection, runs.values())):
        _update(connection, run_id, status="shadow", published_at=now())
        return "shadow"
    _refuse_stale_base(run, reigning)
    if reigning is not None and reigning.run_id > run_id:
        _update(connection, run_id, status="superseded", superseded_at=now())
        return "superseded"
    guards.refuse_dropped(connection, run, reigning)
    guards.refuse_sent_twice(connection, run)
    if reigning is None:
        _update(connection, run_id, status="current", published_at=now())
        return "current"
    _update(connection, reigning.run_id, status="superseded", superseded_at=now())
    _update(connection, run_id, status="current", published_at=now(), supersedes_run_id=reigning.run_id)
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
        _update(connection, run.run_id, sealed_at=now())
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
    _update(connection, run.run_id, status="superseded", superseded_at=now(), rolled_back_at=now())
    _update(connection, run.supersedes_run_id, status="current", superseded_at=None)
    return get_run(connection, run.supersedes_run_id), get_run(connection, run.run_id)


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
    run = _lock_run(connection, run_id)
    if run.status not in ("staged", "checked"):
        return False
    _update(connection, run_id, status="failed", failed_at=now(), failure=reason)
    return True


def update_run(connection: Connection, run_id: int, **values: Any) -> None:
    """Set figures of a run that is still being staged.

    Raises
    ------
    RunStateError
        If it is not.
    """
    _require(_lock_run(connection, run_id), "staged")
    _update(connection, run_id, **values)


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


def _update(connection: Connection, run_id: int, **values: Any) -> None:
    connection.execute(update(routing_runs).where(routing_runs.c.run_id == run_id).values(**values))


def _set_chunk(connection: Connection, run_id: int, chunk: int, **values: Any) -> None:
    one = (run_chunks.c.run_id == run_id) & (run_chunks.c.chunk == chunk)
    connection.execute(update(run_chunks).where(one).values(**values))


def _lock_run(connection: Connection, run_id: int) -> Row[Any]:
    # The table before the row, as those who open and publish do: two orders would be a deadlock.
    lock_writers(connection, "routing_runs")
    get_run(connection, run_id)
    return connection.execute(select(routing_runs).where(routing_runs.c.run_id == run_id).with_for_update()).one()


def lock_runs_of(connection: Connection, dt: date) -> Sequence[Row[Any]]:
    """All runs of a date in the order they were opened, locked so that no other publishes meanwhile."""
    lock_writers(connection, "routing_runs")
    return connection.execute(select(routing_runs).where(routing_runs.c.dt == dt).order_by(routing_runs.c.run_id)).all()


def _lock_chunk(connection: Connection, run_id: int, chunk: int) -> Row[Any]:
    run = connection.execute(
        select(routing_runs).where(routing_runs.c.run_id == run_id).with_for_update(read=True)
    ).one_or_none()
    if run is None:
        raise NotFoundError(f"run {run_id} is not in the results database")
    _require(run, "staged")
    return _one_chunk(connection, select(run_chunks).with_for_update(), run_id, chunk)


def _one_chunk(connection: Connection, chunks: Select[Any], run_id: int, chunk: int) -> Row[Any]:
    one = (run_chunks.c.run_id == run_id) & (run_chunks.c.chunk == chunk)
    row = connection.execute(chunks.where(one)).one_or_none()
    if row is None:
        raise NotFoundError(f"run {run_id} has no chunk {chunk}", remedy=BEGIN_AGAIN)
    return row


def refuse_failed(run: Row[Any]) -> None:
    """Refuse to go on with a run that has failed.

    Raises
    ------
    RunStateError
    """
    if run.status == "failed":
        raise RunStateError(f"run {run.run_id} of {run.dt} failed: {run.failure}", remedy=BEGIN_AGAIN)


def _require(run: Row[Any], *statuses: str) -> None:
    if run.status not in statuses:
        raise RunStateError(
            f"run {run.run_id} of {run.dt} is {run.status}; this step needs it {' or '.join(statuses)}",
            remedy=BEGIN_AGAIN,
        )
