"""Many rows at once: COPY into PostgreSQL, one prepared insert into SQLite, from Arrow columns."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
from sqlalchemy import Connection, Table

_INSERT_ROWS = 50_000


def insert_rows(connection: Connection, table: Table, rows: pa.Table) -> str:
    """Insert ``rows`` into ``table`` within the caller's transaction.

    Parameters
    ----------
    connection : Connection
    table : Table
        Every column of ``rows`` must be one of its columns.
    rows : pyarrow.Table

    Returns
    -------
    str
        SHA-256 of the rows as comma-separated values.
    """
    unknown = set(rows.column_names) - set(table.c.keys())
    if unknown:
        raise KeyError(f"table {table.name} has no column {', '.join(sorted(unknown))}")
    lines = _as_csv(rows)
    if len(rows):
        if connection.dialect.name == "postgresql":
            _copy(connection, table, rows.column_names, lines)
        else:
            _insert(connection, table, rows)
    return hashlib.sha256(lines).hexdigest()


def _as_csv(rows: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    # Null is an empty field and the empty string is "", which is also how COPY tells them apart.
    pa_csv.write_csv(rows, sink, pa_csv.WriteOptions(include_header=False, quoting_style="needed"))
    return memoryview(sink.getvalue())


def _copy(connection: Connection, table: Table, columns: list[str], lines: memoryview) -> None:
    names = ", ".join(f'"{name}"' for name in columns)
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT csv)') as copy:
        for start in range(0, len(lines), 1 << 20):
            copy.write(lines[start : start + (1 << 20)])


def _insert(connection: Connection, table: Table, rows: pa.Table) -> None:
    names = ", ".join(f'"{name}"' for name in rows.column_names)
    marks = ", ".join("?" * rows.num_columns)
    statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608 — names of our own schema
    cursor: Any = connection.connection.cursor()
    for batch in rows.to_batches(max_chunksize=_INSERT_ROWS):
        columns = [_plain(column).to_pylist() for column in batch.columns]
        cursor.executemany(statement, zip(*columns, strict=True))
    cursor.close()


def _plain(column: pa.Array) -> pa.Array:
    """Dates and times as the text SQLAlchemy keeps them in on SQLite."""
    if pa.types.is_date(column.type):
        return column.cast(pa.string())
    if pa.types.is_timestamp(column.type):
        return pa.compute.strftime(column, format="%Y-%m-%d %H:%M:%S")
    return column
