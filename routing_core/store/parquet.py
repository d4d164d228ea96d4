"""Backlog and outcomes between Parquet and records; rows that break the contract are set aside, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from routing_core.errors import ContractError
from routing_core.records.assignments import Reason
from routing_core.records.columns import Column, Kind
from routing_core.records.outcomes import OUTCOME_COLUMNS, Outcomes
from routing_core.records.queries import QUERY_COLUMNS, Queries
from routing_core.store.columns import Checked, check_column, fault_details, readable_name, vector_lengths
from routing_core.store.files import (
    InputFile,
    check_unchanged,
    file_names,
    list_partition,
    partition_dates,
    partition_path,
    read_bytes,
    read_unchanged,
)
from routing_core.store.sequences import Texts
from routing_core.store.values import Values
from routing_core.store.writing import PartitionWriter, add_file, arrow_schema, write_partition, writing_partition

__all__ = [
    "InputFile",
    "PartitionWriter",
    "ReadQueries",
    "RejectedRow",
    "add_file",
    "arrow_schema",
    "check_unchanged",
    "list_partition",
    "partition_dates",
    "partition_path",
    "read_outcome_file",
    "read_outcomes",
    "read_queries",
    "write_partition",
    "writing_partition",
]


_NEVER = np.datetime64("9999-12-31", "us")
_MOST_ROWS_PER_BYTE = 8
"""Rows with identifiers of their own do not pack tighter; what does unfolds into more than memory holds."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that is not used, and why.

    Attributes
    ----------
    partition : str
        Name of its file; for outcomes with the day's directory before it.
    row : int
        Row number in the file, from 0.
    query_id : str or None
        None where the row has none that can be read.
    reason : Reason
    detail : str
        Column, rule and the value seen, shortened.
    """

    partition: str
    row: int
    query_id: str | None
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class ReadQueries:
    """The queries of some files of a partition, and the rows set aside.

    Attributes
    ----------
    queries : Queries
        In the order of the files given, then of rows.
    partition : ndarray of str objects, shape (n_queries,)
        Name of the file each came from.
    row : ndarray of int64, shape (n_queries,)
        Row number in that file, from 0.
    rejected : tuple of RejectedRow
    """

    queries: Queries
    partition: NDArray[np.object_]
    row: NDArray[np.int64]
    rejected: tuple[RejectedRow, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """The good rows of one file."""

    values: dict[str, Any]
    rows: NDArray[np.int64]
    rejected: tuple[RejectedRow, ...]


def read_queries(
    root: str | Path,
    dt: date,
    files: Sequence[InputFile],
    *,
    columns: Sequence[Column] = QUERY_COLUMNS,
    only: Mapping[str, Sequence[int]] | None = None,
    dimension: int | None = None,
) -> ReadQueries:
    """Read and check files of a backlog partition.

    Parameters
    ----------
    root : str or Path
    dt : date
    files : sequence of InputFile
        As listed; their bytes are proven to be the listed ones.
    columns : sequence of Column
        Columns to read and check. One that is left out has its default; left out and required, it is empty
        (``""`` or 0). Rows are judged by the columns read alone, so whoever counts rejections reads them all.
    only : mapping of str to sequence of int, optional
        Rows to read of each file, by name; all by default. Other rows are as if they were not there.
    dimension : int, optional
        Length that embeddings must have; by default the most frequent one among these files.

    Raises
    ------
    ChangedInputError
        If a file is not the one listed.
    ContractError
        If a file is unreadable, or lacks a required column, or has one of a type that cannot hold the contract.
    """
    names = [file.name for file in files]
    tables = [_read_table(read_unchanged(root, dt, f), _where(root, dt, f.name), columns) for f in files]
    wheres = [_where(root, dt, name) for name in names]
    parts = _check_tables(tables, names, wheres, columns, _end_of_grace(dt), dimension)
    if only is not None:
        parts = [_restricted(part, only.get(name, ())) for part, name in zip(parts, names, strict=True)]
    values = Values([part.values for part in parts], columns)
    repeats = _repeats(values.texts("query_id"))
    partition = np.repeat(np.array(names, dtype=object), [len(part.rows) for part in parts])
    row = np.concatenate([np.empty(0, dtype=np.int64), *(part.rows for part in parts)])
    rejected = [r for part in parts for r in part.rejected]
    if len(repeats):
        rejected += _duplicates(values.texts("query_id"), partition, row, repeats)
        first = np.ones(len(row), dtype=bool)
        first[repeats[:, 0]] = False
        values, partition, row = values.filter(first), partition[first], row[first]
    return ReadQueries(_queries(values, dt), partition, row, tuple(rejected))


def read_outcomes(
    root: str | Path, dates: Iterable[date], *, columns: Sequence[Column] = OUTCOME_COLUMNS
) -> tuple[Outcomes, tuple[RejectedRow, ...]]:
    """Read and check the outcomes logged on some days; days without a partition are left out.

    Parameters
    ----------
    root : str or Path
    dates : iterable of date
    columns : sequence of Column
        Columns to read and check; one that is left out is empty (``""``, 0, NaN or NaT).

    Raises
    ------
    ContractError
        If a file is unreadable, or lacks a required column, or has one of a type that cannot hold the contract.
    """
    present = set(partition_dates(root))
    parts: list[_Part] = []
    for dt in sorted(set(dates) & present):
        for name in file_names(root, dt):
            where = _where(root, dt, name)
            table = _read_table(_open_bytes(root, dt, name), where, columns)
            parts += _check_tables([table], [f"dt={dt.isoformat()}/{name}"], [where], columns, _end_of_grace(dt))
    rejected = tuple(row for part in parts for row in part.rejected)
    return _outcomes(Values([part.values for part in parts], columns)), rejected


def read_outcome_file(
    file: Path, *, columns: Sequence[Column] = OUTCOME_COLUMNS
) -> tuple[Outcomes, tuple[RejectedRow, ...]]:
    """Read and check one local file of outcomes that is in no partition, logged whenever they were.

    Raises
    ------
    ContractError
        If the file is unreadable, or lacks a required column, or has one of a type that cannot hold the contract.
    """
    try:
        content = pa.py_buffer(file.read_bytes())
    except OSError as error:
        raise ContractError(f"file {file} cannot be opened: {error}") from error
    table = _read_table(content, str(file), columns)
    parts = _check_tables([table], [file.name], [str(file)], columns, _NEVER)
    return _outcomes(Values([part.values for part in parts], columns)), parts[0].rejected


def _where(root: str | Path, dt: date, name: str) -> str:
    return f"{partition_path(root, dt)}/{name}"


def _end_of_grace(dt: date) -> np.datetime64:
    """Last time a row of the partition may look back to: a day is given for clocks and time zones."""
    return np.datetime64(dt + timedelta(days=2), "us")


def _open_bytes(root: str | Path, dt: date, name: str) -> pa.Buffer:
    try:
        return read_bytes(root, dt, name)
    except OSError as error:
        raise ContractError(f"file {_where(root, dt, name)} cannot be opened: {error}") from error


def _read_table(content: pa.Buffer, where: str, columns: Sequence[Column]) -> pa.Table:
    """The contract's columns of one file, each as one chunk."""
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows > _MOST_ROWS_PER_BYTE * content.size:
            raise ContractError(
                f"file {where} must have at most {_MOST_ROWS_PER_BYTE} rows for each of its {content.size} bytes, "
                f"has {file.metadata.num_rows} rows"
            )
        present = _columns_present(file.schema_arrow, where, columns)
        return file.read(columns=present).unify_dictionaries().combine_chunks()
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ContractError(
            f"file {where} must be readable Parquet, and is not ({content.size} bytes): {reason[:200]}",
            remedy="write the file again, or remove it from the partition",
        ) from error


def _columns_present(schema: pa.Schema, where: str, columns: Sequence[Column]) -> list[str]:
    present = []
    for column in columns:
        count = len(schema.get_all_field_indices(column.name))
        if count > 1:
            raise ContractError(f"file {where} must have column {column.name!r} once, has it {count} times")
        if count == 0 and column.required:
            seen = ", ".join(schema.names[:20]) or "none"
            raise ContractError(f"file {where} must have column {column.name!r}; it has {seen}")
        if count:
            present.append(column.name)
    return present


def _column(table: pa.Table, name: str) -> pa.Array:
    """A column as one array, nulls where the file has none."""
    if name not in table.schema.names:
        return pa.nulls(len(table))
    chunked = table.column(name)
    if chunked.num_chunks > 1 and (pa.types.is_string(chunked.type) or pa.types.is_binary(chunked.type)):
        chunked = chunked.cast(pa.large_binary())  # above 2 GiB, text does not fit one chunk of 32-bit offsets
    combined = chunked.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)


def _check_tables(
    tables: list[pa.Table],
    names: Sequence[str],
    wheres: Sequence[str],
    columns: Sequence[Column],
    latest: np.datetime64,
    dimension: int | None = None,
) -> list[_Part]:
    """Check each file against the contract; tables are let go of as they are done."""
    dimension = dimension or _usual_dimension(tables, wheres, columns)
    parts = []
    for k, (name, where) in enumerate(zip(names, wheres, strict=True)):
        parts.append(_check_table(tables[k], name, where, columns, dimension, latest))
        tables[k] = None
    return parts


def _restricted(part: _Part, rows: Sequence[int]) -> _Part:
    """A file as if it had these rows alone."""
    wanted = np.isin(part.rows, np.asarray(rows, dtype=np.int64))
    kept = {name: _keep(values, wanted) for name, values in part.values.items()}
    return _Part(kept, part.rows[wanted], tuple(one for one in part.rejected if one.row in set(rows)))


def _usual_dimension(tables: Sequence[pa.Table], wheres: Sequence[str], columns: Sequence[Column]) -> int | None:
    """Most frequent length of the vectors, the smaller of two as frequent; None if there is no vector."""
    lengths = [np.empty(0, dtype=np.int64)]
    for column in (c for c in columns if c.kind is Kind.VECTOR):
        for table, where in zip(tables, wheres, strict=True):
            with _naming(where, column):
                lengths.append(vector_lengths(column, _column(table, column.name)))
    seen, counts = np.unique(np.concatenate(lengths), return_counts=True)
    return int(seen[counts.argmax()]) if len(seen) else None


@contextmanager
def _naming(where: str, column: Column) -> Iterator[None]:
    """Name the file in whatever goes wrong with a column."""
    try:
        yield
    except ContractError as error:
        raise ContractError(f"file {where}: {error.message}") from error
    except (pa.ArrowException, ValueError, MemoryError) as error:
        raise ContractError(f"file {where}: column {column.name!r} must be a {column.kind.value}: {error}") from error


def _check_table(
    table: pa.Table, name: str, where: str, columns: Sequence[Column], dimension: int | None, latest: np.datetime64
) -> _Part:
    checked: dict[str, Checked] = {}
    details: dict[int, str] = {}
    for column in columns:
        with _naming(where, column):
            array = _column(table, column.name)
            result = check_column(column, array, dimension=dimension, latest=latest)
        checked[column.name] = result
        for row, detail in fault_details(column, array, result.faults):
            details.setdefault(row, detail)
    good = np.ones(len(table), dtype=bool)
    good[list(details)] = False
    ids = checked["query_id"].values if "query_id" in checked else pa.nulls(len(table), pa.large_string())
    rejected = tuple(
        RejectedRow(name, row, readable_name(ids, row), Reason.MALFORMED, details[row]) for row in sorted(details)
    )
    values = {key: _keep(result.values, good) for key, result in checked.items()}
    return _Part(values, np.flatnonzero(good), rejected)


def _keep(values: Any, good: NDArray[np.bool_]) -> Any:
    if values is None or good.all():
        return values
    return values.filter(pa.array(good)) if isinstance(values, pa.Array) else values[good]


def _repeats(ids: Texts) -> NDArray[np.int64]:
    """Rows whose id has come before, each with the row that had it first: shape (n_repeats, 2)."""
    if not len(ids):
        return np.empty((0, 2), dtype=np.int64)
    encoded = ids.arrow.combine_chunks().dictionary_encode()
    codes = np.asarray(encoded.indices)  # numbered by first appearance, so a first row raises the running maximum
    first = np.ones(len(codes), dtype=bool)
    first[1:] = codes[1:] > np.maximum.accumulate(codes)[:-1]
    repeats = np.flatnonzero(~first)
    return np.stack([repeats, np.flatnonzero(first)[codes[repeats]]], axis=1)


def _duplicates(
    ids: Texts, partition: NDArray[np.object_], row: NDArray[np.int64], repeats: NDArray[np.int64]
) -> list[RejectedRow]:
    return [
        RejectedRow(
            str(partition[again]),
            int(row[again]),
            name,
            Reason.DUPLICATE,
            f"query_id must be unique in a night, got {name[:80]!r}, which row {row[first]} of {partition[first]} has",
        )
        for name, (again, first) in zip(ids.take(repeats[:, 0]), repeats.tolist(), strict=True)
    ]


def _queries(values: Values, dt: date) -> Queries:
    return Queries(
        query_id=values.ids("query_id"),
        task=values.names("task", ""),
        prompt=values.texts("prompt"),
        input_tokens=values.numbers("input_tokens", 0, np.int64),
        embedding=values.matrix("embedding"),
        priority=values.numbers("priority", 1.0),
        deadline=values.times("deadline"),
        max_cost_usd=values.numbers("max_cost_usd", np.inf),
        min_quality=values.numbers("min_quality", 0.0),
        team=values.names("team", None),
        allowed_models=values.lists("allowed_models"),
        denied_models=values.lists("denied_models"),
        required_tags=values.lists("required_tags"),
        submitted_at=values.times("submitted_at"),
        first_dt=np.full(values.n, np.datetime64(dt, "D")),
    )


def _outcomes(values: Values) -> Outcomes:
    return Outcomes(
        query_id=values.names("query_id", ""),
        task=values.names("task", ""),
        prompt=values.texts("prompt"),
        model=values.names("model", ""),
        quality=values.numbers("quality", 0.0, np.float32),
        input_tokens=values.numbers("input_tokens", 0, np.int64),
        output_tokens=values.numbers("output_tokens", 0, np.int64),
        cost_usd=values.numbers("cost_usd", 0.0),
        propensity=values.numbers("propensity", np.nan),
        logged_at=values.times("logged_at"),
        embedding=values.matrix("embedding"),
    )
