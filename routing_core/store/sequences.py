"""Sequences that hold a million strings or lists without a million Python objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

T = TypeVar("T")
_BLOCK = 4096


class Texts(Sequence[str]):
    """Strings kept in Arrow memory, made into Python strings when they are looked at.

    Parameters
    ----------
    arrow : pyarrow.ChunkedArray of large_string
        Without nulls.
    """

    def __init__(self, arrow: pa.ChunkedArray) -> None:
        self.arrow = arrow

    def __len__(self) -> int:
        return len(self.arrow)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Texts: ...
    def __getitem__(self, index: int | slice) -> str | Texts:
        if not isinstance(index, slice):
            return str(self.arrow[int(index)].as_py())
        start, stop, step = index.indices(len(self))
        if step == 1:
            return Texts(self.arrow.slice(start, max(0, stop - start)))
        return self.take(np.arange(start, stop, step))

    def __iter__(self) -> Iterator[str]:
        for chunk in self.arrow.chunks:
            for start in range(0, len(chunk), _BLOCK):
                yield from chunk.slice(start, _BLOCK).to_pylist()

    def take(self, rows: NDArray[np.integer]) -> Texts:
        """The strings at ``rows``, in that order."""
        return Texts(self.arrow.take(pa.array(rows)))


class Coded(Sequence[T]):
    """Values of which few are distinct: a code per entry, and the distinct values once.

    Parameters
    ----------
    codes : ndarray of int32, shape (n,)
        Index into ``distinct``.
    distinct : tuple
        Each value once.
    """

    def __init__(self, codes: NDArray[np.int32], distinct: tuple[T, ...]) -> None:
        self.codes = codes
        self.distinct = distinct

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Coded[T]: ...
    def __getitem__(self, index: int | slice) -> T | Coded[T]:
        if isinstance(index, slice):
            return Coded(self.codes[index], self.distinct)
        return self.distinct[int(self.codes[index])]

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self), _BLOCK):
            yield from (self.distinct[code] for code in self.codes[start : start + _BLOCK].tolist())

    def take(self, rows: NDArray[np.integer]) -> Coded[T]:
        """The entries at ``rows``, in that order."""
        return Coded(self.codes[rows], self.distinct)


def repeated(value: T, n: int) -> Coded[T]:
    """``value``, ``n`` times over."""
    return Coded(np.zeros(n, dtype=np.int32), (value,))
