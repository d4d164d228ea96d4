"""What nobody needs any more: which runs, directories and predictors may go, and taking them out.

A run may go when it is not current, was never handed out or settled, is older than what is kept, and no run that stays
leans on it. Its row stays, marked, so that numbers, dates and reasons can always be looked up.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, func, or_, select, update

from routing_core.store.database import lock_writers, now
from routing_core.store.tables import metadata
from routing_core.store.tables.fleet import allocations
from routing_core.store.tables.handing_out import exports
from routing_core.store.tables.learning import predictor_versions
from routing_core.store.tables.proof import night_settlements
from routing_core.store.tables.runs import routing_runs, run_chunks, run_sources

_KEPT_WITH_THE_ROW = frozenset({"routing_runs", "exports", "settlements", "night_settlements", "calibration_bins"})
"""Tables whose few rows a pruned run keeps."""
OF_RUN = tuple(
    table for table in metadata.sorted_tables if "run_id" in table.columns and table.name not in _KEPT_WITH_THE_ROW
)
"""Tables a pruned run is taken out of."""

_IS_ELSEWHERE = run_chunks.c.estimate_shard.like("../%")  # in the directory of the run named there


def prunable_runs(connection: Connection, before: datetime) -> list[Row[Any]]:
    """Runs that may go, oldest first.

    Parameters
    ----------
    connection : Connection
    before : datetime
        Runs opened later stay.
    """
    runs = {run.run_id: run for run in connection.execute(select(routing_runs).order_by(routing_runs.c.run_id))}
    settled = set(connection.execute(select(night_settlements.c.run_id)).scalars())
    staying = {
        run_id
        for run_id, run in runs.items()
        if run.status == "current" or run.sealed_at is not None or _utc(run.opened_at) >= before or run_id in settled
    }
    needed = _with_what_they_lean_on(connection, runs, staying)
    return [run for run_id, run in runs.items() if run_id not in needed and run.pruned_at is None]


def rows_of(connection: Connection, run_id: int) -> int:
    """Rows a run has in the tables it is taken out of."""
    counts = (select(func.count()).select_from(table).where(table.c.run_id == run_id) for table in OF_RUN)
    return sum(int(connection.execute(count).scalar_one()) for count in counts)


def prune_run(connection: Connection, run_id: int, before: datetime) -> int | None:
    """Take a run out of all tables but its own row; the rows taken out, or None if it must stay by now."""
    lock_writers(connection, "routing_runs")
    if run_id not in {run.run_id for run in prunable_runs(connection, before)}:
        return None
    gone = sum(connection.execute(delete(table).where(table.c.run_id == run_id)).rowcount for table in OF_RUN)
    abandoned = routing_runs.c.status.in_(("staged", "checked"))
    one = routing_runs.c.run_id == run_id
    failed = {"status": "failed", "failed_at": now(), "failure": "left half-way, and pruned"}
    connection.execute(update(routing_runs).where(one, abandoned).values(**failed))
    connection.execute(update(routing_runs).where(one).values(pruned_at=now()))
    return gone


def whole_runs(connection: Connection) -> set[int]:
    """Runs that are not pruned."""
    return set(connection.execute(select(routing_runs.c.run_id).where(routing_runs.c.pruned_at.is_(None))).scalars())


def needed_predictors(connection: Connection, before: datetime) -> set[str]:
    """Content hashes of the predictors that somebody may ask for: young ones, champions, and what runs planned with."""
    used = select(routing_runs.c.predictor_id).where(routing_runs.c.pruned_at.is_(None))
    allotted = select(allocations.c.predictor_id).where(allocations.c.superseded_at.is_(None))
    version = predictor_versions.c
    promoted = (version.decision == "promoted") & version.superseded_at.is_(None)
    newest = select(func.max(version.trained_through)).where(promoted).scalar_subquery()
    needed = or_(
        version.created_at >= before,
        promoted & (version.trained_through == newest),
        version.predictor_id.in_(used),
        version.predictor_id.in_(allotted),
    )
    return set(connection.execute(select(version.content_hash).where(needed)).scalars())


def old_exports(connection: Connection, before: datetime) -> list[Path]:
    """Directories of plans that were written out long ago, and not again since."""
    last = func.max(exports.c.exported_at)
    rows = connection.execute(select(exports.c.directory, last.label("last")).group_by(exports.c.directory))
    return sorted(Path(row.directory) for row in rows if _utc(row.last) < before)


def size_of(directory: Path) -> int:
    """Bytes of the files below a directory."""
    return sum(file.lstat().st_size for file in directory.rglob("*") if file.is_file())


def remove(directory: Path) -> None:
    """Remove a directory: out of sight at once, so that a crash leaves nothing that looks whole."""
    doomed = directory.with_name(f".pruned-{directory.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    directory.rename(doomed)
    shutil.rmtree(doomed)


def _with_what_they_lean_on(connection: Connection, runs: dict[int, Row[Any]], staying: Iterable[int]) -> set[int]:
    """Runs that stay, and those they were planned from, took queries or estimates over from, or that may come back."""
    sources: dict[int, list[int]] = {}
    for row in connection.execute(select(run_sources.c.run_id, run_sources.c.source_run_id)):
        sources.setdefault(row.run_id, []).append(row.source_run_id)
    for row in connection.execute(select(run_chunks.c.run_id, run_chunks.c.estimate_shard).where(_IS_ELSEWHERE)):
        sources.setdefault(row.run_id, []).append(int(Path(row.estimate_shard).parts[1]))
    needed, waiting = set(), list(staying)
    while waiting:
        run_id = waiting.pop()
        if run_id in needed:
            continue
        needed.add(run_id)
        run = runs[run_id]
        waiting += [*sources.get(run_id, ()), *filter(None, (run.base_run_id, run.carried_from_run_id))]
    return needed


def _utc(moment: datetime) -> datetime:
    """A time as the database gives it; SQLite forgets the zone."""
    return moment if moment.tzinfo else moment.replace(tzinfo=now().tzinfo)
