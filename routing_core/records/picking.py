"""Rows out of a column, and columns end to end, whatever kind of sequence the column is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def join(values: list[Any]) -> Any:
    """Columns one after the other; None if any is None."""
    if any(value is None for value in values):
        return None
    if isinstance(values[0], np.ndarray):
        return np.concatenate(values)
    return [value for part in values for value in part]


def pick(values: Any, at: NDArray[np.int64]) -> Any:
    """The entries of a column at ``at``; None of None."""
    if values is None:
        return None
    if isinstance(values, np.ndarray):
        return values[at]  # by rows, which ``take`` would not
    return values.take(at) if hasattr(values, "take") else [values[i] for i in at.tolist()]
