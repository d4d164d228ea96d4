"""Random numbers that follow from a name: the same query draws the same, in any partition, order or year.

A counter-based generator instead of a sequential one: the finaliser of SplitMix64 (Steele, Lea and Flood,
«Fast splittable pseudorandom number generators», OOPSLA 2014) over (seed, query, stream).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Keys = NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def make_keys(seed: int, kind: str, day: NDArray[np.int64], number: NDArray[np.int64]) -> Keys:
    """One key per query.

    Parameters
    ----------
    seed : int
    kind : str
        Which of the workload's streams of queries.
    day, number : ndarray of int64, shape (n_queries,)
        Day as the number YYYYMMDD, and the query's number on that day.
    """
    with np.errstate(over="ignore"):
        start = _mixed(np.full(len(day), seed, dtype=np.uint64) ^ _word(f"kind {kind}"))
        return _mixed(_mixed(start + day.astype(np.uint64) * _GOLDEN) + number.astype(np.uint64) * _GOLDEN)


def uniform(keys: Keys, stream: str) -> NDArray[np.float64]:
    """Uniform draws, shape of ``keys``, strictly between 0 and 1; streams are independent of each other."""
    with np.errstate(over="ignore"):
        bits = _mixed(keys + _word(stream)) >> np.uint64(11)
    return (bits.astype(np.float64) + 0.5) * 2.0**-53


def normal(keys: Keys, stream: str) -> NDArray[np.float64]:
    """Standard normal draws, shape of ``keys``."""
    drawn: NDArray[np.float64] = ndtri(uniform(keys, stream))
    return drawn


def choose(keys: Keys, stream: str, n: int) -> NDArray[np.int64]:
    """Draws from 0 to ``n`` − 1, each as likely, shape of ``keys``."""
    return (uniform(keys, stream) * n).astype(np.int64)


def choose_by(keys: Keys, stream: str, cumulative: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draws with the probabilities whose cumulative sums are the rows of ``cumulative``, shape (n_keys, n_choices)."""
    below = uniform(keys, stream)[:, None] >= cumulative[:, :-1]
    return np.asarray(below.sum(axis=1), dtype=np.int64)


def constant(seed: int, name: str) -> float:
    """One standard normal number that belongs to ``name``."""
    return float(normal(np.array([seed], dtype=np.uint64), name)[0])


@lru_cache(maxsize=4096)
def _word(stream: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little"))


def _mixed(words: Keys) -> Keys:
    with np.errstate(over="ignore"):
        words = words + _GOLDEN
        words = (words ^ (words >> np.uint64(30))) * _FIRST
        words = (words ^ (words >> np.uint64(27))) * _SECOND
        return words ^ (words >> np.uint64(31))
