"""Out-of-fold predictions: what the recipe would have said of nights it had not seen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routing_core.predict.calibration import Calibration, learn_calibration
from routing_core.predict.cost import learn_tokens
from routing_core.predict.ensemble import fit_ensemble
from routing_core.predict.labels import Labels
from routing_core.predict.recipe import Recipe

MAX_ROWS = 12_000
"""Most queries that out-of-fold predictions are made of, taken at even steps."""
WORKERS = 2


@dataclass(frozen=True, slots=True, eq=False)
class CrossFit:
    """Out-of-fold predictions, before calibration.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_held_out,)
        Queries of the labels they are for.
    fold : ndarray of int64, shape (n_held_out,)
    mean, std, tokens : ndarray of float32, shape (n_held_out, n_models)
    """

    rows: NDArray[np.int64]
    fold: NDArray[np.int64]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    tokens: NDArray[np.float32]

    def calibrated(self, labels: Labels, *, shrink: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation, each fold calibrated on the others: what a held-out night would get."""
        mean, std = self.mean.copy(), self.std.copy()
        for fold in np.unique(self.fold):
            here = self.fold == fold
            mean[here], std[here] = self.calibration(labels, shrink=shrink, at=~here).apply(mean[here], std[here])
        return mean, std

    def calibration(self, labels: Labels, *, shrink: bool, at: NDArray[np.bool_] | None = None) -> Calibration:
        """The calibration learnt from the held-out predictions, or from those ``at`` alone."""
        chosen = slice(None) if at is None else at
        rows = self.rows[chosen]
        return learn_calibration(
            self.mean[chosen], labels.quality[rows], labels.weight[rows], labels.effective, shrink=shrink
        )


def cross_fit(
    recipe: Recipe, X: NDArray[np.float32], features: NDArray[np.float32], labels: Labels, seed: int
) -> CrossFit:
    """Fit ``recipe`` on all folds but one, predict that one, for each.

    Parameters
    ----------
    recipe : Recipe
    X : ndarray of float32, shape (n_queries, n_features)
        Features for quality.
    features : ndarray of float32, shape (n_queries, n_cost_features)
        Features for answer length.
    labels : Labels
    seed : int
    """
    rows = _even(len(labels), MAX_ROWS)
    fold = folds(labels.day[rows], recipe.folds, seed)
    mean = np.zeros((len(rows), len(labels.models)), np.float32)
    std, tokens = np.zeros_like(mean), np.zeros_like(mean)

    def one(held: np.int64) -> None:
        out, kept = fold == held, rows[fold != held]
        ensemble = fit_ensemble(recipe, X[kept], labels.quality[kept], labels.weight[kept], seed)
        mean[out], std[out] = ensemble.estimate(X[rows[out]])
        lengths = learn_tokens(
            features[kept], labels.output_tokens[kept], labels.weight[kept], flat=recipe.cost == "means"
        )
        tokens[out] = lengths.tokens(features[rows[out]])

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(one, np.unique(fold)))
    return CrossFit(rows, fold, mean, std, tokens)


def folds(day: NDArray[np.int64], n_folds: int, seed: int) -> NDArray[np.int64]:
    """Fold of each query: whole days where there are enough of them, else drawn at random.

    Parameters
    ----------
    day : ndarray of int64, shape (n_queries,)
    n_folds : int
    seed : int
    """
    days, rank = np.unique(day, return_inverse=True)
    if len(days) >= n_folds:
        return np.asarray(rank % n_folds, np.int64)
    order = np.random.default_rng(seed).permutation(len(day))
    return np.asarray(order % n_folds, np.int64)


def _even(n_rows: int, most: int) -> NDArray[np.int64]:
    return np.linspace(0, n_rows - 1, min(n_rows, most)).round().astype(np.int64)
