"""Checked Arrow columns made into the arrays that records are made of."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from routing_core.records.columns import Column
from routing_core.store.columns import ARROW_TYPES
from routing_core.store.sequences import Coded, Texts, repeated

_SEPARATOR = "\0"


class Values:
    """Checked columns of all files, as the records want them.

    Parameters
    ----------
    parts : sequence of dict
        Column name to checked values, one dict a file; emptied, so that no column is held
        twice. The first column must not be a vector.
    columns : sequence of Column
        What was read.
    """

    def __init__(self, parts: Sequence[dict[str, Any]], columns: Sequence[Column]) -> None:
        self.n = sum(len(part[columns[0].name]) for part in parts)
        self._columns = {c.name: _join([part.pop(c.name) for part in parts], ARROW_TYPES[c.kind]) for c in columns}

    def filter(self, keep: NDArray[np.bool_]) -> Values:
        """The same columns where ``keep`` is True."""
        kept = copy(self)
        kept.n = int(keep.sum())
        kept._columns = {name: _filter(column, keep) for name, column in self._columns.items()}
        return kept

    def texts(self, name: str) -> Texts:
        """Strings left in Arrow memory."""
        column = self._columns.get(name)
        return Texts(_blank(self.n) if column is None else column)

    def names(self, name: str, default: str | None) -> NDArray[np.object_]:
        """Strings as objects; equal ones are one object."""
        column = self._columns.get(name)
        if column is None or column.null_count == self.n:
            return np.full(self.n, default, dtype=object)
        encoded = column.combine_chunks().dictionary_encode()
        distinct = np.array([*encoded.dictionary.to_pylist(), default], dtype=object)
        codes: NDArray[np.integer] = np.asarray(pc.fill_null(encoded.indices, len(distinct) - 1))
        found: NDArray[np.object_] = distinct[codes]
        return found

    def ids(self, name: str) -> NDArray[np.object_]:
        """Strings as objects, all different."""
        column = self._columns.get(name)
        if column is None:
            return np.full(self.n, "", dtype=object)
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)

    def numbers(self, name: str, default: float, dtype: Any = np.float64) -> NDArray[Any]:
        """Numbers, ``default`` where null."""
        column = self._columns.get(name)
        if column is None or column.null_count == self.n:
            return np.full(self.n, default, dtype=dtype)
        return np.asarray(pc.fill_null(column, default).to_numpy()).astype(dtype, copy=False)

    def times(self, name: str) -> NDArray[np.datetime64]:
        """UTC times in microseconds, NaT where null."""
        ticks = np.full(self.n, np.iinfo(np.int64).min)
        column = self._columns.get(name)
        if column is not None and column.null_count < self.n:
            ticks = np.array(pc.fill_null(column.cast(pa.int64()), int(ticks[0])).to_numpy())
        return ticks.view("M8[us]")

    def lists(self, name: str) -> Coded[tuple[str, ...] | None]:
        """Lists of names, None where null; equal ones are one object."""
        column = self._columns.get(name)
        if column is None or column.null_count == self.n:
            return repeated(None, self.n)
        encoded = pc.binary_join(column, _SEPARATOR).combine_chunks().dictionary_encode()
        distinct = [tuple(joined.split(_SEPARATOR)) if joined else () for joined in encoded.dictionary.to_pylist()]
        codes = np.asarray(pc.fill_null(encoded.indices, len(distinct))).astype(np.int32, copy=False)
        return Coded(codes, (*distinct, None))

    def matrix(self, name: str) -> NDArray[np.float32] | None:
        """Vectors as rows, or None."""
        found: NDArray[np.float32] | None = self._columns.get(name)
        return found


def _join(pieces: Sequence[Any], kind: pa.DataType) -> Any:
    if pieces and all(isinstance(piece, np.ndarray) for piece in pieces):
        return np.concatenate(pieces)
    if any(piece is None for piece in pieces):
        return None
    return pa.chunked_array(pieces, type=kind)


def _filter(column: Any, keep: NDArray[np.bool_]) -> Any:
    if column is None:
        return None
    return column.filter(pa.array(keep)) if isinstance(column, pa.ChunkedArray) else column[keep]


def _blank(n: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.repeat(pa.scalar("", pa.large_string()), n)])
