"""Nearest neighbours, bagged in closed form."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import bdtrc

from routing_core.predict.linear import blocks
from routing_core.predict.quality.base import QualityModel

OWN_LABELS = 10
"""In a partial log, a model's own neighbours count half once it has this many labels per neighbour asked."""
NEGLIGIBLE = 1e-4
"""Expected weight beyond the last rank that is looked at."""
LOOKED_UP = 256
"""Queries whose neighbours are looked for at once: few enough that their distances stay in a core's cache."""
GROUP = 16
"""References of which only the nearest is looked at, to tell which can be left out."""


@lru_cache(maxsize=64)
def bagged_weights(
    neighbours: int, n_rows: int, resample: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each rank weighs in the mean over bootstrap samples of kNN.

    In a bootstrap sample of m out of n rows the r nearest fill B_r ~ Bin(m, r/n) places, of which k count; so ranks up
    to r have the expected weight E[min(B_r, k)] / k. Of the variance, the k places are filled by independent counts of
    variance m/n until they are full: rank r adds m/n · P(B_{r−1} < k) / k² times its squared deviation (Wald's
    identity for the stopped sum, counts taken as Poisson).

    Parameters
    ----------
    neighbours : int
        k, at least 1.
    n_rows : int
        n, at least 1.
    resample : float, in (0, 1]
        m/n. Samples as large as the log bag neighbours too little to help much: they gain where the share is below
        ln 2 (P. Hall, R. J. Samworth, J. R. Stat. Soc. B 67, 2005).

    Returns
    -------
    mean_weight : ndarray of float64, shape (n_ranks,), sums to 1
    variance_weight : ndarray of float64, shape (n_ranks,)
    """
    drawn = max(round(resample * n_rows), 1)
    share = drawn / n_rows
    k = min(neighbours, drawn)
    # B_r is about Poisson(r·m/n): ten deviations past k, nothing is left to fill.
    ranks = np.arange(0, min(n_rows, int((k + 10 * np.sqrt(k) + 20) / share)) + 1)
    counts = np.arange(k)
    # E[min(B, k)] = Σ_{c<k} P(B > c)
    reached = bdtrc(counts[None, :], drawn, (ranks / n_rows)[:, None])
    cumulative = reached.sum(axis=1) / k
    last = min(max(int(np.searchsorted(cumulative, 1 - NEGLIGIBLE)), 1), len(ranks) - 1)
    weight = np.diff(cumulative[: last + 1])
    variance = share * (1 - reached[:last, -1]) / k**2
    return weight / weight.sum(), variance


class NearestNeighbours(QualityModel):
    """Mean label of the nearest queries that each model has answered.

    In a partial log every model has other neighbours, few and far: a hard query would speak against the models that
    were seen on it, and for those that were not. So there, what the neighbours say of *any* model — how far labels
    lie from their model's mean — stands in for each, until a model has labels enough of its own.

    Parameters
    ----------
    neighbours : int
        k of each bootstrap sample.
    bagged : bool
        Weigh ranks as the mean over bootstrap samples would; else k equal votes.
    resample : float, in (0, 1]
        Size of a bootstrap sample as a share of the log.
    max_references : int
        Queries kept to compare with, over all groups of models with the same labels; the rest of the log is
        dropped at even steps, which bounds the time of an estimate.
    """

    method: ClassVar[str] = "knn"
    fitted: ClassVar[tuple[str, ...]] = ("references_", "labels_", "weights_", "bounds_", "group_", "own_")

    def __init__(
        self, neighbours: int = 100, bagged: bool = True, resample: float = 1.0, max_references: int = 8192
    ) -> None:
        self.neighbours = neighbours
        self.bagged = bagged
        self.resample = resample
        self.max_references = max_references

    def _learn(self, X: NDArray[np.float32], y: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        """Keep references by group: models labelled on the same queries share one search.

        With several groups, a last one holds every query with its mean deviation over the models it was seen with.
        """
        seen = weight > 0
        patterns, self.group_ = np.unique(seen.T, axis=0, return_inverse=True)
        labelled = patterns[patterns.any(axis=1)]
        alone = len(labelled) == 1
        count = seen.sum(axis=0)
        self.own_ = np.where(alone, 1.0, count / (count + OWN_LABELS * self.neighbours)).astype(np.float32)
        most = max(2 * self.neighbours, self.max_references // (len(labelled) + (not alone)))
        rows = [_thinned(np.flatnonzero(pattern), most) for pattern in patterns]
        pooled = np.zeros(0, np.int64) if alone else _thinned(np.flatnonzero(seen.any(axis=1)), most)
        self.bounds_ = np.cumsum([0, *map(len, rows), len(pooled)])
        total = weight[pooled].sum(axis=1, keepdims=True)
        deviation = (weight[pooled] * (y[pooled] - self.mean_)).sum(axis=1, keepdims=True) / total
        kept = np.concatenate([*rows, pooled])
        spread = (1, self.n_models_)
        self.references_ = X[kept]
        self.labels_ = np.concatenate([y[kept[: len(kept) - len(pooled)]], np.tile(deviation, spread)])
        self.weights_ = np.concatenate([weight[kept[: len(kept) - len(pooled)]], np.tile(total, spread)])

    def _estimate(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        shape = (len(X), self.n_models_)
        mean = np.broadcast_to(self.mean_, shape).copy()
        std = np.full(shape, np.nan, np.float32)
        for group, (start, stop) in enumerate(zip(self.bounds_[:-2], self.bounds_[1:-1], strict=True)):
            if stop > start:
                models = np.flatnonzero(self.group_ == group)
                mean[:, models], std[:, models] = self._vote(X, models, slice(start, stop))
        if self.bounds_[-1] == self.bounds_[-2]:
            return mean, std
        common, common_std = self._vote(X, np.array([0]), slice(*self.bounds_[-2:]))
        own, others = self.own_, 1 - self.own_
        mean = self.mean_ + own * (mean - self.mean_) + others * common
        return mean, np.hypot(own * np.nan_to_num(std), others * common_std).astype(np.float32)

    def _vote(
        self, X: NDArray[np.float32], models: NDArray[np.int64], of: slice
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weighted votes of the neighbours among the references ``of`` one group."""
        references = self.references_[of]
        once, twice = _moments(self.labels_[of][:, models], self.weights_[of][:, models])
        by_rank, spread = self._rank_weights(len(references))
        mean = np.empty((len(X), len(models)), np.float32)
        std = np.empty_like(mean)
        for rows in blocks(len(X)):
            nearest = _neighbours(X[rows], references, len(by_rank))
            total, votes = np.hsplit(_by_rank(nearest, by_rank, once), 2)
            square, cross, own = np.hsplit(_by_rank(nearest, spread, twice), 3)
            mean[rows] = centre = votes / total
            std[rows] = np.sqrt(np.maximum(own - 2 * centre * cross + centre**2 * square, 0)) / total
        return mean, std

    def _rank_weights(self, n_rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        weight, variance = bagged_weights(self.neighbours, n_rows, self.resample)
        if not self.bagged:
            k = min(self.neighbours, n_rows)
            weight = np.r_[np.full(k, 1 / k), np.zeros(max(len(weight) - k, 0))]
            variance = np.r_[variance, np.zeros(max(len(weight) - len(variance), 0))]
        return weight.astype(np.float32), variance.astype(np.float32)


def _moments(
    labels: NDArray[np.float32], importance: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a reference adds to a weighted mean and to its variance, by model: w and w·y, and w², w²·y and w²·y²."""
    y, w = labels.astype(np.float64), importance.astype(np.float64)
    return np.hstack([w, w * y]), np.hstack([w**2, w**2 * y, (w * y) ** 2])


def _by_rank(
    nearest: NDArray[np.int64], weight: NDArray[np.float32], moments: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Moments of each row's nearest references, summed by the weight of their ranks and in their order."""
    n_rows, n_ranks = nearest.shape
    ends = np.arange(n_rows + 1) * n_ranks
    cells = (np.tile(weight.astype(np.float64), n_rows), nearest.ravel(), ends)
    return np.asarray(sparse.csr_matrix(cells, shape=(n_rows, len(moments))) @ moments)


def _neighbours(X: NDArray[np.float32], references: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The ``count`` references nearest to each row, nearest first."""
    half = 0.5 * (references**2).sum(axis=1)
    nearest = np.empty((len(X), count), np.int64)
    for rows in blocks(len(X), LOOKED_UP):
        nearest[rows] = _nearest(half - X[rows] @ references.T, count)
    return nearest


def _nearest(distance: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Columns of the ``count`` smallest entries of each row, smallest first.

    The column is written into the bits that float64 has beyond float32: plain numbers, unlike indices, NumPy selects
    and sorts with vector instructions.
    """
    columns = distance.shape[1]
    if columns >= GROUP * count:
        keys = _few_keys(distance, count)
    else:
        keys = distance.astype(np.float64)
        keys.view(np.int64)[:] |= np.arange(columns)
    if count < keys.shape[1]:
        keys.partition(count - 1, axis=1)
    return np.sort(keys[:, :count], axis=1).view(np.int64) & ((1 << columns.bit_length()) - 1)


def _few_keys(distance: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Keys of the entries that may be among the ``count`` smallest of their row, in a matrix filled up with infinity.

    The ``count`` smallest minima of disjoint groups are as many entries: none that is above all of them is needed.
    """
    n_rows, columns = distance.shape
    grouped = distance[:, : columns // GROUP * GROUP].reshape(n_rows, GROUP, -1).min(axis=1)
    grouped.partition(count - 1, axis=1)
    kept = np.flatnonzero(distance <= grouped[:, count - 1 : count])
    row, column = np.divmod(kept, columns)
    found = distance.ravel()[kept].astype(np.float64)
    found.view(np.int64)[:] |= column
    each = np.bincount(row, minlength=n_rows)
    keys = np.full((n_rows, int(each.max(initial=count))), np.inf)
    keys[row, np.arange(len(kept)) - np.repeat(np.cumsum(each) - each, each)] = found
    return keys


def _thinned(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most ``most`` of ``rows``, at even steps."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
