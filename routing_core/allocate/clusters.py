"""Clusters of prompts: groups by what the text says, whatever task it was filed under.

They are learnt from the training queries that a predictor keeps, so a predictor and a seed always give the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from routing_core.allocate.history import DailyCounts

RESTARTS = 3
"""Starts of k-means, of which the best is kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Groups of prompts, the largest among the training queries first.

    Attributes
    ----------
    centres : ndarray of float64, shape (n_clusters, n_features)
    """

    centres: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def names(self) -> tuple[str, ...]:
        """``1``, ``2``, …"""
        return tuple(str(k + 1) for k in range(len(self)))

    def of(self, X: NDArray[np.floating]) -> NDArray[np.intp]:
        """The nearest cluster of each prompt, from 0.

        Parameters
        ----------
        X : ndarray of float, shape (n_queries, n_features)
        """
        reach = 0.5 * (self.centres**2).sum(axis=1) - np.asarray(X, dtype=np.float64) @ self.centres.T
        return np.asarray(reach.argmin(axis=1))

    def counts(self, X: NDArray[np.floating], total: float) -> NDArray[np.int64]:
        """How ``total`` queries fall to the clusters, by a sample of them: ndarray of shape (n_clusters,)."""
        found = np.bincount(self.of(X), minlength=len(self))
        return np.asarray(np.rint(found * (total / max(len(X), 1))), dtype=np.int64)


def learn_clusters(X: NDArray[np.floating], most: int, seed: int) -> Clusters:
    """Group prompts by k-means (Lloyd, IEEE Trans. Information Theory 28(2), 1982).

    Parameters
    ----------
    X : ndarray of float, shape (n_queries, n_features)
    most : int, at least 1
        Clusters wanted; fewer where there are fewer distinct prompts.
    seed : int
    """
    points = np.unique(np.asarray(X, dtype=np.float64), axis=0)
    if len(points) <= most:
        return Clusters(points)
    with threadpool_limits(limits=1):
        fitted = KMeans(most, n_init=RESTARTS, random_state=seed % 2**32).fit(np.asarray(X, dtype=np.float64))
    by_size = np.argsort(-np.bincount(fitted.labels_, minlength=most), kind="stable")
    return Clusters(fitted.cluster_centers_[by_size])


def cluster_history(clusters: Clusters, by_day: Mapping[date, NDArray[np.int64]]) -> DailyCounts:
    """Counts by day and cluster, of days in order."""
    counts = np.array(list(by_day.values()), dtype=np.int64).reshape(len(by_day), len(clusters))
    return DailyCounts(tuple(by_day), clusters.names, counts)
