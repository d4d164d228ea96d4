"""What goes into a run: the files of the backlog and those that hold what the night before deferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, insert, select

from routing_core.errors import ChangedInputError, NotFoundError
from routing_core.records.assignments import Reason
from routing_core.records.columns import Kind
from routing_core.records.queries import QUERY_COLUMNS, Queries
from routing_core.settings import Settings
from routing_core.store.carry import Waiting, carried_rows
from routing_core.store.database import reading
from routing_core.store.decisions import identity_table
from routing_core.store.files import InputFile, list_partition, partition_path
from routing_core.store.parquet import read_queries
from routing_core.store.runs import BEGIN_AGAIN
from routing_core.store.tables.runs import run_chunks, run_inputs

BACKLOG = "backlog"
CARRIED = "carried"


@dataclass(frozen=True, slots=True)
class Input:
    """One file, and how many of its rows are input.

    Attributes
    ----------
    source : str
        :data:`BACKLOG` (all rows) or :data:`CARRIED` (those the night before deferred).
    partition_dt : date
        Day of the backlog partition the file is in.
    file : InputFile
    waiting : int or None
        Rows carried from it; None for the backlog.
    """

    source: str
    partition_dt: date
    file: InputFile
    waiting: int | None = None

    @property
    def rows(self) -> int:
        """Rows that are input; 0 for a file that cannot be read, which fails its chunk by name."""
        return (self.file.rows or 0) if self.waiting is None else self.waiting

    def row(self) -> dict[str, Any]:
        """The file as a row of ``run_inputs``."""
        return {
            "source": self.source,
            "partition_dt": self.partition_dt,
            "partition": self.file.name,
            "size_bytes": self.file.size_bytes,
            "sha256": self.file.sha256,
            "rows": self.rows,
        }


@dataclass(frozen=True, slots=True)
class RejectedInput:
    """A row that cannot be routed: the columns of ``rejected_queries`` that are its own."""

    first_dt: date
    partition: str
    row: int
    query_id: str | None
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """The queries of a chunk as read, with where each came from.

    Attributes
    ----------
    queries : Queries
    partition : ndarray of str objects, shape (n_queries,)
    row : ndarray of int64, shape (n_queries,)
    rejected : tuple of RejectedInput
    """

    queries: Queries
    partition: NDArray[np.object_]
    row: NDArray[np.int64]
    rejected: tuple[RejectedInput, ...]

    def reject(self, at: int, reason: Reason, detail: str) -> RejectedInput:
        """The query at ``at`` as a rejected row."""
        first_dt: date = self.queries.first_dt[at].astype("datetime64[D]").item()
        return RejectedInput(
            first_dt, self.partition[at], int(self.row[at]), self.queries.query_id[at], reason.value, detail
        )

    def identities(self, nights_waited: NDArray[np.int64], kept: NDArray[np.bool_]) -> pa.Table:
        """The identities of the queries ``kept``, as a shard keeps them."""
        queries = self.queries
        return identity_table(
            query_id=queries.query_id[kept],
            task=queries.task[kept],
            team=queries.team[kept],
            partition=self.partition[kept],
            row=self.row[kept],
            first_dt=queries.first_dt[kept],
            nights_waited=nights_waited[kept],
            deadline=queries.deadline[kept],
            submitted_at=queries.submitted_at[kept],
        )


def record(connection: Connection, run_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
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


def list_carried(root: str, waiting: Mapping[tuple[date, str], Waiting]) -> list[Input]:
    """The files of ``waiting``, proven to be those the night before listed.

    Raises
    ------
    ChangedInputError
        If one of them is gone, or is another by now: its rows are no longer those that were deferred.
    """
    listed = {
        (day, file.name): file for day in sorted({day for day, _ in waiting}) for file in list_partition(root, day)
    }
    lost = [
        f"{partition_path(root, day)}/{name}"
        for (day, name), wanted in waiting.items()
        if (day, name) not in listed or listed[day, name].sha256 != wanted.sha256
    ]
    if lost:
        raise ChangedInputError(
            f"files that hold queries deferred on nights before are gone or changed: {', '.join(sorted(lost)[:5])}",
            remedy="restore them, or route with carry_over: none",
        )
    return [Input(CARRIED, day, listed[day, name], wanted.queries) for (day, name), wanted in sorted(waiting.items())]


def deal(files: Sequence[Input], chunks: int) -> list[list[Input]]:
    """Deal files to at most ``chunks`` chunks of similar bytes, keeping their order."""
    total = sum(one.file.size_bytes for one in files)
    dealt: list[list[Input]] = [[] for _ in range(min(chunks, len(files)))]
    before = 0
    for one in files:
        middle = before + one.file.size_bytes / 2
        dealt[min(int(middle * len(dealt) / max(total, 1)), len(dealt) - 1)].append(one)
        before += one.file.size_bytes
    return [chunk for chunk in dealt if chunk]


def chunk_row(chunk: int, files: Sequence[Input]) -> dict[str, Any]:
    """A chunk as a row of ``run_chunks``."""
    partitions = [[one.partition_dt.isoformat(), one.file.name] for one in files]
    return {"chunk": chunk, "source": files[0].source, "partitions": partitions}


def of_chunk(connection: Connection, run_id: int, chunk: int, root: str) -> list[Input]:
    """The files of a chunk, as they were when listed.

    Raises
    ------
    NotFoundError
        If the run has no such chunk.
    """
    one = (run_chunks.c.run_id == run_id) & (run_chunks.c.chunk == chunk)
    row = connection.execute(select(run_chunks).where(one)).one_or_none()
    if row is None:
        raise NotFoundError(f"run {run_id} has no chunk {chunk}")
    wanted = {(date.fromisoformat(day), name) for day, name in row.partitions}
    rows = connection.execute(
        select(run_inputs).where(run_inputs.c.run_id == run_id, run_inputs.c.source == row.source)
    )
    listed = [_input(root, file) for file in rows if (file.partition_dt, file.partition) in wanted]
    return sorted(listed, key=lambda one: (one.partition_dt, one.file.name))


def listed(connection: Connection, run_id: int, root: str) -> dict[tuple[date, str], InputFile]:
    """The input files of a run by day and name, as they were when listed."""
    rows = connection.execute(select(run_inputs).where(run_inputs.c.run_id == run_id))
    return {(row.partition_dt, row.partition): _input(root, row).file for row in rows}


def input_rows(connection: Connection, run_id: int) -> list[dict[str, Any]]:
    """The record of a run's input files, to be another run's too."""
    columns = [column for column in run_inputs.c if column.name != "run_id"]
    rows = connection.execute(select(*columns).where(run_inputs.c.run_id == run_id)).mappings()
    return [dict(row) for row in rows]


def read_chunk(settings: Settings, files: Sequence[Input], run_id: int, embedding_size: int | None) -> Chunk:
    """Read a chunk's files: every row of the backlog's, the deferred queries of the carried ones.

    Parameters
    ----------
    settings : Settings
    files : sequence of Input
    run_id : int
        The run that takes up the carried ones.
    embedding_size : int or None
        Length of the embeddings the night is estimated with; None reads none, whatever the files have.

    Raises
    ------
    ChangedInputError, ContractError
        Naming the file.
    """
    by_day: dict[date, list[Input]] = {}
    for one in files:
        by_day.setdefault(one.partition_dt, []).append(one)
    wanted: Mapping[date, Mapping[str, Sequence[int]]] = {}
    if files[0].source == CARRIED:
        with reading(settings) as connection:
            wanted = carried_rows(connection, run_id)
    return _joined([_read_day(settings, day, of_day, wanted, embedding_size) for day, of_day in by_day.items()])


def _input(root: str, row: Row[Any]) -> Input:
    path = f"{partition_path(root, row.partition_dt)}/{row.partition}"
    file = InputFile(path, row.partition, int(row.size_bytes), row.sha256, int(row.rows))
    return Input(row.source, row.partition_dt, file, int(row.rows) if row.source == CARRIED else None)


def _read_day(
    settings: Settings,
    day: date,
    files: Sequence[Input],
    wanted: Mapping[date, Mapping[str, Sequence[int]]],
    embedding_size: int | None,
) -> Chunk:
    read = read_queries(
        settings.backlog_root,
        day,
        [one.file for one in files],
        columns=[column for column in QUERY_COLUMNS if column.kind is not Kind.VECTOR or embedding_size],
        only=wanted.get(day, {}) if files[0].source == CARRIED else None,
        dimension=embedding_size,
    )
    rejected = tuple(RejectedInput(day, r.partition, r.row, r.query_id, r.reason, r.detail) for r in read.rejected)
    return Chunk(read.queries, read.partition, read.row, rejected)


def _joined(parts: Sequence[Chunk]) -> Chunk:
    if len(parts) == 1:
        return parts[0]
    return Chunk(
        Queries.concatenate([part.queries for part in parts]),
        np.concatenate([part.partition for part in parts]),
        np.concatenate([part.row for part in parts]),
        tuple(one for part in parts for one in part.rejected),
    )
