"""Numbers that look random, of an identifier and a seed alone: whoever asks, in whatever order, gets the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def hashes(ids: NDArray[np.object_], seed: int, stream: str = "") -> NDArray[np.uint64]:
    """A number for each identifier, shape (n,); other streams of a seed have nothing to do with each other."""
    key = f"{stream}{seed % 10 ** (16 - len(stream)):0{16 - len(stream)}d}"
    return np.asarray(pd.util.hash_array(np.asarray(ids, object), hash_key=key, categorize=False), np.uint64)


def uniforms(ids: NDArray[Any], seed: int, stream: str) -> NDArray[np.float64]:
    """The same in [0, 1), shape (n,)."""
    return (hashes(ids, seed, stream) >> np.uint64(11)).astype(np.float64) / 2.0**53
