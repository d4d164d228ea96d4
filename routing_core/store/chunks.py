"""The chunks of a run: laid down once, estimated and written by the newest attempt at each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from routing_core.errors import NotFoundError, RunStateError, StaleAttemptError
from routing_core.store.database import now
from routing_core.store.runs import BEGIN_AGAIN, get_run, lock_run, require, take_up_again
from routing_core.store.tables.runs import routing_runs, run_chunks


def record(connection: Connection, run_id: int, chunks: Sequence[Mapping[str, Any]]) -> None:
    """Lay down a run's chunks; a retry finds them as they are.

    Raises
    ------
    RunStateError
        If the chunks recorded before are others, because the inputs changed in between.
    """
    recorded = of_run(connection, run_id)
    if not recorded:
        fresh = {"run_id": run_id, "estimate_attempt": 0, "attempt": 0}
        if chunks:
            connection.execute(insert(run_chunks), [fresh | dict(chunk) for chunk in chunks])
    elif [row.partitions for row in recorded] != [chunk["partitions"] for chunk in chunks]:
        raise RunStateError(
            f"run {run_id}: its input files are not those it listed before", remedy="open a new run for the date"
        )


def of_run(connection: Connection, run_id: int) -> Sequence[Row[Any]]:
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
    row = _lock_chunk(connection, run_id, chunk, "attempt", attempt)
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
    row = _lock_chunk(connection, run_id, chunk, "estimate_attempt", attempt)
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


def take_estimates(connection: Connection, run_id: int, chunk: int, shard: str) -> None:
    """Record that a chunk's estimates are those of another run, by their path from this one's directory."""
    _set_chunk(connection, run_id, chunk, estimate_shard=shard)


def estimated(connection: Connection, run_id: int) -> tuple[str, ...]:
    """Where the estimates of a run's chunks are, in order, below the run's directory.

    Raises
    ------
    RunStateError
        If a chunk has none.
    """
    found = {row.chunk: row.estimate_shard for row in of_run(connection, run_id)}
    if missing := [str(chunk) for chunk, shard in found.items() if shard is None]:
        raise RunStateError(
            f"run {run_id}: chunks {', '.join(missing[:5])} have no estimates of this input by these means",
            remedy="clear estimate and what follows it, or the whole DAG run",
        )
    return tuple(found.values())


def _set_chunk(connection: Connection, run_id: int, chunk: int, **values: Any) -> None:
    one = (run_chunks.c.run_id == run_id) & (run_chunks.c.chunk == chunk)
    connection.execute(update(run_chunks).where(one).values(**values))


def _lock_chunk(connection: Connection, run_id: int, chunk: int, fence: str, attempt: int) -> Row[Any]:
    """The chunk's row, locked in a run that is being staged: its newest attempt so far is in the column ``fence``."""
    if get_run(connection, run_id).status == "failed":
        newest = getattr(get_chunk(connection, run_id, chunk), fence)
        take_up_again(connection, lock_run(connection, run_id), newer=attempt > newest)
    locked = select(routing_runs).where(routing_runs.c.run_id == run_id).with_for_update(read=True)
    require(connection.execute(locked).one(), "staged")
    return _one_chunk(connection, select(run_chunks).with_for_update(), run_id, chunk)


def _one_chunk(connection: Connection, chunks: Select[Any], run_id: int, chunk: int) -> Row[Any]:
    one = (run_chunks.c.run_id == run_id) & (run_chunks.c.chunk == chunk)
    row = connection.execute(chunks.where(one)).one_or_none()
    if row is None:
        raise NotFoundError(f"run {run_id} has no chunk {chunk}", remedy=BEGIN_AGAIN)
    return row
