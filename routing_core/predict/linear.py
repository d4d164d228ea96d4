"""Arithmetic whose rows do not depend on how many rows come along.

BLAS picks its kernel by shape, kernels add up in different orders, and the last bit follows. So features lie on a
grid coarse enough that inner products of them are exact in float32, other products are made in float64, and what
leaves a predictor is rounded to a grid far coarser than what is left of the noise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 1024
"""Rows worked on at a time."""
FEATURE_STEP = 2.0**-10
"""Grid of features. Products are multiples of 2⁻²⁰; sums of them below 4 take 22 bits of float32's 24."""
QUALITY_STEP = 2.0**-16
"""Grid of estimated quality."""
TOKEN_STEP = 2.0**-6
"""Grid of estimated answer length, tokens."""


def blocks(n_rows: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices of ``size`` rows that cover ``n_rows``."""
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def on_grid(values: NDArray[np.floating], step: float) -> NDArray[np.float32]:
    """``values`` rounded to multiples of ``step``, a power of two."""
    return (np.rint(np.asarray(values, np.float64) / step) * step).astype(np.float32)


def product(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    """``left @ right`` in float64.

    Parameters
    ----------
    left : ndarray of float, shape (n_rows, n_inner)
    right : ndarray of float, shape (n_inner, n_columns)
    """
    return np.asarray(left, np.float64) @ np.asarray(right, np.float64)
