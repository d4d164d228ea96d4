"""Partitions written: whole, in files of a given number, with equal bytes for equal data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from routing_core.errors import ContractError
from routing_core.records.columns import Column
from routing_core.store.columns import ARROW_TYPES
from routing_core.store.files import SUCCESS_MARKER, open_root, partition_path, replacing_partition

_ROWS_PER_GROUP = 65_536


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema that a contract is written with."""
    return pa.schema([pa.field(c.name, ARROW_TYPES[c.kind], metadata={"meaning": c.meaning}) for c in columns])


class PartitionWriter:
    """Writes the files of one partition, ``part-00000.parquet`` on, in the order of calls."""

    def __init__(self, filesystem: Any, directory: str) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._written = 0

    def write(self, table: pa.Table) -> str:
        """Write one file and return its name; equal tables make equal bytes."""
        name = f"part-{self._written:05d}.parquet"
        _write(self._filesystem, f"{self._directory}/{name}", table)
        self._written += 1
        return name

    def mark_complete(self) -> None:
        """Leave an empty ``_SUCCESS`` beside the files, for readers that wait for one."""
        with self._filesystem.open_output_stream(f"{self._directory}/{SUCCESS_MARKER}", compression=None):
            pass


@contextmanager
def writing_partition(root: str | Path, dt: date, *, success: bool = False) -> Iterator[PartitionWriter]:
    """A writer whose files replace the partition of ``dt`` as a whole, once the body has ended well."""
    with replacing_partition(root, dt) as (filesystem, directory):
        writer = PartitionWriter(filesystem, directory)
        yield writer
        if success:
            writer.mark_complete()


def write_partition(
    root: str | Path, dt: date, data: pa.Table | Mapping[str, Any], *, parts: int = 1, success: bool = False
) -> tuple[str, ...]:
    """Replace the partition of ``dt`` by ``data``, cut into ``parts`` files of nearly equal rows.

    Parameters
    ----------
    data : pyarrow.Table, or mapping of column name to array
    parts : int
        Number of files, at least 1; files may be empty.
    success : bool
        Whether to leave a ``_SUCCESS`` marker.

    Returns
    -------
    tuple of str
        Names of the files.
    """
    if parts < 1:
        raise ContractError(f"partition {partition_path(root, dt)}: parts must be at least 1, got {parts}")
    table = data if isinstance(data, pa.Table) else pa.table(dict(data))
    edges = [len(table) * k // parts for k in range(parts + 1)]
    with writing_partition(root, dt, success=success) as writer:
        return tuple(writer.write(table.slice(a, b - a)) for a, b in pairwise(edges))


def add_file(root: str | Path, dt: date, name: str, table: pa.Table) -> None:
    """Add one file to the partition of ``dt``, or replace it; it appears whole or not at all."""
    filesystem, base = open_root(root)
    directory = partition_path(base, dt)
    filesystem.create_dir(directory, recursive=True)
    scratch = f"{directory}/_writing-{uuid4().hex}"
    _write(filesystem, scratch, table)
    filesystem.move(scratch, f"{directory}/{name}")


def _write(filesystem: Any, path: str, table: pa.Table) -> None:
    with filesystem.open_output_stream(path, compression=None) as stream:
        pq.write_table(table, stream, compression="zstd", row_group_size=_ROWS_PER_GROUP)
