"""Values, columns and bytes that nobody should send, and somebody will."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Rng = np.random.Generator

TEXTS: tuple[str, ...] = (
    "",
    " ",
    "\0",
    "a\0b",
    "x" * 600,
    "é" * 300,
    "'; DROP TABLE assignments; --",
    '"; DELETE FROM routing_runs WHERE "1"="1',
    "%s%s%(query_id)s:name",
    "../../../../etc/passwd",
    "dt=../../etc",
    "{{ var.value.password }}",
    "=cmd|' /C calc'!A0",
    "line\r\nbreak\x1b[31m",
    "\u202etxt.exe\u200b\ufeff",
    "𝕏🏴‍☠️",
    "NaN",
    "null",
)
BYTES: tuple[bytes, ...] = (b"\xff\xfe", b"\xed\xa0\x80", b"\xc3\x28", b"\x00", b"\xf4\x90\x80\x80", b"ok")
INTEGERS: tuple[int, ...] = (-1, 0, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63))
FLOATS: tuple[float, ...] = (np.nan, np.inf, -np.inf, -0.0, 1e308, -5.0, 5e-324, 0.5, 1e10, 2.0**53 + 2)
TIMES: tuple[int, ...] = (-(2**63), -1, 0, 2**62, 2**63 - 1, 1_763_769_600_000_000, 4_102_444_800_000_000)


def column(kind: str, n: int, rng: Rng) -> pa.Array:
    """A column of ``n`` values of one odd kind; see :data:`KINDS`."""
    return KINDS[kind](n, rng)


def _some(values: tuple[Any, ...], n: int, rng: Rng, share_null: float = 0.1) -> list[Any]:
    chosen = [values[i] for i in rng.integers(0, len(values), n)]
    return [None if rng.random() < share_null else value for value in chosen]


def _times(unit: str, zone: str | None) -> Callable[[int, Rng], pa.Array]:
    return lambda n, rng: pa.array(_some(TIMES, n, rng), pa.int64()).view(pa.timestamp(unit, zone))


def _lists(values: tuple[Any, ...], kind: pa.DataType) -> Callable[[int, Rng], pa.Array]:
    return lambda n, rng: pa.array(
        [None if rng.random() < 0.2 else _some(values, int(rng.integers(0, 4)), rng) for _ in range(n)], kind
    )


KINDS: dict[str, Callable[[int, Rng], pa.Array]] = {
    "text": lambda n, rng: pa.array(_some(TEXTS, n, rng)),
    "large text": lambda n, rng: pa.array(_some(TEXTS, n, rng), pa.large_string()),
    "bytes": lambda n, rng: pa.array(_some(BYTES, n, rng), pa.binary()),
    "fixed bytes": lambda n, rng: pa.array([b"abcd"] * n, pa.binary(4)),
    "coded text": lambda n, rng: pa.array(_some(TEXTS, n, rng)).dictionary_encode(),
    "coded numbers": lambda n, rng: pa.array(_some(INTEGERS, n, rng)).dictionary_encode(),
    "int8": lambda n, rng: pa.array(rng.integers(-128, 128, n), pa.int8()),
    "int64": lambda n, rng: pa.array(_some(INTEGERS, n, rng), pa.int64()),
    "uint64": lambda n, rng: pa.array([2**64 - 1] * n, pa.uint64()),
    "float": lambda n, rng: pa.array(_some(FLOATS, n, rng)),
    "half float": lambda n, rng: pa.array(np.array(rng.random(n), np.float16)),
    "decimal": lambda n, rng: pa.array(_some((Decimal("1e20"), Decimal("-1"), Decimal("0.5")), n, rng)),
    "boolean": lambda n, rng: pa.array(rng.random(n) < 0.5),
    "null": lambda n, rng: pa.nulls(n),
    "day": lambda n, rng: pa.array(_some((date(1, 1, 1), date(9999, 12, 31), date(2031, 1, 1)), n, rng)),
    "time of day": lambda n, rng: pa.array([datetime(2026, 1, 1, 3).time()] * n),  # noqa: DTZ001
    "duration": lambda n, rng: pa.array([timedelta(days=4)] * n),
    "seconds": _times("s", None),
    "milliseconds": _times("ms", "UTC"),
    "microseconds": _times("us", "Asia/Tokyo"),
    "nanoseconds": _times("ns", None),
    "list of text": _lists(TEXTS, pa.list_(pa.string())),
    "list of bytes": _lists(BYTES, pa.list_(pa.binary())),
    "list of floats": _lists(FLOATS, pa.list_(pa.float64())),
    "list of integers": _lists(INTEGERS, pa.large_list(pa.int64())),
    "list of lists": lambda n, rng: pa.array([[[1.0]]] * n),
    "list of nulls": lambda n, rng: pa.array([[None]] * n, pa.list_(pa.null())),
    "fixed list": lambda n, rng: pa.array([[1.0, np.nan]] * n, pa.list_(pa.float32(), 2)),
    "struct": lambda n, rng: pa.array([{"a": 1, "query_id": "x"}] * n),
    "map": lambda n, rng: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int64())),
    "uuid": lambda n, rng: pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([b"0123456789abcdef"] * n, pa.binary(16))
    ),
}
"""Columns of every type that Parquet holds, with the worst values of each."""


def mutate_table(table: pa.Table, rng: Rng) -> pa.Table:
    """``table`` with one thing wrong with it."""
    return TABLE_MUTATIONS[int(rng.integers(0, len(TABLE_MUTATIONS)))](table, rng)


def _one(table: pa.Table, rng: Rng) -> int:
    return int(rng.integers(0, table.num_columns))


def _replace_column(table: pa.Table, rng: Rng) -> pa.Table:
    at, kind = _one(table, rng), str(rng.choice(list(KINDS)))
    return table.set_column(at, table.schema.names[at], column(kind, len(table), rng))


def _poison_one_value(table: pa.Table, rng: Rng) -> pa.Table:
    """One value out of a column of its own type."""
    if not len(table):
        return table
    at, row = _one(table, rng), int(rng.integers(0, len(table)))
    old = table.column(at).combine_chunks()
    odd = [make(1, rng) for make in KINDS.values()]
    fitting = [array for array in odd if array.type == old.type] or [pa.nulls(1, old.type)]
    new = fitting[int(rng.integers(0, len(fitting)))]
    return table.set_column(
        at, table.schema.names[at], pa.chunked_array([old.slice(0, row), new, old.slice(row + 1)], old.type)
    )


def _drop_column(table: pa.Table, rng: Rng) -> pa.Table:
    return table.remove_column(_one(table, rng))


def _double_column(table: pa.Table, rng: Rng) -> pa.Table:
    at = _one(table, rng)
    return table.append_column(table.schema.names[at], table.column(at))


def _foreign_column(table: pa.Table, rng: Rng) -> pa.Table:
    names = ("", "a.b.c", "query_id ", "Prompt", "1; DROP TABLE x", "é" * 400, "__index_level_0__")
    name, kind = str(rng.choice(names)), str(rng.choice(list(KINDS)))
    return table.append_column(name, column(kind, len(table), rng))


def _rename_column(table: pa.Table, rng: Rng) -> pa.Table:
    names, at = list(table.schema.names), _one(table, rng)
    names[at] = names[at].upper() if rng.random() < 0.5 else names[int(rng.integers(0, len(names)))]
    return table.rename_columns(names)


def _repeat_rows(table: pa.Table, rng: Rng) -> pa.Table:
    return table.take(pa.array(rng.integers(0, max(len(table), 1), 2 * len(table))))


def _no_rows(table: pa.Table, rng: Rng) -> pa.Table:
    return table.slice(0, 0)


def _several(table: pa.Table, rng: Rng) -> pa.Table:
    for _ in range(3):
        table = _poison_one_value(table, rng)
    return table


TABLE_MUTATIONS = (
    _replace_column,
    _replace_column,
    _poison_one_value,
    _poison_one_value,
    _several,
    _drop_column,
    _double_column,
    _foreign_column,
    _rename_column,
    _repeat_rows,
    _no_rows,
)


def parquet(table: pa.Table, rng: Rng) -> bytes:
    """``table`` as Parquet by a writer with habits of its own."""
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression=str(rng.choice(["snappy", "zstd", "gzip", "none"])),
        use_dictionary=bool(rng.random() < 0.5),
        data_page_version=str(rng.choice(["1.0", "2.0"])),
        row_group_size=int(rng.integers(1, 5)),
        write_page_checksum=bool(rng.random() < 0.3),
        store_schema=bool(rng.random() < 0.7),
    )
    return sink.getvalue()


def mutate_bytes(raw: bytes, rng: Rng) -> bytes:
    """``raw`` as a broken disk, an interrupted copy or the wrong program leaves it."""
    return BYTE_MUTATIONS[int(rng.integers(0, len(BYTE_MUTATIONS)))](raw, rng)


def _flip(raw: bytes, rng: Rng, low: int, high: int) -> bytes:
    changed = bytearray(raw)
    for at in rng.integers(low, max(high, low + 1), int(rng.integers(1, 12))).tolist():
        if at < len(changed):
            changed[at] ^= 1 << int(rng.integers(0, 8))
    return bytes(changed)


def _insert(raw: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(0, len(raw) + 1))
    return raw[:at] + rng.bytes(int(rng.integers(1, 40))) + raw[at:]


BYTE_MUTATIONS: tuple[Callable[[bytes, Rng], bytes], ...] = (
    lambda raw, rng: raw[: int(rng.integers(0, len(raw) + 1))],
    lambda raw, rng: raw[int(rng.integers(0, len(raw) + 1)) :],
    lambda raw, rng: b"",
    lambda raw, rng: _flip(raw, rng, 0, len(raw)),
    lambda raw, rng: _flip(raw, rng, len(raw) * 3 // 4, len(raw)),
    lambda raw, rng: _flip(raw, rng, len(raw) // 3, len(raw)),
    _insert,
    lambda raw, rng: raw[len(raw) // 2 :] + raw[: len(raw) // 2],
    lambda raw, rng: raw[:-8] + b"\xff\xff\xff\x7f" + raw[-4:],
    lambda raw, rng: b"\0" * len(raw),
    lambda raw, rng: gzip.compress(raw),
    lambda raw, rng: b"<html><body>503 Service Unavailable</body></html>",
    lambda raw, rng: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    lambda raw, rng: rng.bytes(len(raw)),
    lambda raw, rng: raw + raw,
)
